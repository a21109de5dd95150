"""A memory that was closed says so, whatever is asked of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_memory import AgentMemorySystem, MemoryClosed, MemoryConfig, Query, with_memory

MEMORY_ID = "0" * 32


def closed(**config: Any) -> AgentMemorySystem:
    system = AgentMemorySystem(MemoryConfig(engine="fake", **config))
    system.store_agent_state("ant", {"food": 1}, 0)
    system.close()
    return system


CALLS: dict[str, Callable[[AgentMemorySystem], object]] = {
    "run": lambda system: system.run("night"),
    "run of its own": lambda system: system.run("default"),
    "store": lambda system: system.store_agent_state("ant", {"food": 2}, 1),
    "recall": lambda system: system.recall(Query(agent_id="ant")),
    "near": lambda system: system.recall(Query(agent_id="ant"), near={"food": 1}),
    "fetch": lambda system: system.fetch("ant", MEMORY_ID),
    "pin": lambda system: system.pin("ant", MEMORY_ID),
    "importance": lambda system: system.set_importance("ant", MEMORY_ID, 0.5),
    "maintain": lambda system: system.maintain(),
    "statistics": lambda system: system.statistics(),
    "status": lambda system: system.status,
    "forget": lambda system: system.forget("ant"),
    "clear": lambda system: system.clear_all_memories(),
    "check": lambda system: system.check(),
    "backup": lambda system: system.backup("ants.backup"),
    "indexes": lambda system: system.make_search_indexes(),
    "redis engine": lambda system: system.redis_engine,
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("on_store_error", ["log", "raise"])
def test_each_call_to_a_closed_memory_says_that_it_is_closed(
    name: str, on_store_error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MemoryClosed, match="closed"):
        CALLS[name](closed(on_store_error=on_store_error))


def test_an_agent_of_a_closed_memory_stores_nothing_and_says_so() -> None:
    with AgentMemorySystem(MemoryConfig(engine="fake")) as system:
        agent = system.get_memory_agent("ant")
    for call in (agent.clear_memory, lambda: agent.store_state({"food": 1}, 1)):
        with pytest.raises(MemoryClosed):
            call()


def test_a_model_of_a_closed_memory_says_so_once_nobody_has_it_open(tmp_path: Path) -> None:
    config = MemoryConfig(path=tmp_path / "memory", engine="embedded")
    with AgentMemorySystem(config) as system:
        system.store_agent_state("ant", {"food": 1}, 0)
        model = system.models.StmEntry
        (pk,) = model.all_pks()
        with AgentMemorySystem(config):
            pass
        entry = model.get(pk)
    calls: list[Callable[[], object]] = [
        lambda: model.get(pk),
        lambda: [*model.all_pks()],
        lambda: model.find().all(),
        lambda: model.delete(pk),
        entry.save,
    ]
    for call in calls:
        with pytest.raises(MemoryClosed, match="closed"):
            call()


def test_what_a_closed_memory_has_moved_can_still_be_read() -> None:
    small = {"stm_config": {"memory_limit": 2}, "im_config": {"memory_limit": 1}}
    with AgentMemorySystem(MemoryConfig(engine="fake", **small)) as system:
        for step in range(9):
            system.store_agent_state("ant", {"food": step}, step)
    assert system.moves.stm_to_im >= system.moves.im_to_ltm > 0


def test_closing_twice_is_closing_once() -> None:
    system = closed()
    system.close()


def test_hooks_let_an_agent_act_whose_memory_is_closed() -> None:
    class Ant:
        agent_id, memory_system = "ant", closed()

        def act(self) -> str:
            return "dig"

    assert with_memory(Ant()).act() == "dig"


def test_a_view_of_a_run_closes_with_its_system() -> None:
    with AgentMemorySystem(MemoryConfig(engine="fake")) as system:
        night = system.run("night")
    with pytest.raises(MemoryClosed):
        night.recall(Query(agent_id="ant"))


@pytest.mark.parametrize("given", [None, "ram", {"agent_id": "ant"}, Query, 3])
def test_what_is_no_query_is_refused_by_name(given: Any) -> None:
    with AgentMemorySystem(MemoryConfig(engine="fake")) as system:
        for call in (
            system.recall,
            lambda query: system.recall(query, near={"food": 1}),
            system.stm.find,
            system.im.find,
            system.ltm.find,
        ):
            with pytest.raises(ValueError, match="a Query is needed"):
                call(given)
