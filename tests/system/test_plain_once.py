"""What is handed over in classes of its own is found and similar to itself in every tier."""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import enum
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest

from agent_memory import (
    AgentMemorySystem,
    InvalidEntry,
    MemoryConfig,
    MemoryEntry,
    Query,
    Tier,
    install_memory_hooks,
)
from agent_memory.testing import a_memory_id, an_entry, same
from agent_memory.values.contents import pack, unpack
from tests import engines

PATHS = ("cell.sugar", "home.food", "seen.red", "place.x.kind")


class Color(enum.Enum):
    RED = "red"


class Kind(enum.IntEnum):
    NEST = 4


@dataclasses.dataclass
class Cell:
    sugar: int
    at: tuple[int, int] = (0, 0)


class Home(pydantic.BaseModel):
    food: int
    owner: Any = None


def state(number: int) -> dict[str, Any]:
    return {
        "cell": Cell(number),
        "home": Home(food=number, owner=Cell(1)),
        "seen": collections.OrderedDict({Color.RED: number}),
        "place": types.MappingProxyType({"x": {"kind": Kind.NEST, "n": number}}),
        "screen": bytearray(bytes(range(60))),
        "view": memoryview(b"abc"),
        "picture": np.full((3, 3), number, np.uint8),
    }


def conditions(number: int) -> list[dict[str, Any]]:
    """Such as only the state of that number meets; the last on paths that are not declared."""
    return [
        {"cell.sugar": number},
        {"home.food": number},
        {"seen.red": (number, number)},
        {"place.x.kind": 4, "cell.sugar": number},
        {"home.owner.sugar": 1, "place.x.n": number},
    ]


Store = Callable[[AgentMemorySystem, dict[str, Any], int], Any]


def by_agent(system: AgentMemorySystem, data: dict[str, Any], step: int) -> None:
    assert system.store_agent_state("ant", data, step)


def an_ants_entry(data: dict[str, Any], step: int) -> MemoryEntry:
    return an_entry(
        memory_id=a_memory_id(step), agent_id="ant", run_id="default", step_number=step,
        timestamp=float(step), contents=data,
    )  # fmt: skip


def by_store(system: AgentMemorySystem, data: dict[str, Any], step: int) -> None:
    assert system.get_memory_agent("ant").stm_store.store(an_ants_entry(data, step))


def by_dict(system: AgentMemorySystem, data: dict[str, Any], step: int) -> None:
    reported = {"step_number": step, "memory_type": "state", "contents": data}
    assert system.get_memory_agent("ant").stm_store.store(reported)


def by_repository(system: AgentMemorySystem, data: dict[str, Any], step: int) -> None:
    system.stm.add(an_ants_entry(data, step))


def by_step(system: AgentMemorySystem, data: dict[str, Any], step: int) -> None:
    assert not system.store_step(step, {"ant": data}).refused


def by_many(system: AgentMemorySystem, data: dict[str, Any], step: int) -> None:
    assert not system.store_many([an_ants_entry(data, step)]).refused


def by_hook(system: AgentMemorySystem, data: dict[str, Any], step: int) -> None:
    class Ant:
        memory_system, agent_id, step_number = system, "ant", step

        def get_state(self) -> dict[str, Any]:
            return data

        def act(self) -> None: ...

    install_memory_hooks(Ant)().get_state()


@pytest.fixture(params=engines.parameters(["fake", "embedded"], ["embedded"]))
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AgentMemorySystem]:
    config = MemoryConfig(
        path=tmp_path, engine=request.param, search=False, indexed_attributes=PATHS,
        stm_config={"memory_limit": 2}, im_config={"memory_limit": 2}, cleanup_interval=1_000,
    )  # fmt: skip
    with AgentMemorySystem(config, upkeep=False) as opened:
        yield opened


@pytest.mark.parametrize(
    "store", [by_agent, by_step, by_many, by_store, by_dict, by_repository, by_hook]
)
def test_declared_attributes_are_found_in_every_tier(
    system: AgentMemorySystem, store: Store
) -> None:
    for step in range(8):
        store(system, state(step), step)
    for moved in (False, True):
        if moved:
            system.maintain()
            assert system.statistics()[Tier.LTM].entries >= 4
        for number in range(8):
            for asked in conditions(number):
                hits = system.recall(Query(agent_id="ant", attributes=asked), touch=False)
                assert [hit.entry.contents["cell"]["sugar"] for hit in hits] == [number], asked
        assert system.check().sound


def test_states_are_most_similar_to_themselves(system: AgentMemorySystem) -> None:
    for step in range(8):
        by_agent(system, state(step), step)
    for moved in (False, True):
        if moved:
            system.maintain()
        for step in range(8):
            nearest = system.recall(Query(agent_id="ant"), near=state(step), touch=False)[0]
            assert nearest.score is not None
            assert nearest.score > 0.999
            assert same(dict(nearest.entry.contents), unpack(pack(nearest.entry.contents)))
        assert not system.check().findings


def test_training_on_given_states_takes_them_as_they_come_back(system: AgentMemorySystem) -> None:
    given = system.train_encoder([state(step % 9) for step in range(60)], network=False)
    for step in range(60):
        by_agent(system, state(step % 9), step)
    system.maintain()
    assert given.version == 1
    assert system.check().sound
    with pytest.raises(InvalidEntry):
        system.train_encoder([{"a": 1}, object()], network=False)


class Drifting(collections.abc.Mapping[str, float]):
    """Contents that are others each time they are read, as of a simulation that goes on."""

    def __init__(self) -> None:
        self.read = 0

    def __getitem__(self, key: str) -> float:
        if key != "n":
            raise KeyError(key)
        self.read += 1
        return float(self.read)

    def __iter__(self) -> Iterator[str]:
        return iter(["n"])

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize("store", [by_agent, by_step, by_many, by_store])
def test_contents_that_change_while_they_are_stored_are_one_state_throughout(
    tmp_path: Path, store: Store
) -> None:
    config = MemoryConfig(path=tmp_path, engine="fake", indexed_attributes=("n",))
    with AgentMemorySystem(config, upkeep=False) as system:
        for step in range(3):
            store(system, Drifting(), step)  # type: ignore[arg-type]  # a mapping
        for hit in system.recall(Query(agent_id="ant"), touch=False):
            number, step = hit.entry.contents["n"], hit.entry.step_number
            asked = Query(agent_id="ant", attributes={"n": number}, steps=(step, step))
            assert [one.entry for one in system.recall(asked, touch=False)] == [hit.entry]
        report = system.check()
        assert report.sound, report.findings
