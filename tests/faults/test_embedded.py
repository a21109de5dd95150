"""What the embedded server promises when processes come, go and are killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from agent_memory.connections.embedded import keeper
from agent_memory.connections.embedded.manifest import settled_manifest
from agent_memory.connections.embedded.server import EmbeddedServer
from agent_memory.errors import StoreUnavailable
from agent_memory.testing.tally import count
from tests import engines
from tests.faults.processes import PATIENCE, eventually, running

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc"),
]

ROOT = Path(__file__).parents[2]
HOLD = """
import subprocess, sys
from pathlib import Path
from agent_memory.connections.embedded.server import EmbeddedServer
server = EmbeddedServer.open(Path(sys.argv[1]))
if "--with-child" in sys.argv:
    subprocess.Popen(["sleep", "30"], close_fds=False, stdout=subprocess.DEVNULL)
print(server.pid, flush=True)
sys.stdin.readline()
"""
CHURN = """
import sys
from pathlib import Path
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from agent_memory.connections.embedded.server import EmbeddedServer
for _ in range(6):
    with EmbeddedServer.open(Path(sys.argv[1])) as server:
        redis.Redis(unix_socket_path=server.socket_path).incr("opened")
"""

Holder = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(params=["with modules", "plain"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A new folder, whose server gets modules, and one that says that it was made without."""
    folder = tmp_path / "memory"
    if request.param == "plain":
        folder.mkdir()
        settled_manifest(folder, search=False)
    else:
        engines.require_modules()
    return folder


@pytest.fixture
def hold(folder: Path) -> Iterator[Holder]:
    """Start another process that holds a lease until it is killed or reads a line."""
    holders: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> subprocess.Popen[bytes]:
        holders.append(python(HOLD, folder, *options))
        return holders[-1]

    yield start
    for holder in holders:
        holder.kill()
        holder.communicate()


def python(program: str, folder: Path, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(folder), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def told_pid(holder: subprocess.Popen[bytes]) -> int:
    assert holder.stdout is not None
    return int(holder.stdout.readline())


def client_of(server: EmbeddedServer) -> redis.Redis:
    return redis.Redis(
        unix_socket_path=server.socket_path, retry=Retry(NoBackoff(), 0), decode_responses=True
    )


def keeper_of(server_pid: int) -> int:
    fields = Path(f"/proc/{server_pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[1])


def test_two_processes_share_one_server(folder: Path, hold: Holder) -> None:
    with EmbeddedServer.open(folder) as server:
        assert told_pid(hold()) == server.pid


@pytest.mark.long
def test_eight_processes_opening_a_new_folder_at_once_get_one_server(
    folder: Path, hold: Holder
) -> None:
    holders = [hold() for _ in range(8)]
    assert len({told_pid(holder) for holder in holders}) == 1
    assert eventually(lambda: len(running(folder)) == 2)  # losers of the race have left


def test_server_is_gone_after_all_clients_are_killed(folder: Path, hold: Holder) -> None:
    holders = [hold() for _ in range(3)]
    for holder in holders:
        told_pid(holder)
    assert running(folder)
    for holder in holders:
        holder.kill()
    assert eventually(lambda: not running(folder))


def test_client_killed_while_it_starts_the_server_leaves_nothing(
    folder: Path, hold: Holder
) -> None:
    for delay in (0.05, 0.08, 0.11, 0.14, 0.17):
        holder = hold()
        time.sleep(delay)
        holder.kill()
        holder.wait()
        assert eventually(lambda: not running(folder))


@pytest.mark.parametrize("victims", ["server", "keeper", "both"])
def test_kill_loses_nothing_acknowledged_and_ensure_running_heals(
    folder: Path, victims: str
) -> None:
    with EmbeddedServer.open(folder) as server:
        acknowledged = 0
        for kill_round in range(5):
            pid = server.pid
            pids = {"server": [pid], "keeper": [keeper_of(pid)], "both": [keeper_of(pid), pid]}
            killer = threading.Timer(0.05 + 0.02 * kill_round, kill, pids[victims])
            client = client_of(server)
            deadline = time.monotonic() + PATIENCE
            killer.start()
            with contextlib.suppress(redis.ConnectionError):
                while killer.is_alive() or Path(f"/proc/{pid}").exists():
                    client.rpush("entries", acknowledged)
                    acknowledged += 1
                    assert time.monotonic() < deadline, "the server outlived its keeper"
            server.ensure_running()
            kept = [int(entry) for entry in client_of(server).lrange("entries", 0, -1)]
            # The one under way when the server died may have been kept without its answer.
            assert kept[:acknowledged] == list(range(acknowledged))
            assert len(kept) <= acknowledged + 1
            acknowledged = len(kept)
        assert len(running(folder)) == 2


def kill(*pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            count("kills")


def test_threads_that_heal_at_once_start_one_server(folder: Path) -> None:
    with EmbeddedServer.open(folder) as server:
        kill(server.pid)
        threads = [threading.Thread(target=server.ensure_running) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert eventually(lambda: len(running(folder)) == 2)
        assert client_of(server).ping()


@pytest.mark.parametrize("busy", ["answers nothing", "answers that it is busy"])
def test_busy_server_is_waited_for_and_not_replaced(
    folder: Path, busy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited_for = threading.Event()
    asked = keeper.ask

    def ask(socket_path: str, command: str) -> bytes:
        reply = b""
        try:
            reply = asked(socket_path, command)
        finally:
            if reply != b"+PONG":
                waited_for.set()
        return reply

    with EmbeddedServer.open(folder) as server:
        pid = server.pid
        with stopped(pid) if busy == "answers nothing" else in_a_script(server):
            monkeypatch.setattr(keeper, "ask", ask)
            waiting = threading.Thread(target=server.ensure_running)
            waiting.start()
            assert waited_for.wait(PATIENCE)
            assert waiting.is_alive()
        waiting.join()
        assert server.pid == pid
        assert len(running(folder)) == 2


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process does nothing for as long as the block lasts."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def in_a_script(server: EmbeddedServer) -> Iterator[None]:
    """A server runs a script for as long as the block lasts, and says so to all who ask."""
    client = client_of(server)
    client.config_set("busy-reply-threshold", 1)  # millisecond
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as runs_it:
        runs_it.connect(server.socket_path)
        runs_it.sendall(b'EVAL "while true do end" 0\r\n')
        try:
            assert eventually(
                lambda: keeper.ask(server.socket_path, "PING").startswith(b"-BUSY"),
            )
            yield
        finally:
            client.script_kill()


def test_clients_opening_while_the_server_shuts_down_are_served(folder: Path) -> None:
    churners = [python(CHURN, folder) for _ in range(4)]
    assert [churner.wait(PATIENCE) for churner in churners] == [0, 0, 0, 0]
    for churner in churners:
        churner.communicate()
    with EmbeddedServer.open(folder) as server:
        assert client_of(server).get("opened") == "24"


def test_fork_keeps_the_lease_until_both_are_gone(folder: Path) -> None:
    server = EmbeddedServer.open(folder)
    pid = server.pid
    wait_end, leave_end = os.pipe()
    if not (child := os.fork()):
        os.close(leave_end)
        os.read(wait_end, 1)
        os._exit(0)
    os.close(wait_end)
    server.close()
    time.sleep(0.3)
    assert pid in running(folder)
    os.close(leave_end)
    os.waitpid(child, 0)
    assert eventually(lambda: not running(folder))


def test_closing_in_a_forked_child_leaves_the_parents_lease(folder: Path) -> None:
    with EmbeddedServer.open(folder) as server:
        pid = server.pid
        if not (child := os.fork()):
            server.close()
            os._exit(0)
        os.waitpid(child, 0)
        time.sleep(0.3)
        assert server.pid == pid


def test_program_started_by_a_client_does_not_hold_the_lease(folder: Path, hold: Holder) -> None:
    holder = hold("--with-child")
    told_pid(holder)
    holder.kill()
    assert eventually(lambda: not running(folder))


def test_two_leases_in_one_process_share_a_server_until_the_last_is_closed(folder: Path) -> None:
    first, second = EmbeddedServer.open(folder), EmbeddedServer.open(folder)
    assert first.pid == second.pid
    first.close()
    time.sleep(0.2)
    second.ensure_running()
    assert second.pid in running(folder)
    second.close()
    assert not running(folder)


def test_close_leaves_no_process_and_no_socket_and_reopening_finds_the_data(folder: Path) -> None:
    with EmbeddedServer.open(folder) as server:
        client_of(server).set("entry", "kept")
        socket_path = server.socket_path
    server.close()
    assert not running(folder)
    assert not Path(socket_path).exists()
    with EmbeddedServer.open(folder) as server:
        assert client_of(server).get("entry") == "kept"
    with pytest.raises(StoreUnavailable, match="closed"):
        server.ensure_running()


def test_server_has_no_tcp_port_and_a_private_socket(folder: Path) -> None:
    with EmbeddedServer.open(folder) as server:
        opened = set()
        for fd in Path(f"/proc/{server.pid}/fd").iterdir():
            with contextlib.suppress(
                FileNotFoundError
            ):  # a file that the server has closed meanwhile
                opened.add(str(fd.readlink()))
        tables = [Path(f"/proc/net/{name}") for name in ("tcp", "tcp6", "udp", "udp6")]
        lines = [
            line for table in tables if table.exists() for line in table.read_text().splitlines()
        ]
        assert not opened & {f"socket:[{line.split()[9]}]" for line in lines}
        socket_path = Path(server.socket_path)
        assert stat.S_IMODE(socket_path.stat().st_mode) == 0o700
        assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700
        assert len(os.fsencode(socket_path)) < 108


def test_stronger_durability_wins_and_outlives_a_kill(folder: Path) -> None:
    with EmbeddedServer.open(folder) as weaker:
        assert client_of(weaker).config_get("appendfsync") == {"appendfsync": "no"}
        with EmbeddedServer.open(folder, "always") as stronger:
            assert stronger.pid == weaker.pid
            assert client_of(weaker).config_get("appendfsync") == {"appendfsync": "always"}
            kill(weaker.pid)
            weaker.ensure_running()
            assert client_of(weaker).config_get("appendfsync") == {"appendfsync": "always"}
    with EmbeddedServer.open(folder) as again:
        assert client_of(again).config_get("appendfsync") == {"appendfsync": "no"}


def test_socket_that_was_cleaned_away_is_made_anew(folder: Path) -> None:
    with EmbeddedServer.open(folder) as server:
        client_of(server).set("entry", "kept")
        Path(server.socket_path).unlink()
        server.ensure_running()
        assert client_of(server).get("entry") == "kept"


def test_folder_removed_and_made_again_never_meets_the_old_server(folder: Path) -> None:
    with EmbeddedServer.open(folder) as old:
        client_of(old).set("entry", "old")
        old_pid = old.pid
        shutil.rmtree(folder)
        with EmbeddedServer.open(folder) as new:
            assert new.pid != old_pid
            assert client_of(new).get("entry") is None
            with pytest.raises(StoreUnavailable, match="moved, removed or replaced"):
                old.ensure_running()
            assert eventually(lambda: not Path(f"/proc/{old_pid}").exists())
            new.ensure_running()


def appended_file(folder: Path) -> Path:
    [found] = (folder / "redis" / "appendonlydir").glob("*.incr.aof")
    return found


def test_damaged_file_is_refused_with_the_servers_reason_and_a_remedy(folder: Path) -> None:
    with EmbeddedServer.open(folder) as server:
        for entry in range(100):
            client_of(server).set(f"entry:{entry}", "x" * 50)
        socket_path = server.socket_path
    with appended_file(folder).open("r+b") as file:
        file.seek(2000)
        file.write(b"garbage" * 10)
    with pytest.raises(StoreUnavailable, match="valkey-check-aof") as refusal:
        EmbeddedServer.open(folder)
    assert "Bad file format" in str(refusal.value)
    assert eventually(lambda: not running(folder))
    assert not Path(socket_path).exists()


def test_index_of_the_query_engine_survives_a_kill_with_all_it_indexes(tmp_path: Path) -> None:
    engines.require_modules()
    with EmbeddedServer.open(tmp_path / "memory", search=True) as server:
        client = client_of(server)
        engines.call(client, "FT.CREATE", "ants", "PREFIX", "1", "ant:", "SCHEMA", "colony", "TAG")
        for number in range(100):
            client.hset(f"ant:{number}", "colony", "north")
        kill(server.pid, keeper_of(server.pid))
        server.ensure_running()
        assert eventually(lambda: in_the_north(server) == 100)


def in_the_north(server: EmbeddedServer) -> object:
    with engines.embedded_client(server) as client:
        return engines.call(client, "FT.SEARCH", "ants", "@colony:{north}", "LIMIT", 0, 0)[0]


def test_truncated_tail_costs_the_last_entry_alone(folder: Path) -> None:
    with EmbeddedServer.open(folder) as server:
        client_of(server).rpush("entries", "first")
        client_of(server).rpush("entries", "last")
    file = appended_file(folder)
    os.truncate(file, file.stat().st_size - 3)
    with EmbeddedServer.open(folder) as server:
        assert client_of(server).lrange("entries", 0, -1) == ["first"]
