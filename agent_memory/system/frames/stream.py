"""A stream of record batches over all rows that answer, whose schema is known before the first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from agent_memory.system.frames.chunk import FrameOptions, chunk_of
from agent_memory.system.frames.layout import Layout
from agent_memory.system.frames.spool import RowSpool
from agent_memory.values.collecting import collection_paused
from agent_memory.values.query import Hit

MOST_HELD = 100_000
"""How many rows are kept in memory, and not in a temporary file, until all were seen."""


class RowStream:
    """Rows that were read, and the schema that holds them all.

    Args:
        chunks: The rows, in lists. All are read when this is made.
        options: How the frame is laid out.

    Attributes:
        schema: The schema of every batch.
        rows: How many rows there are.
    """

    def __init__(self, chunks: Iterable[Sequence[Hit]], options: FrameOptions) -> None:
        self._spool = RowSpool(MOST_HELD, partial(chunk_of, options=options))
        self._layout = Layout(options)
        rest = iter(chunks)
        while self._took(rest):
            pass
        self.schema: Any = self._layout.schema
        self.rows = self._spool.rows

    def _took(self, rest: Iterator[Sequence[Hit]]) -> bool:
        """Read a list of rows and learn from it; False where there is none any more."""
        with collection_paused():
            hits = next(rest, None)
            if hits is not None:
                self._layout.learn(self._spool.put(hits))
        return hits is not None

    def batches(self) -> Iterator[Any]:
        """The record batches, once."""
        try:
            for chunk in self._spool.take():
                yield self._layout.batch(chunk, self.schema)
        finally:
            self._spool.close()

    def reader(self) -> Any:
        """A ``pyarrow.RecordBatchReader``."""
        return pa.RecordBatchReader.from_batches(self.schema, self.batches())
