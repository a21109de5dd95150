"""Whether a server is away, and when it is time to look again: a small state machine.

A server is up until a request to it fails. Then it is away, and left alone until ``is_due``, when
one caller looks. The longer a failure kept its caller waiting, the longer is the pause: a server
that hangs is asked seldom, one that refuses connections at once costs nothing to ask.

There are two ways to be away. A *silent* server does not answer: any answer ends that. One that
*refuses* answers, and takes no writes (it is out of memory, a replica): only a write ends that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from agent_memory.errors import MemoryStoreError
from agent_memory.values.status import StoreStatus

SHARE = 10.0
"""After a look that failed, how many times as long as it took to wait before the next."""

LONGEST_PAUSE = 60.0
"""How long a server that kept its callers waiting is left alone at most, in seconds."""


class Pause:
    """How long to leave alone what failed. Threads may share it.

    Args:
        least: The shortest pause, in seconds.
        longest: The longest, in seconds.
        ticks: Gives seconds that never go backwards.
    """

    def __init__(
        self, least: float, longest: float, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        self.least = least
        self._longest = longest
        self.ticks = ticks
        self._until: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether it is over, or never began."""
        until = self._until
        return until is None or self.ticks() >= until

    def begin(self, took: float) -> None:
        """Begin one.

        Args:
            took: How long the failure kept its caller waiting, in seconds: the pause is ten times
                as long, so that failures take a tenth of a caller's time at most.
        """
        self._until = self.ticks() + min(max(self.least, took * SHARE), self._longest)

    def end(self) -> None:
        """End it."""
        self._until = None


class _Away(NamedTuple):
    since: float
    reason: str
    is_silent: bool


class CircuitBreaker:
    """Whether one server is away, for all who ask it. Threads may share it.

    Args:
        least_pause: The least time between two looks, in seconds.
        longest_pause: The longest, in seconds.
        clock: Gives the time in seconds since 1970.
        ticks: Gives seconds that never go backwards, for pauses.
    """

    def __init__(
        self,
        least_pause: float,
        longest_pause: float,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pause = Pause(least_pause, longest_pause, ticks)
        self._clock = clock
        # Each change is one assignment.
        self._away: _Away | None = None

    @property
    def ticks(self) -> Callable[[], float]:
        """Gives seconds that never go backwards."""
        return self.pause.ticks

    @property
    def is_away(self) -> bool:
        """Whether it is away: it does not answer, or takes no writes."""
        return self._away is not None

    @property
    def is_silent(self) -> bool:
        """Whether it does not answer."""
        away = self._away
        return away is not None and away.is_silent

    @property
    def is_due(self) -> bool:
        """Whether it may be asked: it is up, or the pause since the last look is over."""
        return self._away is None or self.pause.is_over

    @property
    def reason(self) -> str:
        """What it, or its driver, said; empty while it is up."""
        away = self._away
        return "" if away is None else away.reason

    def failed(self, error: MemoryStoreError, took: float = 0.0) -> bool:
        """Note that it did not answer.

        Args:
            error: What became of asking it.
            took: How long that took, in seconds.

        Returns:
            Whether it was up until now.
        """
        self.pause.begin(took)
        return self._leave(error, is_silent=True)

    def refused(self, error: MemoryStoreError) -> bool:
        """Note that it answers and takes no writes; returns whether it was up until now."""
        self.pause.end()
        return self._leave(error, is_silent=False)

    def answered(self) -> None:
        """Note that it answers, whatever it does."""
        if self.is_silent:
            self._away = None

    def returned(self) -> bool:
        """Note that it does what it is asked; returns whether it was away."""
        was_away = self._away is not None
        self._away = None
        return was_away

    def status(self, name: str) -> StoreStatus:
        """How the server is, under a name."""
        away = self._away
        if away is None:
            return StoreStatus(name)
        return StoreStatus(name, up=False, away_since=away.since, reason=away.reason)

    def _leave(self, error: MemoryStoreError, *, is_silent: bool) -> bool:
        before = self._away
        since = self._clock() if before is None else before.since
        self._away = _Away(since, str(error), is_silent)
        return before is None


def server_breaker() -> CircuitBreaker:
    """A breaker for the channels of one server."""
    return CircuitBreaker(0.0, LONGEST_PAUSE)
