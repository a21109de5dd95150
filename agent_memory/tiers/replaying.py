"""Stores what waited in the spool, once short-term memory is back.

Replaying must not undo what happened meanwhile. An entry that any tier has already (its first
store was answered too late) is left where it is. One that was forgotten, or whose agent or run
was cleared after it was spooled, is dropped: looked for before it is stored and once more after,
because clearing notes itself in long-term memory before it looks at short-term memory. So either
the clearing finds the entry, or the second look finds the clearing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Protocol

from agent_memory.connections.circuit_breaker import CircuitBreaker
from agent_memory.errors import (
    CommandRefused,
    EncodingError,
    MemoryStoreError,
    StoreReplaced,
    StoreUnavailable,
    WritesRefused,
)
from agent_memory.repositories.clearing import clearing_marks
from agent_memory.repositories.contract import LongTermMemory, MemoryRepository
from agent_memory.repositories.forgettings import Forgetting, RollBack
from agent_memory.repositories.outcomes import Added
from agent_memory.tiers.spool import Spool
from agent_memory.tiers.waiting import Waiting, decoded, is_older
from agent_memory.tiers.waiting_changes import change_in_tiers, forget_changes
from agent_memory.values.entry import EntryKey, MemoryEntry

SLICE = 200
"""How many entries one call stores of what waits."""

_logger = logging.getLogger("agent_memory")


class Left(Enum):
    """What is left to replay."""

    NOTHING = 0
    MORE = 1
    TO_ANOTHER = 2
    """Another process is at it."""


class Server(Protocol):
    """What the intake needs of the server of short-term memory; see ``RedisChannel``.

    Attributes:
        where: What to call it.
        breaker: Whether it is away, for all who ask it.
        is_started_here: Whether it is started when it is asked, and so need not be waited for.
    """

    where: str
    breaker: CircuitBreaker

    @property
    def is_started_here(self) -> bool: ...  # noqa: D102  # see above

    def look(self, *, at_once: bool = False) -> None:
        """See in a short time whether it answers; raises ``StoreUnavailable`` if not."""


class NewEntryStore(Protocol):
    """Stores new entries in short-term memory."""

    def add(self, entry: MemoryEntry) -> Added:
        """Store one."""

    def add_many(self, entries: Sequence[MemoryEntry]) -> list[Added]:
        """Store several, in their order."""


class Replay:
    """Stores what waits in a spool, oldest first. Threads may share it.

    Args:
        tiers: Short-term, intermediate and long-term memory.
        store: The way into short-term memory.
    """

    def __init__(
        self,
        tiers: tuple[MemoryRepository, MemoryRepository, LongTermMemory],
        store: NewEntryStore,
    ) -> None:
        self._tiers = tiers
        self._store = store
        self._stm, _, self._ltm = tiers
        # What was read last and not stored, as while a server takes no writes.
        self._read: dict[int, tuple[Waiting, MemoryEntry]] = {}

    def slice(self, spool: Spool) -> Left:
        """Store the first of what waits.

        Args:
            spool: Where it waits.

        Raises:
            StoreUnavailable: The server, long-term memory or the spool does not answer.
        """
        if not spool.exists:
            # Nothing was spooled, as when the disk was full: the store that comes is the look.
            return Left.NOTHING
        with spool.replaying() as mine:
            if not mine:
                return Left.TO_ANOTHER
            batch = spool.waiting(SLICE)
            readable = self._readable(spool, batch)
            fresh, there = self._split(readable)
            self._carry_changes(spool, there)
            forget_changes(spool, fresh)
            refused = self._add(spool, fresh)
            spool.done(readable.keys() - refused)
            self._read = {}
        return Left.MORE if len(batch) == SLICE else Left.NOTHING

    def due(
        self, batch: Mapping[int, tuple[Waiting, MemoryEntry]]
    ) -> dict[int, tuple[Waiting, MemoryEntry]]:
        """Those of some entries that wait which are to be stored, by their places in the queue.

        The others were forgotten, or a tier has them already.

        Raises:
            StoreUnavailable: A tier does not answer.
        """
        fresh, _ = self._split(batch)
        return fresh

    def changeable(
        self, spool: Spool, batch: Mapping[int, tuple[Waiting, MemoryEntry]]
    ) -> dict[int, tuple[Waiting, MemoryEntry]]:
        """Those of some entries that are to be changed where they wait.

        These are the ones that no tier has; while a tier does not answer, all that were not
        forgotten. What was changed before of the others is made in their tiers, so that a change
        there comes on top of it. Nobody may replay meanwhile.

        Raises:
            StoreUnavailable: Long-term memory does not answer, or a tier takes no writes.
        """
        try:
            fresh, there = self._split(batch)
        except StoreUnavailable:
            return self._without(batch, self._stale(batch))
        self._carry_changes(spool, there)
        return fresh

    def _split(
        self, batch: Mapping[int, tuple[Waiting, MemoryEntry]]
    ) -> tuple[dict[int, tuple[Waiting, MemoryEntry]], dict[int, tuple[Waiting, MemoryEntry]]]:
        """Those of some that no tier has, and the others; without those that were forgotten."""
        remembered = self._without(batch, self._stale(batch))
        present = self._present(remembered)
        fresh = self._without(remembered, present)
        return fresh, self._without(remembered, {*fresh})

    def _carry_changes(
        self, spool: Spool, there: Mapping[int, tuple[Waiting, MemoryEntry]]
    ) -> None:
        change_in_tiers(self._tiers, there)
        forget_changes(spool, there)

    def _readable(
        self, spool: Spool, batch: Sequence[Waiting]
    ) -> dict[int, tuple[Waiting, MemoryEntry]]:
        known, readable = self._read, {}
        for waiting in batch:
            found = known.get(waiting.number)
            try:
                # Numbers begin again where the file was replaced.
                if found is None or found[0] != waiting:
                    found = waiting, decoded(waiting)
                readable[waiting.number] = found
            except EncodingError as error:
                self._refuse(spool, waiting.number, error)
        self._read = readable
        return readable

    @staticmethod
    def _without(
        batch: Mapping[int, tuple[Waiting, MemoryEntry]], numbers: set[int]
    ) -> dict[int, tuple[Waiting, MemoryEntry]]:
        return {number: found for number, found in batch.items() if number not in numbers}

    def _add(self, spool: Spool, fresh: Mapping[int, tuple[Waiting, MemoryEntry]]) -> set[int]:
        """Store entries; returns the numbers of those that the server will not take."""
        if not fresh:
            return set()
        try:
            outcome = self._store.add_many([entry for _, entry in fresh.values()])
        except MemoryStoreError as error:
            if is_outage(error):
                raise
            if len(fresh) == 1:
                self._refuse(spool, next(iter(fresh)), error)
                return set(fresh)
            alone = [self._add(spool, {number: found}) for number, found in fresh.items()]
            return set().union(*alone)
        stored = {
            number: found
            for (number, found), added in zip(fresh.items(), outcome, strict=True)
            if added is Added.STORED
        }
        stale = self._stale(stored)
        self._stm.remove_many([stored[number][1].key for number in sorted(stale)])
        return set()

    def _present(self, batch: Mapping[int, tuple[Waiting, MemoryEntry]]) -> set[int]:
        """Those that a tier has; asked from the top down, so that none on its way is missed."""
        keys = list(dict.fromkeys(entry.key for _, entry in batch.values()))
        there = {entry.key for tier in self._tiers for entry in tier.get_many(keys)}
        return {number for number, (_, entry) in batch.items() if entry.key in there}

    def _stale(self, batch: Mapping[int, tuple[Waiting, MemoryEntry]]) -> set[int]:
        """Those that were forgotten, cleared or rolled back after they were spooled."""
        keys = {entry.key for _, entry in batch.values()}
        if not keys:
            return set()
        marks = {mark for key in keys for mark in _marks(key)}
        forgotten = self._ltm.forgettings([*keys, *marks])
        rolled_back = self._ltm.roll_backs({key.run_id for key in keys})
        return {
            number
            for number, (waiting, entry) in batch.items()
            if _is_forgotten(entry.key, waiting, forgotten)
            or _is_cleared(_marks(entry.key), waiting, forgotten)
            or _is_rolled_back(entry, waiting, rolled_back.get(entry.run_id, ()))
        }

    def _refuse(self, spool: Spool, number: int, error: MemoryStoreError) -> None:
        # Its traceback would add nothing to its message.
        _logger.error("an entry that waited stays in %s: %s", spool.file, error)
        spool.refuse(number, str(error))


def is_outage(error: MemoryStoreError) -> bool:
    """Whether every entry would meet this error, and not this one alone."""
    if isinstance(error, CommandRefused):
        return isinstance(error, WritesRefused)
    # What lost its folder has lost the spool in it too.
    return isinstance(error, StoreUnavailable) and not isinstance(error, StoreReplaced)


def _marks(key: EntryKey) -> list[EntryKey]:
    return [*clearing_marks(key.run_id), *clearing_marks(key.run_id, [key.agent_id])]


def _is_forgotten(
    key: EntryKey, waiting: Waiting, forgotten: Mapping[EntryKey, Forgetting]
) -> bool:
    found = forgotten.get(key)
    if found is None:
        return False
    return found.released_at is None or is_older(
        waiting.spooled_at, waiting.last, found.moment, found.released_at
    )


def _is_cleared(
    marks: Iterable[EntryKey], waiting: Waiting, forgotten: Mapping[EntryKey, Forgetting]
) -> bool:
    # A mark that was never released is that of a clearing which was killed before it began.
    return any(
        found.released_at is not None
        and is_older(waiting.spooled_at, waiting.last, found.moment, found.released_at)
        for found in (forgotten[mark] for mark in marks if mark in forgotten)
    )


def _is_rolled_back(entry: MemoryEntry, waiting: Waiting, roll_backs: Iterable[RollBack]) -> bool:
    return any(
        one.step < entry.step_number
        and is_older(waiting.spooled_at, waiting.last, one.moment, one.at)
        for one in roll_backs
    )
