"""What was quarantined is forgotten too, and no scrub waits for readers without end."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import update

from agent_memory import AgentMemorySystem, MemoryConfig, Query
from agent_memory.connections.deployment import file_beside
from agent_memory.connections.embedded import keeper
from agent_memory.models.redis import agent_prefix
from agent_memory.tiers.quarantine import Quarantine, Quarantined
from tests import engines
from tests.memories import Opener

SECRET = "owes-the-bank-a-million"
SMALL = {"memory_limit": 2}


@pytest.fixture(autouse=True)
def _few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_memory.connections.rewriting.READERS_PATIENCE", 0.2)
    monkeypatch.setattr("agent_memory.system.checking.cross_tier._PAUSE", 0.0)


def holding(*folders: Path) -> list[str]:
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return [file.name for file in files if SECRET.encode() in file.read_bytes()]


def spoil(memory: AgentMemorySystem, agent: str) -> None:
    """Damage the contents of one entry above and of one in long-term memory."""
    client = memory._resources.connections.stm.client
    entry = memory.stm.find(Query(run_id="default", agent_id=agent, limit=1))[0]
    key = agent_prefix("agent_memory:stm", "default", agent) + entry.memory_id
    client.hset(key, "contents", b"\xc1" + SECRET.encode())
    row = memory.ltm.find(Query(run_id="default", agent_id=agent, limit=1))[0]
    with memory.sql_engine.begin() as connection:
        entries = memory.models.LtmEntry
        connection.execute(
            update(entries)
            .where(entries.memory_id == row.memory_id)
            .values(contents=b"\xc1" + SECRET.encode())
        )


@engines.usually_on("embedded", "tcp and postgresql")
def test_what_was_quarantined_is_forgotten_with_its_agent_and_nobody_elses(
    open_memory: Opener,
) -> None:
    memory = open_memory(stm_config=SMALL, im_config=SMALL)
    file = file_beside(memory._resources.connections.deployment, "aside")
    if file is None:
        pytest.skip("nothing is quarantined where nothing outlasts the process")
    for agent in ("trader", "trader-2"):
        for step in range(8):
            memory.store_agent_state(agent, {"said": f"{SECRET} {step}"}, step)
    memory.maintain()
    for agent in ("trader", "trader-2"):
        spoil(memory, agent)
    memory.check(repair=True)
    quarantine = Quarantine(file)
    assert len(quarantine) == 4
    assert memory.forget("trader", run="another run").quarantined == 0
    receipt = memory.forget("trader", scrub=True)
    assert (receipt.quarantined, receipt.verified, len(quarantine)) == (2, True, 2)
    assert all("'trader-2'" in kept.place for kept in quarantine)
    assert memory.forget(run="default", scrub=True).quarantined == 2
    assert holding(file.parent) == []


def test_one_memory_or_what_a_query_finds_is_forgotten_in_quarantine_too(tmp_path: Path) -> None:
    config = MemoryConfig(path=tmp_path / "memory", search=False)
    with AgentMemorySystem(config) as memory:
        for step in range(3):
            memory.store_agent_state("ant", {"food": step}, step)
        entries = [hit.entry for hit in memory.recall(Query(agent_id="ant"))]
        file = file_beside(memory._resources.connections.deployment, "aside")
        assert file is not None
        quarantine = Quarantine(file)
        for entry in entries:  # as after a vector was replaced
            place = f"STM, run 'default', agent 'ant', entry {entry.memory_id}"
            quarantine.put(Quarantined(place, "vector", 1.0, {"embedding": b"123"}))
        assert memory.forget(memory_id=entries[0].memory_id).quarantined == 1
        step = entries[1].step_number
        assert memory.forget(query=Query(agent_id="ant", steps=(step, step))).quarantined == 1
        assert len(quarantine) == 1


def test_what_is_nobodys_in_quarantine_is_named_in_the_receipt(tmp_path: Path) -> None:
    config = MemoryConfig(path=tmp_path / "memory", search=False)
    with AgentMemorySystem(config) as memory:
        memory.store_agent_state("ant", {"food": 1}, 1)
        file = file_beside(memory._resources.connections.deployment, "aside")
        assert file is not None
        Quarantine(file).put(Quarantined("the spool, entry 3", "?", 1.0, {"entry": b"\xc1"}))
        receipt = memory.forget("ant", scrub=True)
        assert "nothing tells whose" in receipt.not_rewritten[str(file)]


def test_a_scrub_beside_an_open_reader_returns_and_says_what_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    config = MemoryConfig(path=folder, search=False, stm_config=SMALL, im_config=SMALL)
    with AgentMemorySystem(config) as memory:
        for step in range(10):
            memory.store_agent_state("ant", {"said": f"{SECRET} {step}"}, step)
        memory.maintain()
        database = folder / "agent_memory.db"
        with contextlib.closing(sqlite3.connect(database)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM agent_ltm_entries").fetchone()
            receipt = memory.forget("ant", scrub=True)
            (left,) = receipt.not_rewritten
            assert left.endswith("agent_memory.db")
            assert "reads from it" in receipt.not_rewritten[left]
            assert receipt.verified
        assert memory.forget("ant", scrub=True).not_rewritten == {}
        with contextlib.closing(sqlite3.connect(database)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            problem = memory._services.forgetting._scrub()[1]
            assert "writes to it" in problem[left]
        assert holding(folder) == []


def test_what_an_interrupted_conversion_left_goes_with_a_scrub(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    with AgentMemorySystem(MemoryConfig(path=folder, search=False)) as memory:
        memory.store_agent_state("ant", {"food": 1}, 1)
        left = folder / keeper.SCRATCH
        left.mkdir()
        (left / "appendonly.aof").write_text(SECRET)
        receipt = memory.forget("ant", scrub=True)
        assert receipt.not_rewritten == {}
        assert holding(folder) == []
