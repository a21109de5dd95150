"""What a query filters by, and whether an entry answers it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent_memory.testing import an_entry
from agent_memory.values.query import CATEGORIES, FLAGS, RANGES, Order, Query

_FILTERS: dict[str, Any] = {
    "steps": (3, 5),
    "times": (10.0, 20.0),
    "importance": (0.25, 0.75),
    "memory_type": "action",
    "pinned": True,
}
_ENTRY = an_entry(
    step_number=4, timestamp=15.0, importance_score=0.5, memory_type="action", pinned=True
)
_OTHERS: dict[str, Any] = {
    "step_number": 6,
    "timestamp": 9.5,
    "importance_score": 0.2,
    "memory_type": "state",
    "pinned": False,
}


def _field_of(name: str) -> str:
    return RANGES.get(name, name)


def test_the_tables_name_every_filter() -> None:
    assert {*RANGES, *CATEGORIES, *FLAGS} == {*_FILTERS}
    assert Query(agent_id="ant").filters == set()
    assert Query(agent_id="ant", **_FILTERS).filters == {*_FILTERS}


@pytest.mark.parametrize("name", _FILTERS)
def test_an_entry_answers_each_filter_that_its_field_meets(name: str) -> None:
    query = Query(agent_id="ant", **{name: _FILTERS[name]})
    field = _field_of(name)
    other = an_entry(**{field: _OTHERS[field]})
    assert query.admits(_ENTRY)
    assert not query.admits(other)


@pytest.mark.parametrize("name", RANGES)
def test_both_bounds_of_a_range_are_in_it(name: str) -> None:
    first, last = _FILTERS[name]
    bounds: Any = {name: (first, last)}
    query = Query(agent_id="ant", **bounds)
    assert query.admits(an_entry(**{RANGES[name]: first}))
    assert query.admits(an_entry(**{RANGES[name]: last}))


def test_steps_times_and_types_are_for_ever_and_all_else_may_change() -> None:
    settled = {"steps", "times", "memory_type"}
    for name, wanted in _FILTERS.items():
        query = Query(agent_id="ant", **{name: wanted})
        assert query.can_change_its_answer is (name not in settled), name
    assert not Query(agent_id="ant").can_change_its_answer
    assert Query(agent_id="ant", attributes={"mood": "calm"}).can_change_its_answer
    important = Query(agent_id="ant", order=Order.IMPORTANCE)
    assert not important.can_change_its_answer
    assert replace(important, limit=1).can_change_its_answer
