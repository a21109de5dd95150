"""Hooks on any class: other methods than act(), states without get_state(), coroutines."""

from __future__ import annotations

import asyncio
import importlib.util
import pickle
import threading
from collections.abc import Generator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agent_memory import AgentMemorySystem, ConfigError, install_memory_hooks, with_memory
from tests.interfaces.hooked import recorded, reported, steps

needs_mesa = pytest.mark.skipif(importlib.util.find_spec("mesa") is None, reason="needs mesa")


class Forager:
    """An agent of no framework, with step() and plain attributes."""

    def __init__(self, memory: AgentMemorySystem | None, agent_id: str = "f") -> None:
        self.memory_system, self.agent_id = memory, agent_id
        self.food, self.trail = 0, [0]
        self.lock, self._secret = threading.Lock(), 1

    def step(self) -> None:
        self.food += 1
        self.trail.append(self.food)


def test_step_is_hooked_where_there_is_no_act_and_records_states(
    memory: AgentMemorySystem, caplog: pytest.LogCaptureFixture
) -> None:
    agent = install_memory_hooks(type("Hooked", (Forager,), {}))(memory)
    agent.step()
    agent.step()
    assert recorded(memory, "f", "state") == [
        {"food": 1, "trail": [0, 1]},
        {"food": 2, "trail": [0, 1, 2]},
    ]
    first = recorded(memory, "f")[0]
    assert (first["action_type"], first["state_before"]) == ("step", {"food": 0, "trail": [0]})
    # What cannot be stored is left out, and logged once for each place.
    assert sum(".lock" in line for line in reported(caplog)) == len(reported(caplog)) <= 3


def test_each_source_is_a_name_or_a_callable(memory: AgentMemorySystem) -> None:
    @install_memory_hooks(
        method="trade",
        state="describe",
        action=lambda agent: {"action_type": "sell", "reward": agent.wealth},
        agent_id=lambda agent: f"trader-{agent.number}",
        step="round",
    )
    class Trader:
        memory_system = memory
        number, wealth, round = 3, 1.5, 9

        def trade(self) -> str:
            return "done"

        def describe(self) -> dict[str, float]:
            return {"wealth": self.wealth}

    assert Trader().trade() == "done"
    (action,) = recorded(memory, "trader-3")
    assert (action["action_type"], action["reward"]) == ("sell", 1.5)
    assert recorded(memory, "trader-3", "state") == [{"wealth": 1.5}]
    assert steps(memory, "trader-3") == [9, 9]


def test_fields_and_exclude_choose_the_keys_of_a_state(memory: AgentMemorySystem) -> None:
    chosen = with_memory(Forager(memory, "chosen"), fields=["food"])
    others = with_memory(Forager(memory, "others"), exclude=["trail", "lock"])
    chosen.step()
    others.step()
    assert recorded(memory, "chosen", "state") == [{"food": 1}]
    assert recorded(memory, "others", "state") == [{"food": 1}]
    assert pickle.loads(pickle.dumps(HookedAlone.example())).step() is None  # noqa: S301


class HookedAlone:
    """With a name in its module, so that it can be pickled."""

    memory_system = None

    def __init__(self) -> None:
        self.agent_id, self.memory_config = "p", {"engine": "fake", "enable_memory_hooks": False}

    def step(self) -> None: ...

    @classmethod
    def example(cls) -> HookedAlone:
        return with_memory(cls(), fields=["food"])


def test_several_methods_are_hooked_and_subclasses_too(memory: AgentMemorySystem) -> None:
    class Base:
        memory_system, agent_id = memory, "b"

        def eat(self) -> str:
            return "eat"

        def sleep(self) -> str:
            return "sleep"

    install_memory_hooks(Base, "eat")
    install_memory_hooks(Base, "sleep")

    class Below(Base):
        def eat(self) -> str:
            return f"{super().eat()} well"

    agent = Below()
    agent.eat()
    agent.sleep()
    assert [action["action_type"] for action in recorded(memory, "b")] == ["eat well", "sleep"]


def test_other_agents_in_a_state_become_their_ids(memory: AgentMemorySystem) -> None:
    agent = with_memory(Forager(memory, "a"), exclude=["lock"])
    agent.friends = [Forager(None, "b"), Forager(None, "c")]  # type: ignore[attr-defined]
    agent.partner = SimpleNamespace(unique_id=7, lock=threading.Lock())  # type: ignore[attr-defined]
    agent.step()
    (state,) = recorded(memory, "a", "state")
    assert (state["friends"], state["partner"]) == (["b", "c"], 7)


def test_a_state_that_is_vars_of_the_agent_is_recorded(memory: AgentMemorySystem) -> None:
    @install_memory_hooks
    class Ant:
        def __init__(self) -> None:
            self.agent_id, self.memory_system, self.food = "ant", memory, 0

        def get_state(self) -> dict[str, Any]:
            return vars(self)

        def act(self) -> str:
            self.food += 1
            return "forage"

    ant = Ant()
    ant.act()
    ant.get_state()
    assert recorded(memory, "ant", "state") == [{"agent_id": "ant", "food": 1}]
    (action,) = recorded(memory, "ant")
    assert action["state_before"] == {"agent_id": "ant", "food": 0}


def test_a_state_that_holds_itself_ends(memory: AgentMemorySystem) -> None:
    agent = with_memory(Forager(memory, "self"), exclude=["lock"])
    agent.trail.append(agent.trail)  # type: ignore[arg-type]
    agent.step()
    assert recorded(memory, "self", "state")[0]["food"] == 1


def test_coroutine_is_recorded_when_it_ends(memory: AgentMemorySystem) -> None:
    @install_memory_hooks
    class Sleeper:
        memory_system = memory

        def __init__(self, name: str) -> None:
            self.agent_id, self.naps = name, 0

        async def step(self) -> str:
            for _ in range(3):
                await asyncio.sleep(0)
                self.naps += 1
            if self.agent_id == "falls":
                raise ValueError("out of bed")
            return "nap"

    agents = [Sleeper("a"), Sleeper("b"), Sleeper("falls")]

    async def live() -> list[Any]:
        return await asyncio.gather(*(one.step() for one in agents), return_exceptions=True)

    first, second, third = asyncio.run(live())
    assert (first, second, str(third)) == ("nap", "nap", "out of bed")
    assert asyncio.iscoroutinefunction(Sleeper.step)
    for name in ("a", "b"):
        (action,) = recorded(memory, name)
        assert (action["action_type"], action["state_after"]) == ("nap", {"naps": 3})
    assert recorded(memory, "falls")[0]["exception"]["type"] == "ValueError"


def test_generator_is_recorded_when_it_ends_and_not_when_it_is_closed(
    memory: AgentMemorySystem,
) -> None:
    @install_memory_hooks
    class Process:
        """As SimPy's processes are."""

        memory_system = memory

        def __init__(self, name: str) -> None:
            self.agent_id = name
            self.got: list[Any] = []

        def step(self) -> Generator[int, Any, str]:
            self.got.append((yield 1))
            try:
                self.got.append((yield 2))
            except KeyError:
                self.got.append("caught")
            return "done"

    whole, other = Process("whole").step(), Process("other")
    assert [next(whole), whole.send("x")] == [1, 2]
    # Between two parts of one agent's process others act, and are recorded.
    assert list(other.step()) == [1, 2]
    with pytest.raises(StopIteration) as ended:
        whole.throw(KeyError())
    assert ended.value.value == "done"
    closed = Process("closed").step()
    next(closed)
    closed.close()
    (action,) = recorded(memory, "whole")
    assert (action["action_type"], action["state_after"]) == ("done", {"got": ["x", "caught"]})
    assert len(recorded(memory, "other")) == 1
    assert recorded(memory, "closed") == []


def test_slots_count_as_attributes(memory: AgentMemorySystem) -> None:
    class Slotted:
        __slots__ = ("food", "unset")
        memory_system, agent_id = memory, "s"

        def __init__(self) -> None:
            self.food = 1

        def step(self) -> None:
            self.food += 1

    with_memory(Slotted()).step()
    assert recorded(memory, "s", "state") == [{"food": 2}]


def test_a_view_of_a_position_that_moves_on_is_copied(memory: AgentMemorySystem) -> None:
    everywhere = np.zeros((2, 2))
    agent = with_memory(Forager(memory, "v"), exclude=["lock", "trail"])
    agent.position = everywhere[0]  # type: ignore[attr-defined]
    agent.step()
    everywhere += 5
    agent.step()
    first, second = (state["position"].tolist() for state in recorded(memory, "v", "state"))
    assert (first, second) == ([0, 0], [5, 5])


@pytest.mark.parametrize(
    ("method", "options", "word"),
    [
        ("fly", {}, r"no method fly\(\)"),
        (3, {}, "method: the name"),
        (None, {"state": 3}, "state: a name or a callable"),
        (None, {"fields": 3}, "fields: names"),
        (None, {"exclude": [3]}, "exclude: names"),
        (None, {"colour": "red"}, "colour"),
    ],
)
def test_options_that_mean_nothing_are_refused(method: Any, options: Any, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        install_memory_hooks(Forager, method, **options)
    with pytest.raises(ConfigError, match=word):
        with_memory(Forager(None), method, **options)


@needs_mesa
def test_unmodified_mesa_agents_remember_their_state_and_place(memory: AgentMemorySystem) -> None:
    import mesa  # noqa: PLC0415  # an extra
    from mesa.discrete_space import CellAgent, OrthogonalMooreGrid  # noqa: PLC0415

    class Sheep(CellAgent):  # type: ignore[misc]
        def __init__(self, model: Any, cell: Any) -> None:
            super().__init__(model)
            self.energy, self.cell = 4, cell

        def step(self) -> None:
            self.energy -= 1
            self.cell = self.cell.neighborhood.cells[0]

    install_memory_hooks(Sheep)
    model = mesa.Model()
    model.memory_system = memory
    grid = OrthogonalMooreGrid((3, 3), torus=True, random=model.random)
    sheep = Sheep(model, grid[(1, 1)])
    model.agents.do("step")
    (state,) = recorded(memory, str(sheep.unique_id), "state")
    assert state == {"energy": 3, "position": sheep.cell.coordinate}


@needs_mesa
def test_mesa_agents_on_a_grid_of_before_and_in_a_plane_have_a_position(
    memory: AgentMemorySystem,
) -> None:
    import mesa  # noqa: PLC0415  # an extra
    from mesa.space import ContinuousSpace, MultiGrid  # noqa: PLC0415

    class Walker(mesa.Agent):  # type: ignore[misc]
        memory_system = memory

        def step(self) -> None: ...

    install_memory_hooks(Walker)
    model = mesa.Model()
    grid, plane = MultiGrid(4, 4, torus=True), ContinuousSpace(9, 9, torus=True)
    on_grid, in_plane = Walker(model), Walker(model)
    grid.place_agent(on_grid, (1, 2))
    plane.place_agent(in_plane, (1.5, 2.5))
    on_grid.step()
    in_plane.step()
    assert tuple(recorded(memory, str(on_grid.unique_id), "state")[0]["position"]) == (1, 2)
    assert tuple(recorded(memory, str(in_plane.unique_id), "state")[0]["position"]) == (1.5, 2.5)
