"""How much room a file system has, and what to say where it has none left.

What stops a write is not always a full disk: a quota and a limit on the size of files do too, and
the free space tells nothing of either.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent_memory.errors import StoreFull, StoreUnavailable
from agent_memory.values.interruptions import raise_if_interrupted

if sys.platform != "win32":
    import resource

AMPLE: Final = 64 * 1024 * 1024
"""So many free bytes are more than a server has under way at any moment."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SCARCE: Final = 256 * 1024  # bytes, of which a database cannot have as much as it takes at once
# Of these the free space is all that limits a file, unless a quota is among their options.
_PLAIN: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "tmpfs", "overlay", "f2fs", "ramfs"})
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """The room of a file system.

    Attributes:
        mount: Where it is mounted.
        free: Bytes that this user may still write.
        size: Bytes that it holds.
    """

    mount: Path
    free: int
    size: int

    @property
    def is_full(self) -> bool:
        """Whether there is not even room for a small file or some pages of a database."""
        return self.free < _SCARCE


def free_bytes(folder: str | Path) -> int:
    """How many bytes this user may still write to the file system of a folder.

    Raises:
        OSError: There is no such folder.
    """
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def space_of(path: Path) -> DiskSpace | None:
    """The room of the file system that a file is on, or would be; None: nobody knows."""
    try:
        place = Path(os.path.realpath(path))
        while not place.exists():
            place = place.parent
        found, device = os.statvfs(place), place.stat().st_dev
        while place.parent != place and place.parent.stat().st_dev == device:
            place = place.parent
    except OSError as error:
        raise_if_interrupted(error)
        return None
    unit = found.f_frsize
    return DiskSpace(place, found.f_bavail * unit, found.f_blocks * unit)


def is_full(error: OSError) -> bool:
    """Whether a file could not be written since there is no room for it."""
    return error.errno in _FULL


def unwritable(
    what: str, path: Path, error: Exception, otherwise: str | None = None
) -> StoreUnavailable:
    """What to raise of a file that could not be written.

    Args:
        what: What to call it.
        path: The file.
        error: What was raised.
        otherwise: What to say unless there is no room for it; None: to look at the folder.
    """
    problem = f"{what} cannot be written ({error}); "
    if (isinstance(error, OSError) and is_full(error)) or is_full_database(error, path):
        return StoreFull(f"{problem}{advice_for(path)}")
    return StoreUnavailable(f"{problem}{otherwise or _advice_on_folder(path)}")


def _advice_on_folder(path: Path) -> str:
    for folder in path.parents:
        if folder.exists() and not folder.is_dir():
            return f"{folder} is a file: name another folder"
    return "check the folder and its permissions"


def full_database(error: BaseException | None, where: str, file: Path | None) -> StoreFull | None:
    """What to raise where a database has no room; None: that is not what it complains about.

    Args:
        error: The driver's.
        where: Its URL, without a password.
        file: SQLite's; None: it is on a server.
    """
    if file is not None and is_full_database(error, file):
        return StoreFull(f"{where}: {error}; {advice_for(file)}")
    if "No space left on device" in str(error):  # as PostgreSQL says it
        return StoreFull(f"{where}: {error}; free some space on the disk of that server")
    return None


def is_full_database(error: BaseException | None, file: Path) -> bool:
    """Whether a statement failed since there is no room for a SQLite file.

    SQLite says so itself of what it writes to the file and its log. Where it makes another file,
    or a quota or a limit is reached, it tells of a fault of the disk instead.
    """
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_IOERR:
        space = space_of(file)
        return (space is not None and space.is_full) or _own_limit() is not None
    return code == sqlite3.SQLITE_FULL


def advice_for(path: Path) -> str:
    """Which file system has no room for a file, how much is free there, and how to mend it."""
    space = space_of(path)
    if space is None:
        return "free some space on its disk"
    room = f"{_readable(space.free)} of {_readable(space.size)} free"
    if space.free < AMPLE:
        full = "full" if space.is_full else "nearly full"
        return (
            f"the file system at {space.mount} is {full} ({room}): delete or move files there, or "
            "make it larger, and call again"
        )
    limit = _own_limit()
    limited = "" if limit is None else f" (ulimit -f allows {_readable(limit)})"
    return (
        f"the file system at {space.mount} has {room}, so that a quota or a limit on the size of "
        f"files{limited} is what was reached: raise it, and call again"
    )


def is_told_by_free_space(folder: Path, process: int | None) -> bool:
    """Whether a process can write to files of a folder for as long as there is free space.

    Args:
        folder: The folder.
        process: The process that writes, of this user; None: this one.
    """
    return _limit_of(process) is None and _is_plain(folder)


def _limit_of(process: int | None) -> int | None:
    """The most bytes that a file of a process may have; None: any number."""
    if process is None or not hasattr(resource, "prlimit"):
        return _own_limit()
    try:
        limit, _ = resource.prlimit(process, resource.RLIMIT_FSIZE)
    except OSError as error:
        raise_if_interrupted(error)
        return _own_limit()
    return None if limit == resource.RLIM_INFINITY else limit


def _own_limit() -> int | None:
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if limit == resource.RLIM_INFINITY else limit


def _is_plain(folder: Path) -> bool:
    if sys.platform != "linux":
        return True
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError as error:
        raise_if_interrupted(error)
        return False
    for mount in mounts:
        # 36 35 98:0 / /mnt rw,noatime - ext4 /dev/root rw,usrquota
        about, _, system = mount.partition(" - ")
        if about.split()[2] == number:
            kind, *_, options = system.split()
            quota = any("quota" in name and name != "noquota" for name in options.split(","))
            return kind in _PLAIN and not quota
    return False


def _readable(size: int) -> str:
    amount, unit = float(size), 0
    while amount >= 1000 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.3g} {_UNITS[unit]}"
