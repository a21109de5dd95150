"""How a question is answered: the index that each tier goes by, and what is read for it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from agent_memory import AgentMemorySystem, InvalidEntry, MemoryConfig, Order, between
from agent_memory.testing.questions import random_entries, random_query
from tests.engines import usually_on
from tests.memories import Opener, any_path


@usually_on("embedded", "tcp and postgresql")
def test_each_tier_says_its_index_and_reads_no_more_than_that_gives(open_memory: Opener) -> None:
    memory = open_memory(
        stm_config={"memory_limit": 20}, im_config={"memory_limit": 20},
        indexed_attributes=("food",),
    )  # fmt: skip
    for step in range(200):
        memory.store_agent_state("ant", {"food": step, "mood": f"m{step % 2}"}, step)
    memory.maintain()
    # A server's database has counted nothing yet, and may go by another index.
    by_step = "step_number" if memory.sql_engine.dialect.name == "sqlite" else "agent_ltm"
    for query, ways, read in (
        ({"steps": (3, 5)}, ("steps 3.0 to 5.0", by_step), (0, 0, 3)),
        ({"steps": (160, 183)}, ("steps 160.0 to 183.0", by_step), (4, 20, 0)),
        # The clock stands still, so that all have the same time.
        ({"order": Order.NEWEST, "limit": 5}, ("first of times", ""), (5, 5, 5)),
        ({"order": Order.LATEST_STEP, "limit": 5}, ("first of steps", ""), (5, 0, 0)),
        ({"attributes": {"mood": "m1"}}, ("scan of times", ""), (20, 20, 160)),
        ({"attributes": {"food": between(7, 9)}}, ("number:food 7.0 to 9.0", ""), (0, 0, None)),
    ):
        plans = memory.explain(agent_id="ant", **query).tiers
        assert ways[0] in plans[0].way
        assert ways[1] in plans[2].way
        for plan, number in zip(plans, read, strict=True):
            assert number in (plan.read, None)
            assert plan.found <= plan.read
        assert [plan.expected for plan in plans[:2]] == [plan.read for plan in plans[:2]]


@any_path
def test_what_is_explained_is_what_is_answered(open_memory: Opener) -> None:
    rng = random.Random(5)
    memory = open_memory()
    for entry in random_entries(rng):
        for tier in rng.sample([memory.stm, memory.im, memory.ltm], rng.choice((1, 1, 2))):
            tier.add(entry)
    for _ in range(10):
        query = random_query(rng)
        explained = memory.explain(query)
        assert explained.found == len(memory.recall(query, touch=False)), query
        assert all(plan.found <= plan.read for plan in explained.tiers)


def test_an_explanation_is_one_line_and_is_printed_as_several(tmp_path: Path) -> None:
    config = MemoryConfig(engine="fake", path=tmp_path, on_expiry="drop", stm_config={"ttl": 60})
    with AgentMemorySystem(config) as memory:
        memory.store_agent_state("ant", {"food": 1}, 0)
        explained = memory.explain(agent_id="ant")
        assert repr(explained) == "Explanation(1 found; STM 1 of 1 read, IM 0 of 0, LTM 0 of 0)"
        assert str(explained).startswith("1 entries answer\nSTM ")
        assert "\n" not in repr(explained.tiers[0])
        assert memory.explain(agent_id="nobody").found == 0
        assert memory.explain(agent_id="ant", times=(None, 0)).tiers[0].expected == 0
        assert memory.fetch("ant", memory.recall(agent_id="ant", touch=False)[0].entry.memory_id)
        with pytest.raises(InvalidEntry, match="a Query is needed"):
            memory.explain("ant")  # type: ignore[arg-type]
