"""A stream of record batches over all rows that answer, whose schema is known before the first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from agent_memory.system.frames.chunk import FrameOptions, chunk_of
from agent_memory.system.frames.layout import Layout
from agent_memory.system.frames.spool import RowSpool
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
        for hits in chunks:
            self._layout.learn(self._spool.put(hits))
        self.schema: Any = self._layout.schema
        self.rows = self._spool.rows

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
