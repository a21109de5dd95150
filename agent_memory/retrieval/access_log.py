"""Counts who was retrieved, and writes the counts in batches.

A retrieval by a person or an agent counts; a read by the system itself (a move, a count) does
not. Counting at once would turn every read into a write.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence

from agent_memory.repositories.contract import MemoryRepository
from agent_memory.values.entry import EntryKey
from agent_memory.values.forking import after_fork
from agent_memory.values.query import Hit

_FLUSH_AT = 256  # entries waiting


class AccessLog:
    """Buffers retrievals until ``flush``; threads may share it.

    After a fork the child begins with an empty buffer: what waits is the parent's to write.

    Args:
        tiers: The repositories, richest first.
    """

    def __init__(self, tiers: Sequence[MemoryRepository]) -> None:
        self._tiers = tiers
        self._lock = threading.Lock()
        self._counts: Counter[EntryKey] = Counter()
        self._last = float("-inf")
        after_fork(self._forget_all)

    def record(self, hits: Iterable[Hit], at: float) -> None:
        """Count a retrieval of each hit.

        Args:
            hits: What was retrieved.
            at: When, in the unit of timestamps.
        """
        with self._lock:
            self._counts.update(hit.entry.key for hit in hits)
            self._last = max(self._last, at)
            full = len(self._counts) >= _FLUSH_AT
        if full:
            self.flush()

    def flush(self) -> None:
        """Write the counts to wherever the entries are by now; those that are gone are dropped.

        Raises:
            StoreUnavailable: A tier does not answer; what was not written is kept.
        """
        with self._lock:
            counts, self._counts = dict(self._counts), Counter()
        try:
            for repository in self._tiers:
                if counts:
                    missing = repository.touch(counts, self._last)
                    counts = {key: counts[key] for key in missing}
        except BaseException:
            with self._lock:
                self._counts.update(counts)
            raise

    def _forget_all(self) -> None:
        self._lock = threading.Lock()
        self._counts.clear()
