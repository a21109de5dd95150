"""The alembic command itself, on the settings of a checkout."""

from __future__ import annotations

import configparser
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agent_memory.repositories.sql import schema
from tests import engines

PROJECT = Path(__file__).parents[2]
ASSET = Path(__file__).parent / "assets" / f"{schema.HEAD}.db"


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


def _alembic(
    clone: Path, *arguments: str, status: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if "AGENT_MEMORY" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=clone,
        env=inherited | environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stderr
    return done


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


@pytest.mark.parametrize(
    ("url", "reported"),
    [
        pytest.param("nonsense", "it must be a SQLAlchemy URL", marks=pytest.mark.long),
        ("postgresql+nodriver://me:geheim@host/db", "it must be a SQLAlchemy URL"),
        pytest.param(
            "sqlite:////proc/ltm.db", "check that the path exists", marks=pytest.mark.long
        ),
        pytest.param(
            "sqlite:///file:{asset}?mode=ro&uri=true",
            "says that nothing is written",
            marks=pytest.mark.long,
        ),
    ],
)
def test_what_is_wrong_with_a_url_is_one_plain_line(
    clone: Path, tmp_path: Path, url: str, reported: str
) -> None:
    asset = shutil.copy(ASSET, tmp_path / "ltm.db")
    arguments = ("-x", f"url={url.format(asset=asset)}", "-x", "table_prefix=new")
    failed = _alembic(clone, *arguments, "upgrade", "head", status=255)
    (line,) = failed.stdout.splitlines()
    assert line.startswith("FAILED: ")
    assert reported in line
    assert "Traceback" not in failed.stderr
    assert "geheim" not in failed.stdout + failed.stderr


@pytest.mark.parametrize(
    "command",
    engines.parameters([("upgrade", "head"), ("current",), ("check",)], [("upgrade", "head")]),
)
def test_a_revision_that_the_code_does_not_know_is_told_with_the_remedy(
    clone: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    path = Path(shutil.copy(ASSET, tmp_path / "ltm.db"))
    with sqlite3.connect(path) as beneath:
        beneath.execute("UPDATE agent_ltm_alembic_version SET version_num = '9999'")
    beneath.close()
    failed = _alembic(clone, "-x", f"url=sqlite:///{path}", *command, status=255)
    (line,) = failed.stdout.splitlines()
    assert "'9999'" in line
    assert "pip install --upgrade agent-memory" in line
    assert "Traceback" not in failed.stderr


@pytest.mark.long
def test_alembic_too_refuses_to_drop_entries_unless_told(clone: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(ASSET, tmp_path / "ltm.db"))
    database = ("-x", f"url=sqlite:///{path}")
    for target in ("base", f"-{len(schema.REVISIONS)}"):
        failed = _alembic(clone, *database, "downgrade", target, status=255)
        assert "-x delete_everything=yes" in failed.stdout
        assert _revision(path) == schema.HEAD
    _alembic(clone, *database, "-x", "delete_everything=yes", "downgrade", "base")
    with sqlite3.connect(path) as beneath:
        query = "SELECT count(*) FROM sqlite_master WHERE name = 'agent_ltm_entries'"
        assert beneath.execute(query).fetchone() == (0,)
    beneath.close()


@pytest.mark.long
def test_a_prefix_that_begins_another_is_checked_by_itself(clone: Path, tmp_path: Path) -> None:
    database = ("-x", f"url=sqlite:///{tmp_path}/ltm.db")
    for prefix in ("a", "a_b"):
        _alembic(clone, *database, "-x", f"table_prefix={prefix}", "upgrade", "head")
    _alembic(clone, *database, "-x", "table_prefix=a", "check")


def test_the_settings_of_a_wheel_are_those_of_a_checkout() -> None:
    checkout, wheel = (configparser.RawConfigParser(), configparser.RawConfigParser())
    checkout.read(PROJECT / "alembic.ini")
    wheel.read(PROJECT / "migrations" / "alembic.ini")
    assert wheel["alembic"].pop("script_location") == "%(here)s"
    assert checkout["alembic"].pop("script_location") == "%(here)s/migrations"
    # In a wheel this would be the package's own folder, whose modules would hide others.
    assert checkout["alembic"].pop("prepend_sys_path") == "%(here)s"
    assert {name: dict(wheel[name]) for name in wheel} == {
        name: dict(checkout[name]) for name in checkout
    }
