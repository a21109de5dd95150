"""What the tiers held since somebody looks, in a list that does not grow without end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import Lock
from typing import Final

from agent_memory.system.pictures.records import Look

_SHARED = 2.0
"""For how many seconds a look is everybody's: several pages cost no more than one."""

_MOST_LOOKS = 600
"""Of more every other one goes, so that all the time since the first is shown."""


class Growth:
    """Looks at what the tiers hold when it is asked to. Threads may share it.

    Args:
        totals: Gives how many entries each tier holds.
        clock: Gives the time in seconds, from any beginning; it never goes back.
        now: Gives the time in seconds since 1970.
    """

    def __init__(
        self,
        totals: Callable[[], tuple[int, int, int]],
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._totals: Final = totals
        self._clock: Final = clock
        self._now: Final = now
        self._lock: Final = Lock()
        self._looked_at = 0.0
        self._looks: list[Look] = []

    @property
    def looks(self) -> tuple[Look, ...]:
        """The looks so far, or every so many of them, from the first to the latest."""
        with self._lock:
            return tuple(self._looks)

    def look(self) -> Look:
        """What the tiers hold, as of two seconds ago at most.

        Raises:
            StoreUnavailable: A tier does not answer.
        """
        with self._lock:
            began = self._clock()
            if not self._looks or began - self._looked_at >= _SHARED:
                self._add(Look(self._now(), self._totals()), began - self._looked_at)
                self._looked_at = began
            return self._looks[-1]

    def _add(self, look: Look, seconds: float) -> None:
        if self._looks:
            before = self._looks[-1].entries
            stored = max(0, sum(look.entries) - sum(before))
            moved = max(0, _moves_to(look.entries) - _moves_to(before))
            look = replace(look, stores=stored / seconds, moves=moved / seconds)
        if len(self._looks) >= _MOST_LOOKS:
            del self._looks[1::2]
        self._looks.append(look)


def _moves_to(entries: tuple[int, int, int]) -> int:
    """How many moves have brought entries where they are."""
    _, im, ltm = entries
    return im + 2 * ltm
