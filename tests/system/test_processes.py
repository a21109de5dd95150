"""One memory of a process: threads, forks, what is shared, what importing loads."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_memory import (
    AgentMemorySystem,
    ConfigError,
    MemoryAgent,
    MemoryConfig,
    Query,
)
from tests.system.small import SMALL, steps_of


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


def test_a_program_that_ends_with_an_open_memory_says_nothing(folder: Path) -> None:
    code = (
        "import sys; from agent_memory import *\n"
        "open_memory = AgentMemorySystem(MemoryConfig(path=sys.argv[1], engine='fake'))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert (ended.stdout, ended.stderr) == ("", "")


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
