"""Tells by vectors which of the entries that were rounded to the same was stored of a state.

A vector is computed from the exact contents when an entry is stored, and carried down with it. So
it says more of a state than the rounded contents do, and costs no further bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.encoder import Encoder
from agent_memory.embeddings.int8_grid import grid_scale, on_int8_grid
from agent_memory.embeddings.registry import EncoderRegistry
from agent_memory.values.entry import MemoryEntry

_NOISE = 1e-5  # of the largest number: states that are encoded together may differ by so much
_HALF = 2.0**-11  # the same, of numbers that were rounded to half precision


class StateVectors:
    """The vectors that a state has in each version, each computed when it is first asked for.

    Args:
        encoders: The versions there are.
        state: The state; None: only the vectors that are given are known.
    """

    def __init__(self, encoders: EncoderRegistry, state: Mapping[str, Any] | None = None) -> None:
        self._encoders = encoders
        self._state = state
        self._vectors: dict[int, NDArray[np.float32]] = {}

    @classmethod
    def of_entry(cls, encoders: EncoderRegistry, entry: MemoryEntry) -> Self:
        """Those of an entry: its own, since its contents may be rounded."""
        vectors = cls(encoders)
        if entry.encoder_version is not None and entry.embedding is not None:
            vectors._vectors[entry.encoder_version] = entry.embedding
        return vectors

    def off(self, entry: MemoryEntry) -> float:
        """How far an entry's vector is from the one that it would have if it was of the state.

        Infinite where it is farther than vectors are rounded, and 0 where that is not known.
        """
        version, stored = entry.encoder_version, entry.embedding
        # A model of the user's own may be slow, or not be here.
        if version is None or stored is None or self._encoders.is_own(version):
            return 0.0
        encoder = self._encoders.encoder(version)
        vector = None if encoder is None else self._of(version, encoder)
        if encoder is None or vector is None:
            return 0.0
        if len(stored) > len(vector) or not {len(stored), len(vector)} <= {*encoder.widths}:
            return 0.0
        expected = encoder.carry(vector, len(stored)).astype(np.float64)
        apart = np.abs(stored - expected)
        most = _rounding(stored, encoder) + _NOISE * float(np.abs(expected).max())
        return float(np.linalg.norm(apart)) if apart.max() <= most else math.inf

    def _of(self, version: int, encoder: Encoder) -> NDArray[np.float32] | None:
        if version not in self._vectors and self._state is not None:
            self._vectors[version] = encoder.encode_one(self._state)
        return self._vectors.get(version)


def _rounding(stored: NDArray[np.float32], encoder: Encoder) -> float:
    """By how much the numbers of a vector were rounded at most on their way down."""
    biased = encoder.keeps_bias
    if np.array_equal(on_int8_grid(stored, biased=biased), stored):
        return grid_scale(stored, biased=biased) / 2
    is_half = np.array_equal(stored.astype(np.float16).astype(np.float32), stored)
    return _HALF * float(np.abs(stored).max()) if is_half else 0.0
