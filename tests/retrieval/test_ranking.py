"""What matters most comes first, by the formula; and one moment does not fill an answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_memory import AgentMemorySystem, InvalidEntry, MemoryConfig, Order, Rank, Tier
from agent_memory.testing import an_entry
from agent_memory.values.query import Hit

STEPS = 20
WHO = an_entry().agent_id


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentMemorySystem]:
    """An ant in all tiers; importances and accesses go their own ways."""
    folder: Path = tmp_path_factory.mktemp("ranking")
    config = MemoryConfig(
        engine="fake",
        path=folder,
        stm_config={"memory_limit": 8},
        im_config={"memory_limit": 6},
        memory_priority_decay=0.5,
        cleanup_interval=10,
    )
    with AgentMemorySystem(config, upkeep=False) as opened:
        tiers = opened.ltm, opened.im, opened.stm
        for step in range(STEPS):
            tiers[step * 3 // STEPS].add(
                an_entry(
                    run_id="default",
                    step_number=step,
                    timestamp=1_000.0 * step,
                    importance_score=(step * 7 % STEPS) / STEPS,
                    last_access_time=3_600.0 * (step * 3 % STEPS),
                    contents={"x": float(step // 4), "y": 1.0},
                )
            )
        yield opened


def _steps(hits: list[Hit]) -> list[int]:
    return [hit.entry.step_number for hit in hits]


def _by(scores: dict[int, float]) -> list[int]:
    """The greatest first, of equals the newest."""
    return sorted(scores, key=lambda step: (-round(scores[step], 9), -step))


def test_freshness_is_recency_and_importance_with_the_decay_of_the_configuration(
    memory: AgentMemorySystem,
) -> None:
    expected = {
        step: 0.5 ** ((STEPS - 1 - step) / 10) + (step * 7 % STEPS) / STEPS for step in range(STEPS)
    }
    hits = memory.recall(agent_id="ant", rank="freshness", touch=False)
    assert _steps(hits) == _by(expected)
    assert {hit.entry.step_number: hit.score for hit in hits} == pytest.approx(expected)
    assert _steps(memory.recall(rank="freshness", limit=3, touch=False)) == _by(expected)[:3]


def test_generative_agents_is_the_formula_of_the_paper(memory: AgentMemorySystem) -> None:
    near = {"x": 2.0, "y": 1.0}
    every = memory.recall(agent_id="ant", near=near, touch=False)
    now = memory._run.now()
    parts = np.array(
        [
            [
                hit.score,
                0.995 ** ((now - hit.entry.last_access_time) / 3_600),
                hit.entry.importance_score,
            ]
            for hit in every
        ],
        np.float64,
    )
    assert parts[:, 1].max() < 1e-300  # of 1970: stretched all the same
    rank = Rank(
        relevance=1, recency=1, importance=1, decay=0.995, per=3600, unit="seconds",
        since="accessed", min_max=True, now=3_600.0 * STEPS,
    )  # fmt: skip
    parts[:, 1] = [0.995 ** (STEPS - hit.entry.last_access_time / 3_600) for hit in every]
    low, span = parts.min(axis=0), np.ptp(parts, axis=0)
    total = ((parts - low) / span).sum(axis=1)
    scores = dict(zip(_steps(every), total.tolist(), strict=True))
    hits = memory.recall(agent_id="ant", near=near, rank=rank, touch=False)
    assert _steps(hits) == _by(scores)
    assert hits[0].score == pytest.approx(max(total))
    assert len(memory.recall(agent_id="ant", near=near, rank="generative_agents", limit=4)) == 4


def test_an_age_in_ever_so_small_parts_leaves_nothing_and_warns_of_nothing(
    memory: AgentMemorySystem,
) -> None:
    tiny = Rank(recency=1.0, decay=0.5, per=1e-320)
    scores = [hit.score for hit in memory.recall(agent_id="ant", rank=tiny, touch=False)]
    assert scores == [1.0] + [0.0] * (STEPS - 1)


def test_equals_come_in_the_order_that_is_asked_for(memory: AgentMemorySystem) -> None:
    level = Rank(recency=1.0, decay=1.0)
    assert _steps(memory.recall(agent_id="ant", rank=level, touch=False)) == [*range(STEPS)][::-1]
    assert _steps(memory.recall(agent_id="ant", rank=level, order=Order.STEP, touch=False)) == [
        *range(STEPS)
    ]
    assert memory.recall(agent_id="nobody", rank=level) == []
    assert memory.recall(agent_id="ant", rank=level, limit=0) == []
    tiers = {hit.tier for hit in memory.recall(agent_id="ant", rank=level, limit=10**6)}
    assert tiers == {*Tier}


def test_the_same_moment_does_not_fill_a_diverse_answer(memory: AgentMemorySystem) -> None:
    near = {"x": 2.0, "y": 1.0}

    def places(**asked: Any) -> list[float]:
        hits = memory.recall(agent_id="ant", near=near, limit=4, touch=False, **asked)
        return [hit.entry.contents["x"] for hit in hits]

    assert places() == places(diverse=0) == [2.0] * 4
    assert places(diverse=0.7)[0] == 2.0
    assert len({*places(diverse=0.7)}) == 4
    assert len({*places(diverse=1.0, rank=Rank(relevance=1.0))}) == 4
    newest = memory.recall(agent_id="ant", order=Order.NEWEST, limit=2, diverse=0.9, touch=False)
    assert newest[0].entry.step_number == STEPS - 1
    assert newest[1].entry.contents != newest[0].entry.contents


@pytest.mark.parametrize(
    "asked",
    [
        {"rank": "newest"},
        {"rank": 3},
        {"rank": "generative_agents"},
        {"rank": Rank(relevance=1.0)},
        {"diverse": 0.5},
        {"diverse": 1.5, "limit": 3},
        {"diverse": float("nan"), "limit": 3},
        {"diverse": "much", "limit": 3},
    ],
)
def test_what_has_no_meaning_is_refused(memory: AgentMemorySystem, asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidEntry):
        memory.recall(agent_id="ant", **asked)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"recency": 0, "importance": 0.0},
        {"recency": float("nan")},
        {"recency": -1, "importance": 2},
        {"recency": float("inf")},
        {"recency": "much"},
        {"recency": 1, "decay": 0},
        {"recency": 1, "decay": 1.5},
        {"recency": 1, "per": 0},
        {"recency": 1, "per": float("inf")},
        {"recency": 1, "now": float("-inf")},
        {"recency": 1, "unit": "hours"},
        {"recency": 1, "since": "accessed"},
        {"recency": 1, "now": float("nan")},
        {"recency": 1, "min_max": "yes"},
    ],
)
def test_a_rank_that_weighs_nothing_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidEntry):
        Rank(**fields)


def test_numbers_of_numpy_weigh_as_pythons(memory: AgentMemorySystem) -> None:
    rank = Rank(recency=np.float32(1), decay=np.float64(0.5), per=np.int64(2))  # type: ignore[arg-type]
    assert rank == Rank(recency=1.0, decay=0.5, per=2.0)
    assert _steps(memory.recall(rank=rank, limit=2, touch=False)) == [STEPS - 1, STEPS - 2]


@pytest.mark.parametrize(
    "rank",
    [
        Rank(relevance=2.0, recency=0.5, importance=1.0),
        Rank(relevance=1.0, importance=3.0, min_max=True),
        Rank(recency=1.0),
    ],
)
def test_a_score_is_the_weighted_sum_of_its_parts(memory: AgentMemorySystem, rank: Rank) -> None:
    near = {"x": 2.0, "y": 1.0} if rank.relevance else None
    hits = memory.recall(agent_id=WHO, near=near, rank=rank, touch=False)
    assert len(hits) == STEPS
    for hit in hits:
        assert hit.parts is not None
        relevance = hit.parts.relevance or 0.0
        assert (hit.parts.relevance is None) == (not rank.relevance)
        assert hit.score == pytest.approx(
            rank.relevance * relevance
            + rank.recency * hit.parts.recency
            + rank.importance * hit.parts.importance
        )
        if not rank.min_max:
            assert hit.parts.importance == hit.entry.importance_score
    first = memory.recall(agent_id=WHO, near=near, rank=rank, limit=4, touch=False)
    assert [*first] == hits[:4]
    assert memory.recall(agent_id=WHO, near={"x": 2.0}, limit=1)[0].parts is None
