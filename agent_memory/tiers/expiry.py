"""What questions see of a tier whose entries are dropped when they are over its age.

The next upkeep removes them; until then they are still stored, and no question finds them. Those
that are pinned stay, and are found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from agent_memory.repositories.access import Access
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.following import Changes, View
from agent_memory.repositories.importances import Importances
from agent_memory.repositories.moves import MoveNotes
from agent_memory.repositories.nearest import Neighbour, Probe
from agent_memory.repositories.querying import agent_of, run_of
from agent_memory.repositories.reading import ValueOf
from agent_memory.tiers.ageing import Ages, Moment
from agent_memory.values.checks import MAX_STEP
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.ordering import in_order
from agent_memory.values.query import Order, Query


class TierReader(Protocol):
    """What questions ask of a tier: the part of a repository that reads."""

    @property
    def tier(self) -> Tier:
        """Which tier it is."""

    def get_many(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are there, in the order of the keys."""

    def find(self, query: Query) -> list[MemoryEntry]:
        """Return the entries that answer a query, in its order. The query names its run."""

    def find_with(self, query: Query, below: object) -> Sequence[Sequence[MemoryEntry]] | None:
        """What answers a query here and in the tier below, where one request can tell both."""

    def read_as_seen(
        self, run_id: str, agent_id: str, views: Sequence[View], *below: object
    ) -> list[list[MemoryEntry]] | None:
        """Read some entries of an agent, if nothing of the agent's has changed since."""

    def nearest(self, query: Query, probe: Probe) -> list[Neighbour]:
        """The entries that answer a query and whose vectors are nearest to a probe."""

    def changes(
        self, run_id: str, agent_id: str, seen: object = None, known: Collection[str] = ()
    ) -> Changes:
        """What has changed of an agent's entries since somebody asked last."""

    def visible(self, query: Query) -> list[Query]:
        """The questions whose answers together answer a query."""

    def count(self, run_id: str, agent_id: str | None = None) -> int:
        """How many entries an agent has in a run."""

    def first_of_each(self, query: Query) -> list[MemoryEntry]:
        """The first entry, in the query's order, of each agent that it is about."""

    def keys_answering(self, query: Query) -> list[EntryKey]:
        """The keys of the entries that answer a query, in its order."""

    def values_at(self, query: Query, path: str) -> list[ValueOf]:
        """The values at a path of the entries that answer a query about one agent of one run."""

    def access(self, query: Query) -> Access:
        """How a question is answered: by which index, and how many entries that gives."""

    def importances_of(self, run_id: str, agents: Sequence[str]) -> dict[str, Importances]:
        """How important the entries of some agents are, and of which steps."""

    def runs(self) -> list[str]:
        """The runs that have entries, sorted."""

    def agents(self, run_id: str) -> list[str]:
        """The agents that have entries in a run, sorted."""

    @property
    def moves(self) -> MoveNotes:
        """The notes of moves out of here."""


@dataclass(frozen=True)
class ExpiryFilter:
    """A tier without the entries that are over its age.

    Attributes:
        repository: The tier.
        ages: How old entries may become there.
        moment: Gives the moment by which ages are compared, of an agent of a run.
    """

    repository: MemoryRepository
    ages: Ages
    moment: Callable[[str, str], Moment]

    @property
    def tier(self) -> Tier:
        """Which tier it is."""
        return self.repository.tier

    def get_many(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are there, in the order of the keys."""
        moments = {agent: self.moment(*agent) for agent in {key[:2] for key in keys}}
        return [
            entry
            for entry in self.repository.get_many(keys)
            if entry.pinned
            or (
                entry.timestamp >= self.ages.first_time(moments[entry.key[:2]])
                and entry.step_number >= self.ages.first_step(moments[entry.key[:2]])
            )
        ]

    def find(self, query: Query) -> list[MemoryEntry]:
        """Return the entries that answer a query, in its order. The query names its runs."""
        if query.is_about_one_agent:
            answers = [self.repository.find(asked) for asked in self.visible(query)]
        else:
            answers = self.repository.find_each(
                [asked for one in self._each_agent(query) for asked in self.visible(one)]
            )
        found = {entry.key: entry for entries in answers for entry in entries}
        return in_order(found.values(), query)

    def find_with(self, query: Query, below: object) -> None:
        """Nothing: what is pinned and what is not over its age takes two questions."""
        del query, below

    def read_as_seen(
        self, run_id: str, agent_id: str, views: Sequence[View], *below: object
    ) -> None:
        """Nothing: what is over its age by now is known by the time alone."""
        del run_id, agent_id, views, below

    def first_of_each(self, query: Query) -> list[MemoryEntry]:
        """The first entry, in the query's order, of each agent that it is about."""
        owned = [
            (one, asked)
            for one in self._each_agent(replace(query, limit=1))
            for asked in self.visible(one)
        ]
        answers = self.repository.find_each([asked for _, asked in owned])
        found: dict[Query, list[MemoryEntry]] = {}
        for (one, _), entries in zip(owned, answers, strict=True):
            found.setdefault(one, []).extend(entries)
        return [entry for one, entries in found.items() for entry in in_order(entries, one)]

    def keys_answering(self, query: Query) -> list[EntryKey]:
        """The keys of the entries that answer a query, in its order."""
        return [entry.key for entry in self.find(query)]

    def values_at(self, query: Query, path: str) -> list[ValueOf]:
        """The values at a path of the entries that answer a query about one agent of one run."""
        found = {
            one.memory_id: one
            for asked in self.visible(query)
            for one in self.repository.values_at(asked, path)
        }
        return [*found.values()]

    def access(self, query: Query) -> Access:
        """How a question is answered: by which index, and how many entries that gives."""
        asked = self.visible(query) if query.is_about_one_agent else [query]
        if not asked:
            return Access("nothing: all of it is over its age", 0)
        return self.repository.access(asked[0])

    def importances_of(self, run_id: str, agents: Sequence[str]) -> dict[str, Importances]:
        """How important the entries of some agents are, and of which steps; each is read."""
        queries = [Query(run_id=run_id, agent_id=agent_id) for agent_id in agents]
        return {agent_of(query): Importances.of_entries(self.find(query)) for query in queries}

    def _each_agent(self, query: Query) -> Iterator[Query]:
        """The query of each agent that it is about, since each has an age of its own."""
        for run_id in self.repository.runs() if query.runs is None else query.runs:
            agents = self.repository.agents(run_id) if query.agents is None else query.agents
            for agent_id in agents:
                yield query.of(run_id, agent_id)

    def nearest(self, query: Query, probe: Probe) -> list[Neighbour]:
        """The entries that answer a query and whose vectors are nearest to a probe.

        Of those that are pinned as many may be given again as the limit bounds.
        """
        found = {
            neighbour.entry.key: neighbour
            for asked in self.visible(query)
            for neighbour in self.repository.nearest(asked, probe)
        }
        return list(found.values())

    def count(self, run_id: str, agent_id: str | None = None) -> int:
        """How many entries an agent has in a run; None for all agents together."""
        agents = self.repository.agents(run_id) if agent_id is None else [agent_id]
        queries = [
            asked
            for name in agents
            for asked in self.visible(Query(run_id=run_id, agent_id=name, order=Order.STEP))
        ]
        return len({entry.key for each in self.repository.find_each(queries) for entry in each})

    def runs(self) -> list[str]:
        """The runs that have entries, whatever their age, sorted."""
        return self.repository.runs()

    def agents(self, run_id: str) -> list[str]:
        """The agents that have entries in a run, whatever their age, sorted."""
        return self.repository.agents(run_id)

    def changes(
        self, run_id: str, agent_id: str, seen: object = None, known: Collection[str] = ()
    ) -> Changes:
        """What has changed of an agent's entries since somebody asked last, whatever their age."""
        return self.repository.changes(run_id, agent_id, seen, known)

    def visible(self, query: Query) -> list[Query]:
        """What to ask the tier for a query: what is not over its age, and what is pinned."""
        if query.pinned:
            return [query]
        fresh = self._narrowed(query)
        return fresh if query.pinned is False else [*fresh, replace(query, pinned=True)]

    @property
    def moves(self) -> MoveNotes:
        """The notes of moves out of here."""
        return self.repository.moves

    def _narrowed(self, query: Query) -> list[Query]:
        """The query of what is not over its age; nothing where all that it asks for is."""
        moment = self.moment(run_of(query), agent_of(query))
        bounds: dict[str, Any] = {}
        for name, first, last in (
            ("times", self.ages.first_time(moment), math.inf),
            ("steps", self.ages.first_step(moment), MAX_STEP),
        ):
            least, greatest = getattr(query, name) or (first, last)
            if greatest < first:
                return []
            if first > (0 if name == "steps" else -math.inf):
                bounds[name] = max(least, first), greatest
        return [replace(query, **bounds)]
