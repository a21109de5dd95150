"""Since when a store is away, and when it is time to look again: a small state machine.

A store is up until ``failed()``. Then it is away, and left alone until ``is_due``, when one caller
looks: ``returned()`` brings it up, another ``failed()`` begins the next pause.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from agent_memory.errors import MemoryStoreError
from agent_memory.values.status import StoreStatus

SHARE = 10.0
"""After a look that failed, how many times as long as it took to wait before the next."""


class _Away(NamedTuple):
    since: float
    reason: str
    look_at: float


class CircuitBreaker:
    """Whether one store is away. Threads may share it: each change is one assignment.

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
        self._least_pause = least_pause
        self._longest_pause = longest_pause
        self._clock = clock
        self.ticks = ticks
        self._away: _Away | None = None

    @property
    def is_away(self) -> bool:
        """Whether it is away."""
        return self._away is not None

    @property
    def is_due(self) -> bool:
        """Whether it may be asked: it is up, or the pause since the last look is over."""
        away = self._away
        return away is None or self.ticks() >= away.look_at

    def failed(self, error: MemoryStoreError, took: float = 0.0) -> bool:
        """Note that it did not answer.

        Args:
            error: What became of asking it.
            took: How long that took, in seconds.

        Returns:
            Whether it was up until now.
        """
        before = self._away
        # A store that keeps its callers waiting is asked the less: it may take a tenth of their
        # time, not all of it.
        pause = min(max(self._least_pause, took * SHARE), self._longest_pause)
        since = self._clock() if before is None else before.since
        self._away = _Away(since, str(error), self.ticks() + pause)
        return before is None

    def returned(self) -> bool:
        """Note that it answers; returns whether it was away."""
        was_away = self._away is not None
        self._away = None
        return was_away

    def status(self, name: str) -> StoreStatus:
        """How the store is, under a name."""
        away = self._away
        if away is None:
            return StoreStatus(name)
        return StoreStatus(name, up=False, away_since=away.since, reason=away.reason)
