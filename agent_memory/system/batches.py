"""Gathers single stores, and stores them together.

A simulation that stores agent by agent waits for the server each time. In a batch its stores are
checked and kept in this process, and become one step's worth of entries at once: when there are
enough of them, when the first is old enough, before this process asks the server anything else, on
``flush()`` and on leaving.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

from agent_memory.errors import ConfigError, MemoryStoreError, NotAllStored
from agent_memory.system.bulk_storing import BulkStoring
from agent_memory.system.new_entries import Prepared
from agent_memory.system.run_memory import RunMemory
from agent_memory.values.checks import checked_count, checked_time
from agent_memory.values.entry import EntryKey, MemoryEntry, MemoryType
from agent_memory.values.forking import after_fork
from agent_memory.values.quoting import quoted
from agent_memory.values.stored import Stored

MOST_ENTRIES = 1_000
"""How many entries a batch gathers at most, by default."""

MOST_SECONDS = 1.0
"""For how long it does."""


class Batch:
    """Gathers what is stored of one run, and stores it together; see ``AgentMemorySystem.batch``.

    Threads may share it. After a fork the parent stores what is gathered.

    Args:
        run: The run.
        bulk: Stores entries of the run.
        max_entries: How many entries it gathers at most.
        max_seconds: For how long, looked at with each store.
        ticks: Gives seconds that never go backwards.

    Raises:
        InvalidEntry: A number has no meaning.
    """

    def __init__(
        self,
        run: RunMemory,
        bulk: BulkStoring,
        max_entries: int = MOST_ENTRIES,
        max_seconds: float = MOST_SECONDS,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._bulk = bulk
        self._most = max(checked_count("max_entries", max_entries), 1)
        self._seconds = checked_time("max_seconds", max_seconds)
        self._ticks = ticks
        self._since = 0.0
        self._gathered: list[Prepared] = []
        self._refused: dict[EntryKey, MemoryStoreError] = {}
        self._flushing = 0
        self._begin_anew()
        after_fork(self._begin_anew)

    def __repr__(self) -> str:
        return f"Batch(run={quoted(self._run.run_id)}, {len(self)} gathered)"

    def __len__(self) -> int:
        """How many entries are gathered and not stored yet."""
        return len(self._gathered)

    def __enter__(self) -> Self:
        """Gather stores from now on.

        Raises:
            ConfigError: A batch of the run is open already.
        """
        if self._run.open_batch.batch is not None:
            raise ConfigError("a batch of this run is open already: leave it, or go on with it")
        self._run.open_batch.batch = self
        self._run.resources.batches.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Store what is gathered, and gather no more; also after an exception.

        Raises:
            NotAllStored: Some of it cannot be stored.
        """
        self._run.open_batch.batch = None
        try:
            self.flush()
        finally:
            self._run.resources.batches.discard(self)

    def gather(
        self,
        agent_id: str,
        memory_type: MemoryType,
        data: object,
        step_number: object,
        priority: object,
        vector: object = None,
    ) -> None:
        """Take what an agent sees, does or meets, as it is now.

        Raises:
            InvalidEntry: It cannot be stored; it is not taken.
            NotAllStored: The batch was full or old, and some of it cannot be stored.
        """
        with self._lock:
            prepared = self._run.resources.new_entries.prepared(
                self._run.run_id, agent_id, memory_type, data, step_number, priority, vector
            )
            if not self._gathered:
                self._since = self._ticks()
            self._gathered.append(prepared)
            is_due = (
                len(self._gathered) >= self._most or self._ticks() - self._since >= self._seconds
            )
        if is_due:
            self.flush()

    def flush(self) -> Stored:
        """Store what is gathered; once it returns, a kill of this process costs none of it.

        Returns:
            The keys of what was stored.

        Raises:
            NotAllStored: Some of it cannot be stored; the error says which, and why.
            EmbedderError: The embedder fails: nothing of it is stored, and it stays gathered.
        """
        stored = self.store_gathered()
        with self._lock:
            refused, self._refused = self._refused, {}
        if refused:
            raise _not_all_stored(refused)
        return Stored(tuple(entry.key for entry in stored))

    def store_gathered(self) -> list[MemoryEntry]:
        """Store what is gathered, and keep why some of it is not for the next ``flush``."""
        if threading.get_ident() == self._flushing:
            return []  # its own requests to the server need not wait for it
        with self._lock:
            self._flushing = threading.get_ident()
            try:
                stored = self._store()
            finally:
                self._flushing = 0
        # Not under the lock: upkeep waits for other things, whose holders may wait for it.
        self._bulk.count(stored)
        return stored

    def _store(self) -> list[MemoryEntry]:
        stored: list[MemoryEntry] = []
        while self._gathered:
            some = self._gathered[: self._most]
            outcome, entries = self._bulk.store_prepared(some)
            # Only here, so that what is interrupted is stored with the next flush.
            del self._gathered[: len(some)]
            stored += entries
            for place, error in outcome.refused.items():
                one = some[int(place)]
                key = EntryKey(self._run.run_id, one.agent_id, one.memory_id)
                self._refused[key] = error
        return stored

    def _begin_anew(self) -> None:
        # A lock that another thread holds during a fork would stay locked in the child.
        self._lock = threading.RLock()
        self._flushing = 0
        self._gathered = []
        self._refused = {}


def _not_all_stored(refused: dict[EntryKey, MemoryStoreError]) -> NotAllStored:
    key, error = next(iter(refused.items()))
    return NotAllStored(
        f"{len(refused)} gathered entries are not stored; the first, of the agent "
        f"{quoted(key.agent_id)}, for: {error}",
        refused,
    )
