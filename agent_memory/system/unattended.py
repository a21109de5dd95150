"""Upkeep that no caller waits for: it raises nothing, and keeps no caller waiting for long."""

from __future__ import annotations

from collections.abc import Callable

from agent_memory.connections.circuit_breaker import Pause
from agent_memory.connections.outages import Outages
from agent_memory.errors import MemoryStoreError
from agent_memory.tiers.intake import LONGEST_PAUSE

_FAILED = object()


class UnattendedUpkeep:
    """Does upkeep and logs what fails. The next upkeep goes on with what is left.

    Args:
        server_is_away: Whether the server of short-term memory is known to be away.
    """

    def __init__(self, server_is_away: Callable[[], bool]) -> None:
        self._server_is_away = server_is_away
        self._outages = Outages("log", MemoryStoreError)
        self._pause = Pause(0.0, LONGEST_PAUSE)

    def attempt(self, work: Callable[[], object]) -> bool:
        """Do some upkeep; returns whether it succeeded. A failure is logged once an outage."""
        return self._outages.guard(_FAILED, work) is not _FAILED

    def attempt_while_storing(self, work: Callable[[], object]) -> None:
        """Do some upkeep, unless it would only keep the caller of a store waiting.

        It is left out while the server is away, and for a while after it has failed: a database
        that another process keeps locked would cost each caller its whole busy timeout.
        """
        if self._server_is_away() or not self._pause.is_over:
            return
        ticks = self._pause.ticks
        begun = ticks()
        if self.attempt(work):
            self._pause.end()
        else:
            self._pause.begin(ticks() - begun)
