from __future__ import annotations

import os
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.sql import open_engine, writing
from agent_memory.errors import ConfigError, SchemaOutOfDate
from agent_memory.repositories.sql import new_schema, schema
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.testing import an_entry
from tests.engines import parameters
from tests.migrations.conftest import on_every_engine

PROJECT = Path(__file__).parents[2]


def _set_revision(engine: Engine, revision: str, prefix: str = "agent_ltm") -> None:
    with writing(engine).begin() as connection:
        connection.execute(
            text(f"UPDATE {prefix}_alembic_version SET version_num = :to"),  # noqa: S608
            {"to": revision},
        )


def _python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=PROJECT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@on_every_engine
@pytest.mark.parametrize("prefix", ["agent_ltm", "other"])
def test_a_new_database_is_brought_to_head(engine: Engine, prefix: str) -> None:
    schema.ensure(engine, prefix)
    assert schema.current(engine, prefix) == schema.HEAD
    schema.check(engine, prefix)
    repository = LtmRepository(engine, ContentsCodec(), table_prefix=prefix)
    entry = an_entry()
    repository.add(entry)
    assert repository.get(entry.key) == entry


def _contents(engine: Engine) -> dict[str, object]:
    """What a SQLite file holds, in whatever order it was made."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_master")
        made: dict[str, object] = {f"{kind} {name}": rest for kind, name, *rest in found}
        for table in inspect(connection).get_table_names():
            made[table] = connection.exec_driver_sql(f"SELECT * FROM {table}").all()  # noqa: S608
    return made


@pytest.mark.parametrize("prefix", ["agent_ltm", "other"])
def test_later_databases_of_a_process_are_made_as_the_first_one_without_alembic(
    tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_schema, "_known", {})
    first, second = (open_engine(f"sqlite:///{tmp_path / str(number)}.db") for number in range(2))
    schema.ensure(first, prefix)
    monkeypatch.delattr("alembic.command.upgrade")
    schema.ensure(second, prefix)
    assert _contents(second) == _contents(first)
    schema.check_tables(second, prefix)
    first.dispose()
    second.dispose()


@on_every_engine
def test_two_prefixes_live_in_one_database_and_know_nothing_of_each_other(engine: Engine) -> None:
    for prefix in ("a", "a_b"):
        schema.ensure(engine, prefix)
    first, second = (
        LtmRepository(engine, ContentsCodec(), table_prefix=prefix) for prefix in ("a", "a_b")
    )
    first.add(an_entry())
    assert second.runs() == []
    _set_revision(engine, "9999", "a")
    schema.ensure(engine, "a_b")


def test_an_older_schema_is_refused_with_the_command_that_mends_it(
    engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.ensure(engine)
    head = schema.HEAD
    monkeypatch.setattr(schema, "REVISIONS", (*schema.REVISIONS, "later"))
    monkeypatch.setattr(schema, "HEAD", "later")
    with pytest.raises(SchemaOutOfDate) as refusal:
        schema.ensure(engine)
    assert str(refusal.value).endswith(f" with: {schema.upgrade_command(url)}")
    assert schema.current(engine) == head


def test_the_command_names_the_prefix_and_hides_the_password() -> None:
    command = schema.upgrade_command("postgresql://me:geheim@host/db", "other")
    assert "geheim" not in command
    assert "postgresql://me:***@host/db" in command
    assert "table_prefix=other" in command or "--table-prefix other" in command


def _run(command: str) -> None:
    """Run a command that a message names."""
    name, *arguments = shlex.split(command)
    starting = {
        "agent-memory": ["-c", "from agent_memory.cli import main; main()"],
        "alembic": ["-m", "alembic"],
    }
    subprocess.run(
        [sys.executable, *starting[name], *arguments],
        cwd=PROJECT,
        check=True,
        capture_output=True,
    )


@pytest.mark.parametrize("prefix", parameters(["agent_ltm", "other"], ["other"]))
@pytest.mark.parametrize("has_command_line", [True, False])
def test_the_command_mends_a_database_left_without_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, has_command_line: bool
) -> None:
    monkeypatch.setattr(schema, "_has_command_line", lambda: has_command_line)
    # Characters that mean something to a shell, to a URL, and to Alembic's settings.
    engine = open_engine(f"sqlite:///{tmp_path}/it's 100%25 %3F/ltm.db")
    schema.ensure(engine, prefix)
    with writing(engine).begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM {prefix}_alembic_version")  # noqa: S608
        for suffix in (
            *("attributes", "tombstones", "entries", "encoder_versions"),
            *("types", "agents", "runs"),
        ):
            connection.exec_driver_sql(f"DROP TABLE {prefix}_{suffix}")
    with pytest.raises(SchemaOutOfDate) as refusal:
        schema.ensure(engine, prefix)
    command = str(refusal.value).partition(" with: ")[2]
    assert command.startswith("agent-memory db upgrade " if has_command_line else "alembic -c ")
    _run(command)
    schema.check(engine, prefix)
    engine.dispose()


@on_every_engine
@pytest.mark.parametrize("revision", ["9999", "unheard-of"])
def test_a_newer_schema_is_refused_and_left_alone(engine: Engine, revision: str) -> None:
    schema.ensure(engine)
    _set_revision(engine, revision)
    with pytest.raises(SchemaOutOfDate, match="upgrade the package"):
        schema.ensure(engine)
    assert schema.current(engine) == revision


def test_a_reader_of_a_database_without_tables_is_told_so(url: str, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "ltm.db").close()
    reader = open_engine(url, read_only=True)
    with pytest.raises(SchemaOutOfDate, match=r"has no revision.*upgrade"):
        schema.ensure(reader)
    reader.dispose()


@on_every_engine
def test_a_failed_migration_leaves_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"no revision '9999'.*0001, 0002"):
        schema.upgrade(engine, revision="9999")
    with writing(engine).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE agent_ltm_tombstones (a integer)")
    with pytest.raises(Exception, match="already exists"):
        schema.upgrade(engine)
    assert inspect(engine).get_table_names() == ["agent_ltm_tombstones"]


@on_every_engine
def test_opening_a_current_schema_loads_no_alembic(engine: Engine, url: str) -> None:
    schema.ensure(engine)
    child = _python(
        "import sys; from agent_memory import schema\n"
        "from agent_memory.connections.sql import open_engine\n"
        "schema.ensure(open_engine(sys.argv[1])); print('alembic' in sys.modules)",
        url,
    )
    output, _ = child.communicate()
    assert (child.returncode, output) == (0, "False\n")


@pytest.mark.parametrize("url", parameters(["sqlite", "postgresql"], ["sqlite"]), indirect=True)
def test_several_processes_may_open_a_new_database_at_once(url: str, engine: Engine) -> None:
    code = (
        "import sys; from agent_memory import MemoryEntry, schema\n"
        "from agent_memory.compression.levels import ContentsCodec\n"
        "from agent_memory.connections.sql import open_engine\n"
        "from agent_memory.repositories.sql.repository import LtmRepository\n"
        "sys.stdin.read(1)\n"
        "engine = open_engine(sys.argv[1]); schema.ensure(engine)\n"
        "LtmRepository(engine, ContentsCodec()).add(MemoryEntry(memory_id='0' * 32,"
        " run_id=sys.argv[2], agent_id='ant', step_number=0, timestamp=0.0,"
        " memory_type='state', contents={}))"
    )
    gate, opened = os.pipe()
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, url, str(number)],
            cwd=PROJECT,
            text=True,
            stdin=gate,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for number in range(4)
    ]
    os.close(gate)
    os.write(opened, b"." * len(children))
    os.close(opened)
    outputs = [child.communicate()[0] for child in children]
    assert [
        (child.returncode, output) for child, output in zip(children, outputs, strict=True)
    ] == [(0, "")] * len(children)
    with engine.connect() as connection:
        count = connection.exec_driver_sql("SELECT count(*) FROM agent_ltm_entries").scalar_one()
    assert count == len(children)
