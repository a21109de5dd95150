"""Workers on several machines divide the upkeep of a memory, and take over from each other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent_memory import AgentMemorySystem, ConfigError, MemoryConfig, Query, StoreUnavailable
from agent_memory.cli.commands import app
from agent_memory.errors import InvalidEntry
from agent_memory.tiers import demotion
from agent_memory.tiers.demotion import Demotion
from agent_memory.tiers.worker_share import WorkerShare
from tests import engines
from tests.memories import Opener

AGENTS = [f"ant-{number}" for number in range(12)]
LIMITS: dict[str, Any] = {"stm_config": {"memory_limit": 2}, "cleanup_interval": 10**6}


def fill(memory: AgentMemorySystem, first: int = 0, last: int = 5) -> None:
    for step in range(first, last):
        memory.store_step(step, {agent: {"food": step} for agent in AGENTS})


@engines.usually_on("fakeredis")
def test_workers_divide_the_agents_and_take_over_from_one_that_is_silent(
    open_memory: Opener,
) -> None:
    memory = open_memory(**LIMITS)
    one, other = memory.maintenance_worker(0.3), memory.maintenance_worker(60.0)
    fill(memory)
    other.maintain()  # which knows of no other yet
    one.maintain()
    fill(memory, 5, 8)
    by_one, by_other = one.maintain().stm_to_im, other.maintain().stm_to_im
    assert by_one > 0
    assert by_other > 0
    assert by_one + by_other == 3 * len(AGENTS)
    # The one is heard no more.
    fill(memory, 8, 11)
    moved, deadline = 0, time.monotonic() + 30
    while moved < 3 * len(AGENTS) and time.monotonic() < deadline:
        moved += other.maintain().stm_to_im
    assert moved == 3 * len(AGENTS)
    other.close()
    assert memory.check().sound
    assert sorted(hit.entry.step_number for hit in memory.recall(Query(agent_id=AGENTS[0]))) == [
        *range(11)
    ]
    with pytest.raises(InvalidEntry, match="lease_seconds"):
        memory.maintenance_worker(0.0)


@engines.usually_on("fakeredis")
def test_workers_that_know_of_no_other_leave_each_agent_its_limit(
    open_memory: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demotion, "_AT_ONCE", 10)
    memory = open_memory(**LIMITS)
    fill(memory)
    read, others = Demotion._readable, [memory.maintenance_worker()]

    def reading(self: Demotion, *some: Any) -> Any:
        found = read(self, *some)
        while others:
            others.pop().maintain()  # which has just begun
        return found

    monkeypatch.setattr(Demotion, "_readable", reading)
    memory.maintain()
    assert {memory.stm.count("default", agent) for agent in AGENTS} == {2}
    assert memory.check().sound


def test_shares_are_about_equal_and_go_to_all_others() -> None:
    workers = tuple("abcd")
    owned = {
        worker: {
            number
            for number in range(2_000)
            if WorkerShare(worker, workers).owns("default", f"ant-{number}")
        }
        for worker in workers
    }
    assert sorted(number for numbers in owned.values() for number in numbers) == [*range(2_000)]
    assert all(400 < len(numbers) < 600 for numbers in owned.values())
    for worker in "bcd":
        left = WorkerShare(worker, ("b", "c", "d"))
        now = {number for number in range(2_000) if left.owns("default", f"ant-{number}")}
        assert owned[worker] < now
        assert now - owned[worker] < owned["a"]


def test_a_worker_that_is_killed_leaves_its_agents_to_the_other(tmp_path: Path) -> None:
    with AgentMemorySystem(
        {"engine": "embedded", "path": tmp_path / "memory", "search": False, **LIMITS}, upkeep=False
    ) as memory:
        watch = "from agent_memory.cli import main; main()"
        # A lease lasts for 30 seconds at least, too long for a test.
        shorter = "import agent_memory.cli.upkeep as u; u._lease = lambda every: 0.5; " + watch
        command = ["maintain", "--path", str(tmp_path / "memory"), "--watch", "--every", "0.05"]
        started = [
            subprocess.Popen(
                [sys.executable, "-c", shorter, *command], env=os.environ, stdout=subprocess.DEVNULL
            )
            for _ in range(2)
        ]
        try:
            for step in range(10):
                fill(memory, step, step + 1)
                if step == 5:
                    started[0].kill()
            deadline = time.monotonic() + 60
            while memory.stm.count("default") > 2 * len(AGENTS) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert memory.stm.count("default") == 2 * len(AGENTS)
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=60)
        assert len(memory.recall(Query(agent_id=None, steps=(9, 9)))) == len(AGENTS)
        assert memory.check().sound


@pytest.fixture
def server(tmp_path: Path) -> Iterator[engines.StoppableServer]:
    folder = tmp_path / "server"
    folder.mkdir()
    with engines.StoppableServer(folder) as started:
        yield started


def spool_file(memory: AgentMemorySystem) -> Path:
    assert memory.status.spool is not None
    return memory.status.spool.file


def test_the_spool_of_a_machine_that_is_gone_is_adopted(
    server: engines.StoppableServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/ltm.db?timeout=5"

    def machine(name: str) -> MemoryConfig:
        # Each has a folder of its own; where the database is a file of theirs, so is the spool.
        return MemoryConfig(redis_url=server.url, ltm_url=url, path=tmp_path / name)

    with AgentMemorySystem(machine("gone"), upkeep=False) as memory:
        assert memory.store_agent_state("ant", {"food": 1}, 1)
        server.kill()
        for step in range(2, 7):
            assert memory.store_agent_state("ant", {"food": step}, step)
        file = spool_file(memory)
    # It is gone, and somebody has its disk.
    gone = tmp_path / "mounted-spool"
    for part in file.parent.glob(f"{file.name}*"):
        part.rename(tmp_path / part.name.replace(file.name, gone.name))
    server.start()
    monkeypatch.setenv("AGENT_MEMORY_REDIS_URL", server.url)
    monkeypatch.setenv("AGENT_MEMORY_LTM_URL", url)
    adopted = CliRunner().invoke(app, ["adopt", str(gone), "--path", str(tmp_path / "here")])
    assert adopted.exit_code == 0, adopted.output
    assert adopted.output.startswith("stored 5 entries that waited in")
    with AgentMemorySystem(machine("here"), upkeep=False) as memory:
        steps = [hit.entry.step_number for hit in memory.recall(Query(agent_id="ant"))]
        assert sorted(steps) == [*range(1, 7)]
        assert memory.adopt_spool(gone) == (0, 0)
        with pytest.raises(StoreUnavailable, match="there is no spool"):
            memory.adopt_spool(tmp_path / "nowhere")
        server.kill()
        assert memory.store_agent_state("ant", {"food": 7}, 7)
        with pytest.raises(ConfigError, match="is the spool of this machine"):
            memory.adopt_spool(spool_file(memory))
