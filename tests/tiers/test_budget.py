"""``redis_max_bytes``: kept under load by moving entries down, and by losing none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from agent_memory import AgentMemorySystem, ConfigError, MemoryConfig, Query, StoreUnavailable
from agent_memory.tiers.budget import STORES_BETWEEN_LOOKS
from agent_memory.tiers.consolidation import Moves
from tests import engines
from tests.memories import Clock, Opener, store, tier_counts

on_every_engine = engines.usually_on("embedded", "tcp and postgresql")

BOUND = 10**12
AGENTS = [f"agent {number}" for number in range(40)]


def bounded(open_memory: Opener, room: int, **config: Any) -> AgentMemorySystem:
    """A memory that may take so many bytes beyond what its server holds when it is empty."""
    with open_memory(**config) as empty:
        store(empty, "first", 0)  # what every memory needs: scripts, the first keys
        empty.clear_all_memories()
        held = empty._resources.used_bytes()
    return open_memory(redis_max_bytes=held + room, **config)


def told_to(system: AgentMemorySystem, answers: list[int]) -> list[int]:
    """Let the server tell these bytes, one after the other, and then that it is empty."""
    budget = system._run.budget
    assert budget is not None
    budget.used = lambda: answers.pop(0) if answers else 0
    return answers


def used(system: AgentMemorySystem) -> int:
    return system._resources.used_bytes()


def state(step: int) -> dict[str, Any]:
    return {"step": step, "mood": f"m{step % 2}"}


def load(system: AgentMemorySystem, clock: Clock, steps: range) -> Iterator[int]:
    """All agents store a state for each step; gives the bytes used after each step."""
    for step in steps:
        clock.now += 1
        for agent in AGENTS:
            store(system, agent, step)
        yield used(system)


def found_once(system: AgentMemorySystem, steps: int) -> None:
    tier_counts(system, *AGENTS)
    for agent in AGENTS:
        hits = system.recall(Query(agent_id=agent), touch=False)
        assert [hit.entry.step_number for hit in hits] == list(range(steps))
        assert [hit.entry.contents for hit in hits] == [state(step) for step in range(steps)]


@contextmanager
def long_term_memory_away(system: AgentMemorySystem) -> Iterator[None]:
    """Let every statement in long-term memory fail."""

    def fail(*_: object) -> None:
        raise StoreUnavailable("long-term memory is away")

    event.listen(system.sql_engine, "before_cursor_execute", fail)
    yield
    event.remove(system.sql_engine, "before_cursor_execute", fail)


def test_no_bound_is_the_default_and_one_below_a_byte_is_refused() -> None:
    assert MemoryConfig().redis_max_bytes is None
    with pytest.raises(ConfigError, match="redis_max_bytes"):
        MemoryConfig(redis_max_bytes=0)


@on_every_engine
def test_a_load_of_many_agents_stays_within_the_bound_and_is_all_found_once(
    open_memory: Opener, clock: Clock
) -> None:
    system = bounded(open_memory, 1_000_000)
    bound = system.config.redis_max_bytes
    assert bound is not None
    most = max(load(system, clock, range(50)))
    # Between two looks it may grow by so many entries of 2.6 kB.
    assert most <= bound + STORES_BETWEEN_LOOKS * 8_000
    assert system.moves.stm_to_im > 500
    system.maintain()
    assert used(system) <= bound
    found_once(system, 50)


@on_every_engine
def test_the_agents_that_were_quiet_the_longest_give_their_oldest_entries_first(
    open_memory: Opener, clock: Clock
) -> None:
    system = open_memory(redis_max_bytes=BOUND)
    agents = "quietest", "quiet", "busy"
    for agent in agents:
        store(system, agent, *range(300))
        clock.now += 1
    reported = told_to(system, [BOUND + 1, BOUND])
    assert system.maintain() == Moves(stm_to_im=600)
    assert [system.stm.count("default", agent) for agent in agents] == [0, 0, 300]
    assert reported == []
    # Those go on before any of the busy one's does.
    told_to(system, [BOUND + 1, BOUND])
    assert system.maintain() == Moves(im_to_ltm=600)
    assert [system.stm.count("default", agent) for agent in agents] == [0, 0, 300]
    tier_counts(system, *agents)


@on_every_engine
def test_only_as_much_moves_as_makes_room_and_the_oldest_of_an_agent_first(
    open_memory: Opener,
) -> None:
    system = open_memory(redis_max_bytes=BOUND)
    store(system, "ant", *range(900))
    told_to(system, [BOUND + 1])
    assert system.maintain() == Moves(stm_to_im=500)
    assert [
        entry.step_number
        for entry in system.stm.find(Query(run_id="default", agent_id="ant", limit=1))
    ] == [500]
    # Not above the bound: nothing to do, though it is above nine tenths of it.
    told_to(system, [BOUND])
    assert system.maintain() == Moves()


@on_every_engine
def test_the_server_is_asked_once_for_many_stores_of_all_runs(open_memory: Opener) -> None:
    system = open_memory(redis_max_bytes=BOUND)
    looks = []

    def used() -> int:
        looks.append(1)
        return 0

    views = [system.run(f"episode {number}") for number in range(5)]
    for view in (system, *views):
        assert view._run.budget is not None
        view._run.budget.used = used
    for step in range(STORES_BETWEEN_LOOKS // 5):
        for view in views:
            store(view, "ant", step)
            store(view, "bee", step)
    assert len(looks) == 2


@on_every_engine
def test_while_long_term_memory_is_away_entries_stay_and_stores_go_on(
    open_memory: Opener, clock: Clock
) -> None:
    system = bounded(open_memory, 300_000)
    with long_term_memory_away(system):
        most = max(load(system, clock, range(15)))
        assert most > (system.config.redis_max_bytes or 0)
        with pytest.raises(StoreUnavailable):
            system.maintain()
    assert system.moves.im_to_ltm == 0
    found_once(system, 15)
    system.maintain()
    assert used(system) <= (system.config.redis_max_bytes or 0)
    assert system.ltm.count("default") > 0
    found_once(system, 15)


@on_every_engine
def test_a_bound_that_cannot_be_kept_is_told_once_and_loses_nothing(
    open_memory: Opener, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    system = open_memory(redis_max_bytes=1)
    for step in range(10):
        for agent in AGENTS:
            store(system, agent, step)
    system.maintain()
    system.maintain()
    reported = [
        record.getMessage() for record in caplog.records if record.levelno == logging.WARNING
    ]
    # Where the server tells nothing the tiers are asked, and those are empty now.
    assert len(reported) == (0 if system.redis_engine.kind == "fake" else 1)
    assert all("redis_max_bytes=1 cannot be kept" in message for message in reported)
    assert tier_counts(system, *AGENTS) == (0, 0, 400)
    found_once(system, 10)
