"""Whatever is asked has one answer, on every engine and however the entries are spread over tiers.

Held against a memory in this process that has all of them in short-term memory; what is asked by
fields alone is held against the reference repository in ``test_whose``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_memory import AgentMemorySystem, Hit, MemoryConfig, MemoryEntry, Order, Query, Rank
from agent_memory.testing.questions import random_entries, random_query
from tests.engines import usually_on
from tests.memories import Opener, any_path, lay_out

RANKS: tuple[Any, ...] = (
    *("generative_agents", "freshness"),
    Rank(relevance=1.0, recency=0.5, importance=0.1, decay=0.9, per=2),
    Rank(recency=1.0, unit="seconds", decay=0.5, per=1_000, since="accessed", now=3e4),
)
ACROSS_TIERS = pytest.mark.parametrize(
    "places",
    [(0, 1, 2), pytest.param((2,), marks=pytest.mark.long)],
    ids=["mixed", "below"],
)
pytestmark = any_path


def entries_of(rng: random.Random) -> list[MemoryEntry]:
    """Random entries with a number in each, and accesses that go their own way."""
    return [
        replace(
            entry,
            last_access_time=3_600.0 * rng.randrange(8),
            contents={**entry.contents, "heat": round(rng.gauss(0.0, 1.0), 3)},
        )
        for entry in random_entries(rng, 90)
    ]


@pytest.fixture
def reference(tmp_path: Path, clock: Callable[[], float]) -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(MemoryConfig(engine="fake", path=tmp_path / "all"), clock=clock) as held:
        yield held


def keys(hits: Sequence[Hit]) -> list[Any]:
    return [hit.entry.key for hit in hits]


def assert_same(found: Sequence[Hit], expected: Sequence[Hit], asked: object) -> None:
    """The same entries by the same scores; in the same order where those differ."""
    assert len(found) == len(expected), asked
    scores = {hit.entry.key: hit.score or 0.0 for hit in expected}
    for mine, theirs in zip(found, expected, strict=True):
        score = scores[theirs.entry.key]
        assert (mine.score is None) is (theirs.score is None), asked
        assert abs((mine.score or 0.0) - score) <= 1e-6, asked
        if theirs.score is None:
            assert mine.entry.key == theirs.entry.key, asked
        assert abs(scores[mine.entry.key] - score) <= 1e-6, asked


def ways(rng: random.Random, entries: Sequence[MemoryEntry]) -> Iterator[dict[str, Any]]:
    """Ways to ask beyond a query's fields."""
    while True:
        state = {**rng.choice(entries).contents, "heat": rng.gauss(0.0, 1.0)}
        near: Mapping[str, Any] = rng.choice((state, {"heat": 0.3}, {"mood": "calm"}, {"none": 1}))
        diverse = rng.choice((0.0, 0.3, 1.0))
        yield {"near": near}
        yield {"near": near, "rank": rng.choice(RANKS)}
        yield {"rank": rng.choice((*RANKS[1::2], Rank(importance=1.0)))}
        yield {"near": near, "diverse": diverse, "limit": 4}
        yield {"near": near, "rank": RANKS[2], "diverse": diverse, "limit": 3}
        yield {"diverse": diverse, "limit": 5}


def laid_out(
    open_memory: Opener, reference: AgentMemorySystem, places: Sequence[int]
) -> tuple[AgentMemorySystem, list[MemoryEntry], random.Random]:
    """A memory with entries in some tiers, which the reference has in one; and what drew them."""
    rng = random.Random(str(places))
    memory, entries = open_memory(), entries_of(rng)
    lay_out(memory, entries, rng, places)
    reference.stm.add_many(entries)
    return memory, entries, rng


@usually_on("embedded")
@ACROSS_TIERS
def test_what_is_near_ranked_or_diverse_is_the_same(
    open_memory: Opener, reference: AgentMemorySystem, places: Sequence[int]
) -> None:
    memory, entries, rng = laid_out(open_memory, reference, places)
    for _, way in zip(range(24), ways(rng, entries), strict=False):
        query = random_query(rng)
        query = replace(query, limit=way.pop("limit", query.limit))
        asked = {**way, "touch": False}
        assert_same(memory.recall(query, **asked), reference.recall(query, **asked), (way, query))


@usually_on("tcp and postgresql")
@ACROSS_TIERS
def test_what_is_asked_about_time_is_the_same(
    open_memory: Opener, reference: AgentMemorySystem, places: Sequence[int]
) -> None:
    memory, *_ = laid_out(open_memory, reference, places)
    lives = reference.recall(Query(run_id="run", agent_id="ant", order=Order.STEP), touch=False)
    middle = lives[len(lives) // 2]
    for ask in (at_steps, histories, stretches, draws):
        assert ask(memory, lives, middle) == ask(reference, lives, middle), ask.__name__


def at_steps(memory: AgentMemorySystem, lives: Sequence[Hit], middle: Hit) -> list[Any]:
    found: list[Any] = [keys(memory.window(middle, 2, 3, touch=False))]
    for step in range(8):
        world = memory.state_at(None, step, run_id="run", touch=False)
        alone = memory.state_at("ant", step, run_id="run", memory_type=None, touch=False)
        changed = memory.difference("ant", step, 7, run_id="run")
        found.append((keys([*world.values()]), alone and alone.entry, repr(changed)))
    return found


def histories(memory: AgentMemorySystem, lives: Sequence[Hit], middle: Hit) -> list[Any]:
    found = [
        memory.history("ant", path, steps=steps, run_id="run", memory_type=None)
        for path in ("heat", "food", "odd", "home.at[0]")
        for steps in (None, (3, None))
    ]
    return [(it.steps.tolist(), [*map(repr, it.values)], it.bounds.tolist()) for it in found]


def stretches(memory: AgentMemorySystem, lives: Sequence[Hit], middle: Hit) -> list[Any]:
    given: tuple[Any, ...] = (lives[2:5], [dict(hit.entry.contents) for hit in lives[:2]])
    found = [
        memory.sequences_like(some, k=3, warp=warp, run_id="run", memory_type=None)
        for some in given
        for warp in (False, True)
    ]
    return [(keys(one.hits), round(one.score, 6)) for some in found for one in some]


def draws(memory: AgentMemorySystem, lives: Sequence[Hit], middle: Hit) -> list[Any]:
    return [
        keys(memory.sample(20, by, alpha=0.8, seed=3, run_id="run").hits)
        for by in ("importance", "heat", "uniform")
    ]
