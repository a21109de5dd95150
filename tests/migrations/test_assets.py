"""Databases that older versions left behind are opened, upgraded and read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent_memory import schema
from agent_memory.connections.sql import open_engine
from tests.migrations.listing import listing

ASSETS = Path(__file__).parent / "assets"


def test_there_is_a_database_of_every_revision() -> None:
    assert [path.stem for path in sorted(ASSETS.glob("*.db"))] == list(schema.REVISIONS)


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
