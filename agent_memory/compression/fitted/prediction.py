"""Tells from an entry's vector about where its numbers lie, so that only what is beyond is coded.

The vector of a memory is kept beside its contents, and says much of them already. The prediction is
linear and in whole numbers: those that code and those that read must come to the same cell, on
whatever machine. Products and sums of whole numbers below 2^53 are exact in doubles, in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.fitted.numbers import Cells

_LARGEST = 2**14  # of a vector's numbers that was fitted on, in whole numbers
_CLIPPED = 2**20  # a number of another vector at most
_SHIFT = 24  # weights are multiples of 2^-24 cells
_LARGEST_WEIGHT = 2**26
_LARGEST_OFFSET = 2**50
_RIDGE = 1e-6  # of the mean variance: keeps directions without any from weights without bound

WIDEST = 64
"""Numbers of a vector at most: 2^20 * 2^26 * 64 is below 2^53."""

NO_CELL = np.iinfo(np.int64).min
"""Stands for a leaf that lies in no cell."""


@dataclass(frozen=True, eq=False)
class Predictor:
    """Predicts the coarse cells of some columns.

    Attributes:
        scale: What a vector's numbers are multiplied by before they are rounded.
        weights: Whole numbers of shape (dim, columns), float64.
        offsets: The same of shape (columns,).
    """

    scale: float
    weights: NDArray[np.float64]
    offsets: NDArray[np.float64]

    @property
    def dim(self) -> int:
        """The width of the vectors that it reads."""
        return len(self.weights)

    def reads(self, vector: NDArray[np.float32] | None) -> bool:
        """Whether a vector is of the width that it was fitted on."""
        return vector is not None and vector.shape == (self.dim,)

    def cells(self, vectors: NDArray[np.float32]) -> Cells:
        """Predict cells.

        Args:
            vectors: Of shape (n, dim), as they rest.

        Returns:
            Cells of shape (n, columns).
        """
        return _rounded(self._sums(vectors))

    def exactly(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """The same without rounding them to whole cells."""
        return self._sums(vectors) * 2.0**-_SHIFT

    def _sums(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        sums: NDArray[np.float64] = _whole(vectors, self.scale) @ self.weights + self.offsets
        return sums

    def only(self, columns: Sequence[int]) -> Predictor:
        """A predictor of some of the columns, in this order; of 0 where one is -1."""
        dim = self.dim
        weights = np.hstack([self.weights, np.zeros((dim, 1))])[:, list(columns)]
        offsets = np.append(self.offsets, 0.0)[list(columns)]
        return Predictor(self.scale, np.ascontiguousarray(weights), offsets)


def fit_predictor(vectors: NDArray[np.float32], wanted: Sequence[Cells]) -> Predictor:
    """Fit by least squares.

    Args:
        vectors: Of shape (n, dim), ``dim`` at most 64.
        wanted: For each column its coarse cells, of shape (n,); ``NO_CELL`` where it has none.
    """
    largest = float(np.abs(vectors).max(initial=0.0)) or 1.0
    scale = _LARGEST / largest
    scaled = _whole(vectors, scale)
    weights = np.zeros((vectors.shape[1], len(wanted)))
    offsets = np.zeros(len(wanted))
    for place, cells in enumerate(wanted):
        there = cells != NO_CELL
        weights[:, place], offsets[place] = _fitted(scaled[there], cells[there])
    return Predictor(scale, weights, offsets)


def _fitted(scaled: NDArray[np.float64], cells: Cells) -> tuple[NDArray[np.float64], float]:
    """Weights of shape (dim,) and the offset of one column, as whole numbers."""
    middle, mean = scaled.mean(axis=0), float(cells.mean())
    centred = scaled - middle
    covariance = centred.T @ centred
    covariance[np.diag_indices_from(covariance)] += _RIDGE * (np.trace(covariance) + 1.0)
    slopes = np.linalg.solve(covariance, centred.T @ (cells - mean))
    whole = np.rint(slopes * 2.0**_SHIFT).clip(-_LARGEST_WEIGHT, _LARGEST_WEIGHT)
    offset = np.rint(mean * 2.0**_SHIFT - middle @ whole)
    return whole, float(offset.clip(-_LARGEST_OFFSET, _LARGEST_OFFSET))


def _whole(vectors: NDArray[np.float32], scale: float) -> NDArray[np.float64]:
    whole: NDArray[np.float64] = np.rint(vectors.astype(np.float64) * scale)
    # In a third of the time of ``clip``.
    return np.minimum(np.maximum(whole, -_CLIPPED), _CLIPPED)


def _rounded(sums: NDArray[np.float64]) -> Cells:
    # The division by a power of two is exact, and so is the half that is added to it.
    return np.floor(sums * 2.0**-_SHIFT + 0.5).astype(np.int64)


def is_sound(scale: object, weights: NDArray[np.float64], offsets: NDArray[np.float64]) -> bool:
    """Whether numbers that were read may be those of a predictor: no sum of theirs is inexact."""
    sound = isinstance(scale, float) and 0.0 < scale < np.inf
    shaped = weights.ndim == 2 and offsets.shape == weights.shape[1:] and len(weights) <= WIDEST
    if not (sound and shaped):
        return False
    return bool(
        np.abs(weights).max(initial=0.0) <= _LARGEST_WEIGHT
        and np.abs(offsets).max(initial=0.0) <= _LARGEST_OFFSET
    )
