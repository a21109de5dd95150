"""States by step in Redis alone, as the first plan had them: one hash for each agent and step.

``AgentMemory`` keeps what an agent perceived, did and got at a step; storing a step again replaces
it. States live for as long as their ``ttl``, and none is moved anywhere. Memories that last,
similarity and tiers are what ``AgentMemorySystem`` is for. Both may live on one server and in one
folder.
"""

from __future__ import annotations

import itertools
import math
import numbers
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from agent_memory.config import MemoryConfig, RedisMemoryConfig
from agent_memory.errors import ConfigError, EncodingError, InvalidEntry
from agent_memory.interfaces.legacy.store import StepStore
from agent_memory.models.redis import encode_id
from agent_memory.values.checks import checked_importance, checked_limit, checked_step
from agent_memory.values.contents import as_contents, pack, unpack
from agent_memory.values.forking import after_fork
from agent_memory.values.identity import checked_agent_id
from agent_memory.values.quoting import quoted
from agent_memory.values.sealing import sealed, unsealed

_MOST_BYTES: int = MemoryConfig.model_fields["max_entry_bytes"].default


class AgentMemory:
    """What one agent remembers, a state for each step. Threads may share it.

    Bad input raises ``InvalidEntry``. What answers with a bool answers False when the server does
    not, which is logged once an outage; what gives states raises ``StoreUnavailable``.

    Args:
        agent_id: The agent, as text or int.
        config: A configuration, or a dict of its values; None for the defaults.
        redis_client: A client of redis-py or fakeredis, whose server is used in place of the
            configuration's; it stays the caller's to close.

    Raises:
        InvalidEntry: The agent id has no meaning.
        ConfigError: The configuration or the client has none.
        StoreUnavailable: The server does not answer.

    Examples:
        >>> from agent_memory import AgentMemory
        >>> import fakeredis
        >>> ant = AgentMemory("ant-1", redis_client=fakeredis.FakeRedis())
        >>> ant.remember_state(3, {"food": 2}, action="eat")
        True
        >>> ant.retrieve_state(3)["state"]
        {'food': 2}
    """

    def __init__(
        self,
        agent_id: str | int,
        config: RedisMemoryConfig | Mapping[str, Any] | None = None,
        redis_client: Any = None,
        *,
        store: StepStore | None = None,
    ) -> None:
        self.agent_id = checked_agent_id(agent_id)
        self._agent = encode_id(self.agent_id)
        self._owns_store = store is None
        self._store = store or StepStore(_whole(config), redis_client)
        self._stores = itertools.count(1)

    @property
    def config(self) -> RedisMemoryConfig:
        """The configuration."""
        return self._store.config

    # -- remembering --------------------------------------------------------------------------

    def remember_state(
        self,
        step: int,
        state: Mapping[str, Any],
        action: str | None = None,
        reward: float | None = None,
        perception: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        priority: float = 1.0,
        ttl: int | None = None,
    ) -> bool:
        """Remember what was at a step, in place of what was remembered of it before.

        Args:
            step: The simulation step, 0 or more.
            state: A dict, dataclass or pydantic model.
            action: What the agent did.
            reward: What it got for it.
            perception: What it perceived.
            metadata: What else there is to say.
            priority: How much it is worth keeping, 0 to 1.
            ttl: How long it is kept, in seconds; None: as long as the configuration says.

        Returns:
            Whether it was stored and acknowledged.

        Raises:
            InvalidEntry: A value cannot be stored, or has no meaning.
        """
        if action is not None and not isinstance(action, str):
            raise InvalidEntry(f"action: text is needed, not {quoted(action)}")
        further = {
            "action": action,
            "reward": reward,
            "perception": None if perception is None else as_contents(perception),
            "metadata": None if metadata is None else as_contents(metadata),
        }
        record: dict[str, Any] = {
            "timestamp": time.time(),
            "step": checked_step(step),
            "state": as_contents(state),
            "priority": checked_importance(priority),
            **{name: value for name, value in further.items() if value is not None},
        }
        packed = sealed(pack(record, max_bytes=_MOST_BYTES))
        store, guard = self._store, self._store.outages.guard
        kept = self._ttl(ttl)
        count = guard(0, store.put, self._agent, record["step"], record["priority"], packed, kept)
        if not count:
            return False
        interval = self.config.cleanup_interval
        if next(self._stores) % interval == 0 or count >= self.config.memory_limit + interval:
            # The state is stored by now.
            guard(None, store.tidy, self._agent)
        return True

    def _ttl(self, ttl: object) -> int:
        if ttl is None:
            return self.config.ttl
        if isinstance(ttl, bool) or not isinstance(ttl, numbers.Integral):
            raise InvalidEntry(f"ttl: whole seconds are needed, not {quoted(ttl)}")
        try:
            return RedisMemoryConfig(ttl=int(ttl)).ttl
        except ConfigError as error:
            raise InvalidEntry(f"ttl: whole seconds above 0 are needed ({error})") from error

    def close(self) -> None:
        """Close what it has opened: not what a manager or the caller's client serves."""
        if self._owns_store:
            self._store.close()

    def clear_memory(self) -> bool:
        """Forget all states of this agent; False if the server does not answer."""
        return self._store.outages.guard(False, self._store.clear, self._agent)

    # -- retrieving ---------------------------------------------------------------------------

    def retrieve_state(self, step: int) -> dict[str, Any] | None:
        """What is remembered of a step; None if nothing is, any more.

        Returns:
            "timestamp" (seconds since 1970), "step", "state", "priority" and, where they were
            given, "action", "reward", "perception" and "metadata".

        Raises:
            StoreUnavailable: The server does not answer.
            EncodingError: What it holds is damaged.
        """
        name = b"%d" % checked_step(step)
        return next(self._read([name]), None)

    def retrieve_recent_states(self, count: int | None = 10) -> list[dict[str, Any]]:
        """The states of the latest steps, the latest first; see ``retrieve_state``."""
        return list(islice(self._newest_first(), checked_limit(count)))

    def retrieve_states_by_timeframe(self, start_step: int, end_step: int) -> list[dict[str, Any]]:
        """The states of the steps from one to another, both included, in order."""
        first, last = checked_step(start_step), checked_step(end_step)
        return list(self._read(self._store.steps(self._agent, first, last)))

    def search_by_metadata(
        self, key: str, value: Any, limit: int | None = 10
    ) -> list[dict[str, Any]]:
        """The latest states whose metadata has a value under a key, the latest first."""
        _check_key(key)
        found = (e for e in self._newest_first() if _has(e.get("metadata"), key, value))
        return list(islice(found, checked_limit(limit)))

    def search_by_state_value(
        self, key: str, value: Any, limit: int | None = 10
    ) -> list[dict[str, Any]]:
        """The latest states that have a value under a key, the latest first."""
        _check_key(key)
        found = (entry for entry in self._newest_first() if _has(entry["state"], key, value))
        return list(islice(found, checked_limit(limit)))

    def search_by_position(
        self, position: tuple[float, float], radius: float = 1.0, limit: int | None = 10
    ) -> list[dict[str, Any]]:
        """The states within a radius of a position, the nearest first, of those the latest.

        Args:
            position: Where; compared with ``position_x`` and ``position_y`` of states.
            radius: How far away they may be, in the same unit.
            limit: How many at most.
        """
        near = _point(position)
        reach = _number("radius", radius)
        if reach < 0.0:
            raise InvalidEntry(f"radius: {reach} is below 0")
        far = (
            (distance, entry)
            for entry in self._newest_first()
            if (distance := _distance(near, entry["state"])) is not None and distance <= reach
        )
        ranked = sorted(far, key=lambda one: one[0])
        return [entry for _, entry in ranked[: checked_limit(limit)]]

    def retrieve_action_history(self, limit: int | None = 20) -> list[str]:
        """The latest actions, the latest first."""
        actions = (entry["action"] for entry in self._newest_first() if "action" in entry)
        return list(islice(actions, checked_limit(limit)))

    def get_action_frequency(self) -> dict[str, int]:
        """How often each action was done, of the states that are remembered."""
        return dict(Counter(self.retrieve_action_history(None)))

    def _newest_first(self) -> Iterator[dict[str, Any]]:
        return self._read(self._store.newest_first(self._agent))

    def _read(self, steps: list[bytes]) -> Iterator[dict[str, Any]]:
        """The states of steps that are still there, read as they are asked for."""
        for step, packed in self._store.states(self._agent, steps):
            yield self._entry(step, packed)

    def _entry(self, step: bytes, packed: bytes) -> dict[str, Any]:
        try:
            entry = unpack(unsealed(packed))
        except EncodingError as error:
            raise EncodingError(
                f"step {step.decode('ascii', 'replace')} of agent {self.agent_id!r}: {error}"
            ) from error
        return entry


class AgentMemoryManager:
    """The one memory of states of this process, for all agents. Threads may share it.

    Args:
        config: A configuration, or a dict of its values; None for the defaults.

    Raises:
        RuntimeError: There is one already: use ``get_instance``.
        ConfigError: The configuration has no meaning.
        StoreUnavailable: The server does not answer.

    Examples:
        >>> from agent_memory import AgentMemoryManager, RedisMemoryConfig
        >>> manager = AgentMemoryManager.get_instance(RedisMemoryConfig(ttl=600))
        >>> ant = manager.get_memory("ant-1")
        >>> ant.remember_state(3, {"food": 2})
        True
        >>> manager.clear_all_memories()
        True
        >>> manager.close()
    """

    _instance: AgentMemoryManager | None = None
    _lock = threading.RLock()

    def __init__(self, config: RedisMemoryConfig | Mapping[str, Any] | None = None) -> None:
        with AgentMemoryManager._lock:
            if AgentMemoryManager._instance is not None:
                raise RuntimeError("there is one already: use AgentMemoryManager.get_instance()")
            self._store = StepStore(_whole(config))
            self._memories: dict[str, AgentMemory] = {}
            AgentMemoryManager._instance = self

    @classmethod
    def get_instance(
        cls, config: RedisMemoryConfig | Mapping[str, Any] | None = None
    ) -> AgentMemoryManager:
        """The one manager of this process, opened on the first call.

        Args:
            config: Used by the first call; later ones may leave it out or repeat it.

        Raises:
            ConfigError: The manager is open with another configuration.
        """
        with cls._lock:
            if cls._instance is None:
                return cls(config)
            if config is not None and _whole(config) != cls._instance.config:
                raise ConfigError("AgentMemoryManager is open with another configuration")
            return cls._instance

    @property
    def config(self) -> RedisMemoryConfig:
        """The configuration."""
        return self._store.config

    def get_memory(self, agent_id: str | int) -> AgentMemory:
        """An agent's memory, the same on every call."""
        name = checked_agent_id(agent_id)
        with self._lock:
            memory = self._memories.get(name)
            if memory is None:
                memory = self._memories[name] = AgentMemory(name, store=self._store)
            return memory

    def clear_all_memories(self) -> bool:
        """Forget the states of all agents of the namespace, and nothing else.

        Returns:
            False if the server does not answer; what was forgotten by then stays forgotten.
        """
        return self._store.outages.guard(False, self._clear)

    def _clear(self) -> bool:
        return all(self._store.clear(agent) for agent in self._store.agents())

    @classmethod
    def unlock(cls) -> None:
        """Begin with a lock of its own, as in a forked child."""
        cls._lock = threading.RLock()

    def close(self) -> None:
        """Close it; the next ``get_instance`` opens another."""
        with AgentMemoryManager._lock:
            if AgentMemoryManager._instance is self:
                AgentMemoryManager._instance = None
        self._store.close()


# A lock that another thread holds during a fork would stay locked in the child.
after_fork(AgentMemoryManager.unlock)


def _whole(config: RedisMemoryConfig | Mapping[str, Any] | None) -> RedisMemoryConfig:
    if isinstance(config, RedisMemoryConfig):
        return config
    if config is not None and not isinstance(config, Mapping):
        raise ConfigError(f"config: a RedisMemoryConfig or dict is needed, not {type(config)!r}")
    return RedisMemoryConfig(**dict(config or {}))


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise InvalidEntry(f"key: text is needed, not {quoted(key)}")


def _has(values: object, key: str, value: object) -> bool:
    if not isinstance(values, Mapping) or key not in values:
        return False
    try:
        return bool(values[key] == value)
    except (ValueError, TypeError):  # arrays, compared as wholes
        return pack({"": values[key]}) == pack({"": value})


def _point(position: object) -> tuple[float, float]:
    if not isinstance(position, (tuple, list)) or len(position) != 2:
        raise InvalidEntry(f"position: a pair (x, y) is needed, not {quoted(position)}")
    return _number("position", position[0]), _number("position", position[1])


def _number(name: str, value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]  # refused below
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidEntry(f"{name}: a number is needed, not {quoted(value)}") from error
    if math.isnan(number):
        raise InvalidEntry(f"{name}: NaN is no number")
    return number


def _distance(near: tuple[float, float], state: Mapping[str, Any]) -> float | None:
    """How far a state is from a point; None if it has no position."""
    try:
        return math.dist(near, (float(state["position_x"]), float(state["position_y"])))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
