"""What is kept of those that were asked about last, within a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

from agent_memory.values.forking import after_fork


class Sized(Protocol):
    """What knows how many bytes it keeps."""

    size: int


K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Sized)


class RecentlyUsed(Generic[K, V]):
    """Keeps a value for each of the keys that were used last. Threads may share it.

    Args:
        make: Makes the value of a key.
        max_bytes: How many bytes to keep; the value of one key is kept at any rate.
    """

    def __init__(self, make: Callable[[K], V], max_bytes: int) -> None:
        self._make = make
        self._max_bytes = max_bytes
        self._renew()
        after_fork(self._renew)

    def of(self, key: K) -> V:
        """The value of a key, which is made if it is not kept."""
        with self._lock:
            value = self._values.get(key)
            if value is None:
                value = self._values[key] = self._make(key)
            self._values.move_to_end(key)
            return value

    @property
    def size(self) -> int:
        """How many bytes are kept, about."""
        with self._lock:
            return sum(value.size for value in self._values.values())

    def make_room(self) -> None:
        """Drop the values of keys that were used longest ago, if there are too many."""
        with self._lock:
            kept = sum(value.size for value in self._values.values())
            while kept > self._max_bytes and len(self._values) > 1:
                _, dropped = self._values.popitem(last=False)
                kept -= dropped.size

    def _renew(self) -> None:
        # In a forked child too: another thread may have been in the middle of a change.
        self._lock = threading.Lock()
        self._values: OrderedDict[K, V] = OrderedDict()
