"""Stores new entries whose timestamps are steps, each as the latest of its agent.

Where steps start again, a second process goes on, or a memory comes late, short-term memory
decides on the timestamp in the script that stores (``MemoryRepository.arrive``). What it cannot
know is in the tiers below: how late their latest entries are, where it holds none of an agent's,
and whether the very entry has moved there. That is looked for at once where a run may be run again,
and some time later, for many entries together, where an episode has begun that is new: of most
episodes a few entries are like those of another.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from agent_memory.connections.circuit_breaker import Pause
from agent_memory.errors import StoreUnavailable
from agent_memory.repositories.contract import LongTermMemory, MemoryRepository
from agent_memory.repositories.outcomes import Added, Arrival
from agent_memory.repositories.querying import agents_of
from agent_memory.tiers import moving
from agent_memory.tiers.demotion import Demotion
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.forking import after_fork
from agent_memory.values.query import Order, Query

AT_ONCE = 200
"""How many entries of early steps are looked for below together."""

_NONE = -1.0  # before every step
_LONGEST_PAUSE = 60.0  # seconds for which tiers that are away are not asked

T = TypeVar("T")


@dataclass(slots=True)
class _Trail:
    """What is known of an agent.

    Attributes:
        latest: The latest timestamp of its entries.
        step: The step of the one that was stored last; -1 before the first.
        is_behind: Whether it was at that step, or beyond, before it came there this time.
        repeats: Whether the next entry may be one that a tier below has: so it is from the
            beginning and from where steps go back, until one is met that is new.
    """

    latest: float
    step: int = -1
    is_behind: bool = False
    repeats: bool = True

    @property
    def may_repeat(self) -> bool:
        """Whether a tier may have the next entry."""
        return self.is_behind and self.repeats

    def come_to(self, step: int) -> None:
        """Note the step of the next entry."""
        if step != self.step:
            self.repeats = self.repeats or step < self.step
            self.is_behind = step <= self.latest
            self.step = step


class Arrivals:
    """Stores entries as they come. Threads may share it; it holds a few numbers for each agent.

    Args:
        tiers: Short-term, intermediate and long-term memory.
    """

    def __init__(self, tiers: tuple[MemoryRepository, MemoryRepository, LongTermMemory]) -> None:
        self._stm, *self._below = tiers
        self._tiers = tiers
        self._trails: dict[tuple[str, str], _Trail] = {}
        self._moved: dict[str, set[str]] = {}
        self._latest: dict[str, float] = {}
        self._unsure: list[EntryKey] = []
        # A database that another process keeps locked would cost each caller its busy timeout.
        self._pause = Pause(0.0, _LONGEST_PAUSE)
        self._unlock()
        after_fork(self._unlock)

    def add(self, entry: MemoryEntry) -> Added:
        """Store an entry, unless a tier has it.

        Raises:
            InvalidEntry: It cannot be stored.
            StoreUnavailable: Short-term memory does not answer.
        """
        (added,) = self.add_many([entry])
        return added

    def add_many(self, entries: Sequence[MemoryEntry]) -> list[Added]:
        """Store entries, those of an agent in their order; see ``add``."""
        outcome = [Added.PRESENT] * len(entries)
        for places in _rounds(entries):
            trails = {place: self._come_to(entries[place]) for place in places}
            there = self._there([entries[at].key for at in places if trails[at].may_repeat])
            new = [place for place in places if entries[place].key not in there]
            for place in new:
                trails[place].repeats &= not trails[place].may_repeat
            arrivals = self._stm.arrive(
                [entries[place] for place in new], [trails[place].latest for place in new]
            )
            for place, arrival in zip(new, arrivals, strict=True):
                self._note(entries[place], trails[place], arrival)
                outcome[place] = arrival.added
        return outcome

    def _come_to(self, entry: MemoryEntry) -> _Trail:
        agent = entry.run_id, entry.agent_id
        trail = self._trails.get(agent) or self._trail(*agent)
        trail.come_to(entry.step_number)
        return trail

    def _note(self, entry: MemoryEntry, trail: _Trail, arrival: Arrival) -> None:
        if arrival.added is Added.STORED and trail.is_behind:
            self._note_unsure([entry.key])
        trail.latest = max(trail.latest, arrival.timestamp)
        latest = self._latest.get(entry.run_id, _NONE)
        self._latest[entry.run_id] = max(latest, arrival.timestamp)

    def latest(self, run_id: str) -> float:
        """The latest timestamp of what this process stored in a run; -1 before the first."""
        return self._latest.get(run_id, _NONE)

    def forget(self, run_id: str) -> None:
        """Know nothing of a run any more, as after some of it was forgotten."""
        self._moved.pop(run_id, None)
        self._latest.pop(run_id, None)
        for agent in [agent for agent in self._trails if agent[0] == run_id]:
            self._trails.pop(agent, None)

    @property
    def has_unsure(self) -> bool:
        """Whether so many entries may stand in a tier below too that it is time to look."""
        return len(self._unsure) >= AT_ONCE

    def merge(self, ways: Iterable[Demotion]) -> None:
        """Move entries down that were stored again though a tier below had them.

        Args:
            ways: The ways down from tier to tier.

        Raises:
            StoreUnavailable: A tier does not answer; the same is tried with the next call.
        """
        with self._lock:
            unsure, self._unsure = self._unsure, []
        try:
            for way in ways:
                self._merge(way, unsure)
        except StoreUnavailable:
            self._note_unsure(unsure)
            raise

    def _merge(self, way: Demotion, unsure: Sequence[EntryKey]) -> None:
        for keys in moving.batches(unsure, AT_ONCE):
            twins = [entry.key for entry in way.destination.upkeep.get_readable(keys)]
            # By now they may have moved down a tier themselves.
            above = [tier for tier in self._tiers if tier.tier < way.destination.tier]
            moment = moving.moment_of(way.destination) if twins else 0.0
            for tier in above if twins else []:
                entries = tier.upkeep.get_readable(twins)
                copies = [way.engine.lowered(entry, way.level) for entry in entries]
                moving.move(tier, way.destination, copies, moment)

    def _note_unsure(self, keys: Sequence[EntryKey]) -> None:
        with self._lock:
            # More are left where they are: while long-term memory is away there is no end of them.
            self._unsure = [*self._unsure, *keys][-10 * AT_ONCE :]

    def _unlock(self) -> None:
        self._lock = threading.Lock()

    def _trail(self, run_id: str, agent_id: str) -> _Trail:
        latest = self._latest_below(run_id, agent_id)
        if latest is None:
            return _Trail(_NONE)  # which the next store asks for again
        return self._trails.setdefault((run_id, agent_id), _Trail(latest))

    def _there(self, keys: Sequence[EntryKey]) -> set[EntryKey]:
        """Those of some entries that a tier has."""
        if not keys:
            return set()
        found = self._asked(
            lambda: {entry.key for tier in self._tiers for entry in tier.upkeep.get_readable(keys)}
        )
        return found or set()

    def _latest_below(self, run_id: str, agent_id: str) -> float | None:
        """The latest timestamp of an agent's entries in the tiers below; None: nobody knows."""
        asked = Query(run_id=run_id, agent_id=agent_id, order=Order.NEWEST, limit=1)

        def look() -> float:
            moved = self._moved.get(run_id)
            if moved is None:
                # Once a run, not once an agent: most runs are new, and have nothing there.
                moved = {*agents_of(self._below, run_id)}
                self._moved[run_id] = moved
            found = self._below if agent_id in moved else []
            latest = [entry for tier in found for entry in tier.upkeep.find_readable([asked])[0]]
            return max((entry.timestamp for entry in latest), default=_NONE)

        return self._asked(look)

    def _asked(self, look: Callable[[], T]) -> T | None:
        """What is seen below; None while a tier is away: then stores go on, and seldom wait."""
        if not self._pause.is_over:
            return None
        begun = self._pause.ticks()
        try:
            seen = look()
        except StoreUnavailable:
            self._pause.begin(self._pause.ticks() - begun)
            return None
        self._pause.end()
        return seen


def _rounds(entries: Sequence[MemoryEntry]) -> list[list[int]]:
    """The places of entries, in rounds that have one of each agent, in the order they came."""
    rounds: list[list[int]] = []
    seen: Counter[tuple[str, str]] = Counter()
    for place, entry in enumerate(entries):
        agent = entry.run_id, entry.agent_id
        if seen[agent] == len(rounds):
            rounds.append([])
        rounds[seen[agent]].append(place)
        seen[agent] += 1
    return rounds
