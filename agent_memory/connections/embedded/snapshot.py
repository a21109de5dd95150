"""A copy of an embedded server's folder, to be read where the folder itself may not be written.

The server locks its folder, logs, listens and appends there, none of which can be done in a folder
that is read-only or another user's. So its files are copied into a folder of this process, and a
server of its own reads them: what is written to the memory afterwards is not seen.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from agent_memory.connections.embedded import keeper
from agent_memory.connections.embedded.folder import REDIS_INSTEAD
from agent_memory.connections.embedded.manifest import APPENDED, read_manifest
from agent_memory.errors import StoreUnavailable
from agent_memory.values.files import is_writable
from agent_memory.values.interruptions import raise_if_interrupted

_ATTEMPTS = 5  # the server of another user may replace its files meanwhile
_LOCKS = (keeper.LEASE, keeper.KEEPER_LOCK, keeper.SERVER_LOCK, keeper.LOG)


def can_be_served(folder: Path) -> bool:
    """Whether a server can work in a folder: it and what is locked there may be written."""
    there = [folder, folder / keeper.SERVER_DIR, *(folder / name for name in _LOCKS)]
    return all(is_writable(one) for one in there if one.exists())


def copied_folder(opened: ExitStack, folder: Path) -> Path:
    """Copy what a server reads of a folder; the copy is removed when ``opened`` is closed.

    Raises:
        StoreUnavailable: A file cannot be read, or there is no room for the copies.
    """
    manifest = read_manifest(folder)
    appended = APPENDED[0] if manifest is None else manifest.appended
    try:
        copy = Path(opened.enter_context(tempfile.TemporaryDirectory(
            prefix="agent_memory-read-only-", ignore_cleanup_errors=True)))  # fmt: skip
        if manifest is not None:
            shutil.copyfile(folder / keeper.MANIFEST, copy / keeper.MANIFEST)
        source = folder / keeper.SERVER_DIR / appended
        if source.is_dir():
            _copy_files(source, copy / keeper.SERVER_DIR / appended)
    except OSError as error:
        raise_if_interrupted(error)
        raise StoreUnavailable(
            f"the memory in {folder} may not be written, and cannot be copied to be read "
            f"({error}): let its owner grant the right to read (chmod -R a+rX), make room in "
            f"{tempfile.gettempdir()}, {REDIS_INSTEAD}"
        ) from error
    return copy


def _copy_files(source: Path, target: Path) -> None:
    for attempt in range(_ATTEMPTS):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(mode=0o700, parents=True)
        try:
            # Those that name others come first: what is named is there for longer.
            for file in sorted(source.iterdir(), key=lambda one: one.suffix != ".manifest"):
                shutil.copyfile(file, target / file.name)
        except FileNotFoundError:
            if attempt + 1 == _ATTEMPTS:
                raise
        else:
            return
