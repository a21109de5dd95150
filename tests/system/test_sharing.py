"""What a process shares is given back by whoever collects it, who waits for nobody."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.connections.embedded.folder import is_leased
from agent_memory.system.opening import open_resources

_PATIENCE = 60.0  # seconds


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """An opening that another thread is in, and what lets it go on."""
    begun, goes_on = threading.Event(), threading.Event()

    def open_slowly(*args: Any, **options: Any) -> Any:
        begun.set()
        assert goes_on.wait(_PATIENCE)
        return open_resources(*args, **options)

    def start() -> threading.Thread:
        monkeypatch.setattr("agent_memory.system.sharing.open_resources", open_slowly)
        config = MemoryConfig(engine="fake", path=tmp_path / "slow")
        thread = threading.Thread(target=lambda: AgentMemorySystem(config).close())
        thread.start()
        assert begun.wait(_PATIENCE)
        return thread

    yield start, goes_on
    goes_on.set()


def test_whoever_collects_garbage_waits_for_no_opening(opening: Any, tmp_path: Path) -> None:
    start, goes_on = opening
    folder = tmp_path / "garbage"
    systems = [AgentMemorySystem(MemoryConfig(path=folder, search=False))]
    opens = start()

    def collect() -> None:
        systems.clear()
        gc.collect()

    collects = threading.Thread(target=collect)
    collects.start()
    collects.join(_PATIENCE)
    assert not collects.is_alive()
    assert is_leased(folder)
    goes_on.set()
    opens.join(_PATIENCE)
    assert not is_leased(folder)
