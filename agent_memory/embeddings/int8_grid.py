"""The grids on which a vector needs a byte a number: a scale times whole numbers to 127.

On the *biased* grid the first number stays as it is, and the scale is that of the others. The
long-term vectors of some encoders begin with a constant longer than most rows (see
``embeddings.weights``), which on the plain grid would set the scale for all.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_STEPS = 127
# A scale of so many bits can be multiplied by any of the steps without rounding in float32.
_SCALE_BITS = 16
# The least with which the largest number is 127 steps still, so that the grid of a vector on the
# grid is the same again.
_BIASED_SCALE_BITS = 9

# Below this the products would be subnormal, and above it infinite: no grid fits.
_LEAST, _GREATEST = 1e-30, 1e30


def on_int8_grid(vector: NDArray[np.float32], *, biased: bool = False) -> NDArray[np.float32]:
    """The nearest vector on the int8 grid: a scale times whole numbers from -127 to 127.

    Args:
        vector: Finite numbers, float32, of shape (dim,).
        biased: Keep the first number as it is.

    Returns:
        Float32 of shape (dim,); no number differs by more than the largest of them (but the
        first, if ``biased``) over 253.
    """
    scale = grid_scale(vector, biased=biased)
    if not scale:
        return vector
    kept = 1 if biased else 0
    near = vector.astype(np.float32)
    # Without the first number, which may be too large to be counted in steps of the others.
    # Adding zero turns -0.0 into 0.0, since a whole number has no negative zero.
    steps = np.rint(vector[kept:] / np.float32(scale)) + np.float32(0.0)
    near[kept:] = steps * np.float32(scale)
    return near


def grid_scale(vector: NDArray[np.float32], *, biased: bool = False) -> float:
    """The step of a vector's grid: its largest number over 127, rounded up to a few bits.

    Args:
        vector: Finite numbers, float32, of shape (dim,).
        biased: Do not look at the first number.

    Returns:
        0 where no grid fits, the numbers being all zero, or too small or too large.
    """
    bits = _BIASED_SCALE_BITS if biased else _SCALE_BITS
    largest = float(np.max(np.abs(vector[1:] if biased else vector), initial=0.0))
    mantissa, exponent = math.frexp(largest / _STEPS)
    scale = math.ldexp(math.ceil(mantissa * 2**bits), exponent - bits)
    return scale if _LEAST < scale < _GREATEST else 0.0


def on_int8_grids(vectors: NDArray[np.float32], *, biased: bool = False) -> NDArray[np.float32]:
    """The nearest vectors on their int8 grids: ``on_int8_grid`` of each, bit by bit.

    Args:
        vectors: Finite numbers, float32, of shape (n, dim).
        biased: Keep the first number of each as it is.
    """
    kept = 1 if biased else 0
    scales = grid_scales(vectors, biased=biased)
    fits = scales != 0.0
    divisors = np.where(fits, scales, 1.0).astype(np.float32)[:, None]
    near = vectors.astype(np.float32)
    steps = np.rint(vectors[:, kept:] / divisors) + np.float32(0.0)
    near[:, kept:] = np.where(fits[:, None], steps * divisors, near[:, kept:])
    return near


def grid_scales(vectors: NDArray[np.float32], *, biased: bool = False) -> NDArray[np.float64]:
    """The steps of vectors' grids, of shape (n,): ``grid_scale`` of each, bit by bit.

    Args:
        vectors: Finite numbers, float32, of shape (n, dim).
        biased: Do not look at the first number of each.
    """
    bits = _BIASED_SCALE_BITS if biased else _SCALE_BITS
    counted = vectors[:, 1:] if biased else vectors
    largest = np.abs(counted).max(axis=1, initial=0.0).astype(np.float64)
    mantissas, exponents = np.frexp(largest / _STEPS)
    scales = np.ldexp(np.ceil(mantissas * 2.0**bits), exponents - bits)
    return np.where((scales > _LEAST) & (scales < _GREATEST), scales, 0.0)
