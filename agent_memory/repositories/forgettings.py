"""What a database says of what was forgotten, in an order that no clock decides.

A *moment* is a number that grows with each forgetting, each release and each roll-back. It is
close to the time of a wall clock and never goes back where that does: the next one is the time, or
the least number above the last moment, whichever is later. What was acknowledged after a moment
was known is newer than all forgetting up to it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import NamedTuple

from agent_memory.repositories.clearing import last_release
from agent_memory.repositories.outcomes import Added
from agent_memory.values.entry import EntryKey

LONGEST_LEASE = 600.0
"""Seconds: one that seems to last longer was taken under a clock that was set back since."""
_KEPT_SECONDS = 7 * 86_400.0  # for which it is known of a lease that it has run out


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


def refusal(mark: Forgetting, moment: float, leases: Leases) -> Added | None:
    """Why an entry under a forgotten key is refused; None if it is not. No clock is asked.

    Args:
        mark: When its key was forgotten.
        moment: The last moment that was known before the entry was read; infinite: it is new.
        leases: The forgettings that are under way.
    """
    if mark.released_at is None:
        return Added.FORGOTTEN
    if moment == math.inf:
        return None
    return Added.STALE if mark.moment > moment or mark.moment in leases else None


class Leases:
    """Forgettings that were begun, and until when each keeps its keys closed if it is killed.

    Args:
        until: When each runs out, in seconds by one clock, by the moment of its forgetting.
        now: The time by the same clock.
    """

    def __init__(self, until: Mapping[float, float], now: float) -> None:
        self._until = until
        self._now = now

    def __contains__(self, moment: object) -> bool:
        """Whether one of that moment is under way."""
        until = self._until.get(moment)  # type: ignore[call-overload]  # of no other there is any
        return until is not None and self._now < until <= self._now + LONGEST_LEASE

    def has_run_out(self, moment: float) -> bool:
        """Whether one of that moment was begun, and keeps its keys closed no more."""
        return moment in self._until and moment not in self

    def with_one(self, moment: float, seconds: float) -> dict[float, float]:
        """Until when they last with another one, without those that nobody can come back from."""
        oldest = self._now - _KEPT_SECONDS
        kept = {at: until for at, until in self._until.items() if until > oldest or at in self}
        return kept | {moment: self._now + seconds}


def marks_of(key: EntryKey) -> set[EntryKey]:
    """The keys under which an entry may have been forgotten: its own, and that of every agent."""
    return {key, key._replace(agent_id="")}


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
