"""One agent's memory: storing, changing, and the agent's view of each tier."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

from agent_memory.compression.levels import CompressionEngine
from agent_memory.config import MemoryConfig
from agent_memory.embeddings.engine import AutoencoderEmbeddingEngine
from agent_memory.system.agent_stores import RedisIMStore, RedisSTMStore, SQLiteLTMStore
from agent_memory.system.closed import CLOSED
from agent_memory.system.reopening import check_reopens
from agent_memory.system.run_memory import RunMemory
from agent_memory.system.sharing import Holder, acquire
from agent_memory.system.updates import EntryUpdates
from agent_memory.system.whole_config import AnyConfig, whole_config
from agent_memory.tiers.forgetting import forget_agents
from agent_memory.values.calls import explains_calls
from agent_memory.values.entry import MemoryEntry, MemoryType
from agent_memory.values.identity import checked_agent_id, checked_memory_id
from agent_memory.values.quoting import quoted
from agent_memory.values.vector import VectorLike


@explains_calls()
class MemoryAgent:
    """Stores what one agent sees, does and meets.

    Bad input raises ``InvalidEntry``; an unreachable store is logged once per outage and
    answers False, unless ``on_store_error`` is "raise". What gives an entry always raises.

    Args:
        agent_id: The agent, as text or int.
        config: A configuration; None for the defaults.
        run: What the agents of the run share; None: opened by the configuration.

    Raises:
        InvalidEntry: The agent id has no meaning.
        StoreUnavailable: The stores cannot be opened.

    Examples:
        >>> ant = memory.get_memory_agent("ant-1")
        >>> ant.store_action({"action_type": "dig"}, 12, priority=0.5)
        True
    """

    def __init__(
        self,
        agent_id: str | int,
        config: AnyConfig = None,
        *,
        run: RunMemory | None = None,
    ) -> None:
        self.agent_id = checked_agent_id(agent_id)
        if run is None:
            whole = whole_config(config)
            resources = acquire(whole, Holder(self))
            run = RunMemory(resources, whole.run_id)
        self._run = run
        self._inserts = 0

    def __repr__(self) -> str:
        closed = ", closed" if self._run.resources is CLOSED else ""
        run_id = quoted(self._run.run_id)
        return f"{type(self).__name__}({quoted(self.agent_id)}, run={run_id}{closed})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the way to find the agent again; see ``AgentMemorySystem``."""
        system = self._run.owner
        if system is not None:
            return (_agent_of, (system, self.agent_id))
        config = self._run.resources.config.model_copy(update={"run_id": self._run.run_id})
        check_reopens(config, "MemoryAgent")
        return (type(self), (self.agent_id, config))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        """The same object, which counts for its agent's upkeep."""
        return self

    @property
    def config(self) -> MemoryConfig:
        """The configuration."""
        return self._run.resources.config

    def store_state(
        self,
        data: Mapping[str, Any],
        step_number: int,
        priority: float = 1.0,
        *,
        vector: VectorLike | None = None,
    ) -> bool:
        """Remember a state.

        Args:
            data: A dict, dataclass or pydantic model.
            step_number: The simulation step, 0 or more.
            priority: How important it is, 0 to 1.
            vector: A vector of your own model, or a ``Vector`` that names it. None: the embedder of
                the configuration makes one, or else the encoder.

        Returns:
            Whether it was stored and acknowledged.

        Raises:
            InvalidEntry: The data cannot be stored, or step, priority or vector has no meaning.
            EmbedderError: The embedder fails; nothing is stored.

        Examples:
            >>> ant.store_state({"food": 1.0}, 13)
            True
        """
        return self._remember(MemoryType.STATE, data, step_number, priority, vector)

    def store_interaction(
        self,
        data: Mapping[str, Any],
        step_number: int,
        priority: float = 1.0,
        *,
        vector: VectorLike | None = None,
    ) -> bool:
        """Remember an interaction; see ``store_state``.

        Examples:
            >>> ant.store_interaction({"partner": "ant-2"}, 15)
            True
        """
        return self._remember(MemoryType.INTERACTION, data, step_number, priority, vector)

    def store_action(
        self,
        data: Mapping[str, Any],
        step_number: int,
        priority: float = 1.0,
        *,
        vector: VectorLike | None = None,
    ) -> bool:
        """Remember an action; see ``store_state``.

        Examples:
            >>> ant.store_action({"action_type": "rest"}, 14)
            True
        """
        return self._remember(MemoryType.ACTION, data, step_number, priority, vector)

    def set_importance(self, memory_id: str, importance: float) -> MemoryEntry:
        """Set how important a memory is; see ``AgentMemorySystem.set_importance``. Raises."""
        return self._updates.set_importance(self.agent_id, checked_memory_id(memory_id), importance)

    def pin(self, memory_id: str) -> MemoryEntry:
        """Keep a memory in its tier; see ``AgentMemorySystem.pin``. Raises."""
        return self._updates.set_pinned(self.agent_id, checked_memory_id(memory_id), pinned=True)

    def unpin(self, memory_id: str) -> MemoryEntry:
        """Let a pinned memory move again; see ``AgentMemorySystem.pin``. Raises."""
        return self._updates.set_pinned(self.agent_id, checked_memory_id(memory_id), pinned=False)

    def clear_memory(self) -> bool:
        """Forget all memories of this agent in this run, in every tier.

        Returns:
            False if a store is unreachable; what was removed by then stays removed.

        Examples:
            >>> memory.get_memory_agent("ant-9").clear_memory()
            True
        """
        return self._run.resources.outages.guard(False, self._clear)

    @cached_property
    def stm_store(self) -> RedisSTMStore:
        """The agent's short-term memory."""
        return RedisSTMStore(**self._view())

    @cached_property
    def im_store(self) -> RedisIMStore:
        """The agent's intermediate memory."""
        return RedisIMStore(**self._view())

    @cached_property
    def ltm_store(self) -> SQLiteLTMStore:
        """The agent's long-term memory."""
        return SQLiteLTMStore(**self._view())

    @property
    def compression_engine(self) -> CompressionEngine:
        """Brings entries to the level of a tier."""
        return self._run.resources.encoder.compression

    @property
    def embedding_engine(self) -> AutoencoderEmbeddingEngine | None:
        """The trainable encoder, for use on its own; None without neural embeddings."""
        return self._run.resources.encoder.embedding_engine

    def is_due(self) -> bool:
        """Count an entry that was stored, and say whether upkeep of this agent is due."""
        self._inserts += 1
        return self._inserts % self._run.resources.config.cleanup_interval == 0

    @property
    def _updates(self) -> EntryUpdates:
        resources = self._run.resources
        resources.check_writable("nothing was changed")
        return EntryUpdates(self._run.run_id, resources.tiers, resources.readers, resources.intake)

    def _view(self) -> dict[str, Any]:
        resources = self._run.resources
        return {
            "agent_id": self.agent_id,
            "config": resources.config,
            "resources": resources,
            "run_id": self._run.run_id,
            "owner": self,
        }

    def _remember(
        self,
        memory_type: MemoryType,
        data: object,
        step_number: object,
        priority: object,
        vector: object,
    ) -> bool:
        run = self._run
        resources = run.resources
        given = memory_type, data, step_number, priority, vector
        if run.open_batch.batch is not None:
            run.open_batch.batch.gather(self.agent_id, *given)
            return True
        # A vector of the user's own may need long-term memory, to which its model is named once.
        make = resources.new_entries.of_data
        guard = resources.outages.guard
        entry: MemoryEntry | None = guard(None, make, run.run_id, self.agent_id, *given)
        if entry is None:
            return False
        try:
            stored = resources.outages.guard(False, resources.intake.store, entry)
        except BaseException:
            resources.new_entries.not_stored(entry)
            raise
        if not stored:
            resources.new_entries.not_stored(entry)
            return False
        run.stored(entry)
        if self.is_due():
            # The entry is stored by now: a lower tier that is away must not deny it.
            resources.upkeep.attempt_while_storing(self._consolidate)
        return True

    def _consolidate(self) -> None:
        self._run.consolidate(self.agent_id)

    def _clear(self) -> bool:
        resources = self._run.resources
        resources.check_writable("nothing was cleared")
        try:
            forget_agents(resources.tiers, self._run.run_id, [self.agent_id], resources.clock)
        finally:
            self._run.begin_again(latest_step=self._run.latest_step)
        return True


def _agent_of(system: Any, agent_id: str) -> MemoryAgent:
    agent: MemoryAgent = system.get_memory_agent(agent_id)
    return agent
