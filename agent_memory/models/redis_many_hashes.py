"""Turns many hashes of a Redis tier into entries at once, column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.models.redis import decode_id, values_to_entry
from agent_memory.values.checks import are_in_range
from agent_memory.values.coded import CodedContents, bounds_of
from agent_memory.values.entry import MemoryEntry, MemoryType, is_memory_id

_FEWEST_TOGETHER = 4
"""Entries, below which one after the other takes no longer."""

_KNOWN = 17
"""Values of a hash that are read here; with another one, ``values_to_entry`` reads them all."""

_TYPES = {kind.value.encode(): kind for kind in MemoryType}


def values_to_entries(
    rows: Sequence[Sequence[bytes | None]],
    contents: Sequence[Mapping[str, Any]],
    vectors: Sequence[NDArray[np.float32] | None],
) -> list[MemoryEntry]:
    """Make entries of the values of stored hashes, column by column.

    Args:
        rows: Of each hash what ``values_to_entry`` takes.
        contents: Their contents, decoded.
        vectors: What ``read_vectors`` gave of them.

    Raises:
        EncodingError: A field is missing or cannot be read.
    """
    made = _made_together(rows, contents, vectors) if len(rows) >= _FEWEST_TOGETHER else None
    return made or [*map(values_to_entry, rows, contents, vectors)]


def _made_together(
    rows: Sequence[Sequence[bytes | None]],
    contents: Sequence[Mapping[str, Any]],
    vectors: Sequence[NDArray[np.float32] | None],
) -> list[MemoryEntry] | None:
    """The entries of hashes; None where one may be damaged, or has what is seldom."""
    if len(rows[0]) != _KNOWN:
        return None
    columns: Any = [*zip(*rows, strict=True)]
    names, runs, agents, steps, at, kinds, importances, levels, *rest = columns
    counts, created, accessed, revisions, _, stored_vectors, versions, bounds, pinned = rest
    seldom = {*bounds, *pinned} != {None} or not {*map(type, contents)} <= {dict, CodedContents}
    unread = any(one and two is None for one, two in zip(stored_vectors, vectors, strict=True))
    if seldom or unread:
        return None
    try:
        ids = [*map(bytes.decode, names)]
        numbers = [[*map(int, column)] for column in (steps, levels, counts, revisions)]
        times = [[*map(float, column)] for column in (at, created, accessed)]
        importance = [*map(float, importances)]
        encoders = [None if version is None else int(version) for version in versions]
        types = [_TYPES[kind] for kind in kinds]
        owners = [*map(decode_id, runs)], [*map(decode_id, agents)]
    except (AttributeError, TypeError, ValueError, KeyError):
        return None
    step, level, count, revision = numbers
    if not are_in_range(step, importance, level, [*count, *revision], encoders, times):
        return None
    if not all(map(is_memory_id, ids)):
        return None
    return MemoryEntry.restored_many(
        *(ids, *owners, step, times[0], types, contents, importance, level, count),
        *(times[1], times[2], vectors, encoders, revision, _bounds(contents), [False] * len(ids)),
    )


def _bounds(contents: Sequence[Mapping[str, Any]]) -> list[Mapping[str, float] | None]:
    return [bounds_of(one, None) for one in contents]
