"""What long-term memory has forgotten by the time that an entry is acknowledged elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from agent_memory.connections.circuit_breaker import Pause
from agent_memory.errors import StoreUnavailable
from agent_memory.repositories.contract import LongTermMemory
from agent_memory.tiers.waiting import LastMoment

_LONGEST_PAUSE = 60.0  # seconds for which a database that is away is not asked


class LastMoments:
    """Asks long-term memory for its last moment. Threads may share it.

    Args:
        ltm: Long-term memory.
        ticks: Gives seconds that never go backwards.
    """

    def __init__(self, ltm: LongTermMemory, ticks: Callable[[], float]) -> None:
        self._ltm = ltm
        self._known: float | None = None
        # A database that another process keeps locked would cost each caller its busy timeout.
        self._pause = Pause(0.0, _LONGEST_PAUSE, ticks)

    def last(self) -> LastMoment | None:
        """The last moment, or the last that is known; None: none is."""
        if self._pause.is_over:
            begun = self._pause.ticks()
            try:
                self._known = self._ltm.moment()
            except StoreUnavailable:
                self._pause.begin(self._pause.ticks() - begun)
            else:
                self._pause.end()
                return LastMoment(self._known, is_sure=True)
        return None if self._known is None else LastMoment(self._known, is_sure=False)
