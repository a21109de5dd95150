"""Statements of long-term memory are compiled once, not for each call."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event

from agent_memory.compression.levels import ContentsCodec
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.testing import an_entry
from agent_memory.values.query import Query


def test_a_call_that_is_made_again_compiles_nothing_again(ltm_engine: Engine) -> None:
    missed: list[str] = []

    def note(*call: Any) -> None:
        _, _, statement, _, context, _ = call
        if context.cache_hit.name == "CACHE_MISS":
            missed.append(statement)

    def live() -> None:
        """What a program does again and again; a repository is opened each time."""
        ltm = LtmRepository(ltm_engine, ContentsCodec())
        first, second = entries = [an_entry(step_number=step) for step in range(2)]
        ltm.add_many(entries)
        ltm.touch({first.key: 1}, 9.0)
        ltm.find(Query(agent_id="ant", run_id="run"))
        ltm.get_many([first.key, second.key])
        ltm.count("run", "ant")
        ltm.forget([first.key], at=9.0)
        ltm.remove_copied([second])
        ltm.roll_back("run", 0, at=9.0)
        ltm.clear_run("run")

    for _ in range(2):  # some statements are sent once something was forgotten
        live()
    event.listen(ltm_engine, "before_cursor_execute", note)
    try:
        live()
    finally:
        event.remove(ltm_engine, "before_cursor_execute", note)
    assert missed == []
