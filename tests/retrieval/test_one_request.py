"""Short-term and intermediate memory are asked by one request, and nothing is missed by it."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_memory import AgentMemorySystem, EncodingError, MemoryConfig, Order, Query, Tier
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.repositories.redis.repository import RedisRepository
from agent_memory.testing import an_entry
from agent_memory.testing.questions import random_entries, random_query
from agent_memory.testing.samples import a_memory_id
from tests.engines import usually_on
from tests.memories import Opener, lay_out, requests_of, store

ANT = {"run_id": "default", "agent_id": "ant"}


@usually_on("fakeredis", "tcp and postgresql")
@pytest.mark.parametrize(
    "asked",
    [
        {"order": Order.NEWEST, "limit": 4},
        {"order": Order.STEP, "limit": 4},
        {"steps": (2, 9), "limit": None},
        {"times": (None, None), "steps": (3, None), "order": Order.NEWEST},
    ],
)
def test_a_question_is_one_request_to_both_tiers(
    open_memory: Opener, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    memory = open_memory(stm_config={"memory_limit": 3}, im_config={"memory_limit": 3})
    store(memory, "ant", *range(12))
    memory.maintain()
    found: list[Any] = []
    query = Query(agent_id="ant", **asked)
    memory.recall(query, touch=False)  # which takes the script to the server
    requests, _ = requests_of(
        memory, monkeypatch, lambda: found.extend(memory.recall(query, touch=False))
    )
    assert requests == 1
    steps = [hit.entry.step_number for hit in found]
    assert steps == {
        4: [11, 10, 9, 8] if query.order is Order.NEWEST else [0, 1, 2, 3],
    }.get(len(steps), [*range(2, 10)] if query.steps == (2, 9) else [*range(11, 2, -1)])


@usually_on("fakeredis", "embedded")
def test_what_is_near_a_state_is_one_request_while_nothing_changes(
    open_memory: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = open_memory(stm_config={"memory_limit": 3}, im_config={"memory_limit": 3})
    store(memory, "ant", *range(12))
    memory.maintain()
    near = {"step": 1, "mood": "m1"}

    def ask() -> list[int]:
        hits = memory.recall(agent_id="ant", limit=3, near=near, touch=False)
        return [hit.entry.step_number for hit in hits]

    found: list[list[int]] = []
    first = ask()
    assert first[0] == 1
    requests, _ = requests_of(memory, monkeypatch, lambda: found.append(ask()))
    assert requests == 1
    assert found == [first]


@usually_on("fakeredis", "embedded", "tcp and postgresql")
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_others_change_is_seen_by_the_next_question(open_memory: Opener, place: int) -> None:
    memory = open_memory()
    tiers = memory.stm, memory.im, memory.ltm
    tier = tiers[place]
    one, other = (an_entry(**ANT, contents={"food": float(food)}) for food in (3, 9))
    for each in tiers:
        each.add(an_entry(**ANT, contents={"food": 100.0}))

    def nearest() -> Any:
        return memory.recall(agent_id="ant", limit=1, near={"food": 3.0}, touch=False)[0]

    assert nearest().entry.contents == {"food": 100.0}
    tier.add(other)
    assert nearest().entry == other
    tier.add(one)
    assert nearest().entry == one
    changed = tier.replace(replace(one, contents={"food": 50.0}))
    assert nearest().entry == other
    tier.remove(other.key)
    assert nearest().entry == changed
    tier.clear_run("default")
    assert nearest().entry.contents == {"food": 100.0}


@pytest.mark.parametrize("seed", range(1))
def test_limited_questions_have_the_answer_of_the_reference(open_memory: Opener, seed: int) -> None:
    rng = random.Random(seed)
    memory = open_memory()
    entries = random_entries(rng)
    reference = InMemoryRepository()
    reference.add_many(entries)
    lay_out(memory, entries, rng)
    for _ in range(20):
        query = replace(random_query(rng), limit=rng.choice((1, 2, 5)), attributes={})
        for order in Order:
            asked = replace(query, order=order).of(
                rng.choice(entries).run_id, rng.choice(entries).agent_id
            )
            found = [hit.entry for hit in memory.recall(asked, touch=False)]
            assert found == reference.find(asked), asked


def test_an_index_that_names_what_is_not_there_keeps_nothing_out(tmp_path: Path) -> None:
    with AgentMemorySystem(MemoryConfig(engine="fake", path=tmp_path)) as memory:
        for tier, step in ((memory.stm, 5), (memory.im, 1), (memory.im, 2)):
            tier.add(an_entry(**ANT, step_number=step, timestamp=float(step)))
        assert isinstance(memory.stm, RedisRepository)
        prefix = memory.stm.key_space.prefix("default", "ant")
        memory.stm.channel.call("ZADD", f"{prefix}times", 9.0, "0" * 32)
        hits = memory.recall(agent_id="ant", order=Order.NEWEST, limit=2, touch=False)
        assert [hit.tier for hit in hits] == [Tier.STM, Tier.IM]


def test_a_damaged_entry_is_told_of_as_ever(tmp_path: Path) -> None:
    with AgentMemorySystem(MemoryConfig(engine="fake", path=tmp_path)) as memory:
        entry = an_entry(**ANT)
        memory.im.add(entry)
        assert isinstance(memory.im, RedisRepository)
        prefix = memory.im.key_space.prefix("default", "ant")
        memory.im.channel.call("HSET", prefix + entry.memory_id, "contents", b"\xc1")
        with pytest.raises(EncodingError, match=f"{entry.memory_id} in IM"):
            memory.recall(agent_id="ant", order=Order.NEWEST, limit=2, touch=False)


@usually_on("fakeredis", "tcp and postgresql")
def test_an_entry_in_two_tiers_counts_once_in_the_units(open_memory: Opener) -> None:
    memory = open_memory()
    entries = [an_entry(**ANT, contents={"x": float(at**2), "m": at % 2}) for at in range(8)]
    memory.stm.add_many(entries[:6])
    memory.ltm.add_many(entries[6:])

    def scores() -> list[tuple[str, float | None]]:
        hits = memory.recall(agent_id="ant", near={"x": 3.0, "m": 0}, touch=False)
        return [(hit.entry.memory_id, hit.score) for hit in hits]

    once = scores()
    memory.ltm.add_many(entries[:3])  # as a move writes below before it removes above
    assert scores() == once
    memory.stm.remove_many([entry.key for entry in entries[:2]])
    assert scores() == once
    memory.stm.add_many(entries)
    assert scores() == once


@usually_on("fakeredis", "tcp and postgresql")
def test_an_entry_below_comes_before_its_equals_above(open_memory: Opener) -> None:
    memory = open_memory()
    for number, tier in ((5, memory.stm), (1, memory.im), (9, memory.im), (3, memory.ltm),
                         (7, memory.ltm)):  # fmt: skip
        tier.add(an_entry(**ANT, memory_id=a_memory_id(number), step_number=4, timestamp=4.0))
    for order in (Order.OLDEST, Order.STEP, Order.NEWEST, Order.LATEST_STEP):
        expected = [1, 3, 5, 7, 9] if order in (Order.OLDEST, Order.STEP) else [9, 7, 5, 3, 1]
        for limit in (1, 2, 3):
            hits = memory.recall(agent_id="ant", order=order, limit=limit, touch=False)
            found = [hit.entry.memory_id for hit in hits]
            assert found == [a_memory_id(number) for number in expected[:limit]]


@usually_on("fakeredis", "tcp and postgresql")
def test_a_copy_that_a_killed_move_left_below_counts_by_the_importance_above(
    open_memory: Opener,
) -> None:
    memory = open_memory()
    moved, above, *below = (
        an_entry(**ANT, importance_score=score) for score in (0.9, 0.1, 0.8, 0.7)
    )
    memory.stm.add_many([moved, above])
    with suppress(KeyError), memory.stm.moves.noted([("default", "ant")]):
        memory.im.add_many([moved, *below])
        raise KeyError  # as if the process were killed
    for importance, expected in ((0.3, [*below, moved, above]), (0.05, [*below, above, moved])):
        last = memory.stm.get(moved.key)
        memory.stm.replace(replace(last, importance_score=importance))
        for limit in (1, 2, 3, 4):
            hits = memory.recall(agent_id="ant", order=Order.IMPORTANCE, limit=limit, touch=False)
            assert [hit.entry.key for hit in hits] == [one.key for one in expected[:limit]]
