"""Questions about several agents and runs over all tiers: whose, how many requests, no leaks."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_memory import ALL_RUNS, AgentMemorySystem, InvalidEntry, MemoryConfig, Order, Query, Tier
from agent_memory.testing import an_entry
from agent_memory.testing.questions import random_query
from tests.engines import usually_on
from tests.memories import Opener, any_path, laid_out, requests_of


@usually_on("fakeredis", "embedded")
def test_everyone_at_a_step_is_one_request_a_tier(
    open_memory: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = open_memory(stm_config={"memory_limit": 2}, im_config={"memory_limit": 2})
    for step in range(6):
        memory.store_step(step, {f"ant {number}": {"food": step} for number in range(25)})
    memory.maintain()
    memory.recall(steps=(0, 1), touch=False)  # which takes the script to the server
    for step, tier in ((5, Tier.STM), (3, Tier.IM), (0, Tier.LTM)):
        found: list[Any] = []
        query = Query(steps=(step, step))
        ask = lambda: found.extend(memory.recall(query, touch=False))  # noqa: B023, E731
        assert requests_of(memory, monkeypatch, ask) == (2, 1)
        assert {hit.tier for hit in found} == {tier}
        assert sorted(hit.entry.agent_id for hit in found) == sorted(
            f"ant {number}" for number in range(25)
        )


@any_path
@pytest.mark.parametrize("seed", range(3))
def test_any_question_over_any_split_of_tiers_has_the_answer_of_the_reference(
    open_memory: Opener, seed: int
) -> None:
    rng = random.Random(seed)
    memory = open_memory()
    reference = laid_out(memory, rng, ((0,), (2,), (0, 1, 2))[seed])
    for _ in range(40):
        query = random_query(rng)
        answers = memory.recall(query, touch=False)
        assert [hit.entry for hit in answers] == reference.find(query), query


def test_a_question_may_be_made_of_its_fields(tmp_path: Path) -> None:
    config = MemoryConfig(engine="fake", path=tmp_path)
    with AgentMemorySystem(config) as memory:
        for step in range(6):
            memory.store_agent_state(7, {"food": step}, step)
            memory.run("other").store_agent_state(7, {"food": -step}, step)

        def foods(**asked: Any) -> list[int]:
            return [hit.entry.contents["food"] for hit in memory.recall(**asked, touch=False)]

        assert foods(agent_id=7, steps=(4, None)) == [4, 5]
        assert foods(agent_id=[np.int64(7)], steps=(None, np.int32(0))) == [0]
        assert foods(run_id="other", order=Order.NEWEST, limit=np.int8(1)) == [-5]
        assert len(foods(run_id=ALL_RUNS)) == len(foods(run_id=["other", "default"])) == 12
        assert foods(agent_id="nobody") == foods(run_id="nowhere") == foods(agent_id=[]) == []
        assert foods(agent_id=7, limit=0) == []
        assert len(foods(agent_id=7, limit=1_000_000)) == 6


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"query": {"agent_id": "a"}}, "a Query is needed"),
        ({"query": None}, "a Query is needed"),
        ({}, "a Query is needed"),
        ({"query": Query(), "limit": 3}, "not both"),
        ({"agent": "a"}, "no argument agent; write agent_id"),
        ({"agent_id": "a", "steps": (5, 2)}, "ends before it begins"),
        ({"agent_id": "a", "steps": 5}, "a pair"),
        ({"agent_id": ["a", 1.5]}, "agent_id"),
        ({"agent_id": "a", "limit": -1}, "negative"),
        ({"agent_id": ["a", "b"], "near": "0" * 32}, "one agent is needed"),
    ],
)
def test_what_is_no_question_is_refused_and_says_what_is_wanted(
    tmp_path: Path, asked: dict[str, Any], wanted: str
) -> None:
    with (
        AgentMemorySystem(MemoryConfig(engine="fake", path=tmp_path)) as memory,
        pytest.raises(InvalidEntry, match=wanted),
    ):
        memory.recall(**asked)


def test_entries_over_their_age_are_shown_to_nobody_whoever_is_asked_for(tmp_path: Path) -> None:
    config = MemoryConfig(
        engine="fake", path=tmp_path, on_expiry="drop", stm_config={"max_age_steps": 2}
    )
    with AgentMemorySystem(config, upkeep=False) as memory:
        for step in range(6):
            for agent in ("ant", "bee"):
                memory.store_agent_state(agent, {"food": step}, step)
        memory.stm.add(an_entry(run_id="default", agent_id="ant", step_number=0, pinned=True))
        shown = [hit.entry.step_number for hit in memory.recall(order=Order.STEP, touch=False)]
        assert shown == [0, 3, 3, 4, 4, 5, 5]
        assert memory.recall(steps=(1, 2)) == []


def test_what_many_agents_answer_is_forgotten_together(tmp_path: Path) -> None:
    with AgentMemorySystem(MemoryConfig(engine="fake", path=tmp_path)) as memory:
        for agent in ("ant", "bee", "cat"):
            memory.store_agent_state(agent, {"food": 1}, 0)
        receipt = memory.forget(query=Query(agent_id=["ant", "bee"]))
        assert (receipt.agents, receipt.entries) == (("ant", "bee"), 2)
        assert [hit.entry.agent_id for hit in memory.recall(steps=(0, None))] == ["cat"]
        with pytest.raises(InvalidEntry, match="one run"):
            memory.forget(query=Query(run_id=ALL_RUNS))
