"""Databases that older versions left behind are opened, upgraded and read."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from agent_memory.connections.sql import open_engine, writing
from agent_memory.errors import SchemaOutOfDate
from agent_memory.repositories.sql import schema
from tests.migrations.conftest import on_every_engine
from tests.migrations.listing import entries_of, listing

ASSETS = Path(__file__).parent / "assets"


def test_there_is_a_database_of_every_revision() -> None:
    assert [path.stem for path in sorted(ASSETS.glob("*.db"))] == list(schema.REVISIONS)


def _ids_given(path: Path) -> dict[str, int]:
    """The highest ids that SQLite remembers to have given, by table."""
    beneath = sqlite3.connect(path)
    given = dict(beneath.execute("SELECT name, seq FROM sqlite_sequence"))
    beneath.close()
    return given


@pytest.mark.parametrize("revision", schema.REVISIONS)
def test_an_upgrade_does_not_forget_which_ids_were_given(revision: str, tmp_path: Path) -> None:
    path = Path(shutil.copy(ASSETS / f"{revision}.db", tmp_path / "ltm.db"))
    before = _ids_given(path)
    with sqlite3.connect(path) as beneath:
        beneath.execute("DELETE FROM agent_ltm_tombstones")
        beneath.execute("DELETE FROM agent_ltm_entries")
        for table in ("agents", "runs", "types"):
            beneath.execute(f"DELETE FROM agent_ltm_{table}")  # noqa: S608
    beneath.close()
    schema.upgrade(f"sqlite:///{path}")
    after = _ids_given(path)
    assert {"agent_ltm_runs", "agent_ltm_agents", "agent_ltm_types"} <= before.keys()
    assert all(after[table] >= highest for table, highest in before.items())


@pytest.mark.parametrize("revision", schema.REVISIONS)
def test_a_database_of_any_revision_is_upgraded_and_read_whole(
    revision: str, tmp_path: Path
) -> None:
    path = tmp_path / "ltm.db"
    shutil.copy(ASSETS / f"{revision}.db", path)
    engine = open_engine(f"sqlite:///{path}")
    assert schema.current(engine) == revision
    schema.upgrade(engine)
    schema.ensure(engine)
    schema.check_tables(engine)
    assert listing(engine) == (ASSETS / f"{revision}.jsonl").read_text().splitlines()
    engine.dispose()


def test_a_database_of_the_first_revision_before_it_was_edited_is_upgraded_with_every_column(
    tmp_path: Path,
) -> None:
    made = (ASSETS / "0001_first.sql").read_text()
    assert "forgotten_at" in made
    assert "released_at" not in made
    beneath = sqlite3.connect(tmp_path / "ltm.db")
    beneath.executescript(made)
    forgotten = beneath.execute("SELECT count(*) FROM agent_ltm_tombstones").fetchone()
    beneath.close()
    engine = open_engine(f"sqlite:///{tmp_path}/ltm.db")
    with pytest.raises(SchemaOutOfDate, match="agent-memory db upgrade"):
        schema.ensure(engine)
    schema.upgrade(engine)
    schema.check_tables(engine)
    found = [
        (entry.agent_id, entry.step_number, dict(entry.contents)) for entry in entries_of(engine)
    ]
    assert found == [("ant", step, {"of": "ant", "step": step}) for step in range(4)]
    with engine.connect() as connection:
        asked = text("SELECT count(*) FROM agent_ltm_tombstones WHERE released_at IS NULL")
        assert connection.scalar(asked) == forgotten[0]
    engine.dispose()


@on_every_engine
@pytest.mark.parametrize("revision", ["0001", schema.HEAD])
def test_a_column_that_the_first_revision_lacked_is_added_by_an_upgrade_from_anywhere(
    engine: Engine, revision: str
) -> None:
    schema.upgrade(engine, revision=revision)
    with writing(engine).begin() as connection:
        connection.execute(text("ALTER TABLE agent_ltm_tombstones DROP COLUMN released_at"))
    if revision == schema.HEAD:
        with pytest.raises(SchemaOutOfDate, match="released_at"):
            schema.check_tables(engine)
    schema.upgrade(engine)
    schema.check_tables(engine)
