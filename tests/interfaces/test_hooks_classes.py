"""Hooks on classes: each kind of class is hooked, or refused and left as it is."""

from __future__ import annotations

import abc
import dataclasses
import inspect
import threading
from collections.abc import AsyncIterator
from typing import Any

import pydantic
import pytest

from agent_memory import (
    AgentMemorySystem,
    ConfigError,
    install_memory_hooks,
)
from tests.interfaces.hooked import Walker, hooked, recorded, steps


def test_decorating_twice_records_once(memory: AgentMemorySystem) -> None:
    agent_class = hooked(Walker)
    act = agent_class.act
    assert install_memory_hooks(install_memory_hooks(agent_class)) is agent_class
    assert agent_class.act is act
    agent_class(memory).act()
    assert len(recorded(memory, "w")) == 1


def test_outermost_act_of_a_subclass_is_the_one_recorded(memory: AgentMemorySystem) -> None:
    class Twice(hooked(Walker)):  # type: ignore[misc]
        def act(self, step: int) -> str:
            super().act()
            super().act()
            return "walk twice"

    class Thrice(Twice):
        def act(self, step: int) -> str:
            super().act(step)
            return "walk thrice"

    Thrice(memory).act(4)
    (action,) = recorded(memory, "w")
    assert action["action_type"] == "walk thrice"
    assert (action["state_before"]["x"], action["state_after"]["x"]) == (0, 2)
    assert steps(memory, "w") == [4]


def test_subclass_that_never_calls_super_is_recorded(memory: AgentMemorySystem) -> None:
    class Other(hooked(Walker)):  # type: ignore[misc]
        def act(self) -> str:
            return "rest"

    Other(memory).act()
    assert recorded(memory, "w")[0]["action_type"] == "rest"


def test_hooks_leave_the_method_resolution_order_alone(memory: AgentMemorySystem) -> None:
    class Base:
        agent_id = "a"
        memory_system = memory

        def act(self) -> str:
            return "base"

    class Left(Base):
        pass

    class Right(Base):
        def act(self) -> str:
            return "right"

    install_memory_hooks(Left)

    class Both(Left, Right):
        pass

    assert (Left().act(), Both().act(), Right().act()) == ("base", "right", "right")
    assert [action["action_type"] for action in recorded(memory)] == ["base", "right"]


def test_mixin_before_a_hooked_class_is_recorded(memory: AgentMemorySystem) -> None:
    class Lazy:
        def act(self) -> str:
            return "rest"

    class LazyWalker(Lazy, hooked(Walker)):  # type: ignore[misc]
        pass

    assert LazyWalker(memory).act() == "rest"
    assert recorded(memory, "w")[0]["action_type"] == "rest"


def test_subclass_keyword_arguments_and_registries_work_on(memory: AgentMemorySystem) -> None:
    registry: dict[str, type] = {}

    class Registered(Walker):
        def __init_subclass__(cls, *, name: str, **rest: Any) -> None:
            super().__init_subclass__(**rest)
            registry[name] = cls

    install_memory_hooks(Registered)

    class Named(Registered, name="named"):
        def act(self, by: int = 1) -> Any:
            return "named"

    assert registry == {"named": Named}
    Named(memory).act()
    assert recorded(memory, "w")[0]["action_type"] == "named"


@pytest.mark.parametrize("hooks_first", [True, False])
def test_dataclass_with_slots_is_hooked_in_either_order(
    memory: AgentMemorySystem, hooks_first: bool
) -> None:
    class Declared:
        agent_id: str
        memory_system: AgentMemorySystem

        def act(self) -> str:
            return "rest"

    decorators: list[Any] = [dataclasses.dataclass(slots=True), install_memory_hooks]
    agent_class: Any = Declared
    for decorate in reversed(decorators) if hooks_first else decorators:
        agent_class = decorate(agent_class)

    class Below(agent_class):  # type: ignore[misc]
        def act(self) -> str:
            return f"below {super().act()}"

    assert agent_class("a", memory).act() == "rest"
    assert Below("a", memory).act() == "below rest"
    assert [action["action_type"] for action in recorded(memory)] == ["rest", "below rest"]


def test_abstract_act_stays_abstract(memory: AgentMemorySystem) -> None:
    @install_memory_hooks
    class Base(abc.ABC):
        agent_id = "a"
        memory_system = memory

        @abc.abstractmethod
        def act(self) -> str: ...

    class Concrete(Base):
        def act(self) -> str:
            return "rest"

    with pytest.raises(TypeError, match="abstract"):
        Base()  # type: ignore[abstract]
    Concrete().act()
    assert len(recorded(memory)) == 1


def test_pydantic_agent_is_hooked(memory: AgentMemorySystem) -> None:
    @install_memory_hooks
    class Agent(pydantic.BaseModel):
        agent_id: str
        wealth: int = 1

        def act(self) -> str:
            self.wealth += 1
            return "earn"

        def get_state(self) -> Any:
            return self.model_dump()

    class Below(Agent):
        def act(self) -> str:
            return super().act() + " more"

    Below.memory_system = memory  # type: ignore[attr-defined]
    assert Below(agent_id="a").act() == "earn more"
    assert recorded(memory)[0]["state_after"] == {"agent_id": "a", "wealth": 2}


def test_hook_that_was_replaced_by_its_caller_still_records(memory: AgentMemorySystem) -> None:
    agent_class = hooked(Walker)  # its act() is inherited
    act = agent_class.act
    agent_class.act = lambda self: act(self, by=2)
    agent_class(memory).act()
    assert recorded(memory, "w")[0]["state_after"]["x"] == 2


def test_signature_name_and_docstring_stay() -> None:
    act = hooked(Walker).act
    assert inspect.signature(act) == inspect.signature(Walker.act)
    assert (act.__name__, act.__qualname__) == ("act", "Walker.act")


async def later(self: Any) -> None: ...


async def one_by_one(self: Any) -> AsyncIterator[str]:
    yield "rest"


@pytest.mark.parametrize(
    ("methods", "word"),
    [
        ({}, r"no method act\(\) nor step\(\)"),
        ({"act": one_by_one}, "asynchronous generator"),
        ({"act": staticmethod(len)}, "staticmethod"),
        ({"act": None}, r"no method act\(\)"),
        ({"act": 3}, "int"),
        ({"act": lambda self: None, "get_state": later}, "async"),
    ],
)
def test_class_that_cannot_be_hooked_is_refused_and_left_alone(
    methods: dict[str, Any], word: str
) -> None:
    agent_class = type("Agent", (), dict(methods))
    before = dict(vars(agent_class))
    with pytest.raises(ConfigError, match=word):
        install_memory_hooks(agent_class)
    assert dict(vars(agent_class)) == before


def test_what_is_no_class_is_refused() -> None:
    with pytest.raises(ConfigError, match="with_memory"):
        install_memory_hooks(Walker(None))  # type: ignore[call-overload]


def test_asynchronous_generator_in_a_subclass_is_refused_where_it_is_declared() -> None:
    with pytest.raises(ConfigError, match="asynchronous generator"):
        type("Later", (hooked(Walker),), {"act": one_by_one})


def test_threads_record_every_act(memory: AgentMemorySystem) -> None:
    class Resting(Walker):
        def act(self, by: int = 1) -> Any:
            return "rest"

    agent_class = hooked(Resting)
    shared, *own = [agent_class(memory, name) for name in ("shared", "0", "1", "2", "3")]

    def live(agent: Any) -> None:
        for _ in range(25):
            shared.act()
            agent.act()

    threads = [threading.Thread(target=live, args=(agent,)) for agent in own]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(steps(memory, "shared")) == list(range(100))
    assert [len(recorded(memory, agent.agent_id)) for agent in own] == [25] * 4
