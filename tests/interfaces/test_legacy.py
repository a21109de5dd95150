"""States by step: the names of the first plan, on every engine."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from agent_memory import (
    AgentMemory,
    AgentMemoryManager,
    AgentMemorySystem,
    ConfigError,
    EncodingError,
    InvalidEntry,
    MemoryConfig,
    RedisMemoryConfig,
    StoreUnavailable,
)
from agent_memory.connections.redis import channel as connections
from agent_memory.testing.samples import HOSTILE_CONTENTS, HOSTILE_NAMES
from agent_memory.values.contents import pack
from tests import engines


@pytest.fixture
def memory(redis_client: redis.Redis) -> AgentMemory:
    return AgentMemory("ant", {"memory_limit": 50, "cleanup_interval": 10}, redis_client)


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[AgentMemoryManager]:
    """The manager over the embedded server, which its defaults choose."""
    monkeypatch.setenv("AGENT_MEMORY_PATH", str(tmp_path / "memory"))
    opened = AgentMemoryManager.get_instance()
    yield opened
    opened.close()


def fill(memory: AgentMemory, count: int) -> None:
    for step in range(count):
        state = {"position_x": step, "position_y": step % 3, "mood": f"m{step % 4}"}
        assert memory.remember_state(
            step, state, action="eat" if step % 3 else "rest", metadata={"day": step // 10}
        )


def steps_of(entries: list[dict[str, Any]]) -> list[int]:
    return [entry["step"] for entry in entries]


def test_a_state_comes_back_with_what_was_given_and_nothing_else(memory: AgentMemory) -> None:
    assert memory.remember_state(
        3, {"at": (1, 2)}, "eat", 1.5, {"seen": ["ant"]}, {"why": None}, priority=0.5
    )
    assert memory.remember_state(4, {"at": (1, 3)})
    entry = memory.retrieve_state(3)
    assert entry is not None
    assert entry.pop("timestamp") > 1.6e9
    assert entry == {
        "step": 3, "state": {"at": (1, 2)}, "priority": 0.5, "action": "eat", "reward": 1.5,
        "perception": {"seen": ["ant"]}, "metadata": {"why": None},
    }  # fmt: skip
    assert (memory.retrieve_state(4) or {}).keys() == {"timestamp", "step", "state", "priority"}
    assert memory.retrieve_state(5) is None


def test_storing_a_step_again_replaces_it(memory: AgentMemory) -> None:
    fill(memory, 3)
    assert memory.remember_state(1, {"new": True})
    assert (memory.retrieve_state(1) or {})["state"] == {"new": True}
    assert "action" not in (memory.retrieve_state(1) or {})
    assert steps_of(memory.retrieve_recent_states()) == [2, 1, 0]


def test_states_are_found_by_time_value_and_place(memory: AgentMemory) -> None:
    fill(memory, 30)
    assert steps_of(memory.retrieve_recent_states(3)) == [29, 28, 27]
    assert steps_of(memory.retrieve_recent_states(None)) == [*range(29, -1, -1)]
    assert steps_of(memory.retrieve_states_by_timeframe(5, 8)) == [5, 6, 7, 8]
    assert memory.retrieve_states_by_timeframe(8, 5) == []
    assert steps_of(memory.search_by_metadata("day", 1, limit=2)) == [19, 18]
    assert steps_of(memory.search_by_state_value("mood", "m2", limit=3)) == [26, 22, 18]
    assert memory.search_by_state_value("absent", 1) == []
    near = memory.search_by_position((10.0, 1.0), radius=1.5)
    assert steps_of(near) == [10, 11, 9]
    assert memory.search_by_position((10, 1), radius=0.0, limit=1)[0]["step"] == 10
    assert memory.retrieve_action_history(4) == ["eat", "eat", "rest", "eat"]
    assert memory.get_action_frequency() == {"eat": 20, "rest": 10}


def test_beyond_the_limit_those_least_worth_keeping_leave(memory: AgentMemory) -> None:
    for step in range(60):
        assert memory.remember_state(step, {}, priority=0.0 if step == 58 else 1.0)
    assert memory.remember_state(0, {}, priority=1.0)
    kept = steps_of(memory.retrieve_recent_states(None))
    assert len(kept) <= 51
    assert 58 not in kept
    assert {59, 57, 0} <= {*kept}


@pytest.mark.parametrize(("decay", "priority"), [(1.0, 1.0), (0.95, 0.0)])
def test_of_what_is_worth_the_same_the_oldest_leave(
    redis_client: redis.Redis, decay: float, priority: float
) -> None:
    config = {"memory_limit": 5, "cleanup_interval": 5, "memory_priority_decay": decay}
    memory = AgentMemory("ant", config, redis_client)
    for step in range(20):
        assert memory.remember_state(step, {}, priority=priority)
    assert steps_of(memory.retrieve_recent_states(None)) == [19, 18, 17, 16, 15]


def test_memories_that_live_shortly_keep_to_the_limit_too(redis_client: redis.Redis) -> None:
    for step in range(60):
        config = {"memory_limit": 5, "cleanup_interval": 10}
        assert AgentMemory("ant", config, redis_client).remember_state(step, {})
    assert redis_client.zcard("agent_memory:{ant}:steps") < 15


def test_a_state_that_is_stored_anew_while_others_leave_stays(
    memory: AgentMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in range(55):
        assert memory.remember_state(step, {}, priority=0.5)
    store = memory._store
    drop = store._drop

    def meanwhile(agent: str, steps: Any) -> None:
        monkeypatch.setattr(store, "_drop", drop)
        assert memory.remember_state(0, {"new": True}, priority=1.0)
        drop(agent, steps)

    monkeypatch.setattr(store, "_drop", meanwhile)
    store.tidy("ant")
    assert (memory.retrieve_state(0) or {})["state"] == {"new": True}
    assert memory.retrieve_state(1) is None


def test_what_has_expired_is_not_there_any_more_nor_in_the_index(
    memory: AgentMemory, redis_client: redis.Redis
) -> None:
    fill(memory, 9)
    assert memory.remember_state(20, {"short": True}, ttl=1)
    assert 0 < redis_client.ttl("agent_memory:{ant}:20") <= 1
    assert 3_500 < redis_client.ttl("agent_memory:{ant}:3") <= 3_600
    redis_client.delete("agent_memory:{ant}:3")  # as its server does in time
    assert 3 not in steps_of(memory.retrieve_recent_states(None))
    assert redis_client.zscore("agent_memory:{ant}:steps", "3") is not None
    for step in range(30, 40):
        assert memory.remember_state(step, {})
    assert redis_client.zscore("agent_memory:{ant}:steps", "3") is None


def test_the_index_lives_as_long_as_the_longest_of_its_states(
    memory: AgentMemory, redis_client: redis.Redis
) -> None:
    for step, ttl in enumerate((50, 5_000, 60)):
        assert memory.remember_state(step, {}, ttl=ttl)
    assert 4_900 < redis_client.ttl("agent_memory:{ant}:steps") <= 5_000
    redis_client.delete(*redis_client.keys("agent_memory:{ant}:*"))  # as its server does in time
    assert memory.retrieve_recent_states() == []
    assert memory.clear_memory()
    assert redis_client.keys("*") == []


def test_clearing_leaves_nothing_of_one_agent_and_all_of_others(
    memory: AgentMemory, redis_client: redis.Redis
) -> None:
    other = AgentMemory("bee", None, redis_client)
    fill(memory, 5)
    fill(other, 5)
    assert memory.clear_memory()
    assert memory.retrieve_recent_states() == []
    assert len(other.retrieve_recent_states()) == 5
    assert other.clear_memory()
    assert redis_client.keys("*") == []


def test_hostile_agents_keep_apart(redis_client: redis.Redis) -> None:
    memories = [AgentMemory(name, None, redis_client) for name in HOSTILE_NAMES[::6]]
    for number, memory in enumerate(memories):
        assert memory.remember_state(7, {"number": number})
    for number, memory in enumerate(memories):
        assert (memory.retrieve_state(7) or {})["state"] == {"number": number}
    assert memories[0].clear_memory()
    assert all(memory.retrieve_state(7) is not None for memory in memories[1:])


@pytest.mark.parametrize("number", range(len(HOSTILE_CONTENTS)))
def test_contents_come_back_with_their_types(memory: AgentMemory, number: int) -> None:
    contents = HOSTILE_CONTENTS[number]
    assert memory.remember_state(1, contents, metadata=contents)
    entry = memory.retrieve_state(1) or {}
    assert pack(entry["state"]) == pack(entry["metadata"]) == pack(contents)


def test_a_dataclass_is_a_state_and_arrays_can_be_looked_for(memory: AgentMemory) -> None:
    @dataclass
    class State:
        view: Any

    assert memory.remember_state(1, State(np.arange(3)))  # type: ignore[arg-type]  # as the API takes
    (found,) = memory.search_by_state_value("view", np.arange(3))
    assert found["step"] == 1
    assert memory.search_by_state_value("view", np.arange(4)) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.remember_state(-1, {}), lambda m: m.remember_state("1", {}),
        lambda m: m.remember_state(1, [1]), lambda m: m.remember_state(1, {"a": object()}),
        lambda m: m.remember_state(1, {}, priority=2), lambda m: m.remember_state(1, {}, ttl=0),
        lambda m: m.remember_state(1, {}, ttl=10**15), lambda m: m.remember_state(1, {}, ttl="x"),
        lambda m: m.remember_state(1, {}, metadata=3), lambda m: m.retrieve_state(None),
        lambda m: m.remember_state(1, {"a": bytes(17 * 2**20)}),
        lambda m: m.retrieve_recent_states(-1), lambda m: m.retrieve_states_by_timeframe("a", 2),
        lambda m: m.search_by_position(3), lambda m: m.search_by_position((1, 2, 3)),
        lambda m: m.search_by_position((1, float("nan"))),
        lambda m: m.search_by_position((1, 2), radius="far"),
        lambda m: m.search_by_metadata("a", 1, limit=1.5),
        lambda m: m.remember_state(1, {}, action=["a"]), lambda m: m.remember_state(1, {}, 5),
        lambda m: m.remember_state(1, {}, perception=5),
        lambda m: m.remember_state(1, {}, ttl=True),
        lambda m: m.search_by_state_value(["x"], 1), lambda m: m.search_by_metadata(3, 1),
        lambda m: m.search_by_position((1, 2), radius=-1),
    ],
)  # fmt: skip
def test_bad_input_is_a_typed_error_and_stores_nothing(memory: AgentMemory, call: Any) -> None:
    with pytest.raises(InvalidEntry):
        call(memory)
    assert memory.retrieve_recent_states() == []


@pytest.mark.parametrize("config", [{"ttl": 0}, {"unknown": 1}, {"port": 0}, 3])
def test_a_configuration_without_meaning_is_refused(config: Any) -> None:
    with pytest.raises(ConfigError):
        AgentMemory("ant", config)
    with pytest.raises(ConfigError, match="redis_client"):
        AgentMemory("ant", None, "redis://localhost")


def test_positions_that_are_none_are_passed_over(memory: AgentMemory) -> None:
    states: list[dict[str, Any]] = [
        {}, {"position_x": "a", "position_y": 1}, {"position_x": float("nan"), "position_y": 1},
        {"position_x": 10**400, "position_y": 1}, {"position_x": 1, "position_y": 1},
    ]  # fmt: skip
    for step, state in enumerate(states):
        assert memory.remember_state(step, state)
    assert steps_of(memory.search_by_position((1, 1), radius=1e308)) == [4]


def test_damage_is_told_by_step_and_agent(memory: AgentMemory, redis_client: redis.Redis) -> None:
    fill(memory, 2)
    redis_client.hset("agent_memory:{ant}:1", "contents", b"\x91broken")
    with pytest.raises(EncodingError, match=r"step 1 of agent 'ant'"):
        memory.retrieve_recent_states()
    assert memory.retrieve_state(0) is not None


def test_a_server_that_is_away_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with engines.StoppableServer(tmp_path) as server:
        config = {"port": server.port, "password": engines.PASSWORD, "host": "127.0.0.1"}
        memory = AgentMemory("ant", config)
        fill(memory, 2)
        server.kill()
        with caplog.at_level(logging.ERROR, "agent_memory"):
            assert not memory.remember_state(2, {})
            assert not memory.clear_memory()
        with pytest.raises(StoreUnavailable):
            memory.retrieve_state(1)
        assert engines.PASSWORD not in caplog.text + repr(memory.config)
        server.start()
        assert steps_of(memory.retrieve_recent_states()) == [1, 0]


def test_any_client_serves_whatever_it_decodes(tcp_port: int) -> None:
    client = redis.Redis(port=tcp_port, password=engines.PASSWORD, decode_responses=True)
    client.flushall()
    memory = AgentMemory(7, redis_client=client)
    assert memory.remember_state(1, {"a": b"\xff"})
    assert (memory.retrieve_state(1) or {})["state"] == {"a": b"\xff"}
    assert client.exists("agent_memory:{7}:1")
    assert isinstance(memory._store.channel, connections.RedisChannel)
    client.close()


class TestManager:
    def test_there_is_one_and_it_gives_each_agent_one_memory(
        self, manager: AgentMemoryManager
    ) -> None:
        assert AgentMemoryManager.get_instance() is manager
        assert AgentMemoryManager.get_instance(RedisMemoryConfig()) is manager
        with pytest.raises(RuntimeError, match="get_instance"):
            AgentMemoryManager()
        with pytest.raises(ConfigError, match="another configuration"):
            AgentMemoryManager.get_instance({"ttl": 5})
        assert manager.get_memory("a") is manager.get_memory("a")
        assert manager.get_memory(7) is manager.get_memory("7")

    def test_clearing_forgets_its_own_states_alone(
        self, manager: AgentMemoryManager, tmp_path: Path
    ) -> None:
        with AgentMemorySystem(MemoryConfig(path=tmp_path / "memory")) as system:
            assert system.store_agent_state("ant", {"kept": True}, 1)
            for name in ("ant", "b|e:{e} *"):
                fill(manager.get_memory(name), 3)
            assert system.check().findings == ()
            assert manager.clear_all_memories()
            assert manager.get_memory("ant").retrieve_recent_states() == []
            assert system.check().findings == ()
            assert system.stm.count("default") == 1

    def test_states_outlive_the_manager(self, manager: AgentMemoryManager) -> None:
        fill(manager.get_memory("ant"), 3)
        manager.close()
        again = AgentMemoryManager.get_instance()
        try:
            assert steps_of(again.get_memory("ant").retrieve_recent_states()) == [2, 1, 0]
        finally:
            again.close()

    def test_threads_share_it(self, manager: AgentMemoryManager) -> None:
        def work(number: int) -> None:
            for step in range(40):
                assert manager.get_memory("ant").remember_state(number * 100 + step, {})

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(manager.get_memory("ant").retrieve_recent_states(None)) == 160
