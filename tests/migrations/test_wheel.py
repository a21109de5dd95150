"""What is in a wheel: the revisions, and commands that need no checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from agent_memory.connections.sql import open_engine
from agent_memory.repositories.sql import schema
from tests.migrations.listing import listing

pytest.importorskip("hatchling", reason="builds the wheel; comes with the dev extra")

PROJECT = Path(__file__).parents[2]
ASSET = Path(__file__).parent / "assets" / f"{schema.HEAD}.db"


_ALONE = ("--quiet", "--no-deps", "--no-index", "--no-compile")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=PROJECT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel alone; what it depends on is that of the running environment."""
    folder = tmp_path_factory.mktemp("site-packages")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *_ALONE, "--target", folder, wheel],
        check=True,
        capture_output=True,
    )
    return folder


def _run(installed: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if "AGENT_MEMORY" not in name}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(installed)},
        check=False,
        capture_output=True,
        text=True,
    )


def _db(installed: Path, folder: Path, *arguments: str, status: int = 0) -> str:
    script = installed / "bin" / "agent-memory"
    done = _run(installed, folder, str(script), "db", *arguments)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_wheel_carries_every_revision_and_no_test(wheel: Path) -> None:
    held = ZipFile(wheel).namelist()
    carried = {name for name in held if name.startswith("agent_memory/migrations/")}
    assert carried == {
        f"agent_memory/{path.relative_to(PROJECT)}"
        for path in (PROJECT / "migrations").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {name.split("/")[0].partition("-")[0] for name in held} == {"agent_memory"}


@pytest.mark.long
def test_the_commands_of_a_wheel_serve_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    assert f"'{schema.HEAD}' is needed" in _db_refuses_an_empty_database(installed, tmp_path)
    assert "(up to date)" in _db(installed, tmp_path, "upgrade")
    assert "up to date" in _db(installed, tmp_path, "check")
    assert "no revision" in _db(installed, tmp_path, "downgrade", "base")


def _db_refuses_an_empty_database(installed: Path, folder: Path) -> str:
    (folder / "agent_memory_data").mkdir()
    (folder / "agent_memory_data" / "agent_memory.db").touch()
    refusal = _db(installed, folder, "check", status=2)
    # There is no checkout to point to, and the command line is there.
    assert "with: agent-memory db upgrade --url sqlite:///" in refusal
    return refusal


@pytest.mark.long
def test_the_commands_of_a_wheel_lose_nothing_of_a_populated_database(
    installed: Path, tmp_path: Path
) -> None:
    path = shutil.copy(ASSET, tmp_path / "ltm.db")
    url = f"sqlite:///{path}"
    for arguments in (("upgrade",), ("downgrade", "0001"), ("upgrade",), ("check",)):
        _db(installed, tmp_path, *arguments, "--url", url)
    engine = open_engine(url)
    assert listing(engine) == ASSET.with_suffix(".jsonl").read_text().splitlines()
    engine.dispose()


@pytest.mark.long
def test_alembic_itself_runs_on_the_settings_in_a_wheel(installed: Path, tmp_path: Path) -> None:
    settings = _db(installed, tmp_path, "ini").strip()
    assert Path(settings).is_relative_to(installed)
    url = f"url=sqlite:///{tmp_path}/ltm.db"
    said = []
    for command in (("upgrade", "head"), ("check",), ("current",)):
        done = _run(installed, tmp_path, "-m", "alembic", "-c", settings, "-x", url, *command)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert said[-1] == f"{schema.HEAD} (head)\n"


def test_a_wheel_without_the_command_line_names_a_command_of_alembic(
    installed: Path, tmp_path: Path
) -> None:
    code = (
        "import sys; sys.modules['typer'] = None\n"
        "from agent_memory import schema\n"
        "print(schema.upgrade_command('sqlite:///ltm.db'))"
    )
    command = _run(installed, tmp_path, "-c", code).stdout.split()
    assert command[:2] == ["alembic", "-c"]
    assert Path(command[2]).is_relative_to(installed)
    assert _run(installed, tmp_path, "-m", *command).returncode == 0
    assert (tmp_path / "ltm.db").is_file()
