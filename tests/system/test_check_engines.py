"""A check on each engine, and of what lies around the tiers."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig, MemoryEntry, Order, Query, StoreReadOnly
from agent_memory.values.check_report import Kind
from tests import engines
from tests.memories import Opener

LIMITS: dict[str, Any] = {
    "stm_config": {"memory_limit": 6},
    "im_config": {"memory_limit": 5},
    "cleanup_interval": 1,
    "indexed_attributes": ("mood",),
}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_memory.system.checking.cross_tier._PAUSE", 0.0)


def fill(system: AgentMemorySystem, steps: int = 20) -> None:
    for step in range(steps):
        assert system.store_agent_state("ant", {"step": step, "mood": f"m{step % 3}"}, step)


def remembered(system: AgentMemorySystem) -> list[tuple[str, MemoryEntry]]:
    return [
        (tier.tier.name, entry)
        for tier in (system.stm, system.im, system.ltm)
        for entry in tier.find(Query(run_id="default", agent_id="ant", order=Order.STEP))
    ]


def kinds(system: AgentMemorySystem, *, repair: bool = False) -> set[Kind]:
    report = system.check(repair=repair)
    assert not report.unfinished
    return {found.kind for found in report.findings}


@engines.usually_on("embedded+modules", "tcp and postgresql")
def test_what_is_broken_beneath_is_found_and_mended_on_every_engine(open_memory: Opener) -> None:
    system = open_memory(**LIMITS)
    fill(system)
    assert kinds(system) == set()
    before = remembered(system)
    client, prefix = (
        system._resources.connections.stm.client,
        "agent_memory:stm:{default/ant}:",
    )
    client.delete(f"{prefix}times")
    client.zadd(f"{prefix}steps", {"f" * 32: 1.0})
    client.zrem("agent_memory:im:agents:default", "ant")
    client.expire(f"{prefix}importance", 900)
    with system.sql_engine.begin() as connection:
        connection.exec_driver_sql("UPDATE agent_ltm_entries SET attributes = NULL")
    wanted = {Kind.INDEX, Kind.ORPHAN, Kind.KEY, Kind.ATTRIBUTES}
    assert kinds(system) == wanted
    assert kinds(system, repair=True) == wanted
    assert kinds(system) == set()
    assert remembered(system) == before


@engines.usually_on("redis+modules")
def test_indexes_of_the_query_engine_that_lost_entries_are_made_anew(open_memory: Opener) -> None:
    system = open_memory(**LIMITS)
    fill(system)
    if not system.make_search_indexes():
        pytest.skip("this server has no query engine")
    assert kinds(system) == set()
    (alias, name), client = _index_of(system), system._resources.connections.stm.client
    # The same index over no entries, as after one that was broken off.
    client.execute_command("FT.DROPINDEX", name)
    arguments = system._resources.search[system.stm.tier].entries.definition.arguments
    client.execute_command("FT.CREATE", name, *_without_old_entries(arguments))
    client.execute_command("FT.ALIASUPDATE", alias, name)
    assert kinds(system) == {Kind.SEARCH}
    assert kinds(system, repair=True) == {Kind.SEARCH}
    assert kinds(system) == set()


def _index_of(system: AgentMemorySystem) -> tuple[str, str]:
    entries = system._resources.search[system.stm.tier].entries
    return entries.alias, entries.definition.names[0]


def _without_old_entries(arguments: tuple[str, ...]) -> tuple[str, ...]:
    place = arguments.index("SCHEMA")
    return (*arguments[:place], "SKIPINITIALSCAN", *arguments[place:])


@pytest.fixture
def folder(tmp_path: Path) -> dict[str, Any]:
    return {"engine": "embedded", "path": tmp_path / "memory", "search": False}


def test_whoever_opened_for_reading_alone_finds_and_mends_nothing(folder: dict[str, Any]) -> None:
    with AgentMemorySystem(MemoryConfig(**folder, **LIMITS)) as system:
        fill(system)
    with AgentMemorySystem.open(folder["path"], read_only=True) as system:
        assert system.check().sound
        with pytest.raises(StoreReadOnly):
            system.check(repair=True)


def test_what_waits_is_stored_and_what_is_damaged_there_set_aside(folder: dict[str, Any]) -> None:
    with AgentMemorySystem(MemoryConfig(**folder)) as system:
        fill(system, 4)
        first, second, *_ = system.stm.find(Query(run_id="default", agent_id="ant", limit=10))
        system.stm.remove_many([first.key, second.key])
        spool = system._resources.intake._spool
        assert spool is not None
        for entry in (first, second):
            spool.put(entry, 1.0)
        spool.close()
        with sqlite3.connect(spool.file) as connection:
            connection.execute("UPDATE waiting SET entry = x'00' WHERE number = 1")
        connection.close()
        assert kinds(system) == {Kind.SPOOL}
        assert kinds(system, repair=True) == {Kind.SPOOL}
        assert kinds(system) == set()
        assert system.stm.get(second.key) == second
        assert system.check().looked_at["quarantined"] == 1


def test_a_damaged_version_is_told_and_its_entries_stay(folder: dict[str, Any]) -> None:
    with AgentMemorySystem(MemoryConfig(**folder, **LIMITS)) as system:
        fill(system, 30)
        version = system.train_encoder([{"step": n, "mood": "m1"} for n in range(300)]).version
        fill(system, 30)
        count = len(remembered(system))
        with system.sql_engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE agent_ltm_encoder_versions SET weights = x'00', dictionary = x'00' "
                "WHERE id = ?",
                (version,),
            )
    with AgentMemorySystem(MemoryConfig(**folder, **LIMITS), upkeep=False) as system:
        report = system.check(repair=True)
        assert {found.kind for found in report.findings} == {Kind.VERSION}
        assert report.left == 1
        places = sum(tier.count("default") for tier in (system.stm, system.im, system.ltm))
        assert places == count


def test_a_folder_record_that_is_damaged_is_told(folder: dict[str, Any]) -> None:
    with AgentMemorySystem(MemoryConfig(**folder)) as system:
        (folder["path"] / "memory.json").write_text("{")
        assert kinds(system) == {Kind.FOLDER}


def test_vectors_of_another_configuration_are_no_fault(folder: dict[str, Any]) -> None:
    narrow = {"autoencoder_config": {"stm_dim": 64, "im_dim": 16, "ltm_dim": 8}}
    with AgentMemorySystem(MemoryConfig(**folder, **LIMITS, **narrow)) as system:
        fill(system)
        assert kinds(system) == set()
    with AgentMemorySystem.open(folder["path"], upkeep=False) as system:
        before = remembered(system)
        assert kinds(system, repair=True) == set()
        assert remembered(system) == before


def test_contents_larger_than_the_usual_that_the_memory_may_read_are_no_fault(
    folder: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_memory.compression.levels.MOST_UNSQUEEZED", 10_000)
    limits = {"stm_config": {"memory_limit": 1}, "im_config": {"memory_limit": 1}}
    config = MemoryConfig(**folder, **limits, cleanup_interval=1, max_entry_bytes=50_000)
    with AgentMemorySystem(config) as system:
        for step in range(4):
            assert system.store_agent_state("ant", {"told": "x" * 20_000}, step)
        before = remembered(system)
        assert system.check(repair=True).sound
        assert system.check().looked_at["quarantined"] == 0
        assert system.backup(folder["path"].with_suffix(".backup")).unreadable == 0
        assert remembered(system) == before
