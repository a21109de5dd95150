"""Sampling: the exact probabilities, the same on every engine, and importances written back."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_memory import (
    AgentMemorySystem,
    EntryKey,
    InvalidEntry,
    MemoryConfig,
    MemoryEntry,
    StoreReadOnly,
    Tier,
)
from agent_memory.testing import an_entry
from agent_memory.testing.samples import a_memory_id
from tests.engines import usually_on
from tests.memories import Opener, lay_out, requests_of

RUN = "default"


def spread(memory: AgentMemorySystem, rng: random.Random, count: int = 60) -> list[MemoryEntry]:
    """Entries of three agents over all tiers, some of them in two as while they move."""
    entries = [
        an_entry(
            memory_id=a_memory_id(number), run_id=RUN, agent_id=rng.choice(("ant", "bee", "c:d")),
            step_number=number % 20, importance_score=rng.choice((0.0, 0.1, 0.5, 1.0)),
            contents={"food": number % 5, "mood": "calm"},
        )
        for number in range(count)
    ]  # fmt: skip
    lay_out(memory, entries, rng)
    return entries


def _fits(counts: list[int], expected: list[float]) -> bool:
    """Pearson's test: false for less than one in some ten thousand of true draws."""
    squares = sum((n - each) ** 2 / each for n, each in zip(counts, expected, strict=True))
    freedom = len(counts) - 1
    return squares < freedom + 4.0 * math.sqrt(2.0 * freedom) + 8.0


@usually_on("embedded", "tcp and postgresql")
def test_draws_have_the_exact_probabilities_whatever_the_engine(open_memory: Opener) -> None:
    memory = open_memory()
    entries = spread(memory, random.Random(1))
    ways: tuple[tuple[dict[str, Any], Callable[[MemoryEntry], float]], ...] = (
        ({"alpha": 0.5}, lambda it: math.sqrt(it.importance_score)),
        ({"by": "uniform"}, lambda it: 1.0),
        ({"by": "food", "alpha": 2.0}, lambda it: it.contents["food"] ** 2.0),
        ({"alpha": 1.0, "steps": (5, 9), "agents": ["ant", "bee"]},
         lambda it: it.importance_score * (5 <= it.step_number <= 9 and it.agent_id != "c:d")),
    )  # fmt: skip
    for asked, weight in ways:
        weights = {entry.key: weight(entry) for entry in entries}
        total = sum(weights.values())
        batch = memory.sample(4_000, seed=7, beta=1.0, **asked)
        drawn = Counter(hit.entry.key for hit in batch.hits)
        possible = [key for key, each in weights.items() if each]
        assert drawn.keys() <= set(possible)
        expected = [weights[key] / total * len(batch) for key in possible]
        assert _fits([drawn[key] for key in possible], expected), asked
        exact = np.array([weights[hit.entry.key] / total for hit in batch.hits])
        assert np.allclose(batch.probabilities, exact, rtol=1e-9)
        least = min(weights[key] for key in possible) / total
        assert np.allclose(batch.weights, least / exact, rtol=1e-9)
        again = memory.sample(4_000, seed=7, beta=1.0, **asked)
        assert [hit.entry.key for hit in again.hits] == [hit.entry.key for hit in batch.hits]


def test_the_same_seed_draws_the_same_wherever_the_entries_are(tmp_path: Path) -> None:
    drawn = []
    for number in range(3):
        config = MemoryConfig(engine="fake", path=tmp_path / str(number))
        with AgentMemorySystem(config) as memory:
            entries = spread(memory, random.Random(1))
            for entry in entries if number == 2 else ():
                for tier in (memory.stm, memory.im):
                    tier.remove(entry.key)
                memory.ltm.add(entry)
            batch = memory.sample(50, seed=3)
            drawn.append([hit.entry.key for hit in batch.hits])
            assert {hit.tier for hit in batch.hits} == ({Tier.LTM} if number == 2 else {*Tier})
    assert drawn[0] == drawn[1] == drawn[2]


@usually_on("embedded", "tcp and postgresql")
def test_what_came_went_moved_and_changed_is_drawn_as_it_is_now(open_memory: Opener) -> None:
    rng = random.Random(2)
    memory = open_memory()
    entries = {entry.key: entry for entry in spread(memory, rng)}
    tiers = memory.stm, memory.im, memory.ltm
    for turn in range(6):
        drawn = {hit.entry.key for hit in memory.sample(600, by="uniform", seed=turn).hits}
        assert drawn == entries.keys()
        for key in rng.sample(sorted(entries), 3):
            for above, below in ((memory.im, memory.ltm), (memory.stm, memory.im)):
                for entry in above.get_many([key]):
                    below.add(entry)
                    above.remove(key)
        gone = rng.choice(sorted(entries))
        for tier in tiers:
            tier.remove(gone)
        del entries[gone]
        new = an_entry(memory_id=a_memory_id(1_000 + turn), run_id=RUN, importance_score=0.0)
        rng.choice(tiers).add(new)
        entries[new.key] = new
        chosen = rng.sample(sorted(entries), 4)
        assert memory.update_importance(dict.fromkeys(chosen, 0.75)) == []
        only = memory.sample(300, seed=turn, agents=[chosen[0].agent_id])
        assert chosen[0] in {hit.entry.key for hit in only.hits}


@usually_on("embedded", "tcp and postgresql")
def test_importances_are_written_back_by_one_request_a_tier(
    open_memory: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = open_memory()
    entries = spread(memory, random.Random(3))
    batch = memory.sample(40, by="uniform", seed=1)
    wanted = {hit.entry.memory_id: 0.25 for hit in batch.hits}
    memory.update_importance({entries[0].key: 0.9})  # which takes the script to the servers
    sent = requests_of(memory, monkeypatch, lambda: memory.update_importance(wanted))
    assert sent[0] == 2
    assert sent[1] <= 2  # one finds the rows, one locks them
    again = memory.recall(run_id=RUN, touch=False)
    before = {entry.key: entry for entry in entries}
    for hit in again:
        changed = hit.entry.memory_id in wanted
        assert (hit.entry.importance_score == 0.25) or not changed
        if changed and before[hit.entry.key].importance_score != 0.25:
            assert hit.entry.revision >= 1
    assert {hit.entry.memory_id for hit in memory.recall(importance=(0.25, 0.25))} >= wanted.keys()


def test_an_entry_that_moves_keeps_the_importance_that_was_written_meanwhile(
    open_memory: Opener,
) -> None:
    memory = open_memory()
    entry = an_entry(run_id=RUN, importance_score=0.5)
    memory.stm.add(entry)
    copied = memory.stm.get(entry.key)
    memory.im.add(copied)
    memory.update_importance({entry.memory_id: 0.125})
    (outcome,) = memory.stm.remove_copied([copied])
    assert outcome.name == "CHANGED"
    memory.im.add(memory.stm.get(entry.key))
    assert memory.im.get(entry.key).importance_score == 0.125
    assert memory.update_importance({entry.key: 0.75}) == []
    assert memory.recall(importance=(0.75, 0.75))[0].tier is Tier.STM


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(MemoryConfig(engine="fake", path=tmp_path)) as memory:
        for step in range(6):
            for agent in ("ant", "bee"):
                memory.store_agent_state(agent, {"food": step, "mood": "calm"}, step)
        yield memory


def test_what_is_not_there_is_not_drawn(memory: AgentMemorySystem) -> None:
    assert len(memory.sample(5, agents="nobody")) == 0
    assert len(memory.sample(5, run_id="nowhere")) == 0
    assert len(memory.sample(0)) == 0
    assert len(memory.sample(5, steps=(500, None))) == 0
    batch = memory.sample(50, by="food", alpha=1.0, agents="ant", seed=np.random.default_rng(1))
    assert {hit.entry.contents["food"] for hit in batch.hits} == {1, 2, 3, 4, 5}
    assert repr(batch) == "Sample(50 hits, 5 different)"
    memory.get_memory_agent("ant").clear_memory()
    assert {hit.entry.agent_id for hit in memory.sample(50).hits} == {"bee"}


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"n": -1}, "n"),
        ({"n": 1.5}, "n"),
        ({"alpha": -1.0}, "alpha"),
        ({"beta": math.nan}, "beta"),
        ({"alpha": math.inf}, "alpha"),
        ({"by": ""}, "path"),
        ({"by": "mood"}, "are 0"),
        ({"by": "food", "alpha": 1e6}, "no number"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"seed": "x"}, "seed"),
        ({"steps": (5, 2)}, "ends before it begins"),
        ({"agents": [1.5]}, "agent_id"),
    ],
)
def test_what_cannot_be_drawn_by_is_refused(
    memory: AgentMemorySystem, asked: dict[str, Any], wanted: str
) -> None:
    with pytest.raises(InvalidEntry, match=wanted):
        memory.sample(**{"n": 4} | asked)


def test_a_path_that_nothing_has_is_told_where_it_is_drawn_by(memory: AgentMemorySystem) -> None:
    with pytest.warns(UserWarning, match="foood.*food"), pytest.raises(InvalidEntry, match="foood"):
        memory.sample(4, by="foood")


def test_weights_far_apart_draw_the_likeliest_and_warn_of_nothing(
    memory: AgentMemorySystem,
) -> None:
    batch = memory.sample(20, by="food", alpha=440.0, beta=9.0, agents="ant", seed=1)
    assert {hit.entry.contents["food"] for hit in batch.hits} == {5}
    assert batch.weights.tolist() == [0.0] * 20


def test_importances_of_what_is_not_there_are_named_and_bad_ones_change_nothing(
    memory: AgentMemorySystem,
) -> None:
    entry = memory.recall(agent_id="ant", limit=1)[0].entry
    assert memory.update_importance({}) == []
    assert memory.update_importance({a_memory_id(5): 0.5, entry.memory_id: 0.5}) == [a_memory_id(5)]
    for bad in ({entry.memory_id: 2.0}, {entry.memory_id: math.nan}, {"": 0.5}, [entry.memory_id],
                {EntryKey("other", "ant", entry.memory_id): 0.5}):  # fmt: skip
        with pytest.raises(InvalidEntry):
            memory.update_importance(bad)  # type: ignore[arg-type]
    memory.stm.add(an_entry(memory_id=entry.memory_id, run_id="default", agent_id="twin"))
    with pytest.raises(InvalidEntry, match="several agents"):
        memory.update_importance({entry.memory_id: 0.1})
    found = memory.recall(agent_id="ant", limit=1)[0].entry
    assert (found.importance_score, found.revision) == (0.5, 1)
    assert memory.update_importance({found.key: 0.5}) == []
    assert memory.recall(agent_id="ant", limit=1)[0].entry.revision == 1


def test_a_memory_opened_read_only_is_sampled_and_not_changed(tmp_path: Path) -> None:
    config = MemoryConfig(engine="embedded", path=tmp_path)
    with AgentMemorySystem(config) as memory:
        memory.store_agent_state("ant", {"food": 1}, 0)
        with AgentMemorySystem.open(tmp_path, read_only=True) as reader:
            (hit,) = reader.sample(1).hits
            with pytest.raises(StoreReadOnly):
                reader.update_importance({hit.entry.memory_id: 0.5})
            with pytest.raises(StoreReadOnly):
                reader.stm.importance.set({hit.entry.key: 0.5})


def test_what_is_over_its_age_or_waits_is_drawn_as_it_is_shown(tmp_path: Path) -> None:
    config = MemoryConfig(
        engine="fake", path=tmp_path, on_expiry="drop", stm_config={"max_age_steps": 2}
    )
    with AgentMemorySystem(config, upkeep=False) as memory:
        for step in range(6):
            memory.store_agent_state("ant", {"food": step}, step)
        drawn = {hit.entry.step_number for hit in memory.sample(100, seed=1).hits}
        assert drawn == {3, 4, 5}
