"""Counts who was retrieved, and writes the counts in batches.

A retrieval by a person or an agent counts; a read by the system itself (a move, a count) does
not. Counting at once would turn every read into a write.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from agent_memory.errors import StoreUnavailable
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.moves import token_at
from agent_memory.values.entry import EntryKey
from agent_memory.values.forking import after_fork
from agent_memory.values.query import Hit

_FLUSH_AT = 256  # entries waiting
_BATCHES = 16  # that may wait for a tier which is away; later retrievals are added up meanwhile


class _Batch(NamedTuple):
    """Retrievals that are written together, as often as it takes until they are acknowledged."""

    token: str
    counts: dict[EntryKey, int]
    at: float


class AccessLog:
    """Buffers retrievals until ``flush``; threads may share it.

    Each is counted once. A batch whose answer was lost is written again under its name, by which
    the tiers know what they have counted of it.

    After a fork the child begins with an empty buffer: what waits is the parent's to write.

    Args:
        tiers: The repositories, richest first.
        clock: Gives the time in seconds since 1970; batches are named by it.
    """

    def __init__(
        self, tiers: Sequence[MemoryRepository], clock: Callable[[], float] = time.time
    ) -> None:
        self._tiers = tiers
        self._clock = clock
        self._counts: Counter[EntryKey] = Counter()
        self._last = float("-inf")
        self._unwritten: list[_Batch] = []
        self._written: list[_Batch] = []
        self._unlock()
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
            # What was asked is answered, also where a server is full and takes no counts: they
            # are kept, and upkeep tells of it.
            with suppress(StoreUnavailable):
                self.flush()

    def flush(self) -> None:
        """Write the counts to wherever the entries are by now; those that are gone are dropped.

        Raises:
            StoreUnavailable: A tier does not answer; what was not written is kept.
        """
        with self._writing:
            full = len(self._unwritten) >= _BATCHES
            if not full:
                self._begin_batch()
            self._write_batches()
            if full:
                self._begin_batch()
                self._write_batches()

    def _begin_batch(self) -> None:
        with self._lock:
            counts, self._counts = dict(self._counts), Counter()
            if counts:
                self._unwritten.append(_Batch(token_at(self._clock()), counts, self._last))

    def _write_batches(self) -> None:
        # What failed before stays apart, since a tier may have counted it. It comes last, so
        # that a tier which is away keeps the others from nothing.
        while self._unwritten:
            self._write(self._unwritten[-1])
            self._written.append(self._unwritten.pop())
        # A failure here is no reason to count again what was answered.
        while self._written:
            for repository in self._tiers:
                repository.touched(self._written[-1].token)
            self._written.pop()

    def _write(self, batch: _Batch) -> None:
        counts = batch.counts
        for repository in self._tiers:
            if counts:
                missing = repository.touch(counts, batch.at, batch.token)
                counts = {key: counts[key] for key in missing}

    def _forget_all(self) -> None:
        self._unlock()
        self._counts.clear()
        self._unwritten.clear()
        self._written.clear()

    def _unlock(self) -> None:
        self._lock = threading.Lock()
        self._writing = threading.Lock()
