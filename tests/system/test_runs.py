"""A run is begun with parameters and a seed, and whoever comes to it again is held to them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from agent_memory import (
    AgentMemorySystem,
    EntryConflict,
    InvalidEntry,
    MemoryConfig,
    Query,
    RunConflict,
    RunHasForks,
    RunSummary,
    StoreReadOnly,
    Tier,
)
from agent_memory.repositories.sql.runs import RunRecords
from agent_memory.system.runs import Runs
from agent_memory.testing import a_memory_id, an_entry
from tests import engines

pytestmark = engines.usually_on("tcp and postgresql")

BEGUN: dict[str, Any] = {
    "parameters": {
        "ants": 20, "rate": 0.5, "at": (1, 2), "none": None, "when": np.datetime64("2026-01-02"),
    },
    "seed": 2**100,
}  # fmt: skip


@pytest.fixture
def system(memory_config: dict[str, Any]) -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(MemoryConfig(**memory_config), upkeep=False) as opened:
        yield opened


def the_run(system: AgentMemorySystem, name: str) -> RunSummary:
    (found,) = (run for run in system.runs() if run.run_id == name)
    return found


def test_the_last_step_is_the_highest_and_not_that_of_the_latest_entry(
    system: AgentMemorySystem,
) -> None:
    for agent, step in (("ant", 9), ("ant", 3), ("bee", 1)):
        system.store_agent_state(agent, {"food": 0}, step)
    assert (the_run(system, "default").first_step, the_run(system, "default").last_step) == (1, 9)
    agents = system.statistics(by="agent")
    assert {name: group.last_step for name, group in agents.items()} == {"ant": 9, "bee": 1}
    assert agents["ant"].last_timestamp < agents["bee"].last_timestamp
    assert system.statistics(by="type")["state"].last_step == 9


def foods(system: AgentMemorySystem) -> list[Any]:
    hits = system.recall(Query(agent_id="ant"), touch=False)
    return sorted(hit.entry.contents["food"] for hit in hits)


def test_a_run_is_listed_with_what_it_was_begun_with_and_what_it_holds(
    system: AgentMemorySystem,
) -> None:
    system.store_agent_state("ant", {"food": 0}, 4)
    run = system.run("walk", **BEGUN)
    for step in range(3, 7):
        run.store_step(step, {"ant": {"food": step}, "bee": {"food": 0}})
    system.ltm.add(an_entry(run_id="walk", agent_id="old", step_number=1))
    system.run("child", parent="walk", fork_step=5)
    found = the_run(system, "walk")
    assert (found.seed, found.parent, found.status, found.agents) == (2**100, None, "running", 3)
    assert found.parameters == BEGUN["parameters"]
    assert type(found.parameters["at"]) is tuple
    assert (found.first_step, found.last_step) == (1, 6)
    assert (found.entries, found.total) == ({Tier.STM: 8, Tier.LTM: 1}, 9)
    child = the_run(system, "child")
    assert (child.parent, child.fork_step, child.total, child.first_step) == ("walk", 5, 0, None)
    assert [run.run_id for run in system.runs()] == ["child", "default", "walk"]
    assert (the_run(system, "default").parameters, the_run(system, "default").total) == ({}, 1)


def test_a_run_is_resumed_with_the_same_and_with_nothing_else(system: AgentMemorySystem) -> None:
    system.run("walk", **BEGUN).store_agent_state("ant", {"food": 1}, 0)
    assert foods(system.run("walk", **BEGUN)) == [1]
    # As sweeps give numbers.
    system.run("walk", parameters=BEGUN["parameters"] | {"ants": np.int64(20)})
    system.run("walk", seed=2**100, exists="resume")
    others: list[dict[str, Any]] = [
        {"seed": 1},
        {"parameters": {}},
        {"parameters": BEGUN["parameters"] | {"ants": 20.0}},
        {"parameters": BEGUN["parameters"] | {"at": [1, 2]}},
    ]
    for other in others:
        with pytest.raises(RunConflict, match="walk"):
            system.run("walk", **other)
    assert the_run(system, "walk").parameters == BEGUN["parameters"]


@pytest.mark.parametrize("known_by", ["record", "short-term", "long-term"])
def test_a_run_that_is_there_is_refused(system: AgentMemorySystem, known_by: str) -> None:
    if known_by == "record":
        system.run("walk", parameters={})
    elif known_by == "short-term":
        system.run("walk").store_agent_state("ant", {}, 0)
    else:
        system.ltm.add(an_entry(run_id="walk"))
    with pytest.raises(RunConflict, match="is there already"):
        system.run("walk", parameters={"ants": 1}, exists="refuse")
    assert the_run(system, "walk").parameters == {}
    assert system.run("new", exists="refuse").count(Query()) == 0


def test_a_run_that_is_replaced_begins_with_nothing(system: AgentMemorySystem) -> None:
    system.run("walk", **BEGUN).store_agent_state("ant", {"food": 1}, 0)
    system.ltm.add(an_entry(run_id="walk", agent_id="ant", contents={"food": 2}))
    run = system.run("walk", parameters={"ants": 3}, exists="replace")
    assert foods(run) == []
    assert run.store_agent_state("ant", {"food": 9}, 0)
    assert (foods(run), the_run(system, "walk").seed) == ([9], None)
    system.run("child", parent="walk")
    with pytest.raises(RunHasForks, match="child"):
        system.run("walk", exists="replace")
    assert foods(run) == [9]


def test_a_run_that_is_forgotten_leaves_nothing_of_its_parameters(
    system: AgentMemorySystem,
) -> None:
    system.run("walk", parameters={"name": "Ada Lovelace"}, seed=1815)
    assert system.forget(run="walk").verified
    assert [run.run_id for run in system.runs()] == []
    with system.sql_engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM agent_ltm_runs").all()
    assert not any("Ada" in str(row) or "1815" in str(row) for row in rows)
    # It may be run again, and refused then.
    system.run("walk", seed=1, exists="refuse").store_agent_state("ant", {"food": 1}, 0)
    assert (the_run(system, "walk").seed, the_run(system, "walk").status) == (1, "running")


def test_how_a_run_ended_is_recorded(system: AgentMemorySystem) -> None:
    with system.run("done", seed=1) as run:
        run.store_agent_state("ant", {}, 0)
    with pytest.raises(ZeroDivisionError), system.run("broken", seed=1):
        raise ZeroDivisionError
    system.run("said", seed=1).end_run("failed")
    system.run("again", seed=1).end_run()
    with pytest.raises(RunConflict):
        system.run("again", seed=2)
    assert the_run(system, "again").status == "finished"
    with system.run("again", seed=1):
        assert the_run(system, "again").status == "running"
    with system.run("unrecorded") as run:
        run.store_agent_state("ant", {}, 0)
    found = {run.run_id: run.status for run in system.runs()}
    assert found == {
        "done": "finished", "broken": "failed", "said": "failed", "unrecorded": "running",
        "again": "finished",
    }  # fmt: skip
    with pytest.raises(InvalidEntry, match="without a record"):
        system.run("unrecorded").end_run()
    # One that goes on has not ended, and one that was closed can be opened again.
    assert system.run("done", seed=1).store_agent_state("ant", {}, 1)


@pytest.mark.parametrize("given", [
    {"parameters": [1]}, {"parameters": {1: 2}}, {"parameters": {"a": {"b": object()}}},
    {"seed": "x"}, {"seed": "1-"}, {"seed": True}, {"seed": 1.5}, {"seed": 10**5_000},
    {"exists": "maybe"}, {"parent": "nobody"}, {"parent": "walk"}, {"fork_step": 3},
    {"parent": "default", "fork_step": -1},
])  # fmt: skip
def test_what_has_no_meaning_records_nothing(
    system: AgentMemorySystem, given: dict[str, Any]
) -> None:
    system.store_agent_state("ant", {}, 0)
    named = [*given][-1].replace("parent", "parent: ")
    with pytest.raises(InvalidEntry, match=named.replace("fork_step", "step")):
        system.run("walk", **given)
    assert [run.run_id for run in system.runs()] == ["default"]


def test_the_run_of_the_system_itself_can_be_recorded(system: AgentMemorySystem) -> None:
    assert system.run("default", seed=5) is system
    assert the_run(system, "default").seed == 5


def test_a_reader_lists_runs_and_begins_none(memory_config: dict[str, Any]) -> None:
    config = MemoryConfig(**memory_config)
    if config.engine == "fake":
        pytest.skip("a memory of this process has no database that others read")
    with AgentMemorySystem(config) as writer:
        writer.run("walk", **BEGUN)
        with AgentMemorySystem(config, read_only=True) as reader:
            assert the_run(reader, "walk").seed == 2**100
            for call in (lambda: reader.run("walk", seed=1), lambda: reader.run("walk").end_run()):
                with pytest.raises(StoreReadOnly):
                    call()


def test_a_run_that_waits_in_the_spool_is_there(system: AgentMemorySystem) -> None:
    intake = system._resources.intake
    spool = intake._spool
    if spool is None:
        pytest.skip("a memory of this process has no spool")
    spool.put_many([an_entry(run_id="walk")], 1.7e9)
    with pytest.raises(RunConflict, match="is there already"):
        system.run("walk", exists="refuse")


# -- other contents under an id that is there -----------------------------------------------------


@pytest.fixture(params=["wall", "steps"])
def run_again(memory_config: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[Any]:
    with AgentMemorySystem(MemoryConfig(**memory_config, clock=request.param)) as opened:
        yield opened


def event(food: int, **fields: Any) -> dict[str, Any]:
    return {
        "memory_id": a_memory_id(1), "agent_id": "ant", "step_number": 3, "memory_type": "state",
        "contents": {"food": food}, **fields,
    }  # fmt: skip


@pytest.mark.parametrize("tier", [Tier.STM, Tier.LTM])
def test_other_contents_under_an_id_that_is_there_are_refused(
    run_again: AgentMemorySystem, tier: Tier
) -> None:
    memory = run_again
    stored = an_entry(**event(1), run_id="default", timestamp=memory._resources.clock())
    (memory.stm if tier is Tier.STM else memory.ltm).add(stored)
    outcome = memory.store_many([event(1), event(2), event(3, memory_id=a_memory_id(2))])
    assert {*outcome.refused} == {1}
    assert isinstance(outcome.refused[1], EntryConflict)
    assert tier.name in str(outcome.refused[1])
    assert foods(memory) == [1, 3]


def test_the_second_of_two_of_one_id_is_refused(run_again: AgentMemorySystem) -> None:
    outcome = run_again.store_many([event(1), event(1), event(2)])
    assert ({*outcome.refused}, len(outcome.accepted)) == ({2}, 2)
    assert foods(run_again) == [1]


@pytest.mark.parametrize("tier", [Tier.STM, Tier.LTM])
def test_in_a_run_that_was_replaced_they_take_the_place_of_what_is_there(
    run_again: AgentMemorySystem, tier: Tier
) -> None:
    run = run_again.run("again", exists="replace")
    stored = an_entry(**event(1), run_id="again", timestamp=run_again._resources.clock())
    (run.stm if tier is Tier.STM else run.ltm).add(stored)
    assert not run.store_many([event(2), event(3)]).refused
    assert foods(run) == [3]
    run.maintain()
    assert (foods(run), run.count(Query())) == ([3], 1)


def test_the_same_life_lived_again_leaves_the_same_entries_and_another_leaves_its_own(
    memory_config: dict[str, Any],
) -> None:
    config = MemoryConfig(**memory_config, clock="steps")
    for food in (1, 1, 2):  # each as by a process of its own
        with AgentMemorySystem(config) as memory:
            run = memory.run("life", exists="replace" if food == 2 else "resume")
            assert run.store_agent_state("ant", {"food": food}, 0)
            assert foods(run) == [food]


def test_of_two_that_begin_a_run_at_once_one_does(
    system: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each has looked before the other has begun.
    monkeypatch.setattr(Runs, "_is_there", lambda *_: False)
    system.run("walk", seed=1, exists="refuse")
    with pytest.raises(RunConflict, match="another process has begun"):
        system.run("walk", seed=2, exists="refuse")
    assert the_run(system, "walk").seed == 1


class Simulation:
    """What a run may end with."""


def test_a_run_has_finished_once_what_it_ends_with_is_gone(system: AgentMemorySystem) -> None:
    first, second = Simulation(), Simulation()
    run = system.run("walk", seed=1)
    run.end_run_with(first)
    run.end_run_with(second)
    del first
    assert the_run(system, "walk").status == "running"  # the last that was named counts
    del second
    assert the_run(system, "walk").status == "finished"
    kept = Simulation()
    failed = system.run("trot", seed=1)
    failed.end_run_with(kept)
    failed.end_run("failed")
    del kept
    assert the_run(system, "trot").status == "failed"  # as it was said


def test_a_run_that_replaces_another_does_not_end_with_what_that_ended_with(
    system: AgentMemorySystem,
) -> None:
    former = Simulation()
    system.run("walk", seed=1).end_run_with(former)
    system.run("walk", seed=2, exists="replace")
    del former
    assert the_run(system, "walk").status == "running"


def test_whoever_records_ends_in_the_midst_of_it_drops_none(
    system: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Simulation()
    for name in ("walk", "trot", "run"):
        system.run(name, seed=1).end_run_with(kept)
    said: list[str] = []
    set_status = RunRecords.set_status

    def recorded(records: RunRecords, run_id: str, status: str) -> bool:
        said.append(run_id)
        if len(said) == 1:
            system.runs()  # as another thread, or the handler of a signal
        return set_status(records, run_id, status)

    monkeypatch.setattr(RunRecords, "set_status", recorded)
    del kept
    assert the_run(system, "walk").status == "finished"
    assert sorted(said) == ["run", "trot", "walk"]


@pytest.mark.parametrize("how", ["finished", "failed"])
def test_what_is_left_running_ends_with_the_memory(
    memory_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    kept, failed = Simulation(), how == "failed"
    config = MemoryConfig(**memory_config)
    with AgentMemorySystem(config, upkeep=False) as system:
        with suppress(ZeroDivisionError), AgentMemorySystem(config, upkeep=False) as closed:
            closed.run("in a block", seed=1).end_run_with(kept)
            _ = 1 // (not failed)
        assert the_run(system, "in a block").status == how
        system.run("at exit", seed=1).end_run_with(kept)
        system.run("by hand", seed=1)
        # Python sets it where an error ends a program.
        monkeypatch.setattr(sys, "last_value", ValueError() if failed else None, raising=False)
        monkeypatch.delitem(sys.modules, "IPython", raising=False)
        system._resources.endings.close()
        assert the_run(system, "at exit").status == how
        assert the_run(system, "by hand").status == "running"


def test_a_run_does_not_end_with_the_copy_of_a_fork(
    system: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Simulation()
    system.run("walk", seed=1).end_run_with(kept)
    monkeypatch.setattr("os.getpid", lambda: 1)
    del kept
    monkeypatch.undo()
    assert the_run(system, "walk").status == "running"
