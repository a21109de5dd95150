"""Declared attributes as fields of the query engine."""

from __future__ import annotations

import math
from typing import Any

import pytest
from redis_om import QueryNotSupportedError
from redis_om.model.model import QuerySyntaxError

from agent_memory import AgentMemorySystem, InvalidEntry, MemoryConfig

PATHS = ("mood", "food", "home.doors", "odd {*}|")
STATES: list[dict[str, Any]] = [
    {
        "mood": ("calm", "alert", None, "a|b {*}", "Calm", True, 3)[step % 7],
        "food": step / 4,
        "home": {"doors": step % 4},
        "odd {*}|": "x" * (step % 3 * 200),
    }
    for step in range(60)
]


def opened(url: str, *paths: str, **more: Any) -> AgentMemorySystem:
    config = MemoryConfig(
        redis_url=url, ltm_url="sqlite:///:memory:", indexed_attributes=paths, **more
    )
    return AgentMemorySystem(config)


def steps_of(query: Any) -> list[int]:
    return sorted(entry.step_number for entry in query.all())


def steps_where(condition: Any) -> list[int]:
    return [step for step, state in enumerate(STATES) if condition(state)]


def fill(memory: AgentMemorySystem) -> None:
    for step, state in enumerate(STATES):
        memory.store_agent_state("ant", state, step)


def test_attributes_are_asked_for_like_any_field(client: Any, search_url: str) -> None:
    with opened(search_url, *PATHS) as memory:
        fill(memory)
        entry = memory.models.StmEntry
        mood, food = entry.attribute("mood"), entry.attribute("food")
        for value in ("calm", "Calm", None, "a|b {*}", True, 3, "no such"):
            assert steps_of(entry.find(mood == value)) == steps_where(
                lambda state, value=value: state["mood"] is value or state["mood"] == value != 1
            )
        assert steps_of(entry.find(food >= 10, food < 12)) == [*range(40, 48)]
        assert steps_of(entry.find(mood << ["calm", 3])) == steps_where(
            lambda state: state["mood"] in ("calm", 3)
        )
        assert steps_of(entry.find(mood != "calm", entry.step_number < 10)) == [
            1, 2, 3, 4, 5, 6, 8, 9,
        ]  # fmt: skip
        doors = entry.attribute("home.doors")
        assert steps_of(entry.find((doors == 2) & (food > 10))) == [42, 46, 50, 54, 58]
        odd = entry.attribute("odd {*}|")
        assert steps_of(entry.find(odd == "x" * 400)) == [*range(2, 60, 3)]


def test_what_was_stored_before_the_declaration_is_found_too(client: Any, search_url: str) -> None:
    with opened(search_url) as memory:
        fill(memory)
        entry = memory.models.StmEntry
        assert entry.find(entry.step_number > 40).count() == 19
        with pytest.raises(InvalidEntry, match="indexed_attributes"):
            entry.attribute("mood")
    with opened(search_url, "mood") as memory:
        entry = memory.models.StmEntry
        assert entry.find(entry.attribute("mood") == "calm").count() == 9


def test_what_cannot_be_compared_is_refused(client: Any, search_url: str) -> None:
    with opened(search_url, "mood") as memory:
        entry = memory.models.StmEntry
        mood = entry.attribute("mood")
        for bad in (mood % "c*", mood.startswith("c")):
            with pytest.raises((QueryNotSupportedError, QuerySyntaxError)):
                entry.find(bad).all()
        for bad in (mood == [1], mood > "calm", mood << [math.nan]):
            with pytest.raises(InvalidEntry):
                entry.find(bad).all()
