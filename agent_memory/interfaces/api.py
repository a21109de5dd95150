"""The dict-style face of the memory, for simulations that want neither classes nor queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from agent_memory.config import MemoryConfig
from agent_memory.retrieval import attribute, temporal
from agent_memory.retrieval.questions import question
from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.system.reopening import check_reopens
from agent_memory.values.calls import explains_calls
from agent_memory.values.entry import MemoryEntry, MemoryType
from agent_memory.values.query import Hit, Query


@explains_calls()
class AgentMemoryAPI:
    """Stores and retrieves memories of agents as dicts (see ``MemoryEntry.to_dict``).

    Bad input raises; an unreachable store is logged once per outage and answers False, None or
    an empty list, unless ``on_store_error`` is "raise".

    Args:
        config: A configuration for ``AgentMemorySystem.get_instance``.

    Examples:
        >>> from agent_memory import AgentMemoryAPI, MemoryConfig
        >>> api = AgentMemoryAPI(MemoryConfig(engine="fake", ltm_url="sqlite:///:memory:"))
        >>> api.store_agent_state("ant-1", {"food": 1.0}, 1)
        True
        >>> api.retrieve_recent_states("ant-1", count=1)[0]["contents"]
        {'food': 1.0}
    """

    def __init__(self, config: MemoryConfig | Mapping[str, Any] | None = None) -> None:
        self.memory_system = AgentMemorySystem.get_instance(config)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the configuration; the copy uses the one system of its process."""
        check_reopens(self.memory_system.config, "AgentMemoryAPI")
        return (type(self), (self.memory_system.config,))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

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
        system = self.memory_system
        hit = system.outages.guard(None, system.fetch, agent_id, memory_id)
        return None if hit is None else hit.entry.to_dict()

    def retrieve_recent_states(self, agent_id: str | int, count: int = 10) -> list[dict[str, Any]]:
        """Get the agent's latest states from all tiers, newest first.

        Raises:
            InvalidEntry: The agent id or the count has no meaning.
        """
        return self._recalled(temporal.latest(agent_id, count, MemoryType.STATE))

    def retrieve_by_steps(
        self, agent_id: str | int, first: int, last: int, memory_type: str | None = None
    ) -> list[dict[str, Any]]:
        """Get the agent's memories of the steps ``first`` to ``last``, both included, by step.

        Raises:
            InvalidEntry: An argument has no meaning.

        Examples:
            >>> len(api.retrieve_by_steps("ant-1", 0, 5))
            1
        """
        return self._recalled(temporal.of_steps(agent_id, first, last, memory_type))

    def retrieve_by_times(
        self, agent_id: str | int, first: float, last: float, memory_type: str | None = None
    ) -> list[dict[str, Any]]:
        """Get the agent's memories with a timestamp in a range, both ends included, oldest first.

        Raises:
            InvalidEntry: An argument has no meaning.
        """
        return self._recalled(temporal.of_times(agent_id, first, last, memory_type))

    def retrieve_by_type(
        self, agent_id: str | int, memory_type: str, count: int = 10
    ) -> list[dict[str, Any]]:
        """Get the agent's latest memories of a type, newest first.

        Args:
            agent_id: Whose.
            memory_type: "state", "interaction" or "action".
            count: How many at most.

        Raises:
            InvalidEntry: An argument has no meaning.
        """
        return self._recalled(attribute.of_type(agent_id, memory_type, count))

    def retrieve_by_importance(
        self, agent_id: str | int, least: float = 0.5, count: int = 10
    ) -> list[dict[str, Any]]:
        """Get the agent's memories of at least an importance, the most important first.

        Raises:
            InvalidEntry: An argument has no meaning.
        """
        return self._recalled(attribute.of_importance(agent_id, least, count))

    def retrieve_by_attributes(
        self,
        agent_id: str | int,
        attributes: Mapping[str, Any],
        memory_type: str | None = None,
        count: int = 10,
    ) -> list[dict[str, Any]]:
        """Get the agent's memories whose contents meet conditions, newest first.

        Args:
            agent_id: Whose.
            attributes: Values by path, ``{"mood": "calm"}``, or pairs of the least and greatest,
                ``{"home.food": (3, 10)}``; all must hold.
            memory_type: "state", "interaction" or "action"; None for any.
            count: How many at most.

        Raises:
            InvalidEntry: An argument has no meaning.
        """
        return self._recalled(attribute.with_attributes(agent_id, attributes, memory_type, count))

    def retrieve_states_by_similarity(
        self, agent_id: str | int, query_state: object, count: int = 10
    ) -> list[dict[str, Any]]:
        """Get the agent's states that are most similar to a state, from all tiers, best first.

        Args:
            agent_id: Whose states.
            query_state: A dict, dataclass or pydantic model, or a vector of any tier's width.
            count: How many at most.

        Raises:
            InvalidEntry: An argument has no meaning.

        Examples:
            >>> api.retrieve_states_by_similarity("ant-1", {"food": 1.1}, count=1)[0]["step_number"]
            1
        """
        return self._recalled(question(agent_id, MemoryType.STATE, limit=count), near=query_state)

    def set_importance(self, agent_id: str | int, memory_id: str, importance: float) -> bool:
        """Set how important a memory is, 0 to 1; see ``AgentMemorySystem.set_importance``.

        Returns:
            False if a store is unreachable.

        Raises:
            InvalidEntry: An argument has no meaning.
            EntryNotFound: No tier holds the memory.
        """
        return self._changed(self.memory_system.set_importance, agent_id, memory_id, importance)

    def pin(self, agent_id: str | int, memory_id: str) -> bool:
        """Keep a memory in its tier; see ``AgentMemorySystem.pin``, and ``set_importance``."""
        return self._changed(self.memory_system.pin, agent_id, memory_id)

    def unpin(self, agent_id: str | int, memory_id: str) -> bool:
        """Let a pinned memory move again; see ``pin``."""
        return self._changed(self.memory_system.unpin, agent_id, memory_id)

    def clear_agent_memory(self, agent_id: str | int) -> bool:
        """Forget all memories of an agent in this run; False if a store is unreachable.

        Examples:
            >>> api.clear_agent_memory("ant-1")
            True
            >>> api.memory_system.close()
        """
        return self.memory_system.get_memory_agent(agent_id).clear_memory()

    def _changed(self, change: Callable[..., MemoryEntry], *which: Any) -> bool:
        return self.memory_system.outages.guard(None, change, *which) is not None

    def _recalled(self, query: Query, *, near: object = None) -> list[dict[str, Any]]:
        system = self.memory_system
        hits: list[Hit] = system.outages.guard([], system.recall, query, near=near)
        return [hit.entry.to_dict() for hit in hits]
