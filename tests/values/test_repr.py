"""What is printed of a value says who, when, what and where, in under 300 characters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_memory import (
    BackupReceipt,
    CheckReport,
    EntryKey,
    Finding,
    ForgettingReceipt,
    Hit,
    MemoryConfig,
    MemoryEntry,
    Query,
    RedisSTMConfig,
    RestoreReceipt,
    Tier,
)
from agent_memory.embeddings.encoder import FieldError, Reconstruction
from agent_memory.testing.samples import HOSTILE_CONTENTS, HOSTILE_NAMES, an_entry
from agent_memory.values.check_report import MOST_FINDINGS, Kind
from agent_memory.values.quoting import abbreviated


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def an_entry_of(contents: Any = None, **fields: Any) -> MemoryEntry:
    given = {"position": (3, 4), "food": 2.5} if contents is None else contents
    return an_entry(contents=given, embedding=np.ones(384), step_number=7, **fields)


def test_an_entry_and_a_hit_say_who_when_what_and_where() -> None:
    entry = an_entry_of(error_bounds={"food": 0.1}, pinned=True)
    for shown in (repr(entry), repr(Hit(entry, Tier.IM, 0.5))):
        assert "agent_id='ant', step_number=7, memory_type='state'" in shown
        assert "'food': 2.5" in shown
        assert len(shown) < 300
    assert repr(Hit(entry, Tier.IM, 0.5)).startswith("Hit(IM, score=0.5, MemoryEntry(")


@pytest.mark.parametrize("contents", HOSTILE_CONTENTS, ids=range(len(HOSTILE_CONTENTS)))
def test_contents_of_any_size_and_type_are_shown_short(contents: dict[Any, Any]) -> None:
    entry = an_entry_of(contents)
    assert len(repr(entry)) < 300
    assert len(repr(Hit(entry, Tier.STM))) < 300


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=range(len(HOSTILE_NAMES)))
def test_names_of_any_length_are_shown_short(name: str) -> None:
    assert len(repr(an_entry_of(agent_id=name, run_id=name))) < 300
    assert len(repr(Query(agent_id=name, run_id=name, attributes={"name": name}))) < 300


def test_what_has_no_repr_is_shown_by_its_type() -> None:
    assert abbreviated(Broken()).startswith("<Broken")
    assert abbreviated({"it": 1, "n": 10**5_000}) == "{'it': 1, 'n': <int>}"
    assert abbreviated(np.zeros((3, 4))) == "<float64 (3, 4)>"


def test_a_query_and_a_configuration_show_what_was_asked_for() -> None:
    assert repr(Query(agent_id="ant", limit=3)) == "Query(agent_id='ant', limit=3)"
    assert repr(MemoryConfig(stm_config=RedisSTMConfig(memory_limit=5), engine="fake")) == (
        "MemoryConfig(stm_config=RedisSTMConfig(memory_limit=5), engine='fake')"
    )
    assert repr(MemoryConfig()) == "MemoryConfig()"


def test_receipts_and_reconstructions_of_many_things_are_shown_short() -> None:
    agents = tuple(f"agent {number}" for number in range(1_000))
    keys = tuple(EntryKey("run", agent, "0" * 32) for agent in agents)
    whole: list[object] = [
        ForgettingReceipt("a query", "run", agents, 1_000, {"stm": 1_000}, 0.0, remaining=keys),
        RestoreReceipt(Path("backup"), {"stm": 1_000}, 0, tuple(range(1_000)), keys),
        BackupReceipt(Path("b" * 1_000), {"stm": 1}, 0, tuple(range(1_000)), 0, 1, "0" * 64, 0.0),
        Reconstruction(dict.fromkeys(agents, 1.0), dict.fromkeys(agents, FieldError(0.1, 0.2))),
    ]
    for value in whole:
        assert repr(value).startswith(f"{type(value).__name__}(")
        assert len(repr(value)) < 300


def test_a_report_of_a_thousand_findings_is_shown_short() -> None:
    findings = tuple(Finding(Kind.VECTOR, f"entry {n}", "is damaged") for n in range(MOST_FINDINGS))
    report = CheckReport({"entries": 5_000}, findings, {Kind.VECTOR: 2_000}, 2_000)
    assert len(repr(report)) < 300
    assert "left=2000" in repr(report)
