"""What an embedded server's folder tells: who holds it, and where its server listens.

Two kinds of lock are used on purpose. The lease is a `flock`, which a forked process shares; the
keeper's is a POSIX lock, which it does not, so that looking at it leaves nothing in a fork.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from agent_memory.connections.disk_space import advice_for, is_full
from agent_memory.connections.embedded import keeper
from agent_memory.errors import StoreFull, StoreUnavailable
from agent_memory.values.interruptions import raise_if_interrupted

if sys.platform != "win32":  # no server there, but the package can be imported
    import fcntl

REDIS_INSTEAD: Final = "or pass redis_url= to use a server of your own"

_SOCKET_LIMIT: Final = 103  # bytes; macOS takes 103, Linux 107
_LOG_LINES: Final = 12


@contextlib.contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Turn what the file system says about a folder into `StoreUnavailable`."""
    try:
        yield
    except OSError as problem:
        raise_if_interrupted(problem)
        if is_full(problem):
            raise StoreFull(
                f"the embedded server cannot use the folder {folder}: {problem}; "
                f"{advice_for(folder)}"
            ) from problem
        raise StoreUnavailable(
            f"the embedded server cannot use the folder {folder}: {problem}. Choose a folder that "
            f"this user can make and write (path= or $AGENT_MEMORY_PATH), {REDIS_INSTEAD}"
        ) from problem


def prepare(folder: Path) -> None:
    """Make the folder and the server's own beneath it, when missing.

    Raises:
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / keeper.SERVER_DIR).mkdir(mode=0o700, exist_ok=True)


@contextlib.contextmanager
def unconverted(folder: Path) -> Iterator[None]:
    """See that nobody converts the folder, for as long as the block lasts.

    A conversion that begins later finds the lease that the caller holds.

    Raises:
        StoreUnavailable: it is being converted.
    """
    try:
        lock = (folder / keeper.CONVERSION_LOCK).open("rb", 0)
    except FileNotFoundError:  # never was converted
        yield
        return
    with lock:
        if not _flocked(lock, fcntl.LOCK_SH):
            raise StoreUnavailable(
                f"the memory in {folder} is being converted by another process (agent-memory "
                "convert): try again when it is done"
            )
        yield


@contextlib.contextmanager
def converting(folder: Path) -> Iterator[None]:
    """Keep everybody else from opening or converting the folder, for as long as the block lasts.

    Raises:
        StoreUnavailable: it is being converted already.
    """
    with _lock_file(folder / keeper.CONVERSION_LOCK) as lock:
        if not _flocked(lock, fcntl.LOCK_EX):
            raise StoreUnavailable(
                f"the memory in {folder} is being converted or opened by another process: try "
                "again later"
            )
        yield


@contextlib.contextmanager
def deserted(folder: Path, patience: float) -> Iterator[None]:
    """Have a folder that no client, keeper or server holds, for as long as the block lasts.

    Args:
        folder: real path of the folder.
        patience: seconds to wait for those that hold it.

    Raises:
        StoreUnavailable: it is held for longer.
    """
    deadline = time.monotonic() + patience
    with (
        _lock_file(folder / keeper.LEASE) as lease,
        _lock_file(folder / keeper.SERVER_LOCK) as server,
    ):
        while not (_flocked(lease, fcntl.LOCK_EX) and _flocked(server, fcntl.LOCK_EX)):
            # Given back between two tries: a keeper that is to stop its server waits for it too.
            fcntl.flock(lease, fcntl.LOCK_UN)
            if time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"the memory in {folder} is in use by another process: close the simulations "
                    "and programs that have it open, and try again"
                )
            time.sleep(0.005)
        yield


def take_lease(folder: Path, timeout: float) -> IO[bytes]:
    """Take a share of the lease, which a keeper has for itself while it stops its server.

    Args:
        folder: real path of the folder.
        timeout: seconds to wait for the keeper.

    Raises:
        StoreUnavailable: the keeper took longer.
    """
    lease = _lock_file(folder / keeper.LEASE)
    deadline = time.monotonic() + timeout
    while not _flocked(lease, fcntl.LOCK_SH):
        if time.monotonic() > deadline:
            lease.close()
            raise StoreUnavailable(
                f"the embedded server of {folder} has been stopping for {timeout:g} s; a busy disk "
                f"delays its last sync: try again later.\n{log_tail(folder)}"
            )
        time.sleep(0.005)
    return lease


def is_leased(folder: Path) -> bool:
    """Whether clients hold the lease, as against nobody or a keeper that stops its server."""
    try:
        with (folder / keeper.LEASE).open("rb", 0) as probe:
            return not _flocked(probe, fcntl.LOCK_EX) and _flocked(probe, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def is_kept(folder: Path) -> bool:
    """Whether a keeper runs for the folder."""
    try:
        with (folder / keeper.KEEPER_LOCK).open("rb", 0) as probe:
            fcntl.lockf(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError as problem:
        raise_if_interrupted(problem)
        if problem.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        return True
    return False


def socket_path(folder: Path) -> str:
    """Return where the folder's server listens, or is to listen, in a private directory.

    The name is a hash of the folder's real path and of its lease file's identity: a folder that
    was removed and made again never meets the server of the old one. The place is the one on
    record when there is one, since processes of one user may differ in $XDG_RUNTIME_DIR.

    Args:
        folder: real path of the folder.

    Raises:
        OSError: the folder is gone.
        StoreUnavailable: the directory for sockets cannot be made, or is open to others.
    """
    lease = (folder / keeper.LEASE).stat()
    identity = os.fsencode(folder) + b"\0%d\0%d" % (lease.st_dev, lease.st_ino)
    name = hashlib.sha256(identity).hexdigest()[:32] + ".sock"
    with contextlib.suppress(FileNotFoundError):
        recorded = Path(os.fsdecode((folder / keeper.SOCKET_RECORD).read_bytes()))
        if recorded.name == name and _is_private(recorded.parent):
            return str(recorded)
    return str(_runtime_directory(len(name) + 1) / name)


def log_tail(folder: Path) -> str:
    """Return the last lines of the server's log under a line that names it."""
    path = folder / keeper.LOG
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError as problem:
        raise_if_interrupted(problem)
        return f"Its log cannot be read: {problem}"
    return "\n".join([f"The end of {path}:", *lines[-_LOG_LINES:]])


def _lock_file(path: Path) -> IO[bytes]:
    # Python opens descriptors close-on-exec: a program that the simulation starts holds no lease.
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "rb", 0)


def _flocked(file: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _runtime_directory(room: int) -> Path:
    session = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    path = session / "agent_memory"
    if not _is_private(session) or len(os.fsencode(path)) + room > _SOCKET_LIMIT:
        path = Path(f"/tmp/agent_memory-{os.geteuid()}")  # noqa: S108 - checked to be private below
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as problem:
        raise_if_interrupted(problem)
        raise StoreUnavailable(
            f"cannot make {path} for the embedded server's socket: {problem}. Make it possible or "
            f"set $XDG_RUNTIME_DIR to a directory of your own with mode 0700, {REDIS_INSTEAD}"
        ) from problem
    if not _is_private(path):
        raise StoreUnavailable(
            f"{path}, for the embedded server's socket, is not a directory that this user (uid "
            f"{os.geteuid()}) owns and nobody else can open (mode 0700): remove it, or set "
            f"$XDG_RUNTIME_DIR to a directory that is, {REDIS_INSTEAD}"
        )
    return path


def _is_private(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError as error:
        raise_if_interrupted(error)
        return False
    mine = found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return path.is_absolute() and stat.S_ISDIR(found.st_mode) and mine
