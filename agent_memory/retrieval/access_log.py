"""Counts who was retrieved, and writes the counts in batches.

A retrieval by a person or an agent counts; a read by the system itself (a move, a count) does
not. Counting at once would turn every read into a write.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from agent_memory.errors import StoreUnavailable
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.moves import token_at
from agent_memory.values.entry import EntryKey, Tier
from agent_memory.values.forking import after_fork
from agent_memory.values.query import Hit

# Entries waiting. What is asked again and again is written once: a row that is counted takes as
# long as one that is read, and a commit more.
_FLUSH_AT = 2_000
_BATCHES = 16  # that may wait for a tier which is away; later retrievals are added up meanwhile


class _Batch(NamedTuple):
    """Retrievals that are written together, as often as it takes until they are acknowledged."""

    token: str
    counts: dict[Tier, dict[EntryKey, int]]
    """By the richest tier in which each was found: no entry moves up."""
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
        self._waiting: dict[EntryKey, tuple[int, Tier]] = {}
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
            waiting = self._waiting
            for hit in hits:  # a loop looks each key up twice, where set operations do six times
                key, tier = hit.entry.key, hit.tier
                before = waiting.get(key)
                if before is not None:
                    count, richest = before
                    waiting[key] = count + 1, min(richest, tier)
                else:
                    waiting[key] = 1, tier
            self._last = max(self._last, at)
            full = len(waiting) >= _FLUSH_AT
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
            if not self._waiting:
                return
            by_tier: dict[Tier, dict[EntryKey, int]] = {}
            for key, (number, tier) in self._waiting.items():
                by_tier.setdefault(tier, {})[key] = number
            batch = _Batch(token_at(self._clock()), by_tier, self._last)
            # At once: an exception of a signal's handler comes before all or after all.
            self._unwritten, self._waiting = [*self._unwritten, batch], {}

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
        counts: dict[EntryKey, int] = {}
        for repository in self._tiers:
            # What has moved since, and what was found here.
            counts |= batch.counts.get(repository.tier, {})
            if counts:
                missing = repository.touch(counts, batch.at, batch.token)
                counts = {key: counts[key] for key in missing}

    def _forget_all(self) -> None:
        self._unlock()
        self._waiting.clear()
        self._unwritten.clear()
        self._written.clear()

    def _unlock(self) -> None:
        self._lock = threading.Lock()
        self._writing = threading.Lock()
