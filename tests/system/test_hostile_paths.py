"""Paths that no file can have here are refused by name, wherever they are given."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_memory import AgentMemorySystem, ConfigError, VectorStore, schema


def given_everywhere(path: str, folder: Path) -> dict[str, Callable[[], object]]:
    """Calls that take a path, by what it is given as."""
    memory = AgentMemorySystem({"engine": "fake", "path": folder})
    fake = {"engine": "fake", "path": folder}
    url = f"sqlite:///{path}"
    return {
        "path": lambda: AgentMemorySystem({"path": path}),
        "fake path": lambda: AgentMemorySystem({"engine": "fake", "path": path}),
        "open": lambda: AgentMemorySystem.open(path),
        "read-only": lambda: AgentMemorySystem.open(path, read_only=True),
        "ltm_url": lambda: AgentMemorySystem(fake | {"ltm_url": url}),
        "migration": lambda: schema.upgrade(url),
        "backup": lambda: memory.backup(path),
        "restore": lambda: AgentMemorySystem.restore(path, fake),
        "model": lambda: AgentMemorySystem(fake | {"autoencoder_config": {"model_path": path}}),
        "vectors": lambda: VectorStore(2).load(path),
    }


def refusals(path: str, folder: Path, *besides: str) -> dict[str, str]:
    """What each call says that refuses the path."""
    said = {}
    for name, call in given_everywhere(path, folder).items():
        if name not in besides:
            with pytest.raises(ConfigError) as refused:
                call()
            said[name] = str(refused.value)
    return said


def test_a_home_that_is_not_known_is_said(tmp_path: Path) -> None:
    # In a URL, and where a model or vectors are read, ~ is a letter.
    said = refusals("~no such user/memory", tmp_path, "ltm_url", "migration", "model", "vectors")
    assert all("set $HOME, or give an absolute path" in one for one in said.values()), said


def test_bytes_that_are_no_text_are_said(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")
    said = refusals(path, tmp_path, "model", "vectors")
    assert all("no UTF-8" in one and "ln -s" in one for one in said.values()), said
    assert all(one.isprintable() for one in said.values())


def test_a_current_folder_that_is_gone_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    here.rmdir()
    said = refusals("memory", tmp_path, "model", "vectors")
    assert all("the current folder is gone" in one for one in said.values()), said
    with pytest.raises(ConfigError, match="cannot be read"):
        VectorStore(2).load("vectors")
    monkeypatch.setenv("AGENT_MEMORY_PATH", "memory")
    with pytest.raises(ConfigError, match=r"\$AGENT_MEMORY_PATH: 'memory' is relative"):
        AgentMemorySystem()


def test_an_absolute_path_needs_no_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    here.rmdir()
    url = f"sqlite:///{tmp_path}/ltm.db"
    config = {"engine": "fake", "path": tmp_path, "ltm_url": url}
    with AgentMemorySystem(config) as memory:
        assert memory.store_agent_state("ant", {"step": 1}, 1)
        memory.backup(tmp_path / "ants.backup")
