from __future__ import annotations

import gc
import json
import logging
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from agent_memory import (
    AgentMemoryAPI,
    AgentMemorySystem,
    ConfigError,
    InvalidEntry,
    MemoryAgent,
    MemoryConfig,
    MemoryType,
    Order,
    Query,
    SchemaOutOfDate,
    StoreReadOnly,
    StoreUnavailable,
    Tier,
)
from agent_memory.testing import HOSTILE_NAMES, UNSTORABLE_CONTENTS

SMALL = {
    "stm_config": {"memory_limit": 5},
    "im_config": {"memory_limit": 5},
    "cleanup_interval": 1,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "memory"


@pytest.fixture
def system(folder: Path) -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(MemoryConfig(path=folder, engine="embedded", **SMALL)) as opened:
        yield opened


def in_child(work: Callable[[], None]) -> int:
    """Run some work in a forked child; gives its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def steps_of(system: AgentMemorySystem, agent: str, **filters: Any) -> list[int]:
    hits = system.recall(Query(agent_id=agent, order=Order.STEP, **filters), touch=False)
    return [hit.entry.step_number for hit in hits]


# -- the whole way ------------------------------------------------------------------------------


def test_entries_fill_all_three_tiers_and_are_found_once_wherever_they_are(
    system: AgentMemorySystem,
) -> None:
    for step in range(20):
        assert system.store_agent_state("ant", {"step": step, "pos": (step, 1)}, step)
    assert [system.statistics()[tier].entries for tier in Tier] == [5, 5, 10]
    hits = system.recall(Query(agent_id="ant", steps=(5, 17), order=Order.STEP))
    assert [hit.entry.step_number for hit in hits] == list(range(5, 18))
    assert {hit.tier for hit in hits} == set(Tier)
    assert all(
        hit.entry.contents == {"step": hit.entry.step_number, "pos": (hit.entry.step_number, 1)}
        for hit in hits
    )
    assert [hit.fidelity for hit in hits] == [int(hit.tier) for hit in hits]


def test_a_limit_keeps_the_first_in_order_over_all_tiers(system: AgentMemorySystem) -> None:
    for step in range(20):
        system.store_agent_state("ant", {}, step, priority=step / 20)
    newest = system.recall(Query(agent_id="ant", order=Order.NEWEST, limit=7))
    assert [hit.entry.step_number for hit in newest] == list(range(19, 12, -1))
    least = system.recall(Query(agent_id="ant", importance=(0.0, 0.3), order=Order.IMPORTANCE))
    assert [hit.entry.step_number for hit in least] == [6, 5, 4, 3, 2, 1, 0]


def test_a_folder_that_was_closed_opens_again_with_everything_in_it(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded", **SMALL)
    with AgentMemorySystem(config) as system:
        for step in range(20):
            system.store_agent_state("ant", {"step": step}, step)
    with AgentMemorySystem(config) as system:
        assert steps_of(system, "ant") == list(range(20))


def test_states_actions_and_interactions_are_told_apart(system: AgentMemorySystem) -> None:
    system.store_agent_state("ant", {"kind": "s"}, 1)
    system.store_agent_action("ant", {"kind": "a"}, 1)
    system.store_agent_interaction("ant", {"kind": "i"}, 1)
    for memory_type in MemoryType:
        (hit,) = system.recall(Query(agent_id="ant", memory_type=memory_type))
        assert hit.entry.contents == {"kind": memory_type[0]}


def test_an_int_id_is_the_agent_of_its_decimal_text(system: AgentMemorySystem) -> None:
    system.store_agent_state(7, {}, 0)
    assert steps_of(system, "7") == [0]
    assert system.get_memory_agent(7) is system.get_memory_agent("7")


@pytest.mark.parametrize("level", ["stm", "im"])
def test_entries_of_agents_that_are_gone_move_when_the_memory_is_opened(
    folder: Path, level: str
) -> None:
    with AgentMemorySystem(MemoryConfig(path=folder, engine="embedded")) as system:
        for step in range(4):
            system.store_agent_state("dead", {}, step)
    config = {f"{level}_config": {"max_age_steps": 1}}
    with AgentMemorySystem(MemoryConfig(path=folder, engine="embedded", **config)) as system:
        tiers = system.stm if level == "stm" else system.im
        assert tiers.count("default", "dead") == (2 if level == "stm" else 0)
        assert steps_of(system, "dead") == [0, 1, 2, 3]


def test_what_is_over_its_limit_moves_when_the_memory_is_closed(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded", stm_config={"memory_limit": 5})
    with AgentMemorySystem(config) as system:
        for step in range(9):
            system.store_agent_state("ant", {}, step)
        assert system.stm.count("default") == 9
    with AgentMemorySystem.open(folder, read_only=True) as system:
        assert (system.stm.count("default"), system.im.count("default")) == (5, 4)


# -- retrievals ---------------------------------------------------------------------------------


def test_each_retrieval_is_counted_wherever_the_entry_is_by_then(
    system: AgentMemorySystem,
) -> None:
    system.store_agent_state("ant", {}, 0)
    for _ in range(3):
        system.recall(Query(agent_id="ant", steps=(0, 0)))
    for step in range(1, 15):
        system.store_agent_state("ant", {}, step)
    system.maintain()
    (hit,) = system.recall(Query(agent_id="ant", steps=(0, 0)), touch=False)
    assert hit.tier is Tier.LTM
    assert hit.entry.retrieval_count == 3
    assert hit.entry.last_access_time > hit.entry.creation_time


def test_a_read_without_touch_leaves_no_trace(system: AgentMemorySystem) -> None:
    system.store_agent_state("ant", {}, 0)
    before = system.recall(Query(agent_id="ant"), touch=False)
    system.recall(Query(agent_id="ant"), touch=False)
    system.maintain()
    assert system.recall(Query(agent_id="ant"), touch=False) == before


def test_retrievals_are_counted_on_close(folder: Path) -> None:
    with AgentMemorySystem(MemoryConfig(path=folder, engine="embedded")) as system:
        system.store_agent_state("ant", {}, 0)
        system.recall(Query(agent_id="ant"))
    with AgentMemorySystem.open(folder, read_only=True) as system:
        assert system.recall(Query(agent_id="ant"))[0].entry.retrieval_count == 1


# -- runs ---------------------------------------------------------------------------------------


def test_runs_keep_to_themselves(system: AgentMemorySystem) -> None:
    first, second = system.run("first"), system.run("second")
    first.store_agent_state("ant", {}, 1)
    second.store_agent_state("ant", {}, 2)
    assert (steps_of(first, "ant"), steps_of(second, "ant")) == ([1], [2])
    assert system.run("first") is first
    assert system.run("default") is system


def test_clearing_a_run_reaches_agents_never_met_and_no_other_run(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded", **SMALL)
    with AgentMemorySystem(config) as system:
        for agent in ("ant", "bee"):
            for step in range(15):
                system.store_agent_state(agent, {}, step)
                system.run("other").store_agent_state(agent, {}, step)
    with AgentMemorySystem(config) as system:
        assert system.agents == {}
        assert system.clear_all_memories() is True
        assert [held.entries for held in system.statistics().values()] == [0, 0, 0]
        assert len(steps_of(system.run("other"), "ant")) == 15


def test_clearing_one_agent_leaves_the_others(system: AgentMemorySystem) -> None:
    for step in range(15):
        system.store_agent_state("ant", {}, step)
        system.store_agent_state("bee", {}, step)
    assert system.get_memory_agent("ant").clear_memory() is True
    assert (steps_of(system, "ant"), len(steps_of(system, "bee"))) == ([], 15)
    system.store_agent_state("ant", {}, 99)
    assert steps_of(system, "ant") == [99]


# -- reproducible runs --------------------------------------------------------------------------


def test_the_same_steps_leave_the_same_rows(tmp_path: Path) -> None:
    def rows(folder: Path) -> list[Any]:
        config = MemoryConfig(path=folder, engine="embedded", clock="steps", **SMALL)
        with AgentMemorySystem(config) as system:
            for step in range(20):
                system.store_agent_state("ant", {"step": step}, step)
                system.store_agent_state("ant", {"again": step}, step)
            return [
                (hit.tier, hit.entry)
                for hit in system.recall(Query(agent_id="ant", order=Order.STEP), touch=False)
            ]

    first, second = rows(tmp_path / "a"), rows(tmp_path / "b")
    assert first == second
    assert len(first) == 40
    assert [entry.timestamp for _, entry in first] == [float(step // 2) for step in range(40)]
    assert [next(iter(entry.contents)) for _, entry in first[:4]] == ["step", "again"] * 2


def test_going_back_some_steps_adds_to_them(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded", clock="steps")
    with AgentMemorySystem(config) as system:
        for place, step in enumerate((1, 2, 1, 2, 0)):
            system.store_agent_state("ant", {"place": place}, step)
        assert steps_of(system, "ant") == [0, 1, 1, 2, 2]


def test_a_run_that_was_cleared_can_be_run_again(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded", clock="steps", **SMALL)
    with AgentMemorySystem(config) as system:
        for step in range(20):
            system.store_agent_state("ant", {"step": step}, step)
        assert system.clear_all_memories()
    with AgentMemorySystem(config) as system:
        for step in range(30):
            assert system.store_agent_state("ant", {"step": step}, step)
        system.maintain()
        assert steps_of(system, "ant") == list(range(30))
        assert [held.entries for held in system.statistics().values()] == [5, 5, 20]


def test_what_was_stored_last_in_a_step_comes_last_whatever_its_type(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded", clock="steps")
    with AgentMemorySystem(config) as system:
        for agent in range(20):
            system.store_agent_state(agent, {"was": "first"}, 1)
            system.store_agent_action(agent, {"was": "last"}, 1)
            store = system.get_memory_agent(agent).stm_store
            assert store.get_recent(1)[0]["contents"] == {"was": "last"}
            latest = store.get_by_step(1)
            assert latest is not None
            assert latest["contents"] == {"was": "last"}


def test_two_ways_to_one_agent_do_not_swallow_each_others_entries(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded", clock="steps")
    first, second = MemoryAgent("ant", config), MemoryAgent("ant", config)
    assert first.store_state({"by": 1}, 1)
    assert second.store_state({"by": 2}, 1)
    assert first.stm_store.count() == 2


def test_threads_with_reproducible_ids_lose_nothing(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded", clock="steps")
    with AgentMemorySystem(config) as system:
        agent = system.get_memory_agent("ant")

        def store(by: int) -> None:
            for place in range(200):
                agent.store_state({"by": by, "place": place}, place // 20)

        threads = [threading.Thread(target=store, args=(by,)) for by in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert system.stm.count("default", "ant") == 800


def test_a_step_that_is_run_again_is_stored_once(folder: Path) -> None:
    for _ in range(2):
        config = MemoryConfig(path=folder, engine="embedded", clock="steps")
        with AgentMemorySystem(config) as system:
            for step in range(3):
                system.store_agent_state("ant", {"step": step}, step)
            assert steps_of(system, "ant") == [0, 1, 2]


# -- one system, one process, several processes --------------------------------------------------


def test_get_instance_without_configuration_uses_the_embedded_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("AGENT_MEMORY_PATH", "AGENT_MEMORY_REDIS_URL", "AGENT_MEMORY_LTM_URL"):
        monkeypatch.delenv(name, raising=False)
    with AgentMemorySystem.get_instance() as system:
        system.store_agent_state("ant", {}, 0)
        assert AgentMemorySystem.get_instance() is system
    assert (tmp_path / "agent_memory_data" / "agent_memory.db").is_file()


def test_a_second_instance_with_another_configuration_is_refused(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded")
    with AgentMemorySystem.get_instance(config) as system:
        assert AgentMemorySystem.get_instance(MemoryConfig(**dict(config))) is system
        with pytest.raises(ConfigError, match="open with another configuration"):
            AgentMemorySystem.get_instance({"path": folder, "cleanup_interval": 3})
        assert AgentMemorySystem.get_instance() is system
    with AgentMemorySystem.get_instance({"path": folder, "engine": "embedded"}) as again:
        assert again is not system


def test_threads_get_one_instance(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded")
    found: list[AgentMemorySystem] = []
    threads = [
        threading.Thread(target=lambda: found.append(AgentMemorySystem.get_instance(config)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(system) for system in found}) == 1
    found[0].close()


def test_threads_store_side_by_side_and_lose_nothing(system: AgentMemorySystem) -> None:
    def store(agent: str) -> None:
        for step in range(60):
            assert system.store_agent_state(agent, {"step": step}, step)

    threads = [threading.Thread(target=store, args=(name,)) for name in ("ant", "ant", "bee")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert steps_of(system, "ant") == sorted([*range(60), *range(60)])
    assert steps_of(system, "bee") == list(range(60))


def test_both_sides_of_a_fork_go_on(system: AgentMemorySystem) -> None:
    for step in range(12):
        system.store_agent_state("ant", {}, step)

    def go_on() -> None:
        for step in range(12, 24):
            assert system.store_agent_state("ant", {}, step)
        assert len(steps_of(system, "ant")) == 24

    assert in_child(go_on) == 0
    for step in range(24, 36):
        assert system.store_agent_state("ant", {}, step)
    assert steps_of(system, "ant") == list(range(36))


def test_a_fork_while_threads_store_does_not_lock_the_child(system: AgentMemorySystem) -> None:
    ended = threading.Event()

    def store() -> None:
        step = 0
        while not ended.is_set():
            system.store_agent_state("ant", {}, step)
            system.recall(Query(agent_id="ant", limit=3))
            step += 1

    thread = threading.Thread(target=store)
    thread.start()
    try:
        for number in range(5):
            assert in_child(lambda n=number: _store_and_find(system, f"bee{n}")) == 0  # type: ignore[misc]
    finally:
        ended.set()
        thread.join()


def _store_and_find(system: AgentMemorySystem, agent: str) -> None:
    for step in range(12):
        assert system.store_agent_state(agent, {}, step)
    assert len(steps_of(system, agent)) == 12


def test_a_fork_while_a_thread_takes_a_connection_does_not_lock_the_child(
    system: AgentMemorySystem,
) -> None:
    pool = system._resources.connections.stm.client.connection_pool
    taking, done = threading.Event(), threading.Event()

    def take() -> None:
        with pool._lock:
            taking.set()
            done.wait(20)

    thread = threading.Thread(target=take)
    thread.start()
    taking.wait(20)
    try:
        assert in_child(lambda: _within_seconds(20, lambda: _store_and_find(system, "bee"))) == 0
    finally:
        done.set()
        thread.join()


def _within_seconds(seconds: int, work: Callable[[], None]) -> None:
    signal.alarm(seconds)
    work()


def test_a_damaged_entry_keeps_neither_the_memory_from_opening_nor_others_from_moving(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = MemoryConfig(path=folder, engine="embedded", **SMALL)
    large = MemoryConfig(path=folder, engine="embedded")
    with AgentMemorySystem(large) as system:
        for step in range(9):
            for agent in ("ant", "bee"):
                system.store_agent_state(agent, {}, step)
        channel = system._resources.connections.stm
        (key,) = list(channel.client.scan_iter("*ant}:steps"))
        (name,) = channel.client.zrange(key, 0, 0)
        channel.client.hset(key.replace(b"steps", name), "contents", b"damaged")
    with AgentMemorySystem(config) as system:
        assert [tier.count("default", "bee") for tier in (system.stm, system.im)] == [5, 4]
        # Its own agent's entries move past it, and it stays where it is.
        assert [tier.count("default", "ant") for tier in (system.stm, system.im)] == [6, 3]
        assert name.decode() in {key.memory_id for key in system.stm.keys("default", "ant")}
        assert system.store_agent_state("ant", {}, 9)
    assert any(name.decode() in record.getMessage() for record in caplog.records)


def test_what_is_stored_moves_even_when_the_limit_of_bytes_was_lowered(folder: Path) -> None:
    with AgentMemorySystem(MemoryConfig(path=folder, engine="embedded")) as system:
        for step in range(12):
            system.store_agent_state("ant", {"blob": os.urandom(2_000)}, step)
    config = MemoryConfig(path=folder, engine="embedded", max_entry_bytes=1_000, **SMALL)
    with AgentMemorySystem(config) as system:
        assert [held.entries for held in system.statistics().values()] == [5, 5, 2]
        assert steps_of(system, "ant") == list(range(12))


def test_what_was_given_out_lives_as_long_as_it_is_held(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded")
    agent = AgentMemorySystem(config).get_memory_agent("ant")
    store = MemoryAgent("bee", config).stm_store
    gc.collect()
    assert agent.store_state({}, 0)
    assert store.store({"step_number": 0, "memory_type": "state", "contents": {}})


def test_a_forked_child_does_not_write_the_retrievals_of_its_parent(
    system: AgentMemorySystem,
) -> None:
    system.store_agent_state("ant", {}, 0)
    system.recall(Query(agent_id="ant"))

    def maintain() -> None:
        system.maintain()

    assert in_child(maintain) == 0
    system.maintain()
    (hit,) = system.recall(Query(agent_id="ant"), touch=False)
    assert hit.entry.retrieval_count == 1


def test_all_agents_share_one_set_of_connections(system: AgentMemorySystem) -> None:
    for agent in range(50):
        system.store_agent_state(agent, {}, 0)
        system.get_memory_agent(agent).stm_store.count()
    connected = system._resources.connections.stm.call("CLIENT", "LIST")
    assert len(connected.splitlines()) <= 3


def test_opening_configures_no_logging_but_the_level_of_its_own(folder: Path) -> None:
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    config = MemoryConfig(path=folder, engine="embedded", logging_level="warning")
    with AgentMemorySystem(config):
        assert logging.getLogger("agent_memory").level == logging.WARNING
        assert logging.getLogger("agent_memory").handlers == []
    assert (logging.getLogger().handlers, logging.getLogger().level) == (handlers, level)


def test_importing_the_package_loads_neither_torch_nor_a_driver() -> None:
    program = (
        "import agent_memory, json, sys;"
        "print(json.dumps([n for n in ('torch','redis','sqlalchemy','alembic','numpy','pydantic')"
        " if n in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert json.loads(done.stdout) == []


def test_opening_a_store_with_a_current_schema_loads_no_alembic(folder: Path) -> None:
    AgentMemorySystem(MemoryConfig(path=folder, engine="embedded")).close()
    program = (
        "import sys; from agent_memory import AgentMemorySystem, MemoryConfig\n"
        "with AgentMemorySystem(MemoryConfig(path=sys.argv[1], engine='embedded')) as system:\n"
        "    system.store_agent_state('ant', {}, 0)\n"
        "    assert not {'alembic', 'torch'} & set(sys.modules), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True)


def test_every_public_name_can_be_had_from_the_root() -> None:
    import agent_memory  # noqa: PLC0415  # the package itself is what is tested

    for name in agent_memory.__all__:
        assert getattr(agent_memory, name) is not None
    assert set(dir(agent_memory)) >= set(agent_memory.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = agent_memory.Nonsense


def test_a_name_that_needs_torch_says_which_extra_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import agent_memory  # noqa: PLC0415  # the package itself is what is tested

    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "agent_memory.embeddings.autoencoder", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'agent-memory\[train\]'"):
        _ = agent_memory.StateAutoencoder


# -- read-only ----------------------------------------------------------------------------------


def test_a_reader_beside_a_live_run_sees_all_and_changes_nothing(
    system: AgentMemorySystem, folder: Path
) -> None:
    for step in range(20):
        system.store_agent_state("ant", {}, step)
    with AgentMemorySystem.open(folder, read_only=True) as reader:
        assert steps_of(reader, "ant") == list(range(20))
        reader.recall(Query(agent_id="ant"))
        for write in (
            lambda: reader.store_agent_state("ant", {}, 21),
            reader.maintain,
            reader.clear_all_memories,
            reader.get_memory_agent("ant").clear_memory,
            lambda: reader.ltm.clear_run("default"),
        ):
            with pytest.raises(StoreReadOnly, match="read-only"):
                write()
        engine = reader._resources.connections.sql_engine
        with pytest.raises(OperationalError, match="readonly"), engine.begin() as raw:
            raw.execute(text("DELETE FROM agent_ltm_entries"))
        system.store_agent_state("ant", {}, 20)
        assert steps_of(reader, "ant") == list(range(21))
    assert all(hit.entry.retrieval_count == 0 for hit in system.recall(Query(agent_id="ant")))


def test_a_folder_is_opened_as_it_was_made(folder: Path, tmp_path: Path) -> None:
    made = {
        "path": folder,
        "engine": "embedded",
        "ltm_config": {"db_path": str(tmp_path / "elsewhere.db"), "table_prefix": "zoo"},
        "im_config": {"namespace": "zoo.im", "memory_limit": 5},
        "stm_config": {"namespace": "zoo.stm", "memory_limit": 5},
    }
    with AgentMemorySystem(made) as system:
        for step in range(20):
            system.store_agent_state("ant", {}, step)
    with AgentMemorySystem.open(folder, read_only=True) as system:
        assert [held.entries for held in system.statistics().values()] == [5, 5, 10]
    for part in ("ltm_config", "im_config", "stm_config"):
        other = {name: value for name, value in made.items() if name != part}
        with pytest.raises(ConfigError, match="was made with"):
            AgentMemorySystem(other)
    with AgentMemorySystem(made) as system:
        assert steps_of(system, "ant") == list(range(20))


def test_a_folder_that_was_moved_opens_all_the_same(folder: Path, tmp_path: Path) -> None:
    with AgentMemorySystem(MemoryConfig(path=folder, engine="embedded", **SMALL)) as system:
        for step in range(20):
            system.store_agent_state("ant", {}, step)
    folder.rename(tmp_path / "moved")
    with AgentMemorySystem.open(tmp_path / "moved") as system:
        assert steps_of(system, "ant") == list(range(20))


def test_reading_a_folder_without_a_memory_is_refused_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="no memory"):
        AgentMemorySystem.open(tmp_path / "none", read_only=True)
    assert not (tmp_path / "none").exists()


# -- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "data", "step", "priority", "complaint"),
    [
        ("", {}, 0, 1.0, "agent_id: must not be empty"),
        (None, {}, 0, 1.0, "agent_id"),
        (True, {}, 0, 1.0, "agent_id"),
        ("a" * 2_000, {}, 0, 1.0, "agent_id"),
        ("\ud800", {}, 0, 1.0, "agent_id"),
        ("ant", {}, -1, 1.0, "step_number"),
        ("ant", {}, 1.5, 1.0, "step_number"),
        ("ant", {}, "1", 1.0, "step_number"),
        ("ant", {}, None, 1.0, "step_number"),
        ("ant", {}, 2**60, 1.0, "step_number"),
        ("ant", {}, 0, -0.1, "importance_score"),
        ("ant", {}, 0, 1.1, "importance_score"),
        ("ant", {}, 0, float("nan"), "importance_score"),
        ("ant", {}, 0, "high", "importance_score"),
        ("ant", [1], 0, 1.0, "contents"),
        ("ant", None, 0, 1.0, "contents"),
        ("ant", {"a": {"b": [object()]}}, 0, 1.0, r"contents\.a\.b\[0\]"),
    ],
)
def test_bad_input_is_refused_by_name_and_stores_nothing(
    system: AgentMemorySystem, agent: Any, data: Any, step: Any, priority: Any, complaint: str
) -> None:
    system.store_agent_state("ant", {}, 0)
    for store in (
        system.store_agent_state,
        system.store_agent_action,
        system.store_agent_interaction,
    ):
        with pytest.raises(InvalidEntry, match=complaint):
            store(agent, data, step, priority)
    assert system.stm.count("default") == 1


@pytest.mark.parametrize(("contents", "path"), UNSTORABLE_CONTENTS)
def test_contents_that_cannot_be_stored_harm_nothing(
    system: AgentMemorySystem, contents: Any, path: str
) -> None:
    system.store_agent_state("ant", {"kept": 1}, 0)
    with pytest.raises(InvalidEntry, match=re.escape(path)):
        system.store_agent_state("ant", contents, 1)
    assert steps_of(system, "ant") == [0]


def test_contents_beyond_the_limit_are_refused(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded", max_entry_bytes=1_000)
    with AgentMemorySystem(config) as system:
        assert system.store_agent_state("ant", {"small": "x" * 900}, 0)
        with pytest.raises(InvalidEntry, match="max_entry_bytes=1000"):
            system.store_agent_state("ant", {"large": "x" * 1_100}, 1)
        assert steps_of(system, "ant") == [0]


def test_hostile_ids_keep_to_themselves_in_every_tier(folder: Path) -> None:
    config = {
        "path": folder,
        "engine": "embedded",
        "stm_config": {"memory_limit": 1},
        "im_config": {"memory_limit": 1},
        # Once at the end, over all agents together: a commit for each would take its time.
        "cleanup_interval": 1_000,
    }
    with AgentMemorySystem(config) as system:
        for place, name in enumerate(HOSTILE_NAMES):
            for step in range(3):
                system.store_agent_state(name, {"of": place}, step)
        system.maintain()
        assert [held.entries for held in system.statistics().values()] == [len(HOSTILE_NAMES)] * 3
        for place, name in enumerate(HOSTILE_NAMES):
            hits = system.recall(Query(agent_id=name), touch=False)
            assert [hit.entry.contents for hit in hits] == [{"of": place}] * 3
            assert {hit.entry.agent_id for hit in hits} == {name}
        for tier in (system.stm, system.im, system.ltm):
            assert tier.agents("default") == sorted(HOSTILE_NAMES)
        assert system.get_memory_agent("*").clear_memory()
        counts = [held.entries for held in system.statistics().values()]
        assert counts == [len(HOSTILE_NAMES) - 1] * 3


def test_a_folder_that_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable, match="file"):
        AgentMemorySystem({"path": tmp_path / "file", "engine": "embedded"})
    with pytest.raises(StoreUnavailable, match="file"):
        AgentMemorySystem({"path": tmp_path / "file" / "below", "engine": "embedded"})
    assert (tmp_path / "file").read_text() == "in the way"


def test_servers_that_differ_for_the_two_redis_tiers_are_refused() -> None:
    with pytest.raises(ConfigError, match="different servers"):
        MemoryConfig(stm_config={"host": "one"}, im_config={"host": "two"})


def test_a_schema_newer_than_the_code_is_refused_and_not_touched(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded")
    with AgentMemorySystem(config) as system:
        system.store_agent_state("ant", {}, 0)
        with system._resources.connections.sql_engine.begin() as raw:
            raw.execute(text("UPDATE agent_ltm_alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaOutOfDate, match="9999"):
        AgentMemorySystem(config)
    with pytest.raises(SchemaOutOfDate, match="9999"):
        AgentMemorySystem.open(folder, read_only=True)


# -- outages ------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_unreachable_server_is_said_plainly_and_without_its_password(tmp_path: Path) -> None:
    url = f"redis://user:sesame@127.0.0.1:{free_port()}/0"
    with pytest.raises(StoreUnavailable, match="does not answer") as caught:
        AgentMemorySystem({"redis_url": url, "path": tmp_path})
    assert "127.0.0.1" in str(caught.value)
    assert "sesame" not in str(caught.value)


def stop_server(system: AgentMemorySystem) -> None:
    """Cut the system off from its server for good, as a network would."""
    channel = system._resources.connections.stm
    channel._give_back()
    channel.client.connection_pool.connection_kwargs["port"] = free_port()
    channel.client.connection_pool.reset()


@pytest.fixture
def remote(tcp_port: int, tmp_path: Path) -> dict[str, Any]:
    from tests.engines import PASSWORD  # noqa: PLC0415  # needed by these tests only

    part = {"host": "127.0.0.1", "port": tcp_port, "password": PASSWORD}
    return {
        "stm_config": {**part, "namespace": f"{tmp_path}:stm".replace("/", ".")},
        "im_config": {**part, "namespace": f"{tmp_path}:im".replace("/", ".")},
        "path": tmp_path,
    }


def test_an_outage_is_logged_once_and_answers_false(
    remote: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    system = AgentMemorySystem(remote | {"spool_max_bytes": 0})
    assert system.store_agent_state("ant", {}, 0)
    stop_server(system)
    agent = system.get_memory_agent("ant")
    assert [system.store_agent_state("ant", {}, step) for step in (1, 2)] == [False, False]
    assert agent.stm_store.get_recent() == []
    assert agent.stm_store.count() == 0
    assert agent.clear_memory() is False
    assert system.clear_all_memories() is False
    assert system.outages.failures == 6
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    with pytest.raises(InvalidEntry):
        system.store_agent_state("ant", {}, -1)
    with pytest.raises(StoreUnavailable):
        system.recall(Query(agent_id="ant"))
    system.close()


def test_an_outage_raises_when_so_configured(remote: dict[str, Any]) -> None:
    system = AgentMemorySystem(remote | {"on_store_error": "raise", "spool_max_bytes": 0})
    stop_server(system)
    with pytest.raises(StoreUnavailable, match="does not answer"):
        system.store_agent_state("ant", {}, 1)
    system.close()


def test_a_store_is_not_denied_because_a_lower_tier_is_away(
    system: AgentMemorySystem, caplog: pytest.LogCaptureFixture
) -> None:
    engine = system._resources.connections.sql_engine
    full = [True]

    @event.listens_for(engine, "checkout")
    def fill_disk(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {1 if full[0] else 2**30}")

    assert all(
        system.store_agent_state("ant", {"fill": os.urandom(20_000)}, step) for step in range(15)
    )
    assert [record.levelname for record in caplog.records if "full" in record.message] == ["ERROR"]
    full[0] = False
    assert steps_of(system, "ant") == list(range(15))
    system.maintain()
    assert [held.entries for held in system.statistics().values()] == [5, 5, 5]


# -- the dict-style faces ------------------------------------------------------------------------


def test_the_api_speaks_dicts(folder: Path) -> None:
    api = AgentMemoryAPI(MemoryConfig(path=folder, engine="embedded", **SMALL))
    with api.memory_system:
        for step in range(20):
            assert api.store_agent_state("ant", {"step": step}, step)
            assert api.store_agent_action("ant", {"did": step}, step)
            assert api.store_agent_interaction("ant", {"met": step}, step)
        recent = api.retrieve_recent_states("ant", count=8)
        assert [entry["contents"]["step"] for entry in recent] == list(range(19, 11, -1))
        assert set(recent[0]) == {
            "memory_id", "run_id", "agent_id", "step_number", "timestamp", "contents",
            "metadata", "embeddings",
        }  # fmt: skip
        assert set(recent[0]["metadata"]) == {
            "creation_time", "last_access_time", "compression_level", "importance_score",
            "retrieval_count", "memory_type", "encoder_version",
        }  # fmt: skip
        oldest = api.memory_system.recall(Query(agent_id="ant", limit=1))[0].entry
        found = api.retrieve_state_by_id("ant", oldest.memory_id)
        assert found is not None
        assert found["contents"] == {"step": 0}
        assert api.retrieve_state_by_id("ant", "0" * 32) is None
        assert api.retrieve_recent_states("nobody") == []
        with pytest.raises(InvalidEntry):
            api.retrieve_recent_states("ant", count=-1)
        with pytest.raises(InvalidEntry):
            api.retrieve_state_by_id("ant", "no uuid")
        assert api.clear_agent_memory("ant") is True
        assert api.retrieve_recent_states("ant") == []


def test_a_memory_agent_opens_its_own_stores(folder: Path) -> None:
    agent = MemoryAgent("ant", MemoryConfig(path=folder, engine="embedded", **SMALL))
    assert all(agent.store_state({"step": step}, step) for step in range(12))
    assert agent.store_action({"did": 1}, 12, priority=0.5)
    assert agent.store_interaction({"met": "bee"}, 13)
    assert [store.count() for store in (agent.stm_store, agent.im_store, agent.ltm_store)] == [
        5,
        5,
        4,
    ]
    assert agent.stm_store.get_recent(1)[0]["contents"] == {"met": "bee"}
    assert agent.ltm_store.get_oldest(1)[0]["contents"] == {"step": 0}
    assert agent.clear_memory()
    assert agent.stm_store.count() == 0
