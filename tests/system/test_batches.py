"""Single stores that a batch gathers are stored together, before anybody asks for them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent_memory import (
    AgentMemorySystem,
    ConfigError,
    InvalidEntry,
    MemoryConfig,
    Order,
    Query,
    Tier,
)
from agent_memory.connections.redis.channel import RedisChannel
from tests import engines

pytestmark = engines.usually_on("embedded")


@pytest.fixture
def system(memory_config: dict[str, Any]) -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(MemoryConfig(**memory_config)) as opened:
        yield opened


def steps_of(system: AgentMemorySystem, agent: str = "ant") -> list[int]:
    hits = system.recall(Query(agent_id=agent, order=Order.STEP), touch=False)
    return [hit.entry.step_number for hit in hits]


def sends(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the server from now on."""
    asked: list[str] = []
    for name in ("run", "call", "call_all", "conversation"):
        work = getattr(RedisChannel, name)

        def noted(*args: Any, _name: str = name, _work: Any = work, **named: Any) -> Any:
            asked.append(_name)
            return _work(*args, **named)

        monkeypatch.setattr(RedisChannel, name, noted)
    return asked


def test_stores_ask_the_server_nothing_until_there_are_enough(
    system: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = sends(monkeypatch)
    with system.batch(max_entries=20, max_seconds=1e9) as batch:
        for step in range(19):
            assert system.store_agent_state(f"ant {step % 3}", {"step": step}, step)
        assert (len(batch), asked) == (19, [])
        assert system.get_memory_agent("ant 1").store_action({"dig": True}, 19)
        assert (len(batch), len(asked) > 0) == (0, True)
    assert steps_of(system, "ant 1") == [1, 4, 7, 10, 13, 16, 19]


def test_whatever_reads_finds_what_is_gathered(system: AgentMemorySystem) -> None:
    with system.batch(max_seconds=1e9) as batch:
        looks: list[Callable[[], int]] = [
            lambda: len(steps_of(system)),
            lambda: system.stm.count("default", "ant"),
            lambda: system.statistics()[Tier.STM].entries,
            lambda: len(system.get_memory_agent("ant").stm_store.get_recent()),
        ]
        for step, look in enumerate(looks):
            system.store_agent_state("ant", {"step": step}, step)
            assert len(batch) == 1
            assert look() == step + 1
            assert len(batch) == 0


def test_what_is_gathered_is_a_snapshot_with_its_own_time_and_vector(
    system: AgentMemorySystem,
) -> None:
    state: dict[str, Any] = {"food": 0, "seen": [1]}
    with system.batch():
        for step in range(3):
            state["food"] = step
            state["seen"].append(step)
            system.store_agent_state("ant", state, step, priority=0.5)
    entries = [hit.entry for hit in system.recall(Query(agent_id="ant", order=Order.STEP))]
    assert [entry.contents for entry in entries] == [
        {"food": step, "seen": [1, *range(step + 1)]} for step in range(3)
    ]
    assert all(entry.embedding is not None for entry in entries)
    assert [entry.importance_score for entry in entries] == [0.5] * 3
    assert [entry.timestamp for entry in entries] == sorted(e.timestamp for e in entries)
    assert [entry.memory_id for entry in entries] == sorted(e.memory_id for e in entries)


def test_what_cannot_be_stored_is_refused_at_once(system: AgentMemorySystem) -> None:
    with system.batch() as batch:
        with pytest.raises(InvalidEntry, match=r"contents\.lock"):
            system.store_agent_state("ant", {"lock": threading.Lock()}, 1)
        with pytest.raises(InvalidEntry, match="priority"):
            system.store_agent_state("ant", {}, 1, priority=2)
        assert len(batch) == 0


def test_an_exception_in_the_block_costs_nothing_of_what_was_gathered(
    system: AgentMemorySystem,
) -> None:
    def fail() -> None:
        with system.batch():
            system.store_agent_state("ant", {}, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert steps_of(system) == [1]
    assert system.store_agent_state("ant", {}, 2)
    assert steps_of(system) == [1, 2]


def test_other_ways_of_storing_keep_the_order(system: AgentMemorySystem) -> None:
    with system.batch(max_seconds=1e9):
        system.store_agent_state("ant", {"first": True}, 1)
        assert system.store_step(1, {"ant": {"first": False}})
    entries = [hit.entry for hit in system.recall(Query(agent_id="ant", order=Order.OLDEST))]
    assert [entry.contents["first"] for entry in entries] == [True, False]


def test_the_first_entry_grows_no_older_than_is_said(system: AgentMemorySystem) -> None:
    with system.batch(max_seconds=0.0) as batch:
        system.store_agent_state("ant", {}, 1)
        assert len(batch) == 0


def test_a_batch_left_open_is_stored_by_close(
    memory_config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with AgentMemorySystem(MemoryConfig(**memory_config)) as system:
        other = AgentMemorySystem(MemoryConfig(**memory_config))
        other.batch().__enter__()
        other.store_agent_state("ant", {}, 1)
        other.close()
        assert "left open: its 1 entries" in caplog.text
        if memory_config.get("engine") != "fake":
            assert steps_of(system) == [1]


def test_one_batch_of_a_run_is_open_at_a_time(system: AgentMemorySystem) -> None:
    with system.batch(), pytest.raises(ConfigError, match="open already"), system.batch():
        pass
    with system.batch(), system.run("other").batch():
        system.store_agent_state("ant", {}, 1)
        system.run("other").store_agent_state("ant", {}, 2)
    assert (steps_of(system), steps_of(system.run("other"))) == ([1], [2])
    with pytest.raises(InvalidEntry, match="max_entries"):
        system.batch(max_entries=-1)


def test_upkeep_counts_what_is_gathered(memory_config: dict[str, Any]) -> None:
    config = MemoryConfig(
        **memory_config, stm_config={"memory_limit": 5}, cleanup_interval=10, run_id="upkeep"
    )
    with AgentMemorySystem(config) as system, system.batch(max_entries=10):
        for step in range(20):
            system.store_agent_state("ant", {"step": step}, step)
        assert system.stm.count("upkeep", "ant") == 5
        assert len(steps_of(system)) == 20


def test_steps_as_times_give_the_same_ids_in_a_batch(memory_config: dict[str, Any]) -> None:
    ids = []
    for run_id in ("single", "gathered"):
        config = MemoryConfig(**memory_config, clock="steps")
        with AgentMemorySystem(config) as system:
            if run_id == "gathered":
                with system.batch():
                    store_a_life(system)
            else:
                store_a_life(system)
            ids.append([hit.entry.memory_id for hit in system.recall(Query(agent_id="ant"))])
            system.clear_all_memories()
    assert ids[0] == ids[1]


def store_a_life(system: AgentMemorySystem) -> None:
    for step in (0, 1, 1, 2):
        system.store_agent_state("ant", {"step": step}, step)
    system.store_agent_action("ant", {"dig": 1}, 2)


def test_a_fork_leaves_what_is_gathered_to_the_parent(system: AgentMemorySystem) -> None:
    with system.batch() as batch:
        system.store_agent_state("ant", {}, 1)
        child = os.fork()
        if child == 0:
            os._exit(len(batch))
        assert os.waitpid(child, 0)[1] == 0
        assert len(batch) == 1
    assert steps_of(system) == [1]


def test_threads_share_a_batch(system: AgentMemorySystem) -> None:
    def store(agent: str) -> None:
        for step in range(50):
            system.store_agent_state(agent, {"step": step}, step)

    with system.batch(max_entries=30):
        threads = [threading.Thread(target=store, args=(f"ant {n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [steps_of(system, f"ant {n}") for n in range(4)] == [[*range(50)]] * 4
