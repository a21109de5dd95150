"""Questions by time and by attribute, over all three tiers, through the system and the dicts."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_memory import AgentMemoryAPI, AgentMemorySystem, InvalidEntry, MemoryConfig, Query
from agent_memory.retrieval import attribute, temporal
from agent_memory.values.attributes import meets
from tests.exact_similarity import exact_scores
from tests.fuzzing import examples

STEPS = 200
MOODS = ("calm", "alert", None)


def state_of(step: int) -> dict[str, Any]:
    return {
        "mood": MOODS[step % 3],
        "food": step / 4,
        "home": {"cell": (step % 5, 1), "doors": step % 4},
        "alive": step % 7 != 0,
    }


def importance_of(step: int) -> float:
    return (step % 10) / 10


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentMemoryAPI]:
    """An ant with memories in all three tiers, every fourth of them an action."""
    config = MemoryConfig(
        path=tmp_path_factory.mktemp("retrieval") / "memory",
        engine="embedded",
        stm_config={"memory_limit": 50},
        im_config={"memory_limit": 70},
        indexed_attributes=("food", "home.doors"),
    )
    opened = AgentMemoryAPI(config)
    with opened.memory_system as memory:
        for step in range(STEPS):
            store = memory.store_agent_action if step % 4 == 0 else memory.store_agent_state
            store("ant", state_of(step), step, priority=importance_of(step))
            memory.store_agent_state("bee", state_of(step), step)
        memory.maintain()
        yield opened


def steps(found: list[dict[str, Any]]) -> list[int]:
    return [entry["step_number"] for entry in found]


def test_a_range_of_steps_is_given_in_their_order_from_every_tier(api: AgentMemoryAPI) -> None:
    assert steps(api.retrieve_by_steps("ant", 10, 190)) == [*range(10, 191)]
    assert steps(api.retrieve_by_steps("ant", 0, 20, "action")) == [0, 4, 8, 12, 16, 20]
    assert api.retrieve_by_steps("nobody", 0, 9) == []
    with pytest.raises(InvalidEntry, match="ends before it begins"):
        api.retrieve_by_steps("ant", 20, 10)


def test_a_range_of_times_is_given_oldest_first(api: AgentMemoryAPI) -> None:
    found = api.retrieve_by_steps("ant", 0, STEPS)
    first, last = found[30]["timestamp"], found[160]["timestamp"]
    assert steps(api.retrieve_by_times("ant", first, last)) == [*range(30, 161)]
    assert steps(api.retrieve_by_times("ant", first, last, "action")) == [*range(32, 161, 4)]


def test_the_latest_of_a_type_come_first(api: AgentMemoryAPI) -> None:
    assert steps(api.retrieve_by_type("ant", "action", 60))[:3] == [196, 192, 188]
    assert len(api.retrieve_by_type("ant", "action", 60)) == 50
    assert api.retrieve_by_type("ant", "interaction") == []


def test_the_most_important_come_first(api: AgentMemoryAPI) -> None:
    found = api.retrieve_by_importance("ant", 0.85, 30)
    assert sorted(steps(found)) == [*range(9, STEPS, 10)]
    ranked = [entry["metadata"]["importance_score"] for entry in
              api.retrieve_by_importance("ant", 0.0, 60)]  # fmt: skip
    assert ranked == [0.9] * 20 + [0.8] * 20 + [0.7] * 20


def test_attributes_are_found_in_every_tier_newest_first(api: AgentMemoryAPI) -> None:
    calm = api.retrieve_by_attributes("ant", {"mood": "calm", "home.doors": 2}, count=100)
    assert steps(calm) == [step for step in reversed(range(0, STEPS, 3)) if step % 4 == 2]
    rich = api.retrieve_by_attributes("ant", {"food": (10, 12.5)}, "state", 100)
    assert steps(rich) == [step for step in range(50, 39, -1) if step % 4]
    assert len(api.retrieve_by_attributes("ant", {"mood": None}, count=500)) == STEPS // 3
    assert api.retrieve_by_attributes("ant", {"home.cell": "1"}) == []


def test_one_question_combines_everything(api: AgentMemoryAPI) -> None:
    query = Query(
        agent_id="ant",
        steps=(20, 180),
        memory_type="state",  # type: ignore[arg-type]
        importance=(0.3, 1.0),
        attributes={"alive": True, "food": (6, 40)},
        limit=5,
    )
    wanted = [
        step for step in range(24, 161) if step % 4 and step % 7 and importance_of(step) >= 0.3
    ]
    memory = api.memory_system
    assert [hit.entry.step_number for hit in memory.recall(query)] == wanted[:5]
    alike = memory.recall(query, near=state_of(100))
    assert len(alike) == 5
    assert {hit.entry.step_number for hit in alike} <= set(wanted)
    scores = exact_scores(state_of(100), [state_of(step) for step in range(STEPS)])
    best = sorted((scores[step] for step in wanted), reverse=True)[:5]
    assert [hit.score for hit in alike] == pytest.approx(best, rel=1e-5)


_VALUES = st.sampled_from(
    [*MOODS, True, False, 0, 1, 2, 2.0, 12.25, "x", (0, 2), (3.5, 20), (9, 1)]
)


@pytest.mark.filterwarnings("ignore:attributes. no entry has the path:UserWarning")
@given(st.dictionaries(st.sampled_from(["mood", "food", "home.doors", "home", "alive", "no.way"]),
                       _VALUES, max_size=3), st.integers(0, 60))  # fmt: skip
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_attributes_give_what_a_look_at_every_memory_gives(
    api: AgentMemoryAPI, conditions: dict[str, Any], limit: int
) -> None:
    memory = api.memory_system
    every = memory.recall(Query(agent_id="ant"), touch=False)
    wanted = [hit for hit in every if meets(hit.entry.contents, conditions)][:limit]
    query = Query(agent_id="ant", attributes=conditions, limit=limit)
    assert memory.recall(query, touch=False) == wanted


@pytest.mark.parametrize(
    "attributes",
    [
        None, ["mood"], {"": 1}, {7: 1}, {"a": [{}]}, {"a": float("nan")}, {"a": (0, float("nan"))},
        {"a": float("inf")}, {"a": {"b": 1}}, {"a": object()}, {"x" * 300: 1}, {"\ud800": 1},
        {"a": b"x"},
    ],
)  # fmt: skip
def test_conditions_that_mean_nothing_are_refused(api: AgentMemoryAPI, attributes: Any) -> None:
    with pytest.raises(InvalidEntry, match="attributes"):
        api.retrieve_by_attributes("ant", attributes)


@pytest.mark.parametrize(
    "ask",
    [
        lambda api: api.retrieve_by_type("ant", "dream"),
        lambda api: api.retrieve_by_type("ant", None),
        lambda api: api.retrieve_by_type("ant", "state", -1),
        lambda api: api.retrieve_by_importance("ant", "much"),
        lambda api: api.retrieve_by_steps("ant", 0.5, 3),
        lambda api: api.retrieve_by_times("ant", float("nan"), 3.0),
        lambda api: api.retrieve_by_attributes("", {"a": 1}),
        lambda api: temporal.latest("ant", -1),
        lambda api: attribute.of_importance("", 0.5),
    ],
)
def test_other_bad_arguments_are_refused(
    api: AgentMemoryAPI, ask: Callable[[AgentMemoryAPI], object]
) -> None:
    with pytest.raises(InvalidEntry):
        ask(api)


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("near", [None, state_of(0)])
def test_a_copy_that_a_killed_move_left_below_does_not_answer_for_what_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, near: Any, read_only: bool
) -> None:
    config = MemoryConfig(
        path=tmp_path,
        engine="embedded",
        stm_config={"memory_limit": 1},
        im_config={"memory_limit": 10},
    )

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    with AgentMemorySystem(config, upkeep=False) as memory:
        for step in range(15):
            memory.store_agent_state("ant", state_of(step), step, priority=1.0)
        with monkeypatch.context() as patched:
            patched.setattr(memory.im, "remove_copied", killed)
            with pytest.raises(KeyboardInterrupt):
                memory.maintain()
        for entry in memory.im.find(Query(run_id="default", agent_id="ant", limit=3)):
            changed = {**entry.contents, "mood": "changed"}
            memory.im.replace(dataclasses.replace(entry, importance_score=0.1, contents=changed))
    with AgentMemorySystem(config, upkeep=False, read_only=read_only) as memory:
        important = Query(agent_id="ant", importance=(0.5, 1.0))
        calm = Query(agent_id="ant", attributes={"mood": "calm"})
        for query, answers in ((important, range(3, 15)), (calm, (3, 6, 9, 12))):
            for limit in (None, 2):
                asked = dataclasses.replace(query, limit=limit)
                found = memory.recall(asked, near=near, touch=False)
                if near is None:
                    assert [hit.entry.step_number for hit in found] == [*answers][:limit]
                assert {hit.entry.step_number for hit in found} <= {*answers}
                assert len(found) == len([*answers][:limit])


def test_only_what_is_given_counts_as_retrieved(tmp_path: Path) -> None:
    with AgentMemorySystem(MemoryConfig(path=tmp_path, engine="embedded")) as memory:
        for step in range(10):
            memory.store_agent_state("ant", {"odd": step % 2}, step)
        memory.recall(Query(agent_id="ant", attributes={"odd": 1}, limit=2))
        memory.maintain()
        counts = [hit.entry.retrieval_count for hit in memory.recall(Query(agent_id="ant"))]
    assert counts == [0, 1, 0, 1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("value", "wanted", "met"),
    [
        (3, 3.0, True), (3.0, 3, True), (np.int64(3), 3, True), (True, 1, False), (1, True, False),
        (None, None, True), (np.datetime64(5, "ns"), 5, False), (np.timedelta64(5, "ns"), 5, False),
        ("3", 3, False), (2, (2, 2.5), True), (True, (0, 2), False),
    ],
)  # fmt: skip
def test_what_meets_a_condition(value: Any, wanted: Any, met: bool) -> None:
    assert meets({"v": value}, Query(agent_id="ant", attributes={"v": wanted}).attributes) is met


def test_a_query_can_be_copied_and_taken_apart() -> None:
    for query in (Query(agent_id="ant"), Query(agent_id="ant", attributes={"a": (1, 2)})):
        assert copy.deepcopy(query) == query
        assert dataclasses.asdict(query)["attributes"] == query.attributes
