"""What waits in the spool while the server can be read: every question is answered with it."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_memory import (
    AgentMemorySystem,
    EntryNotFound,
    MemoryConfig,
    MemoryEntry,
    Order,
    Query,
    StoreUnavailable,
    Tier,
    Vector,
)
from agent_memory.repositories.redis.repository import StmRepository
from agent_memory.tiers import replaying
from agent_memory.tiers.spool import Spool
from agent_memory.tiers.waiting import Waiting, decoded
from agent_memory.tiers.waiting_changes import Change, change_waiting
from agent_memory.values.entry import EntryKey
from tests.memories import Clock, Opener, remembered, store
from tests.tiers.spooling import an_entry_of, far_spool, full, on_embedded, on_every_engine


def asked(system: AgentMemorySystem, **fields: Any) -> list[int]:
    near = fields.pop("near", None)
    hits = system.recall(Query(agent_id="ant", **fields), near=near, touch=False)
    assert len({hit.entry.key for hit in hits}) == len(hits)
    return [hit.entry.step_number for hit in hits]


def check_every_question(system: AgentMemorySystem, last: int) -> None:
    """Ask in every way; the steps 0 to the last are remembered, the highest were stored last."""
    ant = system.get_memory_agent("ant")
    assert remembered(system, "ant") == [*range(last + 1)]
    assert asked(system, order=Order.NEWEST, limit=2) == [last, last - 1]
    assert asked(system, steps=(last - 1, last), order=Order.STEP) == [last - 1, last]
    assert asked(system, attributes={"step": last}) == [last]
    assert asked(system, near={"step": last, "mood": f"m{last % 2}"}, limit=1) == [last]
    (newest,) = system.recall(Query(agent_id="ant", steps=(last, last)), touch=False)
    assert newest.entry.embedding is not None
    assert asked(system, near=Vector(newest.entry.embedding), limit=1) == [last]
    assert asked(system, near=newest.entry.memory_id, limit=1) == [last]
    assert asked(system, times=(newest.entry.timestamp, newest.entry.timestamp))[-1] == last
    assert system.fetch("ant", newest.entry.memory_id, touch=False) == newest
    assert system.state_at(None, last + 9, touch=False) == {"ant": newest}
    assert (
        system.state_at("ant", last - 1, touch=False)
        == system.recall(steps=(last - 1, last - 1), touch=False)[0]
    )
    assert system.count(agent_id="ant") == system.count(Query()) == last + 1
    kept = ant.stm_store
    assert kept.count() == last + 1 - ant.im_store.count() - ant.ltm_store.count()
    assert kept.get(newest.entry.memory_id) == newest.entry.to_dict()
    assert kept.get_recent(1) == [newest.entry.to_dict()]
    assert kept.get_by_step(last) == newest.entry.to_dict()


@on_every_engine
@pytest.mark.parametrize("clock_of", ["wall", "steps"])
def test_every_question_is_answered_with_what_waits_as_once_it_is_stored(
    open_memory: Opener, clock: Clock, clock_of: str
) -> None:
    system = open_memory(clock=clock_of, stm_config={"memory_limit": 2})
    store(system, "ant", *range(5))
    system.maintain()
    with full(system):
        for step in range(5, 9):
            clock.now += 1.0
            store(system, "ant", step)
            check_every_question(system, step)
        waiting = system.status.spool
        assert waiting is not None
        assert waiting.entries == 4
        before = system.recall(Query(agent_id="ant"), touch=False)
    system._resources.intake.replay()
    assert system.status.spool.entries == 0  # type: ignore[union-attr]  # it is armed
    assert system.recall(Query(agent_id="ant"), touch=False) == before
    check_every_question(system, 8)


@on_every_engine
def test_an_episode_that_waits_is_the_newest_though_its_steps_are_counted_anew(
    open_memory: Opener,
) -> None:
    system = open_memory(clock="steps")
    for step in range(5):
        system.store_agent_state("ant", {"episode": 1, "step": step}, step)
    with full(system):
        for step in (0, 1):
            system.store_agent_state("ant", {"episode": 2, "step": step}, step)
        newest = system.recall(Query(agent_id="ant", order=Order.NEWEST, limit=2), touch=False)
    assert [hit.entry.contents for hit in newest] == [
        {"episode": 2, "step": 1},
        {"episode": 2, "step": 0},
    ]
    system._resources.intake.replay()
    assert newest == system.recall(Query(agent_id="ant", order=Order.NEWEST, limit=2), touch=False)


@on_every_engine
def test_what_another_process_put_there_is_seen_until_it_is_stored(open_memory: Opener) -> None:
    system = open_memory()
    store(system, "ant", 0)
    with contextlib.closing(far_spool(system)) as far:
        for step in (1, 2):
            far.put(an_entry_of(system, step), 0.0)
            assert remembered(system, "ant") == [*range(step + 1)]
        far.put(an_entry_of(system, 0, agent="an agent that no tier has heard of"), 0.0)
        assert remembered(system, "an agent that no tier has heard of") == [0]
        everyone = system.recall(Query(order=Order.STEP), touch=False)
        assert [hit.entry.step_number for hit in everyone] == [0, 0, 1, 2]
        assert {hit.entry.agent_id for hit in everyone} == {
            "ant", "an agent that no tier has heard of",
        }  # fmt: skip
        far.done([far.waiting(1)[0].number])
    assert remembered(system, "ant") == [0, 2]


@on_every_engine
def test_what_a_batch_has_gathered_is_answered_though_it_comes_to_wait(open_memory: Opener) -> None:
    system = open_memory()
    store(system, "ant", 0)
    with full(system), system.batch():
        for step in (1, 2):
            state = {"step": step, "mood": f"m{step % 2}"}
            system.store_agent_state("ant", state, step)
            assert asked(system, near=state, limit=1) == [step]
            assert remembered(system, "ant") == [*range(step + 1)]
    assert remembered(system, "ant") == [0, 1, 2]


@on_every_engine
def test_an_entry_that_a_tier_has_too_is_given_as_it_is_there(open_memory: Opener) -> None:
    system = open_memory(stm_config={"memory_limit": 1}, im_config={"memory_limit": 1})
    store(system, "ant", *range(3))
    entries = [hit.entry for hit in system.recall(Query(agent_id="ant", order=Order.STEP))]
    system.maintain()
    system.pin("ant", entries[0].memory_id)  # in long-term memory
    with contextlib.closing(far_spool(system)) as far:
        for entry in entries:  # as if each had been answered too late
            far.put(entry, 0.0)
    before = [Tier.LTM, Tier.IM, Tier.STM]
    hits = system.recall(Query(agent_id="ant", order=Order.STEP), touch=False)
    assert [hit.tier for hit in hits] == before
    assert system.fetch("ant", entries[0].memory_id).tier is Tier.LTM  # type: ignore[union-attr]
    assert asked(system, pinned=True) == [0]
    assert asked(system, pinned=False) == [1, 2]
    assert asked(system, near={"step": 0, "mood": "m0"}, limit=1) == [0]
    assert system.get_memory_agent("ant").stm_store.count() == 1


@on_every_engine
def test_what_is_forgotten_while_it_waits_is_in_no_answer(open_memory: Opener) -> None:
    system = open_memory()
    store(system, "ant", 0)
    far = far_spool(system)
    ids = {}
    for step in range(1, 5):
        entry = an_entry_of(system, step)
        far.put(entry, 0.0)
        ids[step] = entry.memory_id
    kept = system.get_memory_agent("ant").stm_store
    assert kept.delete(ids[1])
    assert not kept.delete(ids[1])
    assert remembered(system, "ant") == [0, 2, 3, 4]
    system.forget(memory_id=ids[2])
    assert remembered(system, "ant") == [0, 3, 4]
    system.forget_after(3)
    assert remembered(system, "ant") == [0, 3]
    assert asked(system, order=Order.NEWEST, limit=1) == [3]
    assert kept.clear()
    assert remembered(system, "ant") == []
    far.put(an_entry_of(system, 5), 0.0)
    assert system.get_memory_agent("ant").clear_memory()
    assert remembered(system, "ant") == []
    assert kept.count() == 0
    far.close()


@on_every_engine
@pytest.mark.parametrize("clock_of", ["wall", "steps"])
def test_what_waits_is_changed_where_it_waits_and_stored_so(
    open_memory: Opener, clock_of: str
) -> None:
    system = open_memory(clock=clock_of)
    store(system, "ant", 0)
    with full(system):
        store(system, "ant", 1, 2, 3)
        ids = [hit.entry.memory_id for hit in system.recall(Query(agent_id="ant"), touch=False)]
        assert system.pin("ant", ids[1]).pinned
        assert system.pin("ant", ids[1]).revision == 1  # it was pinned
        changed = system.set_importance("ant", ids[1], 0.25)
        assert (changed.revision, changed.pinned, changed.importance_score) == (2, True, 0.25)
        assert system.fetch("ant", ids[1], touch=False).entry == changed  # type: ignore[union-attr]
        assert asked(system, pinned=True) == [1]
        system.pin("ant", ids[2])
        assert not system.unpin("ant", ids[2]).pinned
        assert system.update_importance({ids[3]: 0.75}) == []
        assert asked(system, importance=(0.7, 0.8)) == [3]
        with pytest.raises(EntryNotFound):
            system.pin("bee", ids[1])
        before = system.recall(Query(agent_id="ant"), touch=False)
    system._resources.intake.replay()
    assert system.status.spool.entries == 0  # type: ignore[union-attr]  # it is armed
    assert system.recall(Query(agent_id="ant"), touch=False) == before
    assert asked(system, pinned=True) == [1]
    assert system.unpin("ant", ids[1]).revision == 3


@on_every_engine
def test_what_another_process_changes_of_what_waits_is_seen(open_memory: Opener) -> None:
    system = open_memory()
    store(system, "ant", 0)
    with full(system):
        store(system, "ant", 1)
        assert asked(system, pinned=True) == []
        (entry,) = (hit.entry for hit in system.recall(Query(agent_id="ant", steps=(1, 1))))
        with contextlib.closing(far_spool(system)) as far:
            change_waiting(far, {entry.key: lambda it: replace(it, pinned=True)}, dict)
            assert asked(system, pinned=True) == [1]


@on_every_engine
def test_a_change_of_what_waits_reaches_the_tier_that_has_it_all_the_same(
    open_memory: Opener,
) -> None:
    """The answer to its first store was lost, and the server cannot be read as it is changed."""
    system = open_memory(stm_config={"memory_limit": 1}, im_config={"memory_limit": 1})
    entries = [an_entry_of(system, step) for step in range(3)]
    with contextlib.closing(far_spool(system)) as far:
        for entry in entries:
            far.put(entry, 0.0)
        changes: dict[EntryKey, Change] = {
            entry.key: lambda it: replace(it, pinned=True) for entry in entries[:2]
        }
        assert len(change_waiting(far, changes, dict)) == 2
    system.stm.add_many(entries[1:])
    system.ltm.add(entries[0])
    system.set_importance("ant", entries[1].memory_id, 0.5)
    system._resources.intake.replay()
    assert system.status.spool.entries == 0  # type: ignore[union-attr]  # it is armed
    assert sorted(asked(system, pinned=True)) == [0, 1]
    assert asked(system, importance=(0.5, 0.5)) == [1]


@on_every_engine
def test_a_change_comes_on_top_of_those_made_while_it_waited(open_memory: Opener) -> None:
    """The tier has them all the same, as the answers to their first stores were lost."""
    system = open_memory()
    entries = [an_entry_of(system, step) for step in range(2)]
    with contextlib.closing(far_spool(system)) as far:
        far.put_many(entries, 0.0)
        change_waiting(
            far,
            {entry.key: lambda it: replace(it, importance_score=0.25) for entry in entries},
            dict,
        )
    system.stm.add_many(entries)
    system.set_importance("ant", entries[0].memory_id, 0.75)
    assert system.update_importance({entries[1].memory_id: 0.5}) == []
    system._resources.intake.replay()
    assert system.status.spool.entries == 0  # type: ignore[union-attr]  # it is armed
    assert asked(system, importance=(0.75, 0.75)) == [0]
    assert asked(system, importance=(0.5, 0.5)) == [1]


@on_embedded
def test_what_another_process_stores_as_it_is_to_be_changed_is_changed(
    open_memory: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = open_memory()
    entry = an_entry_of(system, 0)
    with contextlib.closing(far_spool(system)) as far:
        far.put(entry, 0.0)
        intake = system._resources.intake
        found = intake.change_waiting

        def after_their_slice(wanted: Any) -> Any:
            intake._replay.slice(far)
            return found(wanted)

        monkeypatch.setattr(intake, "replay", lambda: None)  # as while the other is at it
        monkeypatch.setattr(intake, "change_waiting", after_their_slice)
        assert system.pin("ant", entry.memory_id).pinned


@on_embedded
def test_all_changes_of_an_entry_that_was_stored_twice_are_stored(open_memory: Opener) -> None:
    system = open_memory()
    entry = an_entry_of(system, 0)
    with contextlib.closing(far_spool(system)) as far, full(system):
        for importance in (0.5, 0.25):
            far.put(entry, 0.0)
            system.pin("ant", entry.memory_id)
            system.set_importance("ant", entry.memory_id, importance)
    system._resources.intake.replay()
    assert asked(system, importance=(0.25, 0.25), pinned=True) == [0]


@on_every_engine
def test_a_replay_that_is_killed_makes_no_change_of_what_waited_twice(open_memory: Opener) -> None:
    system = open_memory()
    entries = [an_entry_of(system, step) for step in range(2)]
    with contextlib.closing(far_spool(system)) as far:
        far.put_many(entries, 0.0)
        change_waiting(
            far, {entry.key: lambda it: replace(it, pinned=True) for entry in entries}, dict
        )
        system.stm.add(entries[0])  # as if the answer was lost
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Spool, "done", _interrupted)
            with pytest.raises(KeyboardInterrupt):
                system._resources.intake.replay()
        for stored in system.stm.get_many([entry.key for entry in entries]):
            assert stored.pinned
            system.stm.replace(replace(stored, pinned=False))
        system._resources.intake.replay()
        assert far.is_empty()
    assert asked(system, pinned=False) == [0, 1]


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_is_over_its_age_and_dropped_is_not_shown_while_it_waits(
    tmp_path: Path, clock: Clock
) -> None:
    config = MemoryConfig(
        path=tmp_path / "memory", engine="embedded", on_expiry="drop", stm_config={"ttl": 100}
    )
    with AgentMemorySystem(config, clock=clock) as system, full(system):
        store(system, "ant", 0)
        clock.now += 60.0
        store(system, "ant", 1)
        assert asked(system) == [0, 1]
        clock.now += 60.0
        assert asked(system) == [1]
        assert asked(system, near={"step": 0, "mood": "m0"}) == [1]
        assert system.get_memory_agent("ant").stm_store.count() == 1


def test_a_memory_opened_read_only_answers_with_what_waits_and_writes_nothing(
    tmp_path: Path,
) -> None:
    config = MemoryConfig(path=tmp_path / "memory", engine="embedded")
    with AgentMemorySystem(config) as system, full(system):
        store(system, "ant", 0)
        with AgentMemorySystem(config, read_only=True) as beside:
            assert remembered(beside, "ant") == [0]
            store(system, "ant", 1)
            assert remembered(beside, "ant") == [0, 1]
            assert beside.status.spool.entries == 2  # type: ignore[union-attr]  # it is armed


def test_an_answer_holds_each_entry_once_while_the_spool_is_replayed_and_entries_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small: dict[str, Any] = {"stm_config": {"memory_limit": 1}, "im_config": {"memory_limit": 1}}
    config = MemoryConfig(path=tmp_path / "memory", engine="embedded", **small)
    with AgentMemorySystem(config) as system:
        with full(system):
            store(system, "ant", *range(4))
        find = StmRepository.find
        late: list[bool] = []

        def later(tier: StmRepository, query: Query) -> list[MemoryEntry]:
            # All of it happens after the spool was read, and before the tiers are.
            if not late:
                late.append(True)
                system.maintain()
            return find(tier, query)

        monkeypatch.setattr(StmRepository, "find", later)
        assert remembered(system, "ant") == [*range(4)]
        assert late
        assert remembered(system, "ant") == [*range(4)]


@on_every_engine
def test_what_waits_is_decoded_once_while_the_server_takes_no_writes(
    open_memory: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = open_memory()
    intake = system._resources.intake
    read: list[int] = []

    def counted(waiting: Waiting) -> MemoryEntry:
        read.append(waiting.number)
        return decoded(waiting)

    with full(system):
        monkeypatch.setattr(replaying, "decoded", counted)
        store(system, "ant", *range(5))
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                intake.replay()
        assert len(read) == len(set(read)) == 5
        store(system, "ant", 5)
    intake.replay()
    assert len(read) == len(set(read)) == 6
    assert remembered(system, "ant") == [*range(6)]
