"""What is near a state among several agents and runs: as if all were one agent's."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_memory import (
    ALL_RUNS,
    AgentMemorySystem,
    InvalidEntry,
    MemoryConfig,
    Order,
    Query,
    Vector,
)
from agent_memory.testing import an_entry
from agent_memory.testing.samples import a_memory_id
from tests.engines import usually_on
from tests.memories import Opener

_OWNERS = (("run", "ant"), ("run", "bee"), ("run 2", "ant"), ("run 2", "c:d"))


def _contents(rng: random.Random) -> dict[str, Any]:
    contents: dict[str, Any] = {
        "food": rng.choice((1, 2.5, 1e6)),
        "at": (rng.random() * 100, rng.randrange(5)),
        "mood": rng.choice(("calm", "alert")),
    }
    if rng.random() < 0.3:
        contents[rng.choice(("odd", "rare", "mood"))] = rng.random()
    return contents


@usually_on("embedded", "tcp and postgresql")
def test_near_over_agents_and_runs_is_as_over_one_agent_that_has_all(open_memory: Opener) -> None:
    rng = random.Random(4)
    memory = open_memory()
    tiers = memory.stm, memory.im, memory.ltm
    contents = [_contents(rng) for _ in range(120)]
    for number, one in enumerate(contents):
        run_id, agent_id = rng.choice(_OWNERS)
        whose: dict[str, Any] = {
            "memory_id": a_memory_id(number),
            "contents": one,
            "step_number": number,
        }
        rng.choice(tiers).add(an_entry(run_id=run_id, agent_id=agent_id, **whose))
        memory.ltm.add(an_entry(run_id=f"only {run_id}", agent_id="all", **whose))
        memory.ltm.add(an_entry(run_id="everything", agent_id="all", **whose))
    questions: tuple[dict[str, Any], ...] = (
        *({}, {"limit": 7}, {"attributes": {"mood": "calm"}}),
        *({"steps": (20, 90), "limit": 9}, {"order": Order.STEP, "limit": 30}),
    )
    for asked in questions:
        near = rng.choice(contents)
        for runs, only in ((["run", "run 2"], "everything"), ("run 2", "only run 2")):
            both = Query(run_id=runs, **asked), Query(run_id=only, agent_id="all", **asked)
            answers = [
                [(hit.entry.memory_id, hit.score) for hit in memory.recall(query, near=near)]
                for query in both
            ]
            assert answers[0] == answers[1], asked
            assert answers[0]
    hits = memory.recall(agent_id=["ant", "bee", "nobody"], run_id="run", near=contents[0])
    assert {hit.entry.key[:2] for hit in hits} == {("run", "ant"), ("run", "bee")}


@pytest.mark.parametrize("numbers", [[math.nan] * 32, [math.inf] * 32, ["a"] * 32, []])
def test_a_vector_of_what_is_no_number_is_refused(numbers: list[Any]) -> None:
    with pytest.raises(InvalidEntry):
        Vector(numbers)


def test_near_a_vector_and_a_list_among_all(tmp_path: Path) -> None:
    with AgentMemorySystem(MemoryConfig(engine="fake", path=tmp_path)) as memory:
        for step in range(12):
            memory.store_step(step, {name: {"at": (step, step % 5, 1)} for name in ("ant", "bee")})
        memory.run("other").store_agent_state("ant", {"at": (3, 3, 1)}, 3)
        hits = memory.recall(limit=2, near=[4, 4, 1])
        assert [(hit.entry.step_number, hit.score) for hit in hits] == [(4, 1.0)] * 2
        assert {hit.entry.agent_id for hit in hits} == {"ant", "bee"}
        entry = memory.recall(agent_id="bee", steps=(7, 7))[0].entry
        vector = np.asarray(memory.stm.get(entry.key).embedding)
        near = memory.recall(run_id=ALL_RUNS, limit=2, near=Vector(vector))
        assert [hit.entry.step_number for hit in near] == [7, 7]
        assert memory.recall(run_id="nowhere", near={"at": (1, 1, 1)}) == []
        assert memory.recall(agent_id=[], near={"at": (1, 1, 1)}) == []
        assert len(memory.recall(near={"at": (1, 1, 1)}, limit=5, rank="generative_agents")) == 5
