"""Counts that are kept in a process are those of the database, whoever has written to it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, event

from agent_memory import AgentMemorySystem, Query
from agent_memory.compression.levels import ContentsCodec
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.testing import an_entry
from tests.memories import Opener, store


@pytest.fixture
def ltm(ltm_engine: Engine) -> LtmRepository:
    return LtmRepository(ltm_engine, ContentsCodec())


@pytest.mark.parametrize("other", [False, True], ids=["itself", "another"])
def test_a_count_is_that_of_the_rows_whoever_writes(
    ltm: LtmRepository, ltm_engine: Engine, *, other: bool
) -> None:
    writer = LtmRepository(ltm_engine, ContentsCodec()) if other else ltm
    entries = [an_entry(step_number=step) for step in range(4)]

    def counted() -> tuple[int, int, dict[str, int]]:
        both = ltm.count("run", "ant"), ltm.count("run", "bee")
        assert both == (ltm.count("run", "ant"), ltm.count("run", "bee"))
        assert ltm.count("run") == sum(both)
        return *both, ltm.upkeep.entries_by_run()

    assert counted() == (0, 0, {})
    writer.add_many(entries[:3])
    assert counted() == (3, 0, {"run": 3})
    writer.add_many([an_entry(agent_id="bee")])
    assert counted() == (3, 1, {"run": 4})
    writer.touch({entries[0].key: 1}, 9.0)
    assert counted() == (3, 1, {"run": 4})
    writer.remove(entries[0].key)
    assert counted() == (2, 1, {"run": 3})
    writer.forget([entries[1].key], 9.0)
    assert counted() == (1, 1, {"run": 2})
    writer.clear_agents("run", ["bee"])
    assert counted() == (1, 0, {"run": 1})
    writer.clear_run("run")
    assert counted() == (0, 0, {})


def test_a_count_over_the_tiers_is_of_each_entry_once(open_memory: Opener) -> None:
    system: AgentMemorySystem = open_memory(
        stm_config={"memory_limit": 2}, im_config={"memory_limit": 2}
    )
    store(system, "ant", *range(7))
    system.maintain()
    assert system.count(agent_id="ant") == 7
    # A copy below, as an entry has that is stored again while the earlier one is in LTM.
    [hit] = system.recall(Query(agent_id="ant", steps=(6, 6)), touch=False)
    system.ltm.add(hit.entry)
    assert system.count(agent_id="ant") == len(system.recall(agent_id="ant")) == 7
    assert system.count(agent_id="ant", limit=3) == 3
    assert system.count(agent_id="bee") == 0


def test_rows_are_counted_once_while_nothing_is_committed(
    ltm: LtmRepository, ltm_engine: Engine
) -> None:
    if ltm_engine.dialect.name == "postgresql":
        pytest.skip("there any transaction of the server counts")
    ltm.add_many([an_entry()])
    asked: list[str] = []

    def note(*executed: Any) -> None:
        asked.append(executed[2])

    event.listen(ltm_engine, "before_cursor_execute", note)
    assert [ltm.count("run", "ant") for _ in range(3)] == [1, 1, 1]
    assert [ltm.upkeep.entries_by_run() for _ in range(3)] == [{"run": 1}] * 3
    event.remove(ltm_engine, "before_cursor_execute", note)
    assert len([statement for statement in asked if "count(" in statement]) == 2
