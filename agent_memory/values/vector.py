"""A vector to search near, as opposed to a state that is a list of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.errors import InvalidEntry
from agent_memory.values.checks import as_row, checked_embedding
from agent_memory.values.identity import checked_encoder_name

_LARGEST, _LEAST = 1e30, 1e-30  # of float32, with room for sums of squares' worth of numbers


@dataclass(frozen=True, slots=True, eq=False, init=False)
class Vector:
    """A vector: ``recall(query, near=Vector(numbers))`` asks for the entries with vectors near it.

    Near by the cosine of the angle, which no factor changes: numbers too large or too small for
    float32 are scaled as a whole.

    Attributes:
        numbers: Finite numbers of shape (dim,), kept as float32: made by the memory's encoder and
            as wide as some tier's vectors, or of a model of one's own and as wide as the
            vectors that entries were stored with.
        space: Whose vector it is: the name of an ``Embedder``, "own" for vectors that were stored
            without a name, or "encoder" for the memory's encoder. None: the embedder of the
            configuration, or "own" without one, or the encoder, whichever makes vectors of that
            width; where both do, a question is refused.

    Raises:
        InvalidEntry: It holds what is no finite number, or none at all; or the space is no name.

    Examples:
        >>> Vector([0.5, 1.0]).numbers
        array([0.5, 1. ], dtype=float32)
    """

    numbers: NDArray[np.float32]
    space: str | None = None

    def __init__(self, numbers: Sequence[float] | NDArray[Any], space: str | None = None) -> None:
        """Check the numbers, and keep a copy of them."""
        kept = checked_embedding(_within_float32(numbers)).copy()
        kept.flags.writeable = False
        object.__setattr__(self, "numbers", kept)
        object.__setattr__(self, "space", None if space is None else checked_encoder_name(space))

    def __len__(self) -> int:
        """How many numbers it has."""
        return len(self.numbers)

    def __eq__(self, other: object) -> bool:
        """Whether numbers and space are the same."""
        if not isinstance(other, Vector) or self.space != other.space:
            return False
        return bool(np.array_equal(self.numbers, other.numbers))

    def __hash__(self) -> int:
        """By the bytes of the numbers."""
        return hash(self.numbers.tobytes())

    def __repr__(self) -> str:
        """In a few characters."""
        space = "" if self.space is None else f", space={self.space!r}"
        return f"Vector({len(self)} numbers{space})"


VectorLike = Vector | Sequence[float] | NDArray[Any]
"""What stands for a vector of the user's own."""


def _within_float32(given: object) -> object:
    try:
        wide = as_row(given, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidEntry(
            f"vector: numbers of shape (dim,) are needed ({type(error).__name__})"
        ) from error
    peak = float(np.abs(wide).max(initial=0.0))
    if not np.isfinite(peak) or peak == 0.0 or _LEAST <= peak <= _LARGEST:
        return given
    return wide / peak
