"""How a vector rests in a row of long-term memory: as it is, or in a byte a number.

A vector *on the int8 grid* is a scale times whole numbers from -127 to 127, and rests as those;
any other rests as float32. Either way what is read is what was written, bit by bit: it is the
compression of an entry that puts its vector on the grid, and the row only notices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent_memory.errors import EncodingError

FLOAT32 = 0
"""The coding of a vector whose numbers are stored as they are, little-endian."""
INT8 = 1
"""The coding of a vector on the int8 grid: its scale as float32, then a signed byte a number."""

_STEPS = 127
_SCALE_BYTES = 4
# A scale of so many bits can be multiplied by any of the steps without rounding in float32.
_SCALE_BITS = 16


def on_int8_grid(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest vector on the int8 grid.

    Args:
        vector: Finite numbers, float32, of shape (dim,).

    Returns:
        Float32 of shape (dim,); no number differs by more than the largest of them over 253.
    """
    scale = _scale(vector)
    if not scale:
        return vector
    # Adding zero turns -0.0 into 0.0, since a whole number has no negative zero.
    steps = np.rint(vector / np.float32(scale)) + np.float32(0.0)
    return np.asarray(steps * np.float32(scale), np.float32)


def code_vector(vector: NDArray[np.float32]) -> tuple[int, bytes]:
    """Give the coding of a vector, and its bytes in it.

    Args:
        vector: Float32 of shape (dim,).
    """
    scale = np.float32(_scale(vector))
    if scale:
        steps = np.rint(vector / scale)
        if np.array_equal(steps * scale, vector) and not _has_negative_zero(vector):
            return INT8, scale.astype("<f4").tobytes() + steps.astype(np.int8).tobytes()
    return FLOAT32, vector.astype("<f4", copy=False).tobytes()


def decode_vector(coding: int, stored: bytes) -> NDArray[np.float32]:
    """Give back a vector, float32 of shape (dim,).

    Raises:
        EncodingError: The coding was made by a newer version, or the bytes are damaged.
    """
    vector: NDArray[np.float32] = decode_vectors(coding, [stored])[0]
    return vector


def decode_vectors(coding: int, stored: Sequence[bytes]) -> NDArray[np.float32]:
    """Give back vectors of one coding and length, float32 of shape (n, dim).

    Raises:
        EncodingError: The coding was made by a newer version, or the bytes are damaged.
    """
    length = len(stored[0])
    if coding == INT8 and length > _SCALE_BYTES:
        rows = np.frombuffer(b"".join(stored), np.uint8).reshape(len(stored), length)
        scales = np.ascontiguousarray(rows[:, :_SCALE_BYTES]).view("<f4")
        return np.asarray(rows[:, _SCALE_BYTES:].view(np.int8) * scales, np.float32)
    if coding == FLOAT32 and length % 4 == 0:
        # A copy, because an array over the stored bytes could not be written to.
        rows = np.frombuffer(b"".join(stored), "<f4")
        return rows.reshape(len(stored), length // 4).astype(np.float32)
    raise EncodingError(f"embedding: {length} bytes of coding {coding} cannot be read")


def _scale(vector: NDArray[np.float32]) -> float:
    """The step of a vector's grid: its largest number over 127, rounded up to a few bits."""
    largest = float(np.max(np.abs(vector), initial=0.0))
    mantissa, exponent = math.frexp(largest / _STEPS)
    scale = math.ldexp(math.ceil(mantissa * 2**_SCALE_BITS), exponent - _SCALE_BITS)
    # Below this the products would be subnormal, and above it infinite: no grid fits.
    return scale if 1e-30 < scale < 1e30 else 0.0


def _has_negative_zero(vector: NDArray[np.float32]) -> bool:
    return bool(np.any(np.signbit(vector) & (vector == 0)))
