"""Which of many vectors are nearest to one, by the cosine of the angle between them; exact."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Single precision sums of a few thousand products, and then some; what is this near to the last
# place is summed again.
_DOUBT = 1e-4

_FEW = 4  # times as many as are asked for, which are summed at once


def with_bias(rows: NDArray[Any], bias: float) -> NDArray[Any]:
    """Vectors of shape (n, dim) with the number before them that they are compared with.

    Args:
        rows: Of shape (n, dim).
        bias: The number; 0.0 for none.

    Returns:
        Of shape (n, 1 + dim), or the vectors themselves.
    """
    if not bias:
        return rows
    return np.hstack([np.full((len(rows), 1), bias, rows.dtype), rows])


def as_units(rows: NDArray[Any]) -> NDArray[np.float32]:
    """Vectors of shape (n, dim) brought to length 1; those of zeros stay zeros.

    Args:
        rows: Finite numbers of shape (n, dim).

    Returns:
        Float32 of shape (n, dim).
    """
    wide = np.asarray(rows, np.float64)
    # By the largest number first: the squares of very large or small ones would be lost.
    wide = wide / _not_zero(np.abs(wide).max(axis=1, initial=0.0, keepdims=True))
    return (wide / _not_zero(np.linalg.norm(wide, axis=1, keepdims=True))).astype(np.float32)


def as_unit(vector: NDArray[Any]) -> NDArray[np.float32]:
    """A vector of shape (dim,) brought to length 1; zeros stay zeros."""
    wide = np.asarray(vector, np.float64)
    if vector.dtype != np.float32:  # the squares of those are within any double
        wide = wide / (np.abs(wide).max(initial=0.0) or 1.0)
    unit: NDArray[np.float32] = (wide / (math.sqrt(wide @ wide) or 1.0)).astype(np.float32)
    return unit


def nearest(
    units: NDArray[np.float32],
    unit: NDArray[np.float32],
    names: Sequence[str],
    count: int | None,
    among: NDArray[np.intp] | None = None,
) -> list[tuple[int, float]]:
    """Rank vectors by their cosine with one.

    Args:
        units: Vectors of length 1 (or 0), of shape (n, dim).
        unit: The one to compare with, of length 1 (or 0) and shape (dim,).
        names: The name of each row; equal cosines are ranked by it.
        count: How many to give at most; None for all.
        among: Look only at these rows.

    Returns:
        Rows and cosines from -1 to 1, the greatest first. A vector of zeros has a cosine of 0
        with any other.
    """
    if count == 0:
        return []
    if among is None or (count is not None and len(among) > _FEW * count):
        chosen = units if among is None else units[among]
        near = _roughly_nearest(chosen @ unit, count)
        chosen = chosen if near is None else chosen[near]
        found = near if among is None else among if near is None else among[near]
    else:
        chosen, found = units[among], among
    # Row by row and in double precision: in a product of matrices the last bits of a row depend
    # on its place, so that twins would not tie.
    sure = np.multiply(chosen, unit, dtype=np.float64).sum(axis=1).clip(-1.0, 1.0)
    places = range(len(sure)) if found is None else found.tolist()
    ranked = sorted(
        zip(places, sure.tolist(), strict=True), key=lambda hit: (-hit[1], names[hit[0]])
    )
    return ranked[:count]


def _roughly_nearest(cosines: NDArray[np.float32], count: int | None) -> NDArray[np.intp] | None:
    """The places of those that may be the greatest; None for all."""
    if count is None or len(cosines) <= count:
        return None
    least = np.partition(cosines, len(cosines) - count)[len(cosines) - count]
    near: NDArray[np.intp] = (cosines >= least - _DOUBT).nonzero()[0]
    return near


def _not_zero(lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(lengths > 0, lengths, 1.0)
