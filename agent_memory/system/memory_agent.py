"""What one agent remembers: the way in, and the agent's view of its tiers."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.levels import CompressionEngine
from agent_memory.config import MemoryConfig
from agent_memory.embeddings.encoder import Encoder
from agent_memory.embeddings.engine import AutoencoderEmbeddingEngine
from agent_memory.errors import InvalidEntry, StoreReadOnly
from agent_memory.system import resources as shared
from agent_memory.system.agent_stores import (
    RedisIMStore,
    RedisSTMStore,
    SQLiteLTMStore,
    whole_config,
)
from agent_memory.system.resources import Resources
from agent_memory.system.updates import Changing
from agent_memory.tiers.budget import MOST_WHILE_STORING, STORES_BETWEEN_LOOKS, Budget
from agent_memory.tiers.consolidation import Consolidation, Moves
from agent_memory.tiers.forgetting import forget_agents
from agent_memory.values.checks import checked_step
from agent_memory.values.contents import as_contents, check_extent
from agent_memory.values.entry import MemoryEntry, MemoryType
from agent_memory.values.identity import checked_agent_id, checked_memory_id, reproducible_id


@dataclass
class RunMemory:
    """What all agents of one run share.

    Attributes:
        resources: The opened stores.
        run_id: The run.
        consolidation: Moves entries down.
        budget: Keeps the Redis server within ``redis_max_bytes``; None without such a bound.
        latest_step: The highest step stored through this object; -1 before the first.
        owner: What must live as long as this does.
    """

    resources: Resources
    run_id: str
    consolidation: Consolidation = field(init=False)
    budget: Budget | None = field(init=False, default=None)
    latest_step: int = -1
    owner: object = None

    def __post_init__(self) -> None:
        """Build what is not given."""
        opened = self.resources
        self.consolidation = Consolidation(
            *opened.tiers, opened.compression, opened.config, opened.clock
        )
        if opened.config.redis_max_bytes is not None:
            self.budget = Budget(
                opened.config.redis_max_bytes,
                opened.used_bytes,
                self.consolidation.demotions,
                opened.clock,
            )

    def stored(self, entry: MemoryEntry) -> None:
        """Note that an entry was stored."""
        self.latest_step = max(self.latest_step, entry.step_number)
        self.resources.steps.stored(self.run_id, entry.timestamp, entry.step_number)
        if self.budget is not None and next(self.resources.stores) % STORES_BETWEEN_LOOKS == 0:
            # As with the limits of an agent: the entry is stored by now.
            self.resources.upkeep(self._keep_budget)

    def keep_budget(self, most: int | None = None) -> Moves:
        """Make room on the server, if there is a bound and it is passed; see ``Budget``."""
        moved = Moves() if self.budget is None else self.budget.keep(most)
        self.consolidation.count(moved)
        return moved

    def _keep_budget(self) -> bool:
        self.keep_budget(MOST_WHILE_STORING)
        return True

    def now(self) -> float:
        """The time in the unit of timestamps: seconds since 1970, or steps."""
        if self.resources.config.clock == "steps":
            return float(max(self.latest_step, 0))
        return self.resources.clock()


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
    """

    def __init__(
        self,
        agent_id: str | int,
        config: MemoryConfig | Mapping[str, Any] | None = None,
        *,
        run: RunMemory | None = None,
    ) -> None:
        self.agent_id = checked_agent_id(agent_id)
        if run is None:
            whole = whole_config(config)
            resources = shared.acquire(whole)
            weakref.finalize(self, shared.release, resources)
            run = RunMemory(resources, whole.run_id)
        self._run = run
        self._inserts = 0

    @property
    def config(self) -> MemoryConfig:
        """The configuration."""
        return self._run.resources.config

    def store_state(self, data: Mapping[str, Any], step_number: int, priority: float = 1.0) -> bool:
        """Remember a state.

        Args:
            data: A dict, dataclass or pydantic model.
            step_number: The simulation step, 0 or more.
            priority: How important it is, 0 to 1.

        Returns:
            Whether it was stored and acknowledged.

        Raises:
            InvalidEntry: The data cannot be stored, or step or priority has no meaning.
        """
        return self._remember(MemoryType.STATE, data, step_number, priority)

    def store_interaction(
        self, data: Mapping[str, Any], step_number: int, priority: float = 1.0
    ) -> bool:
        """Remember an interaction; see ``store_state``."""
        return self._remember(MemoryType.INTERACTION, data, step_number, priority)

    def store_action(
        self, data: Mapping[str, Any], step_number: int, priority: float = 1.0
    ) -> bool:
        """Remember an action; see ``store_state``."""
        return self._remember(MemoryType.ACTION, data, step_number, priority)

    def set_importance(self, memory_id: str, importance: float) -> MemoryEntry:
        """Set how important a memory is; see ``AgentMemorySystem.set_importance``. Raises."""
        return self._changing.set_importance(
            self.agent_id, checked_memory_id(memory_id), importance
        )

    def pin(self, memory_id: str) -> MemoryEntry:
        """Keep a memory in its tier; see ``AgentMemorySystem.pin``. Raises."""
        return self._changing.set_pinned(self.agent_id, checked_memory_id(memory_id), pinned=True)

    def unpin(self, memory_id: str) -> MemoryEntry:
        """Let a pinned memory move again; see ``AgentMemorySystem.pin``. Raises."""
        return self._changing.set_pinned(self.agent_id, checked_memory_id(memory_id), pinned=False)

    def clear_memory(self) -> bool:
        """Forget all that this agent remembers in this run, in every tier.

        Returns:
            False if a store is unreachable; what was removed by then stays removed.
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
        return self._run.resources.compression

    @property
    def embedding_engine(self) -> AutoencoderEmbeddingEngine | None:
        """The trainable encoder, for use on its own; None without neural embeddings."""
        return self._run.resources.embedding_engine

    @property
    def _changing(self) -> Changing:
        return Changing(self._run.resources, self._run.run_id)

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
        self, memory_type: MemoryType, data: object, step_number: object, priority: object
    ) -> bool:
        entry = self._entry(memory_type, data, step_number, priority)
        resources = self._run.resources
        if not resources.outages.guard(False, resources.intake.store, entry):
            return False
        self._run.stored(entry)
        self._inserts += 1
        if self._inserts % resources.config.cleanup_interval == 0:
            # The entry is stored by now: a lower tier that is away must not deny it.
            resources.upkeep(self._consolidate)
        return True

    def _entry(
        self, memory_type: MemoryType, data: object, step_number: object, priority: object
    ) -> MemoryEntry:
        step = checked_step(step_number)
        run = self._run
        if run.resources.config.clock == "steps":
            timestamp = float(step)
            memory_id = self._reproducible_id(memory_type, step)
        else:
            timestamp = run.resources.clock()
            memory_id = run.resources.ids()
        contents = as_contents(data)
        # Before they are encoded to a vector: that too would go through all of what is endless.
        check_extent(contents, run.resources.config.max_entry_bytes)
        current = run.resources.encoders.current
        return MemoryEntry(
            memory_id=memory_id,
            run_id=run.run_id,
            agent_id=self.agent_id,
            step_number=step,
            timestamp=timestamp,
            memory_type=memory_type,
            contents=contents,
            importance_score=priority,  # type: ignore[arg-type]  # checked by the entry
            embedding=_vector(current.encoder, contents),
            encoder_version=current.version,
        )

    def _reproducible_id(self, memory_type: MemoryType, step: int) -> str:
        run = self._run
        ordinal = run.resources.ordinals.next(run.run_id, self.agent_id, step)
        return reproducible_id(run.run_id, self.agent_id, step, memory_type, ordinal)

    def _consolidate(self) -> bool:
        run = self._run
        step = run.resources.steps.of(run.run_id)
        run.consolidation.consolidate(run.run_id, [self.agent_id], run.now(), step)
        return True

    def _clear(self) -> bool:
        resources = self._run.resources
        if resources.read_only:
            raise StoreReadOnly("the memory was opened read-only; nothing was cleared")
        forget_agents(resources.tiers, self._run.run_id, [self.agent_id], resources.clock)
        return True


def _vector(encoder: Encoder, contents: Mapping[str, Any]) -> NDArray[np.float32] | None:
    try:
        return encoder.encode_one(contents)
    except InvalidEntry:
        # What cannot be encoded cannot be stored, and storing it will name the path.
        return None
