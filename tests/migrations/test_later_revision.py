"""What a revision of a later version does to a database that is in use."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.sql import open_engine
from agent_memory.errors import ConfigError, EntriesWouldBeLost, StoreReadOnly, StoreUnavailable
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.testing import an_entry
from tests.migrations.later_version import (
    BY_COPY,
    HANGING,
    LATER,
    PLAIN,
    later_migrations,
    later_version,
)
from tests.migrations.listing import listing

TABLES = ("entries", "runs", "agents", "types", "tombstones", "encoder_versions")
ASSET = Path(__file__).parent / "assets" / f"{schema.HEAD}.db"


@pytest.fixture
def populated(tmp_path: Path) -> Path:
    """A database of the latest revision with entries of every kind."""
    return Path(shutil.copy(ASSET, tmp_path / "ltm.db"))


def _use_later(
    monkeypatch: pytest.MonkeyPatch, folder: Path, steps: tuple[str, str], table: str = "entries"
) -> None:
    scripts = later_migrations(folder, steps, table)
    monkeypatch.setattr(schema, "scripts_folder", lambda: scripts)


def _made_by(path: Path) -> dict[str, str]:
    beneath = sqlite3.connect(path)
    made = dict(beneath.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
    beneath.close()
    return made


def _counted_up_to(path: Path) -> dict[str, int]:
    """The highest ids that SQLite remembers to have given."""
    beneath = sqlite3.connect(path)
    counted = dict(beneath.execute("SELECT name, seq FROM sqlite_sequence"))
    beneath.close()
    return counted


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("steps", [PLAIN, BY_COPY], ids=["in_place", "by_copy"])
def test_a_column_comes_and_goes_and_all_that_is_stored_stays(
    populated: Path,
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: tuple[str, str],
    table: str,
) -> None:
    before, made, counted = listing(engine), _made_by(populated), _counted_up_to(populated)
    _use_later(monkeypatch, tmp_path, steps, table)
    schema.upgrade(engine)
    assert schema.current(engine) == LATER
    assert "mood" in _made_by(populated)[f"agent_ltm_{table}"]
    assert listing(engine) == before
    added = an_entry(run_id="after", agent_id="after")
    repository = LtmRepository(engine, ContentsCodec())
    repository.add(added)
    schema.downgrade(engine, revision=schema.HEAD)
    assert schema.current(engine) == schema.HEAD
    assert "mood" not in _made_by(populated)[f"agent_ltm_{table}"]
    assert repository.get(added.key) == added
    repository.remove(added.key)
    assert listing(engine) == before
    assert _counted_up_to(populated).keys() == counted.keys()
    if steps is PLAIN:
        assert _made_by(populated) == made


@pytest.mark.parametrize("table", ["runs", "agents", "types"])
@pytest.mark.parametrize("left", ["some", "none"])
@pytest.mark.parametrize("steps", [PLAIN, BY_COPY], ids=["in_place", "by_copy"])
def test_an_id_is_never_given_again_after_a_migration(
    populated: Path,
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: tuple[str, str],
    left: str,
    table: str,
) -> None:
    highest = _counted_up_to(populated)[f"agent_ltm_{table}"]
    beneath = sqlite3.connect(populated)
    beneath.execute("DELETE FROM agent_ltm_tombstones")
    beneath.execute("DELETE FROM agent_ltm_entries")
    for emptied in {"agents", table}:
        rows = f"id = {highest}" if left == "some" and emptied == table else "1"
        beneath.execute(f"DELETE FROM agent_ltm_{emptied} WHERE {rows}")  # noqa: S608
    beneath.commit()
    beneath.close()
    _use_later(monkeypatch, tmp_path, steps, table)
    schema.upgrade(engine)
    schema.downgrade(engine, revision=schema.HEAD)
    assert _counted_up_to(populated)[f"agent_ltm_{table}"] == highest
    assert "AUTOINCREMENT" in _made_by(populated)[f"agent_ltm_{table}"]


@pytest.mark.parametrize("table", ["runs", "agents", "types"])
def test_a_revision_after_which_ids_would_be_given_again_is_undone(
    populated: Path, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    before, made = listing(engine), _made_by(populated)
    careless = (BY_COPY[0].replace('"%s" in', '"%s" not in'), BY_COPY[1])
    _use_later(monkeypatch, tmp_path, careless, table)
    with pytest.raises(StoreUnavailable, match=rf"undone.*agent_ltm_{table}.*autoincrement"):
        schema.upgrade(engine)
    assert schema.current(engine) == schema.HEAD
    assert _made_by(populated) == made
    assert listing(engine) == before


def test_a_connection_enforces_references_again_after_a_migration(engine: Engine) -> None:
    schema.upgrade(engine)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_a_revision_that_would_tear_references_is_undone(
    populated: Path, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = listing(engine)
    tearing = (PLAIN[0] + "\n    op.execute(sa.delete(sa.table('agent_ltm_agents')))", PLAIN[1])
    _use_later(monkeypatch, tmp_path, tearing)
    with pytest.raises(StoreUnavailable, match=r"undone.*agent_ltm_agents.*backup"):
        schema.upgrade(engine)
    assert schema.current(engine) == schema.HEAD
    assert listing(engine) == before


@pytest.mark.parametrize("kept", ["entries", "tombstones", "encoder_versions"])
def test_a_downgrade_to_nothing_is_refused_while_anything_is_kept(
    populated: Path, engine: Engine, kept: str
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE agent_ltm_entries SET encoder_version = NULL")
        for table in {"entries", "tombstones", "encoder_versions"} - {kept}:
            connection.exec_driver_sql(f"DELETE FROM agent_ltm_{table}")  # noqa: S608
    before = listing(engine)
    with pytest.raises(EntriesWouldBeLost, match=f"agent_ltm_{kept}; .*--delete-everything"):
        schema.downgrade(engine, revision="base")
    assert schema.current(engine) == schema.HEAD
    assert listing(engine) == before


def test_a_downgrade_to_nothing_that_is_meant_drops_everything(
    populated: Path, engine: Engine
) -> None:
    schema.downgrade(engine, revision="base", delete_everything=True)
    assert _made_by(populated).keys() == {"agent_ltm_alembic_version", "sqlite_sequence"}


def test_a_downgrade_to_nothing_of_an_empty_database_needs_no_word(engine: Engine) -> None:
    schema.upgrade(engine)
    schema.downgrade(engine, revision="base")
    assert schema.current(engine) is None


def test_each_direction_refuses_to_go_the_other(
    populated: Path, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _use_later(monkeypatch, tmp_path, PLAIN)
    with pytest.raises(ConfigError, match=f"agent-memory db upgrade {LATER}"):
        schema.downgrade(engine, revision=LATER)
    schema.upgrade(engine)
    with pytest.raises(ConfigError, match=f"agent-memory db downgrade {schema.HEAD}"):
        schema.upgrade(engine, revision=schema.HEAD)
    assert schema.current(engine) == LATER


def test_a_read_only_engine_is_not_migrated(populated: Path, url: str) -> None:
    reader = open_engine(url, read_only=True)
    for change in (schema.upgrade, lambda engine: schema.downgrade(engine, revision="base")):
        with pytest.raises(StoreReadOnly, match="open it for writing"):
            change(reader)
    reader.dispose()


def _command(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """``agent-memory`` of the version in a folder."""
    return subprocess.Popen(
        [sys.executable, "-c", "from agent_memory.cli import main; main()", *arguments],
        cwd=folder,
        env=os.environ | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _wait_for(path: Path, child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.long
def test_an_upgrade_killed_midway_is_completed_by_the_next(
    populated: Path, engine: Engine, url: str, tmp_path: Path
) -> None:
    before = listing(engine)
    engine.dispose()
    later, half_way = later_version(tmp_path / "later", HANGING), tmp_path / "half-way"
    child = _command(later, "db", "upgrade", "--url", url, HANG_AND_TOUCH=str(half_way))
    _wait_for(half_way, child)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert schema.current(engine) == schema.HEAD
    assert "mood" not in _made_by(populated)["agent_ltm_entries"]
    assert listing(engine) == before
    child = _command(later, "db", "upgrade", "--url", url)
    assert f"revision {LATER} (up to date)" in child.communicate()[0]
    assert child.returncode == 0
    assert "mood" in _made_by(populated)["agent_ltm_entries"]
    assert listing(engine) == before


@pytest.mark.long
def test_a_reader_sees_the_old_schema_until_the_new_one_stands(
    populated: Path, engine: Engine, url: str, tmp_path: Path
) -> None:
    before = listing(engine)
    later, half_way = later_version(tmp_path / "later", HANGING), tmp_path / "half-way"
    child = _command(later, "db", "upgrade", "--url", url, HANG_AND_TOUCH=str(half_way))
    _wait_for(half_way, child)
    schema.check(engine)
    assert listing(engine) == before
    child.kill()
    child.communicate()


@pytest.mark.long
def test_an_old_database_is_refused_with_a_command_that_mends_it(
    populated: Path, url: str, tmp_path: Path
) -> None:
    later = later_version(tmp_path / "later")
    refused = _command(later, "db", "check", "--url", url)
    (reported,) = refused.communicate()[0].splitlines()
    assert refused.returncode == 2
    assert f"has revision '{schema.HEAD}', and '{LATER}' is needed" in reported
    mended = _command(later, "db", "upgrade", "--url", url)
    assert mended.communicate()[0].endswith(
        f"from revision {schema.HEAD} to revision {LATER} (up to date)\n"
    )
    listed = _command(later, "db", "history", "--url", url)
    assert [line.split()[:2] for line in listed.communicate()[0].splitlines()] == [
        *([revision, "applied"] for revision in schema.REVISIONS),
        [LATER, "applied"],
    ]
    back = _command(later, "db", "downgrade", schema.HEAD, "--url", url)
    assert back.communicate()[0].endswith(
        f"from revision {LATER} (up to date) to revision {schema.HEAD}\n"
    )
