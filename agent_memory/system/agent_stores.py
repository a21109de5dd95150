"""One agent's view of a tier, in dicts: the stores that the dict-style API promises."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, ParamSpec, TypeVar

from agent_memory.config import MemoryConfig, RedisIMConfig, RedisSTMConfig, SQLiteLTMConfig
from agent_memory.errors import ConfigError, InvalidEntry, MemoryStoreError
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.outcomes import Added
from agent_memory.system import resources as shared
from agent_memory.system.resources import Resources
from agent_memory.tiers.expiry import Shown
from agent_memory.values.checks import checked_step
from agent_memory.values.contents import pack
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.identity import checked_agent_id, checked_memory_id
from agent_memory.values.query import Order, Query

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D")

PartConfig = MemoryConfig | RedisSTMConfig | RedisIMConfig | SQLiteLTMConfig


class AgentStore:
    """The entries of one agent in one tier, as dicts.

    An unreachable store answers False, None, 0 or an empty list and is logged once per outage,
    unless ``on_store_error`` is "raise". Reading here counts as no retrieval.

    Args:
        agent_id: The agent.
        config: A whole configuration, or the part of this tier; None for the defaults.
        resources: What is open already; None: the store opens what the configuration says.
        run_id: The run; None: the configuration's.
        owner: What must live as long as this does.

    Raises:
        InvalidEntry: The agent id has no meaning.
        StoreUnavailable: The store cannot be opened.
    """

    tier: ClassVar[Tier]

    def __init__(
        self,
        agent_id: str | int,
        config: PartConfig | None = None,
        *,
        resources: Resources | None = None,
        run_id: str | None = None,
        owner: object = None,
    ) -> None:
        self._owner = owner
        self.agent_id = checked_agent_id(agent_id)
        whole = whole_config(config)
        self.run_id = run_id or whole.run_id
        if resources is None:
            resources = shared.acquire(whole)
            weakref.finalize(self, shared.release, resources)
        self._resources = resources

    def store(self, entry: MemoryEntry | Mapping[str, Any]) -> bool:
        """Store an entry of this agent, brought to the level of this tier.

        Args:
            entry: A ``MemoryEntry``, or the dict of one, in which run, agent, memory id and
                timestamp may be left out.

        Returns:
            Whether it is stored now: False if it was forgotten or the store is unreachable.

        Raises:
            InvalidEntry: It cannot be stored, or belongs to another agent or run.
        """
        mine = self._own(entry)
        outcome = self._guard(Added.FORGOTTEN, self._repository.add, mine)
        return outcome is not Added.FORGOTTEN

    def get(self, memory_id: str) -> dict[str, Any] | None:
        """Get an entry by id."""
        found = self._guard([], self._shown.get_many, [self._key(memory_id)])
        return found[0].to_dict() if found else None

    def get_by_step(self, step: int) -> dict[str, Any] | None:
        """Get the entry of a step; of several the one that was stored last."""
        step = checked_step(step)
        query = self._query(steps=(step, step), order=Order.STEP)
        found = self._guard([], self._shown.find, query)
        if not found:
            return None
        return max(found, key=lambda entry: (entry.timestamp, entry.memory_id)).to_dict()

    def get_recent(self, count: int = 10) -> list[dict[str, Any]]:
        """Get the latest entries, newest first."""
        return self._find(order=Order.NEWEST, limit=count)

    def get_oldest(self, count: int = 10) -> list[dict[str, Any]]:
        """Get the earliest entries, oldest first."""
        return self._find(order=Order.OLDEST, limit=count)

    def count(self) -> int:
        """How many entries the agent has here."""
        return self._guard(0, self._shown.count, self.run_id, self.agent_id)

    def delete(self, memory_id: str) -> bool:
        """Remove an entry; returns whether it was there."""
        return self._guard(False, self._repository.remove, self._key(memory_id))

    def clear(self) -> bool:
        """Remove all entries of the agent here; False if the store is unreachable."""
        return self._guard(-1, self._repository.clear_agents, self.run_id, [self.agent_id]) >= 0

    @property
    def _repository(self) -> MemoryRepository:
        return self._resources.tiers[self.tier]

    @property
    def _shown(self) -> Shown:
        return self._resources.shown[self.tier]

    def _guard(self, default: D, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> D | R:
        return self._resources.outages.guard(default, call, *args, **kwargs)

    def _key(self, memory_id: str) -> EntryKey:
        return EntryKey(self.run_id, self.agent_id, checked_memory_id(memory_id))

    def _query(self, **filters: Any) -> Query:
        return Query(run_id=self.run_id, agent_id=self.agent_id, **filters)

    def _find(self, **filters: Any) -> list[dict[str, Any]]:
        found = self._guard([], self._shown.find, self._query(**filters))
        return [entry.to_dict() for entry in found]

    def _own(self, entry: MemoryEntry | Mapping[str, Any]) -> MemoryEntry:
        if not isinstance(entry, MemoryEntry):
            entry = self._of_dict(entry)
        if (entry.run_id, entry.agent_id) != (self.run_id, self.agent_id):
            raise InvalidEntry(
                f"entry of agent {entry.agent_id!r} in run {entry.run_id!r} given to the store "
                f"of agent {self.agent_id!r} in run {self.run_id!r}"
            )
        pack(entry.contents, max_bytes=self._resources.config.max_entry_bytes)
        return self._resources.compression.compress(entry, self._resources.level(self.tier))

    def _of_dict(self, values: object) -> MemoryEntry:
        if not isinstance(values, Mapping):
            raise InvalidEntry(
                f"entry: a MemoryEntry or dict is needed, not {type(values).__name__}"
            )
        resources = self._resources
        by_steps = resources.config.clock == "steps"
        entry = MemoryEntry.from_dict(
            {
                "memory_id": resources.ids(),
                "timestamp": values.get("step_number", 0) if by_steps else resources.clock(),
                "run_id": self.run_id,
                "agent_id": self.agent_id,
                **values,
            }
        )
        # A dict does not say which version made its vector: the one it was got from.
        return entry if entry.embedding is None else replace(
            entry, encoder_version=resources.encoders.current.version
        )  # fmt: skip


class RedisSTMStore(AgentStore):
    """Short-term memory of one agent."""

    tier = Tier.STM


class RedisIMStore(AgentStore):
    """Intermediate memory of one agent."""

    tier = Tier.IM


class SQLiteLTMStore(AgentStore):
    """Long-term memory of one agent."""

    tier = Tier.LTM

    def store_batch(self, entries: Iterable[MemoryEntry | Mapping[str, Any]]) -> bool:
        """Store entries in one go; returns whether all are stored now.

        Raises:
            InvalidEntry: One cannot be stored, or belongs to another agent; none was.
        """
        mine = [self._own(entry) for entry in entries]
        outcome: list[Added] | None = self._guard(None, self._repository.add_many, mine)
        return outcome is not None and Added.FORGOTTEN not in outcome


def whole_config(config: PartConfig | Mapping[str, Any] | None) -> MemoryConfig:
    """The whole configuration that a part, a dict or None stands for.

    Raises:
        ConfigError: It is no configuration, or one that cannot be used.
    """
    try:
        return _whole(config)
    except MemoryStoreError:
        raise
    except Exception as error:
        raise ConfigError(
            f"config: its own code fails when it is read ({type(error).__name__})"
        ) from error


def _whole(config: PartConfig | Mapping[str, Any] | None) -> MemoryConfig:
    match config:
        case None:
            return MemoryConfig()
        case MemoryConfig():
            return config
        case RedisSTMConfig():
            return MemoryConfig(stm_config=config, im_config=config.connection_params)
        case RedisIMConfig():
            return MemoryConfig(im_config=config, stm_config=config.connection_params)
        case SQLiteLTMConfig():
            return MemoryConfig(ltm_config=config)
        case Mapping():
            if not all(isinstance(name, str) for name in config):
                raise ConfigError("config: names of settings are texts")
            return MemoryConfig(**config)
    raise ConfigError(f"config: a MemoryConfig is needed, not {type(config).__name__}")
