"""Databases that older versions left behind are opened, upgraded and read."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from agent_memory.connections.sql import open_engine
from agent_memory.repositories.sql import schema
from tests.migrations.listing import listing

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
