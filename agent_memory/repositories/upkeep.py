"""What upkeep asks of a tier: who has anything to move, and entries whatever else is damaged."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence

from agent_memory.errors import EncodingError
from agent_memory.repositories.counts import AgentCounts
from agent_memory.repositories.moves import Agent
from agent_memory.repositories.reading import EntryReader
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.query import Order, Query

_MOST_LOGGED = 10_000
_logged: set[str] = set()
_logger = logging.getLogger("agent_memory")


class TierUpkeep(ABC):
    """Reads a tier for upkeep. What an engine has no quicker way for, it does entry by entry.

    Args:
        reader: Reads the tier.
    """

    def __init__(self, reader: EntryReader) -> None:
        self._reader = reader

    def get_readable(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are stored here and can be read.

        Upkeep passes over a damaged entry and leaves it where it is. The log names each one.
        """
        try:
            return self._reader.get_many(keys)
        except EncodingError as error:
            if len(keys) == 1:
                log_unreadable(error)
                return []
        return [entry for key in keys for entry in self.get_readable([key])]

    def find_readable(self, queries: Sequence[Query]) -> list[list[MemoryEntry]]:
        """Return what answers each of some queries and can be read; see ``get_readable``.

        One that cannot be read counts towards the limit of a query.
        """
        return self._reader.find_each(queries)

    def agent_counts(
        self, run_id: str, agents: Iterable[str] | None = None, horizon: float | None = None
    ) -> dict[str, AgentCounts]:
        """What each of some agents of a run has here; those that have nothing are left out.

        Args:
            run_id: The run.
            agents: The agents; None for all.
            horizon: A time: agents with later entries than that are noted, and the note is given
                with the numbers; see ``Ahead``. None: nothing is noted, nor given. A tier that
                entries do not leave for their age notes nothing.
        """
        names = self._reader.agents(run_id) if agents is None else agents
        found = self.counts_of([(run_id, name) for name in names], horizon)
        return {name: counts for (_, name), counts in found.items()}

    def counts_of(
        self, agents: Iterable[Agent] | None = None, horizon: float | None = None
    ) -> dict[Agent, AgentCounts]:
        """What each of some agents has here, of any runs; see ``agent_counts``.

        Args:
            agents: Runs, and agents in them; None: all of every run.
            horizon: As for ``agent_counts``.
        """
        del horizon  # there is no note here
        owners = self.all_agents() if agents is None else list(dict.fromkeys(agents))
        queries = [Query(run_id=run_id, agent_id=agent_id) for run_id, agent_id in owners]
        found = zip(owners, self._reader.find_each(queries), strict=True)
        return {owner: AgentCounts.of(entries) for owner, entries in found if entries}

    def all_agents(self) -> list[Agent]:
        """The agents of every run that have entries here, sorted by run and agent."""
        return [
            (run_id, agent_id)
            for run_id in self._reader.runs()
            for agent_id in self._reader.agents(run_id)
        ]

    def entries_by_run(self) -> dict[str, int]:
        """How many entries each run has here; those that have none are left out."""
        totals: Counter[str] = Counter()
        for (run_id, _), counts in self.counts_of().items():
            totals[run_id] += counts.entries
        return dict(totals)

    def keys_of(self, agents: Iterable[Agent]) -> list[EntryKey]:
        """The keys of all entries of some agents of any runs, agent by agent, each by step."""
        queries = [
            Query(run_id=run_id, agent_id=agent_id, order=Order.STEP)
            for run_id, agent_id in dict.fromkeys(agents)
        ]
        return [entry.key for found in self._reader.find_each(queries) for entry in found]

    def importances(self, run_id: str, agent_id: str) -> list[tuple[EntryKey, float]]:
        """How important each entry of an agent is that is not pinned, newest first."""
        return self.importances_of([(run_id, agent_id)])[run_id, agent_id]

    def importances_of(self, agents: Iterable[Agent]) -> dict[Agent, list[tuple[EntryKey, float]]]:
        """How important each entry of some agents is that is not pinned, newest first."""
        owners = list(dict.fromkeys(agents))
        queries = [
            Query(run_id=run_id, agent_id=agent_id, pinned=False, order=Order.NEWEST)
            for run_id, agent_id in owners
        ]
        found = zip(owners, self._reader.find_each(queries), strict=True)
        return {
            owner: [(entry.key, entry.importance_score) for entry in entries]
            for owner, entries in found
        }

    @abstractmethod
    def stored_bytes(self) -> int:
        """How many bytes the engine uses for all entries here, of every run, indexes included.

        An estimate from a sample where the engine keeps no sum.
        """

    def check_storable(self, entries: Sequence[MemoryEntry]) -> None:  # noqa: B027  # an engine may refuse nothing
        """Raise what storing entries here would raise for what is in them; stores nothing.

        Args:
            entries: The entries, at the level of this tier.

        Raises:
            InvalidEntry: One cannot be stored here.
        """

    def declare_attributes(self) -> None:  # noqa: B027  # engines that index none have nothing to do
        """See that queries by the declared attributes are answered from an index.

        What is stored already is indexed by those that are new. Answers are the same before,
        meanwhile and after.
        """


def log_unreadable(error: EncodingError) -> None:
    """Log that an entry cannot be read: once for each, not with every upkeep."""
    message = str(error)
    if message in _logged:
        return
    if len(_logged) >= _MOST_LOGGED:
        _logged.clear()
    _logged.add(message)
    _logger.error("%s; it stays where it is: agent-memory check --repair", message)
