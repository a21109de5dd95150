"""A library that is newer than any that was tried is used, and named where something fails."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

import gymnasium as gym
import pytest
from typer.testing import CliRunner

from agent_memory import AgentMemorySystem
from agent_memory.cli.commands import app
from agent_memory.errors import ConfigError
from agent_memory.integrations.extras import explained
from agent_memory.integrations.gymnasium import RememberEpisodes
from agent_memory.integrations.mesa import MemoryCollector
from agent_memory.values.tried import TRIED, installed_version, newer_than_tried, numbers_of


@pytest.fixture
def memory() -> Any:
    with AgentMemorySystem({"engine": "fake"}) as opened:
        opened.store_agent_state("ant", {"food": 1.0}, 0)
        yield opened


@pytest.fixture
def from_the_future(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every library is of a release that nobody has tried."""
    real = importlib.metadata.version
    monkeypatch.setattr(
        "agent_memory.values.tried.version",
        lambda package: "99.1.0" if package in TRIED else real(package),
    )


def notes_of(error: BaseException) -> str:
    return " ".join(getattr(error, "__notes__", ()))


@pytest.mark.parametrize("package", TRIED)
def test_what_is_installed_here_was_tried(package: str) -> None:
    found = installed_version(package)
    assert found is None or numbers_of(found)[:2] <= numbers_of(TRIED[package])[:2], (
        f"once the tests pass with {package} {found}, raise it in agent_memory/values/tried.py"
    )
    assert newer_than_tried(package) is None


@pytest.mark.parametrize(
    ("found", "newer"),
    [("3.5.9", False), ("3.4", False), ("3.6.0rc1", True), ("4.0", True), ("3.10.1+cpu", True)],
)
def test_a_patch_is_not_newer_and_a_minor_release_is(
    monkeypatch: pytest.MonkeyPatch, found: str, newer: bool
) -> None:
    monkeypatch.setattr("agent_memory.values.tried.version", lambda _: found)
    said = newer_than_tried("mesa")
    assert (said is not None) == newer
    if newer:
        assert f"mesa {found} is newer" in str(said)
        assert "pip install 'mesa<3.6'" in str(said)


@pytest.mark.usefixtures("from_the_future")
def test_an_error_in_a_newer_library_names_it_once_and_stays_what_it_is(
    memory: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(*_: object, **__: object) -> None:
        raise TypeError("to_pandas() got an unexpected keyword argument")

    assert len(memory.to_pandas()) == 1  # works: nothing is said
    in_pandas = FunctionType(changed.__code__, {"__name__": "pandas.core.frame"})
    monkeypatch.setattr("agent_memory.system.frames.conversions.to_pandas", in_pandas)
    with pytest.raises(TypeError, match="unexpected keyword") as failed:
        memory.to_pandas()
    assert notes_of(failed.value).count("pandas 99.1.0 is newer") == 1
    assert "pip install 'pandas<3.2'" in notes_of(failed.value)
    with pytest.raises(ConfigError, match="neither steps nor time") as unreadable:
        MemoryCollector(SimpleNamespace(agents=[]), memory).collect()
    assert "mesa 99.1.0" in notes_of(unreadable.value)
    with pytest.raises(ConfigError, match="neither steps nor time") as again:
        MemoryCollector(SimpleNamespace(agents=[]), memory, run="again").collect()
    assert notes_of(again.value).count("mesa 99.1.0") == 1
    import_error = explained(ImportError("cannot import name 'X'"), "gymnasium", "gymnasium")
    assert "gymnasium 99.1.0 that is installed" in str(import_error)
    assert "pip install 'gymnasium<1.5'" in str(import_error)
    assert "--upgrade" not in str(import_error)


class Broken(gym.Env[int, int]):
    """An environment with a fault of its own."""

    observation_space = gym.spaces.Discrete(2)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return 0, {}

    def step(self, action: int) -> Any:
        raise ZeroDivisionError("of the user's own")


@pytest.mark.usefixtures("from_the_future")
def test_an_error_of_the_users_own_code_blames_no_library(memory: AgentMemorySystem) -> None:
    env = RememberEpisodes(Broken(), memory, agent_id="ant")
    env.reset()
    with pytest.raises(ZeroDivisionError) as failed:
        env.step(0)
    assert notes_of(failed.value) == ""


def test_an_error_with_a_library_that_was_tried_has_no_note(memory: AgentMemorySystem) -> None:
    with pytest.raises(ConfigError) as failed:
        MemoryCollector(SimpleNamespace(agents=[]), memory).collect()
    assert notes_of(failed.value) == ""


@pytest.mark.usefixtures("from_the_future")
def test_the_doctor_names_what_is_newer_and_stays_content(tmp_path: Path) -> None:
    asked = CliRunner().invoke(app, ["doctor", "--path", str(tmp_path / "new")])
    assert asked.exit_code == 0
    for package in TRIED:
        assert f"note  {package}: {package} 99.1.0 is newer than any" in asked.stdout


def test_the_doctor_lists_what_every_memory_stands_on(tmp_path: Path) -> None:
    asked = CliRunner().invoke(app, ["doctor", "--path", str(tmp_path / "new")])
    assert f"packages: alembic {installed_version('alembic')}, numpy " in asked.stdout
    assert "newer than any" not in asked.stdout
