"""Stretches of a life that are similar to a given one: planted ones are found, warped ones too."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_memory import AgentMemorySystem, InvalidEntry, MemoryConfig
from agent_memory.retrieval.sequences import warped, windows
from agent_memory.testing import an_entry
from agent_memory.testing.samples import a_memory_id
from tests.engines import usually_on
from tests.memories import Opener

_SHAPE = [0.0, 2.0, 5.0, 9.0, 5.0, 2.0]


def _life(rng: np.random.Generator, planted: dict[int, list[float]]) -> list[dict[str, Any]]:
    states = [
        {"heat": float(rng.normal(-20, 5)), "mood": str(rng.choice(["calm", "odd"]))}
        for _ in range(120)
    ]
    for at, shape in planted.items():
        for place, heat in enumerate(shape, at):
            states[place] = {"heat": heat, "mood": "alert"}
    return states


@usually_on("embedded", "tcp and postgresql")
def test_planted_stretches_are_found_in_every_tier(open_memory: Opener) -> None:
    memory = open_memory()
    tiers = memory.stm, memory.im, memory.ltm
    slow = [heat for heat in _SHAPE for _ in range(2)][:-1]
    lives = {"ant": {10: _SHAPE, 50: _SHAPE, 90: slow}, "bee": {30: _SHAPE}}
    for name, planted in lives.items():
        rng = np.random.default_rng(len(name) + len(planted))
        for step, state in enumerate(_life(rng, planted)):
            memory_id = a_memory_id(1_000 * len(planted) + step)
            tiers[step % 3].add(
                an_entry(
                    memory_id=memory_id, run_id="default", agent_id=name, step_number=step,
                    contents=state,
                )
            )  # fmt: skip
    given = memory.recall(agent_id="ant", steps=(10, 15), order="step", touch=False)
    (found,) = memory.sequences_like(given, k=1)
    assert [hit.entry.step_number for hit in found.hits] == [*range(50, 56)]
    assert found.score == pytest.approx(1.0)
    both = memory.sequences_like(given, k=3, agent_id=["ant", "bee"])
    starts = [(it.hits[0].entry.agent_id, it.hits[0].entry.step_number) for it in both]
    assert starts[:2] == [("ant", 50), ("bee", 30)]
    assert both[2].score < 0.9
    warped_ones = memory.sequences_like([{"heat": heat, "mood": "alert"} for heat in _SHAPE],
                                        k=4, warp=True, agent_id="ant")  # fmt: skip
    starts_and_ends = sorted(
        (it.hits[0].entry.step_number, it.hits[-1].entry.step_number) for it in warped_ones[:3]
    )
    assert starts_and_ends[:2] == [(10, 15), (50, 55)]
    assert starts_and_ends[2] in ((90, 100), (91, 100))  # either is as cheap
    keys = [hit.entry.key for it in warped_ones for hit in it.hits]
    assert len(keys) == len(set(keys))


def test_warping_is_the_cheapest_of_all_ways() -> None:
    rng = np.random.default_rng(5)
    similar = rng.random((4, 9))
    starts, ends, scores = warped(similar)
    costs = 1.0 - similar

    def ways(state: int, entry: int) -> Iterator[tuple[float, int, int]]:
        """Cost, pairs and beginning of all ways that end at a pair."""
        if state == 0:
            yield costs[0, entry], 1, entry
            return
        for down, back in ((1, 0), (1, 1), (0, 1)):
            if entry >= back:
                for total, pairs, start in ways(state - down, entry - back):
                    yield total + costs[state, entry], pairs + 1, start

    for start, end, score in zip(starts, ends, scores, strict=True):
        total, pairs, begins = min(ways(3, int(end)))
        assert begins == start
        assert score == pytest.approx(1.0 - total / pairs)
        assert 2 <= end - start + 1 <= 8


def test_windows_are_the_means_of_pairs() -> None:
    similar = np.arange(12.0).reshape(3, 4)
    starts, ends, scores = windows(similar)
    assert (starts.tolist(), ends.tolist()) == ([0, 1], [2, 3])
    assert scores.tolist() == [5.0, 6.0]
    assert len(windows(similar[:, :2])[0]) == 0


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(MemoryConfig(engine="fake", path=tmp_path)) as memory:
        for step in range(12):
            memory.store_agent_state("ant", {"heat": math.sin(step), "mood": "calm"}, step)
        yield memory


def test_of_nobody_and_of_too_short_lives_there_are_none(memory: AgentMemorySystem) -> None:
    states = [{"heat": 0.0}] * 3
    assert memory.sequences_like(states, agent_id="nobody") == []
    assert memory.sequences_like(states, run_id="nowhere") == []
    assert memory.sequences_like(states * 10) == []
    assert memory.sequences_like(states, k=0) == []
    assert len(memory.sequences_like(states, k=1_000_000)) == 4
    assert "3 entries of 'ant', steps" in repr(memory.sequences_like(states, k=1)[0])


@pytest.mark.parametrize(
    "asked",
    [
        {"entries": []},
        {"entries": "text"},
        {"entries": {"heat": 1}},
        {"entries": 7},
        {"entries": [7]},
        {"entries": [{"heat": 1}] * 2_000},
        {"k": -1},
        {"warp": "yes"},
        {"memory_type": "dream"},
    ],
)
def test_what_is_no_stretch_is_refused(memory: AgentMemorySystem, asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidEntry):
        memory.sequences_like(**{"entries": [{"heat": 1.0}]} | asked)
