"""Sees that a backup holds what a memory would have saved, before any of it is restored.

Its checksum only says that a file is as it was sealed. Somebody may have changed it and sealed it
again, and a table of SQLite may be a view that never ends: nothing is read before it is known to be
a table, and nothing is restored before all of it was read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgpack

from agent_memory.compression.levels import ContentsCodec
from agent_memory.errors import EncodingError, InvalidEntry, NewerFormat
from agent_memory.repositories.sql.encoders import FORMAT
from agent_memory.system.backups.coded import codec_of
from agent_memory.system.backups.file import SPOOL, Backup, SavedEntry, contents_of, entry_of
from agent_memory.values.attributes import checked_path
from agent_memory.values.checks import checked_count, checked_time, checked_version
from agent_memory.values.coded import is_coded
from agent_memory.values.formats import at, newer
from agent_memory.values.identity import checked_memory_id, checked_run_id
from agent_memory.values.quoting import quoted

_SMALL = 2**15 - 1  # of a column of 16 bits
_INTEGERS = range(-(2**63), 2**63)
_MOST_DIGITS = 4_000  # of a seed; more are no int to Python either
_NAMES = 3  # of what is wrong that a message lists

_Check = Callable[[str, Any], object]


def validate(backup: Backup, max_entry_bytes: int | None) -> None:
    """See that every row can be restored.

    Args:
        backup: The backup.
        max_entry_bytes: How many bytes contents may have.

    Raises:
        EncodingError: One cannot; the message names it.
    """
    try:
        backup.check_structure()
        tables = {name: backup.table(name) for name in _COLUMNS}
        for name, rows in tables.items():
            for number, row in enumerate(rows):
                _check_row(f"{name}, row {number + 1}", row, _COLUMNS[name])
        runs = {run["name"]: run["parent"] for run in _distinct("runs", tables["runs"], "name")}
        _check_parents("runs", runs)
        versions = _distinct("versions", tables["versions"], "id")
        _distinct("versions", [row for row in versions if row["name"] is not None], "name")
        _check_parents("versions", {0: None} | {row["id"]: row["parent_id"] for row in versions})
        named = {row["run"] for row in tables["tombstones"]}
        _check_there("tombstones", named, runs)
        _check_entries(backup, codec_of(backup, versions, max_entry_bytes))
    except NewerFormat as error:
        raise at(f"the backup {backup.path}", error) from error
    except (InvalidEntry, EncodingError) as error:
        raise EncodingError(
            f"the backup {backup.path} cannot be restored ({error}): somebody has changed it; use "
            "another"
        ) from error


def _check_row(place: str, row: Mapping[str, Any], columns: Mapping[str, _Check]) -> None:
    for name, check in columns.items():
        if name not in row and name not in _LATER:
            raise EncodingError(f"{place}: {name} is missing")
        if name in row:
            check(f"{place}: {name}", row[name])


def _distinct(table: str, rows: Sequence[dict[str, Any]], column: str) -> Sequence[dict[str, Any]]:
    if len({row[column] for row in rows}) < len(rows):
        raise EncodingError(f"{table}: two rows of the same {column}")
    return rows


def _check_parents(table: str, parents: Mapping[Any, Any]) -> None:
    """See that all are there, and that none is above itself."""
    _check_there(table, {one for one in parents.values() if one is not None}, parents)
    settled: set[Any] = {None}
    for one in parents:
        path = []
        while one not in settled:
            if one in path:
                raise EncodingError(f"{table}: {quoted(one)} is a parent of itself")
            path.append(one)
            one = parents[one]  # noqa: PLW2901  # the way up
        settled.update(path)


def _check_there(table: str, named: Iterable[Any], there: Iterable[Any]) -> None:
    if missing := sorted({*named} - {*there}, key=str)[:_NAMES]:
        raise EncodingError(f"{table}: {', '.join(map(quoted, missing))} is named and not there")


def _check_entries(backup: Backup, codec: ContentsCodec) -> None:
    read = 0
    for tier in (SPOOL, 0, 1, 2):
        for batch in backup.entries(tier):
            read += len(batch)
            for saved in batch:
                _check_entry(saved, codec)
    if read != backup.count():
        raise EncodingError("entries: rows of no tier, or without a number of their own")


def _check_entry(saved: SavedEntry, codec: ContentsCodec) -> None:
    place = f"entry {quoted(saved.memory_id)}"
    if saved.tier == SPOOL:
        checked_time(f"{place}: spooled_at", saved.spooled_at)
    entry = entry_of(saved, codec)
    if (entry.run_id, entry.agent_id, entry.memory_id) != (saved.run, saved.agent, saved.memory_id):
        raise EncodingError(f"{place}: its key is spelled otherwise than any memory spells it")
    if saved.tier < 1 and is_coded(contents_of(saved)):
        raise EncodingError(f"{place}: short-term memory has no coded contents")


# -- what columns may hold ------------------------------------------------------------------------


def _or_none(check: _Check) -> _Check:
    return lambda place, value: None if value is None else check(place, value)


def _text(place: str, value: object) -> None:
    if not isinstance(value, str):
        raise EncodingError(f"{place} is no text but {quoted(value)}")


def _blob(place: str, value: object) -> None:
    if not isinstance(value, bytes):
        raise EncodingError(f"{place} holds no bytes but {quoted(value)}")


def _number(place: str, value: object) -> None:
    if type(value) is not float and type(value) is not int:
        raise EncodingError(f"{place} is no number but {quoted(value)}")
    checked_time(place, value)


def _integer(place: str, value: object) -> None:
    if type(value) is not int or value not in _INTEGERS:
        raise EncodingError(f"{place} is no integer but {quoted(value)}")


def _format(place: str, value: Any) -> None:
    if checked_count(place, value) > _SMALL:
        raise EncodingError(f"{place} is {quoted(value)}, which is no format")
    if value > FORMAT:
        raise newer(place, value, FORMAT)


def _run(place: str, value: object) -> None:
    _text(place, value)
    if checked_run_id(value) != value:
        raise EncodingError(f"{place} is {quoted(value)}, which is no name of a run")


def _memory_id(place: str, value: object) -> None:
    _text(place, value)
    if checked_memory_id(value) != value:
        raise EncodingError(f"{place} is {quoted(value)}, which is no id")


def _version(place: str, value: object) -> None:
    _integer(place, value)
    checked_version(value, place)


def _new_version(place: str, value: object) -> None:
    _version(place, value)
    if value == 0:
        raise EncodingError(f"{place} is 0, which is the version that needs no training")


def _seed(place: str, value: object) -> None:
    _text(place, value)
    digits = str(value).removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS):
        raise EncodingError(f"{place} is {quoted(value)}, which is no seed")


def _json(place: str, value: object) -> None:
    _text(place, value)
    try:
        read = json.loads(str(value))
    except (ValueError, RecursionError) as error:
        raise EncodingError(f"{place} is no JSON ({error})") from error
    if not isinstance(read, dict):
        raise EncodingError(f"{place} is no object of JSON")


def _path(place: str, value: object) -> None:
    _text(place, value)
    checked_path(value)


def _packed(place: str, value: object) -> None:
    _blob(place, value)
    try:
        read = msgpack.unpackb(value)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise EncodingError(f"{place} cannot be read ({error!r:.80})") from error
    if not isinstance(read, dict):
        raise EncodingError(f"{place} holds no fields by name")


_COLUMNS: Mapping[str, Mapping[str, _Check]] = {
    "runs": {
        "name": _run,
        "parent": _or_none(_run),
        "fork_step": _or_none(_integer),
        "seed": _or_none(_seed),
        "status": _text,
        "created_at": _number,
        "parameters": _or_none(_json),
    },
    "versions": {
        "id": _new_version,
        "name": _or_none(_text),
        "kind": _or_none(_text),
        "status": _text,
        "format": _format,
        "created_at": _number,
        "parent_id": _or_none(_version),
        "tolerances": _or_none(_json),
        "metrics": _or_none(_json),
        "feature_schema": _or_none(_blob),
        "dictionary": _or_none(_blob),
        "weights": _or_none(_blob),
    },
    "tombstones": {
        "run": _run,
        "memory_id": _memory_id,
        "agent_hash": _integer,
        "forgotten_at": _number,
        "released_at": _or_none(_number),
    },
    "attributes": {"path": _path},
    "unreadable": {"place": _text, "why": _text, "at": _number, "stored": _packed},
}
_LATER = {"agent_hash", "parameters"}
"""Columns that early backups do not have."""
