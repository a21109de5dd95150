"""Hooks on one agent: it remembers, and it and its class stay what they were."""

from __future__ import annotations

import abc
import copy
import dataclasses
import functools
import gc
import json
import pickle
import weakref
from collections.abc import Iterator
from typing import Any, ClassVar

import mesa
import pydantic
import pytest
from mesa.examples.advanced.wolf_sheep.agents import Wolf
from mesa.examples.advanced.wolf_sheep.model import WolfSheep
from mesa.examples.basic.boltzmann_wealth_model.agents import MoneyAgent
from mesa.examples.basic.boltzmann_wealth_model.model import BoltzmannWealth
from mesa.experimental.devs import ABMSimulator

from agent_memory import (
    AgentMemorySystem,
    ConfigError,
    MemoryConfig,
    MemoryType,
    Query,
    install_memory_hooks,
    with_memory,
)

FAKE = MemoryConfig(engine="fake", ltm_url="sqlite:///:memory:")


@pytest.fixture
def memory() -> Iterator[AgentMemorySystem]:
    """The memory of this process, which agents find by themselves: copies need not carry it."""
    with AgentMemorySystem.get_instance(FAKE) as system:
        yield system


class Plain:
    made: ClassVar[list[str]] = []

    def __init_subclass__(cls) -> None:
        Plain.made.append(cls.__name__)

    def __init__(self, agent_id: str = "a") -> None:
        self.agent_id = agent_id
        self.x = 0

    def act(self) -> str:
        self.x += 1
        return "walk"

    def get_state(self) -> dict[str, Any]:
        return vars(self)


class Slotted:
    __slots__ = ("agent_id", "x")

    def __init__(self, agent_id: str = "a") -> None:
        self.agent_id = agent_id
        self.x = 0

    def act(self) -> str:
        self.x += 1
        return "walk"

    def get_state(self) -> dict[str, Any]:
        return {"agent_id": self.agent_id, "x": self.x}


class SlottedBelow(Slotted):
    __slots__ = ("y",)


@dataclasses.dataclass
class Declared:
    agent_id: str = "a"
    x: int = 0

    def act(self) -> str:
        self.x += 1
        return "walk"

    def get_state(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(slots=True)
class DeclaredSlotted(Declared):
    pass


class Reducing(Plain):
    def __reduce__(self) -> Any:
        return _reduced, (type(self), self.agent_id, self.x)


def _reduced(agent_class: type[Reducing], agent_id: str, x: int) -> Reducing:
    agent = agent_class(agent_id)
    agent.x = x
    return agent


class Getting(Plain):
    def __getstate__(self) -> Any:
        return {"agent_id": self.agent_id, "x": self.x, "extra": 1}

    def __setstate__(self, state: Any) -> None:
        self.agent_id, self.x = state["agent_id"], state["x"]


class Copying(Slotted):
    __slots__ = ()

    def __copy__(self) -> Copying:
        new = self.__class__.__new__(self.__class__)
        new.agent_id, new.x = self.agent_id, self.x
        return new


class Abstract(abc.ABC):
    @abc.abstractmethod
    def act(self) -> str: ...


class Made(Abstract, Plain):
    def act(self) -> str:
        return Plain.act(self)


class Modelled(pydantic.BaseModel):
    agent_id: str = "a"
    x: int = 0

    def act(self) -> str:
        self.x += 1
        return "walk"

    def get_state(self) -> Any:
        return self.model_dump()


CLASSES = [
    *(Plain, Slotted, SlottedBelow, Declared, DeclaredSlotted),
    *(Reducing, Getting, Copying, Made, Modelled),
]


def actions(memory: AgentMemorySystem, agent_id: str = "a") -> list[dict[str, Any]]:
    query = Query(agent_id=agent_id, memory_type=MemoryType.ACTION)
    return [dict(hit.entry.contents) for hit in memory.recall(query)]


@pytest.mark.parametrize("agent_class", CLASSES)
def test_one_agent_remembers_and_its_class_stays(
    memory: AgentMemorySystem, agent_class: type[Any]
) -> None:
    before = dict(vars(agent_class))
    agent = agent_class()
    assert with_memory(agent) is agent
    assert agent.act() == "walk"
    assert agent.get_state() == {"agent_id": "a", "x": 1}
    assert actions(memory) == [
        {
            "action_type": "walk",
            "action_params": {},
            "reward": None,
            "state_before": {"agent_id": "a", "x": 0},
            "state_after": {"agent_id": "a", "x": 1},
        }
    ]
    assert len(memory.recall(Query(agent_id="a"))) == 2
    agent_class().act()
    assert len(actions(memory)) == 1
    assert {name: vars(agent_class)[name] for name in before} == before


@pytest.mark.parametrize("agent_class", CLASSES)
def test_hooked_agent_passes_for_what_it_was(agent_class: type[Any]) -> None:
    agent, other = with_memory(agent_class()), agent_class()
    assert isinstance(agent, agent_class)
    assert agent.__class__ is agent_class
    assert type(agent) == agent_class  # noqa: E721  # not the same object, and equal to it
    assert agent_class == type(agent)  # noqa: E721  # as above
    assert {agent_class: 1}[type(agent)] == 1
    assert {type(agent): 1}[agent_class] == 1
    assert type(agent) not in (int, *(other for other in CLASSES if other is not agent_class))
    assert repr(agent).split(" at ")[0] == repr(other).split(" at ")[0]
    if dataclasses.is_dataclass(agent_class) or agent_class is Modelled:
        assert agent == other
    if hasattr(agent, "__dict__"):
        assert vars(agent) == vars(other)


@pytest.mark.parametrize("agent_class", CLASSES)
def test_agents_that_it_makes_of_its_class_are_not_hooked(
    memory: AgentMemorySystem, agent_class: type[Any]
) -> None:
    agent = with_memory(agent_class())
    for child in (type(agent)(), agent.__class__()):
        assert type(child) is agent_class
        child.act()
    assert actions(memory) == []


def pickled(agent: Any, protocol: int) -> Any:
    return pickle.loads(pickle.dumps(agent, protocol))  # noqa: S301  # made a moment ago


@pytest.mark.parametrize("agent_class", CLASSES)
@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        *(functools.partial(pickled, protocol=protocol) for protocol in range(6)),
    ],
    ids=["copy", "deepcopy", *(f"pickle{protocol}" for protocol in range(6))],
)
def test_copies_work_as_before_and_remember_for_themselves(
    memory: AgentMemorySystem, agent_class: type[Any], copied: Any
) -> None:
    agent = agent_class()
    agent.x = 5
    try:
        copied(agent)
    except TypeError:  # slots and the oldest protocols
        pytest.skip("cannot be copied so without hooks either")
    other = copied(with_memory(agent))
    assert other.__class__ is agent_class
    assert other.x == 5
    assert other.act() == "walk"
    assert (other.x, agent.x) == (6, 5)
    if (agent_class, copied) != (Copying, copy.copy):  # which makes the copy by itself
        assert [action["state_before"]["x"] for action in actions(memory)] == [5]


def test_hooking_twice_records_once(memory: AgentMemorySystem) -> None:
    agent = Plain()
    with_memory(with_memory(agent)).act()
    assert len(actions(memory)) == 1
    assert type(with_memory(agent)) is type(with_memory(Plain()))


def test_agent_of_a_hooked_class_stays_as_it_is(memory: AgentMemorySystem) -> None:
    agent_class: Any = install_memory_hooks(type("Hooked", (Plain,), {}))
    agent = with_memory(agent_class())
    assert type(agent) is agent_class
    agent.act()
    assert len(actions(memory)) == 1


def test_class_hooked_after_its_agent_records_once(memory: AgentMemorySystem) -> None:
    agent_class = type("Later", (Plain,), {})
    agent = with_memory(agent_class())
    install_memory_hooks(agent_class)
    agent.act()
    assert len(actions(memory)) == 1


def test_class_keeps_no_account_of_its_twin() -> None:
    agent_class: Any = type("Fresh", (Plain,), {})  # which has no twin yet
    Plain.made.clear()
    with_memory(agent_class())
    assert Plain.made == []


def test_twin_goes_when_its_agents_are_gone(memory: AgentMemorySystem) -> None:
    agent = with_memory(type("Brief", (Plain,), {})("brief"))
    agent.act()
    twin = weakref.ref(type(agent))
    del agent
    gc.collect()
    assert twin() is None


def test_state_that_is_vars_of_the_agent_has_no_hooks_in_it(memory: AgentMemorySystem) -> None:
    agent = with_memory(Plain())
    assert json.loads(json.dumps(agent.get_state())) == {"agent_id": "a", "x": 0}


def test_agent_may_change_its_class(memory: AgentMemorySystem) -> None:
    new_class = type("New", (Plain,), {})
    agent = with_memory(Plain())
    agent.__class__ = new_class
    assert type(agent) is new_class
    agent.act()
    assert actions(memory) == []


class Fails:
    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(name)


@pytest.mark.parametrize("name", ["none", "generator", "function", "fails"])
def test_what_can_have_no_subclass_or_fails_when_it_is_looked_at_is_refused(name: str) -> None:
    agent = {"none": None, "generator": iter(()), "function": len, "fails": Fails()}[name]
    with pytest.raises(ConfigError):
        with_memory(agent)
    with pytest.raises(ConfigError):
        install_memory_hooks(agent)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("agent", "word"),
    [(Plain, "install_memory_hooks"), (object(), r"no method act\(\)"), (mesa, "act")],
)
def test_what_is_no_agent_is_refused(agent: object, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        with_memory(agent)


# -- Mesa ---------------------------------------------------------------------------------------


@install_memory_hooks
class Trader(MoneyAgent):  # type: ignore[misc]
    def act(self) -> dict[str, Any]:
        before = self.wealth
        super().step()
        return {"action": "trade", "reward": self.wealth - before, "cell": self.cell.coordinate}

    def step(self) -> None:
        self.act()

    def get_state(self) -> dict[str, Any]:
        return {"wealth": self.wealth, "cell": self.cell.coordinate}


def test_mesa_agents_of_a_hooked_class_remember_every_step(memory: AgentMemorySystem) -> None:
    model = BoltzmannWealth(n=5, width=3, height=3, seed=7)
    traders = Trader.create_agents(model, 4, model.grid.all_cells.cells[:4])
    traders.do(lambda trader: setattr(trader, "first_cell", trader.cell.coordinate))
    for _ in range(3):
        model.step()
    for trader in traders:
        hits = memory.recall(Query(agent_id=str(trader.unique_id)))
        assert [hit.entry.step_number for hit in hits] == [1, 2, 3]
        contents = [hit.entry.contents for hit in hits]
        assert contents[0]["state_before"]["cell"] == trader.first_cell
        assert contents[-1]["state_after"]["cell"] == trader.cell.coordinate
        for action in contents:
            states = action["state_before"], action["state_after"]
            assert action["action_type"] == "trade"
            assert action["reward"] == states[1]["wealth"] - states[0]["wealth"]
            assert action["action_params"] == {"result": {"cell": states[1]["cell"]}}
    assert len(memory.stm.agents("default")) == 4


class ActingWolf(Wolf):  # type: ignore[misc]
    def act(self) -> None:
        self.last_action = "hunt"
        super().step()

    def step(self) -> None:
        self.act()

    def get_state(self) -> dict[str, Any]:
        return {"energy": self.energy, "cell": self.cell.coordinate}  # no cell once it is dead


def test_mesa_agent_hooked_alone_lives_breeds_and_dies(memory: AgentMemorySystem) -> None:
    model = WolfSheep(initial_sheep=1, initial_wolves=1, seed=3, simulator=ABMSimulator())
    cell = model.grid.all_cells.cells[0]
    wolf = with_memory(ActingWolf(model, energy=5, p_reproduce=0.5, cell=cell))
    while wolf in model.agents:
        model.step()  # the model's own wolf and sheep
        model.agents_by_type[ActingWolf].shuffle_do("step")
        assert model.steps < 20
    lived = model.steps
    offspring = list(model.agents_by_type[ActingWolf])
    assert offspring
    assert wolf not in offspring
    assert {type(child) for child in offspring} == {ActingWolf}
    model.agents_by_type[ActingWolf].shuffle_do("step")
    hits = memory.recall(Query(agent_id=str(wolf.unique_id)))
    assert [hit.entry.step_number for hit in hits] == list(range(1, lived + 1))
    assert hits[0].entry.contents["state_before"]["energy"] == 5
    assert {hit.entry.contents["action_type"] for hit in hits} == {"hunt"}
    assert hits[-1].entry.contents["state_after"] is None
    assert memory.stm.agents("default") == [str(wolf.unique_id)]
