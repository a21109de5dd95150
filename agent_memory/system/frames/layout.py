"""The columns of a frame: an entry's own fields, its error bounds, and its contents.

An entry's own columns have names that no column of contents can take: those begin with
``contents.``, and those of bounds with ``error_bounds.``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from agent_memory.embeddings.features import key_path
from agent_memory.system.frames.arrow import array_of, field_of
from agent_memory.system.frames.chunk import (
    EMBEDDING,
    EXACT,
    LAST,
    OWN,
    RUN,
    Chunk,
    FrameOptions,
    Path,
)
from agent_memory.system.frames.exact import FORMAT, FORMAT_KEY
from agent_memory.system.frames.kinds import NOTHING, Form, Kind, kind_of, merged

_BOUNDS = Kind(Form.FLOAT, frozenset({"float"}))


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

    def learn(self, chunk: Chunk) -> None:
        """Look at some rows."""
        for path, values in chunk.contents.items():
            self.contents[path] = merged(self.contents.get(path, NOTHING), kind_of(values))
        # Most bounds are those of a code, which all of its entries share.
        for bounds in {id(bounds): bounds for bounds in chunk.bounds if bounds}.values():
            self.bounds.update(dict.fromkeys(bounds or ()))

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
        options = self.options
        wanted = {EMBEDDING: options.embeddings, EXACT: options.exact, RUN: bool(options.runs)}
        fields += [pa.field(name, type_) for name, type_ in LAST.items() if wanted[name]]
        number = b"%d" % (FORMAT if self.options.spaces else 1)
        metadata = {b"agent_memory": self.options.nested.encode(), FORMAT_KEY: number}
        return pa.schema(fields, metadata=metadata)

    def batch(self, chunk: Chunk, schema: Any) -> Any:
        """A record batch of some rows.

        Args:
            chunk: The rows, of those that were learned from.
            schema: That of this layout.
        """
        nothing = [None] * chunk.rows
        contents = [
            array_of(kind, chunk.contents.get(path, nothing))
            for path, kind in self.contents.items()
        ]
        if self.options.nested == "struct" and not contents:
            contents = [pa.nulls(chunk.rows)]
        arrays = [*chunk.own, *self._bound_arrays(chunk), *contents, *chunk.last]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _bound_arrays(self, chunk: Chunk) -> list[Any]:
        bounds = [each or {} for each in chunk.bounds]
        columns = [
            pa.array([each.get(path) for each in bounds], pa.float64()) for path in self.bounds
        ]
        if self.options.nested != "struct":
            return columns
        whole = self._bounds_struct.type
        if not columns:
            return [pa.nulls(chunk.rows, whole)]
        return [pa.StructArray.from_arrays(columns, fields=list(whole))]

    @property
    def _bounds_struct(self) -> Any:
        if not self.bounds:
            return field_of("error_bounds", NOTHING)
        fields = dict.fromkeys(self.bounds, _BOUNDS)
        return field_of("error_bounds", Kind(Form.STRUCT, frozenset({"dict"}), fields=fields))


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
