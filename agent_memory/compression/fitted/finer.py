"""Numbers that a code has rounded, known more exactly from the vector beside them.

A vector was computed from the exact contents. What it predicts of a number lies within the cell
that the number was rounded to, or beyond one of its ends; the cell holds in any case. How much a
prediction is to be trusted, the code knows from the cells by which it was off when it was fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.fitted.code import ContentsCode, Prediction
from agent_memory.compression.fitted.column import Column
from agent_memory.compression.fitted.numbers import Lattice

_FARTHEST = 2.0  # cells by which a prediction is off: what is farther counts as this
_WITHIN = 1.0 / 12.0  # variance of numbers within their cell, in cells
_BY_ROUNDING = 0.3  # mean square of cells below which they are off by rounding more than by more


class Rounded(NamedTuple):
    """Contents of level 2 that were coded beside a vector, and that vector, of shape (dim,)."""

    contents: dict[str, Any]
    vector: NDArray[np.float32]


def finer(code: ContentsCode, rounded: Sequence[Rounded]) -> list[dict[str, float]]:
    """Estimate numbers better than contents give them.

    The same on every machine: all sums are of whole numbers.

    Args:
        code: The code that has rounded them.
        rounded: The contents.

    Returns:
        For each the better numbers, by path; within the error bounds of the contents.
    """
    found: list[dict[str, float]] = [{} for _ in rounded]
    if code.prediction is None:
        return found
    groups: dict[int, list[tuple[int, list[Any]]]] = {}
    for place, one in enumerate(rounded):
        apart = code.take_apart(one.contents)
        if apart is not None and code.prediction.predictor.reads(one.vector):
            groups.setdefault(apart[0], []).append((place, apart[1]))
    for shape, some in groups.items():
        vectors = np.array([rounded[place].vector for place, _ in some])
        predicted = code.prediction.exactly(shape, vectors)
        for at, column, lattice, trust in _trusted(code.prediction, shape):
            values = [leaves[at] for _, leaves in some]
            within = _within(lattice, values, predicted[:, at], trust)
            for (place, _), value, better in zip(some, values, within, strict=True):
                if better is not None and (type(value), value) not in column.index:
                    found[place][column.path] = better
    return found


def _within(
    lattice: Lattice, values: Sequence[Any], predicted: NDArray[np.float64], trust: float
) -> list[float | None]:
    """Where values lie within their cells; None of those that lie in none, or in its middle.

    Args:
        lattice: Where the numbers among them lie.
        values: The values.
        predicted: The cells that are predicted, of shape (n,).
        trust: How much of what is predicted within a cell is to be believed, from 0 to 1.
    """
    step = lattice.fine * lattice.ratio
    is_number = [isinstance(value, (float, np.floating)) for value in values]
    given = np.where(is_number, values, np.nan).astype(np.float64)
    with np.errstate(all="ignore"):
        coarse = np.rint((given - lattice.origin) / step)
        was = np.isfinite(coarse) & (np.abs(coarse) < 2.0**52)
        cells = np.where(was, coarse, 0.0).astype(np.int64)
        was &= lattice.are_inside(cells) & (lattice.wholes(cells) == given)
        off = np.minimum(np.maximum(predicted - cells, -0.5), 0.5) * trust
        within = lattice.origin + (cells + off) * step
    within = np.minimum(np.maximum(within, lattice.low), lattice.high)
    was &= within != given
    return [one if known else None for one, known in zip(within.tolist(), was, strict=True)]


class _Trusted(NamedTuple):
    """A leaf whose numbers are predicted, and how much that is to be trusted."""

    at: int
    column: Column
    lattice: Lattice
    trust: float


@lru_cache(maxsize=64)
def _trusted(prediction: Prediction, shape: int) -> list[_Trusted]:
    """The leaves of a shape whose numbers are predicted."""
    columns, places = prediction.shapes[shape].fitted, prediction.places[shape].tolist()
    return [
        _Trusted(at, column, column.numbers, _trust(column))
        for at, (column, place) in enumerate(zip(columns, places, strict=True))
        if place >= 0 and isinstance(column.numbers, Lattice)
    ]


def _trust(column: Column) -> float:
    """The share of a predicted offset that is expected to be true (linear least squares)."""
    first, width = column.first, 1 << column.bits
    middles = first + width * np.arange(column.buckets) + (width - 1) / 2.0
    shares = np.array(column.widths[len(column.values) : column.other], np.float64)
    if not shares.sum():
        return 0.0
    off = np.minimum(np.abs(middles), _FARTHEST)
    square = float(np.square(off) @ shares / shares.sum()) + (width**2 - 1) / 12.0
    # Cells of exact predictions differ by rounding alone: by one as often as the error is long.
    error = (square / 0.8) ** 2 if square < _BY_ROUNDING else square - 2 * _WITHIN
    return _WITHIN / (_WITHIN + error)
