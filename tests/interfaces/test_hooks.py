"""Hooks on classes: what they record of an act, and that it goes on as before."""

from __future__ import annotations

import dataclasses
import enum
from collections import namedtuple
from typing import Any

import numpy as np
import pydantic
import pytest

from agent_memory import (
    AgentMemorySystem,
)
from tests.interfaces.hooked import Walker, acting, hooked, recorded


def test_act_records_one_action_with_the_states_around_it(any_memory: AgentMemorySystem) -> None:
    agent = hooked(Walker)(any_memory)
    result = agent.act(by=3)
    assert result == {"action_type": "walk", "action_params": {"by": 3}, "reward": 0.5}
    assert agent.acts == 1
    assert recorded(any_memory, "w") == [
        {
            "action_type": "walk",
            "action_params": {"by": 3},
            "reward": 0.5,
            "state_before": {"x": 0, "trail": [0]},
            "state_after": {"x": 3, "trail": [0, 3]},
        }
    ]
    assert recorded(any_memory, "w", "state") == []


def test_get_state_called_by_the_user_records_a_state(memory: AgentMemorySystem) -> None:
    agent = hooked(Walker)(memory)
    assert agent.get_state() is agent.inner
    assert recorded(memory, "w", "state") == [{"x": 0, "trail": [0]}]
    assert recorded(memory, "w") == []


def test_get_state_called_while_acting_records_nothing(memory: AgentMemorySystem) -> None:
    class Looking(Walker):
        def act(self, by: int = 1) -> dict[str, Any]:
            self.get_state()
            return super().act(by)

    hooked(Looking)(memory).act()
    assert recorded(memory, "w", "state") == []
    assert len(recorded(memory, "w")) == 1


def test_other_agents_are_recorded_within_an_act_but_not_within_a_hook(
    memory: AgentMemorySystem,
) -> None:
    agent_class = hooked(Walker)
    other = agent_class(memory, "other")

    class Leader(Walker):
        def act(self, by: int = 1) -> dict[str, Any]:
            other.act()
            return super().act(by)

        def get_state(self) -> dict[str, Any]:
            return {"other": other.get_state()["x"]}

    hooked(Leader)(memory, "leader").act()
    assert len(recorded(memory, "other")) == 1
    assert recorded(memory, "other", "state") == []
    (action,) = recorded(memory, "leader")
    assert (action["state_before"], action["state_after"]) == ({"other": 0}, {"other": 1})


class Direction(enum.Enum):
    NORTH = 1


class Word(enum.StrEnum):
    EAT = "eat"


@dataclasses.dataclass
class Outcome:
    action: str
    reward: float
    params: dict[str, int]


class Model(pydantic.BaseModel):
    type: str
    reward: float


Act = namedtuple("Act", ["action_type", "reward"])


@pytest.mark.parametrize(
    ("result", "action_type", "params", "reward"),
    [
        ("rest", "rest", {}, None),
        (Word.EAT, "eat", {}, None),
        (Direction.NORTH, "NORTH", {}, None),
        ({"action": Direction.NORTH, "reward": 0}, "NORTH", {}, 0),
        ({"action": 3, "params": {"a": 1}}, 3, {"a": 1}, None),
        ({"type": "eat", "action_type": None}, "eat", {}, None),
        (Outcome("eat", 1.0, {"n": 2}), "eat", {"n": 2}, 1.0),
        (Model(type="eat", reward=2.0), "eat", {}, 2.0),
        (Act("eat", 3), "eat", {}, 3),
        (("eat", 1.0), None, {"result": ("eat", 1.0)}, None),
        (7, None, {"result": 7}, None),
        (False, None, {"result": False}, None),
        ({}, None, {}, None),
        ({"action": "eat", "food": "fig"}, "eat", {"result": {"food": "fig"}}, None),
        ({"action": {"dx": 1}}, None, {"result": {"action": {"dx": 1}}}, None),
        ({"type": "a", "action": "b"}, "a", {"result": {"action": "b"}}, None),
        (
            {"action": "eat", "params": {"a": 1}, "food": "fig"},
            "eat",
            {"a": 1, "result": {"food": "fig"}},
            None,
        ),
        (
            {"action": "eat", "params": [1], "food": "fig"},
            "eat",
            {"result": {"action": "eat", "params": [1], "food": "fig"}},
            None,
        ),
    ],
)
def test_result_tells_the_action_and_loses_nothing(
    memory: AgentMemorySystem, result: object, action_type: object, params: object, reward: object
) -> None:
    assert acting(memory, result).act() is result
    (action,) = recorded(memory)
    assert action == {
        "action_type": action_type,
        "action_params": params,
        "reward": reward,
        "state_before": None,
        "state_after": None,
    }


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (
            {"last_action": "eat", "last_action_params": {"n": 1}, "reward": 2.0},
            ("eat", {"n": 1}, 2.0),
        ),
        ({"action_type": Word.EAT, "last_reward": -1}, ("eat", {}, -1)),
        ({"last_action": {"type": "eat", "params": {"n": 1}}}, ("eat", {"n": 1}, None)),
        ({"reward": lambda self: 1}, (None, {}, None)),
        ({}, (None, {}, None)),
    ],
)
def test_attributes_tell_the_action_when_act_returns_none(
    memory: AgentMemorySystem, attributes: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    acting(memory, None, **attributes).act()
    (action,) = recorded(memory)
    assert (action["action_type"], action["action_params"], action["reward"]) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (Outcome("eat", 1.0, {"n": 2}), {"action": "eat", "reward": 1.0, "params": {"n": 2}}),
        (Model(type="eat", reward=2.0), {"type": "eat", "reward": 2.0}),
        (Act("eat", 3), {"action_type": "eat", "reward": 3}),
        ({"speed": np.float32(0.5)}, {"speed": np.float32(0.5)}),
        ((1, 2), {"state": (1, 2)}),
        (None, {"state": None}),
    ],
)
def test_states_of_any_type_are_recorded(
    memory: AgentMemorySystem, state: object, expected: dict[str, Any]
) -> None:
    agent = acting(memory, None, get_state=lambda self: state)
    assert agent.get_state() is state
    agent.act()
    assert recorded(memory, kind="state") == [expected]
    (action,) = recorded(memory)
    in_action = expected.get("state", expected)
    assert action["state_before"] == action["state_after"] == in_action


def test_array_state_is_recorded(memory: AgentMemorySystem) -> None:
    acting(memory, None, get_state=lambda self: np.arange(3)).get_state()
    (state,) = recorded(memory, kind="state")
    np.testing.assert_array_equal(state["state"], np.arange(3))


def test_get_state_that_needs_arguments_leaves_states_none(memory: AgentMemorySystem) -> None:
    agent = acting(memory, "rest", get_state=lambda self, unit: {"unit": unit})
    agent.act()
    assert agent.get_state("m") == {"unit": "m"}
    assert recorded(memory)[0]["state_before"] is None
    assert recorded(memory, kind="state") == [{"unit": "m"}]
