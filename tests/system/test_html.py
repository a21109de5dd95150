"""What a notebook and a console show of a memory: a line, or a table in which all is text."""

from __future__ import annotations

from typing import Any

import pytest

from agent_memory import AgentMemorySystem, MemoryType, Query
from agent_memory.values.html import MOST_ROWS

MARKUP = "<script>alert('x')</script>&<b>"


@pytest.fixture
def system() -> Any:
    with AgentMemorySystem({"engine": "fake", "run_id": "walk"}) as opened:
        yield opened


def test_tables_show_markup_in_contents_and_names_as_text(system: AgentMemorySystem) -> None:
    system.store_agent_state(MARKUP, {"said": MARKUP, MARKUP: [MARKUP], "odd": "\ud800"}, 0)
    hits = system.recall(agent_id=MARKUP, near={"said": MARKUP})
    shown = [
        *(hits, hits[0], hits[0].entry, system.statistics(), system.statistics(by="agent")),
        *(system.statistics(by="run"), system.statistics(by="type")),
    ]
    for it in shown:
        html = it._repr_html_()  # type: ignore[attr-defined]  # each has it
        assert html.startswith("<table>")
        assert "<script" not in html
        assert "<b>" not in html
        html.encode()  # as a browser takes it
    assert "&lt;script&gt;" in hits._repr_html_()
    assert "&lt;script&gt;" in hits[0].entry._repr_html_()


def test_a_table_of_many_hits_says_how_many_it_leaves_out(system: AgentMemorySystem) -> None:
    for step in range(MOST_ROWS + 3):
        system.store_agent_state("ant", {"step": step}, step)
    html = system.recall(Query(agent_id="ant"))._repr_html_()
    assert html.count("<tr>") == 1 + MOST_ROWS
    assert "3 more" in html
    assert "more" not in system.recall(Query(agent_id="ant", limit=2))._repr_html_()
    assert system.recall(Query(agent_id="nobody"))._repr_html_().count("<tr>") == 1


def test_what_a_console_shows_is_one_line(system: AgentMemorySystem) -> None:
    agent = system.get_memory_agent("ant\n1")
    assert agent.store_state({"text": "a\nb" * 1_000}, 0)
    hits = system.recall(Query(agent_id="ant\n1"))
    shown: list[Any] = [
        *(system, agent, agent.stm_store, agent.im_store, agent.ltm_store, hits[0], hits[0].entry),
        *(Query(agent_id="ant\n1"), system.status, system.maintain(), system.forget("nobody")),
        *(system.check(), system.runs()[0], system.store_step(1, {"bee": {}}, MemoryType.ACTION)),
        *(system.history("ant\n1", "text"), system.difference("bee", 0, 1), system.config),
        *(system.stm, system.im, system.ltm, system.encoders, system.batch()),
    ]
    for it in shown:
        assert len(repr(it).splitlines()) == 1
        assert len(repr(it)) < 300
    assert repr(system) == "AgentMemorySystem(run='walk', in the fake server)"
    assert repr(agent) == r"MemoryAgent('ant\n1', run='walk')"
    assert repr(system.encoders) == "Encoders(run='walk', version 0)"
    assert repr(system.stm).startswith("StmRepository('")
    with system.batch() as batch:
        assert system.store_agent_state("ant", {}, 2)
        assert repr(batch) == "Batch(run='walk', 1 gathered)"
    system.close()
    assert repr(system) == "AgentMemorySystem(closed)"
    assert "closed" in repr(agent)
