"""What becomes of entries on a disk that fills, and what is said of it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent_memory import AgentMemorySystem, Query, StoreFull
from tests.faults.filling import Acknowledged, check, config_in, stored
from tests.faults.processes import ROOT, killed, running

pytestmark = pytest.mark.faults


class SmallDisk:
    """A file system of a few megabytes."""

    def __init__(self, mount: Path) -> None:
        self.mount = mount

    def fill(self, left: int) -> None:
        """Leave so many free bytes on it."""
        free = os.statvfs(self.mount)
        with (self.mount / "filler").open("ab") as filler:
            filler.write(b"x" * (free.f_bavail * free.f_frsize - left))

    def clear(self) -> None:
        """Give back what was filled."""
        (self.mount / "filler").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "disk", "8m") as small:
        yield small


@pytest.fixture
def large_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """One on which there may be room enough to be sure."""
    with mounted(tmp_path / "disk", "160m") as large:
        yield large


@contextmanager
def mounted(mount: Path, size: str) -> Iterator[SmallDisk]:
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(mount)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may mount a small file system, and not everywhere")
    try:
        yield SmallDisk(mount)
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)


def close(system: AgentMemorySystem) -> None:
    system.close()


def kill(system: AgentMemorySystem) -> None:
    folder = system.config.path
    assert folder is not None
    killed(*running(folder))
    system.close()


@pytest.mark.parametrize("end", [close, kill])
def test_what_is_acknowledged_while_a_disk_fills_is_kept(
    disk: SmallDisk, end: Callable[[AgentMemorySystem], None]
) -> None:
    config = config_in(disk.mount)
    with AgentMemorySystem(config) as system:
        acknowledged = Acknowledged(system)
        disk.fill(left=400_000)
        acknowledged.of_threads()
        end(system)
    assert len(acknowledged.entries) > 20
    disk.clear()
    with AgentMemorySystem(config) as system:
        check(acknowledged.entries, stored(system))
        assert system.store_agent_state("ant 0", {}, 10_000)
        assert system.check().sound


def test_a_change_is_kept_or_refused_while_a_disk_is_full_for_an_instant(
    large_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_in(large_disk.mount)
    value = os.urandom(100_000)
    with AgentMemorySystem(config) as system:
        channel: Any = system._resources.connections.stm
        channel.call("SET", "there", 1)
        channel._roomy_at = float("-inf")  # as after a pause
        large_disk.fill(left=0)
        has_room = channel._server.has_room

        def freed() -> bool:
            monkeypatch.setattr(channel._server, "has_room", has_room)
            large_disk.clear()  # after the server has answered what it could not write
            return bool(has_room())

        monkeypatch.setattr(channel._server, "has_room", freed)
        try:
            kept = channel.call("SET", "kept", value) is not None
        except StoreFull:
            kept = False
        kill(system)
    with AgentMemorySystem(config) as system:
        found = system._resources.connections.stm.call("GET", "kept")
        assert found == value or not kept


STORING_WITHIN_A_LIMIT = """
import resource, sys
from pathlib import Path
from agent_memory import AgentMemorySystem, Query, StoreFull
from tests.faults.filling import Acknowledged, config_in
resource.setrlimit(resource.RLIMIT_FSIZE, (450_000, resource.RLIM_INFINITY))
with AgentMemorySystem(config_in(Path(sys.argv[1]))) as system:
    acknowledged = Acknowledged(system, size=10_000)
    acknowledged.of_threads()
    print(system.status.short_term.reason)
    print(repr(acknowledged.entries))
"""


def test_what_is_acknowledged_within_a_limit_on_the_size_of_files_is_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STORING_WITHIN_A_LIMIT, str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    reason, reported = ended.stdout.splitlines()
    assert "ulimit -f allows 450 kB" in reason
    acknowledged = ast.literal_eval(reported)
    assert len(acknowledged) > 20
    with AgentMemorySystem(config_in(tmp_path)) as system:
        check(acknowledged, stored(system))


def store_until_refused(system: AgentMemorySystem) -> None:
    for step in range(20, 1_000):
        system.store_agent_state("ant 0", {"fill": os.urandom(4_000)}, step)


@pytest.mark.parametrize(
    "durability",
    # Which starts the server again for each write that fails.
    ["everysec", pytest.param("always", marks=pytest.mark.long)],
)
def test_on_a_full_disk_a_memory_is_read_and_what_it_cannot_do_says_where_and_why(
    disk: SmallDisk, durability: str
) -> None:
    config = config_in(disk.mount).model_copy(
        update={"durability": durability, "on_store_error": "raise"}
    )
    saved, exported = disk.mount / "saved", disk.mount / "exported.jsonl"
    says = rf"(?s)the file system at {disk.mount} is full \(.* of 8.39 MB free\): delete or move"
    everything = Query(agent_id="ant 0", limit=1_000)
    with AgentMemorySystem(config) as system:
        for step in range(20):
            assert system.store_agent_state("ant 0", {"step": step}, step)
        system.backup(saved)
        system.export(exported)
        as_they_were = saved.read_bytes(), exported.read_bytes()
        disk.fill(left=0)
        with pytest.raises(StoreFull, match=says):
            store_until_refused(system)
        disk.fill(left=0)
        assert len(system.recall(everything)) >= 20
        assert system.status.spool is not None
        memory_id = system.recall(everything)[0].entry.memory_id
        for call in (
            lambda: system.set_importance("ant 0", memory_id, 0.5),
            lambda: system.pin("ant 0", memory_id),
            lambda: system.backup(saved),
            lambda: system.export(exported, force=True),
        ):
            with pytest.raises(StoreFull, match=says):
                call()
        assert (saved.read_bytes(), exported.read_bytes()) == as_they_were
    assert {file.name for file in disk.mount.iterdir()} == {
        *("memory", "filler", "saved", "exported.jsonl")
    }
    disk.fill(left=0)
    with pytest.raises(StoreFull, match=says):
        AgentMemorySystem(config_in(disk.mount / "another"))
    disk.clear()
    with AgentMemorySystem(config) as system:
        assert len(system.recall(everything)) >= 20
        system.pin("ant 0", memory_id)
        assert system.check().sound
