"""What stood at a step, how a value went, what changed, what was around: over all tiers."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest

from agent_memory import (
    AgentMemorySystem,
    EntryNotFound,
    InvalidEntry,
    MemoryType,
    Order,
    Query,
    Tier,
)
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.retrieval.timeline import difference
from agent_memory.testing import an_entry
from agent_memory.testing.questions import random_query
from tests.engines import usually_on
from tests.memories import Opener, laid_out


@pytest.fixture
def memory(open_memory: Opener) -> AgentMemorySystem:
    """Ten steps of an ant, three of them in each tier, and of a bee that skips some."""
    opened = open_memory(stm_config={"memory_limit": 4}, im_config={"memory_limit": 3})
    for step in range(10):
        opened.store_agent_state("ant", {"food": step / 2, "pos": (step, 1), "mood": "calm"}, step)
        opened.store_agent_action("ant", {"action_type": "dig"}, step)
        if step in (2, 5):
            opened.store_agent_state("bee", {"food": "none" if step == 2 else 5}, step)
    opened.run("other").store_agent_state("ant", {"food": -1.0}, 3)
    opened.maintain()
    return opened


def test_the_latest_state_at_or_before_a_step_is_given(memory: AgentMemorySystem) -> None:
    for step in (0, 4, 9, 50):
        hit = memory.state_at("ant", step)
        assert hit is not None
        assert hit.entry.step_number == min(step, 9)
        assert hit.entry.memory_type is MemoryType.STATE
    hit = memory.state_at("bee", np.int64(4))  # type: ignore[call-overload]
    assert hit.entry.contents == {"food": "none"}
    assert memory.state_at("bee", 1) is None
    assert memory.state_at("nobody", 5) is None
    assert memory.state_at("ant", 5, run_id="nowhere") is None
    assert memory.state_at("ant", -1) is None
    with pytest.raises(InvalidEntry, match="step: an integer is needed, not None"):
        memory.state_at("ant", None)  # type: ignore[call-overload]
    world = memory.state_at(None, 4)
    assert {name: hit.entry.step_number for name, hit in world.items()} == {"ant": 4, "bee": 2}
    assert [*memory.state_at(["ant", "bee", "cat"], 1)] == ["ant"]
    assert memory.state_at(["ant"], 3, run_id="other")["ant"].entry.contents == {"food": -1.0}
    for several in ({"ant": 1}.keys(), np.array(["ant"]), ("ant",), {"ant"}):
        assert [*memory.state_at(several, 4)] == ["ant"], "a list of one is a list"
    acted = memory.state_at("ant", 4, memory_type="action")
    assert acted is not None
    assert acted.entry.contents == {"action_type": "dig"}


def test_a_history_has_every_value_with_its_tier(memory: AgentMemorySystem) -> None:
    history = memory.history("ant", "food")
    assert history.steps.tolist() == [*range(10)]
    assert history.values.dtype == np.float64
    assert history.values.tolist() == [step / 2 for step in range(10)]
    assert history.bounds.tolist() == [0.0] * 10
    assert [*dict.fromkeys(history.tiers)] == [Tier.LTM, Tier.IM, Tier.STM]
    assert memory.history("ant", "pos[0]", steps=(7, None)).values.tolist() == [7, 8, 9]
    assert memory.history("ant", "pos", steps=(3, 3)).values.tolist() == [(3, 1)]
    assert memory.history("bee", "food").values.tolist() == ["none", 5]
    assert len(memory.history("nobody", "food")) == 0
    with pytest.warns(UserWarning, match="food"):
        assert len(memory.history("ant", "foood")) == 0
    with pytest.raises(InvalidEntry, match="one agent"):
        memory.history(["ant", "bee"], "food")  # type: ignore[arg-type]


def test_a_difference_names_what_was_added_removed_and_changed(memory: AgentMemorySystem) -> None:
    changed = memory.difference("ant", 2, 4)
    assert changed.changed == {"food": (1.0, 2.0), "pos": ((2, 1), (4, 1))}
    assert not changed.added
    assert not changed.removed
    assert not memory.difference("ant", 9, 50)
    assert memory.difference("bee", 0, 2).added == {"food": "none"}
    assert not memory.difference("nobody", 0, 5)


def test_numbers_within_the_bounds_of_both_have_not_changed() -> None:
    one = an_entry(contents={"x": 1.0, "pos": [1.0, 2.0], "n": float("nan"), "gone": 1})
    for bounds, changed in (({"x": 0.2, "pos[0]": 0.2}, set()), (None, {"x", "pos"})):
        other = an_entry(
            contents={"x": 1.1, "pos": [1.1, 2.0], "n": float("nan"), "new": [1]},
            error_bounds=bounds,
        )
        found = difference(one, other)
        assert {*found.changed} == changed
        assert (found.removed, found.added) == ({"gone": 1}, {"new": [1]})


def test_a_window_is_what_stands_around_a_memory(memory: AgentMemorySystem) -> None:
    every = memory.recall(agent_id="ant", touch=False)
    middle = every[9]
    for given in (middle, middle.entry, middle.entry.key, middle.entry.memory_id):
        assert memory.window(given, 2, 3, touch=False) == every[7:13]
    assert memory.window(middle.entry.memory_id, agent_id="ant", touch=False) == every[4:15]
    assert memory.window(every[0], 5, 0) == every[:1]
    assert memory.window(middle, 10**6, 10**6, touch=False) == every
    with pytest.raises(EntryNotFound):
        memory.window("0" * 32)
    with pytest.raises(InvalidEntry, match="before"):
        memory.window(middle, -1)


def test_a_window_among_entries_of_one_time_is_in_order(memory: AgentMemorySystem) -> None:
    memory.stm.add_many([an_entry(run_id="default", agent_id="c", timestamp=1.0) for _ in range(9)])
    every = memory.recall(agent_id="c", touch=False)
    assert memory.window(every[4], 2, 2, touch=False) == every[2:7]


@usually_on("tcp and postgresql")
def test_counts_and_first_ones_are_those_of_the_reference(open_memory: Opener) -> None:
    rng = random.Random(5)
    memory = open_memory()
    tiers: tuple[MemoryRepository, ...] = memory.stm, memory.im, memory.ltm
    reference = laid_out(memory, rng)
    for _ in range(40):
        query = random_query(rng)
        with warnings.catch_warnings(action="ignore"):  # of paths that nothing has
            assert memory.count(query) == len(reference.find(query)), query
    for tier in tiers:
        whole = InMemoryRepository(tier.tier)
        whole.add_many(tier.find(Query(run_id=["run", "run 2", "{run}/3"])))
        for order in Order:
            query = Query(run_id=["run", "run 2"], steps=(None, 5), order=order)
            for asked in (query, query.of("run", "ant")):
                firsts = [sorted(each.first_of_each(asked), key=_key) for each in (tier, whole)]
                assert firsts[0] == firsts[1]
                assert firsts[0]


def _key(entry: Any) -> Any:
    return entry.key
