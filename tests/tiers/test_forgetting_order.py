"""What was spooled before or after a forgetting is told apart by no clock."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent_memory import AgentMemorySystem, Query, StoreUnavailable
from agent_memory.tiers.replaying import Left, Replay
from agent_memory.tiers.spool import Spool
from agent_memory.tiers.waiting import LastMoment
from tests.memories import Clock, Opener, remembered, store
from tests.tiers.spooling import an_entry_of, full, on_every_engine

Forget = Callable[[AgentMemorySystem], object]


def _memory(system: AgentMemorySystem) -> object:
    (hit,) = system.recall(Query(agent_id="ant", steps=(3, 3)))
    return system.forget(memory_id=hit.entry.memory_id)


WAYS: dict[str, Forget] = {
    "agent": lambda system: system.forget("ant"),
    "run": lambda system: system.forget(run=system.config.run_id),
    "memory": _memory,
    "steps": lambda system: system.forget_after(2),
    "cleared agent": lambda system: system.get_memory_agent("ant").clear_memory(),
    "cleared run": lambda system: system.clear_all_memories(),
}


@contextlib.contextmanager
def another_machine(system: AgentMemorySystem, folder: Path) -> Iterator[Spool]:
    """A spool that no call of this machine reaches, of the same memory."""
    mine = system._resources.intake._spool
    assert mine is not None
    with contextlib.closing(Spool(folder / "elsewhere" / "spool", mine._store, 2**26)) as spool:
        yield spool


def replay(system: AgentMemorySystem, spool: Spool) -> None:
    tiers = system._resources.tiers
    assert Replay(tiers, system.stm).slice(spool) is Left.NOTHING
    assert spool.is_empty()


@on_every_engine
def test_what_is_spooled_after_a_forgetting_stays_though_the_clock_was_set_back(
    open_memory: Opener, clock: Clock
) -> None:
    system, left = open_memory(), {}
    for name, forget in WAYS.items():
        run = system.run(name)
        store(run, "ant", *range(5))
        forget(run)
        left[name] = remembered(run, "ant")
        assert 3 not in left[name]
    clock.now -= 5.0
    with full(system):
        for name in WAYS:
            store(system.run(name), "ant", 5, 6)
            assert remembered(system.run(name), "ant") == [*left[name], 5, 6]
    system._resources.intake.replay()
    for name in WAYS:
        assert remembered(system.run(name), "ant") == [*left[name], 5, 6]


@on_every_engine
def test_a_forgetting_reaches_what_waits_on_another_machine_and_no_new_life(
    open_memory: Opener, clock: Clock, tmp_path: Path
) -> None:
    opened = open_memory()
    for name, forget in WAYS.items():
        system = opened.run(name)
        store(system, "ant", *range(5))
        with another_machine(system, tmp_path) as far:
            asked = Query(agent_id="ant", steps=(3, 3))
            (third,) = [hit.entry for hit in system.recall(asked, touch=False)]
            before = LastMoment(system.ltm.moment(), is_sure=True)
            for entry in (third, an_entry_of(system, 1), an_entry_of(system, 6)):
                far.put(entry, clock.now + 3_600.0, before)  # whose clock is ahead
            forget(system)
            left = remembered(system, "ant")
            after = LastMoment(system.ltm.moment(), is_sure=True)
            for step in (2, 9):
                far.put(an_entry_of(system, step), clock.now - 3_600.0, after)  # or behind
            replay(system, far)
        stays = {"memory": [1, 6], "steps": [1]}.get(name, [])
        assert remembered(system, "ant") == sorted([*left, *stays, 2, 9])


@on_every_engine
def test_where_long_term_memory_cannot_be_asked_the_clock_decides(
    open_memory: Opener, clock: Clock, tmp_path: Path
) -> None:
    system = open_memory()
    store(system, "ant", 0)
    unsure = LastMoment(system.ltm.moment(), is_sure=False)
    with another_machine(system, tmp_path) as far:
        far.put(an_entry_of(system, 1), clock.now - 1.0, unsure)
        far.put(an_entry_of(system, 2), clock.now + 1.0, unsure)
        far.put(an_entry_of(system, 3), clock.now - 1.0, None)  # of an earlier version
        system.forget("ant")
        known = LastMoment(system.ltm.moment(), is_sure=False)
        far.put(an_entry_of(system, 4), clock.now - 1.0, known)
        replay(system, far)
    assert remembered(system, "ant") == [2, 4]


@on_every_engine
def test_a_database_that_is_away_is_not_asked_by_every_store(
    open_memory: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = open_memory()
    moments = system._resources.intake._moments
    known = moments.last()
    assert known is not None
    assert known.is_sure
    ticks, asked = [0.0], []

    def away() -> float:
        asked.append(ticks[0])
        ticks[0] += 1.0
        raise StoreUnavailable("locked")

    monkeypatch.setattr(system.ltm, "moment", away)
    monkeypatch.setattr(moments._pause, "ticks", lambda: ticks[0])
    for _ in range(100):
        assert moments.last() == known._replace(is_sure=False)
    assert len(asked) == 1
