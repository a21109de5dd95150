"""The encoder that needs no training: each feature has a direction of its own, made of its name.

A number is a point on a half circle, a category or truth one of the directions of its path, and
what is missing is nothing. All numbers of a state together thus have the same length whatever
they are, so that the cosine of two states orders them as their distance does: that product of
half circles is the *scaled feature space* of version 0. Each of its axes is hashed to two signed
coordinates of the vector (a sparse Johnson-Lindenstrauss projection after Kane and Nelson,
*Sparser Johnson-Lindenstrauss Transforms*, J. ACM 61(1), 2014), and narrower vectors fold wider
ones, which is the same projection to fewer coordinates.

Only operations that IEEE 754 rounds correctly are used, and sums of fixed-point numbers: the
vectors are the same bit by bit in every process, in any order of keys and in any batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import partial
from math import copysign, frexp, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.carrying import carried_finite
from agent_memory.embeddings.circle import CODE, FINEST, HALF_RANGE, category_axis, circle
from agent_memory.embeddings.features import Value, flatten, in_chunks
from agent_memory.embeddings.layouts import LEAST, Layouts
from agent_memory.embeddings.paths import element_place
from agent_memory.embeddings.widths import Widths
from agent_memory.values.deprecation import OldName

SEED = b"agent_memory version 0"

_CHUNK = 512  # states; their sums are 1.5 MB, which stay in the cache
_MAX_CODES = 200_000  # 40 MB, reached by categories of many values
_FULL_WEIGHT = 4  # elements of a list count fully up to here, and then less and less
_FEW = 20  # features of a state that are encoded sooner one by one than by NumPy
_MAX_AXES = 10_000
_ROUNDING = 1.5 * 2.0**22  # added and taken off again, it leaves as much as ``FINEST`` does


class VersionZero:
    """Encodes states without having seen any. Threads may share one.

    Args:
        widths: Of the vectors of the tiers.
    """

    keeps_bias = False
    """Whether the first number of a long-term vector is a constant: it is not."""

    lead = OldName("bias")
    led = OldName("keeps_bias")

    def __init__(self, widths: Widths | None = None) -> None:
        self.widths = widths or Widths()
        self._codes = _Codes(self.widths.stm)
        self._axes = _Axes(self._codes)
        self._layouts = Layouts(self._codes, self.widths.stm)

    def encode(self, states: Iterable[object]) -> NDArray[np.float32]:
        """Encode states.

        Args:
            states: Dicts, other mappings, dataclasses or pydantic models.

        Returns:
            Vectors for short-term memory, of shape (n, widths.stm); zeros for an empty state.

        Raises:
            InvalidEntry: One of them is no state.
        """
        chunks = [self._encode_chunk(chunk) for chunk in in_chunks(states, _CHUNK)]
        return np.concatenate(chunks) if chunks else np.zeros((0, self.widths.stm), np.float32)

    def encode_one(self, state: object) -> NDArray[np.float32]:
        """Encode one state to a vector of shape (widths.stm,)."""
        flat = flatten(state)
        if len(flat) <= _FEW:
            return self._encode_few(flat)
        vector: NDArray[np.float32] = self._encode_flats([flat])[0]
        return vector

    def carry(self, vectors: NDArray[np.float32], width: int) -> NDArray[np.float32]:
        """Bring vectors to a lower tier's width without the states they stand for.

        Args:
            vectors: Of shape (n, from) or (from,), where ``from`` is a tier's width.
            width: Of the tier below.

        Raises:
            InvalidEntry: No tier has such a width, or it is above that of the vectors.
        """
        given = np.asarray(vectors, np.float32)
        carried = np.atleast_2d(given)
        for narrower in self.widths.steps(given.shape[-1], width):
            carried = carried_finite(partial(_folded, width=narrower), carried)
        return carried.reshape(*given.shape[:-1], -1)

    def bias(self, width: int) -> float:  # noqa: ARG002 - as the other versions are asked
        """What is to be put before vectors to compare them: nothing."""
        return 0.0

    def similarity(self, state: object, others: Sequence[object]) -> NDArray[np.float32]:
        """How similar a state and others are: the cosine of their scaled features, exactly.

        Returns:
            Numbers of shape (n,) from -1 to 1; 1 for the same features, 0 for none in common.
        """
        rows = self.scaled([state, *others])
        lengths = np.sqrt((rows * rows).sum(axis=1))
        products = rows[1:] @ rows[0]
        scale = lengths[1:] * lengths[0]
        cosines = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
        return np.asarray(cosines, np.float32)

    def scaled(self, states: Sequence[object]) -> NDArray[np.float64]:
        """The states in the scaled feature space, of shape (n, axes that any of them needs)."""
        flats = [flatten(state) for state in states]
        keys, values = _keys_and_values(flats)
        places: dict[str, int] = {}
        axes = [places.setdefault(key, len(places)) for key in keys]
        rows = np.zeros((len(flats), len(places), 2))
        weights = np.array([_weight(key) for key in places])[axes].reshape(-1, 1)
        rows[np.repeat(np.arange(len(flats)), [*map(len, flats)]), axes] = circle(values) * weights
        return rows.reshape(len(flats), -1)

    def _encode_few(self, flat: dict[str, Value]) -> NDArray[np.float32]:
        """The same of one state with few features, number by number: half of the time."""
        sums: dict[int, float] = {}
        summed = sums.get
        for path, value in flat.items():
            if type(value) is float:
                a, b, c, d, of_a, of_b, of_c, of_d, weight = self._axes[path]
                tangent = 1.0
                if isfinite(value):
                    mantissa, exponent = frexp(1.0 + abs(value))
                    logarithm = exponent + 2.0 * mantissa - 2.0
                    tangent = logarithm / (logarithm + HALF_RANGE)
                square = tangent * tangent
                scale = 1.0 + square
                across = weight * ((1.0 - square) / scale) + _ROUNDING - _ROUNDING
                sums[a] = summed(a, 0.0) + of_a * across
                sums[b] = summed(b, 0.0) + of_b * across
                up = copysign(weight * (2.0 * tangent / scale) + _ROUNDING - _ROUNDING, value)
            else:
                # Infinitely far on an axis of its own, which the other half does not show.
                _, _, c, d, _, _, of_c, of_d, weight = self._axes[category_axis(path, value)]
                up = weight + _ROUNDING - _ROUNDING
            sums[c] = summed(c, 0.0) + of_c * up
            sums[d] = summed(d, 0.0) + of_d * up
        vector = np.zeros(self.widths.stm, np.float32)
        for column, total in sums.items():
            vector[column] = total
        return vector

    def _encode_chunk(self, states: Sequence[object]) -> NDArray[np.float32]:
        """The vectors of states: of those of one layout together, of the others one by one."""
        encoded, left = self._layouts.encode(states) if len(states) >= LEAST else ([], [])
        if not encoded:
            return self._encode_flats([*map(flatten, states)])
        vectors = np.empty((len(states), self.widths.stm), np.float32)
        for places, some in encoded:
            vectors[places] = some
        if left:
            vectors[left] = self._encode_flats([flatten(states[place]) for place in left])
        return vectors

    def _encode_flats(self, flats: Sequence[dict[str, Value]]) -> NDArray[np.float32]:
        keys, values = _keys_and_values(flats)
        codes = np.frombuffer(b"".join(map(self._codes.__getitem__, keys)), CODE)
        shares = codes["weights"] * circle(values)[:, :, None]
        # Of fixed point, so that the order of the keys does not show in the last bit.
        shares = np.rint(shares * FINEST) / FINEST
        places = codes["columns"]
        if len(flats) > 1:
            rows = np.repeat(np.arange(len(flats)), [*map(len, flats)]) * self.widths.stm
            places = places + rows[:, None, None]
        size = len(flats) * self.widths.stm
        sums = np.bincount(places.ravel(), shares.ravel(), minlength=size)
        return sums.reshape(len(flats), -1).astype(np.float32)


class _Codes(dict[str, bytes]):
    """The coordinates and signs of each axis, made when first asked for."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width = width

    def __missing__(self, key: str) -> bytes:
        if len(self) >= _MAX_CODES:
            self.clear()
        code = self[key] = self._code(key)
        return code

    def _code(self, key: str) -> bytes:
        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), key=SEED, digest_size=32)
        drawn = np.frombuffer(digest.digest(), "<u8").reshape(2, 2)
        signs = 1.0 - 2.0 * (drawn >> np.uint64(63)).astype(np.float64)
        low = drawn & np.uint64(2**63 - 1)
        code = np.zeros((), CODE)
        # Two different coordinates of each axis: with one, nothing else would distinguish two
        # features that meet there (recall@10 from .93 to 1.00 by luck, with two .93 to .99).
        first = low[:, 0] % np.uint64(self._width)
        apart = low[:, 1] % np.uint64(max(self._width - 1, 1)) + np.uint64(1)
        code["columns"] = np.stack([first, (first + apart) % np.uint64(self._width)], axis=1)
        code["weights"] = signs * (_weight(key) * np.sqrt(0.5))
        return code.tobytes()


class _Axes(dict[str, tuple[Any, ...]]):
    """The same as Python's own numbers: four coordinates, their signs, and the weight."""

    def __init__(self, codes: _Codes) -> None:
        super().__init__()
        self._codes = codes

    def __missing__(self, key: str) -> tuple[Any, ...]:
        if len(self) >= _MAX_AXES:
            self.clear()
        (code,) = np.frombuffer(self._codes[key], CODE)
        weights = code["weights"].ravel()
        signs = np.sign(weights).tolist()
        axis = self[key] = (*code["columns"].ravel().tolist(), *signs, abs(float(weights[0])))
        return axis


def _keys_and_values(flats: Sequence[dict[str, Value]]) -> tuple[list[str], NDArray[np.float64]]:
    """The names of the axes, and the numbers on them; a category is infinitely far on its own."""
    keys: list[str] = []
    values: list[float] = []
    for flat in flats:
        for path, value in flat.items():
            if type(value) is float:
                keys.append(path)
                values.append(value)
            else:
                keys.append(category_axis(path, value))
                values.append(np.inf)
    return keys, np.array(values)


def _weight(key: str) -> float:
    """Less for the far elements of a list, so that long lists do not drown the rest."""
    place = None if key.startswith("\0") else element_place(key)
    if place is None:
        return 1.0
    return float(np.sqrt(_FULL_WEIGHT / max(place + 1, _FULL_WEIGHT)))


def _folded(vectors: NDArray[Any], width: int) -> NDArray[Any]:
    """Add up the coordinates that share a remainder by the new width."""
    folded = vectors[..., :width].copy()
    for begin in range(width, vectors.shape[-1], width):
        part = vectors[..., begin : begin + width]
        folded[..., : part.shape[-1]] += part
    return folded
