"""Turns many rows of long-term memory into entries at once, column by column.

Checks and conversions that Python makes for each row take four times as long as reading it. Here
each column is looked at as a whole. Where one holds anything but what was stored, the rows are
left to ``ltm_rows``, which says of each what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.errors import EncodingError
from agent_memory.models.ltm_rows import RawRow
from agent_memory.models.ltm_vectors import decode_vectors
from agent_memory.values.checks import are_in_range
from agent_memory.values.coded import CodedContents, bounds_of, is_coded
from agent_memory.values.entry import MemoryEntry, MemoryType

_TOGETHER = 100_000
"""How many bytes of vectors are decoded together: whoever keeps one entry keeps them all."""

_ID_BYTES = 16
_COLUMNS = 18
"""Columns that are read here; with another one, ``ltm_rows`` reads them all."""

_TYPES = {kind.value: kind for kind in MemoryType}

Vector = NDArray[np.float32]
Contents = Mapping[str, Any] | EncodingError
DecodeMany = Callable[[Sequence[bytes], Sequence[int], Sequence[Vector | None]], Sequence[Contents]]


_EXPECTED: Mapping[str, set[type]] = {
    "memory_id": {bytes},
    "run_id": {str},
    "agent_id": {str},
    "step_number": {int},
    "timestamp": {float},
    "contents": {bytes},
    "importance_score": {float},
    "compression_level": {int},
    "retrieval_count": {int},
    "creation_time": {float},
    "last_access_time": {float},
    "embedding": {bytes, type(None)},
    "encoder_version": {int, type(None)},
    "revision": {int},
    # Bounds that stand beside exact contents are seldom, and checked by the constructor.
    "error_bounds": {type(None)},
    "pinned": {bool},
    "embedding_coding": {int},
}


class ContentsRow(NamedTuple):
    """The columns of a row that its contents are read with, as the driver gives them."""

    memory_id: Any
    step_number: Any
    contents: Any
    embedding: Any
    error_bounds: Any
    embedding_coding: Any


def columns_to_contents(
    columns: Sequence[Sequence[Any]],
) -> tuple[list[str], Sequence[int], Sequence[bytes], list[Vector | None]] | None:
    """The ids, steps, stored contents and vectors of some rows, one or more.

    Args:
        columns: Those of ``ContentsRow``.

    Returns:
        None where a row may be damaged, or holds what is seldom.
    """
    raw = ContentsRow(*columns)
    if not _are_typed(raw) or {*map(len, raw.memory_id)} != {_ID_BYTES}:
        return None
    vectors: list[Vector | None] = [None] * len(raw.contents)
    if any(map(is_coded, raw.contents)):
        try:
            vectors = _vectors(raw.embedding_coding, raw.embedding)
        except (TypeError, EncodingError):
            return None
    ids = [one.hex() for one in raw.memory_id]
    return ids, raw.step_number, raw.contents, vectors


def columns_to_entries(
    columns: Sequence[Sequence[Any]], decode_many: DecodeMany
) -> list[MemoryEntry] | None:
    """Give the entries of some rows, one or more.

    Args:
        columns: Those of ``RawRow``.
        decode_many: Decodes contents, given with their steps and the vectors beside them.

    Returns:
        The entries; None where a row may be damaged, or holds what is seldom.
    """
    if len(RawRow._fields) != _COLUMNS:
        return None
    raw = RawRow(*columns)
    if not _is_sound(raw):
        return None
    try:
        kinds = [_TYPES[kind] for kind in raw.memory_type]
        vectors = _vectors(raw.embedding_coding, raw.embedding)
    except (KeyError, TypeError, EncodingError):
        return None
    contents = decode_many(raw.contents, raw.step_number, vectors)
    found = {*map(type, contents)}
    bounds: Sequence[Mapping[str, float] | None] = raw.error_bounds
    if found != {dict}:
        if not found <= {dict, CodedContents}:
            return None
        bounds = [bounds_of(one, None) for one in contents]
    ids = [one.hex() for one in raw.memory_id]
    return MemoryEntry.restored_many(
        *(ids, raw.run_id, raw.agent_id, raw.step_number, raw.timestamp, kinds, contents),
        *raw[7:12],
        *(vectors, raw.encoder_version, raw.revision, bounds, raw.pinned),
    )


def _is_sound(raw: RawRow) -> bool:
    """Whether every column holds values of its type within their range."""
    if not _are_typed(raw):
        return False
    if {*map(len, raw.memory_id)} != {_ID_BYTES}:
        return False
    return are_in_range(
        raw.step_number,
        raw.importance_score,
        raw.compression_level,
        [*raw.retrieval_count, *raw.revision],
        raw.encoder_version,
        (raw.timestamp, raw.creation_time, raw.last_access_time),
    )


def _are_typed(raw: RawRow | ContentsRow) -> bool:
    return all(
        _EXPECTED[name].issuperset(map(type, column))
        for name, column in zip(raw._fields, raw, strict=True)
        if name in _EXPECTED
    )


def _vectors(codings: Sequence[int], stored: Sequence[bytes | None]) -> list[Vector | None]:
    """The vectors of rows, each of shape (dim,); None where there is none.

    Raises:
        EncodingError: One is damaged, or not of finite numbers.
    """
    all_stored: Any = stored if None not in stored else ()
    if len({*codings}) == 1 and len({*map(len, all_stored)}) == 1:
        # As rows of one memory nearly always are, without a look at each.
        return [*_decoded(codings[0], all_stored)]
    groups: dict[tuple[int, int], list[int]] = {}
    for place, (coding, one) in enumerate(zip(codings, stored, strict=True)):
        if one is not None:
            groups.setdefault((coding, len(one)), []).append(place)
    found: list[Vector | None] = [None] * len(stored)
    for (coding, _), places in groups.items():
        vectors = _decoded(coding, [stored[place] or b"" for place in places])
        for place, vector in zip(places, vectors, strict=True):
            found[place] = vector
    return found


def _decoded(coding: int, stored: Sequence[bytes]) -> Iterator[Vector]:
    """The vectors of one coding and length.

    Raises:
        EncodingError: One is damaged, or not of finite numbers.
    """
    size = max(_TOGETHER // (4 * max(len(stored[0]), 1)), 1)
    for first in range(0, len(stored), size):
        matrix = decode_vectors(coding, stored[first : first + size])
        if not matrix.shape[1] or not np.isfinite(matrix).all():
            raise EncodingError("a vector is not of finite numbers")
        yield from matrix
