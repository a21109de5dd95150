"""Looks for entries in two tiers or stuck in one, for forgotten ones, and for broken moves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from agent_memory.errors import CommandRefused
from agent_memory.repositories.moves import CLOCK_SKEW, MOVE_SECONDS, begun_at
from agent_memory.repositories.redis.inspection import Owner, TierInspection
from agent_memory.repositories.redis.notes import server_time
from agent_memory.repositories.sql.inspection import LongTermInspection
from agent_memory.system.checking.job import REPAIR, Job
from agent_memory.tiers.demotion import Demotion
from agent_memory.values.check_report import Kind
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier

_LOOKS = 3  # how often what looks wrong is looked at again
_PAUSE = 1.0  # seconds between looks: a moving entry is in two tiers for milliseconds
_AT_ONCE = 2_000  # suspects that are looked at again together


class _Twice(NamedTuple):
    """An entry that was met in two tiers, and its revision and retrieval count in each."""

    key: EntryKey
    upper: Tier
    lower: Tier
    ages: tuple[tuple[int, int], tuple[int, int]]


class CrossTierChecks:
    """What is wrong between tiers.

    Args:
        job: The check it belongs to.
        above: Short-term and intermediate memory, beneath.
        below: Long-term memory, beneath.
        demotions: The ways down.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        job: Job,
        above: tuple[TierInspection, TierInspection],
        below: LongTermInspection,
        demotions: Sequence[Demotion],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._job = job
        self._above = above
        self._below = below
        self._demotions = demotions
        self._sleep = sleep
        self._twice: list[_Twice] = []
        self._forgotten: list[tuple[Tier, EntryKey]] = []

    # -- entries ------------------------------------------------------------------------------

    def look(self, tier: Tier, entries: Sequence[MemoryEntry]) -> None:
        """Look for entries of a tier above in the tiers below, and among what was forgotten.

        Those that the tier below could not store are reported at once: they would never move.
        """
        self._report_stuck(tier, entries)
        keys = [entry.key for entry in entries]
        self._twice += self._met_twice(tier, keys)
        forgotten = self._job.tiers[2].forgotten(keys) if keys else {}
        self._forgotten += [(tier, key) for key, at in forgotten.items() if at is None]
        if len(self._twice) + len(self._forgotten) >= _AT_ONCE:
            self.settle()

    def settle(self) -> None:
        """Look again at what looked wrong; tell and mend what still does."""
        twice, self._twice = self._twice, []
        forgotten, self._forgotten = self._forgotten, []
        for _ in range(_LOOKS):
            if not (twice or forgotten):
                return
            self._sleep(_PAUSE)
            again = {
                found
                for upper in {one.upper for one in twice}
                for found in self._met_twice(upper, [o.key for o in twice if o.upper is upper])
            }
            twice = [one for one in twice if one in again]
            forgotten = [one for one in forgotten if self._is_forgotten(*one)]
        for one in twice:
            self._report_twice(one)
        for tier, key in forgotten:
            self._report_forgotten(tier, key)

    def look_at_forgotten_rows(self) -> None:
        """Look for rows of long-term memory that were forgotten."""
        for row in self._below.forgotten_rows():
            self._report_forgotten(Tier.LTM, EntryKey(*row))

    def _met_twice(self, upper: Tier, keys: Sequence[EntryKey]) -> list[_Twice]:
        if not keys:
            return []
        # From the top down: one that moves meanwhile is met below, where it is alone.
        here = self._ages(upper, keys)
        met = []
        for lower in (Tier.IM, Tier.LTM):
            if lower > upper:
                there = self._ages(lower, keys)
                met += [
                    _Twice(key, upper, lower, (here[key], there[key]))
                    for key in keys
                    if key in here and key in there
                ]
        return met

    def _ages(self, tier: Tier, keys: Sequence[EntryKey]) -> dict[EntryKey, tuple[int, int]]:
        if tier is Tier.LTM:
            found = self._below.ages([(key.run_id, key.agent_id, key.memory_id) for key in keys])
            return {EntryKey(*key): age for key, age in found.items()}
        inspection = self._above[tier]
        places = [
            (Owner(*key[:2], inspection.key_space.prefix(*key[:2])), key.memory_id) for key in keys
        ]
        ages = inspection.ages(places)
        return {key: age for key, age in zip(keys, ages, strict=True) if age is not None}

    def _report_stuck(self, tier: Tier, entries: Sequence[MemoryEntry]) -> None:
        way = self._demotions[tier]
        for key, error in way.refusals(entries):
            self._job.findings.add(
                Kind.STUCK,
                f"{tier.name}, {_named(key)}",
                f"answers, and cannot move down, since {way.destination.tier.name} cannot store "
                f"it: {error}",
                "as the message says; or forget the entry",
            )

    def _report_twice(self, one: _Twice) -> None:
        repaired = self._job.repair and self._keep_one(one)
        self._job.findings.add(
            Kind.TWICE,
            f"{one.upper.name} and {one.lower.name}, {_named(one.key)}",
            "is in two tiers and not on its way; questions get the upper one",
            REPAIR,
            repaired=repaired,
        )

    def _keep_one(self, one: _Twice) -> bool:
        """Remove one of the two: the older, or of equals the upper, as after a move."""
        upper, lower = one.ages
        tier = one.lower if upper > lower else one.upper
        repository = self._job.tiers[tier]
        # Removed only as it was seen: what changes or moves meanwhile stays.
        copies = repository.upkeep.get_readable([one.key])
        if [(copy.revision, copy.retrieval_count) for copy in copies] != [
            lower if tier is one.lower else upper
        ]:
            return False
        other = one.upper if tier is one.lower else one.lower
        if not self._job.tiers[other].upkeep.get_readable([one.key]):
            return False
        return all(repository.remove_copied(copies))

    def _is_forgotten(self, tier: Tier, key: EntryKey) -> bool:
        forgotten = self._job.tiers[2].forgotten([key])
        return forgotten.get(key, 0.0) is None and key in self._ages(tier, [key])

    def _report_forgotten(self, tier: Tier, key: EntryKey) -> None:
        if self._job.repair:
            self._job.tiers[tier].remove_many([key])
        self._job.findings.add(
            Kind.FORGOTTEN,
            f"{tier.name}, {_named(key)}",
            "was forgotten for good, and is there",
            f"{REPAIR}, which removes it",
            repaired=self._job.repair,
        )

    # -- tombstones and moves -----------------------------------------------------------------

    def look_at_tombstones(self) -> None:
        """Look for forgotten keys that are to be released at a time that is far ahead."""
        now = self._job.clock()
        closed = self._below.closed_ahead(now + CLOCK_SKEW)
        if closed and self._job.repair:
            self._below.open_closed_ahead(now + CLOCK_SKEW, now)
        for run_id, memory_id in closed:
            self._job.findings.add(
                Kind.TOMBSTONE,
                f"LTM, run {run_id!r}, entry {memory_id}",
                "was released under a clock that was ahead: what waits elsewhere counts as older",
                REPAIR,
                repaired=self._job.repair,
            )

    def look_at_moves(self) -> None:
        """Look for moves that were broken off; finish them as upkeep does."""
        for way, inspection in zip(self._demotions, self._above, strict=True):
            self._drop_unreadable_notes(inspection)
            broken = self._broken(inspection)
            if broken and self._job.repair:
                way.settle()
            for token in broken:
                self._job.findings.add(
                    Kind.MOVE,
                    f"{way.source.tier.name}, move {token}",
                    "was broken off, and its note is left",
                    "agent-memory maintain",
                    repaired=self._job.repair and token not in self._broken(inspection),
                )

    def _broken(self, inspection: TierInspection) -> list[str]:
        begun = server_time(inspection.channel) - MOVE_SECONDS
        notes = self._notes(inspection)
        return [
            token
            for token, note in notes.items()
            if _is_note(token, note) and begun_at(token) < begun
        ]

    def _drop_unreadable_notes(self, inspection: TierInspection) -> None:
        for token, note in self._notes(inspection).items():
            if not _is_note(token, note):
                place = f"{inspection.namespace}, note {token} of a move"
                means = "cannot be read, and keeps upkeep from settling moves"
                done = self._job.keep(place, means, {"token": token, "note": note})
                if done:
                    inspection.channel.call("HDEL", f"{inspection.namespace}:moving", token)
                self._job.findings.add(Kind.MOVE, place, means, REPAIR, repaired=done)

    def _notes(self, inspection: TierInspection) -> dict[str, bytes]:
        try:
            return inspection.notes_of_moves()
        except CommandRefused:
            return {}  # the key is of a wrong type, which is found with the keys


def _is_note(token: str, note: bytes) -> bool:
    try:
        begun_at(token)
        return all(len(agent) == 2 for agent in json.loads(note))
    except (ValueError, TypeError):
        return False


def _named(key: EntryKey) -> str:
    return f"run {key.run_id!r}, agent {key.agent_id!r}, entry {key.memory_id}"
