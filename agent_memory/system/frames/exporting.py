"""Writes a stream of rows to files that take their names when they are whole. Needs pyarrow."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from agent_memory.connections.disk_space import space_of, unwritable
from agent_memory.errors import InvalidEntry
from agent_memory.system.frames.receipts import ExportReceipt
from agent_memory.system.frames.stream import RowStream
from agent_memory.system.frames.writers import WRITERS, Writer
from agent_memory.values.interruptions import raise_if_interrupted
from agent_memory.values.progress import EntriesProgress
from agent_memory.values.quoting import quoted

PARTITIONS = ("run_id",)
"""The columns by which files can be partitioned."""


def format_of(path: Path, given: str | None, *, is_folder: bool = False) -> str:
    """The format of a file: the given one, or what its name ends in.

    Args:
        path: The file.
        given: The format; None: what the name says, and Parquet where it has no ending.
        is_folder: Whether it is a folder, whose name says nothing.

    Raises:
        InvalidEntry: There is no such format.
    """
    if given is not None:
        if given not in WRITERS:
            raise InvalidEntry(
                f"format: one of {', '.join(WRITERS)} is needed, not {quoted(given)}"
            )
        return given
    ending = path.suffix[1:]
    if is_folder or not ending:
        return "parquet"
    if ending.lower() not in WRITERS:
        raise InvalidEntry(
            f"path: {path} ends in none of .{', .'.join(WRITERS)}, and nothing was written; name "
            "it so, or give format= (--format)"
        )
    return ending.lower()


def refuse_existing(path: Path, *, force: bool) -> None:
    """Refuse a path where something is, unless it is to be replaced.

    Raises:
        InvalidEntry: Something is there.
    """
    if path.exists() and not force:
        raise InvalidEntry(f"path: {path} is there already; force=True (--force) replaces it")


def export(
    stream: RowStream,
    path: Path,
    kind: str,
    partition_by: str | None = None,
    progress: EntriesProgress | None = None,
) -> ExportReceipt:
    """Write the rows of a stream to a file, or to a folder with files for each run.

    Args:
        stream: The rows.
        path: The file or folder; what is there is replaced when the new one is whole.
        kind: The format.
        partition_by: None for a file, "run_id" for a folder.
        progress: Called after each batch.

    Raises:
        StoreUnavailable: The files cannot be written; nothing is left of them.
    """
    draft = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(draft)
        try:
            files = _Files(draft, kind, stream.schema, partition_by)
            try:
                _write(stream, files, progress)
            finally:
                files.close()
            for file in files.paths:
                _sync(file)
            size = sum(file.stat().st_size for file in files.paths)
            _put_in_place(draft, path)
        except BaseException:
            _remove(draft)
            raise
    except (OSError, pa.ArrowException) as error:
        raise_if_interrupted(error)
        what = f"{path} (as it was before)" if path.exists() else str(path)
        raise unwritable(what, _place_of(path), error) from error
    written = tuple(path / file.relative_to(draft) for file in files.paths)
    return ExportReceipt(path, written, stream.rows, size)


def _place_of(path: Path) -> Path:
    """The file that there is no room for: rows may wait in a temporary file before."""
    scratch = Path(gettempdir())
    space = space_of(scratch)
    return scratch if space is not None and space.is_full else path


def _write(stream: RowStream, files: _Files, progress: EntriesProgress | None) -> None:
    done = 0
    for batch in stream.batches():
        files.write(batch)
        done += batch.num_rows
        if progress is not None:
            progress(done, stream.rows)


class _Files:
    """The files of an export: one, or those of each run in a folder of its own."""

    def __init__(self, draft: Path, kind: str, schema: Any, partition_by: str | None) -> None:
        self._draft = draft
        self._kind = kind
        self._schema = schema
        self._partition_by = partition_by
        self._open: Writer | None = None
        self._value: str | None = None
        self.paths: list[Path] = []
        if partition_by is None:
            self._begin(draft)
        else:
            draft.mkdir()

    def write(self, batch: Any) -> None:
        """Write a batch, whose rows are all of one run."""
        if self._partition_by is not None:
            value = batch.column(self._partition_by)[0].as_py()
            if value != self._value:
                self._begin(self._next_file(value))
                self._value = value
        if self._open is not None:
            self._open.write_batch(batch)

    def close(self) -> None:
        """Close what is open."""
        if self._open is not None:
            opened, self._open = self._open, None
            opened.close()

    def _begin(self, file: Path) -> None:
        self.close()
        self._open = WRITERS[self._kind](file, self._schema)
        self.paths.append(file)

    def _next_file(self, value: str) -> Path:
        # As Hive names them, which readers of folders know; a name may hold what files cannot.
        folder = self._draft / f"{self._partition_by}={quote(value, safe='')}"
        folder.mkdir(exist_ok=True)
        return folder / f"part-{len(list(folder.iterdir()))}.{self._kind}"


def _put_in_place(draft: Path, path: Path) -> None:
    if not path.is_dir():
        if draft.is_dir():
            path.unlink(missing_ok=True)
        draft.replace(path)
        return
    former = path.with_name(f".{path.name}.former")
    _remove(former)
    path.replace(former)
    draft.replace(path)
    _remove(former)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            path.unlink()


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
