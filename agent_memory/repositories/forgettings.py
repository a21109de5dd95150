"""What a database says of what was forgotten, in an order that no clock decides.

A *moment* is a number that grows with each forgetting, each release and each roll-back. It is
close to the time of a wall clock and never goes back where that does: the next one is the time, or
the least number above the last moment, whichever is later. What was acknowledged after a moment
was known is newer than all forgetting up to it.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import NamedTuple

from agent_memory.repositories.clearing import last_release


class Forgetting(NamedTuple):
    """When a key was forgotten.

    Attributes:
        moment: Of the forgetting, or of its release.
        released_at: When it was released, in seconds since 1970; None: it was not.
    """

    moment: float
    released_at: float | None


class RollBack(NamedTuple):
    """A run that was rolled back: what it had stored of later steps is forgotten.

    Attributes:
        step: The last step that stayed.
        moment: Of the roll-back.
        at: When, in seconds since 1970.
    """

    step: int
    moment: float
    at: float


def next_moment(last: float, at: float) -> float:
    """The moment after another one.

    Args:
        last: The last moment.
        at: The time, in seconds since 1970.
    """
    return max(at, math.nextafter(last, math.inf))


def strictest(marks: Collection[Forgetting]) -> Forgetting:
    """What holds of a key that was forgotten several times over, as one agent's and of all.

    Args:
        marks: Each of its marks, at least one.
    """
    released_at = last_release([mark.released_at for mark in marks])
    return Forgetting(max(mark.moment for mark in marks), released_at)


def with_roll_back(held: Collection[RollBack], new: RollBack) -> list[RollBack]:
    """The roll-backs of a run of which one is new, without those that it makes needless."""
    return [*(one for one in held if one.step < new.step), new]
