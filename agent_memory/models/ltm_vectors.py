"""How a vector rests in a row of long-term memory: in a byte a number, in two, or as it is.

A vector on an int8 grid (see ``int8_grid``) rests as its scale and whole numbers, one whose
numbers are all of half precision as such, any other as float32. Either way what is read is what
was written, bit by bit: it is the compression of an entry that puts its vector on a grid, and the
row only notices. Rows of all codings live side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.int8_grid import grid_scale, grid_scales
from agent_memory.errors import EncodingError
from agent_memory.values.formats import newer

FLOAT32 = 0
"""The coding of a vector whose numbers are stored as they are, little-endian."""
INT8 = 1
"""The coding of a vector on the int8 grid: its scale as float32, then a signed byte a number."""
BIASED_INT8 = 2
"""That of one on the biased grid: the first number as float32, the scale in two bytes (exponent and
eight bits of mantissa, as a float32 has them in the middle), a signed byte for each other."""
FLOAT16 = 3
"""That of one whose numbers are all of half precision, two bytes each, little-endian."""
NEWEST = FLOAT16
"""The newest coding that is read."""

_SCALE_BYTES = 4
_BIASED_BYTES = 6
_LED_SHIFT = np.uint32(15)


def code_vector(vector: NDArray[np.float32]) -> tuple[int, bytes]:
    """Give the coding of a vector, and its bytes in it.

    Args:
        vector: Float32 of shape (dim,).
    """
    scale = np.float32(grid_scale(vector))
    if scale and (steps := _steps(vector, scale)) is not None:
        return INT8, scale.astype("<f4").tobytes() + steps.tobytes()
    scale = np.float32(grid_scale(vector, biased=True))
    if scale and (steps := _steps(vector[1:], scale)) is not None:
        shifted = (scale.view(np.uint32) >> _LED_SHIFT).astype("<u2")
        return BIASED_INT8, vector[:1].astype("<f4").tobytes() + shifted.tobytes() + steps.tobytes()
    return _code_off_grids(vector)


def _code_off_grids(vector: NDArray[np.float32]) -> tuple[int, bytes]:
    with np.errstate(over="ignore"):  # what becomes infinite is not what it was
        half = vector.astype("<f2")
    if half.astype(np.float32).tobytes() == vector.astype(np.float32).tobytes():
        return FLOAT16, half.tobytes()
    return FLOAT32, vector.astype("<f4", copy=False).tobytes()


def code_vectors(
    vectors: Sequence[NDArray[np.float32] | None],
) -> list[tuple[int, bytes | None]]:
    """Give codings and bytes of many vectors: ``code_vector`` of each; None for none.

    Args:
        vectors: Float32, each of shape (dim,).
    """
    coded: list[tuple[int, bytes | None]] = [(FLOAT32, None)] * len(vectors)
    by_width: dict[int, list[int]] = {}
    for place, vector in enumerate(vectors):
        if vector is not None:
            by_width.setdefault(len(vector), []).append(place)
    for places in by_width.values():
        matrix = np.stack([vectors[place] for place in places])  # type: ignore[misc]  # not None
        rest = np.arange(len(places))
        for way in (_plain_grids, _biased_grids):
            coding, fits, rows = way(matrix[rest])
            width = rows.shape[1]
            packed = rows[fits].tobytes()
            for at, row in enumerate(rest[fits].tolist()):
                coded[places[row]] = coding, packed[at * width : (at + 1) * width]
            rest = rest[~fits]
            if not len(rest):
                break
        for row in rest.tolist():
            coded[places[row]] = _code_off_grids(matrix[row])
    return coded


def _plain_grids(
    matrix: NDArray[np.float32],
) -> tuple[int, NDArray[np.bool_], NDArray[np.uint8]]:
    """The coding, which vectors lie on plain grids, and the bytes of all as if they did."""
    scales = grid_scales(matrix).astype("<f4")
    fits, steps = _all_steps(matrix, scales)
    return INT8, fits, np.hstack([scales[:, None].view(np.uint8), steps.view(np.uint8)])


def _biased_grids(
    matrix: NDArray[np.float32],
) -> tuple[int, NDArray[np.bool_], NDArray[np.uint8]]:
    """The same of biased grids."""
    scales = grid_scales(matrix, biased=True).astype("<f4")
    fits, steps = _all_steps(matrix[:, 1:], scales)
    shifted = (scales.view("<u4") >> _LED_SHIFT).astype("<u2")
    first = np.ascontiguousarray(matrix[:, :1].astype("<f4"))
    columns = first.view(np.uint8), shifted[:, None].view(np.uint8), steps.view(np.uint8)
    return BIASED_INT8, fits, np.hstack(columns)


def _all_steps(
    numbers: NDArray[np.float32], scales: NDArray[np.float32]
) -> tuple[NDArray[np.bool_], NDArray[np.int8]]:
    """Which vectors are whole numbers times their scales, and these, of shape (n, dim)."""
    divisors = np.where(scales == 0.0, np.float32(1.0), scales)[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.rint(numbers / divisors)
        exact = (steps * divisors == numbers) & ~(np.signbit(numbers) & (numbers == 0))
        fits = exact.all(axis=1) & (scales != 0.0)
        return fits, np.where(fits[:, None], steps, 0).astype(np.int8)


def decode_vector(coding: int, stored: bytes) -> NDArray[np.float32]:
    """Give back a vector, float32 of shape (dim,).

    Raises:
        EncodingError: The bytes are damaged.
        NewerFormat: The coding was made by a newer version.
    """
    vector: NDArray[np.float32] = decode_vectors(coding, [stored])[0]
    return vector


def decode_vectors(coding: int, stored: Sequence[bytes]) -> NDArray[np.float32]:
    """Give back vectors of one coding and length, float32 of shape (n, dim).

    Raises:
        EncodingError: The bytes are damaged.
        NewerFormat: The coding was made by a newer version.
    """
    if type(coding) is int and coding > NEWEST:
        raise newer("embedding: its coding", coding, NEWEST)
    if {*map(type, stored)} != {bytes}:
        raise EncodingError("embedding: of another type than was stored")
    length = len(stored[0])
    rows = np.frombuffer(b"".join(stored), np.uint8).reshape(len(stored), length)
    if coding == INT8 and length > _SCALE_BYTES:
        scales = _read(rows[:, :_SCALE_BYTES], "<f4")
        # A damaged scale may be infinite or none, here and below, which whoever takes it refuses.
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(rows[:, _SCALE_BYTES:].view(np.int8) * scales, np.float32)
    if coding == BIASED_INT8 and length > _BIASED_BYTES:
        return _led(rows)
    # A copy, because an array over the stored bytes could not be written to.
    if coding == FLOAT16 and length % 2 == 0:
        return _read(rows, "<f2").astype(np.float32)
    if coding == FLOAT32 and length % 4 == 0:
        return _read(rows, "<f4").astype(np.float32)
    raise EncodingError(f"embedding: {length} bytes of coding {coding} cannot be read")


def _led(rows: NDArray[np.uint8]) -> NDArray[np.float32]:
    vectors = np.empty((len(rows), rows.shape[1] - _BIASED_BYTES + 1), np.float32)
    vectors[:, :1] = _read(rows[:, :4], "<f4")
    scales = (_read(rows[:, 4:_BIASED_BYTES], "<u2").astype(np.uint32) << _LED_SHIFT).view(
        np.float32
    )
    with np.errstate(over="ignore", invalid="ignore"):
        np.multiply(rows[:, _BIASED_BYTES:].view(np.int8), scales, out=vectors[:, 1:])
    return vectors


def _read(columns: NDArray[np.uint8], kind: str) -> NDArray[Any]:
    return np.ascontiguousarray(columns).view(kind)


def _steps(numbers: NDArray[np.float32], scale: np.float32) -> NDArray[np.int8] | None:
    """The whole numbers that a scale is multiplied with; None where some are none."""
    with np.errstate(over="ignore"):
        steps = np.rint(numbers / scale)
    if not np.array_equal(steps * scale, numbers) or np.any(np.signbit(numbers) & (numbers == 0)):
        return None
    return np.asarray(steps, np.int8)
