"""The grid on which a vector needs a byte a number: a scale times whole numbers to 127."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_STEPS = 127
# A scale of so many bits can be multiplied by any of the steps without rounding in float32.
_SCALE_BITS = 16


def on_int8_grid(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest vector on the int8 grid: a scale times whole numbers from -127 to 127.

    Args:
        vector: Finite numbers, float32, of shape (dim,).

    Returns:
        Float32 of shape (dim,); no number differs by more than the largest of them over 253.
    """
    scale = grid_scale(vector)
    if not scale:
        return vector
    # Adding zero turns -0.0 into 0.0, since a whole number has no negative zero.
    steps = np.rint(vector / np.float32(scale)) + np.float32(0.0)
    return np.asarray(steps * np.float32(scale), np.float32)


def grid_scale(vector: NDArray[np.float32]) -> float:
    """The step of a vector's grid: its largest number over 127, rounded up to a few bits.

    Returns:
        0 where no grid fits, the numbers being all zero, or too small or too large.
    """
    largest = float(np.max(np.abs(vector), initial=0.0))
    mantissa, exponent = math.frexp(largest / _STEPS)
    scale = math.ldexp(math.ceil(mantissa * 2**_SCALE_BITS), exponent - _SCALE_BITS)
    # Below this the products would be subnormal, and above it infinite: no grid fits.
    return scale if 1e-30 < scale < 1e30 else 0.0
