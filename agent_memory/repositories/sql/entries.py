"""Entries to rows of long-term memory and back, with their contents coded and decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from agent_memory.errors import EncodingError, InvalidEntry
from agent_memory.models.ltm import LtmModels
from agent_memory.models.ltm_many_rows import columns_to_contents, columns_to_entries
from agent_memory.models.ltm_rows import RawRow, entry_to_row, row_to_entry, vector_of
from agent_memory.models.ltm_vectors import code_vectors
from agent_memory.repositories.access import note_read
from agent_memory.repositories.codec import Codec
from agent_memory.repositories.reading import ValueOf
from agent_memory.repositories.sql.plans import rows_by_ids
from agent_memory.repositories.sql.statements import entries_at, ids_by_run
from agent_memory.values.coded import is_coded
from agent_memory.values.collecting import collection_paused
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.formats import at
from agent_memory.values.identity import id_of_bytes

_FEWEST_BY_COLUMNS = 4
"""Rows, below which one after the other takes no longer."""

_ID, _RUN, _AGENT = map(RawRow._fields.index, ("memory_id", "run_id", "agent_id"))

T = TypeVar("T")


class EntryRow(NamedTuple):
    """An entry, and the values of its row without the references."""

    entry: MemoryEntry
    values: dict[str, Any]


class RowMapper:
    """Turns entries into rows and rows into entries.

    Args:
        models: The models of the tables.
        codec: Codes contents.
        attributes_of: Gives the declared attributes of an entry's contents.
        max_entry_bytes: Refuse contents whose code needs more bytes; None: any size is stored.
    """

    def __init__(
        self,
        models: LtmModels,
        codec: Codec,
        attributes_of: Callable[[Mapping[str, Any]], dict[str, Any]],
        max_entry_bytes: int | None = None,
    ) -> None:
        self._models = models
        self._codec = codec
        self._attributes_of = attributes_of
        self._max_entry_bytes = max_entry_bytes

    def to_rows(self, entries: Sequence[MemoryEntry]) -> list[EntryRow]:
        """The rows of some entries. Whatever can be refused is refused here.

        Raises:
            InvalidEntry: An entry cannot be stored.
        """
        coded = self._codec.encode_many(entries)
        vectors = code_vectors([entry.embedding for entry in entries])
        return [self.to_row(*one) for one in zip(entries, coded, vectors, strict=True)]

    def to_row(
        self, entry: MemoryEntry, contents: bytes, vector: tuple[int, bytes | None] | None = None
    ) -> EntryRow:
        """The row of an entry whose contents are coded, and its vector, if that is known.

        Raises:
            InvalidEntry: The contents are too large, or a number does not fit its column.
        """
        if self._max_entry_bytes is not None and len(contents) > self._max_entry_bytes:
            raise InvalidEntry(
                f"contents: {len(contents)} bytes exceed max_entry_bytes={self._max_entry_bytes}; "
                "store less, or raise the limit in MemoryConfig"
            )
        attributes = self._attributes_of(entry.contents)
        return EntryRow(entry, entry_to_row(entry, contents, attributes, vector))

    def read(self, connection: Connection, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Those of the entries that are stored, in the order of the keys."""
        rows = {
            EntryKey(row[_RUN], row[_AGENT], id_of_bytes(row[_ID])): row
            for run_id, memory_ids in ids_by_run(set(keys))
            for row in rows_by_ids(
                connection, partial(entries_at, self._models), {"of_run": run_id}, memory_ids
            )
        }
        return self.to_entries([rows[key] for key in keys if key in rows])

    def to_entries(self, rows: Sequence[Any]) -> list[MemoryEntry]:
        """The entries of some rows, read as ``RawRow``, in a fraction of the time.

        Raises:
            EncodingError: A row is damaged; names the entry.
        """
        return self.of_columns([*zip(*rows, strict=True)])

    def of_columns(self, columns: Sequence[Sequence[Any]]) -> list[MemoryEntry]:
        """The entries of the columns of some rows; none of no columns. See ``to_entries``."""
        if not columns:
            return []
        count = len(columns[0])
        note_read(count)
        if count >= _FEWEST_BY_COLUMNS:
            with collection_paused():
                entries = columns_to_entries(columns, self._codec.decode_many)
            if entries is not None:
                return entries
        return self._one_by_one([*zip(*columns, strict=True)])

    def _one_by_one(self, rows: Sequence[Any]) -> list[MemoryEntry]:
        found = [_as_read(row) for row in rows]
        stored = [_named(row, _stored_in, row) for row in found]
        contents = self._codec.decode_many(
            [one for one, _, _ in stored],
            [step for _, step, _ in stored],
            [vector for _, _, vector in stored],
        )
        return [
            row_to_entry(row, _named(row, _raised, one), vector)
            for row, one, (_, _, vector) in zip(found, contents, stored, strict=True)
        ]

    def values_at(self, columns: Sequence[Sequence[Any]], path: str) -> list[ValueOf] | None:
        """The values at a path of some rows, given by the columns of ``ContentsRow``.

        Returns:
            None where a row may be damaged, or holds what is seldom: whoever reads entries says
            what.
        """
        if not columns:
            return []
        read = columns_to_contents(columns)
        if read is None:
            return None
        ids, steps, contents, vectors = read
        note_read(len(ids))
        found = self._codec.values_at(path, contents, steps, vectors)
        values = [
            ValueOf(memory_id, step, one.value, one.bounds)
            for memory_id, step, one in zip(ids, steps, found, strict=True)
            if not isinstance(one, EncodingError)
        ]
        return values if len(values) == len(ids) else None

    def contents_of_many(
        self, rows: Iterable[Any]
    ) -> list[tuple[dict[str, Any] | EncodingError, NDArray[np.float32] | None]]:
        """The contents of some rows, and the vectors that those were coded beside.

        In place of contents that are damaged stand their errors.
        """
        found = [_or_error(_stored_in, row) for row in rows]
        read = [one for one in found if not isinstance(one, EncodingError)]
        decoded = iter(
            self._codec.decode_many(
                [one for one, _, _ in read],
                [step for _, step, _ in read],
                [vector for _, _, vector in read],
            )
        )
        return [
            (one, None) if isinstance(one, EncodingError) else (next(decoded), one[2])
            for one in found
        ]

    def contents_of(self, row: Any) -> dict[str, Any]:
        """The contents of a row, which may have been coded beside its vector.

        Raises:
            EncodingError: They are damaged.
        """
        return self._codec.decode(*_stored_in(row))


def _as_read(row: Any) -> RawRow:
    """A row with its memory id as text."""
    read = RawRow(*row)
    return read._replace(memory_id=id_of_bytes(read.memory_id))


def _stored_in(row: Any) -> tuple[bytes, int, NDArray[np.float32] | None]:
    """The stored contents of a row, its step, and the vector that they may rest beside.

    Raises:
        EncodingError: They are damaged.
    """
    # SQLite keeps a value of any type in any column.
    if not isinstance(row.contents, bytes) or not isinstance(row.step_number, int):
        raise EncodingError("contents or step are of another type than was stored")
    return row.contents, row.step_number, vector_of(row) if is_coded(row.contents) else None


def _or_error(read: Callable[[Any], T], row: Any) -> T | EncodingError:
    try:
        return read(row)
    except EncodingError as error:
        return error


def _raised(contents: dict[str, Any] | EncodingError) -> dict[str, Any]:
    if isinstance(contents, EncodingError):
        raise contents
    return contents


def _named(row: Any, read: Callable[[Any], T], given: Any) -> T:
    """Read something of a row; the error about what is damaged names its entry."""
    try:
        return read(given)
    except EncodingError as error:
        place = f"entry {row.memory_id} of agent {row.agent_id!r} in run {row.run_id!r}"
        raise at(place, error) from error
