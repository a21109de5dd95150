"""The part of a repository that its other parts read by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from agent_memory.repositories.access import Access
from agent_memory.repositories.following import View
from agent_memory.repositories.importances import ImportanceIndex, Importances
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.paths import value_at
from agent_memory.values.query import Query


class ValueOf(NamedTuple):
    """The value at a path of an entry's contents.

    Attributes:
        memory_id: The entry.
        step: Its step.
        value: The value; ``ABSENT`` where there is none.
        bounds: The entry's error bounds.
    """

    memory_id: str
    step: int
    value: Any
    bounds: Mapping[str, float] | None


def values_of(entries: Iterable[MemoryEntry], path: str) -> list[ValueOf]:
    """The values at a path of some entries."""
    return [
        ValueOf(
            entry.memory_id, entry.step_number, value_at(entry.contents, path), entry.error_bounds
        )
        for entry in entries
    ]


VALUES_AT_ONCE = 2_000
"""How many entries' contents are read and decoded together where their values alone are wanted.

Of more the process would hold more contents at once, and hold its collector of garbage off longer.
"""


class EntryReader(Protocol):
    """Reads the entries of a tier; see ``MemoryRepository`` for what each method promises."""

    def get_many(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are stored here, in the order of the keys."""

    def find(self, query: Query) -> list[MemoryEntry]:
        """Return the entries that answer a query, in its order."""

    def find_each(self, queries: Sequence[Query]) -> list[list[MemoryEntry]]:
        """Return what answers each of some queries."""

    def agents(self, run_id: str) -> list[str]:
        """The agents that have entries in a run, sorted."""

    def runs(self) -> list[str]:
        """The runs that have entries, sorted."""


class WideAnswers:
    """What any tier answers beyond ``find``; an engine that has a quicker way takes that."""

    importance: ImportanceIndex
    """How important its entries are, and of which steps."""

    def importances_of(self, run_id: str, agents: Sequence[str]) -> dict[str, Importances]:
        """How important the entries of some agents are, and of which steps; no contents are read.

        Agents without entries may be left out.
        """
        return self.importance.of(run_id, agents)

    def first_of_each(self: EntryReader, query: Query) -> list[MemoryEntry]:
        """The first entry, in the query's order, of each agent that it is about.

        In as many requests as one question about many agents takes, whatever its limit.
        """
        owners = [
            (run_id, agent_id)
            for run_id in (self.runs() if query.runs is None else query.runs)
            for agent_id in (self.agents(run_id) if query.agents is None else query.agents)
        ]
        first = replace(query, limit=1)
        found = self.find_each([first.of(*owner) for owner in owners])
        return [entry for entries in found for entry in entries]

    def find_with(self, query: Query, below: object) -> Sequence[Sequence[MemoryEntry]] | None:
        """What answers a query here and in the tier below, where one request can tell both.

        Args:
            query: What is asked.
            below: The tier below, as questions see it.

        Returns:
            The entries of either, in the query's order. Where this tier has as many as the limit
            allows, those below that come after all of them may be left out. None where each tier
            is to be asked by itself.
        """
        del query, below
        return None

    def read_as_seen(
        self, run_id: str, agent_id: str, views: Sequence[View], *below: object
    ) -> list[list[MemoryEntry]] | None:
        """Read some entries of an agent, if nothing of the agent's has changed since it was seen.

        Args:
            run_id: The run.
            agent_id: The agent.
            views: What was seen here and in the tiers below, and which entries to read.
            below: The tiers below, as questions see them.

        Returns:
            The entries of each tier, those left out that are not there. None where something has
            changed, or may have, or where no one request tells it of all these tiers.
        """
        del run_id, agent_id, views, below
        return None

    def values_at(self: EntryReader, query: Query, path: str) -> list[ValueOf]:
        """The values at a path of the entries that answer a query about one agent of one run.

        An engine that can makes nothing else of them, and holds the contents of a bounded number
        at once. In any order.

        Raises:
            EncodingError: One is damaged.
        """
        return values_of(self.find(query), path)

    def keys_answering(self: EntryReader, query: Query) -> list[EntryKey]:
        """The keys of the entries that answer a query, in its order."""
        return [entry.key for entry in self.find(query)]

    def access(self: EntryReader, query: Query) -> Access:
        """How a question is answered here: without an index, by looking at all entries."""
        return Access("scan of all entries", len(self.find(replace(query, attributes={}))))
