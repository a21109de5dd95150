"""``on_expiry="drop"``: what is over its age goes with all of its places, and nobody sees it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from agent_memory import (
    AgentMemoryAPI,
    AgentMemorySystem,
    ConfigError,
    EntryNotFound,
    MemoryConfig,
    Query,
    Tier,
)
from agent_memory.testing import an_entry
from agent_memory.tiers.consolidation import Moves
from tests import engines
from tests.memories import DAY, YEAR, Clock, Opener, remembered, store, tier_counts

DROP: dict[str, Any] = {"on_expiry": "drop", "indexed_attributes": ("mood",)}


def traces(system: AgentMemorySystem, agent: str) -> list[bytes]:
    """The server's keys that speak of an agent."""
    client = system._resources.connections.stm.client
    return sorted(key for key in client.scan_iter(count=1_000) if f"/{agent}}}".encode() in key)


def test_moving_on_is_the_default(open_memory: Opener, clock: Clock) -> None:
    system = open_memory()
    assert system.config.on_expiry == "demote"
    store(system, "ant", 0)
    clock.now += YEAR
    assert system.maintain() == Moves(1, 1, dropped=0)


def test_another_way_to_expire_is_refused() -> None:
    with pytest.raises(ConfigError, match="on_expiry"):
        MemoryConfig(on_expiry="move")


@engines.usually_on("embedded+modules", "tcp and postgresql")
def test_an_entry_over_its_age_goes_with_its_places_in_all_indexes(
    open_memory: Opener, clock: Clock
) -> None:
    system = open_memory(**DROP)
    store(system, "ant", *range(6))
    store(system, "gone", *range(4))
    system.recall(Query(agent_id="ant"), near={"step": 1, "mood": "m1"})  # its vectors are kept
    clock.now += DAY
    store(system, "ant", 6, 7)
    assert system.maintain() == Moves()
    assert tier_counts(system, "ant", "gone") == (12, 0, 0)
    clock.now += 1
    assert system.maintain() == Moves(dropped=10)
    assert system.moves == Moves(dropped=10)
    assert tier_counts(system, "ant", "gone") == (2, 0, 0)
    assert system.stm.agents("default") == ["ant"]
    assert system.statistics()[Tier.STM].entries == 2
    assert traces(system, "gone") == []
    alike = system.recall(Query(agent_id="ant"), near={"step": 1, "mood": "m1"})
    assert sorted(hit.entry.step_number for hit in alike) == [6, 7]
    by_mood = Query(agent_id="ant", attributes={"mood": "m0"})
    assert [hit.entry.step_number for hit in system.recall(by_mood)] == [6]
    if system.redis_engine.has_query_engine:
        found = system.models.StmEntry
        assert found.find(found.agent_id == "gone").count() == 0
        assert found.find(found.attribute("mood") == "m0").count() == 1
    clock.now += DAY + 1
    assert system.maintain() == Moves(dropped=2)
    assert system.stm.runs() == []
    assert traces(system, "ant") == []


def test_an_entry_over_its_age_goes_with_the_next_upkeep_of_its_agents_stores(
    open_memory: Opener, clock: Clock
) -> None:
    system = open_memory(cleanup_interval=1, **DROP)
    store(system, "ant", 0, 1)
    store(system, "bee", 0)
    clock.now += DAY + 1
    store(system, "ant", 2)
    assert tier_counts(system, "ant", "bee") == (2, 0, 0)
    assert remembered(system, "ant") == [2]


def test_each_tier_drops_by_its_own_age_and_the_last_by_none(
    open_memory: Opener, clock: Clock
) -> None:
    system = open_memory(
        **DROP,
        stm_config={"ttl": int(DAY), "memory_limit": 4},
        im_config={"ttl": int(7 * DAY), "memory_limit": 3},
    )
    store(system, "ant", *range(10))
    assert system.maintain() == Moves(stm_to_im=6, im_to_ltm=3)
    clock.now += DAY + 1
    assert system.maintain() == Moves(dropped=4)
    assert tier_counts(system, "ant") == (0, 3, 3)
    assert remembered(system, "ant") == list(range(6))
    clock.now += 6 * DAY
    assert remembered(system, "ant") == [0, 1, 2]
    assert system.maintain() == Moves(dropped=3)
    clock.now += YEAR
    assert system.maintain() == Moves()
    assert tier_counts(system, "ant") == (0, 0, 3)
    assert remembered(system, "ant") == [0, 1, 2]


def test_what_is_left_over_the_limit_moves_in_the_same_upkeep(
    open_memory: Opener, clock: Clock
) -> None:
    system = open_memory(**DROP, stm_config={"ttl": int(DAY), "memory_limit": 4})
    store(system, "ant", *range(3))
    clock.now += DAY + 1
    store(system, "ant", *range(3, 9))
    assert system.maintain() == Moves(stm_to_im=2, dropped=3)
    assert remembered(system, "ant") == list(range(3, 9))
    assert tier_counts(system, "ant") == (4, 2, 0)


def test_no_question_shows_an_entry_over_its_age_before_it_is_dropped(
    open_memory: Opener, clock: Clock
) -> None:
    system = open_memory(**DROP)
    store(system, "ant", *range(4))
    (first, *_) = system.recall(Query(agent_id="ant"), touch=False)
    clock.now += DAY / 2
    store(system, "ant", 4)
    clock.now += DAY / 2
    assert remembered(system, "ant") == [0, 1, 2, 3, 4]  # as old as they may be
    clock.now += 1
    shown: dict[str, Callable[[], list[int]]] = {
        "recall": lambda: remembered(system, "ant"),
        "of all times": lambda: [
            hit.entry.step_number
            for hit in system.recall(Query(agent_id="ant", times=(0, 1e11), steps=(0, 9)))
        ],
        "by similarity": lambda: [
            hit.entry.step_number
            for hit in system.recall(Query(agent_id="ant"), near={"step": 1, "mood": "m1"})
        ],
        "by attribute": lambda: [
            hit.entry.step_number
            for hit in system.recall(Query(agent_id="ant", attributes={"mood": "m0"}))
        ],
        "recent": lambda: [
            found["step_number"] for found in system.get_memory_agent("ant").stm_store.get_recent()
        ],
        "oldest": lambda: [
            found["step_number"] for found in system.get_memory_agent("ant").stm_store.get_oldest(1)
        ],
    }
    assert {name: ask() for name, ask in shown.items()} == {name: [4] for name in shown}
    hidden = first.entry.memory_id
    assert system.fetch("ant", hidden) is None
    with pytest.raises(EntryNotFound):
        system.recall(Query(agent_id="ant"), near=hidden)
    stores = system.get_memory_agent("ant").stm_store
    assert stores.get(hidden) is stores.get_by_step(0) is None
    assert stores.count() == 1
    # Until upkeep it stands there, for those who look into the tier itself.
    assert system.stm.count("default", "ant") == 5
    assert system.maintain() == Moves(dropped=4)
    assert system.stm.count("default", "ant") == 1


def test_whoever_opens_for_reading_alone_is_shown_none_either(
    open_memory: Opener, memory_config: dict[str, Any], clock: Clock
) -> None:
    if memory_config.get("engine") == "fake":
        pytest.skip("a fake server is its opener's own")
    system = open_memory(**DROP)
    store(system, "ant", 0)
    clock.now += DAY + 1
    config = MemoryConfig(**memory_config, on_expiry="drop")
    with AgentMemorySystem(config, read_only=True, clock=clock) as beside:
        assert remembered(beside, "ant") == []
        assert beside.stm.count("default") == 1


@engines.usually_on("fakeredis", "embedded")
def test_agents_that_are_born_late_or_begin_anew_keep_their_fresh_memories(
    open_memory: Opener,
) -> None:
    system = open_memory(**DROP, stm_config={"max_age_steps": 3, "ttl": 10**9}, cleanup_interval=1)
    store(system, "elder", *range(40, 50))
    store(system, "newborn", 0, 1, 2)
    store(system, "elder", 50)
    assert remembered(system, "newborn") == [0, 1, 2]
    assert remembered(system, "elder") == [47, 48, 49, 50]
    # A sub-environment is reset.
    store(system, "elder", 0, 1)
    assert remembered(system, "elder") == [0, 1, 47, 48, 49, 50]
    system.maintain()
    assert tier_counts(system, "elder", "newborn") == (9, 0, 0)
    store(system, "newborn", 6)
    assert remembered(system, "newborn") == [6]
    # Another process knows the steps from what stands in the tiers.
    system._resources.steps.forget("default")
    assert system.maintain() == Moves()
    assert remembered(system, "elder") == [0, 1, 47, 48, 49, 50]


def test_agents_age_by_themselves_where_entries_move_too_if_it_is_said(
    open_memory: Opener,
) -> None:
    system = open_memory(stm_config={"max_age_steps": 3}, step_clock="agent")
    store(system, "elder", *range(50))
    store(system, "newborn", 0, 1, 2)
    assert system.maintain() == Moves(stm_to_im=46)
    assert remembered(system, "newborn") == [0, 1, 2]


def test_a_run_that_is_rolled_back_ages_from_where_it_is(open_memory: Opener) -> None:
    system = open_memory(**DROP, stm_config={"max_age_steps": 9, "ttl": 10**9})
    store(system, "ant", *range(10))
    system.forget_after(4)
    store(system, "ant", 5)
    assert system.maintain() == Moves()
    assert remembered(system, "ant") == [*range(6)]


def test_ages_in_steps_drop_too(open_memory: Opener) -> None:
    run_steps = {"max_age_steps": 3, "ttl": 10**9}
    system = open_memory(**DROP, stm_config=run_steps, step_clock="run")
    store(system, "idle", 2, 3)
    store(system, "ant", *range(7))
    assert remembered(system, "idle") == [3]
    assert remembered(system, "ant") == [3, 4, 5, 6]
    assert system.maintain() == Moves(dropped=4)
    assert tier_counts(system, "ant", "idle") == (5, 0, 0)


def test_steps_as_times_drop_by_steps(open_memory: Opener, clock: Clock) -> None:
    system = open_memory(**DROP, clock="steps", stm_config={"max_age_steps": 3})
    store(system, "ant", *range(7))
    clock.now += YEAR
    assert remembered(system, "ant") == [3, 4, 5, 6]
    assert system.maintain() == Moves(dropped=3)
    assert tier_counts(system, "ant") == (4, 0, 0)


def test_a_damaged_entry_over_its_age_goes_like_any_other(
    open_memory: Opener, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    system = open_memory(**DROP)
    store(system, "ant", *range(3))
    (damaged, *_) = system.stm.keys("default", "ant")
    client = system._resources.connections.stm.client
    (key,) = [key for key in traces(system, "ant") if key.endswith(damaged.memory_id.encode())]
    client.hset(key, "contents", b"\xff\xff nonsense")
    clock.now += DAY + 1
    assert system.maintain() == Moves(dropped=3)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
    assert traces(system, "ant") == []


def test_an_entry_that_comes_late_is_dropped_and_leaves_nothing(
    open_memory: Opener, clock: Clock
) -> None:
    system = open_memory(**DROP)
    system.stm.add(an_entry(run_id="default", timestamp=clock.now - YEAR))
    assert system.recall(Query(agent_id="ant")) == []
    assert system.maintain() == Moves(dropped=1)
    assert traces(system, "ant") == []


def test_the_dict_style_face_shows_none_either(
    open_memory: Opener, memory_config: dict[str, Any], clock: Clock
) -> None:
    if memory_config.get("engine") == "fake":
        pytest.skip("a fake server is its opener's own")
    api = AgentMemoryAPI({**memory_config, "on_expiry": "drop", "stm_config": {"ttl": 1}})
    try:
        api.memory_system.stm.add(an_entry(run_id="default", timestamp=1.0))
        assert api.store_agent_state("ant", {"step": 1}, 1)
        (found,) = api.retrieve_recent_states("ant")
        assert found["step_number"] == 1
    finally:
        api.memory_system.close()
