"""The way into short-term memory, which stays open while short-term memory is away.

While the server answers an entry goes straight there, and nothing else is done. Once a store has
failed, entries go to the spool (``spool``) at once, and from time to time a store first looks
whether the server is back; one that this package starts itself is started. When it is back, what
waits is stored, oldest first, a slice with each call, and only then do new entries go straight
there again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from agent_memory.connections.circuit_breaker import CircuitBreaker, Pause
from agent_memory.errors import (
    ConfigError,
    EncodingError,
    MemoryStoreError,
    StoreUnavailable,
)
from agent_memory.repositories.contract import LongTermMemory, MemoryRepository
from agent_memory.tiers.adoption import AdoptedSpool, adopt
from agent_memory.tiers.arriving import Arrivals
from agent_memory.tiers.last_moments import LastMoments
from agent_memory.tiers.replaying import Left, NewEntryStore, Replay, Server, is_outage
from agent_memory.tiers.spool import Spool
from agent_memory.tiers.waiting import decoded
from agent_memory.tiers.waiting_changes import Change, change_waiting, rows_of
from agent_memory.tiers.waiting_entries import WaitingEntries
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.forking import after_fork
from agent_memory.values.status import SpoolStatus, StoreStatus

LOOK_EVERY = 5.0
"""How long a server that is away is left alone before it is looked at again, in seconds."""
LONGEST_PAUSE = 60.0
"""The same at most, for one that keeps whoever looks waiting, in seconds."""

_logger = logging.getLogger("agent_memory")


class Intake:
    """Stores entries in short-term memory, or keeps them on disk for it.

    Threads may share it, and both sides of a fork.

    Args:
        tiers: Short-term, intermediate and long-term memory.
        server: That of short-term memory.
        spool: Where entries wait; None: a store that fails is failed.
        clock: Gives the time in seconds since 1970.
        ticks: Gives seconds that never go backwards.
        by_steps: Whether timestamps are steps.

    Attributes:
        arrivals: Stores entries whose timestamps are steps.
        waiting: What waits, as questions see it; None: there is no spool.
        pause: Between two looks whether the server is back.
    """

    def __init__(
        self,
        tiers: tuple[MemoryRepository, MemoryRepository, LongTermMemory],
        server: Server,
        spool: Spool | None,
        *,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
        by_steps: bool = False,
    ) -> None:
        self.arrivals = Arrivals(tiers)
        self._stm: NewEntryStore = self.arrivals if by_steps else tiers[0]
        self._add_new = None if by_steps else tiers[0].add_new
        self._replay = Replay(tiers, self._stm)
        self._server = server
        self._spool = spool
        # As questions see it.
        self.waiting = (
            None if spool is None else WaitingEntries(spool, self._replay, tiers, by_steps=by_steps)
        )
        self._clock = clock
        self._moments = LastMoments(tiers[2], ticks)
        # Between two looks of stores, whatever the last one failed of.
        self.pause = Pause(0.0 if server.is_started_here else LOOK_EVERY, LONGEST_PAUSE, ticks)
        # Whether entries go to the spool: something waits there, or the server took nothing.
        self._is_spooling = False
        self._is_looking = False
        self._unlock()
        after_fork(self._unlock)

    @property
    def breaker(self) -> CircuitBreaker:
        """Whether the server is away, for all who ask it."""
        return self._server.breaker

    def store(self, entry: MemoryEntry) -> bool:
        """Store an entry, or spool it.

        Returns:
            True: it is acknowledged, in short-term memory or on this machine's disk.

        Raises:
            InvalidEntry: It cannot be stored.
            StoreUnavailable: The server is away, and so is the spool, or it is full.
        """
        self._store(lambda: self._stm.add(entry), [entry])
        return True

    def store_many(
        self,
        entries: Sequence[MemoryEntry],
        *,
        are_new: bool = False,
        packed: Sequence[bytes] | None = None,
    ) -> None:
        """Store entries together, or spool them in one transaction; all are acknowledged.

        Args:
            entries: The entries.
            are_new: Whether their ids are random and were made for this call.
            packed: What ``contents.pack`` made of the contents of each, where they are new and
                that is done already.

        Raises:
            InvalidEntry: One of them cannot be stored; none is.
            StoreUnavailable: The server is away, and so is the spool, or it is full; any part of
                them may be stored.
        """
        again = partial(self._stm.add_many, entries)
        add_new = self._add_new if are_new else None
        self._store(partial(add_new, entries, packed) if add_new else again, entries, again)

    def _store(
        self,
        add: Callable[[], object],
        entries: Sequence[MemoryEntry],
        again: Callable[[], object] | None = None,
    ) -> None:
        """Store entries; ``again`` does so where a part of them may be stored by now."""
        if self._spool is None:
            self._store_or_fail(add)
            return
        if not self._is_spooling or self._has_returned():
            begun = self.pause.ticks()
            try:
                add()
            except StoreUnavailable as error:
                if not is_outage(error):
                    raise
                self._note_outage(error)
                self._leave(error, self.pause.ticks() - begun)
            else:
                return
        self._keep(self._spool, again or add, entries)

    def _store_or_fail(self, add: Callable[[], object]) -> None:
        try:
            add()
        except StoreUnavailable as error:
            if is_outage(error):
                self._note_outage(error)
            raise
        self.breaker.returned()

    def replay(self) -> None:
        """Store all that waits, whoever spooled it, also what was refused before.

        Nothing is done while another process is at it.

        Raises:
            StoreUnavailable: The server, long-term memory or the spool does not answer; all that
                is not stored still waits.
        """
        if self._spool is None or not (self._spool.exists or self._is_spooling):
            return
        with self._looking:
            if self._is_spooling:
                self._server.look(at_once=True)
            if self._spool.exists:
                self._spool.retry()
            left = Left.MORE
            while left is Left.MORE:
                left = self._replay.slice(self._spool)
            if left is Left.NOTHING:
                self._settled()

    def adopt(self, file: Path) -> AdoptedSpool:
        """Take over what waits in the spool of a machine that is gone, and store it.

        Raises:
            ConfigError: There is no spool here, or the file is it.
            StoreUnavailable: The file cannot be used; or the server takes nothing, and what was
                taken over waits here.
        """
        if self._spool is None:
            raise ConfigError("spool_max_bytes: this memory has no spool to take entries over in")
        adopted = adopt(self._spool, file)
        self.replay()
        return adopted

    def spooled(self) -> Iterator[tuple[int, MemoryEntry]]:
        """What waits and can be read, each with its number.

        Raises:
            StoreUnavailable: The spool cannot be read.
        """
        if self._spool is None or not self._spool.exists:
            return
        for waiting in self._spool.all_waiting():
            try:
                yield waiting.number, decoded(waiting)
            except EncodingError:
                # It is reported and refused when it is its turn to be stored.
                continue

    def drop(self, numbers: Iterable[int]) -> None:
        """Take what was forgotten out of the spool.

        Raises:
            StoreUnavailable: The spool cannot be written.
        """
        dropped = list(numbers)
        if self._spool is not None and dropped:
            self._spool.done(dropped)

    def remove_waiting(self, run_id: str, agent_id: str, memory_id: str | None = None) -> int:
        """Take what waits of an agent out of the spool, as from short-term memory itself.

        Args:
            run_id: The run.
            agent_id: The agent.
            memory_id: Only this entry.

        Returns:
            How many rows there were.

        Raises:
            StoreUnavailable: The spool cannot be written, or another process replays it for long.
        """
        if self._spool is None or self.waiting is None:
            return 0
        if self.waiting.of(run_id, agent_id) is None:
            return 0
        # Between two slices: what a replay has read would be stored all the same.
        with self._looking, self._spool.held_still():
            doomed = self._spool.numbers(run_id, agent_id)
            if memory_id is not None:
                held = rows_of(self._spool, [EntryKey(run_id, agent_id, memory_id)])
                doomed = [row.number for row, _ in held]
            self._spool.done(doomed)
        return len(doomed)

    def change_waiting(self, wanted: Mapping[EntryKey, Change]) -> dict[EntryKey, MemoryEntry]:
        """Change entries where they wait; see ``waiting_changes.change_waiting``.

        Args:
            wanted: What to make of each; those that do not wait are left out.

        Returns:
            Those that wait, as they will be stored, as far as that is known.

        Raises:
            StoreUnavailable: The spool cannot be written, or another process replays it for long.
        """
        if self._spool is None or self.waiting is None or not self.waiting.rows_of(wanted):
            return {}
        with self._looking, self._spool.held_still():
            due = partial(self._replay.changeable, self._spool)
            changed = change_waiting(self._spool, wanted, due)
        with suppress(StoreUnavailable):
            changed |= {it.key: it for it in self.waiting.entries_of(changed)}
        return changed

    def carry_change(self, key: EntryKey) -> None:
        """Make in its tier what was changed of an entry while it waited, if a tier has it by now.

        Else a replay would, on top of what comes next. Raises as ``change_waiting`` does.
        """
        if self.waiting is not None and self.waiting.is_changed(key):
            self.change_waiting({key: lambda _: None})

    def rewrite_spool(self) -> dict[str, str | None]:
        """Rewrite the spool's file without what was taken out of it.

        Returns:
            Its name, where there is one, and why it was not rewritten; None: it was.

        Raises:
            StoreUnavailable: The spool cannot be written.
        """
        if self._spool is None or not self._spool.exists:
            return {}
        problem = self._spool.rewrite_file()
        unreadable = sum(1 for _ in self._spool.all_waiting()) - sum(1 for _ in self.spooled())
        if problem is None and unreadable:
            problem = (
                f"{unreadable} entries that wait in it cannot be read, and may be of what was "
                "forgotten: agent-memory check --repair quarantines them"
            )
        return {str(self._spool.file): problem}

    def status(self) -> tuple[StoreStatus, SpoolStatus | None]:
        """How the server was when it was last asked, and what waits for it.

        Raises:
            StoreUnavailable: The spool cannot be read.
        """
        held = None if self._spool is None else self._spool.status()
        return self.breaker.status(self._server.where), held

    def close(self) -> None:
        """Close the spool's file; what waits there, waits for whoever opens the memory next."""
        if self._spool is None:
            return
        if self._is_spooling:
            _logger.warning(
                "closed while %s is away: entries wait in %s for the next process that opens "
                "this memory",
                self._server.where,
                self._spool.file,
            )
        self._spool.close()

    # -- leaving and returning ----------------------------------------------------------------

    def _note_outage(self, error: MemoryStoreError) -> None:
        if not self.breaker.is_silent:
            self.breaker.refused(error)

    def _leave(self, error: MemoryStoreError, took: float) -> None:
        """Let entries go to the spool."""
        self.pause.begin(took)
        with self._turn:
            begins, self._is_spooling = not self._is_spooling, True
        if begins and self._spool is not None:
            where, file = self._server.where, self._spool.file
            _logger.error("%s is away; entries wait in %s: %s", where, file, error)

    def _keep(
        self, spool: Spool, add: Callable[[], object], entries: Sequence[MemoryEntry]
    ) -> None:
        with self._turn:
            # Another thread may have found the server back, and the spool empty, meanwhile.
            if self._is_spooling:
                spool.put_many(entries, self._clock(), self._moments.last())
                return
        add()

    def _has_returned(self) -> bool:
        """Look whether the server is back and nothing waits any more, if it is time to."""
        spool = self._spool
        if spool is None or not self.pause.is_over or self._is_looking:
            return not self._is_spooling
        # No attempt at a lock, which whoever is interrupted right after it would keep for ever.
        with self._looking:
            if not (self._is_spooling and self.pause.is_over):
                return not self._is_spooling
            try:
                self._is_looking = True
                return self._looked(spool)
            finally:
                self._is_looking = False

    def _looked(self, spool: Spool) -> bool:
        begun = self.pause.ticks()
        try:
            self._server.look()
            return self._replay.slice(spool) is Left.NOTHING and self._settled()
        except MemoryStoreError as error:
            # Whatever it is: what waits is safe where it is.
            self._leave(error, self.pause.ticks() - begun)
            return False

    def _settled(self) -> bool:
        """Let entries go straight to the server, unless one was spooled this very moment."""
        spool = self._spool
        with self._turn:
            if spool is not None and spool.exists and spool.waiting(1):
                return False
            self.breaker.returned()
            self.pause.end()
            if self._is_spooling:
                self._is_spooling = False
                where = self._server.where
                _logger.warning("%s is back, and all that waited for it is stored", where)
        if spool is not None:
            spool.close()
        return True

    def _unlock(self) -> None:
        self._turn = threading.RLock()
        self._looking = threading.RLock()
        self._is_looking = False
