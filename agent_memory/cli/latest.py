"""The latest entries of a run, and those that are stored after them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.values.entry import EntryKey
from agent_memory.values.query import Hit, Order, Query


class Latest:
    """Gives each entry once, as it is stored.

    The time of an agent does not go back, but the clocks of two agents may differ. So what was
    given is known by agent; agents whose counts are as they were are not asked about.

    Args:
        system: The memory, bound to a run.
        agent: Whose entries; None: those of all agents, also of agents that come later.
    """

    def __init__(self, system: AgentMemorySystem, agent: str | None) -> None:
        self._system = system
        self._agent = agent
        self._counts: dict[str, tuple[int, float]] = {}
        self._given: dict[str, _Given] = {}

    def more(self, limit: int | None = None) -> list[Hit]:
        """The entries that were not given yet, earliest first.

        Args:
            limit: Only so many, the latest; earlier ones are not given later either.
        """
        changed = self._changed()
        found = [hit for agent in changed - self._given.keys() for hit in self._first(agent, limit)]
        found += self._after(changed & self._given.keys())
        by_agent: defaultdict[str, list[Hit]] = defaultdict(list)
        for hit in found:
            by_agent[hit.entry.agent_id].append(hit)
        for agent, hits in by_agent.items():
            self._given[agent] = _given_of(hits, self._given.get(agent))
        found.sort(key=lambda hit: (hit.entry.timestamp, hit.entry.step_number, hit.entry.key))
        return found if limit is None else found[max(0, len(found) - limit) :]

    def _changed(self) -> set[str]:
        """The agents that have other entries than when they were asked about last."""
        former = self._counts
        self._counts = {
            agent: (group.total, group.last_timestamp)
            for agent, group in self._system.statistics(by="agent").items()
            if self._agent in (None, agent)
        }
        return {agent for agent, counts in self._counts.items() if former.get(agent) != counts}

    def _first(self, agent: str, limit: int | None) -> list[Hit]:
        # One at least, so that it is known where the agent's later entries begin.
        most = None if limit is None else max(1, limit)
        return self._system.recall(
            Query(agent_id=agent, order=Order.NEWEST, limit=most), touch=False
        )

    def _after(self, agents: set[str]) -> list[Hit]:
        if not agents:
            return []
        since = min(self._given[agent].until for agent in agents)
        hits = self._system.recall(Query(agent_id=agents, times=(since, None)), touch=False)
        return [hit for hit in hits if self._given[hit.entry.agent_id].lacks(hit)]


@dataclass(frozen=True, slots=True)
class _Given:
    """What was given of an agent: all up to a moment, and of that moment the entries named."""

    until: float
    then: frozenset[EntryKey]

    def lacks(self, hit: Hit) -> bool:
        return hit.entry.timestamp >= self.until and hit.entry.key not in self.then


def _given_of(hits: list[Hit], before: _Given | None) -> _Given:
    until = max(hit.entry.timestamp for hit in hits)
    then = frozenset(hit.entry.key for hit in hits if hit.entry.timestamp == until)
    if before is not None and before.until == until:
        then |= before.then
    return _Given(until, then)
