"""Reads exported files row by row, each row checked. Needs pyarrow for Parquet."""

from __future__ import annotations

import base64
import binascii
import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from agent_memory.errors import EncodingError, InvalidEntry, MemoryStoreError, StoreUnavailable
from agent_memory.system.frames.chunk import EXACT, OWN, RUN
from agent_memory.system.frames.exact import FORMAT, FORMAT_KEY, exact_parts
from agent_memory.system.frames.run_cells import run_of_cell
from agent_memory.values.entry import MemoryEntry, Tier
from agent_memory.values.formats import at, newer
from agent_memory.values.interruptions import raise_if_interrupted
from agent_memory.values.run import RunRecord

_AT_ONCE = 1000
_LONGEST_CELL = 2**31 - 1


class FileRow(NamedTuple):
    """An entry of a file.

    Attributes:
        place: The file and the row, for messages.
        entry: The entry.
        tier: Where it was.
        space: The space of its vector, if that is of the user's own.
        run: What is recorded of its run, if the row says it.
    """

    place: str
    entry: MemoryEntry
    tier: Tier
    space: str | None = None
    run: RunRecord | None = None


def files_of(path: Path) -> list[Path]:
    """The files of an export: the path, or all in the folder.

    Raises:
        StoreUnavailable: There is none.
        InvalidEntry: One has a name of another format.
    """
    files = sorted(path.rglob("*.*")) if path.is_dir() else [path]
    files = [file for file in files if file.is_file()] if path.is_dir() else files
    if not files or not files[0].exists():
        raise StoreUnavailable(f"{path}: there is no export")
    return files


def rows_of(files: list[Path]) -> Iterator[FileRow]:
    """The rows of some files.

    Raises:
        EncodingError: A row is damaged, or was changed; names it.
        StoreUnavailable: A file cannot be read.
    """
    for file in files:
        number = 0
        try:
            for cells in _reader(file)(file):
                number += 1
                yield _checked(f"{file}, row {number}", cells)
        except OSError as error:
            raise_if_interrupted(error)
            raise StoreUnavailable(
                f"{file}, after row {number}: cannot be read ({error})"
            ) from error
        except (pa.ArrowException, ValueError, csv.Error) as error:
            if isinstance(error, MemoryStoreError):
                raise
            raise EncodingError(
                f"{file}, after row {number}: the file is damaged ({error})"
            ) from error


def _checked(place: str, cells: Mapping[str, Any]) -> FileRow:
    try:
        return _row(place, cells)
    except EncodingError as error:
        raise at(place, error) from error


def _row(place: str, cells: Mapping[str, Any]) -> FileRow:
    if EXACT not in cells:
        raise EncodingError(f"there is no column {EXACT!r}, which memory.export writes")
    entry, space = exact_parts(_bytes(cells[EXACT]))
    for name in OWN:
        value = getattr(entry, name, None)  # the tier is no field
        if name != "tier" and name in cells and not _is_same(cells[name], value):
            raise EncodingError(
                f"{name} is {cells[name]!r}, and {value!r} in its exact bytes, which are what is "
                "imported: columns are for reading"
            )
    tier = cells.get("tier")
    if tier not in _TIERS:
        raise EncodingError(f"tier is {tier!r}, which is none")
    told = cells.get(RUN)
    run = run_of_cell(entry.run_id, told) if told not in (None, "") else None
    return FileRow(place, entry, Tier[str(tier)], space, run)


_TIERS = {tier.name for tier in Tier}
_READ = {*OWN, EXACT, RUN}


def _bytes(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    try:
        return base64.b64decode(cell, validate=True)
    except binascii.Error as error:
        raise EncodingError(f"its exact bytes are no base64 ({error})") from error


def _is_same(cell: object, value: object) -> bool:
    """Whether a cell, which may be text, says a value."""
    if value is None or cell is None or cell == "":
        return value is None and cell in (None, "")
    if isinstance(value, bool):
        return str(cell).lower() == str(value).lower()
    if isinstance(value, float):
        try:
            return float(cell) == value  # type: ignore[arg-type]  # text or a number
        except (TypeError, ValueError):
            return False
    return str(cell) == str(value)


# -- formats --------------------------------------------------------------------------------


def _reader(file: Path) -> Callable[[Path], Iterator[Mapping[str, Any]]]:
    kind = file.suffix[1:].lower()
    if kind not in _READERS:
        with file.open("rb") as opened:
            kind = _FIRST_BYTES.get(opened.read(4), "")
    if kind not in _READERS:
        raise InvalidEntry(f"path: {file} ends in none of .{', .'.join(_READERS)}")
    return _READERS[kind]


_FIRST_BYTES = {b"PAR1": "parquet", b'{"ru': "jsonl", b'"run': "csv"}


def _parquet(file: Path) -> Iterator[Mapping[str, Any]]:
    with pq.ParquetFile(file) as opened:
        _check_format(file, opened.schema_arrow.metadata or {})
        wanted = [name for name in opened.schema_arrow.names if name in _READ]
        for batch in opened.iter_batches(_AT_ONCE, columns=wanted):
            yield from batch.to_pylist()


def _check_format(file: Path, metadata: Mapping[bytes, bytes]) -> None:
    number = metadata.get(FORMAT_KEY, b"1")
    if not number.isdigit() or int(number) < 1:
        raise EncodingError(f"{file}: its format is {number!r:.80}, which is no number of one")
    if int(number) > FORMAT:
        raise newer(str(file), int(number), FORMAT)


def _jsonl(file: Path) -> Iterator[Mapping[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise EncodingError("a row is no JSON object")
            # What is null was left out.
            yield dict.fromkeys((*OWN, EXACT)) | row


def _csv(file: Path) -> Iterator[Mapping[str, Any]]:
    former = csv.field_size_limit(_LONGEST_CELL)
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            yield from csv.DictReader(lines, strict=True)
    finally:
        csv.field_size_limit(former)


_READERS: Mapping[str, Callable[[Path], Iterator[Mapping[str, Any]]]] = {
    "parquet": _parquet,
    "jsonl": _jsonl,
    "csv": _csv,
}
