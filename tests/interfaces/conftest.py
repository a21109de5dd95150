"""Memories that hooked agents record into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig
from tests.interfaces.hooked import FAKE


@pytest.fixture
def memory() -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(FAKE) as system:
        yield system


@pytest.fixture(params=["fake", "embedded"])
def any_memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AgentMemorySystem]:
    config = FAKE if request.param == "fake" else MemoryConfig(engine="embedded", path=tmp_path)
    with AgentMemorySystem(config) as system:
        yield system
