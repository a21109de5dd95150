"""Memories with a spool, and what puts entries there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from agent_memory import AgentMemorySystem, MemoryEntry, MemoryType
from agent_memory.tiers.spool import Spool, spool_of
from tests import engines

# Where there is a spool: not in a memory that is in this process alone.
SPOOLING = [name for name in engines.MEMORY_ENGINES if name != "fakeredis"]
on_every_engine = pytest.mark.parametrize(
    "memory_config",
    engines.parameters(SPOOLING, ("embedded", "tcp and postgresql")),
    indirect=True,
)
on_embedded = pytest.mark.parametrize("memory_config", ["embedded"], indirect=True)


@contextlib.contextmanager
def full(system: AgentMemorySystem) -> Iterator[None]:
    """The server of a memory answers, and takes no writes."""
    client = system._resources.connections.stm.client
    client.config_set("maxmemory", 1)
    try:
        yield
    finally:
        client.config_set("maxmemory", 0)


def far_spool(system: AgentMemorySystem) -> Spool:
    """The same spool, as another process has it open."""
    opened = system._resources
    spool = spool_of(opened.config, opened.connections.deployment, opened.identity.id)
    assert spool is not None
    return spool


def an_entry_of(system: AgentMemorySystem, step: int, agent: str = "ant") -> MemoryEntry:
    data = {"step": step, "mood": f"m{step % 2}"}
    return system._resources.new_entries.of_data(
        system.config.run_id, agent, MemoryType.STATE, data, step, 1.0
    )
