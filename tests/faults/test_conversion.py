"""A conversion that is killed at any moment leaves all that was there, and nothing else."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from agent_memory.connections.embedded.server import EmbeddedServer
from agent_memory.testing.tally import count
from tests import engines
from tests.faults.processes import PATIENCE

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc"),
]

ROOT = Path(__file__).parents[2]

# Python tells its audit hooks of everything that it is about to do to files, locks, sockets and
# processes; being killed before each of those in turn is being killed between any two. But in
# ``make faults`` only what changes names and starts programs is taken, to save time.
CONVERT = """
import os, signal, sys
from pathlib import Path
from agent_memory.connections.embedded.conversion import convert

if int(os.environ.get("AGENT_MEMORY_TEST_KILLS", "20")) >= 300:
    WATCHED = ("fcntl.", "os.", "shutil.", "socket.", "subprocess.")
else:
    WATCHED = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.", "subprocess.")
left = int(sys.argv[3])
main = os.getpid()

def killed_in_time(event, arguments):
    global left
    if os.getpid() == main and event.startswith(WATCHED):
        left -= 1
        if left == -1:
            os.kill(main, signal.SIGKILL)

if left >= 0:
    sys.addaudithook(killed_in_time)
convert(Path(sys.argv[1]), search=sys.argv[2] == "True")
"""
ENTRIES = 500


def conversion(folder: Path, search: bool, moments: int = -1) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", CONVERT, folder, str(search), str(moments)], cwd=ROOT
    )


def content(folder: Path) -> dict[bytes, bytes]:
    with (
        EmbeddedServer.open(folder) as server,
        redis.Redis(unix_socket_path=server.socket_path) as client,
    ):
        keys = client.keys("*")
        return dict(zip(keys, client.mget(keys), strict=True))


def at_rest(folder: Path) -> bool:
    """Whether a folder holds one server's files, and nothing of a conversion."""
    inside = {path.name for path in (folder / "redis").iterdir() if path.is_dir()}
    drafts = [path for path in folder.iterdir() if path.name.startswith("embedded.json.")]
    return len(inside) == 1 and not drafts


def take_away(folder: Path) -> None:
    """Remove a folder, whose server may be about to end and still write there."""
    deadline = time.monotonic() + PATIENCE
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.01)
    assert not folder.exists()


@pytest.fixture(params=[True, False], ids=["to search", "to plain"])
def search(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def original(tmp_path: Path, search: bool) -> tuple[Path, dict[bytes, bytes]]:
    """A folder made the other way, and what it holds."""
    engines.require_modules()
    folder = tmp_path / "original"
    with (
        EmbeddedServer.open(folder, search=not search) as server,
        redis.Redis(unix_socket_path=server.socket_path) as client,
    ):
        if not search:
            engines.call(client, "FT.CREATE", "i", "SCHEMA", "colony", "TAG")
        client.mset({f"entry:{number}": "x" * number for number in range(ENTRIES)})
    return folder, content(folder)


@pytest.mark.long
def test_kill_before_any_step_loses_nothing_and_leaves_nothing(
    original: tuple[Path, dict[bytes, bytes]], tmp_path: Path, search: bool
) -> None:
    source, held = original
    folder, moments, converted = tmp_path / "memory", 0, set()
    while True:
        shutil.copytree(source, folder)
        status = conversion(folder, search, moments).wait(PATIENCE)
        assert content(folder) == held, f"killed before step {moments}"
        assert at_rest(folder), f"killed before step {moments}"
        converted.add(bool(json.loads((folder / "embedded.json").read_text())["modules"]) == search)
        take_away(folder)
        if status == 0:
            break
        assert status == -signal.SIGKILL
        count("kills")
        moments += 1
    assert moments > 10
    assert converted == {True, False}


@pytest.mark.long
def test_kill_at_any_time_loses_nothing_and_the_next_conversion_succeeds(
    original: tuple[Path, dict[bytes, bytes]], search: bool
) -> None:
    folder, held = original
    for delay in (0.2, 0.3, 0.4, 0.5, 0.6, 0.8):
        running = conversion(folder, search)
        time.sleep(delay)
        running.kill()
        running.wait()
        assert content(folder) == held
        assert at_rest(folder)
    assert conversion(folder, search).wait(PATIENCE) == 0
    assert content(folder) == held
    with EmbeddedServer.open(folder) as server:
        assert bool(server.modules) == search


def test_processes_that_open_while_it_is_converted_wait_outside_or_find_it_whole(
    original: tuple[Path, dict[bytes, bytes]], search: bool
) -> None:
    folder, held = original
    running = conversion(folder, search)
    refused = 0
    while running.poll() is None:
        opened = subprocess.run(
            [sys.executable, "-c", OPEN, folder],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        refused += "is being converted" in opened.stderr
        assert opened.stdout in ("", f"{ENTRIES}\n"), opened.stderr
    assert content(folder) == held


OPEN = """
import sys
from pathlib import Path
import redis
from agent_memory.connections.embedded.server import EmbeddedServer
with EmbeddedServer.open(Path(sys.argv[1])) as server:
    print(redis.Redis(unix_socket_path=server.socket_path).dbsize())
"""
