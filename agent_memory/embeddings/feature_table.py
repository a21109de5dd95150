"""The features of many states, kept so that all of them are compared with one at once.

Most states of an agent have the same paths: such a *shape* has a block of its own, a matrix with
a row a state and a column a path. States whose shape few others have are kept loose, each value
beside the place of its path, so that a path that few states have costs those few alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.comparable import Value, Wide

LARGEST = 1e140
"""Numbers beyond this, infinite ones too, count as this: their squares can be added up."""

MOST_BLOCKS = 24
"""How many shapes have a block of their own."""

_FEWEST = 8  # states of a shape that is worth a block, once there are many shapes
_FIRST_ROOM = 16
_FEW = 4096  # rows, or loose values, that are not worth being gathered closer
_GONE = -1  # the row of a loose value that was removed
_TOKEN_BYTES = 200  # what a path or token takes, about

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


class FeatureTable:
    """Rows of features. Not for threads to share without a lock.

    Attributes:
        numbers: The columns of paths that hold numbers.
        tokens: The columns of paths that hold tokens. One path may be in both.
        codes: The number of each token.
        held: How many rows have each token of a column of tokens, by its number.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.tokens: dict[str, int] = {}
        self.codes: dict[str, int] = {}
        self.held: dict[int, Counter[int]] = {}
        self._names: list[str] = []  # of the tokens, by their numbers
        self._blocks: dict[tuple[int, ...], _Block] = {}
        self._loose = _Loose()
        # By row: the block and the place there, or what is loose; None of one that was removed.
        self._where: list[tuple[_Block, int] | _Loose | None] = []
        self._alive = 0

    def __len__(self) -> int:
        """How many rows there are, those that were removed included."""
        return len(self._where)

    @property
    def columns(self) -> int:
        """How many columns there are."""
        return len(self.numbers) + len(self.tokens)

    @property
    def size(self) -> int:
        """How many bytes the table takes, about."""
        blocks = sum(block.size for block in self._blocks.values())
        return blocks + self._loose.size + _TOKEN_BYTES * (self.columns + len(self._names))

    @property
    def blocks(self) -> Iterable[Values]:
        """The rows that were not removed, shape by shape."""
        return (block.values() for block in self._blocks.values() if block.count)

    @property
    def loose(self) -> Values:
        """The values of the rows that are in no block."""
        return self._loose.values()

    def paths_of(self, number: float, ending: str) -> list[str]:
        """The paths with an ending under which some row has a number, without the ending."""
        named = {at: path for path, at in self.numbers.items() if path.endswith(ending)}
        found: set[int] = set()
        for part in (*self.blocks, self.loose):
            same = part.high == number
            found |= {*part.columns[same.any(axis=0) if same.ndim > 1 else same].tolist()}
        return sorted(named[at].removesuffix(ending) for at in found if at in named)

    def token(self, code: int) -> str:
        """The token that has a number."""
        return self._names[code]

    def add(self, states: Sequence[dict[str, Value]]) -> range:
        """Add rows; gives their places."""
        first = len(self._where)
        waiting: dict[tuple[int, ...], list[_Row]] = {}
        for place, state in enumerate(states, first):
            row = self._row(place, state)
            waiting.setdefault(row.columns, []).append(row)
            self._where.append(None)
        for columns, rows in waiting.items():
            self._put(columns, rows)
        self._alive += len(states)
        return range(first, len(self._where))

    def remove(self, row: int) -> None:
        """Remove a row; the others keep their places."""
        where = self._where[row]
        if where is None:
            return
        self._where[row] = None
        self._alive -= 1
        if isinstance(where, _Loose):
            old = where.row(row)
            where.remove(row)
        else:
            block, place = where
            old = block.row(place)
            moved = block.remove(place)
            if moved is not None:
                self._where[moved] = block, place
        for column, code in zip(old.columns, old.high, strict=True):
            held = self.held.get(column)
            if held is not None:
                held[int(code)] -= 1
                if not held[int(code)]:
                    del held[int(code)]

    @property
    def is_sparse(self) -> bool:
        """Whether most of what there was has been removed, so that ``gathered`` is worth it."""
        return len(self._where) > 2 * self._alive + _FEW

    def gathered(self) -> tuple[FeatureTable, NDArray[np.intp]]:
        """A table of the rows that were not removed, and where each was here, of shape (rows,)."""
        kept = [place for place, where in enumerate(self._where) if where is not None]
        paths = {column: path for path, column in self.numbers.items()}
        texts = {column: path for path, column in self.tokens.items()}
        table = FeatureTable()
        table.add([self._state(place, paths, texts) for place in kept])
        return table, np.array(kept, np.intp)

    def _state(self, row: int, paths: dict[int, str], texts: dict[int, str]) -> dict[str, Value]:
        where = self._where[row]
        if where is None:
            return {}
        found = where.row(row) if isinstance(where, _Loose) else where[0].row(where[1])
        lows = found.low or [0.0] * len(found.high)
        return {
            paths.get(column) or texts[column]: (
                self._names[int(high)] if column in texts else Wide(high, low) if low else high
            )
            for column, high, low in zip(found.columns, found.high, lows, strict=True)
        }

    def _row(self, place: int, state: dict[str, Value]) -> _Row:
        columns: list[int] = []
        highs: list[float] = []
        lows: list[float] | None = None
        for path, value in state.items():
            if isinstance(value, float):
                columns.append(self._number(path))
                highs.append(value)
            elif isinstance(value, str):
                column = self._text(path)
                code = self._code(value)
                self.held[column][code] += 1
                columns.append(column)
                highs.append(float(code))
            else:
                if value.low:
                    lows = lows or [0.0] * len(state)
                    lows[len(highs)] = value.low
                columns.append(self._number(path))
                highs.append(value.high)
        return _Row(place, tuple(columns), highs, lows)

    def _put(self, columns: tuple[int, ...], rows: list[_Row]) -> None:
        block = self._blocks.get(columns)
        if block is None and (len(self._blocks) < MOST_BLOCKS or len(rows) >= _FEWEST):
            self._make_room()
            block = self._blocks[columns] = _Block(columns)
        if block is None:
            self._loose.add(rows)
            for row in rows:
                self._where[row.place] = self._loose
            return
        first = block.add(rows)
        for place, row in enumerate(rows, first):
            self._where[row.place] = block, place

    def _make_room(self) -> None:
        """Drop the blocks that have become empty, where there are many."""
        if len(self._blocks) >= MOST_BLOCKS:
            self._blocks = {shape: block for shape, block in self._blocks.items() if block.count}

    def _number(self, path: str) -> int:
        column = self.numbers.get(path)
        if column is None:
            column = self.numbers[path] = self.columns
        return column

    def _text(self, path: str) -> int:
        column = self.tokens.get(path)
        if column is None:
            column = self.tokens[path] = self.columns
            self.held[column] = Counter()
        return column

    def _code(self, token: str) -> int:
        code = self.codes.get(token)
        if code is None:
            code = self.codes[token] = len(self._names)
            self._names.append(token)
        return code


class _Row(NamedTuple):
    """A row by itself: the place it has, and its values."""

    place: int
    columns: tuple[int, ...]
    high: list[float]
    low: list[float] | None


class _Block:
    """The rows of one shape, without gaps: the last takes the place of one that is removed."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.count = 0
        self.columns = np.array(shape, np.int32)
        self.high: Array = np.zeros((0, len(shape)))
        self._low: Array | None = None  # made when the first wide number comes
        self._rows = np.zeros(0, np.int32)

    @property
    def size(self) -> int:
        low = 0 if self._low is None else self._low.nbytes
        return self.high.nbytes + low + self._rows.nbytes

    def values(self) -> Values:
        low = None if self._low is None else self._low[: self.count]
        return Values(self._rows[: self.count], self.columns, self.high[: self.count], low)

    def row(self, place: int) -> _Row:
        low = None if self._low is None else self._low[place].tolist()
        return _Row(int(self._rows[place]), self.shape, self.high[place].tolist(), low)

    def add(self, rows: Sequence[_Row]) -> int:
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
        self.count = end
        return first

    def remove(self, place: int) -> int | None:
        """Remove a row; gives the row that has its place now."""
        self.count -= 1
        last = self.count
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


class _Loose:
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
        low = 0 if self._low is None else self._low.nbytes
        return self._high.nbytes + low + self._rows.nbytes + self._columns.nbytes

    def values(self) -> Values:
        end = self._count
        low = None if self._low is None else self._low[:end]
        kept = Values(self._rows[:end], self._columns[:end], self._high[:end], low)
        if not self._dead:
            return kept
        there = kept.rows >= 0
        low = None if low is None else low[there]
        return Values(kept.rows[there], kept.columns[there], kept.high[there], low)

    def row(self, row: int) -> _Row:
        begin, end = self._spans[row]
        low = None if self._low is None else self._low[begin:end].tolist()
        columns, high = self._columns[begin:end].tolist(), self._high[begin:end].tolist()
        return _Row(row, tuple(columns), high, low)

    def add(self, rows: Sequence[_Row]) -> None:
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
