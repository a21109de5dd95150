"""Where the rows of a feature table are: those of one shape in a block, others loose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.boxes import Boxes, boxes_of

LARGEST = 1e140
"""Numbers beyond this, infinite ones too, count as this: their squares can be added up."""

_FIRST_ROOM = 16
_FEW = 4096  # loose values that are not worth being gathered closer
_FEW_OTHERS = 16  # the share of a block's rows that may be in no box
_BOXES = 32  # that the fewest rows which are worth it are put into
_GONE = -1  # the row of a loose value that was removed

Array = NDArray[np.float64]


class Values(NamedTuple):
    """Some values of a table, in the same order.

    Attributes:
        rows: Whose they are, of shape (n,).
        columns: Of which path: of shape (n,), or (paths,) of a block.
        high: The numbers, or the numbers of tokens: of shape (n,), or (n, paths).
        low: What is to be added where one float does not tell it all, so shaped; None: nothing.
    """

    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    high: Array
    low: Array | None


class Boxed(NamedTuple):
    """The rows of a block in boxes.

    Attributes:
        values: All rows of the block.
        boxes: Holds places among ``values``.
        current: Which of these places hold the row that they held when it was boxed, of shape
            (places,).
        others: The places of the rows that are in no box.
    """

    values: Values
    boxes: Boxes
    current: NDArray[np.bool_]
    others: NDArray[np.intp]


class Row(NamedTuple):
    """A row by itself: the place it has, and its values."""

    place: int
    columns: tuple[int, ...]
    high: list[float]
    low: list[float] | None


class Block:
    """The rows of one shape, without gaps: the last takes the place of one that is removed."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.count = 0
        self.columns = np.array(shape, np.int32)
        self.high: Array = np.zeros((0, len(shape)))
        self._low: Array | None = None  # made when the first wide number comes
        self._rows = np.zeros(0, np.int32)
        self._boxes: Boxes | None = None
        self._current = np.zeros(0, bool)  # by place, whether its box is right

    @property
    def size(self) -> int:
        """How many bytes the rows take."""
        low = 0 if self._low is None else self._low.nbytes
        boxes = 0 if self._boxes is None else self._boxes.size
        return self.high.nbytes + low + self._rows.nbytes + boxes

    def boxed(self, inverse: Array, fewest: int) -> Boxed | None:
        """The rows in boxes; None of fewer than ``fewest``."""
        if self.count < fewest:
            self._boxes = None
            return None
        others = self._in_no_box()
        if self._boxes is None or len(others) > max(fewest, self.count // _FEW_OTHERS):
            values = self.values()
            most = max(fewest // _BOXES, 1)
            self._boxes = boxes_of(values.high, inverse[self.columns], most, values.low)
            self._current = np.ones(self.count, bool)
            others = self._in_no_box()
        return Boxed(self.values(), self._boxes, self._current, others)

    def _in_no_box(self) -> NDArray[np.intp]:
        boxed = self._current[: self.count]
        later = np.arange(len(boxed), self.count)
        return np.concatenate([np.flatnonzero(~boxed), later])

    def values(self) -> Values:
        """All rows that were not removed."""
        low = None if self._low is None else self._low[: self.count]
        return Values(self._rows[: self.count], self.columns, self.high[: self.count], low)

    def row(self, place: int) -> Row:
        """The row at a place."""
        low = None if self._low is None else self._low[place].tolist()
        return Row(int(self._rows[place]), self.shape, self.high[place].tolist(), low)

    def add(self, rows: Sequence[Row]) -> int:
        """Add rows; gives the place of the first."""
        first, end = self.count, self.count + len(rows)
        if end > len(self._rows):
            self._grow(max(end, 2 * len(self._rows), _FIRST_ROOM))
        np.clip([row.high for row in rows], -LARGEST, LARGEST, out=self.high[first:end])
        self._rows[first:end] = [row.place for row in rows]
        if self._low is not None:
            self._low[first:end] = 0.0
        for place, row in enumerate(rows, first):
            if row.low is not None:
                if self._low is None:
                    self._low = np.zeros_like(self.high)
                self._low[place] = row.low
        self._current[first:end] = False
        self.count = end
        return first

    def remove(self, place: int) -> int | None:
        """Remove a row; gives the row that has its place now."""
        self.count -= 1
        last = self.count
        self._current[[at for at in (place, last) if at < len(self._current)]] = False
        if place == last:
            return None
        self.high[place], self._rows[place] = self.high[last], self._rows[last]
        if self._low is not None:
            self._low[place] = self._low[last]
        return int(self._rows[place])

    def _grow(self, room: int) -> None:
        self.high, self._rows = _grown(self.high, room), _grown(self._rows, room)
        if self._low is not None:
            self._low = _grown(self._low, room)


class Loose:
    """Rows of any shape, each value by itself."""

    def __init__(self) -> None:
        self._spans: dict[int, tuple[int, int]] = {}  # where the values of a row are
        self._count = 0
        self._rows = np.zeros(0, np.int32)
        self._columns = np.zeros(0, np.int32)
        self._high: Array = np.zeros(0)
        self._low: Array | None = None
        self._dead = 0

    @property
    def size(self) -> int:
        """How many bytes the rows take."""
        low = 0 if self._low is None else self._low.nbytes
        return self._high.nbytes + low + self._rows.nbytes + self._columns.nbytes

    def values(self) -> Values:
        """All rows that were not removed."""
        end = self._count
        low = None if self._low is None else self._low[:end]
        kept = Values(self._rows[:end], self._columns[:end], self._high[:end], low)
        if not self._dead:
            return kept
        there = kept.rows >= 0
        low = None if low is None else low[there]
        return Values(kept.rows[there], kept.columns[there], kept.high[there], low)

    def row(self, row: int) -> Row:
        """One row."""
        begin, end = self._spans[row]
        low = None if self._low is None else self._low[begin:end].tolist()
        columns, high = self._columns[begin:end].tolist(), self._high[begin:end].tolist()
        return Row(row, tuple(columns), high, low)

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows."""
        begin = self._count
        for row in rows:
            self._spans[row.place] = self._count, self._count + len(row.columns)
            self._count += len(row.columns)
        if self._count > len(self._rows):
            self._grow(max(self._count, 2 * len(self._rows)))
        added = slice(begin, self._count)
        lengths = [len(row.columns) for row in rows]
        self._rows[added] = np.repeat(np.array([row.place for row in rows], np.int32), lengths)
        self._columns[added] = [column for row in rows for column in row.columns]
        high = np.array([value for row in rows for value in row.high], np.float64)
        self._high[added] = high.clip(-LARGEST, LARGEST)
        if any(row.low is not None for row in rows):
            if self._low is None:
                self._low = np.zeros_like(self._high)
            self._low[added] = [low for row in rows for low in row.low or [0.0] * len(row.high)]

    def remove(self, row: int) -> None:
        """Remove a row; the others keep their places."""
        begin, end = self._spans.pop(row)
        self._rows[begin:end] = _GONE
        self._dead += end - begin
        if 2 * self._dead > self._count > _FEW:
            self._close_gaps()

    def _close_gaps(self) -> None:
        self._rows, self._columns, self._high, self._low = self.values()
        self._count, self._dead = len(self._rows), 0
        begin = 0
        for row, (first, end) in sorted(self._spans.items(), key=lambda item: item[1]):
            self._spans[row] = begin, begin + end - first
            begin += end - first

    def _grow(self, room: int) -> None:
        self._rows, self._columns = _grown(self._rows, room), _grown(self._columns, room)
        self._high = _grown(self._high, room)
        if self._low is not None:
            self._low = _grown(self._low, room)


def _grown(array: NDArray[Any], room: int) -> NDArray[Any]:
    grown = np.zeros((room, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown


def bounded_low(high: float, low: float) -> float:
    """The second of two numbers whose sum counts as ``LARGEST`` where it is beyond that."""
    if abs(high) < LARGEST and abs(low) < LARGEST:
        return low
    return _bounded(high + low) - _bounded(high)


def _bounded(value: float) -> float:
    return min(max(value, -LARGEST), LARGEST)
