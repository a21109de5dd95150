"""Numbers as points of a half circle, and the axes that version 0 adds up to vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HALF_RANGE = 8.0
"""The base-2 logarithm, plus one, at which a number is half way to infinity."""

FINEST = 2.0**30
"""The steps of fixed-point numbers in one."""

CODE = np.dtype([("columns", "<u4", (2, 2)), ("weights", "<f8", (2, 2))])
"""Of each of the two coordinates of a point, two coordinates of a vector and their weights."""


def category_axis(path: str, value: object) -> str:
    """The name of the axis of a category or truth."""
    return f"\0{len(path)} {type(value).__name__} {path} {value}"


def circle(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points on the half circle, of shape (..., 2): (1, 0) for zero, (0, 1) for infinity."""
    # Rational in the tangent of half the angle, because a sine differs between machines.
    tangents = _bounded(values)
    squares = tangents * tangents
    scale = 1.0 + squares
    points = np.empty((*values.shape, 2))
    np.divide(1.0 - squares, scale, out=points[..., 0])
    np.divide(2.0 * tangents, scale, out=points[..., 1])
    return points


def _bounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale numbers to (-1, 1): by their logarithm, in whole powers of two and straight between."""
    mantissas, exponents = np.frexp(1.0 + np.abs(values))
    logarithms = exponents + 2.0 * mantissas - 2.0
    finite = np.isfinite(values)
    bounded = np.divide(logarithms, logarithms + HALF_RANGE, out=np.ones_like(values), where=finite)
    return np.copysign(bounded, values)
