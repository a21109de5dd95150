"""Rows that wait until all were seen: the first in memory, the others in a temporary file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from tempfile import TemporaryFile
from typing import Any

import pyarrow as pa

from agent_memory.system.frames.chunk import Chunk
from agent_memory.system.frames.exact import exact_bytes, exact_entry
from agent_memory.values.entry import Tier
from agent_memory.values.query import Hit

_SCHEMA = pa.schema({"tier": pa.int8(), "entry": pa.binary()})


class RowSpool:
    """Keeps lists of rows in the order in which they are put; ``close`` it.

    Args:
        most_held: How many rows are kept as columns; others are written to a file as entries.
        chunk_of: Gives the columns of rows.
    """

    def __init__(self, most_held: int, chunk_of: Callable[[Sequence[Hit]], Chunk]) -> None:
        self._most_held = most_held
        self._chunk_of = chunk_of
        self._held: list[Chunk] = []
        self._file: Any = None
        self._writer: Any = None
        self.rows = 0

    def put(self, hits: Sequence[Hit]) -> Chunk:
        """Keep a list of rows; gives its columns."""
        self.rows += len(hits)
        chunk = self._chunk_of(hits)
        if self._writer is None and self.rows <= self._most_held:
            self._held.append(chunk)
            return chunk
        if self._writer is None:
            self._file = TemporaryFile()  # noqa: SIM115  # is open as long as this is
            self._writer = pa.ipc.new_stream(self._file, _SCHEMA)
        tiers = pa.array([hit.tier.value for hit in hits], pa.int8())
        entries = pa.array([exact_bytes(hit.entry) for hit in hits], pa.binary())
        self._writer.write_batch(pa.RecordBatch.from_arrays([tiers, entries], schema=_SCHEMA))
        return chunk

    def take(self) -> Iterator[Chunk]:
        """Give the columns of the lists back, once; those in memory are let go."""
        self._held.reverse()
        while self._held:
            yield self._held.pop()
        if self._writer is None:
            return
        self._writer.close()
        self._file.seek(0)
        for batch in pa.ipc.open_stream(self._file):
            pairs = zip(*(column.to_pylist() for column in batch.columns), strict=True)
            yield self._chunk_of([Hit(exact_entry(stored), Tier(tier)) for tier, stored in pairs])

    def close(self) -> None:
        """Remove the file."""
        self._held.clear()
        if self._file is not None:
            self._file.close()
