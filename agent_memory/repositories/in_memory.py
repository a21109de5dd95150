"""The reference repository: a dict behind a lock. The other engines are held against it.

It serves unit tests too. What it holds ends with the process, and processes do not share it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from agent_memory.errors import EntryConflict, EntryNotFound, InvalidEntry
from agent_memory.repositories.access import note_read
from agent_memory.repositories.contract import LongTermMemory
from agent_memory.repositories.counts import AgentCounts, Ahead, still_ahead
from agent_memory.repositories.encodings import Encodings
from agent_memory.repositories.forgettings import (
    Forgetting,
    Leases,
    RollBack,
    marks_of,
    next_moment,
    refusal,
    strictest,
    with_roll_back,
)
from agent_memory.repositories.importances import ReadImportances
from agent_memory.repositories.moves import Agent
from agent_memory.repositories.nearest import same_vector
from agent_memory.repositories.outcomes import Added, Arrival, Gone
from agent_memory.repositories.querying import answering
from agent_memory.repositories.reading import EntryReader
from agent_memory.repositories.snapshots import Snapshot
from agent_memory.repositories.upkeep import TierUpkeep
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.forking import after_fork
from agent_memory.values.ordering import DESCENDING, SORT_KEYS
from agent_memory.values.query import Query, checked_query


class InMemoryRepository(LongTermMemory):
    """Entries of one tier in this process's memory; keeps every promise of the contract.

    Threads may share it. A forked process goes on with a copy.

    Args:
        tier: Which tier it stands for.
        ticks: Gives seconds that never go backwards.
    """

    def __init__(self, tier: Tier = Tier.LTM, ticks: Callable[[], float] = time.monotonic) -> None:
        self.tier = tier
        self._ticks = ticks
        self._until: dict[float, float] = {}
        self._shelf = _Shelf()
        self._forgotten: dict[EntryKey, Forgetting] = {}
        self._moment = 0.0
        self._roll_backs: dict[str, list[RollBack]] = {}
        self._counted: dict[str, list[EntryKey]] = {}  # what was absent, by the name of the count
        self.encodings = _InMemoryEncodings(self, self._shelf)
        self.upkeep = _InMemoryUpkeep(self, self._shelf)
        self.importance = ReadImportances(self)

    def __repr__(self) -> str:
        return f"InMemoryRepository({self.tier.name}, {len(self._shelf.entries)} entries)"

    # -- writing ------------------------------------------------------------------------------

    def add_many(self, entries: Sequence[MemoryEntry]) -> list[Added]:
        """Store entries; see the contract."""
        return self.take_over(entries, math.inf)

    def take_over(self, entries: Sequence[MemoryEntry], moment: float) -> list[Added]:
        """Store entries that were read from the tier above; see the contract."""
        snapshots = [Snapshot.of(entry) for entry in entries]
        return [self._add(snapshot, moment) for snapshot in snapshots]

    def arrive(self, entries: Sequence[MemoryEntry], after: Sequence[float]) -> list[Arrival]:
        """Store entries, each as the latest of its agent; see the contract."""
        with self._shelf.lock:
            return super().arrive(entries, after)

    def _add(self, new: Snapshot, moment: float) -> Added:
        key = new.fields.key
        with self._shelf.lock:
            marks = [self._forgotten[mark] for mark in marks_of(key) if mark in self._forgotten]
            if refused := [
                reason for one in marks if (reason := refusal(one, moment, self._leases))
            ]:
                return min(refused)
            old = self._shelf.entries.get(key)
            if old is None or _age(new.fields) > _age(old.fields):
                self._shelf.entries[key] = new
            return Added.STORED if old is None else Added.PRESENT

    def replace(self, entry: MemoryEntry) -> MemoryEntry:
        """Store a changed entry in place of the one whose revision it carries."""
        new = Snapshot.of(entry)
        with self._shelf.lock:
            old = self._shelf.entries.get(entry.key)
            if old is None:
                raise EntryNotFound(f"no entry {entry.key} in {self.tier.name}")
            if old.fields.revision != entry.revision:
                raise _conflict(old.fields, entry.revision)
            # Retrievals do not change the revision: those counted since the caller read it stay.
            new = new.changed(
                revision=entry.revision + 1,
                retrieval_count=old.fields.retrieval_count,
                last_access_time=old.fields.last_access_time,
            )
            self._shelf.entries[entry.key] = new
        return new.entry()

    def touch(
        self, counts: Mapping[EntryKey, int], at: float, token: str | None = None
    ) -> list[EntryKey]:
        """Count retrievals; returns the keys that are not stored here."""
        if not math.isfinite(at):
            raise InvalidEntry(f"at: {at} is not a finite number")
        if token is None:
            return self._touch_all(counts, at)
        with self._shelf.lock:
            if token not in self._counted:
                self._counted[token] = self._touch_all(counts, at)
            return list(self._counted[token])

    def touched(self, token: str) -> None:
        """Note that the count of a name is not made again."""
        self._counted.pop(token, None)

    def _touch_all(self, counts: Mapping[EntryKey, int], at: float) -> list[EntryKey]:
        return [key for key, count in counts.items() if not self._touch(key, count, at)]

    def _touch(self, key: EntryKey, count: int, at: float) -> bool:
        with self._shelf.lock:
            old = self._shelf.entries.get(key)
            if old is not None:
                self._shelf.entries[key] = old.changed(
                    retrieval_count=old.fields.retrieval_count + count,
                    last_access_time=max(old.fields.last_access_time, at),
                )
            return old is not None

    def remove(self, key: EntryKey, *, revision: int | None = None) -> bool:
        """Remove an entry, if its stored revision is the given one."""
        with self._shelf.lock:
            old = self._shelf.entries.get(key)
            if old is not None and revision not in (None, old.fields.revision):
                raise _conflict(old.fields, revision)
            return self._shelf.take(key)

    def remove_many(self, keys: Iterable[EntryKey]) -> int:
        """Remove entries, whatever their revision; returns how many were there."""
        return sum(self.remove(key) for key in keys)

    def remove_copied(self, entries: Sequence[MemoryEntry]) -> list[Gone]:
        """Remove entries that have been copied elsewhere, unless they changed since."""
        return [self._remove_copied(entry) for entry in entries]

    def _remove_copied(self, entry: MemoryEntry) -> Gone:
        with self._shelf.lock:
            old = self._shelf.entries.get(entry.key)
            if old is not None and _age(old.fields) != _age(entry):
                return Gone.CHANGED
            return Gone.REMOVED if self._shelf.take(entry.key) else Gone.ABSENT

    def clear_agents(self, run_id: str, agents: Iterable[str]) -> int:
        """Remove all entries of some agents of a run; returns how many there were."""
        doomed = {(run_id, agent_id) for agent_id in agents}
        return self.remove_many([key for key in self._keys() if key[:2] in doomed])

    def forget(self, keys: Iterable[EntryKey], at: float, released_at: float | None = None) -> int:
        """Remove entries and refuse their keys from now on; returns how many were there."""
        with self._shelf.lock:
            mark = Forgetting(self._next_moment(at), released_at)
            if released_at is not None and released_at > at:
                self._until = self._leases.with_one(mark.moment, released_at - at)
            forgotten = dict.fromkeys(keys, mark)
            self._forgotten.update(forgotten)
            return self._remove_marked(forgotten)

    def release(self, keys: Iterable[EntryKey], at: float) -> int:
        """Let forgotten keys be stored again, except by copies that were read before."""
        with self._shelf.lock:
            held, leases = self._forgotten, self._leases
            there = [key for key in keys if key in held]
            passed = {key for key in there if leases.has_run_out(held[key].moment)}
            held.update(dict.fromkeys(there, Forgetting(self._next_moment(at), at)))
            return self._remove_marked(passed)

    def _remove_marked(self, marked: Collection[EntryKey]) -> int:
        return self.remove_many(
            [key for key in self._keys() if any(mark in marked for mark in marks_of(key))]
        )

    @property
    def _leases(self) -> Leases:
        return Leases(self._until, self._ticks())

    def forgettings(self, keys: Iterable[EntryKey]) -> dict[EntryKey, Forgetting]:
        """Those of the keys that were forgotten, with the moments of their forgetting."""
        with self._shelf.lock:
            found = {
                key: [self._forgotten[mark] for mark in marks_of(key) if mark in self._forgotten]
                for key in keys
            }
        return {key: strictest(marks) for key, marks in found.items() if marks}

    def moment(self) -> float:
        """The last moment of forgetting."""
        return self._moment

    def roll_back(self, run_id: str, step: int, at: float) -> None:
        """Note that what a run has stored of the steps after one is forgotten."""
        with self._shelf.lock:
            new = RollBack(step, self._next_moment(at), at)
            held = self._roll_backs.get(run_id, [])
            self._roll_backs[run_id] = with_roll_back(held, new)

    def roll_backs(self, runs: Iterable[str]) -> dict[str, list[RollBack]]:
        """The roll-backs of some runs; those that were never rolled back are left out."""
        with self._shelf.lock:
            return {run: [*self._roll_backs[run]] for run in runs if run in self._roll_backs}

    def _next_moment(self, at: float) -> float:
        self._moment = next_moment(self._moment, at)
        return self._moment

    # -- reading ------------------------------------------------------------------------------

    def get_many(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are stored here, in the order of the keys."""
        with self._shelf.lock:
            found = [self._shelf.entries[key] for key in keys if key in self._shelf.entries]
        return [snapshot.entry() for snapshot in found]

    def find(self, query: Query) -> list[MemoryEntry]:
        """Return the entries that answer a query, in its order."""
        runs, agents = checked_query(query).runs, query.agents
        with self._shelf.lock:
            found = [
                stored
                for key, stored in self._shelf.entries.items()
                if (agents is None or key.agent_id in agents)
                and (runs is None or key.run_id in runs)
                and query.admits(stored.fields)
            ]
        sort_key = SORT_KEYS[query.sorting]
        found.sort(
            key=lambda snapshot: sort_key(snapshot.fields), reverse=query.sorting in DESCENDING
        )
        return answering(map(_read, found), query)

    def count(self, run_id: str, agent_id: str | None = None) -> int:
        """How many entries an agent has in a run; None for all agents together."""
        return sum(
            key.run_id == run_id and agent_id in (None, key.agent_id) for key in self._keys()
        )

    def agents(self, run_id: str) -> list[str]:
        """The agents that have entries in a run, sorted."""
        return sorted({key.agent_id for key in self._keys() if key.run_id == run_id})

    def runs(self) -> list[str]:
        """The runs that have entries, sorted."""
        return sorted({key.run_id for key in self._keys()})

    def _keys(self) -> list[EntryKey]:
        with self._shelf.lock:
            return list(self._shelf.entries)


class _Shelf:
    """What a repository holds, shared by its parts under one lock."""

    def __init__(self) -> None:
        self.entries: dict[EntryKey, Snapshot] = {}
        self.ahead: dict[tuple[str, str], Ahead] = {}
        self.lock = threading.RLock()
        # A lock that another thread holds during a fork would stay locked in the child.
        after_fork(self._unlock)

    def take(self, key: EntryKey) -> bool:
        """Take an entry away; says whether it was there."""
        there = self.entries.pop(key, None) is not None
        agent = key[:2]
        if agent in self.ahead and not any(other[:2] == agent for other in self.entries):
            del self.ahead[agent]
        return there

    def _unlock(self) -> None:
        self.lock = threading.RLock()


class _InMemoryEncodings(Encodings):
    """Vectors and codes of what a shelf holds."""

    def __init__(self, reader: EntryReader, shelf: _Shelf) -> None:
        super().__init__(reader)
        self._shelf = shelf

    def reembed(
        self, entries: Sequence[MemoryEntry], read: Sequence[MemoryEntry] | None = None
    ) -> list[bool]:
        """Store entries' vectors and encoder versions in place of those they had."""
        before = [None] * len(entries) if read is None else read
        return [self._reembed(*pair) for pair in zip(entries, before, strict=True)]

    def _reembed(self, entry: MemoryEntry, read: MemoryEntry | None) -> bool:
        vector = None if entry.embedding is None else entry.embedding.copy()
        with self._shelf.lock:
            old = self._shelf.entries.get(entry.key)
            if old is None or old.fields.revision != entry.revision:
                return False
            if read is not None and not same_vector(old.fields, read):
                return False
            self._shelf.entries[entry.key] = old.changed(
                embedding=vector, encoder_version=entry.encoder_version
            )
            return True


class _InMemoryUpkeep(TierUpkeep):
    """What upkeep asks of a shelf."""

    def __init__(self, reader: EntryReader, shelf: _Shelf) -> None:
        super().__init__(reader)
        self._shelf = shelf

    def counts_of(
        self, agents: Iterable[Agent] | None = None, horizon: float | None = None
    ) -> dict[Agent, AgentCounts]:
        """What each of some agents has here; those that have nothing are left out."""
        with self._shelf.lock:
            found = super().counts_of(agents)
            if horizon is None:
                return found
            return {
                agent: counts._replace(ahead=self._note_ahead(agent, horizon))
                for agent, counts in found.items()
            }

    def _note_ahead(self, agent: Agent, horizon: float) -> Ahead | None:
        timestamps = [
            stored.fields.timestamp
            for key, stored in self._shelf.entries.items()
            if key[:2] == agent
        ]
        noted = still_ahead(self._shelf.ahead.pop(agent, None), timestamps, horizon)
        if noted is not None:
            self._shelf.ahead[agent] = noted
        return noted

    def stored_bytes(self) -> int:
        """How many bytes contents and vectors take; what Python adds to them is not counted."""
        with self._shelf.lock:
            stored = list(self._shelf.entries.values())
        vectors = [snapshot.fields.embedding for snapshot in stored]
        return sum(len(snapshot.packed) for snapshot in stored) + sum(
            vector.nbytes for vector in vectors if vector is not None
        )


def _read(snapshot: Snapshot) -> MemoryEntry:
    note_read(1)
    return snapshot.entry()


def _age(entry: MemoryEntry) -> tuple[int, int]:
    return entry.revision, entry.retrieval_count


def _conflict(stored: MemoryEntry, revision: int | None) -> EntryConflict:
    return EntryConflict(
        f"entry {stored.memory_id} of agent {stored.agent_id!r} has revision {stored.revision}, "
        f"not {revision}: read it again and redo the change"
    )
