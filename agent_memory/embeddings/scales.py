"""How far the values of each path are apart in what a run has seen: the unit of differences.

A number's unit is the standard deviation of the path, to which outliers do not count: a few
values more than twelve deviations from the mean, such as one of 1e300 among thousands of 1, would
make all others the same. A token differs by as much as two numbers do on average: the mean square
difference of two values of a path is 2 in its own units, so that a difference counts
2 / (1 - sum of squared shares), which for truths is what their deviation gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.feature_blocks import Values

CONSTANT = 4.0
"""What another value than that of a path which never changed counts: as two deviations."""

_MOST_TOKEN = 25.0
_OUTLIER = 12.0  # deviations
_FEWEST = 20  # values of which some can be outliers
_DOMINANT = 0.95  # of the farthest that one of n values can be from their mean, sqrt(n - 1)
_ROUNDS = 20
_LEAST = 1e-300
_KEPT_BITS = 20  # of a unit: sums in another order give the same


class Scales(NamedTuple):
    """The units of a table's columns, each of shape (columns,).

    Attributes:
        inverse: What a number's difference is multiplied with; 1 where ``steps`` holds.
        steps: Whether values are equal or not: tokens, and numbers that never changed.
        step: What a difference counts there, squared.
    """

    inverse: NDArray[np.float64]
    steps: NDArray[np.bool_]
    step: NDArray[np.float64]


class Table(Protocol):
    """What units are measured on: see ``FeatureTable``, whose names these are."""

    @property
    def columns(self) -> int:
        """How many columns there are."""

    @property
    def held(self) -> Mapping[int, Mapping[int, int]]:
        """How many rows have each token of a column of tokens, by its number."""

    @property
    def blocks(self) -> Iterable[Values]:
        """The rows, shape by shape."""

    @property
    def loose(self) -> Values:
        """The values of the rows that are in no block."""


def scales_of(table: Table) -> Scales:
    """Measure the columns of a table over the rows that it has."""
    deviations = _deviations(table)
    steps = deviations <= 0.0
    step = np.full(len(deviations), CONSTANT)
    for column, held in table.held.items():
        steps[column] = True
        counts = np.fromiter(held.values(), np.float64, len(held))
        total = counts.sum()
        if len(held) > 1:
            varied = 1.0 - float(np.square(counts / total).sum())
            step[column] = min(_rounded(2.0 / varied), _MOST_TOKEN)
    inverse = np.ones(len(deviations))
    np.divide(1.0, np.maximum(_rounded(deviations), _LEAST), out=inverse, where=~steps)
    return Scales(inverse, steps, step)


def _deviations(table: Table) -> NDArray[np.float64]:
    """Standard deviations without outliers; 0 of what does not vary, and of tokens."""
    sums = _Sums(table)
    deviations = sums.deviations()
    reach = np.minimum(_OUTLIER, _DOMINANT * np.sqrt(np.maximum(sums.count - 1, 0)))
    limits = deviations * reach
    limits[(sums.count < _FEWEST) | (deviations == 0.0)] = np.inf
    for column in sums.beyond(limits):
        deviations[column] = _trimmed(sums.values_of(column))
    # What is below the last bit of the numbers is rounding, and no difference.
    deviations[deviations <= np.finfo(np.float64).eps * sums.sizes] = 0.0
    return deviations


class _Sums:
    """Sums over the values of each column, of shape (columns,)."""

    def __init__(self, table: Table) -> None:
        self._parts = [part for part in (*table.blocks, table.loose) if len(part.rows)]
        self._width = table.columns
        self.count = np.zeros(self._width)
        first, rest = np.zeros(self._width), np.zeros(self._width)
        wide: set[int] = set()
        for part in self._parts:
            first[part.columns] = _one_of_each(part.high)
            self.count += self._numbers(part)
            if part.low is not None:
                rest[part.columns] = _one_of_each(part.low)
                wide |= {*part.columns[_any_of_each(part.low != 0.0)].tolist()}
        # From one value of each column on, so that what is left of a large offset is small.
        self._centred = [(part.columns, _apart(part, first, rest)) for part in self._parts]
        mean = self._total(lambda values: values) / np.maximum(self.count, 1)
        for columns, values in self._centred:
            np.subtract(values, mean[columns], out=values)
        self.sizes = np.abs(first)
        self.sizes[[*wide]] = 0.0  # these are exact far below their last bit

    def deviations(self) -> NDArray[np.float64]:
        """Of the values from their mean."""
        deviations: NDArray[np.float64] = np.sqrt(
            self._total(np.square) / np.maximum(self.count, 1)
        )
        return deviations

    def beyond(self, limits: NDArray[np.float64]) -> list[int]:
        """The columns of which some value is farther from the mean than a limit."""
        found: set[int] = set()
        for columns, values in self._centred:
            far = np.abs(values) > limits[columns]
            found |= {*columns[_any_of_each(far)].tolist()}
        return sorted(found)

    def values_of(self, column: int) -> NDArray[np.float64]:
        """The values of a column, from their median on: a mean may be far from them all."""
        high = np.concatenate([_of_column(part, part.high, column) for part in self._parts])
        low = np.concatenate(
            [
                np.zeros(len(_of_column(part, part.high, column)))
                if part.low is None
                else _of_column(part, part.low, column)
                for part in self._parts
            ]
        )
        middle = int(np.argsort(high)[len(high) // 2])
        values: NDArray[np.float64] = (high - high[middle]) + (low - low[middle])
        return values

    def _numbers(self, part: Values) -> NDArray[np.float64]:
        """How many values a part has of each column."""
        each = np.bincount(part.columns, minlength=self._width).astype(np.float64)
        return each * (len(part.rows) if part.high.ndim > 1 else 1)

    def _total(
        self, of: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        total = np.zeros(self._width)
        for columns, values in self._centred:
            if values.ndim > 1:
                total[columns] += of(values).sum(axis=0)
            else:
                total += np.bincount(columns, of(values), self._width)
        return total


def _of_column(part: Values, values: NDArray[np.float64], column: int) -> NDArray[np.float64]:
    return values[..., part.columns == column].ravel()


def _one_of_each(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """One value of each column: of a block the first row's."""
    return values[0] if values.ndim > 1 else values


def _any_of_each(found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """By column whether any is true; of loose values by value."""
    return np.logical_or.reduce(found, axis=0) if found.ndim > 1 else found


def _apart(
    part: Values, first: NDArray[np.float64], rest: NDArray[np.float64]
) -> NDArray[np.float64]:
    apart: NDArray[np.float64] = part.high - first[part.columns]
    if part.low is not None:
        apart += part.low
    if rest.any():
        apart -= rest[part.columns]
    return apart


def _trimmed(values: NDArray[np.float64]) -> float:
    """The deviation of values without those too far off, over and over."""
    deviation = float(values.std())
    for _ in range(_ROUNDS):
        reach = min(_OUTLIER, _DOMINANT * float(np.sqrt(max(len(values) - 1, 0))))
        near = np.abs(values - values.mean()) <= deviation * reach
        if near.all() or len(values) < _FEWEST:
            break
        values = values[near] - values[near][0]
        left = float(values.std())
        if not left > 0.0:
            break  # all the same: the others are all there is to tell by
        deviation = left
    return deviation


def _rounded(values: NDArray[np.float64] | float) -> NDArray[np.float64]:
    mantissas, exponents = np.frexp(values)
    rounded: NDArray[np.float64] = np.ldexp(
        np.rint(mantissas * 2.0**_KEPT_BITS), exponents - _KEPT_BITS
    )
    return rounded
