"""Time: in the default mode nothing expires unmoved, whatever the clock and the process do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_memory import AgentMemorySystem, MemoryConfig, Tier
from agent_memory.compression.levels import CompressionEngine, ContentsCodec
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.repositories.outcomes import Added
from agent_memory.repositories.redis.repository import ImRepository, StmRepository
from agent_memory.testing import an_entry
from agent_memory.testing.storing import everything
from agent_memory.tiers.consolidation import Consolidation, Moves
from tests import engines
from tests.fuzzing import examples
from tests.memories import AGES, DAY, YEAR, Clock, Opener, remembered, store, tier_counts


def test_entries_of_idle_agents_move_on_and_none_expires(open_memory: Opener, clock: Clock) -> None:
    system = open_memory()
    store(system, "idle", *range(5))
    clock.now += DAY / 2
    store(system, "busy", *range(5))
    clock.now += DAY / 2 + 1
    assert system.maintain() == Moves(stm_to_im=5)
    assert tier_counts(system, "idle", "busy") == (5, 5, 0)
    clock.now += 6 * DAY
    assert system.maintain() == Moves(5, 5)
    assert tier_counts(system, "idle", "busy") == (0, 5, 5)
    clock.now += YEAR
    assert system.maintain() == Moves(0, 5)
    assert tier_counts(system, "idle", "busy") == (0, 0, 10)
    assert remembered(system, "idle") == remembered(system, "busy") == list(range(5))


def test_entries_of_dead_agents_move_on_when_nobody_asks_for_them(
    open_memory: Opener, clock: Clock
) -> None:
    system = open_memory(cleanup_interval=1)
    store(system, "dead", *range(3))
    for day in range(30):
        clock.now += DAY
        store(system, "alive", day)
        if day == 15:
            system.maintain()
    system.maintain()
    assert tier_counts(system, "dead", "alive")[2] == 3 + 30 - 8
    assert remembered(system, "dead") == list(range(3))
    assert remembered(system, "alive") == list(range(30))


def test_a_process_that_was_down_longer_than_every_age_loses_nothing_and_moves_all_at_once(
    open_memory: Opener, memory_config: dict[str, Any], clock: Clock
) -> None:
    system = open_memory(indexed_attributes=("mood",))
    agents = [f"agent {number}" for number in range(20)]
    for agent in agents:
        store(system, agent, *range(7))
    if memory_config.get("engine") == "fake":  # whose memory ends with the system
        clock.now += YEAR
        assert system.maintain() == Moves(140, 140)
    else:
        system.close()
        clock.now += YEAR
        # Opened for reading, nothing moves and everything is there.
        config = MemoryConfig(**memory_config, **AGES, indexed_attributes=("mood",))
        with AgentMemorySystem(config, clock=clock, read_only=True) as beside:
            assert tier_counts(beside, *agents) == (140, 0, 0)
        system = open_memory(indexed_attributes=("mood",))
        assert system.moves == Moves(140, 140)
    assert tier_counts(system, *agents) == (0, 0, 140)
    assert all(remembered(system, agent) == list(range(7)) for agent in agents)
    assert system.maintain() == Moves()


@pytest.mark.parametrize("back", [3_600.0, 3 * DAY, YEAR, 40 * YEAR])
def test_a_clock_that_is_set_back_loses_doubles_and_hurries_nothing_and_nothing_is_stuck(
    open_memory: Opener, clock: Clock, back: float
) -> None:
    system = open_memory()
    store(system, "ant", *range(4))
    clock.now -= back
    store(system, "ant", *range(4, 8))
    assert system.maintain() == Moves()
    clock.now += DAY
    assert system.maintain() == Moves()
    clock.now += 3_601
    # Each was there for more than a day by now, as far as any clock can tell.
    assert system.maintain() == Moves(stm_to_im=8)
    assert tier_counts(system, "ant") == (0, 8, 0)
    clock.now += 11 * DAY
    assert system.maintain() == Moves(im_to_ltm=8)
    assert tier_counts(system, "ant") == (0, 0, 8)
    assert remembered(system, "ant") == list(range(8))


def test_a_clock_that_jumped_forward_and_back_leaves_nothing_stuck(
    open_memory: Opener, clock: Clock
) -> None:
    system = open_memory()
    store(system, "ant", *range(3))
    clock.now += 10 * YEAR
    store(system, "ant", *range(3, 6))
    clock.now -= 10 * YEAR
    store(system, "ant", *range(6, 9))
    assert system.maintain() == Moves()
    clock.now += DAY + 1
    assert system.maintain() == Moves(stm_to_im=9)
    clock.now += 7 * DAY + 1
    assert system.maintain() == Moves(im_to_ltm=9)
    assert tier_counts(system, "ant") == (0, 0, 9)
    assert remembered(system, "ant") == list(range(9))


def test_what_came_while_a_note_holds_is_not_moved_for_its_age(
    open_memory: Opener, clock: Clock
) -> None:
    system = open_memory()
    clock.now += YEAR
    store(system, "ant", 0)
    clock.now -= YEAR
    system.maintain()
    # Another machine's clock is ahead by an hour, all the time.
    for step in range(1, 30):
        clock.now += 3_600
        store(system, "ant", step)
        clock.now -= 3_600
        system.maintain()
        # Each leaves when it is a day old, the first when it was there for a day.
        left = max(step - 25, 0)
        assert tier_counts(system, "ant") == (step + 1 - left, left, 0)
        clock.now += 3_600
    assert remembered(system, "ant") == list(range(30))


def test_ages_in_steps_count_from_where_the_simulation_is(open_memory: Opener) -> None:
    system = open_memory(stm_config={"max_age_steps": 10}, cleanup_interval=1)
    store(system, "ant", *range(990, 1_000))
    store(system, "idle", 995)
    # A new episode counts its steps from 0.
    store(system, "ant", *range(5))
    assert system.maintain() == Moves()
    assert tier_counts(system, "ant", "idle") == (16, 0, 0)
    store(system, "ant", 1_006)
    assert system.maintain() == Moves(stm_to_im=1)
    assert remembered(system, "ant") == [*range(5), *range(990, 1_000), 1_006]


def test_what_was_cleared_under_a_clock_that_was_ahead_moves_on_when_it_is_stored_anew(
    open_memory: Opener, clock: Clock
) -> None:
    small = {"stm_config": {"memory_limit": 2}, "im_config": {"memory_limit": 2}}
    system = open_memory(clock="steps", **small)
    store(system, "ant", *range(10))
    system.maintain()
    clock.now += YEAR
    assert system.clear_all_memories()
    clock.now -= YEAR
    store(system, "ant", *range(10))
    system.maintain()  # which finds that the clock was set back
    clock.now += 1
    system.maintain()
    assert tier_counts(system, "ant") == (2, 2, 6)
    assert remembered(system, "ant") == list(range(10))


def test_a_copy_that_was_read_under_a_clock_that_was_ahead_brings_nothing_forgotten_back(
    open_memory: Opener, clock: Clock
) -> None:
    system = open_memory()
    entry = an_entry(run_id="default")
    system.stm.add(entry)
    clock.now += YEAR
    moment = system.ltm.moment()
    assert system.forget("ant").entries == 1
    clock.now -= YEAR
    for _ in range(3):
        assert system.ltm.take_over([entry], moment) == [Added.STALE]
        clock.now += 1
    assert remembered(system, "ant") == []


# -- any history of the clock -------------------------------------------------------------------

_SECONDS = st.sampled_from([1.0, 30.0, 99.0, 101.0, 400.0, 1e4, 1e7])
_HISTORY = st.lists(
    st.one_of(
        st.tuples(st.just("store"), st.sampled_from(["ant", "bee"])),
        st.tuples(st.sampled_from(["forward", "back"]), _SECONDS),
        st.tuples(st.just("upkeep"), st.none()),
    ),
    max_size=25,
)


@pytest.mark.parametrize("engine", ["in memory", "redis"])
@settings(max_examples=examples(40), deadline=None)
@given(history=_HISTORY)
def test_whatever_the_clock_does_nothing_is_lost_or_doubled_and_nothing_stays_for_ever(
    engine: str, history: list[tuple[str, Any]]
) -> None:
    clock = Clock()
    channel = RedisChannel(engines.fake_client(), "fakeredis", in_process=True)
    stm: MemoryRepository = InMemoryRepository(Tier.STM)
    im: MemoryRepository = InMemoryRepository(Tier.IM)
    if engine == "redis":
        stm = StmRepository(channel, ContentsCodec(), namespace="stm", clock=clock)
        im = ImRepository(channel, ContentsCodec(), namespace="im", clock=clock)
    ltm = InMemoryRepository(Tier.LTM)
    config = MemoryConfig(stm_config={"ttl": 100}, im_config={"ttl": 200})
    consolidation = Consolidation(stm, im, ltm, CompressionEngine(), config)
    stored = []
    for what, value in history:
        match what:
            case "store":
                stored.append(an_entry(agent_id=value, timestamp=clock.now))
                stm.add(stored[-1])
            case "forward":
                clock.now += value
            case "back":
                clock.now -= value
            case "upkeep":
                consolidation.consolidate("run", None, clock.now, None)
        keys = [entry.key for tier in (stm, im, ltm) for entry in everything(tier)]
        assert sorted(keys) == sorted(entry.key for entry in stored)
    # An age until they are noted, one until they leave, and the same once more for what the first
    # note did not speak of.
    for _ in range(5):
        consolidation.consolidate("run", None, clock.now, None)
        clock.now += 101
    assert stm.count("run") == 0
    for _ in range(5):
        consolidation.consolidate("run", None, clock.now, None)
        clock.now += 201
    assert im.count("run") == 0
    assert len(everything(ltm)) == len(stored)
