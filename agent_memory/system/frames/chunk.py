"""Some rows of a frame as columns: an entry's own fields as Arrow, contents as Python's values.

Columns keep what contents hold and let the entries go: of a hundred thousand entries Python's
collector of garbage looks at millions of objects again and again, and at few of their columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import pyarrow as pa

from agent_memory.system.frames.exact import exact_bytes
from agent_memory.values.query import Hit

EXACT = "exact"
"""The column of whole entries as exact bytes, with a checksum."""
EMBEDDING = "embedding"

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
LAST = {EMBEDDING: pa.list_(pa.float32()), EXACT: pa.binary()}
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
    """

    nested: str = "flat"
    embeddings: bool = False
    exact: bool = False
    spaces: Mapping[int, str] = field(default_factory=dict)


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
    return Chunk(
        len(hits),
        [*_own_arrays(hits)],
        columns_of(contents, options),
        [entry.error_bounds for entry in entries],
        last,
    )


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
    if all(each is not None and tuple(each) == keys for each in dicts):
        columns = zip(*(each.values() for each in dicts if each is not None), strict=True)
        yield from zip(keys, map(list, columns), strict=True)
        return
    for key in dict.fromkeys(chain.from_iterable(filter(None, dicts))):
        yield key, [None if each is None else each.get(key) for each in dicts]


def _own_arrays(hits: Sequence[Hit]) -> Iterator[Any]:
    entries = [hit.entry for hit in hits]
    for name in OWN:
        value_of = _VALUES.get(name)
        yield own_array(
            name,
            [getattr(entry, name) for entry in entries]
            if value_of is None
            else [value_of(hit) for hit in hits],
        )


def own_array(name: str, values: Sequence[Any]) -> Any:
    """The array of one of an entry's own fields."""
    if OWN[name] is CATEGORY:
        return pa.array(values, pa.string()).dictionary_encode()
    return pa.array(values, OWN[name])


_VALUES: Mapping[str, Callable[[Hit], Any]] = {
    "memory_type": lambda hit: hit.entry.memory_type.value,
    "tier": lambda hit: hit.tier.name,
}
