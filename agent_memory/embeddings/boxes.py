"""Boxes around neighbouring rows of many, by which most of them need not be looked at.

Rows are halved at the median of the path along which they are spread the most, over and over (a
k-d tree: Bentley, *Multidimensional binary search trees used for associative searching*, CACM
18(9), 1975). Of the rows in a box none is nearer to a state than the box is. So boxes are looked
into by their distance, the nearest first, until the next is farther than what was found: the
answer is exact, ties included, for any state, whatever paths it names, and whatever the units of
the paths are by then.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FEWEST = 8_192
"""How many rows are worth boxes: fewer are compared one and all in the same time."""

_SAMPLE = 512  # rows by which the spread of the rows in a box is judged

Array = NDArray[np.float64]


class Boxes(NamedTuple):
    """Boxes that hold all rows of a matrix.

    Attributes:
        low: The least values in each box, of shape (boxes, paths).
        high: The greatest, so shaped.
        ends: Where the rows of each box end among ``rows``, of shape (boxes,).
        rows: The rows, box by box, of shape (n,).
    """

    low: Array
    high: Array
    ends: NDArray[np.intp]
    rows: NDArray[np.intp]

    @property
    def size(self) -> int:
        """How many bytes the boxes take."""
        return sum(array.nbytes for array in self)

    def rows_in(self, box: int) -> NDArray[np.intp]:
        """The rows that a box holds."""
        begin = 0 if not box else self.ends[box - 1]
        return self.rows[begin : self.ends[box]]


def boxes_of(values: Array, inverse: Array, most: int, further: Array | None = None) -> Boxes:
    """Put rows into boxes.

    Args:
        values: The rows, of shape (n, paths).
        inverse: What differences are multiplied with to be compared, of shape (paths,): it
            decides how good the boxes are, and never whether they are right.
        most: How many rows a box holds at most.
        further: What may be added to the values, so shaped: the rows are in their boxes with it
            and without.
    """
    lows, highs, parts = [], [], []
    waiting = [np.arange(len(values))]
    while waiting:
        rows = waiting.pop()
        inside = values[rows]
        if len(rows) <= most:
            low, high = inside.min(axis=0), inside.max(axis=0)
            if further is not None:
                sums = inside + further[rows]
                low, high = np.minimum(low, sums.min(axis=0)), np.maximum(high, sums.max(axis=0))
            lows.append(low)
            highs.append(high)
            parts.append(rows)
            continue
        # Between deciles, to which outliers do not count.
        sample = np.sort(inside[:: -(-len(rows) // _SAMPLE)], axis=0)
        tenth = len(sample) // 10
        spread = (sample[-1 - tenth] - sample[tenth]) * inverse
        middle = len(rows) // 2
        order = np.argpartition(inside[:, int(spread.argmax())], middle)
        waiting += [rows[order[:middle]], rows[order[middle:]]]
    ends = np.cumsum([len(rows) for rows in parts])
    return Boxes(np.array(lows), np.array(highs), ends, np.concatenate(parts))
