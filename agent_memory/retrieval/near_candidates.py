"""What may be near a state: how far it is, and how its numbers were rounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.comparable import Comparable
from agent_memory.repositories.following import Stored
from agent_memory.values.entry import Tier


class Rounding(NamedTuple):
    """How the numbers of contents were rounded.

    Attributes:
        version: Whose code has done it.
        level: At which level: 1 or 2.
    """

    version: int
    level: int


Meets = Callable[[NDArray[np.intp]], NDArray[np.bool_]]
"""Tells which of some rows may be given."""

Rounded = Callable[[Rounding, Comparable], Comparable]
"""Gives a state as it would have been rounded."""


class Far(NamedTuple):
    """How far an entry is: what it is sorted by, the first is the best.

    Attributes:
        distance: The distance.
        is_rounded: Whether it is the same only as far as rounding tells.
        besides: How much it says besides what was asked about.
        known: How far it is as its vector knows it, of those that are the same as far as rounding
            tells; infinite of those that are none of the nearest by that.
    """

    distance: float
    is_rounded: bool
    besides: float
    known: float = 0.0

    @property
    def is_rounded_to_it(self) -> bool:
        """Whether it says what is asked, as far as rounding tells, and nothing else."""
        return self.distance == 0.0 and self.is_rounded and self.besides == 0.0


class Candidate(NamedTuple):
    """An entry that answers, and how far it is."""

    stored: Stored
    tier: Tier
    rank: Far
