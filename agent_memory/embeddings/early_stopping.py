"""When a training has gone on for long enough, by the loss on what it does not learn from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Weights = TypeVar("Weights")

_LEAST_PATIENCE = 10  # epochs


class EarlyStopping(Generic[Weights]):
    """Keeps the weights of the epoch whose loss is the least.

    Args:
        epochs: How many there may be; a quarter of them, and ten at least, may bring nothing.
    """

    def __init__(self, epochs: int) -> None:
        self.losses: list[float] = []
        self.best: Weights | None = None
        self._patience = max(_LEAST_PATIENCE, epochs // 4)

    def is_over(self, loss: float, weights: Callable[[], Weights]) -> bool:
        """Take note of an epoch.

        Args:
            loss: Its loss.
            weights: Gives a copy of its weights, if they are to be kept.

        Returns:
            Whether the least loss lies too far back for another epoch.
        """
        if not self.losses or loss < min(self.losses):
            self.best = weights()
        self.losses.append(loss)
        return len(self.losses) - 1 - self.losses.index(min(self.losses)) >= self._patience
