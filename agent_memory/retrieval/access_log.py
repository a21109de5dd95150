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
        self._counts: Counter[EntryKey] = Counter()
        self._found: dict[EntryKey, Tier] = {}
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
        found = {hit.entry.key: hit.tier for hit in hits}
        with self._lock:
            self._counts.update(found.keys())
            found |= {key: min(self._found[key], found[key]) for key in self._found.keys() & found}
            self._found |= found
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
            counts, found = self._counts, self._found
            if not counts:
                return
            by_tier: dict[Tier, dict[EntryKey, int]] = {}
            for key, number in counts.items():
                by_tier.setdefault(found.get(key, Tier.STM), {})[key] = number
            batch = _Batch(token_at(self._clock()), by_tier, self._last)
            unwritten, fresh = [*self._unwritten, batch], Counter[EntryKey]()
            # At once: an exception of a signal's handler comes before all or after all.
            self._unwritten, self._counts, self._found = unwritten, fresh, {}

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
        self._counts.clear()
        self._found.clear()
        self._unwritten.clear()
        self._written.clear()

    def _unlock(self) -> None:
        self._lock = threading.Lock()
        self._writing = threading.Lock()
