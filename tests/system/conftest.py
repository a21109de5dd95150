"""A memory in a folder of its own, whose tiers are soon full."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig
from tests.system.small import SMALL


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "memory"


@pytest.fixture
def system(folder: Path) -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(MemoryConfig(path=folder, engine="embedded", **SMALL)) as opened:
        yield opened
