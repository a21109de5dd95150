"""The file of a SQLite database: its URL, its folder, and how it is read where none may write.

SQLite reads a database with a write-ahead log only where it may write beside it, or where that log
and its index are there. In a folder that is read-only they are not, once the last writer has left.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from urllib.parse import quote, unquote

from sqlalchemy import URL, Engine

from agent_memory.errors import StoreUnavailable
from agent_memory.values.file_names import whole_path
from agent_memory.values.files import is_writable
from agent_memory.values.interruptions import raise_if_interrupted

_COPY = "agent_memory-read-only-"


def file_of(url: URL) -> str:
    """The path of the file that a URL of SQLite names."""
    return unquote((url.database or "").removeprefix("file:"))


def file_url(url: URL, *, read_only: bool) -> URL:
    """The URL of a file, absolute: the process may change its folder before it connects again.

    Args:
        url: As it was given.
        read_only: Read the file that is there, also where its folder may not be written; else
            the folder is made if it is missing.

    Raises:
        ConfigError: The path is relative and the current folder gone, or it is no text.
        StoreUnavailable: The folder cannot be made, or the file to be read is not there.
    """
    if (url.database or "").startswith("file:"):
        return url.update_query_dict({"mode": "ro"}) if read_only else url
    path = _absolute(url.database or "")
    if not read_only:
        _make_folder(path.parent)
        return url.set(database=str(path))
    if not path.is_file():
        raise StoreUnavailable(f"long-term memory: there is no file {path} to read")
    options = {"mode": "ro", "uri": "true"}
    if not is_writable(path.parent):
        path, options = _without_writing(path, options)
    return url.set(database=f"file:{quote(str(path))}").update_query_dict(options)


def remove_copy_with(engine: Engine, file: str) -> None:
    """Remove a file that was copied to be read, once nobody uses its engine any more."""
    folder = Path(file).parent
    if folder.name.startswith(_COPY):
        weakref.finalize(engine, shutil.rmtree, folder, ignore_errors=True)


def _without_writing(path: Path, options: dict[str, str]) -> tuple[Path, dict[str, str]]:
    """The file to read, and the options to read it with, where nothing can be made beside it."""
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or not log.stat().st_size:
        # All is in the file. Nobody has it open for writing: who has, has a log.
        return path, {**options, "immutable": "1"}
    if os.access(path.with_name(f"{path.name}-shm"), os.R_OK):
        return path, options  # a writer has it open, whose index of the log is read
    try:
        folder = Path(tempfile.mkdtemp(prefix=_COPY))
        for one in (path, log):
            shutil.copyfile(one, folder / one.name)
    except OSError as error:
        raise_if_interrupted(error)
        raise StoreUnavailable(
            f"long-term memory: {path} has a log that was not written into it, and cannot be "
            f"copied to be read ({error}): let its owner open the memory once, or make room in "
            f"{tempfile.gettempdir()}"
        ) from error
    return folder / path.name, {"uri": "true"}


def _absolute(name: str) -> Path:
    # In a URL, ~ is a letter.
    return whole_path(f"./{name}" if name.startswith("~") else name, "ltm_url")


def _make_folder(folder: Path) -> None:
    try:
        # What agents remember is its user's alone, unless the user made the folder otherwise.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise_if_interrupted(error)
        raise StoreUnavailable(
            f"long-term memory: the folder {folder} cannot be made ({error.strerror}); "
            "name another, or change the permissions of the one above it"
        ) from error
