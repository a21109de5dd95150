"""How a vector rests in a row of long-term memory: as it is, or in a byte a number.

A vector on the int8 grid (see ``int8_grid``) rests as its scale and whole numbers; any other
rests as float32. Either way what is read is what was written, bit by bit: it is the compression
of an entry that puts its vector on the grid, and the row only notices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent_memory.errors import EncodingError
from agent_memory.int8_grid import grid_scale

FLOAT32 = 0
"""The coding of a vector whose numbers are stored as they are, little-endian."""
INT8 = 1
"""The coding of a vector on the int8 grid: its scale as float32, then a signed byte a number."""

_SCALE_BYTES = 4


def code_vector(vector: NDArray[np.float32]) -> tuple[int, bytes]:
    """Give the coding of a vector, and its bytes in it.

    Args:
        vector: Float32 of shape (dim,).
    """
    scale = np.float32(grid_scale(vector))
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
    if not all(isinstance(one, bytes) for one in stored):
        raise EncodingError("embedding: of another type than was stored")
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


def _has_negative_zero(vector: NDArray[np.float32]) -> bool:
    return bool(np.any(np.signbit(vector) & (vector == 0)))
