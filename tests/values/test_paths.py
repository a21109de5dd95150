"""One syntax of paths: what it names in contents, and that it names the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_memory import AgentMemorySystem, InvalidEntry, MemoryConfig, Query
from agent_memory.compression.fitted.structure import paths_named
from agent_memory.embeddings.features import flatten
from agent_memory.values.attributes import meets
from agent_memory.values.paths import ABSENT, flattened, path_of, value_at
from tests import engines

CONTENTS: dict[Any, Any] = {
    "food": 3,
    "home": {"food": 4, "": {"x": 5}},
    "info": {"TimeLimit.truncated": True, "a[0]": 6, "b\\": 7, "{c}": 8, "#3": 9},
    "pos": (8, 12),
    "grid": [[1, 2], [3, 4]],
    "array": np.array([[1.5, 2.5], [3.5, 4.5]]),
    "cells": {3: "three", -1: "below", "3": "text"},
    "things": [{"name": "stone"}, {"name": "stick"}],
    5: {"five": 55},
    "odd {*}|": "odd",
}
NAMED: dict[str, Any] = {
    "food": 3,
    "home.food": 4,
    "home.#.x": 5,
    "home..x": 5,
    r"info.TimeLimit\.truncated": True,
    "info.a[0]": 6,
    r"info.a\[0]": 6,
    r"info.b\\": 7,
    r"info.\{c}": 8,
    r"info.\#3": 9,
    "info.#3": 9,
    "pos[0]": 8,
    "pos[1]": 12,
    "grid[1][0]": 3,
    "array[2]": 3.5,
    "array[1][0]": 3.5,
    "cells.#3": "three",
    "cells.#-1": "below",
    "cells.3": "text",
    "things[1].name": "stick",
    "#5.five": 55,
    "odd {*}|": "odd",
}
NOWHERE = [
    "food.x",
    "pos[2]",
    "pos[0][0]",
    "home",
    "things[0]",
    "info.TimeLimit.truncated",
    "cells.#4",
]
REFUSED = ["pos[-1]", "pos[]", "pos[0:2]", "pos[*]", "pos[x].y", "tags{red}", "home.tags{'red'}"]


@pytest.mark.parametrize("path", NAMED)
def test_a_path_names_a_value(path: str) -> None:
    assert value_at(CONTENTS, path) == NAMED[path]
    assert meets(CONTENTS, {path: NAMED[path]})


def test_what_is_not_there_or_no_scalar_meets_nothing() -> None:
    for path in NOWHERE:
        assert not meets(CONTENTS, {path: None})
        assert not meets(CONTENTS, {path: 0})
    assert value_at(CONTENTS, "pos[2]") is ABSENT


def test_a_pair_is_met_by_what_lies_between_and_by_two_such_numbers() -> None:
    assert meets(CONTENTS, {"pos": (8, 12)})
    assert not meets(CONTENTS, {"pos": (8, 13)})
    assert meets(CONTENTS, {"grid[1]": (3.0, 4.0)})
    assert meets({"at": np.array([1, 2])}, {"at": (1, 2)})
    assert meets({"at": [np.int64(1), 2.0]}, {"at": (1, 2)})
    assert not meets({"at": [True, 2]}, {"at": (1, 2)})
    assert not meets({"at": (1, 2, 3)}, {"at": (1, 3)})
    assert meets(CONTENTS, {"food": (3, 4)})


@pytest.mark.parametrize("path", REFUSED)
def test_what_cannot_be_asked_for_is_refused_by_name(path: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidEntry, match=r"attributes: ."):
        Query(agent_id="ant", attributes={path: 1})
    with pytest.raises(ValueError, match="attributes"):
        MemoryConfig(path=tmp_path, indexed_attributes=(path,))


def test_paths_of_keys_and_of_flat_contents_lead_back() -> None:
    flat = dict(flattened(CONTENTS))
    assert len(flat) == 17
    for path, value in flat.items():
        assert value_at(CONTENTS, path) is value
    for key in ("a.b", "a[0]", "a\\", "{", "#3", "", "x y"):
        assert value_at({"in": {key: 1, "other": {}}}, path_of("in", key)) == 1
    assert value_at({3: {"x": 1}}, path_of(3, "x")) == 1


def test_they_are_the_paths_of_features_and_tolerances() -> None:
    features = flatten({key: value for key, value in CONTENTS.items() if key != "array"})
    for path, value in NAMED.items():
        if isinstance(value, (int, float)) and "array" not in path:
            (found,) = {features[leaf] for leaf in paths_named([path]) if leaf in features}
            assert found == value


@pytest.fixture(params=engines.parameters(["fake", "embedded"], ["embedded"]))
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AgentMemorySystem]:
    config = MemoryConfig(
        path=tmp_path,
        engine=request.param,
        stm_config={"memory_limit": 2},
        im_config={"memory_limit": 2},
        cleanup_interval=1,
        indexed_attributes=(r"info.TimeLimit\.truncated", "pos[0]", "pos", "cells.#3"),
    )
    with AgentMemorySystem(config) as system:
        for step in range(9):
            system.store_agent_state("ant", CONTENTS | {"pos": (step, 12)}, step)
        yield system


def test_every_tier_answers_by_a_path_declared_or_not(memory: AgentMemorySystem) -> None:
    for path, value in NAMED.items():
        found = memory.recall(Query(agent_id="ant", attributes={path: value}))
        assert len(found) == (1 if path == "pos[0]" else 9), path
    tiers = set()
    for step in range(9):
        (hit,) = memory.recall(Query(agent_id="ant", attributes={"pos": (step, 12)}))
        assert hit.entry.step_number == step
        tiers.add(hit.tier)
        assert (
            len(memory.recall(Query(agent_id="ant", attributes={"pos[0]": (step, 8)}))) == 9 - step
        )
    assert len(tiers) == 3
    assert memory.recall(Query(agent_id="ant", attributes={"pos": (0, 13)})) == []
