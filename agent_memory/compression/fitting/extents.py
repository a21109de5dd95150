"""How far the numbers of a path extend, without the few that lie far beyond all others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_OUTER = 0.02  # of the numbers at either end may be far out
_TIMES = 4.0  # as far as all the others extend: those of a normal distribution reach half as far
_REACH = 32.0  # as far as that lie the outermost that a lattice is to reach
_FEWEST = 20  # numbers of which some can be outliers


class Extent(NamedTuple):
    """What tolerances are shares of.

    Attributes:
        numbers: Those without outliers, of shape (n,); these are kept by their own bytes.
        extent: How far they extend, or so far that a few which lie farther out do not count.
    """

    numbers: NDArray[np.float64]
    extent: float


def extent_of(numbers: NDArray[np.float64]) -> Extent:
    """Find how far numbers extend.

    One value of 1e300 among thousands around 100, or of 99,999 where a sensor failed, would else
    make 1 % of their range more than all of them, and what is rounded by that tells nothing.

    Args:
        numbers: Finite, of shape (n,).
    """
    if not len(numbers):
        return Extent(numbers, 0.0)
    with np.errstate(over="ignore"):
        whole = float(np.ptp(numbers))
        low = float(np.quantile(numbers, _OUTER, method="higher"))
        high = float(np.quantile(numbers, 1.0 - _OUTER, method="lower"))
        inner = high - low
    if len(numbers) < _FEWEST or not 0.0 < _TIMES * inner < whole:
        return Extent(numbers, whole)
    near = (numbers >= low - _REACH * inner) & (numbers <= high + _REACH * inner)
    return Extent(numbers[near], min(_TIMES * inner, float(np.ptp(numbers[near]))))
