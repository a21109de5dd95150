"""The columns of a frame: an entry's own fields, its error bounds, and its contents.

An entry's own columns have names that no column of contents can take: those begin with
``contents.``, and those of bounds with ``error_bounds.``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from agent_memory.embeddings.features import key_path
from agent_memory.system.frames.arrow import array_of, field_of
from agent_memory.system.frames.exact import exact_bytes
from agent_memory.system.frames.kinds import NOTHING, Form, Kind, kind_of, merged
from agent_memory.values.query import Hit

EXACT = "exact"
"""The column of whole entries as exact bytes, with a checksum."""
EMBEDDING = "embedding"

_CATEGORY = pa.dictionary(pa.int32(), pa.string())
OWN: Mapping[str, Any] = {
    "run_id": _CATEGORY,
    "agent_id": _CATEGORY,
    "step_number": pa.int64(),
    "timestamp": pa.float64(),
    "memory_type": _CATEGORY,
    "tier": _CATEGORY,
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
_LAST = {EMBEDDING: pa.list_(pa.float32()), EXACT: pa.binary()}
_BOUNDS = Kind(Form.FLOAT, frozenset({"float"}))

Path = tuple[Any, ...]
Columns = dict[Path, list[Any]]


@dataclass(frozen=True, slots=True)
class FrameOptions:
    """How a frame is laid out.

    Attributes:
        nested: Whether each value within nested dicts has a column, or ``contents`` is a struct.
        embeddings: Whether there is a column of vectors.
        exact: Whether there is a column of whole entries as exact bytes.
    """

    nested: str = "flat"
    embeddings: bool = False
    exact: bool = False


@dataclass(slots=True)
class Layout:
    """Learns from all rows which columns there are, and then makes batches of them.

    Attributes:
        options: How the frame is laid out.
        contents: What the columns of contents are, by path; one with an empty path for a struct.
        bounds: The paths that have error bounds.
    """

    options: FrameOptions
    contents: dict[Path, Kind] = field(default_factory=dict)
    bounds: dict[str, None] = field(default_factory=dict)

    def learn(self, hits: Sequence[Hit]) -> None:
        """Look at some rows."""
        for path, values in self._columns(hits).items():
            self.contents[path] = merged(self.contents.get(path, NOTHING), kind_of(values))
        for hit in hits:
            if hit.entry.error_bounds:
                self.bounds.update(dict.fromkeys(hit.entry.error_bounds))

    @property
    def schema(self) -> Any:
        """The schema of all batches."""
        fields = [pa.field(name, type_) for name, type_ in OWN.items()]
        if self.options.nested == "struct":
            fields += [self._bounds_struct, field_of("contents", self.contents.get((), NOTHING))]
        else:
            fields += [field_of(f"error_bounds.{path}", _BOUNDS) for path in self.bounds]
            fields += [
                field_of(name, kind)
                for name, kind in zip(_names(self.contents), self.contents.values(), strict=True)
            ]
        wanted = {EMBEDDING: self.options.embeddings, EXACT: self.options.exact}
        fields += [pa.field(name, type_) for name, type_ in _LAST.items() if wanted[name]]
        told = {b"agent_memory": self.options.nested.encode()}
        return pa.schema(fields, metadata=told)

    def batch(self, hits: Sequence[Hit], schema: Any) -> Any:
        """A record batch of some rows.

        Args:
            hits: The rows, of those that were learned from.
            schema: That of this layout.
        """
        arrays = [*_own_arrays(hits), *self._bound_arrays(hits), *self._content_arrays(hits)]
        entries = [hit.entry for hit in hits]
        if self.options.embeddings:
            vectors = [entry.embedding for entry in entries]
            arrays.append(pa.array(vectors, _LAST[EMBEDDING]))
        if self.options.exact:
            arrays.append(pa.array([exact_bytes(entry) for entry in entries], _LAST[EXACT]))
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    # -- contents and bounds ------------------------------------------------------------------

    def _columns(self, hits: Sequence[Hit]) -> Columns:
        if self.options.nested == "struct":
            return {(): [dict(hit.entry.contents) for hit in hits]}
        columns: Columns = {}
        for place, hit in enumerate(hits):
            _fill(columns, place, hit.entry.contents, ())
        for values in columns.values():
            values.extend([None] * (len(hits) - len(values)))
        return columns

    def _content_arrays(self, hits: Sequence[Hit]) -> list[Any]:
        columns = self._columns(hits)
        nothing = [None] * len(hits)
        return [array_of(kind, columns.get(path, nothing)) for path, kind in self.contents.items()]

    def _bound_arrays(self, hits: Sequence[Hit]) -> list[Any]:
        bounds = [hit.entry.error_bounds or {} for hit in hits]
        columns = [
            pa.array([each.get(path) for each in bounds], pa.float64()) for path in self.bounds
        ]
        if self.options.nested != "struct":
            return columns
        whole = self._bounds_struct.type
        if not columns:
            return [pa.nulls(len(hits), whole)]
        return [pa.StructArray.from_arrays(columns, fields=list(whole))]

    @property
    def _bounds_struct(self) -> Any:
        if not self.bounds:
            return field_of("error_bounds", NOTHING)
        fields = dict.fromkeys(self.bounds, _BOUNDS)
        return field_of("error_bounds", Kind(Form.STRUCT, frozenset({"dict"}), fields=fields))


def _fill(columns: Columns, place: int, contents: Mapping[Any, Any], parent: Path) -> None:
    """Put the values of contents, and of dicts in them, into the columns of their paths."""
    for key, value in contents.items():
        path = (*parent, key)
        if type(value) is dict and value:
            _fill(columns, place, value, path)
            continue
        column = columns.get(path)
        if column is None:
            column = columns[path] = []
        if len(column) < place:
            column += [None] * (place - len(column))
        column.append(value)


def _names(paths: Mapping[Path, object]) -> Iterator[str]:
    """A name for each path, as conditions and bounds write it; no two are the same."""
    taken: set[str] = set()
    for path in paths:
        name = ""
        for key in path:
            name = key_path(name, key)
        name = f"contents.{name}".encode("utf-8", "backslashreplace").decode()
        while name in taken:  # odd keys that read the same
            name += "~"
        taken.add(name)
        yield name


def _own_arrays(hits: Sequence[Hit]) -> Iterator[Any]:
    entries = [hit.entry for hit in hits]
    for name, type_ in OWN.items():
        value_of = _VALUES.get(name)
        values = (
            [getattr(entry, name) for entry in entries]
            if value_of is None
            else [value_of(hit) for hit in hits]
        )
        if type_ is _CATEGORY:
            yield pa.array(values, pa.string()).dictionary_encode()
        else:
            yield pa.array(values, type_)


_VALUES: Mapping[str, Callable[[Hit], Any]] = {
    "memory_type": lambda hit: hit.entry.memory_type.value,
    "tier": lambda hit: hit.tier.name,
}
