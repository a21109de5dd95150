"""Where the numbers of a path lie: on a lattice of floats, or among integers."""

from __future__ import annotations

import math
from dataclasses import dataclass
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

    Attributes:
        origin: The value of cell 0.
        fine: What lies between two fine cells.
        ratio: Fine cells in a coarse one; odd, so that none is halfway.
        bound_1: How far a value may be from that of its fine cell.
        bound_2: The same of its coarse cell.
        single: Whether values are rounded to single precision when they are given back.
    """

    origin: float
    fine: float
    ratio: int
    bound_1: float
    bound_2: float
    single: bool = False

    def coarse(self, cell: int) -> int:
        """The coarse cell of a fine one."""
        return (cell + self.ratio // 2) // self.ratio

    def value(self, cell: int) -> float:
        """The value of a fine cell; of a coarse one that of ``cell * ratio``."""
        value = self.origin + cell * self.fine
        return float(np.float32(value)) if self.single else value

    def cell(self, value: float) -> int | None:
        """The fine cell of a value; None if either bound would not hold."""
        if not math.isfinite(value):
            return None
        place = (value - self.origin) / self.fine
        if not -_FURTHEST < place < _FURTHEST:
            return None
        cell = round(place)
        near = abs(self.value(cell) - value) <= self.bound_1
        whole = self.coarse(cell) * self.ratio
        return cell if near and abs(self.value(whole) - value) <= self.bound_2 else None

    def cells(self, values: NDArray[np.float64]) -> tuple[Cells, NDArray[np.bool_]]:
        """The same for many: fine cells of shape (n,), and for which there is one."""
        with np.errstate(all="ignore"):
            places = (values - self.origin) / self.fine
            sound = np.abs(places) < _FURTHEST
            cells = np.rint(np.where(sound, places, 0.0)).astype(np.int64)
            coarse = self.coarse_of(cells)
            sound &= np.abs(self.values(cells) - values) <= self.bound_1
            sound &= np.abs(self.values(coarse * self.ratio) - values) <= self.bound_2
        return cells, sound

    def coarse_of(self, cells: Cells) -> Cells:
        """The coarse cells of fine ones, of shape (n,)."""
        return (cells + self.ratio // 2) // self.ratio

    def values(self, cells: Cells) -> NDArray[np.float64]:
        """The values of fine cells, of shape (n,)."""
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
