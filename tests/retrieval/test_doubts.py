"""Conditions that may not say what is meant are answered and reported."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_memory import (
    AgentMemorySystem,
    MemoryConfig,
    Query,
    Vector,
    between,
    exists,
    near_point,
)
from agent_memory.repositories.access import counting_reads


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentMemorySystem]:
    folder: Path = tmp_path_factory.mktemp("doubts")
    with AgentMemorySystem(MemoryConfig(engine="fake", path=folder)) as opened:
        for step in range(4):
            opened.store_agent_state("ant", {"food": step, "home": {"at": (step, 1)}}, step)
        opened.store_agent_state("bee", {"food": (1, 2)}, 0)
        yield opened


@pytest.mark.parametrize("path", ["foood", "home.att", "pos[0]", "home.at[7]"])
def test_a_path_that_no_entry_has_is_told_with_the_nearest(
    memory: AgentMemorySystem, path: str
) -> None:
    for wanted in (3, between(0, 9)):
        with pytest.warns(UserWarning, match="no entry has the path") as reported:
            assert memory.recall(agent_id="ant", attributes={path: wanted}) == []
        assert "food" in str(reported[0].message) or "home.at" in str(reported[0].message)
        assert reported[0].filename == __file__
    with pytest.warns(UserWarning, match="home.at$"):
        memory.recall(agent_id="ant", attributes={f"home.at[{10**30}]": 1})
    with pytest.warns(UserWarning, match="no entry has the path"):
        assert len(memory.recall(agent_id="ant", attributes={path: exists(False)})) == 4


def test_entries_are_looked_at_once_for_paths_that_none_has(tmp_path: Path) -> None:
    with AgentMemorySystem(MemoryConfig(engine="fake", path=tmp_path)) as memory:

        def reads() -> int:
            with counting_reads() as read, pytest.warns(UserWarning, match="no entry has the path"):
                memory.recall(agent_id="ant", attributes={"tail": 1}, limit=3, steps=(100, None))
            return read.number

        for step in range(20):
            memory.store_agent_state("ant", {"food": step, "home": {"at": (step, 1)}}, step)
        assert [reads(), reads()] == [20, 0]
        memory.store_agent_state("ant", {"food": 1}, 20)
        assert [reads(), reads()] == [1, 0]
        memory.store_agent_state("ant", {"tail": {"length": 2}}, 21)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert memory.recall(agent_id="ant", attributes={"tail.length": 3}) == []
            assert memory.recall(agent_id="ant", attributes={"home.at": (1, 2, 3)}) == []


def test_each_path_of_a_place_is_looked_for(memory: AgentMemorySystem) -> None:
    with pytest.warns(UserWarning, match="home.bt"):
        memory.recall(attributes={("home.at[0]", "home.bt"): near_point((0, 0), 1)})


@pytest.mark.parametrize(
    "asked",
    [
        {"attributes": {"food": 99}},
        {"attributes": {"food": (0, 2)}, "agent_id": "ant"},
        {"attributes": {"food": (1, 2)}, "agent_id": "bee"},
        {"attributes": {"never": 1}, "agent_id": "nobody"},
        {"attributes": {"never": 1}, "limit": 0},
        {"attributes": {"food": exists(False)}},
    ],
)
def test_what_is_meant_so_is_not_told(memory: AgentMemorySystem, asked: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        memory.recall(**asked)


def test_a_pair_that_is_a_range_and_a_place_in_one_answer_is_told(
    memory: AgentMemorySystem,
) -> None:
    with pytest.warns(UserWarning, match=r"write between\(1, 2\)") as reported:
        assert len(memory.recall(attributes={"food": (1, 2)})) == 3
    assert reported[0].filename == __file__


def test_a_vector_as_wide_as_none_is_told_with_the_widths_there_are(tmp_path: Path) -> None:
    with AgentMemorySystem(MemoryConfig(engine="fake", path=tmp_path)) as memory:
        both = Query(agent_id=("ant", "bee"))
        assert memory.recall(both, near=Vector([1.0, 2.0])) == []
        memory.store_agent_state("ant", {"food": 1}, 0)
        memory.store_agent_state("bee", {"food": 1}, 0, vector=[1.0, 2.0, 3.0])
        with pytest.warns(UserWarning, match="of 2 numbers .* of 3, 32, 128, 384") as reported:
            hits = memory.recall(both, near=Vector([1.0, 2.0]))
        assert [hit.score for hit in hits] == [0.0, 0.0]
        assert reported[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            best, *_ = memory.recall(both, near=Vector([1.0, 2.0, 3.0]))
            memory.recall(both, near=Vector([1.0] * 32))
        assert best.entry.agent_id == "bee"
