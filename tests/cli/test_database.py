"""``agent-memory db``: what it does to a database, and how it speaks of what goes wrong."""

from __future__ import annotations

import shlex
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.cli.commands import app
from agent_memory.connections.deployment import LTM_URL_VARIABLE, PATH_VARIABLE
from agent_memory.connections.sql import open_engine
from agent_memory.repositories.sql import schema
from tests.migrations.listing import listing

PROJECT = Path(__file__).parents[2]
ASSET = PROJECT / "tests" / "migrations" / "assets" / f"{schema.HEAD}.db"
MANUAL = PROJECT / "docs" / "migrations.md"
FILE_NAME = "agent_memory.db"


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["db", *map(str, arguments)])


def said(*arguments: object) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    """The one line that a command says in place of doing anything."""
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("agent-memory: ")
    return line


def test_partitions_of_another_database_are_refused_before_it_is_made(tmp_path: Path) -> None:
    line = refused("create", "--path", tmp_path, "--partitions", 4)
    assert "PostgreSQL alone; name a database there" in line
    assert [*tmp_path.iterdir()] == []


def revision_in(path: Path, prefix: str = "agent_ltm") -> str | None:
    engine = open_engine(f"sqlite:///{path}", read_only=True)
    found = schema.current(engine, prefix)
    engine.dispose()
    return found


def all_in(path: Path) -> list[str]:
    engine = open_engine(f"sqlite:///{path}", read_only=True)
    found = listing(engine)
    engine.dispose()
    return found


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No database of whoever runs the tests is meant."""
    for variable in (PATH_VARIABLE, LTM_URL_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def populated(tmp_path: Path) -> Path:
    return Path(shutil.copy(ASSET, tmp_path / "ltm.db"))


def test_upgrade_makes_the_database_of_an_empty_folder(tmp_path: Path) -> None:
    output = said("upgrade", "--path", tmp_path / "memory")
    assert output.endswith(f" from no revision to revision {schema.HEAD} (up to date)\n")
    assert revision_in(tmp_path / "memory" / FILE_NAME) == schema.HEAD
    again = said("upgrade", "--path", tmp_path / "memory")
    assert again.endswith(f" is at revision {schema.HEAD} (up to date)\n")


def test_without_options_the_default_folder_and_the_environment_are_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said("upgrade")
    assert revision_in(tmp_path / "agent_memory_data" / FILE_NAME) == schema.HEAD
    monkeypatch.setenv(PATH_VARIABLE, str(tmp_path / "by path"))
    said("upgrade")
    assert revision_in(tmp_path / "by path" / FILE_NAME) == schema.HEAD
    monkeypatch.setenv(LTM_URL_VARIABLE, f"sqlite:///{tmp_path}/by-url.db")
    said("upgrade")
    assert revision_in(tmp_path / "by-url.db") == schema.HEAD


def test_current_history_and_check_tell_of_a_populated_database(populated: Path) -> None:
    url = f"sqlite:///{populated}"
    said("upgrade", "--url", url)
    before = all_in(populated)
    assert said("current", "--url", url) == f"revision {schema.HEAD} (up to date)\n"
    listed = [line.split()[:2] for line in said("history", "--url", url).splitlines()]
    assert listed == [[name, "applied"] for name in schema.REVISIONS]
    assert "up to date" in said("check", "--url", url)
    assert all_in(populated) == before


@pytest.mark.parametrize("command", ["current", "history", "check", "downgrade"])
def test_no_command_but_upgrade_makes_a_database(command: str, tmp_path: Path) -> None:
    target = ("base",) if command == "downgrade" else ()
    assert "no file" in refused(command, *target, "--path", tmp_path / "absent")
    assert not list(tmp_path.iterdir())


def test_a_prefix_names_tables_of_its_own(populated: Path) -> None:
    url = f"sqlite:///{populated}"
    assert said("current", "--url", url, "--table-prefix", "other") == "no revision\n"
    said("upgrade", "--url", url, "--table-prefix", "other")
    said("check", "--url", url, "--table-prefix", "other")
    said("downgrade", "base", "--url", url, "--table-prefix", "other")
    assert revision_in(populated) == schema.HEAD
    assert "table_prefix" in refused("current", "--url", url, "--table-prefix", "a b")


def test_a_folder_knows_where_its_database_is_and_what_its_tables_are_called(
    tmp_path: Path,
) -> None:
    config = MemoryConfig(
        path=tmp_path / "memory",
        ltm_url=f"sqlite:///{tmp_path}/apart.db",
        ltm_config={"table_prefix": "ants"},
    )
    AgentMemorySystem(config).close()
    output = said("check", "--path", tmp_path / "memory")
    assert f"{tmp_path}/apart.db" in output
    assert not (tmp_path / "memory" / FILE_NAME).exists()


def test_a_folder_does_not_know_a_password_and_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = '{"ltm_url": "postgresql+nodriver://me:***@host/db"}'
    (tmp_path / "memory.json").write_text(record)
    assert f"set ${LTM_URL_VARIABLE}" in refused("check", "--path", tmp_path)
    monkeypatch.setenv(LTM_URL_VARIABLE, "postgresql+nodriver://me:geheim@host/db")
    line = refused("check", "--path", tmp_path)
    assert "me:***@host/db" in line
    assert "geheim" not in line


def test_a_downgrade_that_would_delete_entries_asks_for_a_word(populated: Path) -> None:
    url, before = f"sqlite:///{populated}", all_in(populated)
    assert "--delete-everything" in refused("downgrade", "base", "--url", url)
    assert all_in(populated) == before
    output = said("downgrade", "base", "--url", url, "--delete-everything")
    assert output.endswith("to no revision\n")
    assert revision_in(populated) is None


@pytest.mark.parametrize("command", ["upgrade", "check", "history", "downgrade"])
def test_a_revision_unknown_to_the_code_is_told_with_the_remedy(
    command: str, populated: Path
) -> None:
    with sqlite3.connect(populated) as beneath:
        beneath.execute("UPDATE agent_ltm_alembic_version SET version_num = '9999'")
    beneath.close()
    target = ("base",) if command == "downgrade" else ()
    line = refused(command, *target, "--url", f"sqlite:///{populated}")
    assert "'9999'" in line
    assert line.endswith("pip install --upgrade agent-memory")
    assert revision_in(populated) == "9999"


def test_a_database_without_tables_is_told_with_a_command_that_mends_it(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "empty.db").close()
    line = refused("check", "--url", f"sqlite:///{tmp_path}/empty.db")
    assert line.endswith(schema.upgrade_command(f"sqlite:///{tmp_path}/empty.db"))


def test_tables_changed_by_hand_are_told(populated: Path) -> None:
    with sqlite3.connect(populated) as beneath:
        beneath.execute("DROP INDEX ix_agent_ltm_entries_agent_ref_timestamp")
        beneath.execute("ALTER TABLE agent_ltm_runs DROP COLUMN seed")
    beneath.close()
    line = refused("check", "--url", f"sqlite:///{populated}")
    assert "add_index ix_agent_ltm_entries_agent_ref_timestamp" in line
    assert "add_column agent_ltm_runs.seed" in line


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (("upgrade", "--url", "nonsense"), "it must be a SQLAlchemy URL"),
        (("check", "--url", "postgresql+nodriver://me:geheim@host/db"), "me:***@host/db"),
        (("upgrade", "--url", "sqlite:////proc/ltm.db"), "check that the path exists"),
        (("upgrade", "9999", "--url", "{url}"), f"name one of base, {', '.join(schema.REVISIONS)}"),
        (
            ("downgrade", "9999", "--url", "{url}"),
            f"name one of base, {', '.join(schema.REVISIONS)}",
        ),
        (("upgrade", "base", "--url", "{url}"), "agent-memory db downgrade base"),
        (("current", "--url", "{url}", "--path", "."), "give one of them"),
        (("downgrade", "base", "--url", "{read_only}"), "nothing is written"),
        (("upgrade", "--url", "{read_only}", "--table-prefix", "new"), "nothing is written"),
        (("current", "--url", "sqlite:///{project}/README.md"), "no SQLite database"),
    ],
)
def test_what_is_wrong_is_one_plain_line_and_changes_nothing(
    arguments: tuple[str, ...], reported: str, populated: Path
) -> None:
    before = all_in(populated)
    places = {
        "url": f"sqlite:///{populated}",
        "read_only": f"sqlite:///file:{populated}?mode=ro&uri=true",
        "project": PROJECT,
    }
    line = refused(*(argument.format(**places) for argument in arguments))
    assert reported in line
    assert "geheim" not in line
    assert all_in(populated) == before


def test_ini_serves_alembic_itself(populated: Path) -> None:
    settings = ("-c", said("ini").strip(), "-x", f"url=sqlite:///{populated}")
    done = subprocess.run(
        [sys.executable, "-m", "alembic", *settings, "current"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{schema.HEAD} (head)\n"


def test_the_commands_load_no_alembic_before_there_is_something_to_do(populated: Path) -> None:
    code = (
        "import sys; from agent_memory.cli.commands import app\n"
        "app(['db', 'current', '--url', sys.argv[1]], standalone_mode=False)\n"
        "print('alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"sqlite:///{populated}"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_the_commands_in_the_manual_do_what_it_says() -> None:
    commands = [
        line.partition("#")[0]
        for line in MANUAL.read_text().splitlines()
        if line.startswith("agent-memory db ") and "postgresql" not in line
    ]
    assert len(commands) >= 8
    for command in commands:
        said(*shlex.split(command)[2:])
