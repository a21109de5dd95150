"""Bounds the cosines of many vectors with one by a few numbers of each, so that few are compared.

Vectors of states lie near a subspace of far fewer dimensions than they have numbers. Of a unit
vector ``u`` with coordinates ``h`` there and the length ``r`` beside it, and another ``v`` with
``g`` and ``s``, the cosine is within ``h g - r s`` and ``h g + r s`` (Cauchy and Schwarz). Those
whose upper bound is below the k-th greatest lower bound are not among the k nearest. What is left
is compared in full, so that the answer is exact, and the memory that is read an eighth.

The subspace is found by a randomised range finder (Halko, Martinsson and Tropp, *Finding structure
with randomness*, SIAM Review 53(2), 2011).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 48
"""Coordinates of a vector in the subspace: 20 features of the untrained version need some 40."""

FEWEST = 256
"""How many vectors are worth it."""

NARROWEST = 2 * DIMENSIONS
"""How many numbers in a vector are."""

WIDEST = 4_096
"""How many numbers a vector may have: sums of more are less exact than is allowed for here."""

_SAMPLE = 1_024
_OVERSAMPLED = 8
_SEED = 0
# Of squared lengths, and of products: what single precision may get wrong, several times over.
_SQUARES_DOUBT = 1e-5
_DOUBT = 1e-5
_LOOSEST = 0.2  # mean length beside the subspace above which the bounds exclude little
_USEFUL = 4  # times fewer candidates than vectors
_GROUPS = 16  # for each of the nearest


class CosineBounds:
    """What is known of unit vectors whose places are those of rows elsewhere.

    Args:
        units: The vectors to find the subspace of, and the first rows; of length 1 (or 0) and
            shape (n, dim), ``n`` at least ``FEWEST``.
    """

    def __init__(self, units: NDArray[np.float32]) -> None:
        self._basis = _basis(units[:: -(-len(units) // _SAMPLE)])
        self._heads = np.empty((0, self._basis.shape[1]), np.float32)
        self._rests = np.empty(0, np.float32)
        self.put(0, units)
        self.is_tight = float(self._rests[: len(units)].mean()) <= _LOOSEST

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        return self._heads.nbytes + self._rests.nbytes + self._basis.nbytes

    def put(self, first: int, units: NDArray[np.float32]) -> None:
        """Note the vectors of rows from ``first`` on."""
        end = first + len(units)
        if end > len(self._rests):
            room = max(end, 2 * len(self._rests))
            heads, rests = self._heads, self._rests
            self._heads = np.empty((room, heads.shape[1]), np.float32)
            self._rests = np.empty(room, np.float32)
            self._heads[:first], self._rests[:first] = heads[:first], rests[:first]
        np.matmul(units, self._basis, out=self._heads[first:end])
        self._rests[first:end] = _rests(self._heads[first:end])

    def move(self, source: int, target: int) -> None:
        """Note that the vector of a row has taken the place of another."""
        self._heads[target], self._rests[target] = self._heads[source], self._rests[source]

    def candidates(
        self,
        unit: NDArray[np.float32],
        count: int,
        rows: int,
        among: NDArray[np.intp] | None = None,
    ) -> NDArray[np.intp] | None:
        """The rows that may be among the nearest to a vector.

        Args:
            unit: The vector, of length 1 (or 0) and shape (dim,).
            count: How many are asked for.
            rows: How many rows there are.
            among: Only these rows are asked about.

        Returns:
            All that may be, in order; ``among`` where the bounds tell too little to pay.
        """
        heads, rests = self._heads[:rows], self._rests[:rows]
        if among is not None:
            heads, rests = heads[among], rests[among]
        if not count or len(rests) <= _USEFUL * count:
            return among
        head = unit @ self._basis
        middle = heads @ head
        reach = rests * _rests(head[None])[0]
        reach += np.float32(_DOUBT)
        least = _reached_by(middle - reach, count)
        middle += reach
        found = np.flatnonzero(middle >= least)
        if len(found) * _USEFUL > len(middle):
            return among
        return found if among is None else among[found]


def _basis(units: NDArray[np.float32]) -> NDArray[np.float32]:
    """Orthonormal columns, of shape (dim, some), that vectors of shape (n, dim) lie near to."""
    kept = min(DIMENSIONS, units.shape[1])
    drawn = min(kept + _OVERSAMPLED, units.shape[1])
    random = np.random.default_rng(_SEED)
    columns = random.standard_normal((units.shape[1], drawn)).astype(np.float32)
    for _ in range(2):
        columns, _ = np.linalg.qr(units.T @ (units @ columns))
    # Of the columns those that the vectors reach farthest along.
    _, _, turned = np.linalg.svd(units @ columns, full_matrices=False)
    return np.ascontiguousarray(columns @ turned[:kept].T)


def _reached_by(values: NDArray[np.float32], count: int) -> np.float32:
    """What at least ``count`` of some values reach, and few more."""
    groups = _GROUPS * count
    if len(values) >= 2 * groups:
        # The greatest of each group: those of a group that holds two of the nearest are fewer.
        whole = len(values) // groups * groups
        values = values[:whole].reshape(-1, groups).max(axis=0)
    place = len(values) - count
    least: np.float32 = np.partition(values, place)[place]
    return least


def _rests(heads: NDArray[np.float32]) -> NDArray[np.float32]:
    """How long unit vectors are beside the subspace, at most, by their coordinates there."""
    squares = np.einsum("ij,ij->i", heads, heads)
    rests: NDArray[np.float32] = np.sqrt(np.maximum(1.0 - squares, 0.0) + _SQUARES_DOUBT)
    return rests.astype(np.float32, copy=False)
