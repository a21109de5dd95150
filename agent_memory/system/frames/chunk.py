"""Some rows of a frame as columns: an entry's own fields as Arrow, contents as Python's values.

Columns keep what contents hold and let the entries go: of a hundred thousand entries Python's
collector of garbage looks at millions of objects again and again, and at few of their columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import Any

import pyarrow as pa

from agent_memory.system.frames.exact import exact_bytes
from agent_memory.values.entry import MemoryEntry, MemoryType, Tier
from agent_memory.values.query import Hit

EXACT = "exact"
"""The column of whole entries as exact bytes, with a checksum."""
EMBEDDING = "embedding"
RUN = "run"
"""The column of what is recorded of runs, in the first row of each."""

CATEGORY = pa.dictionary(pa.int32(), pa.string())
OWN: Mapping[str, Any] = {
    "run_id": CATEGORY,
    "agent_id": CATEGORY,
    "step_number": pa.int64(),
    "timestamp": pa.float64(),
    "memory_type": CATEGORY,
    "tier": CATEGORY,
    "memory_id": pa.string(),
    "importance_score": pa.float64(),
    "pinned": pa.bool_(),
    "compression_level": pa.int8(),
    "retrieval_count": pa.int64(),
    "revision": pa.int64(),
    "creation_time": pa.float64(),
    "last_access_time": pa.float64(),
    "encoder_version": pa.int64(),
}
"""The columns of an entry's own fields, which every frame has."""
LAST = {EMBEDDING: pa.list_(pa.float32()), EXACT: pa.binary(), RUN: pa.string()}
"""The columns that follow contents, where they are asked for."""

Path = tuple[Any, ...]
Columns = dict[Path, list[Any]]


@dataclass(frozen=True, slots=True)
class FrameOptions:
    """How a frame is laid out.

    Attributes:
        nested: Whether each value within nested dicts has a column, or ``contents`` is a struct.
        embeddings: Whether there is a column of vectors.
        exact: Whether there is a column of whole entries as exact bytes.
        spaces: By version, the names of spaces of own vectors, for those bytes.
        runs: By run, what is recorded of it as text; without any there is no column of it.
    """

    nested: str = "flat"
    embeddings: bool = False
    exact: bool = False
    spaces: Mapping[int, str] = field(default_factory=dict)
    runs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows.

    Attributes:
        rows: How many.
        own: The arrays of ``OWN``.
        contents: The values of contents by path, None where there is none; in a struct, whole
            contents under the empty path.
        bounds: The error bounds of each row.
        last: The arrays of those of ``LAST`` that are asked for.
    """

    rows: int
    own: Sequence[Any]
    contents: Columns
    bounds: Sequence[Mapping[str, float] | None]
    last: Sequence[Any] = ()


def chunk_of(hits: Sequence[Hit], options: FrameOptions) -> Chunk:
    """The columns of some entries."""
    entries = [hit.entry for hit in hits]
    contents = [entry.contents for entry in entries]
    last = []
    if options.embeddings:
        last.append(pa.array([entry.embedding for entry in entries], LAST[EMBEDDING]))
    if options.exact:
        last.append(
            pa.array([exact_bytes(entry, options.spaces) for entry in entries], LAST[EXACT])
        )
    if options.runs:
        last.append(pa.array(_run_cells(entries, options.runs), LAST[RUN]))
    return Chunk(
        len(hits),
        [*_own_arrays(hits)],
        columns_of(contents, options),
        [entry.error_bounds for entry in entries],
        last,
    )


def _run_cells(entries: Sequence[MemoryEntry], runs: Mapping[str, str]) -> Iterator[str | None]:
    before = None
    for entry in entries:
        yield None if entry.run_id == before else runs.get(entry.run_id)
        before = entry.run_id


def columns_of(contents: Sequence[Mapping[Any, Any]], options: FrameOptions) -> Columns:
    """The values of contents by path."""
    if options.nested == "struct":
        return {(): [*map(dict, contents)]}
    columns: Columns = {}
    _spread(columns, contents, ())
    return columns


def _spread(columns: Columns, dicts: Sequence[Mapping[Any, Any] | None], parent: Path) -> None:
    """Put the values of dicts, and of dicts within them, into the columns of their paths."""
    for key, values in _by_key(dicts):
        path = (*parent, key)
        if dict not in set(map(type, values)):
            columns[path] = values
            continue
        inner = [value if type(value) is dict and value else None for value in values]
        # A dict without keys would else look like one that is not there.
        others = [None if value else other for value, other in zip(inner, values, strict=True)]
        if others.count(None) < len(others):
            columns[path] = others
        _spread(columns, inner, path)


def _by_key(
    dicts: Sequence[Mapping[Any, Any] | None],
) -> Iterator[tuple[Any, list[Any]]]:
    first = next(filter(None, dicts), None)
    if first is None:
        return
    keys = tuple(first)
    # A set of one says of all at once that they have the same keys.
    if None not in dicts and set(map(tuple, dicts)) == {keys}:  # type: ignore[arg-type]  # asked
        columns = zip(*(each.values() for each in dicts if each is not None), strict=True)
        yield from zip(keys, map(list, columns), strict=True)
        return
    for key in dict.fromkeys(chain.from_iterable(filter(None, dicts))):
        yield key, [None if each is None else each.get(key) for each in dicts]


def _own_arrays(hits: Sequence[Hit]) -> Iterator[Any]:
    entries = [hit.entry for hit in hits]
    fields: list[tuple[Any, ...]] = [*zip(*map(_fields_of, entries), strict=True)]
    values = dict(zip(_OF_ENTRY, fields or [()] * len(_OF_ENTRY), strict=True))
    # Members of an enum tell their values by a call of Python each.
    values["memory_type"] = tuple(map(_TYPE_NAMES.__getitem__, values["memory_type"]))
    values["tier"] = tuple(_TIER_NAMES[hit.tier] for hit in hits)
    for name in OWN:
        yield own_array(name, values[name])


def own_array(name: str, values: Sequence[Any]) -> Any:
    """The array of one of an entry's own fields."""
    if OWN[name] is CATEGORY:
        return pa.array(values, pa.string()).dictionary_encode()
    return pa.array(values, OWN[name])


_OF_ENTRY = tuple(name for name in OWN if name != "tier")
_fields_of = attrgetter(*_OF_ENTRY)
_TYPE_NAMES = {kind: kind.value for kind in MemoryType}
_TIER_NAMES = {tier: tier.name for tier in Tier}
