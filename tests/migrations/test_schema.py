from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from agent_memory import schema
from agent_memory.compression import ContentsCodec
from agent_memory.connections.sql import open_engine, writing
from agent_memory.errors import SchemaOutOfDate
from agent_memory.repositories.sql import LtmRepository
from agent_memory.testing import an_entry

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


@pytest.mark.parametrize("prefix", ["agent_ltm", "other"])
def test_a_new_database_is_brought_to_head(engine: Engine, prefix: str) -> None:
    schema.ensure(engine, prefix)
    assert schema.current(engine, prefix) == schema.HEAD
    schema.check(engine, prefix)
    repository = LtmRepository(engine, ContentsCodec(), table_prefix=prefix)
    entry = an_entry()
    repository.add(entry)
    assert repository.get(entry.key) == entry


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
    monkeypatch.setattr(schema, "REVISIONS", ("0001", "0002"))
    monkeypatch.setattr(schema, "HEAD", "0002")
    with pytest.raises(SchemaOutOfDate) as refusal:
        schema.ensure(engine)
    assert f" -x url={url} upgrade head" in str(refusal.value)
    assert schema.current(engine) == "0001"


def test_the_command_names_the_prefix_and_hides_the_password() -> None:
    command = schema.upgrade_command("postgresql://me:geheim@host/db", "other")
    assert "geheim" not in command
    assert command.startswith("alembic -c ")
    assert command.endswith(" -x table_prefix=other upgrade head")


def test_the_command_mends_a_database_left_without_tables(engine: Engine, url: str) -> None:
    schema.ensure(engine)
    with writing(engine).begin() as connection:
        connection.exec_driver_sql("DELETE FROM agent_ltm_alembic_version")
        for suffix in ("tombstones", "entries", "encoder_versions", "types", "agents", "runs"):
            connection.exec_driver_sql(f"DROP TABLE agent_ltm_{suffix}")
    with pytest.raises(SchemaOutOfDate) as refusal:
        schema.ensure(engine)
    command = str(refusal.value).partition(" with: ")[2].split()
    subprocess.run([sys.executable, "-m", *command], cwd=PROJECT, check=True, capture_output=True)
    schema.check(engine)


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
    with pytest.raises(SchemaOutOfDate, match=r"has no revision.*alembic"):
        schema.ensure(reader)
    reader.dispose()


def test_a_failed_migration_leaves_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Exception, match="Can't locate"):
        schema.upgrade(engine, revision="9999")
    with writing(engine).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE agent_ltm_tombstones (a)")
    with pytest.raises(Exception, match="already exists"):
        schema.upgrade(engine)
    with engine.connect() as connection:
        tables = connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars().all()
    assert tables == ["agent_ltm_tombstones"]


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


def test_several_processes_may_open_a_new_database_at_once(url: str, tmp_path: Path) -> None:
    code = (
        "import sys, time; from agent_memory import schema\n"
        "from agent_memory.compression import ContentsCodec\n"
        "from agent_memory.connections.sql import open_engine\n"
        "from agent_memory.repositories.sql import LtmRepository\n"
        "from agent_memory.testing import an_entry\n"
        "sys.stdin.read(1)\n"
        "engine = open_engine(sys.argv[1]); schema.ensure(engine)\n"
        "LtmRepository(engine, ContentsCodec()).add(an_entry(agent_id=sys.argv[2]))"
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
        for number in range(5)
    ]
    os.close(gate)
    os.write(opened, b"." * len(children))
    os.close(opened)
    outputs = [child.communicate()[0] for child in children]
    assert [
        (child.returncode, output) for child, output in zip(children, outputs, strict=True)
    ] == [(0, "")] * len(children)
    beneath = sqlite3.connect(tmp_path / "ltm.db")
    assert beneath.execute("SELECT count(*) FROM agent_ltm_entries").fetchone() == (5,)
    beneath.close()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the alembic command needs of the tree, elsewhere."""
    there = tmp_path / "clone"
    for folder in ("agent_memory", "migrations"):
        shutil.copytree(
            PROJECT / folder, there / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(PROJECT / "alembic.ini", there)
    return there


def _alembic(clone: Path, *arguments: str, **environment: str) -> None:
    inherited = {name: value for name, value in os.environ.items() if "AGENT_MEMORY" not in name}
    subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=clone,
        env=inherited | environment,
        check=True,
        capture_output=True,
        text=True,
    )


def _revision(path: Path, prefix: str = "agent_ltm") -> str:
    beneath = sqlite3.connect(path)
    query = f"SELECT version_num FROM {prefix}_alembic_version"  # noqa: S608
    [(revision,)] = beneath.execute(query)
    beneath.close()
    return str(revision)


def test_alembic_upgrade_head_works_from_a_clean_clone(clone: Path) -> None:
    _alembic(clone, "upgrade", "head")
    assert _revision(clone / "agent_memory_data" / "agent_memory.db") == schema.HEAD


def test_alembic_takes_url_and_prefix_and_the_environment(clone: Path, tmp_path: Path) -> None:
    named, by_variable = tmp_path / "named.db", tmp_path / "by_variable.db"
    _alembic(clone, "-x", f"url=sqlite:///{named}", "-x", "table_prefix=other", "upgrade", "head")
    assert _revision(named, "other") == schema.HEAD
    _alembic(clone, "upgrade", "head", AGENT_MEMORY_LTM_URL=f"sqlite:///{by_variable}")
    assert _revision(by_variable) == schema.HEAD
    _alembic(clone, "-x", f"url=sqlite:///{named}", "-x", "table_prefix=other", "check")
    assert not (clone / "agent_memory_data").exists()


def test_a_wheel_finds_its_revisions_within_the_package(clone: Path, tmp_path: Path) -> None:
    (clone / "migrations").rename(clone / "agent_memory" / "migrations")
    (clone / "alembic.ini").unlink()
    code = (
        "import sys; from agent_memory import schema\n"
        "assert str(schema.scripts_folder()).startswith(sys.argv[2]), schema.scripts_folder()\n"
        "print(schema.upgrade_command(sys.argv[1]))\n"
        "schema.upgrade(sys.argv[1])"
    )
    url = f"sqlite:///{tmp_path}/wheel.db"
    done = subprocess.run(
        [sys.executable, "-c", code, url, str(clone)],
        cwd=clone,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("python -c ")
    assert _revision(tmp_path / "wheel.db") == schema.HEAD
