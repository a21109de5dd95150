"""Backups of a memory that is in use, and programs that are killed while they mend or restore."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig, MemoryEntry, Order, Query
from agent_memory.system.backups.file import Backup
from tests.faults.processes import PATIENCE
from tests.faults.upkeeping import AGENTS, LIMITS, contents_of
from tests.fuzzing import EVERYTHING, KILLS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ROUNDS = max(1, KILLS // 20)


def run(program: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, HERE / program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def _points(points: int, few: int) -> list[int]:
    """Some of the points at which a program may be killed; all of them in ``make faults``."""
    if KILLS < 20:
        few -= 1
    return [*range(1, points + 1)] if EVERYTHING else [*range(2, points + 1, points // few)]


def remembered(system: AgentMemorySystem) -> list[tuple[str, MemoryEntry]]:
    return [
        (tier.tier.name, entry)
        for tier in (system.stm, system.im, system.ltm)
        for agent in AGENTS
        for entry in tier.find(Query(run_id="default", agent_id=agent, order=Order.STEP))
    ]


def config_of(folder: Path) -> dict[str, Any]:
    return {"engine": "embedded", "path": folder, "search": False}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, MemoryEntry]]]:
    folder = tmp_path_factory.mktemp("saved")
    with AgentMemorySystem(MemoryConfig(**config_of(folder / "memory"), **LIMITS)) as system:
        for step in range(30):
            for agent in AGENTS:
                system.store_agent_state(agent, contents_of(step), step)
        system.backup(folder / "saved")
        return folder / "saved", remembered(system)


def restored(saved: Path, folder: Path) -> list[tuple[str, MemoryEntry]]:
    assert AgentMemorySystem.restore(saved, config_of(folder)).verified
    return found_in(folder)


def found_in(folder: Path) -> list[tuple[str, MemoryEntry]]:
    with AgentMemorySystem(config_of(folder), upkeep=False) as system:
        assert system.check().findings == ()
        return remembered(system)


@pytest.mark.faults
def test_a_backup_beside_a_program_that_stores_and_moves_misses_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    # Of a memory that has grown for long each round would take as long as all before it.
    for begun in range(0, ROUNDS, 5):
        folder = tmp_path / f"{begun}"
        folder.mkdir()
        _back_up_beside_a_program(folder, min(ROUNDS - begun, 5))


def _back_up_beside_a_program(folder: Path, rounds: int) -> None:
    log = folder / "acknowledged"
    log.touch()
    writer = run("upkeeping.py", "store", folder / "memory", log, 0)
    try:
        for number in range(rounds):
            deadline = time.monotonic() + PATIENCE
            known = len(log.read_text().splitlines())
            while len(log.read_text().splitlines()) < known + 150 and time.monotonic() < deadline:
                time.sleep(0.02)
            # The last line may be half written.
            before = log.read_text().rpartition("\n")[0].splitlines()
            with AgentMemorySystem.open(folder / "memory", read_only=True) as system:
                system.backup(folder / f"saved{number}")
                report = system.check()
                assert report.findings == ()
            assert writer.poll() is None
            found = restored(folder / f"saved{number}", folder / f"target{number}")
            steps = [f"{entry.agent_id} {entry.step_number}" for _, entry in found]
            assert len(steps) == len(set(steps))
            assert set(before) <= set(steps)
            assert all(entry.contents == contents_of(entry.step_number) for _, entry in found)
    finally:
        writer.kill()
        writer.wait()


@pytest.mark.faults
@pytest.mark.long
def test_a_program_killed_while_it_backs_up_leaves_the_file_before_and_nothing_else(
    tmp_path: Path, saved: tuple[Path, list[tuple[str, MemoryEntry]]]
) -> None:
    _, entries = saved
    memory, file = saved[0].parent / "memory", tmp_path / "file"
    for point in _points(10, 3):
        killed = (
            run("upkeeping.py", "backup", memory, file, point).wait(PATIENCE) == -signal.SIGKILL
        )
        if file.exists():
            Backup(file).close()
        if not killed:
            break
    assert run("upkeeping.py", "backup", memory, file, 0).wait(PATIENCE) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"file"}
    assert restored(file, tmp_path / "target") == entries


@pytest.mark.faults
@pytest.mark.long
def test_a_restore_that_is_killed_is_begun_again_and_ends_the_same(
    tmp_path: Path, saved: tuple[Path, list[tuple[str, MemoryEntry]]]
) -> None:
    file, entries = saved
    target = tmp_path / "target"
    for point in _points(11, 4):
        assert run("upkeeping.py", "restore", target, file, point).wait(PATIENCE) == -signal.SIGKILL
    assert list(target.glob("*-restoring"))
    assert run("upkeeping.py", "restore", target, file, 0).wait(PATIENCE) == 0
    assert found_in(target) == entries
    assert not [path for path in target.iterdir() if path.name.endswith("-restoring")]


def _damage(folder: Path, chance: random.Random) -> set[str]:
    """Break things beneath that can be mended without loss; gives ids that are quarantined."""
    with AgentMemorySystem(config_of(folder), upkeep=False) as system:
        client = system._resources.connections.stm.client
        prefix = "agent_memory:stm:{default/ant}:"
        ids = [key.memory_id for key in system.stm.keys("default", "ant")]
        chance.shuffle(ids)
        client.zrem(f"{prefix}times", ids[0])
        client.zadd(f"{prefix}steps", {"f" * 32: 1.0})
        client.hset(prefix + ids[1], "timestamp", "soon")
        client.hset(prefix + ids[2], "embedding", b"abc")
        client.hset(prefix + ids[3], "contents", b"\x91broken")
        copy = system.im.find(Query(run_id="default", agent_id="bee", limit=1))
        system.ltm.add_many([system._resources.encoder.compression.lowered(one, 2) for one in copy])
        with system.sql_engine.begin() as connection:
            connection.exec_driver_sql("UPDATE agent_ltm_entries SET embedding = x'00' WHERE id=2")
        return {ids[3]}


@pytest.mark.faults
@pytest.mark.long
def test_a_repair_that_is_killed_loses_nothing_and_the_next_one_ends_it(
    tmp_path: Path, saved: tuple[Path, list[tuple[str, MemoryEntry]]]
) -> None:
    file, entries = saved
    folder, chance = tmp_path / "memory", random.Random(11)
    assert restored(file, folder) == entries
    lost = _damage(folder, chance)
    for point in _points(16, 4):
        if run("upkeeping.py", "repair", folder, "-", point).wait(PATIENCE) == 0:
            break
    assert run("upkeeping.py", "repair", folder, "-", 0).wait(PATIENCE) == 0
    moved = {entry.memory_id for tier, entry in entries if tier == "IM"}
    found = found_in(folder)
    assert len(found) == len({entry.memory_id for _, entry in found}) == len(entries) - 1
    for (tier, entry), (before, was) in zip(
        sorted(found, key=lambda one: one[1].memory_id),
        sorted(
            (one for one in entries if one[1].memory_id not in lost),
            key=lambda one: one[1].memory_id,
        ),
        strict=True,
    ):
        if entry.memory_id in moved and tier == "LTM":
            assert entry.contents == was.contents
        else:
            assert (tier, entry) == (before, was)
