"""How far states are from one, on all that they say.

Over the paths ``p`` that the asked state names, with weights ``w``, the distance is::

    d = sqrt( sum_p w_p delta_p^2 / sum_p w_p )

* numbers: ``delta = (a - b) / s``, where ``s`` is the path's unit (``scales``); from 16 units on
  it grows with the logarithm, so that one outlier does not drown the rest;
* tokens: 0 for the same, else as far as ``scales`` says; of long texts that times the share of
  pieces that they do not have in common;
* a value that the other state lacks: 2 units.

The *score* is ``1 / (1 + d)``: 1 for the same, 0.5 for what is one unit away, and 0 for a state
that has none of the paths. What the asked state does not name is not asked about; of states
equally far those that say the less besides come first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.comparable import Comparable
from agent_memory.embeddings.feature_blocks import LARGEST, Boxed, Values, bounded_low
from agent_memory.embeddings.feature_table import FeatureTable
from agent_memory.embeddings.scales import Scales
from agent_memory.embeddings.sketches import shares_apart, sketch_in

LACKING = 4.0
"""What a value counts that the other state lacks, squared."""

_STRAIGHT = 16.0  # units up to which differences count in full
_ROUNDING = 1e-9  # of all weights: what is less is lacking by rounding alone
_BITS = 42  # of a distance: those that are equal but for rounding are equal
_BOX_ROUNDING = 16.0 * float(np.finfo(np.float64).eps)  # of values that are sums of two
_BOXES_AT_FIRST = 4
_BOXES_AT_ONCE = 64
_MOST_LOOKED_AT = 4  # a share of the rows: more are measured in one go more quickly
_NONE = -1.0  # the number of a token that no row has


class Distances(NamedTuple):
    """How far the rows of a table are from a state, each of shape (rows,).

    Attributes:
        distance: From 0; infinite where nothing is in common.
        besides: How many values a row has that were not asked about.
    """

    distance: NDArray[np.float64]
    besides: NDArray[np.float64]

    @property
    def scores(self) -> NDArray[np.float64]:
        """From 1 for the same to 0 for nothing in common."""
        scores: NDArray[np.float64] = 1.0 / (1.0 + self.distance)
        return scores


def distances(
    table: FeatureTable, scales: Scales, asked: Comparable, *, as_rounded: bool = False
) -> Distances:
    """Measure how far all rows of a table are from a state.

    Args:
        table: The rows.
        scales: The units of its columns.
        asked: The state.
        as_rounded: Whether of numbers that are sums of two the first alone is compared, where the
            state's is not such a sum.
    """
    question = _Question(table, asked, as_rounded=as_rounded)
    sums = np.zeros((3, len(table)))  # the squares, the weights of what was found, and the rest
    for block in table.blocks:
        _add_block(sums, block, table, scales, question)
    if len(table.loose.rows):
        _add_loose(sums, table.loose, table, scales, question)
    if not asked.values:
        # Nothing is asked for, and the state that says nothing is the same.
        return Distances(np.where(sums[2] > 0.0, np.inf, 0.0), sums[2])
    return _distances(sums, question)


class Near(NamedTuple):
    """Rows of a table that are near to a state, each of shape (n,).

    Attributes:
        rows: Which they are.
        distance: From 0; infinite where nothing is in common.
        besides: How many values each has that were not asked about.
    """

    rows: NDArray[np.intp]
    distance: NDArray[np.float64]
    besides: NDArray[np.float64]


def nearest(
    table: FeatureTable,
    scales: Scales,
    asked: Comparable,
    count: int,
    answering: Callable[[NDArray[np.intp]], NDArray[np.bool_]],
    *,
    as_rounded: bool = False,
) -> Near | None:
    """Find the rows nearest to a state, without measuring how far all others are.

    Args:
        table: The rows.
        scales: The units of its columns.
        asked: The state.
        count: How many are asked for.
        answering: Tells which of some rows may be given, of shape (n,).
        as_rounded: See ``distances``.

    Returns:
        The nearest that may be given, and all that are as far as the last of them; the distances
        are those of ``distances``. None where most rows would have to be looked at, or are few.
    """
    boxed, others = table.boxed(np.where(scales.steps, np.sqrt(scales.step), scales.inverse))
    if not boxed or not asked.values or not count:
        return None
    question = _Question(table, asked, as_rounded=as_rounded)
    found = _Found(count, answering)
    for part in others:
        found.add(_near(part, table, scales, question))
    for each in boxed:
        found.add(_near(_at(each.values, each.others), table, scales, question))
    if len(table.loose.rows):
        found.add(_near_loose(table, scales, question))
    bounds = [_bounds(each, scales, question) for each in boxed]
    where = [(which, box) for which, some in enumerate(bounds) for box in range(len(some))]
    all_bounds = np.concatenate(bounds)
    order = np.argsort(all_bounds).tolist()
    allowed = len(table) // _MOST_LOOKED_AT
    first, some = 0, _BOXES_AT_FIRST
    while first < len(order) and not all_bounds[order[first]] > found.farthest:
        places: dict[int, list[NDArray[np.intp]]] = {}
        for at in order[first : first + some]:
            which, box = where[at]
            places.setdefault(which, []).append(boxed[which].boxes.rows_in(box))
        for which, parts in places.items():
            rows = np.concatenate(parts)
            rows = rows[boxed[which].current[rows]]
            allowed -= len(rows)
            found.add(_near(_at(boxed[which].values, rows), table, scales, question))
        if allowed < 0:
            return None
        first, some = first + some, min(2 * some, _BOXES_AT_ONCE)
    return found.near


class _Found:
    """The nearest rows so far, of those that may be given."""

    def __init__(
        self, count: int, answering: Callable[[NDArray[np.intp]], NDArray[np.bool_]]
    ) -> None:
        self._count = count
        self._answering = answering
        self.farthest = np.inf
        nothing = np.zeros(0)
        self.near = Near(np.zeros(0, np.intp), nothing, nothing)

    def add(self, near: Near) -> None:
        """Look at more rows."""
        close = np.flatnonzero(near.distance <= self.farthest)
        close = close[self._answering(near.rows[close])]
        rows = np.concatenate([self.near.rows, near.rows[close]])
        distance = np.concatenate([self.near.distance, near.distance[close]])
        besides = np.concatenate([self.near.besides, near.besides[close]])
        if len(rows) >= self._count:
            self.farthest = float(np.partition(distance, self._count - 1)[self._count - 1])
            kept = distance <= self.farthest
            rows, distance, besides = rows[kept], distance[kept], besides[kept]
        self.near = Near(rows, distance, besides)


def _at(values: Values, places: NDArray[np.intp]) -> Values:
    low = None if values.low is None else values.low[places]
    return Values(values.rows[places], values.columns, values.high[places], low)


def _near(values: Values, table: FeatureTable, scales: Scales, question: _Question) -> Near:
    """How far the rows of a block are."""
    sums = np.zeros((3, len(values.rows)))
    within = values._replace(rows=np.arange(len(values.rows), dtype=np.int32))
    _add_block(sums, within, table, scales, question)
    return Near(values.rows.astype(np.intp), *_distances(sums, question))


def _near_loose(table: FeatureTable, scales: Scales, question: _Question) -> Near:
    loose = table.loose
    rows, places = np.unique(loose.rows, return_inverse=True)
    sums = np.zeros((3, len(rows)))
    _add_loose(sums, loose._replace(rows=places.astype(np.int32)), table, scales, question)
    return Near(rows.astype(np.intp), *_distances(sums, question))


def _bounds(boxed: Boxed, scales: Scales, question: _Question) -> NDArray[np.float64]:
    """How far the rows of each box are at least, of shape (boxes,)."""
    columns = boxed.values.columns
    weights = question.weight[columns]
    asked = question.high[columns] + question.low[columns]
    units = np.abs(np.clip(asked, boxed.boxes.low, boxed.boxes.high) - asked)
    # What is within rounding may be none.
    units -= _BOX_ROUNDING * (np.abs(asked) + units)
    np.maximum(units, 0.0, out=units)
    squares = _squared(units, columns, scales)
    for column in question.sketches:
        squares[:, columns == column] = 0.0
    least = squares @ weights + LACKING * max(question.named - float(weights.sum()), 0.0)
    bounds: NDArray[np.float64] = np.sqrt(least / question.named) * (1.0 - _ROUNDING)
    if not weights.any():
        bounds[:] = np.inf
    return bounds


def _distances(sums: NDArray[np.float64], question: _Question) -> Distances:
    """Distances from the sums of squares, of the weights of what was found, and of the rest."""
    total, found, besides = sums
    lacking = np.maximum(question.named - found, 0.0)
    lacking[lacking < _ROUNDING * question.named] = 0.0
    distance = _rounded(np.sqrt((total + LACKING * lacking) / question.named))
    distance[found == 0.0] = np.inf
    return Distances(distance, besides)


def _add_block(
    sums: NDArray[np.float64],
    block: Values,
    table: FeatureTable,
    scales: Scales,
    question: _Question,
) -> None:
    weights = question.weight[block.columns]
    wanted = weights > 0.0
    if not wanted.all():
        low = None if block.low is None else block.low[:, wanted]
        block = Values(block.rows, block.columns[wanted], block.high[:, wanted], low)
        weights = weights[wanted]
    sums[0, block.rows] = _squares(block, table, scales, question) @ weights
    sums[1, block.rows] = weights.sum()
    sums[2, block.rows] = len(wanted) - len(weights)


def _add_loose(
    sums: NDArray[np.float64],
    loose: Values,
    table: FeatureTable,
    scales: Scales,
    question: _Question,
) -> None:
    wanted = question.weight[loose.columns] > 0.0
    rows = sums.shape[1]
    sums[2] += np.bincount(loose.rows[~wanted], minlength=rows)
    low = None if loose.low is None else loose.low[wanted]
    loose = Values(loose.rows[wanted], loose.columns[wanted], loose.high[wanted], low)
    weights = question.weight[loose.columns]
    squares = _squares(loose, table, scales, question)
    sums[0] += np.bincount(loose.rows, weights * squares, rows)
    sums[1] += np.bincount(loose.rows, weights, rows)


class _Question:
    """The asked state in the columns of a table; weight 0 where it has no value."""

    def __init__(self, table: FeatureTable, asked: Comparable, *, as_rounded: bool) -> None:
        self.high = np.zeros(table.columns)
        self.low = np.zeros(table.columns)
        self.weight = np.zeros(table.columns)
        self.sketches: dict[int, NDArray[np.uint32]] = {}
        self.named = 0.0
        self.is_wide = False
        # Where the second of two numbers that are added up counts.
        self.in_full = np.full(table.columns, not as_rounded)
        for path, value in asked.values.items():
            weight = asked.weights.get(path, 1.0)
            self.named += weight
            column = (table.tokens if type(value) is str else table.numbers).get(path)
            if column is None:
                continue
            self.weight[column] = weight
            if isinstance(value, str):
                self._ask_token(table, column, value)
            elif isinstance(value, float):
                self.high[column] = value
            else:
                self.high[column] = value.high
                self.low[column] = bounded_low(value.high, value.low)
                self.in_full[column] = True
                self.is_wide = True
        np.clip(self.high, -LARGEST, LARGEST, out=self.high)

    def _ask_token(self, table: FeatureTable, column: int, token: str) -> None:
        self.high[column] = table.codes.get(token, _NONE)
        sketch = sketch_in(token)
        if sketch is not None:
            self.sketches[column] = sketch


def _squares(
    values: Values, table: FeatureTable, scales: Scales, question: _Question
) -> NDArray[np.float64]:
    """The square of each difference in its unit, shaped as the values."""
    columns = values.columns
    units = values.high - question.high[columns]
    if values.low is not None:
        units += values.low * question.in_full[columns] - question.low[columns]
    elif question.is_wide:
        units -= question.low[columns]
    squares = _squared(units, columns, scales)
    for column, sketch in question.sketches.items():
        texts = columns == column
        if texts.any():
            squares[..., texts] *= _shares(table, values.high[..., texts], sketch)
    return squares


def _squared(
    units: NDArray[np.float64], columns: NDArray[np.int32], scales: Scales
) -> NDArray[np.float64]:
    """The square of differences in their units; takes the array that is given."""
    with np.errstate(over="ignore"):
        units *= scales.inverse[columns]
    np.abs(units, out=units)
    steps = scales.steps[columns]
    straight = steps | (units <= _STRAIGHT)
    if not straight.all():
        far = units[~straight]
        units[~straight] = _STRAIGHT + np.log1p(np.minimum(far, LARGEST) - _STRAIGHT)
    squares: NDArray[np.float64] = np.square(units, out=units)
    if steps.any():
        squares[..., steps] = scales.step[columns[steps]] * (squares[..., steps] != 0.0)
    return squares


def _shares(
    table: FeatureTable, codes: NDArray[np.float64], pieces: NDArray[np.uint32]
) -> NDArray[np.float64]:
    """The share of pieces that a text and others do not have in common; 1 of short texts."""
    present, places = np.unique(codes.astype(np.intp), return_inverse=True)
    shares = shares_apart(pieces, [table.token(code) for code in present.tolist()])
    return shares[places].reshape(codes.shape)


def _rounded(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without the last bits, which depend on the order in which squares were added up."""
    mantissas, exponents = np.frexp(distance)
    rounded: NDArray[np.float64] = np.ldexp(np.rint(mantissas * 2.0**_BITS), exponents - _BITS)
    return rounded
