"""Fits the code of one path: which values get a choice, where the lattice lies, all shares."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from agent_memory.compression.fitted.column import Column
from agent_memory.compression.fitted.numbers import INTEGERS, TYPES, Integers, Lattice
from agent_memory.compression.fitted.prediction import NO_CELL
from agent_memory.compression.fitted.rans import shares
from agent_memory.compression.fitting.extents import extent_of
from agent_memory.compression.fitting.tolerances import Tolerance

_MOST_VALUES = 200  # that get a choice of their own
_MOST_BUCKETS = 256
_MOST_CELLS = 2**40  # of numbers at one path
_MOST_RATIO = 4095  # fine cells in a coarse one
_FINER_BY = 4.0  # a lattice that is finer by more than this is left, as it costs two bits a number
_FEW_FLOATS = 16  # so many different ones are kept exactly
_FEW_INTEGERS = 64
_LONGEST_VALUE = 256  # characters or bytes of a text with a choice of its own
# The step of the lattice is that much smaller than what the tolerance allows, so that rounding in
# the last place breaks no bound.
_SLACK = 1 - 2**-20

_LETTERS = {kind: letter for letter, kind in TYPES.items()}


def fit_column(
    path: str,
    values: Sequence[Any],
    steps: Sequence[int],
    tolerance: Tolerance,
    *,
    single: bool = False,
    inherited: Lattice | None = None,
) -> Column:
    """Fit the code of a path.

    Args:
        path: The path.
        values: What was seen there.
        steps: The step of each.
        tolerance: How far numbers may be off.
        single: Whether they are elements of an array of single precision.
        inherited: The lattice of an earlier code, to be kept where it serves as well.
    """
    counts = Counter(key for key in map(_key, values) if key is not None)
    letter = _commonest_numbers(values)
    found = _numbers(letter, values, steps, counts, tolerance, single, inherited)
    if found is None:
        return _of_values(path, counts, len(values))
    numbers, cells = found
    return _with_numbers(path, letter, numbers, cells, counts, len(values))


def _key(value: Any) -> tuple[type[Any], Any] | None:
    """What tells a value from others; None of one that gets no choice of its own."""
    kind = type(value)
    if kind in (str, bytes) and len(value) > _LONGEST_VALUE:
        return None
    if kind is float and (value != value or math.isinf(value)):  # noqa: PLR0124  # not a number
        return None
    if isinstance(value, np.timedelta64) and np.datetime_data(value.dtype)[0] == "generic":
        return None  # a span without a unit has no hash
    if value is None or kind in (bool, int, float, str, bytes) or isinstance(value, np.generic):
        return kind, value
    return None


def _commonest_numbers(values: Sequence[Any]) -> str:
    kinds = Counter(map(type, values))
    letters = [(kinds[kind], letter) for letter, kind in TYPES.items() if kinds[kind]]
    return max(letters)[1] if letters else ""


def _numbers(
    letter: str,
    values: Sequence[Any],
    steps: Sequence[int],
    counts: Counter[tuple[type[Any], Any]],
    tolerance: Tolerance,
    single: bool,  # private
    inherited: Lattice | None,
) -> tuple[Lattice | Integers, np.ndarray[Any, np.dtype[np.int64]]] | None:
    """Where the numbers lie, and the coarse cell of each; None where they get none."""
    if not letter:
        return None
    kind = TYPES[letter]
    different = sum(1 for key in counts if key[0] is kind)
    chosen = [(value, step) for value, step in zip(values, steps, strict=True)
              if type(value) is kind]  # fmt: skip
    if letter in INTEGERS:
        integers = [int(value) for value, _ in chosen]
        return _integers(integers, [step for _, step in chosen], different)
    floats = np.array([value for value, _ in chosen], np.float64)
    floats, extent = extent_of(floats[np.isfinite(floats)])
    bounds = tolerance.within(extent)
    found = _lattice(floats, different, bounds, single or letter == "s")
    if found is not None and inherited is not None and _serves(inherited, found[0]):
        return _upon(inherited, floats) or found
    return found


def _serves(inherited: Lattice, wanted: Lattice) -> bool:
    """Whether an earlier lattice is as fine as is wanted, and not much finer."""
    return inherited.single == wanted.single and all(
        bound / _FINER_BY <= earlier <= bound
        for earlier, bound in (
            (inherited.bound_1, wanted.bound_1),
            (inherited.bound_2, wanted.bound_2),
        )
    )


def _upon(
    lattice: Lattice, values: np.ndarray[Any, np.dtype[np.float64]]
) -> tuple[Lattice, np.ndarray[Any, np.dtype[np.int64]]] | None:
    """A lattice, and the coarse cells of values upon it; None where hardly any lies upon it."""
    lattice = _reaching(lattice, values)
    cells, sound = lattice.cells(values, 2)
    coarse = lattice.coarse_of(cells[sound])
    if 2 * len(coarse) <= len(values) or int(np.ptp(coarse)) >= _MOST_CELLS // lattice.ratio:
        return None
    return lattice, coarse


def _reaching(lattice: Lattice, values: np.ndarray[Any, np.dtype[np.float64]]) -> Lattice:
    """The same lattice whose range reaches to the ends of values too."""
    low, high = float(values.min()), float(values.max())
    if lattice.low > -math.inf:
        low, high = min(low, lattice.low), max(high, lattice.high)
    return replace(lattice, low=low, high=high)


def _integers(
    values: list[int], steps: list[int], different: int
) -> tuple[Integers, np.ndarray[Any, np.dtype[np.int64]]] | None:
    plain = max(values) - min(values)
    from_step = [value - step for value, step in zip(values, steps, strict=True)]
    beyond = max(from_step) - min(from_step)
    with_step = beyond * 2 < plain
    extent = beyond if with_step else plain
    if different == 1 and not with_step:
        return None
    if different <= _FEW_INTEGERS and extent > 4 * different:
        return None
    if extent >= _MOST_CELLS:
        return None
    cells = from_step if with_step else values
    base = min(cells)
    return Integers(base, with_step), np.array([cell - base for cell in cells], np.int64)


def _lattice(
    values: np.ndarray[Any, np.dtype[np.float64]],
    different: int,
    bounds: tuple[float, float],
    single: bool,  # private
) -> tuple[Lattice, np.ndarray[Any, np.dtype[np.int64]]] | None:
    if different <= min(_FEW_FLOATS, len(values) // 4):
        return None
    if not len(values):
        return None
    low, high = float(values.min()), float(values.max())
    extent = high - low
    bound_1, bound_2 = bounds
    if not (bound_1 > 0.0 and math.isfinite(extent) and extent > 0.0):
        return None
    ratio = math.ceil(min(bound_2 / bound_1, _MOST_RATIO - 1)) // 2 * 2 + 1
    # Values in single precision are rounded once more.
    rounding = max(abs(low), abs(high)) * 2**-23 if single else 0.0
    fine = 2 * min((bound_1 - rounding), (bound_2 - rounding) / ratio) * _SLACK
    if not fine > 0.0 or extent / fine >= _MOST_CELLS:
        return None
    origin = 0.0 if low <= 0.0 <= high else low
    lattice = Lattice(origin, fine, ratio, bound_1, bound_2, single, low, high)
    cells, sound = lattice.cells(values, 2)
    return (lattice, lattice.coarse_of(cells[sound])) if sound.any() else None


def _of_values(path: str, counts: Counter[tuple[type[Any], Any]], seen: int) -> Column:
    chosen = _chosen(counts, seen)
    taken = sum(counts[key] for key in chosen)
    widths = shares([*(counts[key] for key in chosen), seen - taken + 0.5])
    return Column(path, tuple(value for _, value in chosen), "", None, 0, 0, tuple(widths))


def _with_numbers(
    path: str,
    letter: str,
    numbers: Lattice | Integers,
    cells: np.ndarray[Any, np.dtype[np.int64]],
    counts: Counter[tuple[type[Any], Any]],
    seen: int,
) -> Column:
    others = Counter({key: n for key, n in counts.items() if key[0] is not TYPES[letter]})
    chosen = _chosen(others, seen)
    first, bits, seen_in = _buckets(letter, cells)
    taken = sum(counts[key] for key in chosen) + len(cells)
    expected = [*(counts[key] for key in chosen), *_smoothed(seen_in), seen - taken + 0.5]
    values = tuple(value for _, value in chosen)
    return Column(path, values, letter, numbers, first, bits, tuple(shares(expected)))


def _buckets(
    letter: str, cells: np.ndarray[Any, np.dtype[np.int64]]
) -> tuple[int, int, np.ndarray[Any, np.dtype[np.intp]]]:
    """Where buckets begin, the bits of each, and how many cells were seen in it."""
    low, high = int(cells.min()), int(cells.max())
    # What comes later may lie somewhat beyond what was seen.
    margin = max(2, (high - low) // (4 if letter in INTEGERS else 10))
    first, last = low - margin, high + margin
    bits = 0
    while (last - first) >> bits >= _MOST_BUCKETS:
        bits += 1
    return first, bits, np.bincount((cells - first) >> bits, minlength=((last - first) >> bits) + 1)


def coarse_cells(
    column: Column, values: Sequence[Any], steps: Sequence[int]
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The coarse cell of each value, ``NO_CELL`` where it has none; of shape (n,)."""
    numbers, kind = column.numbers, TYPES[column.kind]
    right = np.array([type(value) is kind for value in values], np.bool_)
    cells = np.full(len(values), NO_CELL, np.int64)
    if isinstance(numbers, Lattice):
        given = np.array([float(value) if fits else math.nan
                          for value, fits in zip(values, right, strict=True)])  # fmt: skip
        found, sound = numbers.cells(given, 2)
        cells[right & sound] = numbers.coarse_of(found)[right & sound]
    elif numbers is not None:
        for place in np.flatnonzero(right).tolist():
            cell = numbers.cell(int(values[place]), steps[place])
            if abs(cell) < _MOST_CELLS:
                cells[place] = cell
    return cells


def beyond_prediction(column: Column, beyond: np.ndarray[Any, np.dtype[np.int64]]) -> Column:
    """The column of what lies beyond a prediction.

    Args:
        column: That of the numbers themselves.
        beyond: How many coarse cells each that was seen lies beyond, of shape (n,).
    """
    first, bits, seen_in = _buckets(column.kind, beyond)
    known = len(column.values)
    numeric = sum(column.widths[known:-1])
    smoothed = np.array(_smoothed(seen_in))
    smoothed *= numeric / smoothed.sum()
    widths = shares([*column.widths[:known], *smoothed, column.widths[-1]])
    return replace(column, first=first, bits=bits, widths=tuple(widths))


def _chosen(counts: Counter[tuple[type[Any], Any]], seen: int) -> list[tuple[type[Any], Any]]:
    """The values that get a choice of their own: those that will probably come again."""
    least = 1 if seen < 8 else 2
    return [key for key, count in counts.most_common(_MOST_VALUES) if count >= least]


def _smoothed(counts: np.ndarray[Any, np.dtype[np.intp]]) -> list[float]:
    """What to expect in each bucket: as was seen there, and a little beside it and everywhere."""
    padded = np.pad(counts.astype(np.float64), 1)
    beside = counts + 0.02 * (padded[:-2] + padded[2:])
    smoothed: list[float] = (beside + 2e-4 * counts.sum() / len(counts) + 1e-3).tolist()
    return smoothed
