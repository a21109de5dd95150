"""The keeper: the small process that starts the embedded server, syncs its file and ends it.

`agent_memory.connections.embedded.server` runs this file as ``python -I -S keeper.py BINARY FOLDER
SOCKET MANIFEST APPENDED MODULE...``, so it imports the standard library alone. It outlives the
process that started it, and leaves once nobody holds the folder's lease any more, or once its
server has ended. It uses no pathlib, which would add 2 MB to a process that holds 8.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence

if sys.platform != "win32":  # no server there, but the package can be imported
    import fcntl

# Paths within the folder.
MANIFEST = "embedded.json"
SERVER_DIR = "redis"
LEASE = "redis/lease.lock"
KEEPER_LOCK = "redis/keeper.lock"
SERVER_LOCK = "redis/server.lock"
SOCKET_RECORD = "redis/server.socket"
ALWAYS_MARK = "redis/appendfsync.always"
CONVERSION_LOCK = "redis/converting.lock"
SCRATCH = "redis/converting"
LOG = "embedded.log"

# Exit statuses of the launcher, away from those that Python itself uses.
READY, RIVAL, REFUSED, ENDED = 0, 10, 11, 12

_LOG_LIMIT = 1_000_000  # bytes
_SYNC_INTERVAL = 1.0  # seconds
_KEEPER_PATIENCE = 0.1  # seconds; clients hold the lock for microseconds, to see if it is free
_SERVER_PATIENCE = 10.0  # seconds for an earlier server to be gone
_STOP_PATIENCE = 60.0  # seconds; a clean stop ends with an fsync, slow on a busy disk
_PR_SET_PDEATHSIG = 1

_SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    "databases": "16",
    "save": "",
    "appendonly": "yes",
    "aof-load-truncated": "yes",
    "maxmemory-policy": "noeviction",
    "hash-max-listpack-value": "8192",
    "always-show-logo": "no",
}


def ask(socket_path: str, command: str, timeout: float = 1.0) -> bytes:
    """Send one inline command on a connection of its own and return the reply.

    Args:
        socket_path: unix socket of the server.
        command: words parted by blanks, without a line end.
        timeout: seconds for each step.

    Returns:
        The body of a bulk string, or else the reply's first line; empty if the server hung up.

    Raises:
        OSError: nobody listens there, or a step took too long.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(socket_path)
        connection.sendall(command.encode() + b"\r\n")
        with connection.makefile("rb") as reply:
            line = reply.readline().rstrip(b"\r\n")
            return reply.read(int(line[1:])) if line.startswith(b"$") else line


class Keeper:
    """Runs the server of the folder that is the working directory.

    Args:
        binary: absolute path of the server's program.
        folder: absolute path of the folder, to see when it is moved or removed.
        socket_path: where the server is to listen.
        launcher: descriptor of a pipe on which the launcher waits for one byte.
        manifest: what the folder's manifest must say for the rest to fit.
        appended: name of the append-only directory.
        modules: files of the modules to load.
    """

    def __init__(
        self,
        binary: str,
        folder: str,
        socket_path: str,
        launcher: int,
        *,
        manifest: str,
        appended: str,
        modules: Sequence[str] = (),
    ) -> None:
        self._binary = binary
        self._folder = folder
        self._socket_path = socket_path
        self._launcher = launcher
        self._manifest = manifest
        self._appended = appended
        self._modules = modules
        self._keeper_lock = _open_lock(KEEPER_LOCK)
        self._server_lock = _open_lock(SERVER_LOCK)
        self._lease = _open_lock(LEASE)
        self._synced: dict[str, int] = {}
        self._stopping = False
        self._ended = threading.Event()
        self._server = 0

    def run(self) -> None:
        """Keep the server until the last lease is given back, then end it cleanly."""
        if not self._take_folder():
            self._tell(RIVAL)
            return
        try:
            # Whoever started this may have been killed since, and the folder been converted.
            if not self._is_as_expected():
                _note("the folder was converted since its server was asked for")
                self._tell(ENDED)
                return
            _bound_log()
            _publish(self._socket_path)
            self._server = self._start_server()
        except OSError as problem:
            _note(f"cannot start the server: {problem}")
            self._tell(REFUSED)
            return
        for duty in (self._watch_server, self._tend_server):
            threading.Thread(target=duty, daemon=True).start()
        fcntl.flock(self._lease, fcntl.LOCK_EX)
        self._stop_server()

    def _take_folder(self) -> bool:
        # POSIX locks, unlike flock, are not inherited by the server or by a client's fork: a free
        # lock always means that the keeper is gone.
        if not _taken(fcntl.lockf, self._keeper_lock, _KEEPER_PATIENCE):
            return False
        if _taken(fcntl.flock, self._server_lock, 0):
            return True
        # A server without keeper: the system is about to end it, or has no way to (macOS).
        with contextlib.suppress(OSError):
            ask(self._socket_path, "SHUTDOWN NOW")
        free = _taken(fcntl.flock, self._server_lock, _SERVER_PATIENCE)
        if not free:
            _note("an earlier server still holds this folder and does not end")
        return free

    def _is_as_expected(self) -> bool:
        with open(MANIFEST, "rb") as manifest:  # noqa: PTH123  # no pathlib
            return manifest.read() == os.fsencode(self._manifest)

    def _start_server(self) -> int:
        policy = "always" if os.path.exists(ALWAYS_MARK) else "no"  # noqa: PTH110  # no pathlib
        settings = [
            *_SETTINGS.items(),
            ("unixsocket", self._socket_path),
            ("appendfsync", policy),
            ("appenddirname", self._appended),
            *(("loadmodule", module) for module in self._modules),
        ]
        words = [word for name, value in settings for word in (f"--{name}", value)]
        keeper, libc = os.getpid(), ctypes.CDLL(None)
        pid = os.fork()
        if pid:
            return pid
        try:
            if sys.platform == "linux":
                # KILL, not TERM: written is written, and TERM can be put off by a busy server.
                libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == keeper:
                os.set_inheritable(self._server_lock, True)
                os.chdir(SERVER_DIR)
                os.execv(self._binary, [self._binary, *words])  # noqa: S606  # becomes the server
        except OSError as problem:
            _note(f"cannot run {self._binary}: {problem}")
        finally:
            os._exit(127)

    def _watch_server(self) -> None:
        _, status = os.waitpid(self._server, 0)
        self._ended.set()
        if not self._stopping:
            _note(f"the server ended with wait status {status}")
            refused = os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0
            _remove(self._socket_path)
            self._tell(REFUSED if refused else ENDED)
            os._exit(1)

    def _tend_server(self) -> None:
        while not self._answers():
            time.sleep(0.003)
        self._tell(READY)
        while not (trouble := self._trouble()):
            time.sleep(_SYNC_INTERVAL)
        _note(f"ending the server: {trouble}")
        self._ask_server_to_end()

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return ask(self._socket_path, "PING") == b"+PONG"
        return False

    def _trouble(self) -> str:
        """Sync what was appended; say why the server cannot go on, or nothing."""
        try:
            self._sync()
            if not os.path.samestat(os.fstat(self._lease), os.stat(f"{self._folder}/{LEASE}")):  # noqa: PTH116  # no pathlib
                return "its folder was replaced by another one"
            os.stat(self._socket_path)  # noqa: PTH116  # no pathlib
        except OSError as problem:
            return str(problem)
        return ""

    def _sync(self) -> None:
        # `appendfsync everysec` puts off the write itself while an fsync is under way, and lost
        # acknowledged entries when killed then; `no` writes at once and leaves the fsync to us.
        for name in _incremental_files(f"{SERVER_DIR}/{self._appended}"):
            with contextlib.suppress(FileNotFoundError), open(name, "rb") as appended:  # noqa: PTH123  # no pathlib
                size = os.fstat(appended.fileno()).st_size
                if self._synced.get(name) != size:
                    _sync_file(appended.fileno())
                    self._synced[name] = size

    def _stop_server(self) -> None:
        self._stopping = True
        self._ask_server_to_end()
        if not self._ended.wait(_STOP_PATIENCE):
            _note("the server does not end by itself: killing it")
            os.kill(self._server, signal.SIGKILL)
            self._ended.wait()
        self._sync()
        for name in (SOCKET_RECORD, ALWAYS_MARK, self._socket_path):
            _remove(name)

    def _ask_server_to_end(self) -> None:
        # A command is obeyed at once, a signal only at the next tick of the server's clock (90 ms).
        with contextlib.suppress(OSError):
            if not ask(self._socket_path, "SHUTDOWN"):
                return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._server, signal.SIGTERM)

    def _tell(self, verdict: int) -> None:
        # The launcher may have been killed with its client.
        with contextlib.suppress(OSError):
            os.write(self._launcher, bytes([verdict]))


_sync_file: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


def _open_lock(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _taken(lock: Callable[[int, int], object], file: int, patience: float) -> bool:
    """Try for so many seconds to lock a file for this process alone."""
    deadline = time.monotonic() + patience
    while True:
        with contextlib.suppress(BlockingIOError, PermissionError):
            lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.005)


def _incremental_files(folder: str) -> list[str]:
    if not os.path.isdir(folder):  # noqa: PTH112  # no pathlib
        return []
    return [f"{folder}/{name}" for name in os.listdir(folder) if name.endswith(".incr.aof")]  # noqa: PTH208  # no pathlib


def _publish(socket_path: str) -> None:
    # Renamed into place, so that no client reads half a path.
    draft = f"{SOCKET_RECORD}.{os.getpid()}"
    try:
        with open(draft, "wb") as record:  # noqa: PTH123  # no pathlib
            record.write(os.fsencode(socket_path))
        os.replace(draft, SOCKET_RECORD)  # noqa: PTH105  # no pathlib
    except OSError as problem:
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # The server can be read all the same: without a record clients find the usual place.
        _remove(draft)
        _remove(SOCKET_RECORD)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108  # no pathlib


def _bound_log() -> None:
    if os.fstat(1).st_size > _LOG_LIMIT:
        os.ftruncate(1, 0)


def _note(text: str) -> None:
    stamp = time.strftime("%d %b %Y %H:%M:%S")
    with contextlib.suppress(OSError):  # on a full disk, where all else must go on
        os.write(1, f"{os.getpid()}:K {stamp} * {text}\n".encode(errors="replace"))


def main(
    binary: str, folder: str, socket_path: str, manifest: str, appended: str, *modules: str
) -> int:
    """Start the keeper in a process of its own and wait for its first word.

    Returns:
        ``READY`` when the server answers, ``RIVAL`` when the folder has a keeper already,
        ``REFUSED`` when the server declined to start, ``ENDED`` when it or its keeper was ended.
    """
    # Both are inherited: an ignored SIGCHLD breaks waitpid, a blocked SIGTERM the clean stop.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.umask(0o077)
    os.chdir(folder)
    launcher_end, keeper_end = os.pipe()
    if os.fork():
        os.close(keeper_end)
        verdict = os.read(launcher_end, 1)
        return verdict[0] if verdict else ENDED
    os.close(launcher_end)
    Keeper(
        binary,
        folder,
        socket_path,
        keeper_end,
        manifest=manifest,
        appended=appended,
        modules=modules,
    ).run()
    return READY


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
