"""Short-term memory as questions see it: with what waits in the spool to be stored there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from agent_memory.repositories.access import Access
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.following import Changes, Stored, View
from agent_memory.repositories.importances import Importances
from agent_memory.repositories.moves import MoveNotes
from agent_memory.repositories.nearest import Neighbour, Probe
from agent_memory.repositories.querying import agent_of, run_of
from agent_memory.repositories.reading import ValueOf, values_of
from agent_memory.tiers.expiry import TierReader
from agent_memory.tiers.waiting_entries import AgentWaiting, WaitingEntries
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.ordering import in_order
from agent_memory.values.query import Query


@dataclass(frozen=True)
class ReaderWithWaiting:
    """Short-term memory and what waits for it, each entry once.

    The spool is looked at first, as entries leave it for short-term memory: so that each is seen
    at least once. What a tier has already, or was forgotten, is not shown as waiting.

    Attributes:
        reader: Short-term memory.
        waiting: What waits for it.
        shown: What questions see of a tier, such as without entries over its age.
    """

    reader: TierReader
    waiting: WaitingEntries
    shown: Callable[[MemoryRepository], TierReader]

    @property
    def tier(self) -> Tier:
        """Which tier it is."""
        return self.reader.tier

    def get_many(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are there, in the order of the keys."""
        waiting = [
            entry
            for owner in {key[:2]: None for key in keys}
            if (agent := self.waiting.of(*owner)) is not None
            for entry in agent.due(self.shown(agent.entries).get_many(keys))
        ]
        stored = self.reader.get_many(keys)
        if not waiting:
            return stored
        found = {entry.key: entry for entry in (*waiting, *stored)}
        return [found[key] for key in keys if key in found]

    def find(self, query: Query) -> list[MemoryEntry]:
        """Return the entries that answer a query, in its order. The query names its runs."""
        waiting = [
            entry
            for owner in self._owners(query)
            if (agent := self.waiting.of(*owner)) is not None
            for entry in self._answering(agent, query.of(*owner))
        ]
        stored = self.reader.find(query)
        if not waiting:
            return stored
        return in_order({entry.key: entry for entry in (*waiting, *stored)}.values(), query)

    def find_with(self, query: Query, below: object) -> Sequence[Sequence[MemoryEntry]] | None:
        """What answers a query here and in the tier below, while nothing waits."""
        if any(self.waiting.of(*owner) is not None for owner in self._owners(query)):
            return None
        return self.reader.find_with(query, below)

    def read_as_seen(
        self, run_id: str, agent_id: str, views: Sequence[View], *below: object
    ) -> list[list[MemoryEntry]] | None:
        """Read some entries of an agent, if nothing of the agent's has changed, nor waits."""
        if self.waiting.of(run_id, agent_id) is not None:
            return None
        return self.reader.read_as_seen(run_id, agent_id, views, *below)

    def first_of_each(self, query: Query) -> list[MemoryEntry]:
        """The first entry, in the query's order, of each agent that it is about."""
        first = replace(query, limit=1)
        found = {
            owner: self._answering(agent, first.of(*owner))
            for owner in self._owners(query)
            if (agent := self.waiting.of(*owner)) is not None
        }
        for entry in self.reader.first_of_each(query):
            found.setdefault(entry.key[:2], []).append(entry)
        return [entry for entries in found.values() for entry in in_order(entries, first)]

    def keys_answering(self, query: Query) -> list[EntryKey]:
        """The keys of the entries that answer a query, in its order."""
        if all(self.waiting.of(*owner) is None for owner in self._owners(query)):
            return self.reader.keys_answering(query)
        return [entry.key for entry in self.find(query)]

    def values_at(self, query: Query, path: str) -> list[ValueOf]:
        """The values at a path of the entries that answer a query about one agent of one run."""
        if self.waiting.of(run_of(query), agent_of(query)) is None:
            return self.reader.values_at(query, path)
        return values_of(self.find(query), path)

    def access(self, query: Query) -> Access:
        """How a question is answered by the tier; what waits is in this process's memory."""
        return self.reader.access(query)

    def importances_of(self, run_id: str, agents: Sequence[str]) -> dict[str, Importances]:
        """How important the entries of some agents are, and of which steps."""
        waiting = [agent_id for agent_id in agents if self.waiting.of(run_id, agent_id) is not None]
        there = [agent_id for agent_id in agents if agent_id not in waiting]
        found = self.reader.importances_of(run_id, there)
        for agent_id in waiting:
            entries = self.find(Query(run_id=run_id, agent_id=agent_id))
            found[agent_id] = Importances.of_entries(entries)
        return found

    def _owners(self, query: Query) -> list[tuple[str, str]]:
        """The runs and agents that a query is about, and of which something may wait."""
        if query.is_about_one_agent:
            return [(run_of(query), agent_of(query))]
        return [owner for owner in self.waiting.owners() if query.is_about(*owner)]

    def nearest(self, query: Query, probe: Probe) -> list[Neighbour]:
        """The entries that answer a query and whose vectors are nearest to a probe.

        Of those that wait all are given.
        """
        agent = self.waiting.of(run_of(query), agent_of(query))
        if agent is None:
            return self.reader.nearest(query, probe)
        near = self.shown(agent.entries).nearest(replace(query, limit=None), probe)
        due = {entry.key for entry in agent.due([one.entry for one in near])}
        stored = self.reader.nearest(query, probe)
        found = {one.entry.key: one for one in near if one.entry.key in due}
        return [*(found | {one.entry.key: one for one in stored}).values()]

    def changes(
        self, run_id: str, agent_id: str, seen: object = None, known: Collection[str] = ()
    ) -> Changes:
        """What has changed of an agent's entries since somebody asked last.

        While some wait it is all there are, of which none is known to have been seen.
        """
        agent = self.waiting.of(run_id, agent_id)
        if agent is None:
            return self.reader.changes(run_id, agent_id, seen, known)
        waiting = self._answering(agent, Query(run_id=run_id, agent_id=agent_id))
        stored = self.reader.changes(run_id, agent_id).stored
        there = {one.memory_id for one in stored}
        rest = [Stored.of(entry) for entry in waiting if entry.memory_id not in there]
        return Changes(None, True, [*stored, *rest], [])

    def visible(self, query: Query) -> list[Query]:
        """The questions whose answers together answer a query."""
        return self.reader.visible(query)

    def count(self, run_id: str, agent_id: str | None = None) -> int:
        """How many entries an agent has in a run; None for all agents together."""
        agents = self._waiting_agents(run_id) if agent_id is None else [agent_id]
        waiting = sum(
            len(self._answering(agent, Query(run_id=run_id, agent_id=name)))
            for name in agents
            if (agent := self.waiting.of(run_id, name)) is not None
        )
        return waiting + self.reader.count(run_id, agent_id)

    def agents(self, run_id: str) -> list[str]:
        """The agents that have entries in a run, sorted."""
        waiting = self._waiting_agents(run_id)
        return sorted({*waiting, *self.reader.agents(run_id)})

    def runs(self) -> list[str]:
        """The runs that have entries, sorted."""
        return sorted({*(run_id for run_id, _ in self.waiting.owners()), *self.reader.runs()})

    @property
    def moves(self) -> MoveNotes:
        """The notes of moves out of here."""
        return self.reader.moves

    def _waiting_agents(self, run_id: str) -> list[str]:
        return [agent_id for run, agent_id in self.waiting.owners() if run == run_id]

    def _answering(self, agent: AgentWaiting, query: Query) -> list[MemoryEntry]:
        """What waits, is to be stored, and answers a query."""
        shown = self.shown(agent.entries)
        found = shown.find(query)
        due = agent.due(found)
        if len(due) < len(found) and query.limit is not None:
            # Others take the places of those that are not.
            due = agent.due(shown.find(replace(query, limit=None)))[: query.limit]
        return due


def without_waiting(reader: TierReader) -> TierReader:
    """A tier as questions see it, without what waits for it: what can be changed there."""
    return reader.reader if isinstance(reader, ReaderWithWaiting) else reader
