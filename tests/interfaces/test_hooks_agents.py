"""Hooks on classes: whose memory an act is, of which step, and where it is stored."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agent_memory import (
    AgentMemorySystem,
    ConfigError,
    MemoryConfig,
    install_memory_hooks,
)
from tests.interfaces.hooked import FAKE, Walker, hooked, recorded, steps


@pytest.mark.parametrize(
    ("attributes", "agent_id"),
    [
        ({"agent_id": "a", "unique_id": 1, "id": 2}, "a"),
        ({"agent_id": None, "unique_id": 1, "id": 2}, "1"),
        ({"id": 2}, "2"),
    ],
)
def test_agent_id_comes_from_the_first_attribute_there_is(
    memory: AgentMemorySystem, attributes: dict[str, Any], agent_id: str
) -> None:
    methods = {"act": lambda self: "rest", "memory_system": memory}
    install_memory_hooks(type("Agent", (), methods | attributes))().act()
    assert len(recorded(memory, agent_id)) == 1


@pytest.mark.parametrize(("agent_id", "word"), [(None, "agent_id"), ("", "empty"), (1.5, "float")])
def test_agent_without_a_usable_id_is_told_before_it_acts(
    memory: AgentMemorySystem, agent_id: Any, word: str
) -> None:
    agent = hooked(Walker)(memory, agent_id)
    with pytest.raises(ConfigError, match=word):
        agent.act()
    assert agent.acts == 0


def agent_at(memory: AgentMemorySystem, **attributes: Any) -> Any:
    class Stepping:
        agent_id = "a"
        memory_system = memory

        def act(self, where: str = "", step: object = None, **more: Any) -> None:
            vars(self).update(dict.fromkeys(attributes, 99))

        def get_state(self, *, step_number: int | None = None) -> dict[str, Any]:
            return {}

    agent = install_memory_hooks(Stepping)()
    vars(agent).update(attributes)
    return agent


@pytest.mark.parametrize(
    ("attributes", "arguments", "named", "step"),
    [
        ({"step_number": 5}, ("home", 3), {}, 3),
        ({"step_number": 5}, (), {"step": np.int64(3)}, 3),
        ({"step_number": 5}, ("home", 3), {"step_number": 4}, 4),
        ({"step_number": 5, "current_step": 6}, ("home",), {}, 5),
        ({"current_step": 6, "step_count": 7}, (), {}, 6),
        ({"step_count": 7, "model": SimpleNamespace(steps=8)}, (), {}, 7),
        ({"step_count": len, "model": SimpleNamespace(steps=8)}, (), {}, 8),
        ({"model": SimpleNamespace(time=9.5)}, (), {}, 9),
        ({"model": None}, ("home", "north"), {}, 0),
    ],
)
def test_step_comes_from_the_first_that_tells_it_as_the_act_begins(
    memory: AgentMemorySystem,
    attributes: dict[str, Any],
    arguments: tuple[Any, ...],
    named: dict[str, Any],
    step: int,
) -> None:
    agent_at(memory, **attributes).act(*arguments, **named)
    assert steps(memory) == [step]


def test_acts_are_counted_when_nothing_tells_the_step(memory: AgentMemorySystem) -> None:
    agent = agent_at(memory)
    for _ in range(3):
        agent.get_state()
        agent.act()
    agent.get_state(step_number=7)
    assert steps(memory) == [0, 0, 1, 1, 2, 2, 7]


def test_memory_is_opened_by_the_first_act_from_memory_config() -> None:
    agent_class = hooked(Walker)
    agent_class.memory_config = dict(FAKE) | {"run_id": "hooked"}
    agent = agent_class(None)
    try:
        agent.act()
        system = AgentMemorySystem.get_instance()
        assert system.config.run_id == "hooked"
        assert len(recorded(system, "w")) == 1
    finally:
        AgentMemorySystem.get_instance().close()


def test_memory_config_that_disagrees_with_the_open_one_is_told_before_the_act() -> None:
    with AgentMemorySystem.get_instance(FAKE):
        agent = hooked(Walker)(None)
        agent.memory_config = {"run_id": "another"}
        with pytest.raises(ConfigError, match="another configuration"):
            agent.act()
        assert agent.acts == 0


def test_wrong_memory_system_is_refused() -> None:
    agent = hooked(Walker)("redis://localhost")
    with pytest.raises(ConfigError, match="AgentMemorySystem"):
        agent.act()


@pytest.mark.parametrize("attribute", ["memory_system", "memory_config"])
def test_disabled_hooks_record_nothing_and_ask_nothing(attribute: str) -> None:
    config = MemoryConfig(**dict(FAKE) | {"enable_memory_hooks": False})
    asked: list[str] = []

    class Asking(Walker):
        def get_state(self) -> dict[str, Any]:
            asked.append("state")
            return super().get_state()

    with AgentMemorySystem(config) as system:
        agent = hooked(Asking)(None, "")  # no id either
        setattr(agent, attribute, system if attribute == "memory_system" else config)
        assert agent.act()["action_type"] == "walk"
        assert agent.acts == 1
        assert asked == []
        assert system.stm.agents("default") == []
