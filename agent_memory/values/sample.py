"""Entries drawn at random for learning, with the probabilities that they were drawn by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent_memory.values.query import Hit


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Entries that were drawn at random, with replacement.

    Attributes:
        hits: The entries, in the order in which they were drawn; one may be among them twice.
        probabilities: Of each, with which every single draw gives it, float64 of shape (n,).
        weights: Of each, what makes up for having been drawn more often than others, float64 of
            shape (n,): ``(probability / the least of all)**-beta``, so that 1 is the greatest.

    Examples:
        >>> batch = memory.sample(4, by="uniform", seed=7)
        >>> len(batch), batch.probabilities.tolist(), batch.weights.tolist()
        (4, [0.1, 0.1, 0.1, 0.1], [1.0, 1.0, 1.0, 1.0])
    """

    hits: tuple[Hit, ...]
    probabilities: NDArray[np.float64]
    weights: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.hits)

    def __repr__(self) -> str:
        drawn = len({hit.entry.key for hit in self.hits})
        return f"Sample({len(self)} hits, {drawn} different)"
