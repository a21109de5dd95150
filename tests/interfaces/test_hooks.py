"""Hooks on classes: what they record, and that agents act as before."""

from __future__ import annotations

import abc
import dataclasses
import enum
import inspect
import logging
import threading
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import numpy as np
import pydantic
import pytest

from agent_memory import (
    AgentMemorySystem,
    ConfigError,
    MemoryConfig,
    MemoryType,
    Query,
    install_memory_hooks,
)
from tests import engines

FAKE = MemoryConfig(engine="fake", ltm_url="sqlite:///:memory:")


@pytest.fixture
def memory() -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(FAKE) as system:
        yield system


@pytest.fixture(params=["fake", "embedded"])
def any_memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AgentMemorySystem]:
    config = FAKE if request.param == "fake" else MemoryConfig(engine="embedded", path=tmp_path)
    with AgentMemorySystem(config) as system:
        yield system


class Walker:
    """A plain agent on a line, which hands out the very dict it changes."""

    def __init__(self, memory: AgentMemorySystem | None, agent_id: str | int = "w") -> None:
        self.memory_system = memory
        self.agent_id = agent_id
        self.inner: dict[str, Any] = {"x": 0, "trail": [0]}
        self.acts = 0

    def act(self, by: int = 1) -> dict[str, Any]:
        self.acts += 1
        self.inner["x"] += by
        self.inner["trail"].append(self.inner["x"])
        return {"action_type": "walk", "action_params": {"by": by}, "reward": 0.5}

    def get_state(self) -> dict[str, Any]:
        return self.inner


def hooked(agent_class: type[Any]) -> type[Any]:
    """A fresh hooked class; the given one stays as it is."""
    return install_memory_hooks(type(agent_class.__name__, (agent_class,), {}))


def acting(memory: AgentMemorySystem, result: object, **attributes: Any) -> Any:
    """A hooked agent "a" whose act() returns ``result``."""
    methods = {"act": lambda self: result, "memory_system": memory, "agent_id": "a"}
    return install_memory_hooks(type("Acting", (), methods | attributes))()


def recorded(
    memory: AgentMemorySystem, agent_id: str = "a", kind: str = "action"
) -> list[dict[str, Any]]:
    query = Query(agent_id=agent_id, memory_type=MemoryType(kind))
    return [dict(hit.entry.contents) for hit in memory.recall(query)]


def steps(memory: AgentMemorySystem, agent_id: str = "a") -> list[int]:
    return [hit.entry.step_number for hit in memory.recall(Query(agent_id=agent_id))]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "agent_memory.hooks"]


# -- what is recorded ---------------------------------------------------------------------------


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


Told = namedtuple("Told", ["action_type", "reward"])


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
        (Told("eat", 3), "eat", {}, 3),
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
        (Told("eat", 3), {"action_type": "eat", "reward": 3}),
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


# -- whose, when, where -------------------------------------------------------------------------


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


# -- the memory never stops an agent ------------------------------------------------------------


def test_error_of_act_goes_through_unchanged_and_records_nothing(
    memory: AgentMemorySystem,
) -> None:
    error = RuntimeError("fell")

    class Falling(Walker):
        def act(self, by: int = 1) -> dict[str, Any]:
            raise error

    agent = hooked(Falling)(memory)
    with pytest.raises(RuntimeError) as raised:
        agent.act()
    assert raised.value is error
    agent.get_state()
    assert recorded(memory, "w") == []
    assert len(recorded(memory, "w", "state")) == 1


def test_what_cannot_be_stored_is_logged_once_per_class_and_place(
    memory: AgentMemorySystem, caplog: pytest.LogCaptureFixture
) -> None:
    result = {"action": "lock", "params": {"held": [1, threading.Lock()]}}
    first, second = acting(memory, result), acting(memory, result)
    for agent in (first, first, second):
        assert agent.act() is result
    assert recorded(memory) == []
    place = "contents.action_params.held[1]: object of type _thread.lock cannot be stored"
    assert len(told(caplog)) == 2
    assert all(line.startswith(f"Acting: not recorded: {place}") for line in told(caplog))


def test_state_before_that_cannot_be_stored_is_logged_by_its_path(
    memory: AgentMemorySystem, caplog: pytest.LogCaptureFixture
) -> None:
    agent = acting(memory, "rest", get_state=lambda self: {"lock": threading.Lock()})
    assert agent.act() == "rest"
    assert "contents.state_before.lock" in told(caplog)[0]


@pytest.mark.parametrize("step", [-1, 2**60])
def test_step_that_cannot_be_stored_is_logged(
    memory: AgentMemorySystem, caplog: pytest.LogCaptureFixture, step: int
) -> None:
    assert acting(memory, "rest", step_number=step).act() == "rest"
    assert "step_number" in told(caplog)[0]


def test_failing_get_state_leaves_the_state_none_and_is_logged_once(
    memory: AgentMemorySystem, caplog: pytest.LogCaptureFixture
) -> None:
    def get_state(self: Any) -> dict[str, Any]:
        if self.dead:
            raise AttributeError("no cell")
        return {"alive": True}

    def act(self: Any) -> str:
        self.dead = True
        return "die"

    agent = acting(memory, None, get_state=get_state, act=act, dead=False)
    assert agent.act() == "die"
    assert agent.act() == "die"
    first, second = recorded(memory)
    assert (first["state_before"], first["state_after"]) == ({"alive": True}, None)
    assert (second["state_before"], second["state_after"]) == (None, None)
    assert len(told(caplog)) == 1
    with pytest.raises(AttributeError, match="no cell"):
        agent.get_state()


@pytest.mark.parametrize("on_store_error", ["log", "raise"])
def test_memory_that_cannot_be_opened_lets_agents_act(
    caplog: pytest.LogCaptureFixture, on_store_error: Any
) -> None:
    agent = hooked(Walker)(None)
    agent.memory_config = {
        "redis_url": "redis://127.0.0.1:1",  # nobody listens there
        "ltm_url": "sqlite:///:memory:",
        "on_store_error": on_store_error,
    }
    for _ in range(3):
        assert agent.act()["action_type"] == "walk"
    assert agent.acts == 3
    (error,) = (r for r in caplog.records if r.levelno >= logging.ERROR)
    assert "127.0.0.1:1" in error.getMessage()
    agent.memory_config = FAKE
    with AgentMemorySystem.get_instance(FAKE) as system:
        agent.act()
        assert len(recorded(system, "w")) == 1


@pytest.mark.parametrize("on_store_error", ["log", "raise"])
def test_memory_that_goes_away_lets_agents_act(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, on_store_error: Any
) -> None:
    password = quote(engines.PASSWORD, safe="")
    with engines.tcp_server(tmp_path) as port:
        config = MemoryConfig(
            redis_url=f"redis://:{password}@127.0.0.1:{port}",
            ltm_url="sqlite:///:memory:",
            on_store_error=on_store_error,
        )
        system = AgentMemorySystem(config)
        agent = hooked(Walker)(system)
        agent.act()
        assert len(recorded(system, "w")) == 1
    for _ in range(2):
        assert agent.act()["action_type"] == "walk"
    assert agent.acts == 3
    assert system.outages.failures == 2
    assert sum(record.levelno >= logging.ERROR for record in caplog.records) == 1
    system.close()


def test_read_only_memory_lets_agents_act(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with AgentMemorySystem.open(tmp_path), AgentMemorySystem.open(tmp_path, read_only=True) as view:
        agent = hooked(Walker)(view)
        assert agent.act() == agent.act()
        assert agent.acts == 2
    assert "read-only" in told(caplog)[0]


# -- classes as they come -----------------------------------------------------------------------


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


def one_by_one(self: Any) -> Iterator[str]:
    yield "rest"


@pytest.mark.parametrize(
    ("methods", "word"),
    [
        ({}, r"no method act\(\)"),
        ({"act": later}, "async"),
        ({"act": one_by_one}, "generator"),
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
        install_memory_hooks(Walker(None))  # type: ignore[type-var]


def test_async_act_in_a_subclass_is_refused_where_it_is_declared() -> None:
    with pytest.raises(ConfigError, match="async"):
        type("Later", (hooked(Walker),), {"act": later})


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
