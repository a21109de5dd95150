"""How a value of an agent went over time, and what changed between two of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.values.entry import Tier
from agent_memory.values.quoting import short_repr


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """The values at a path over the steps of an agent, in their order.

    Attributes:
        steps: Of each value, int64 of shape (n,).
        values: int64 or float64 of shape (n,) where all are such numbers, else objects.
        bounds: How far each value may be from what was stored, float64 of shape (n,); 0 is exact.
        tiers: Where each was found.

    Examples:
        >>> history = memory.history("ant-1", "food", steps=(2, 4))
        >>> history.steps.tolist(), history.values.tolist()
        ([2, 3, 4], [1.0, 1.5, 2.0])
    """

    steps: NDArray[np.int64]
    values: NDArray[Any]
    bounds: NDArray[np.float64]
    tiers: tuple[Tier, ...]

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        span = f", steps {self.steps[0]} to {self.steps[-1]}" if len(self) else ""
        return f"History({len(self)} values{span})"


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed between the states of two steps, by path.

    Attributes:
        added: What is there at the second step alone.
        removed: What was there at the first step alone.
        changed: The values at both. Numbers within the error bounds of both have not changed.

    Examples:
        >>> memory.difference("ant-1", 2, 4).changed["food"]
        (1.0, 2.0)
    """

    added: Mapping[str, Any]
    removed: Mapping[str, Any]
    changed: Mapping[str, tuple[Any, Any]]

    __repr__ = short_repr()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)
