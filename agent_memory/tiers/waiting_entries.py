"""What waits in the spool as questions see it: the entries that the next replay would store.

An agent's entries are decoded once and kept as long as they wait. Whether anything has changed in
the spool's file is one look, which also finds what another process has put there.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from agent_memory.errors import EncodingError
from agent_memory.repositories.contract import LongTermMemory, MemoryRepository
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.repositories.outcomes import arrival_time, at_time
from agent_memory.tiers.replaying import Replay
from agent_memory.tiers.spool import Spool
from agent_memory.tiers.spool_file import Version
from agent_memory.tiers.waiting import Waiting, changed_fields, decoded
from agent_memory.tiers.waiting_changes import rows_of
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.forking import after_fork
from agent_memory.values.query import Order, Query

_AGENTS = 64  # whose entries are kept decoded
_NONE = -1.0  # before every step

Tiers = tuple[MemoryRepository, MemoryRepository, LongTermMemory]


class WaitingEntries:
    """The entries that wait in a spool. Threads may share it, and both sides of a fork.

    Args:
        spool: Where they wait.
        replay: Says which of them are still to be stored.
        tiers: Short-term, intermediate and long-term memory.
        by_steps: Whether timestamps are steps, which are settled when entries are stored.

    Attributes:
        before: Called before the spool is looked at, as what is gathered to be stored together may
            come to wait there.
    """

    before: Callable[[], object]

    def __init__(self, spool: Spool, replay: Replay, tiers: Tiers, *, by_steps: bool) -> None:
        self._spool = spool
        self._replay = replay
        self._tiers = tiers
        self._by_steps = by_steps
        self._empty_at: Version | None = None
        self._changes = 0  # of entries that wait, up to which they are kept decoded
        self.before = lambda: None
        self._renew()
        after_fork(self._renew)

    def of(self, run_id: str, agent_id: str) -> AgentWaiting | None:
        """What waits of an agent of a run; None where nothing does.

        Raises:
            StoreUnavailable: The spool, or a tier, cannot be read.
        """
        if self._is_empty():
            return None
        with self._lock:
            numbers = self._spool.numbers(run_id, agent_id)
            if not numbers:
                self._agents.pop((run_id, agent_id), None)
                return None
            agent = self._agents.get((run_id, agent_id))
            if agent is None:
                agent = self._agents[run_id, agent_id] = AgentWaiting(self._replay)
            self._agents.move_to_end((run_id, agent_id))
            while len(self._agents) > _AGENTS:
                self._agents.popitem(last=False)
            newest = self._newest(run_id, agent_id) if self._by_steps else None
            agent.refresh(self._spool, numbers, newest)
            return agent

    def owners(self) -> list[tuple[str, str]]:
        """The runs and agents of which something waits, sorted.

        Raises:
            StoreUnavailable: The spool cannot be read.
        """
        return [] if self._is_empty() else sorted(self._spool.owners())

    def entries_of(self, keys: Iterable[EntryKey]) -> list[MemoryEntry]:
        """Those of some entries that wait, as they will be stored.

        Raises:
            StoreUnavailable: The spool, or a tier, cannot be read.
        """
        wanted = [*keys]
        agents = [self.of(*owner) for owner in {key[:2] for key in wanted}]
        return [it for one in agents if one is not None for it in one.entries.get_many(wanted)]

    def rows_of(self, keys: Iterable[EntryKey]) -> list[tuple[Waiting, MemoryEntry]]:
        """Those of some entries that wait, as they wait, in their order.

        Raises:
            StoreUnavailable: The spool cannot be read.
        """
        return [] if self._is_empty() else rows_of(self._spool, keys)

    def is_changed(self, key: EntryKey) -> bool:
        """Whether an entry waits and was changed since; raises as ``rows_of`` does."""
        return any(changed_fields(row) for row, _ in self.rows_of([key]))

    def _is_empty(self) -> bool:
        self.before()
        version = self._spool.version()
        if version is None or version == self._empty_at:
            return True
        if version.changes != self._changes:
            with self._lock:
                self._agents.clear()
                self._changes = version.changes
        if not self._spool.is_empty():
            return False
        # As of the version that was read before: what came meanwhile made another.
        self._empty_at = version
        with self._lock:
            self._agents.clear()
        return True

    def _newest(self, run_id: str, agent_id: str) -> Newest:
        """The latest of an agent's entries in short-term memory, and the latest time below."""
        query = Query(run_id=run_id, agent_id=agent_id, order=Order.NEWEST, limit=1)
        stm, *below = self._tiers
        latest = [(entry.timestamp, entry.step_number) for entry in stm.find(query)]
        times = [entry.timestamp for tier in below for entry in tier.find(query)]
        return (latest[0] if latest else None), max(times, default=_NONE)

    def _renew(self) -> None:
        # In a forked child too: another thread may have been in the middle of a change.
        self._lock = threading.RLock()
        self._agents: OrderedDict[tuple[str, str], AgentWaiting] = OrderedDict()


Newest = tuple[tuple[float, int] | None, float]


class AgentWaiting:
    """What waits of one agent of a run.

    Args:
        replay: Says which of them are still to be stored.

    Attributes:
        entries: All that waits and can be read, as a tier.
    """

    entries: InMemoryRepository

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._begin(None)

    def refresh(self, spool: Spool, numbers: Sequence[int], newest: Newest | None) -> None:
        """Bring it up to date.

        Args:
            spool: Where entries wait.
            numbers: The places of this agent's.
            newest: What the tiers have; None: timestamps stay as they are.
        """
        there = set(numbers)
        if newest != self._newest or not there >= self._numbers:
            # Some are gone, or timestamps follow from others. Else entries only come.
            self._begin(newest)
        for waiting in spool.read(there - self._numbers):
            self._take(waiting)

    def due(self, entries: Iterable[MemoryEntry]) -> list[MemoryEntry]:
        """Those of some of these entries that are still to be stored, in their order.

        Raises:
            StoreUnavailable: A tier does not answer.
        """
        waiting = self._waiting
        asked = {
            waiting[entry.key].number: (waiting[entry.key], entry)
            for entry in entries
            if entry.key in waiting
        }
        return [entry for _, entry in self._replay.due(asked).values()] if asked else []

    def _begin(self, newest: Newest | None) -> None:
        self.entries = InMemoryRepository(Tier.STM)
        self._waiting: dict[EntryKey, Waiting] = {}
        self._numbers: set[int] = set()
        self._newest = newest
        self._latest = None if newest is None else newest[0]

    def _take(self, waiting: Waiting) -> None:
        self._numbers.add(waiting.number)
        try:
            entry = decoded(waiting)
        except EncodingError:
            # It is logged and refused when it is its turn to be stored.
            return
        if self._newest is not None:
            at = arrival_time(entry, self._newest[1], self._latest)
            self._latest = at, entry.step_number
            entry = at_time(entry, at)
        self.entries.add(entry)
        # Of several with one key the last one counts: it may have come after a forgetting.
        self._waiting[entry.key] = waiting._replace(coded=b"")
