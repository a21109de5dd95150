"""A memory is read where nothing may be written: a read-only mount, or another user's folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig, Query, StoreReadOnly, StoreUnavailable

NOBODY = 65534
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
LIMITS = {"stm_config": {"memory_limit": 2}, "im_config": {"memory_limit": 2}}


@pytest.fixture
def folder() -> Iterator[Path]:
    """The folder of a memory with entries in every tier, closed; others may read it."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        folder = Path(made, "memory")
        with AgentMemorySystem(MemoryConfig(path=folder, **LIMITS), upkeep=False) as memory:
            for step in range(6):
                memory.store_agent_state("ant", {"step": step}, step)
            memory.maintain()
        yield folder


@contextmanager
def mounted_read_only(folder: Path) -> Iterator[None]:
    """A folder on a file system that takes no writes."""
    bind = ["mount", "--bind", str(folder), str(folder)]
    if os.geteuid() or subprocess.run(bind, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount, and not everywhere")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """The files beneath a folder, with their sizes and when they were changed."""
    return {
        str(file.relative_to(folder)): (file.stat().st_size, file.stat().st_mtime_ns)
        for file in folder.rglob("*")
    }


def assert_is_read(folder: Path) -> None:
    with AgentMemorySystem.open(folder, read_only=True) as memory:
        hits = memory.recall(Query(agent_id="ant", limit=9))
        assert [hit.entry.step_number for hit in hits] == [0, 1, 2, 3, 4, 5]
        assert len({hit.tier for hit in hits}) == 3
        assert (
            memory.recall(Query(agent_id="ant", limit=1), near={"step": 2})[0].entry.step_number
            == 2
        )
        assert memory.check().sound
        assert memory.status.spool is not None
        with pytest.raises(StoreReadOnly):
            memory.store_agent_state("ant", {"step": 6}, 6)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts as Linux does")
def test_a_memory_on_a_read_only_mount_is_read_and_left_as_it_is(folder: Path) -> None:
    before = files_of(folder)
    left = set(Path(tempfile.gettempdir()).glob("agent_memory-read-only-*"))
    with mounted_read_only(folder):
        assert_is_read(folder)
        with pytest.raises(StoreUnavailable):
            AgentMemorySystem.open(folder).close()
    assert files_of(folder) == before
    assert set(Path(tempfile.gettempdir()).glob("agent_memory-read-only-*")) <= left


@pytest.mark.skipif(sys.platform != "linux", reason="mounts as Linux does")
def test_what_is_in_the_log_of_a_database_is_read_too(folder: Path) -> None:
    copy = folder.with_name("copy")
    with AgentMemorySystem.open(folder, upkeep=False) as memory:
        for step in range(6, 9):
            memory.store_agent_state("ant", {"step": step}, step)
        memory.maintain()
        assert (folder / "agent_memory.db-wal").stat().st_size
        # As after a crash of the machine: the log is there, and its index is not.
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*-shm", "*.sock"))
    with mounted_read_only(copy):
        with AgentMemorySystem.open(copy, read_only=True) as memory:
            found = memory.recall(Query(agent_id="ant", limit=20))
        assert [hit.entry.step_number for hit in found] == [*range(9)]


SCRIPT = """
import sys
from pathlib import Path
from tests.system.test_read_only_folders import assert_is_read
assert_is_read(Path(sys.argv[1]))
print("read")
"""


def interpreter() -> str:
    """A Python of this version that another user may run."""
    places = [sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"]
    for place in places:
        with contextlib.suppress(OSError):
            asked = [place, "-c", "import redis, sqlalchemy, numpy"]
            if not subprocess.run(asked, user=NOBODY, env=ENVIRONMENT, check=False).returncode:
                return place
    pytest.skip("another user may run no Python of this version")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_memory_of_another_user_is_read(folder: Path) -> None:
    python = interpreter()
    for file in (folder, *folder.rglob("*")):
        file.chmod(0o555 if file.is_dir() else 0o444)
    with tempfile.TemporaryDirectory() as scratch:
        os.chown(scratch, NOBODY, NOBODY)
        private = dict.fromkeys(("TMPDIR", "XDG_RUNTIME_DIR", "HOME"), scratch)
        done = subprocess.run(
            [python, "-c", SCRIPT, folder], user=NOBODY, group=NOBODY, extra_groups=(),
            env=ENVIRONMENT | private, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.stdout == "read\n", done.stderr
