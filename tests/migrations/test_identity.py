"""Revision 0003 makes the agent part of an entry's identity; nothing that was stored is lost."""

from __future__ import annotations

import hashlib
import io
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.sql import open_engine
from agent_memory.errors import EntriesWouldBeLost
from agent_memory.repositories.outcomes import Added
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.testing import an_entry
from tests.migrations.conftest import on_every_engine
from tests.migrations.listing import entries_of, listing

ASSETS = Path(__file__).parent / "assets"
BEFORE = "0002"

# A revision that has landed is never edited: databases that it made are out there.
LANDED = {
    "0001_long_term_memory.py": "ccd6edb2839ebfaf",
    "0002_declared_attributes.py": "3cccb8350489fce8",
    "0003_identity_of_agents.py": "a3e862a2f315e280",
    "0004_parameters_of_runs.py": "a92075ce22cdd842",
}


@pytest.fixture
def repository(engine: Engine) -> LtmRepository:
    schema.upgrade(engine)
    return LtmRepository(engine, ContentsCodec())


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Engine]:
    """A database that the revision before left behind, with declared attributes."""
    shutil.copy(ASSETS / f"{BEFORE}.db", tmp_path / "old.db")
    engine = open_engine(f"sqlite:///{tmp_path}/old.db")
    yield engine
    engine.dispose()


def _made(engine: Engine, what: str) -> dict[str, str]:
    asked = f"SELECT name, sql FROM sqlite_master WHERE type = '{what}' AND sql IS NOT NULL"  # noqa: S608
    with engine.connect() as connection:
        return {str(name): str(made) for name, made in connection.exec_driver_sql(asked)}


def test_a_landed_revision_is_never_edited() -> None:
    versions = schema.scripts_folder() / "versions"
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in versions.glob("*.py")
    }
    assert found == LANDED


def test_keys_that_were_forgotten_before_stay_closed_to_every_agent(old: Engine) -> None:
    schema.upgrade(old)
    repository = LtmRepository(old, ContentsCodec())
    with old.connect() as connection:
        asked = "SELECT lower(hex(memory_id)), r.name FROM agent_ltm_tombstones t"
        asked += " JOIN agent_ltm_runs r ON r.id = t.run_ref WHERE released_at IS NULL"
        closed = connection.exec_driver_sql(asked).all()
    assert len(closed) == 7
    for memory_id, run_id in closed:
        for agent in ("ant-1", "an agent never met"):
            entry = an_entry(memory_id=memory_id, run_id=run_id, agent_id=agent)
            assert repository.add(entry) is Added.FORGOTTEN


def test_an_upgrade_keeps_indexes_ids_and_what_sqlite_knows_of_its_tables(old: Engine) -> None:
    indexes, tables = _made(old, "index"), _made(old, "table")
    assert sum("json_extract" in made for made in indexes.values()) == 2
    schema.upgrade(old)
    assert _made(old, "index") == indexes
    after = _made(old, "table")
    assert after.keys() == tables.keys()
    for name, made in tables.items():
        for option in ("AUTOINCREMENT", "WITHOUT ROWID"):
            assert (option in made) == (option in after[name]), name
    with old.connect() as connection:
        # Where the key of a table without row ids does not come first, SQLite's check errs.
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"


@on_every_engine
def test_a_downgrade_that_would_lose_entries_of_a_shared_id_is_refused(
    engine: Engine, repository: LtmRepository
) -> None:
    entry = an_entry()
    shared = [replace(entry, agent_id=agent) for agent in ("ant", "bee", "cat")]
    repository.add_many(shared)
    with pytest.raises(EntriesWouldBeLost, match=r"1 ids that agents .*--delete-everything"):
        schema.downgrade(engine, revision=BEFORE)
    assert schema.current(engine) == schema.HEAD
    assert repository.get_many([each.key for each in shared]) == shared
    repository.remove_many([each.key for each in shared[1:]])
    schema.downgrade(engine, revision=BEFORE)
    schema.upgrade(engine)
    assert repository.get_many([each.key for each in shared]) == shared[:1]


@on_every_engine
def test_a_downgrade_closes_a_key_to_all_as_long_as_it_was_closed_to_any(
    engine: Engine, repository: LtmRepository
) -> None:
    released, closed = an_entry(), an_entry()
    for entry in (released, closed):
        others = [entry.key._replace(agent_id=agent) for agent in ("bee", "")]
        repository.forget([entry.key, *others], at=1.0)
        repository.release(others, at=5.0)
    repository.release([released.key], at=9.0)
    schema.downgrade(engine, revision=BEFORE)
    schema.upgrade(engine)
    stranger = replace(released, agent_id="a stranger")
    assert repository.forgotten([stranger.key]) == {stranger.key: 9.0}
    assert repository.add(replace(closed, agent_id="a stranger")) is Added.FORGOTTEN


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_revision_can_be_written_as_a_script(dialect: str) -> None:
    written = io.StringIO()
    config = Config(output_buffer=written)
    config.set_main_option("script_location", str(schema.scripts_folder()))
    config.attributes["url"] = (
        f"{dialect}://" if dialect == "sqlite" else "postgresql+psycopg://h/d"
    )
    with redirect_stdout(written):
        command.upgrade(config, f"{BEFORE}:head", sql=True)
    assert "uq_agent_ltm_entries_memory_id_agent_ref" in written.getvalue()
    if dialect == "sqlite":
        _runs_as_a_script(written.getvalue())


def _runs_as_a_script(script: str) -> None:
    beneath = sqlite3.connect(":memory:")
    source = sqlite3.connect(ASSETS / f"{BEFORE}.db")
    source.backup(beneath)
    source.close()
    (before,) = beneath.execute("SELECT count(*) FROM agent_ltm_entries").fetchone()
    beneath.executescript(script)
    assert beneath.execute("SELECT count(*) FROM agent_ltm_entries").fetchone() == (before,)
    assert beneath.execute("SELECT version_num FROM agent_ltm_alembic_version").fetchall() == [
        (schema.HEAD,)
    ]
    beneath.close()


def test_the_asset_of_the_revision_holds_shared_ids(tmp_path: Path) -> None:
    shutil.copy(ASSETS / "0003.db", tmp_path / "ltm.db")
    engine = open_engine(f"sqlite:///{tmp_path}/ltm.db")
    schema.upgrade(engine)
    entries = entries_of(engine)
    assert len({(entry.run_id, entry.memory_id) for entry in entries}) < len(entries)
    assert len(listing(engine)) == len((ASSETS / "0003.jsonl").read_text().splitlines())
    engine.dispose()
