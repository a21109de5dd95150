"""What becomes of an unreachable store in the calls that answer with a bool, a list or None."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Literal, ParamSpec, TypeVar

from agent_memory.errors import MemoryStoreError, StoreUnavailable

_logger = logging.getLogger("agent_memory")

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D")


class Outages:
    """Counts failed calls and logs each outage once, when it begins and when it ends.

    Bad input is not an outage: only the given kind of error is caught.

    Args:
        on_store_error: "log": log and answer with the default. "raise": let the error through.
        kind: The errors that count as an outage.
    """

    def __init__(
        self,
        on_store_error: Literal["log", "raise"] = "log",
        kind: type[MemoryStoreError] = StoreUnavailable,
    ) -> None:
        self._raises = on_store_error == "raise"
        self._kind = kind
        self._lock = threading.Lock()
        self.failures = 0
        """How many calls failed so far."""
        # By kind: when long-term memory is away, stores into short-term memory go on well.
        self._failing: set[str] = set()

    @property
    def ongoing(self) -> bool:
        """Whether some kind of call failed when it was last made."""
        return bool(self._failing)

    def guard(self, default: D, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | D:
        """Call, and answer with a default when the store is unreachable.

        Raises:
            MemoryStoreError: There is an outage and ``on_store_error`` is "raise".
        """
        try:
            return self.watched(call, *args, **kwargs)
        except self._kind:
            if self._raises:
                raise
            return default

    def watched(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call; an outage is counted and logged, and let through whatever is configured.

        Raises:
            MemoryStoreError: There is an outage.
        """
        kind = getattr(call, "__qualname__", None) or repr(call)
        try:
            result = call(*args, **kwargs)
        except self._kind as error:
            self._failed(kind, error)
            raise
        if kind in self._failing:
            self._mended(kind)
        return result

    def _failed(self, kind: str, error: MemoryStoreError) -> None:
        with self._lock:
            self.failures += 1
            begins = not self._failing
            self._failing = self._failing | {kind}
        if begins:
            _logger.error("the memory fails, and calls with it until it is mended: %s", error)

    def _mended(self, kind: str) -> None:
        with self._lock:
            ends = self._failing == {kind}
            self._failing = self._failing - {kind}
        if ends:
            _logger.warning("the memory is back; %d calls have failed so far", self.failures)
