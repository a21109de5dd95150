"""The latest entries of a run, and those that are stored after them."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.values.entry import EntryKey
from agent_memory.values.query import Hit, Order, Query


class Latest:
    """Gives each entry once, as it is stored.

    Args:
        system: The memory, bound to a run.
        agent: Whose entries; None: those of all agents, also of agents that come later.
    """

    def __init__(self, system: AgentMemorySystem, agent: str | None) -> None:
        self._system = system
        self._agent = agent
        self._last: dict[str, float] = {}
        self._given: dict[str, set[EntryKey]] = {}

    def more(self, limit: int | None = None) -> list[Hit]:
        """The entries that were not given yet, earliest first.

        Args:
            limit: Only so many, the latest; earlier ones are not given later either.
        """
        found = [hit for agent in self._agents() for hit in self._of(agent, limit)]
        found.sort(key=lambda hit: (hit.entry.timestamp, hit.entry.step_number, hit.entry.key))
        return found if limit is None else found[max(0, len(found) - limit) :]

    def _agents(self) -> Iterable[str]:
        if self._agent is not None:
            return (self._agent,)
        run_id = self._system.config.run_id
        tiers = (self._system.stm, self._system.im, self._system.ltm)
        return sorted({agent for tier in tiers for agent in tier.agents(run_id)})

    def _of(self, agent: str, limit: int | None) -> list[Hit]:
        since = self._last.get(agent, -inf)
        first = agent not in self._last
        query = Query(
            agent_id=agent,
            times=None if first else (since, inf),
            order=Order.NEWEST,
            limit=limit or 1 if first and limit is not None else None,
        )
        hits = self._system.recall(query, touch=False)
        if not hits:
            return []
        given = self._given.get(agent, set())
        newest = hits[0].entry.timestamp
        self._last[agent] = newest
        self._given[agent] = {hit.entry.key for hit in hits if hit.entry.timestamp == newest}
        return [hit for hit in hits if hit.entry.key not in given]
