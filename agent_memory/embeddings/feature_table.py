"""The features of many states, kept so that all of them are compared with one at once.

Most states of an agent have the same paths: such a *shape* has a block of its own, a matrix with
a row a state and a column a path. States whose shape few others have are kept loose, each value
beside the place of its path, so that a path that few states have costs those few alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.boxes import FEWEST
from agent_memory.embeddings.comparable import Value, Wide
from agent_memory.embeddings.feature_blocks import (
    Array,
    Block,
    Boxed,
    Loose,
    Row,
    Values,
    bounded_low,
)

MOST_BLOCKS = 24
"""How many shapes have a block of their own."""

_FEWEST = 8  # states of a shape that is worth a block, once there are many shapes
_FEW = 4096  # rows that are not worth being gathered closer
_TOKEN_BYTES = 200  # what a path or token takes, about


class FeatureTable:
    """Rows of features. Not for threads to share without a lock.

    Args:
        fewest: How many rows of one shape are put into boxes.

    Attributes:
        numbers: The columns of paths that hold numbers.
        tokens: The columns of paths that hold tokens. One path may be in both.
        codes: The number of each token.
        held: How many rows have each token of a column of tokens, by its number.
    """

    def __init__(self, fewest: int = FEWEST) -> None:
        self._fewest = fewest
        self.numbers: dict[str, int] = {}
        self.tokens: dict[str, int] = {}
        self.codes: dict[str, int] = {}
        self.held: dict[int, Counter[int]] = {}
        self._names: list[str] = []  # of the tokens, by their numbers
        self._long = 0  # bytes that tokens take beyond what any does
        self._blocks: dict[tuple[int, ...], Block] = {}
        self._loose = Loose()
        # By row: the block and the place there, or what is loose; None of one that was removed.
        self._where: list[tuple[Block, int] | Loose | None] = []
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
        names = _TOKEN_BYTES * (self.columns + len(self._names)) + self._long
        return blocks + self._loose.size + names

    @property
    def blocks(self) -> Iterable[Values]:
        """The rows that were not removed, shape by shape."""
        return (block.values() for block in self._blocks.values() if block.count)

    def boxed(self, inverse: Array) -> tuple[list[Boxed], list[Values]]:
        """The same in boxes, as far as that is worth it.

        Args:
            inverse: What differences are multiplied with by column; see ``boxes_of``.

        Returns:
            The blocks in boxes, and the others.
        """
        blocks = [block for block in self._blocks.values() if block.count]
        boxed = [block.boxed(inverse, self._fewest) for block in blocks]
        others = [it.values() for it, made in zip(blocks, boxed, strict=True) if made is None]
        return [made for made in boxed if made is not None], others

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
        waiting: dict[tuple[int, ...], list[Row]] = {}
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
        if isinstance(where, Loose):
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

    def state(self, row: int) -> dict[str, Value]:
        """The features of a row, as they were added."""
        return self._state(row, *self._paths())

    @property
    def is_sparse(self) -> bool:
        """Whether most of what there was has been removed, so that ``gathered`` is worth it."""
        return len(self._where) > 2 * self._alive + _FEW

    def gathered(self) -> tuple[FeatureTable, NDArray[np.intp]]:
        """A table of the rows that were not removed, and where each was here, of shape (rows,)."""
        kept = [place for place, where in enumerate(self._where) if where is not None]
        paths, texts = self._paths()
        table = FeatureTable(self._fewest)
        table.add([self._state(place, paths, texts) for place in kept])
        return table, np.array(kept, np.intp)

    def _paths(self) -> tuple[dict[int, str], dict[int, str]]:
        """The paths of the columns of numbers, and of those of tokens."""
        paths = {column: path for path, column in self.numbers.items()}
        return paths, {column: path for path, column in self.tokens.items()}

    def _state(self, row: int, paths: dict[int, str], texts: dict[int, str]) -> dict[str, Value]:
        where = self._where[row]
        if where is None:
            return {}
        found = where.row(row) if isinstance(where, Loose) else where[0].row(where[1])
        lows = found.low or [0.0] * len(found.high)
        return {
            paths.get(column) or texts[column]: (
                self._names[int(high)] if column in texts else Wide(high, low) if low else high
            )
            for column, high, low in zip(found.columns, found.high, lows, strict=True)
        }

    def _row(self, place: int, state: dict[str, Value]) -> Row:
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
                    lows[len(highs)] = bounded_low(value.high, value.low)
                columns.append(self._number(path))
                highs.append(value.high)
        return Row(place, tuple(columns), highs, lows)

    def _put(self, columns: tuple[int, ...], rows: list[Row]) -> None:
        block = self._blocks.get(columns)
        if block is None and (len(self._blocks) < MOST_BLOCKS or len(rows) >= _FEWEST):
            self._make_room()
            block = self._blocks[columns] = Block(columns)
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
            self._long += max(len(token) - _TOKEN_BYTES, 0)
        return code
