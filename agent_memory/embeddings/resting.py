"""How vectors lie in long-term memory: with a byte a number, with two, or in full."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.int8_grid import on_int8_grid, on_int8_grids

VectorDtype = Literal["int8", "float16", "float32"]
"""A byte a number and a scale, two bytes, four bytes."""


def at_rest(
    vector: NDArray[np.float32], dtype: VectorDtype = "int8", *, biased: bool = False
) -> NDArray[np.float32]:
    """The nearest vector that can be stored with so many bytes a number.

    Args:
        vector: Finite numbers, float32, of shape (dim,).
        dtype: How it shall lie there.
        biased: Whether the vector begins with a constant, which int8 leaves as it is.

    Returns:
        Float32 of shape (dim,); the vector itself where it does not fit, as with numbers beyond
        half precision's 65,504.
    """
    if dtype == "float32":
        return vector
    if dtype == "int8":
        return on_int8_grid(vector, biased=biased)
    rested: NDArray[np.float32] = all_at_rest(vector[None], dtype)[0]
    return rested


def all_at_rest(
    vectors: NDArray[np.float32], dtype: VectorDtype = "int8", *, biased: bool = False
) -> NDArray[np.float32]:
    """The same of many vectors, of shape (n, dim): ``at_rest`` of each, bit by bit."""
    if dtype == "float32":
        return vectors
    if dtype == "int8":
        return on_int8_grids(vectors, biased=biased)
    with np.errstate(over="ignore"):
        half = vectors.astype(np.float16).astype(np.float32)
    return np.where(np.isfinite(half).all(axis=1, keepdims=True), half, vectors)
