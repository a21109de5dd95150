"""A server that tests stop and start, and a memory on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig
from tests import engines
from tests.faults.away import Ticks


@pytest.fixture
def server(tmp_path: Path) -> Iterator[engines.StoppableServer]:
    folder = tmp_path / "server"
    folder.mkdir()
    with engines.StoppableServer(
        folder, "enable-debug-command yes\nenable-protected-configs yes\n"
    ) as started:
        yield started


@pytest.fixture
def config(server: engines.StoppableServer, tmp_path: Path) -> MemoryConfig:
    return MemoryConfig(redis_url=server.url, path=tmp_path / "memory")


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def system(config: MemoryConfig, ticks: Ticks) -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(config) as opened:
        opened._resources.intake.pause.ticks = ticks
        yield opened
