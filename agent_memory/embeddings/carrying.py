"""How a vector stays finite when it is brought to a lower tier's width."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LARGEST = float(np.finfo(np.float32).max)


def carried_finite(
    carry: Callable[[NDArray[Any]], NDArray[Any]], vectors: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Carry vectors; one whose numbers would be infinite keeps its direction and loses length.

    Directions are what vectors are compared by, and an entry with a vector that nobody can carry
    would keep all others from moving.

    Args:
        carry: Brings vectors of shape (n, from) to shape (n, width); linear, in the dtype given.
        vectors: Finite numbers, float32, of shape (n, from).

    Returns:
        Finite numbers, float32, of shape (n, width).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        carried: NDArray[np.float32] = carry(vectors)
    spilled = ~np.isfinite(carried).all(axis=1)
    if spilled.any():
        wide = carry(vectors[spilled].astype(np.float64))
        carried[spilled] = wide * (_LARGEST / np.abs(wide).max(axis=1, keepdims=True))
    return carried
