"""A model of Mesa is remembered as it is: states, births, deaths, one run for each model run."""

from __future__ import annotations

import copy
import gc
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agent_memory import (
    AgentMemorySystem,
    ConfigError,
    InvalidEntry,
    MemoryConfig,
    Order,
    Query,
    RunConflict,
)
from agent_memory.integrations.mesa import MemoryCollector, run_id_of, seed_of

mesa = pytest.importorskip("mesa")
from mesa.discrete_space import CellAgent, OrthogonalMooreGrid  # noqa: E402  # where Mesa is there
from mesa.experimental.continuous_space import (  # noqa: E402
    ContinuousSpace,
    ContinuousSpaceAgent,
)


def _count(model: Any) -> int:
    return len(model.agents)


class Sheep(CellAgent):
    def __init__(self, model: Any, energy: float) -> None:
        super().__init__(model)
        self.energy, self.friend, self.tool = energy, None, object()
        self.cell = model.random.choice(model.grid.all_cells.cells)

    def step(self) -> None:
        self.energy -= 1
        if self.energy < 0:
            self.remove()
        elif self.energy == 1:
            Sheep(self.model, 5)


class Lamb(Sheep):
    pass


class Grass(CellAgent):
    height = 3


class Field(mesa.Model):  # type: ignore[name-defined]
    def __init__(self, sheep: int = 3, folder: str | None = None, **seeded: Any) -> None:
        super().__init__(**seeded)
        self.grid = OrthogonalMooreGrid((5, 5), random=self.random)
        for energy in range(sheep):
            Sheep(self, energy)
        self.datacollector = mesa.DataCollector(model_reporters={"sheep": _count})
        self.memory: MemoryCollector | None = None
        if folder is not None:
            system = AgentMemorySystem(MemoryConfig(path=Path(folder), engine="embedded"))
            self.memory = MemoryCollector(self, system, parameters={"sheep": sheep})

    def step(self) -> None:
        self.agents.shuffle_do("step")
        self.datacollector.collect(self)
        if self.memory is not None:
            self.memory.collect(self)


def a_field(seed: int = 1, **arguments: Any) -> Field:
    return Field(rng=seed, **arguments)


@pytest.fixture
def system() -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(MemoryConfig(engine="fake")) as opened:
        yield opened


def remembered(collector: MemoryCollector, agent: Any, kind: str) -> list[tuple[int, Any]]:
    query = Query(agent_id=agent, memory_type=kind, order=Order.STEP)  # type: ignore[arg-type]
    hits = collector.memory.recall(query)
    return [(hit.entry.step_number, hit.entry.contents) for hit in hits]


def test_states_births_and_deaths_are_remembered(system: AgentMemorySystem) -> None:
    model = a_field()
    collector = model.memory = MemoryCollector(model, system, {Sheep: ("energy", "position")})
    first, second, third = model.agents
    at = third.cell.coordinate
    for _ in range(3):
        model.step()
    # The first was gone before the first call.
    assert remembered(collector, first.unique_id, "state") == []
    assert [step for step, _ in remembered(collector, second.unique_id, "state")] == [1]
    states = remembered(collector, third.unique_id, "state")
    assert states == [
        (1, {"energy": 1, "position": at}),
        (2, {"energy": 0, "position": at}),
    ]
    assert remembered(collector, third.unique_id, "action") == [
        (3, {"event": "died", "class": "Sheep"})
    ]
    lamb = next(agent for agent in model.agents if agent.unique_id == 4)
    assert remembered(collector, lamb.unique_id, "action") == []
    assert [step for step, _ in remembered(collector, lamb.unique_id, "state")] == [1, 2, 3]


def test_one_that_is_born_later_is_remembered_as_born(system: AgentMemorySystem) -> None:
    model = a_field(sheep=0)
    collector = MemoryCollector(model, system)
    assert collector.collect()
    model.step()
    lamb = Lamb(model, 9)
    assert collector.collect()
    assert remembered(collector, lamb.unique_id, "action") == [
        (1, {"event": "born", "class": "Lamb"})
    ]


def test_classes_are_chosen_with_their_subclasses(system: AgentMemorySystem) -> None:
    model = a_field(sheep=1)
    lamb, grass = Lamb(model, 7), Grass(model)
    collector = MemoryCollector(
        model, system, {Sheep: "energy", Lamb: lambda agent: {"age": 0, "energy": agent.energy}}
    )
    assert len(collector.collect().accepted) == 2
    assert collector.state_of(lamb) == {"age": 0, "energy": 7}
    with pytest.raises(ConfigError, match="Grass is not among"):
        collector.state_of(grass)


def test_what_cannot_be_stored_is_left_out_and_told_once(
    system: AgentMemorySystem, caplog: pytest.LogCaptureFixture
) -> None:
    model = a_field(sheep=2)
    first, second = model.agents
    second.friend = first
    collector = MemoryCollector(model, system)
    with caplog.at_level(logging.WARNING, "agent_memory.mesa"):
        assert collector.collect()
        assert collector.collect()
    (reported,) = [record.message for record in caplog.records]
    assert "Sheep.tool" in reported
    contents = collector.recall(second)[0].entry.contents
    assert contents["friend"] == first.unique_id
    assert contents.keys() == {"energy", "friend", "position"}


def test_an_attribute_that_agents_lack_is_told_once(
    system: AgentMemorySystem, caplog: pytest.LogCaptureFixture
) -> None:
    model = a_field(sheep=2)
    collector = MemoryCollector(model, system, {Sheep: ("energy", "enrgy")})
    with caplog.at_level(logging.WARNING, "agent_memory.mesa"):
        assert collector.collect()
        assert collector.collect()
    told = [record.message for record in caplog.records]
    assert told == ["Sheep.enrgy is not remembered: there is no such attribute"]
    assert [*collector.recall(next(iter(model.agents)))[0].entry.contents] == ["energy"]


def test_a_place_in_a_continuous_space_stays_as_it_was(system: AgentMemorySystem) -> None:
    model = mesa.Model(rng=1)
    space = ContinuousSpace(np.array([[0, 9], [0, 9]]), random=model.random)
    bird = ContinuousSpaceAgent(space, model)
    bird.position = [1.0, 2.0]
    collector = MemoryCollector(model, system)
    collector.collect()
    bird.position = [3.0, 4.0]
    assert collector.recall(bird)[0].entry.contents["position"].tolist() == [1.0, 2.0]


def test_states_are_remembered_at_every_so_many_steps(system: AgentMemorySystem) -> None:
    model = a_field(sheep=0)
    sheep = Sheep(model, 100)
    collector = model.memory = MemoryCollector(model, system, every=3)
    for _ in range(7):
        model.step()
    assert [step for step, _ in remembered(collector, sheep.unique_id, "state")] == [3, 6]


def test_an_agent_asks_for_its_own_memories_in_one_line(system: AgentMemorySystem) -> None:
    model = a_field(sheep=0)
    sheep = Sheep(model, 20)
    collector = model.memory = MemoryCollector(
        model, system, priority=lambda agent: agent.energy / 20
    )
    for _ in range(5):
        model.step()
    newest = collector.recall(sheep, order=Order.NEWEST, limit=1)[0].entry
    assert (newest.contents["energy"], newest.importance_score) == (15, 0.75)
    assert collector.recall(sheep, near=sheep, limit=1)[0].entry.key == newest.key
    assert len(collector.recall(sheep, attributes={"energy": (17, 18)})) == 2


def test_the_same_model_and_seed_are_one_run_and_others_are_others() -> None:
    assert run_id_of(a_field(1), {"sheep": 3}) == run_id_of(a_field(1), {"sheep": 3})
    others = [
        run_id_of(a_field(2), {"sheep": 3}),
        run_id_of(a_field(1), {"sheep": 4}),
        run_id_of(a_field(1)),
        run_id_of(Field(), {"sheep": 3}),
        run_id_of(Field(), {"sheep": 3}),
        run_id_of(object()),
        run_id_of(object()),
    ]
    assert len({*others, run_id_of(a_field(1), {"sheep": 3})}) == 8
    with pytest.raises(ConfigError, match="parameters"):
        run_id_of(a_field(1), {"tool": object()})


def test_a_model_that_is_copied_or_pickled_goes_on_in_the_same_run(tmp_path: Path) -> None:
    model = a_field(sheep=0, folder=str(tmp_path / "memory"))
    assert model.memory is not None
    copies: list[Any] = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]  # noqa: S301
    for copied in copies:
        sheep = Sheep(copied, 4)
        copied.memory.collect()
        hits = model.memory.memory.recall(Query(agent_id=sheep.unique_id, memory_type="state"))  # type: ignore[arg-type]
        assert hits
    model.memory.memory.close()


def test_the_run_of_a_collector_ends_with_its_block_its_model_or_the_memory() -> None:
    with AgentMemorySystem({"engine": "fake"}) as system:

        def statuses() -> list[str]:
            return [run.status for run in system.runs()]

        other, model = (SimpleNamespace(agents=[], steps=1) for _ in range(2))
        with MemoryCollector(other, system, run="a block") as collector:
            collector.collect()
        failing = MemoryCollector(other, system, run="a failure")
        with pytest.raises(ConfigError), failing:
            failing.collect(object())
        assert statuses() == ["finished", "failed"]
        model.memory = MemoryCollector(model, system, run="its model")
        copied: Any = copy.deepcopy(model)
        del model
        gc.collect()
        assert statuses()[2] == "finished"
        copied.memory.collect()
        assert statuses()[2] == "running"  # the copy goes on with it
        del copied
        gc.collect()
        assert statuses()[2] == "finished"


@pytest.mark.long
def test_workers_of_a_batch_run_share_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    seeded: dict[str, Any] = {"rng": [1, 2]}
    mesa.batch_run(
        Field,
        {"sheep": [2, 3], "folder": str(folder), **seeded},
        number_processes=2,
        max_steps=2,
        display_progress=False,
    )
    with AgentMemorySystem.open(folder, read_only=True) as system:
        runs = [run for run in system.stm.runs() if run.startswith("Field-")]
        assert len(runs) == 4
        assert {system.stm.count(run) > 0 for run in runs} == {True}
        recorded = [run for run in system.runs() if run.run_id.startswith("Field-")]
        # ``batch_run`` of Mesa 3.5 gives its models generators, and they draw a seed of their own.
        is_new = tuple(map(int, mesa.__version__.split(".")[:2])) >= (3, 5)
        seeds = {run.seed for run in recorded}
        assert len(seeds) == 4 if is_new else seeds == {1, 2}
        assert {run.parameters["sheep"] for run in recorded} == {2, 3}


def test_a_run_is_recorded_with_what_the_model_was_made_with(system: AgentMemorySystem) -> None:
    given = {"sheep": 2, "rate": np.float64(0.5)}
    model = a_field(7, sheep=2)
    collector = MemoryCollector(model, system, parameters=given)
    model.running = False
    collector.collect()
    (found,) = system.runs()
    assert (found.seed, found.parameters, found.status) == (7, given, "finished")
    assert (found.first_step, found.last_step, found.agents) == (0, 0, 2)
    # Without a seed Mesa 3.3 keeps none, and 3.5 the one that it has drawn.
    assert seed_of(Field()) is None or mesa.__version__ > "3.4"
    with pytest.raises(RunConflict):
        MemoryCollector(a_field(7), system, parameters=given, exists="refuse")
    MemoryCollector(a_field(7), system, parameters=given, exists="replace")
    assert system.runs()[0].total == 0


def test_a_run_that_was_begun_with_another_seed_goes_on_and_says_so(
    system: AgentMemorySystem, caplog: pytest.LogCaptureFixture
) -> None:
    for seed in (1, 2):
        MemoryCollector(a_field(seed), system, run="mine", parameters={"tool": object()}).collect()
    assert "parameters.tool is not recorded" in caplog.text
    assert "seed: run 'mine' was begun with 1, and is resumed with 2" in caplog.text
    assert [(run.run_id, run.seed) for run in system.runs()] == [("mine", 1)]
    with pytest.raises(RunConflict):
        MemoryCollector(a_field(2), system, run="mine", exists="resume")


def test_the_same_seed_leaves_an_identical_export(tmp_path: Path) -> None:
    processes = []
    for number, seed in enumerate((42, 42, 43)):
        file = tmp_path / f"run-{number}.jsonl"
        command = [sys.executable, "-m", "tests.integrations.same_seed", str(file), str(seed)]
        environment = os.environ | {"PYTHONHASHSEED": str(number)}
        processes.append(subprocess.Popen(command, env=environment))
    assert [process.wait() for process in processes] == [0, 0, 0]
    one, same, other = ((tmp_path / f"run-{number}.jsonl").read_bytes() for number in range(3))
    assert one.count(b"\n") > 4 * 10
    assert one == same
    assert one != other


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"every": 0}, "every"),
        ({"every": True}, "every"),
        ({"agents": [Sheep]}, "agents"),
        ({"agents": {"Sheep": None}}, "agents"),
        ({"agents": {Sheep: 3}}, "agents"),
        ({"model": object()}, "model"),
    ],
)
def test_what_has_no_meaning_is_refused_by_name(
    system: AgentMemorySystem, arguments: dict[str, Any], named: str
) -> None:
    given = {"model": a_field(), **arguments}
    with pytest.raises(ConfigError, match=named):
        MemoryCollector(given.pop("model"), system, **given)


@pytest.mark.parametrize("memory", [None, "memory_of_walks"])
def test_what_is_no_memory_is_refused_by_its_type(memory: Any) -> None:
    with pytest.raises(ConfigError, match=f"memory: .* not {type(memory).__name__}"):
        MemoryCollector(a_field(), memory)


def test_another_model_is_refused(system: AgentMemorySystem) -> None:
    collector = MemoryCollector(a_field(), system)
    with pytest.raises(ConfigError, match="another"):
        collector.collect(a_field())


def test_an_agent_without_an_id_is_refused_by_its_class(system: AgentMemorySystem) -> None:
    class Ghost:
        pass

    model = SimpleNamespace(agents=[Ghost()], steps=0)
    collector = MemoryCollector(model, system, run="ghosts")
    for ask in (collector.collect, lambda: collector.recall(Ghost())):
        with pytest.raises(InvalidEntry, match="Ghost has no unique_id"):
            ask()
    assert collector.memory.stm.count("ghosts") == 0


def test_a_model_that_is_pickled_while_a_step_runs_goes_on_from_there(tmp_path: Path) -> None:
    model = a_field(sheep=3, folder=str(tmp_path / "memory"))
    assert model.memory is not None
    model.memory.collect()
    model.memory.memory.store_agent_state("in a step", {"pickled": 0}, 0)
    with model.memory.memory.batch():
        model.memory.memory.store_agent_state("in a step", {"pickled": 1}, 1)
        copied: Any = pickle.loads(pickle.dumps(model))  # noqa: S301
    copied.memory.collect()
    copied.memory.memory.store_agent_state("in a step", {"pickled": 2}, 2)
    for memory in (model.memory.memory, copied.memory.memory):
        assert memory.count(agent_id="in a step") == 3
        memory.close()
