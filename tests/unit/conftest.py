"""Fixtures of whole memories on each engine for short-term and intermediate memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig
from tests import engines
from tests.memories import AGES, Clock, Opener


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=[*engines.REDIS_ENGINES, "tcp and postgresql"])
def memory_config(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The configuration of a memory on each engine, empty."""
    match request.param:
        case "fakeredis":
            return {"engine": "fake", "path": tmp_path}
        case "embedded" | "embedded+modules":
            search = request.param == "embedded+modules"
            if search:
                engines.require_modules()
            return {"engine": "embedded", "path": tmp_path / "memory", "search": search}
    port = request.getfixturevalue(
        "redis_port_with_modules" if request.param == "redis+modules" else "tcp_port"
    )
    engines.tcp_client(port).flushall()
    password = quote(engines.PASSWORD, safe="")
    config = {"redis_url": f"redis://:{password}@127.0.0.1:{port}", "path": tmp_path}
    if request.param == "tcp and postgresql":
        config["ltm_url"] = request.getfixturevalue("postgresql_database")
    return config


@pytest.fixture
def open_memory(memory_config: dict[str, Any], clock: Clock) -> Iterator[Opener]:
    """What opens the memory, any number of times; closed at the end."""
    systems: list[AgentMemorySystem] = []

    def open_with(**config: Any) -> AgentMemorySystem:
        systems.append(
            AgentMemorySystem(MemoryConfig(**memory_config, **(AGES | config)), clock=clock)
        )
        return systems[-1]

    yield open_with
    for system in systems:
        system.close()
