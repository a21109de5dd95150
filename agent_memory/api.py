"""The dict-style face of the memory, for simulations that want neither classes nor queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent_memory.config import MemoryConfig
from agent_memory.core import AgentMemorySystem
from agent_memory.entry import Hit, MemoryType, Order, Query


class AgentMemoryAPI:
    """Stores and retrieves memories of agents as dicts (see ``MemoryEntry.to_dict``).

    Bad input raises; an unreachable store is logged once per outage and answers False, None or
    an empty list, unless ``on_store_error`` is "raise".

    Args:
        config: A configuration for ``AgentMemorySystem.get_instance``.
    """

    def __init__(self, config: MemoryConfig | Mapping[str, Any] | None = None) -> None:
        self.memory_system = AgentMemorySystem.get_instance(config)

    def store_agent_state(
        self, agent_id: str | int, data: Mapping[str, Any], step_number: int
    ) -> bool:
        """Remember a state of an agent; see ``MemoryAgent.store_state``."""
        return self.memory_system.store_agent_state(agent_id, data, step_number)

    def store_agent_interaction(
        self, agent_id: str | int, data: Mapping[str, Any], step_number: int
    ) -> bool:
        """Remember an interaction of an agent; see ``MemoryAgent.store_state``."""
        return self.memory_system.store_agent_interaction(agent_id, data, step_number)

    def store_agent_action(
        self, agent_id: str | int, data: Mapping[str, Any], step_number: int
    ) -> bool:
        """Remember an action of an agent; see ``MemoryAgent.store_state``."""
        return self.memory_system.store_agent_action(agent_id, data, step_number)

    def retrieve_state_by_id(self, agent_id: str | int, memory_id: str) -> dict[str, Any] | None:
        """Get a memory by id from whichever tier holds it; None if none does.

        Raises:
            InvalidEntry: An id has no meaning.
        """
        hit: Hit | None = self._guard(None, self.memory_system.fetch, agent_id, memory_id)
        return None if hit is None else hit.entry.to_dict()

    def retrieve_recent_states(self, agent_id: str | int, count: int = 10) -> list[dict[str, Any]]:
        """Get the agent's latest states from all tiers, newest first.

        Raises:
            InvalidEntry: The agent id or the count has no meaning.
        """
        query = Query(
            agent_id=agent_id,  # type: ignore[arg-type]  # an int becomes text in the query
            memory_type=MemoryType.STATE,
            order=Order.NEWEST,
            limit=count,
        )
        hits: list[Hit] = self._guard([], self.memory_system.recall, query)
        return [hit.entry.to_dict() for hit in hits]

    def retrieve_states_by_similarity(
        self, agent_id: str | int, query_state: object, count: int = 10
    ) -> list[dict[str, Any]]:
        """Get the agent's states that are most alike to a state, from all tiers, best first.

        Args:
            agent_id: Whose states.
            query_state: A dict, dataclass or pydantic model, or a vector of any tier's width.
            count: How many at most.

        Raises:
            InvalidEntry: An argument has no meaning.
        """
        query = Query(agent_id=agent_id, memory_type=MemoryType.STATE, limit=count)  # type: ignore[arg-type]  # as above
        hits: list[Hit] = self._guard([], self.memory_system.recall, query, near=query_state)
        return [hit.entry.to_dict() for hit in hits]

    def clear_agent_memory(self, agent_id: str | int) -> bool:
        """Forget all that an agent remembers in this run; False if a store is unreachable."""
        return self.memory_system.get_memory_agent(agent_id).clear_memory()

    @property
    def _guard(self) -> Any:
        return self.memory_system.outages.guard
