"""Where the numbers of a path lie: on a lattice of floats, or among integers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Cells = NDArray[np.int64]

_FURTHEST = 2**52  # cells from the origin, beyond which doubles have gaps


@dataclass(frozen=True, slots=True)
class Lattice:
    """Floats on a lattice: level 1 has its fine cells, level 2 each ``ratio``-th of those.

    A value is put on the fine lattice once, and its coarse cell follows from its fine one. So the
    bound of either level is against the original, and what comes back from level 1 has the cells
    it had.

    What comes back lies within the range of what was learned, or between that and the original.
    A cosine of 1.0 does not come back as 1.0066: that is within its bound, and outside every space
    that a simulator takes it for. The outermost cells reach beyond the range by half a step, and
    give its end, which is nearer to all within it. A number that lies farther out keeps its fine
    cell at level 2 too, so the value that is nearer to the range can be given within the bound.

    Attributes:
        origin: The value of cell 0.
        fine: What lies between two fine cells.
        ratio: Fine cells in a coarse one; odd, so that none is halfway.
        bound_1: How far a value may be from that of its fine cell.
        bound_2: The same of its coarse cell.
        single: Whether values are rounded to single precision when they are given back.
        low: The least value that was learned. It moves no cell, so lattices that differ in it
            alone are equal.
        high: The greatest.
        bottom: The coarse cell of the least value.
        top: That of the greatest.
    """

    origin: float
    fine: float
    ratio: int
    bound_1: float
    bound_2: float
    single: bool = False
    low: float = field(default=-math.inf, compare=False)
    high: float = field(default=math.inf, compare=False)
    bottom: int = field(init=False, repr=False, compare=False)
    top: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Find the outermost cells."""
        for name, end in (("bottom", self.low), ("top", self.high)):
            place = (end - self.origin) / self.fine
            cell = round(min(max(place, -_FURTHEST), _FURTHEST))
            object.__setattr__(self, name, self.coarse(cell))

    def coarse(self, cell: int) -> int:
        """The coarse cell of a fine one."""
        return (cell + self.ratio // 2) // self.ratio

    def is_inside(self, coarse: int) -> bool:
        """Whether what was learned reaches to a coarse cell, which then tells all at level 2."""
        return self.bottom <= coarse <= self.top

    def has_rest(self, coarse: int, level: int) -> bool:
        """Whether the message says which of the fine cells of a coarse one is meant."""
        return level == 1 or not self.is_inside(coarse)

    def value(self, cell: int) -> float:
        """The value of a fine cell."""
        value = self.origin + cell * self.fine
        if self.single:
            value = float(np.float32(value))
        if value > self.high:
            return self.high if value - self.high <= self.fine / 2 else value
        if value < self.low:
            return self.low if self.low - value <= self.fine / 2 else value
        return value

    def whole(self, coarse: int) -> float:
        """The value of a coarse cell that lies inside."""
        value = self.origin + coarse * self.ratio * self.fine
        if self.single:
            value = float(np.float32(value))
        return min(max(value, self.low), self.high)

    def cell(self, value: float, level: int) -> int | None:
        """The fine cell of a value at a level; None if its bound would not hold, or its range."""
        if not math.isfinite(value):
            return None
        place = (value - self.origin) / self.fine
        if not -_FURTHEST < place < _FURTHEST:
            return None
        cell = round(place)
        if not self.low <= value <= self.high:
            return self._outer_cell(value, cell, level)
        # The ends of the range are nearer than the cells that reach beyond them.
        found, coarse = self.origin + cell * self.fine, (cell + self.ratio // 2) // self.ratio
        whole = self.origin + coarse * self.ratio * self.fine
        if self.single:
            found, whole = float(np.float32(found)), float(np.float32(whole))
        sound = abs(found - value) <= self.bound_1 and abs(whole - value) <= self.bound_2
        return cell if sound else None

    def _outer_cell(self, value: float, cell: int, level: int) -> int | None:
        """The fine cell of a value outside the range, the nearest of which is given."""
        coarse, found = self.coarse(cell), self.value(cell)
        if not self.is_inside(coarse) and level == 2 and not self._is_between(found, value):
            cell += 1 if value < self.low else -1
            coarse, found = self.coarse(cell), self.value(cell)
        if self.is_inside(coarse):
            if abs(self.whole(coarse) - value) > self.bound_2:
                return None
            if level == 2:
                return cell
            return cell if self._is_near(found, value, self.bound_1) else None
        # Where a later code has learned more, it may lie inside, and its coarse cell tells all.
        whole = self.origin + coarse * self.ratio * self.fine
        if abs(whole - value) > self.bound_2:
            return None
        bound = self.bound_1 if level == 1 else self.bound_2
        return cell if self._is_near(found, value, bound) else None

    def _is_near(self, found: float, value: float, bound: float) -> bool:
        return abs(found - value) <= bound and self._is_between(found, value)

    def _is_between(self, found: float, value: float) -> bool:
        """Whether what is found for a value lies within the range, or between that and it."""
        return min(self.low, value) <= found <= max(self.high, value)

    def cells(self, values: NDArray[np.float64], level: int) -> tuple[Cells, NDArray[np.bool_]]:
        """The same for many: fine cells of shape (n,), and for which there is one."""
        with np.errstate(all="ignore"):
            places = (values - self.origin) / self.fine
            reachable = np.abs(places) < _FURTHEST
            cells = np.rint(np.where(reachable, places, 0.0)).astype(np.int64)
            sound = np.abs(self._line(cells) - values) <= self.bound_1
            wholes = self._line(self.coarse_of(cells) * self.ratio)
            sound &= np.abs(wholes - values) <= self.bound_2
            outside = np.flatnonzero((values < self.low) | (values > self.high))
            if len(outside):
                given = values[outside]
                cells[outside], sound[outside] = self._outer_cells(given, cells[outside], level)
            sound &= reachable
        return cells, sound

    def _outer_cells(
        self, values: NDArray[np.float64], cells: Cells, level: int
    ) -> tuple[Cells, NDArray[np.bool_]]:
        """``_outer_cell`` of many."""
        low, high = np.minimum(self.low, values), np.maximum(self.high, values)
        coarse, found = self.coarse_of(cells), self.values(cells)
        if level == 2:
            over = ~self.are_inside(coarse) & ((found < low) | (found > high))
            cells = cells + np.where(over, np.where(values < self.low, 1, -1), 0)
            coarse, found = self.coarse_of(cells), self.values(cells)
        inside = self.are_inside(coarse)
        near = np.abs(found - values) <= (self.bound_1 if level == 1 else self.bound_2)
        near &= (low <= found) & (found <= high)
        whole = np.where(inside, self.wholes(coarse), self._line(coarse * self.ratio))
        near_whole = np.abs(whole - values) <= self.bound_2
        return cells, near_whole & (near if level == 1 else near | inside)

    def are_inside(self, coarse: Cells) -> NDArray[np.bool_]:
        """``is_inside`` of many, of shape (n,)."""
        inside: NDArray[np.bool_] = (self.bottom <= coarse) & (coarse <= self.top)
        return inside

    def have_rest(self, coarse: Cells, level: int) -> NDArray[np.bool_]:
        """``has_rest`` of many, of shape (n,)."""
        return np.ones(len(coarse), np.bool_) if level == 1 else ~self.are_inside(coarse)

    def coarse_of(self, cells: Cells) -> Cells:
        """The coarse cells of fine ones, of shape (n,)."""
        return (cells + self.ratio // 2) // self.ratio

    def values(self, cells: Cells) -> NDArray[np.float64]:
        """The values of fine cells, of shape (n,)."""
        values = self._line(cells)
        above = (values > self.high) & (values - self.high <= self.fine / 2)
        below = (values < self.low) & (self.low - values <= self.fine / 2)
        values[above], values[below] = self.high, self.low
        return values

    def wholes(self, coarse: Cells) -> NDArray[np.float64]:
        """The values of coarse cells that lie inside, of shape (n,)."""
        return np.minimum(np.maximum(self._line(coarse * self.ratio), self.low), self.high)

    def _line(self, cells: Cells) -> NDArray[np.float64]:
        values = self.origin + cells.astype(np.float64) * self.fine
        return values.astype(np.float32).astype(np.float64) if self.single else values


@dataclass(frozen=True, slots=True)
class Integers:
    """Integers, as they are or from the entry's step on; always exact.

    Attributes:
        base: The integer of cell 0.
        with_step: Whether the step is added to it, as for counters that grow with it.
    """

    base: int
    with_step: bool = False
    ratio: int = 1

    def cell(self, value: int, step: int) -> int:
        """The cell of an integer."""
        return value - self.base - (step if self.with_step else 0)

    def value(self, cell: int, step: int) -> int:
        """The integer of a cell."""
        return cell + self.base + (step if self.with_step else 0)


TYPES: dict[str, type[Any]] = {
    "f": float,
    "d": np.float64,
    "s": np.float32,
    "i": int,
    "l": np.int64,
}
"""The types of numbers, by the letters that stand for them in a fitted code."""

INTEGERS = "il"
"""The letters of those that are integers."""
