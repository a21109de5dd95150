from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import fakeredis
import pytest
from fakeredis.commands_mixins import server_mixin

from agent_memory.compression.levels import CompressionEngine, ContentsCodec
from agent_memory.config import MemoryConfig
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.errors import StoreUnavailable
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.repositories.outcomes import Added
from agent_memory.repositories.redis.repository import ImRepository, StmRepository
from agent_memory.retrieval.recall import recall
from agent_memory.testing import an_entry
from agent_memory.tiers.consolidation import Consolidation, Moves
from agent_memory.tiers.forgetting import Removed, forget_agents
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.query import Query

NOW = 1_000_000.0


class Tiers:
    """Three tiers on an engine each, and what moves entries between them."""

    def __init__(self, **config: object) -> None:
        self.now = NOW
        channel = RedisChannel(
            fakeredis.FakeRedis(server=fakeredis.FakeServer(), protocol=2), "fakeredis"
        )
        codec = ContentsCodec()
        self.stm = StmRepository(channel, codec, namespace="stm", clock=self.clock)
        self.im = ImRepository(channel, codec, namespace="im", clock=self.clock)
        self.ltm = InMemoryRepository(Tier.LTM)
        self.configure(**config)

    def clock(self) -> float:
        return self.now

    def configure(self, **config: object) -> None:
        self.consolidation = Consolidation(
            self.stm, self.im, self.ltm, CompressionEngine(), MemoryConfig(**config)
        )

    def store(self, *entries: MemoryEntry) -> None:
        self.stm.add_many(entries)

    def consolidate(self, step: int | None = None) -> Moves:
        agents = sorted({*self.stm.agents("run"), *self.im.agents("run")})
        return self.consolidation.consolidate("run", agents, NOW, step)

    def steps(self) -> tuple[list[int], list[int], list[int]]:
        """The steps of the ant's entries in each tier, sorted."""
        found = [
            sorted(entry.step_number for entry in tier.find(Query(run_id="run", agent_id="ant")))
            for tier in self.all
        ]
        return found[0], found[1], found[2]

    @property
    def all(self) -> tuple[MemoryRepository, MemoryRepository, MemoryRepository]:
        return self.stm, self.im, self.ltm


def entries(count: int, **fields: object) -> list[MemoryEntry]:
    return [
        an_entry(step_number=step, timestamp=NOW - 100 + step, **fields) for step in range(count)
    ]


def test_the_oldest_leave_an_overfull_tier_first() -> None:
    tiers = Tiers(stm_config={"memory_limit": 4}, im_config={"memory_limit": 3})
    tiers.store(*entries(10))
    assert tiers.consolidate() == Moves(stm_to_im=6, im_to_ltm=3)
    assert tiers.steps() == ([6, 7, 8, 9], [3, 4, 5], [0, 1, 2])


def test_each_tier_gives_its_entries_its_own_compression_level() -> None:
    tiers = Tiers(stm_config={"memory_limit": 1}, im_config={"memory_limit": 1})
    stored = entries(3)
    tiers.store(*stored)
    tiers.consolidate()
    for tier, level in zip(tiers.all, (0, 1, 2), strict=True):
        (entry,) = tier.find(Query(run_id="run", agent_id="ant"))
        assert entry.compression_level == level
        assert entry == replace(stored[entry.step_number], compression_level=level)


def test_a_tier_keeps_the_compression_level_that_the_configuration_gives_it() -> None:
    tiers = Tiers(
        stm_config={"memory_limit": 1},
        im_config={"memory_limit": 1, "compression_level": 0},
        ltm_config={"compression_level": 1},
    )
    tiers.store(*entries(3))
    tiers.consolidate()
    assert [
        tier.find(Query(run_id="run", agent_id="ant", limit=1))[0].compression_level
        for tier in tiers.all
    ] == [0, 0, 1]


def test_an_entry_over_its_age_in_seconds_moves_and_one_at_its_age_stays() -> None:
    tiers = Tiers(stm_config={"ttl": 50})
    tiers.store(*entries(100))
    tiers.consolidate()
    assert tiers.steps()[:2] == (list(range(50, 100)), list(range(50)))


def test_an_idle_entry_goes_all_the_way_when_both_ages_are_over() -> None:
    tiers = Tiers(stm_config={"ttl": 10}, im_config={"ttl": 20})
    tiers.store(an_entry(step_number=0, timestamp=NOW - 1_000))
    assert tiers.consolidate() == Moves(1, 1)
    assert tiers.steps() == ([], [], [0])


def test_an_entry_over_its_age_in_steps_moves_and_one_at_its_age_stays() -> None:
    tiers = Tiers(stm_config={"max_age_steps": 5})
    tiers.store(*entries(10))
    tiers.consolidate(step=9)
    assert tiers.steps()[:2] == ([4, 5, 6, 7, 8, 9], [0, 1, 2, 3])


def test_age_in_seconds_has_no_meaning_where_times_are_steps() -> None:
    tiers = Tiers(clock="steps", stm_config={"ttl": 1})
    tiers.store(*(an_entry(step_number=step, timestamp=float(step)) for step in range(5)))
    assert tiers.consolidate(step=4) == Moves()


def test_age_and_limit_together_leave_the_limit_and_nothing_over_age() -> None:
    tiers = Tiers(stm_config={"memory_limit": 3, "max_age_steps": 7})
    tiers.store(*entries(10))
    tiers.consolidate(step=9)
    assert tiers.steps()[:2] == ([7, 8, 9], [0, 1, 2, 3, 4, 5, 6])


def test_a_clock_that_jumped_back_loses_and_moves_nothing() -> None:
    tiers = Tiers(stm_config={"ttl": 50})
    tiers.store(*(an_entry(timestamp=NOW + 10_000) for _ in range(5)))
    assert tiers.consolidate() == Moves()
    assert tiers.stm.count("run", "ant") == 5


def test_the_least_important_leave_first_when_so_configured() -> None:
    tiers = Tiers(stm_config={"memory_limit": 2}, demote_first="least_important")
    importances = (0.9, 0.1, 0.8, 0.2)
    tiers.store(
        *(replace(entry, importance_score=importances[entry.step_number]) for entry in entries(4))
    )
    tiers.consolidate()
    assert tiers.steps()[:2] == ([0, 2], [1, 3])


def test_importance_decays_with_every_cleanup_interval_of_newer_entries() -> None:
    tiers = Tiers(
        stm_config={"memory_limit": 4},
        demote_first="least_important",
        cleanup_interval=2,
        memory_priority_decay=0.5,
    )
    # Newer entries: 5 4 3 2 1 0, intervals: 2 2 1 1 0 0, decayed: .25 .15 .3 .2 .2 .1
    importances = (1.0, 0.6, 0.6, 0.4, 0.2, 0.1)
    tiers.store(
        *(replace(entry, importance_score=importances[entry.step_number]) for entry in entries(6))
    )
    tiers.consolidate()
    assert tiers.steps()[:2] == ([0, 2, 3, 4], [1, 5])


def test_of_equally_important_entries_the_older_leaves_first() -> None:
    tiers = Tiers(stm_config={"memory_limit": 2}, demote_first="least_important")
    tiers.store(*entries(4))
    tiers.consolidate()
    assert tiers.steps()[:2] == ([2, 3], [0, 1])


def test_agents_move_by_their_own_limits() -> None:
    tiers = Tiers(stm_config={"memory_limit": 3})
    tiers.store(*entries(5), *entries(2, agent_id="bee"))
    tiers.consolidate()
    assert tiers.stm.count("run", "ant") == 3
    assert tiers.stm.count("run", "bee") == 2


def test_moves_are_counted() -> None:
    tiers = Tiers(stm_config={"memory_limit": 1}, im_config={"memory_limit": 1})
    tiers.store(*entries(4))
    tiers.consolidate()
    tiers.store(an_entry(step_number=9, timestamp=NOW))
    tiers.consolidate()
    assert tiers.consolidation.moves == Moves(stm_to_im=4, im_to_ltm=3)


class StoppedAfterCommit(InMemoryRepository):
    """Long-term memory whose acknowledgement of the first write is lost."""

    stopped = False

    def take_over(self, entries: Sequence[MemoryEntry], moment: float) -> list[Added]:
        outcome = super().take_over(entries, moment)
        if not self.stopped:
            self.stopped = True
            raise StoreUnavailable("the line was cut")
        return outcome


def test_an_entry_left_in_two_tiers_is_given_once_and_settled_by_the_next_upkeep() -> None:
    tiers = Tiers(stm_config={"memory_limit": 1}, im_config={"memory_limit": 1})
    tiers.ltm = StoppedAfterCommit(Tier.LTM)
    tiers.configure(stm_config={"memory_limit": 1}, im_config={"memory_limit": 1})
    tiers.store(*entries(5))
    with pytest.raises(StoreUnavailable):
        tiers.consolidate()
    assert tiers.steps() == ([4], [0, 1, 2, 3], [0, 1, 2])
    hits = recall(tiers.all, Query(run_id="run", agent_id="ant"))
    assert [hit.entry.step_number for hit in hits] == [0, 1, 2, 3, 4]
    assert [hit.tier for hit in hits[:4]] == [Tier.IM] * 4

    # Even when nothing has to leave any more.
    tiers.configure()
    tiers.consolidation.settle()
    assert tiers.steps() == ([4], [3], [0, 1, 2])


def keeps_time(monkeypatch: pytest.MonkeyPatch, tiers: Tiers) -> None:
    """Have the server's clock be that of a test: the age of a note is told by it."""
    monkeypatch.setattr(server_mixin, "time", SimpleNamespace(time=lambda: tiers.now))


def test_a_note_of_a_move_stays_until_no_process_can_still_be_at_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiers = Tiers(stm_config={"memory_limit": 1}, im_config={"memory_limit": 1})
    keeps_time(monkeypatch, tiers)
    tiers.ltm = StoppedAfterCommit(Tier.LTM)
    tiers.configure(stm_config={"memory_limit": 1}, im_config={"memory_limit": 1})
    tiers.store(*entries(5))
    with pytest.raises(StoreUnavailable):
        tiers.consolidate()
    tiers.consolidation.settle()
    assert len(tiers.im.moves.open()) == 1
    tiers.now = NOW + 3_600
    tiers.consolidation.settle()
    assert tiers.im.moves.open() == []


def test_a_note_of_a_move_from_before_the_clock_was_set_back_grows_old_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiers = Tiers(stm_config={"memory_limit": 1}, im_config={"memory_limit": 1})
    keeps_time(monkeypatch, tiers)
    tiers.ltm = StoppedAfterCommit(Tier.LTM)
    tiers.configure(stm_config={"memory_limit": 1}, im_config={"memory_limit": 1})
    tiers.store(*entries(5))
    with pytest.raises(StoreUnavailable):
        tiers.consolidate()
    tiers.now = NOW - 1e6
    for noted in (1, 1, 0):
        tiers.consolidation.settle()
        assert len(tiers.im.moves.open()) == noted
        tiers.now += 200
    assert tiers.steps() == ([4], [3], [0, 1, 2])


def test_a_move_that_is_tried_again_has_one_note_as_young_as_the_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiers = Tiers()
    keeps_time(monkeypatch, tiers)
    ltm = StoppedAfterCommit(Tier.LTM)
    tiers.ltm = ltm
    tiers.configure(stm_config={"memory_limit": 1}, im_config={"memory_limit": 1})
    tiers.store(*entries(5))
    for _ in range(2):
        ltm.stopped = False
        with pytest.raises(StoreUnavailable):
            tiers.consolidate()
        tiers.now += 3_600
    assert len(tiers.im.moves.open()) == 1
    # Seen by someone else while the second trial may still be under way.
    tiers.now -= 3_600
    tiers.consolidation.settle()
    assert len(tiers.im.moves.open()) == 1


def test_a_move_that_went_well_leaves_no_note() -> None:
    tiers = Tiers(stm_config={"memory_limit": 1}, im_config={"memory_limit": 1})
    tiers.store(*entries(5))
    tiers.consolidate()
    assert tiers.im.moves.open() == []


class ChangedMeanwhile(InMemoryRepository):
    """Long-term memory during whose write someone changes the entry in the tier above."""

    def __init__(self, above: MemoryRepository) -> None:
        super().__init__(Tier.LTM)
        self._above = above
        self._changes = 1

    def take_over(self, entries: Sequence[MemoryEntry], moment: float) -> list[Added]:
        outcome = super().take_over(entries, moment)
        if self._changes:
            self._changes -= 1
            self._above.replace(replace(self._above.get(entries[0].key), importance_score=0.125))
        return outcome


def test_a_change_during_a_move_is_not_lost() -> None:
    tiers = Tiers()
    tiers.ltm = ChangedMeanwhile(tiers.im)
    tiers.configure(stm_config={"memory_limit": 1}, im_config={"memory_limit": 1})
    tiers.store(*entries(3))
    tiers.consolidate()
    assert tiers.steps() == ([2], [1], [0])
    (moved,) = tiers.ltm.find(Query(run_id="run", agent_id="ant"))
    assert (moved.importance_score, moved.revision) == (0.125, 1)


class ForgottenMeanwhile(InMemoryRepository):
    """Long-term memory during whose first write the agent's memory is cleared."""

    def __init__(self, tiers: Tiers) -> None:
        super().__init__(Tier.LTM)
        self._tiers = tiers
        self.removed: int | None = None

    def take_over(self, entries: Sequence[MemoryEntry], moment: float) -> list[Added]:
        if self.removed is None:
            self.removed = 0
            stm, im, _ = self._tiers.all
            clock = self._tiers.clock
            self.removed = forget_agents((stm, im, self), "run", ["ant"], clock).entries
        return super().take_over(entries, moment)


def test_a_move_in_flight_brings_nothing_forgotten_back() -> None:
    tiers = Tiers()
    tiers.ltm = ForgottenMeanwhile(tiers)
    tiers.configure(stm_config={"memory_limit": 1}, im_config={"memory_limit": 1})
    tiers.store(*entries(5))
    tiers.consolidate()
    assert tiers.ltm.removed == 5
    assert tiers.steps() == ([], [], [])


def test_what_was_stored_anew_during_a_move_is_not_removed_by_it() -> None:
    tiers = Tiers()
    stored = entries(3)

    class StoredAnew(InMemoryRepository):
        """Long-term memory during whose write all is cleared and stored again."""

        def take_over(self, entries: Sequence[MemoryEntry], moment: float) -> list[Added]:
            if tiers.now == NOW:
                forget_agents((tiers.stm, tiers.im, self), "run", ["ant"], tiers.clock)
                tiers.now += 1
                tiers.im.add_many(stored)
            return super().take_over(entries, moment)

    tiers.ltm = StoredAnew(Tier.LTM)
    tiers.configure(stm_config={"memory_limit": 1}, im_config={"memory_limit": 1})
    tiers.im.add_many(stored)
    tiers.consolidate()
    assert tiers.steps() == ([], [0, 1, 2], [])
    tiers.consolidate()
    assert tiers.steps() == ([], [2], [0, 1])


def test_forgetting_removes_from_every_tier_and_from_no_other_agent() -> None:
    tiers = Tiers(stm_config={"memory_limit": 1}, im_config={"memory_limit": 1})
    tiers.store(*entries(4), *entries(3, agent_id="bee"))
    tiers.consolidate()
    every = (tiers.stm, tiers.im, tiers.ltm)
    assert forget_agents(every, "run", ["ant"], tiers.clock) == Removed(4, stm=1, im=1, ltm=2)
    assert tiers.steps() == ([], [], [])
    assert [tier.count("run", "bee") for tier in tiers.all] == [1, 1, 1]


def test_an_entry_in_two_databases_of_one_server_moves_as_safely() -> None:
    tiers = Tiers()
    server = fakeredis.FakeServer()
    first, second = (
        RedisChannel(fakeredis.FakeRedis(server=server, db=db, protocol=2), "fakeredis")
        for db in (0, 1)
    )
    tiers.stm = StmRepository(first, ContentsCodec(), namespace="stm")
    tiers.im = ImRepository(second, ContentsCodec(), namespace="im")
    tiers.configure(stm_config={"memory_limit": 1})
    tiers.store(*entries(5))
    assert tiers.consolidate() == Moves(4, 0)
    assert tiers.steps()[:2] == ([4], [0, 1, 2, 3])
    assert tiers.stm.moves.open() == []


def test_a_key_is_found_whichever_tier_holds_it() -> None:
    tiers = Tiers(stm_config={"memory_limit": 1}, im_config={"memory_limit": 1})
    stored = entries(3)
    tiers.store(*stored)
    tiers.consolidate()
    absent = EntryKey("run", "ant", "0" * 32)
    for entry, tier in zip(stored, reversed(tiers.all), strict=True):
        (found,) = tier.get_many([entry.key, absent])
        assert found.contents == entry.contents
