"""A step that is stored while short-term memory is away waits on disk, all of it or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig, Query, StoreUnavailable
from agent_memory.tiers.intake import LOOK_EVERY
from tests import engines
from tests.faults.away import Ticks, come_back

pytestmark = pytest.mark.faults


def opened(server: engines.StoppableServer, folder: Path, **more: Any) -> AgentMemorySystem:
    system = AgentMemorySystem(MemoryConfig(redis_url=server.url, path=folder / "memory", **more))
    system._resources.intake.pause.ticks = Ticks()
    return system


def herd(step: int) -> dict[str, dict[str, int]]:
    return {f"cow-{number}": {"step": step} for number in range(40)}


def waiting(system: AgentMemorySystem) -> int:
    spool = system.status.spool
    assert spool is not None
    return spool.entries


def test_steps_wait_in_their_order_and_are_stored_once(
    server: engines.StoppableServer, tmp_path: Path
) -> None:
    with opened(server, tmp_path) as system:
        assert system.store_step(0, herd(0))
        server.kill()
        for step in (1, 2):
            assert len(system.store_step(step, herd(step)).accepted) == 40
        assert waiting(system) == 80
        come_back(server, system)
        ticks: Any = system._resources.intake.pause.ticks
        ticks.now += LOOK_EVERY
        assert system.store_step(3, herd(3))
        assert waiting(system) == 0
        for agent in herd(0):
            hits = system.recall(Query(agent_id=agent))
            assert [hit.entry.contents["step"] for hit in hits] == [0, 1, 2, 3]


@pytest.mark.parametrize("on_store_error", ["log", "raise"])
def test_without_a_spool_no_agent_is_said_to_be_stored(
    server: engines.StoppableServer, tmp_path: Path, on_store_error: str
) -> None:
    with opened(server, tmp_path, on_store_error=on_store_error, spool_max_bytes=0) as system:
        assert system.store_step(0, herd(0))
        server.kill()
        if on_store_error == "raise":
            with pytest.raises(StoreUnavailable):
                system.store_step(1, herd(1))
        else:
            stored = system.store_step(1, herd(1))
            assert set(stored.refused) == set(herd(1))
            assert all(isinstance(why, StoreUnavailable) for why in stored.refused.values())
            assert stored.accepted == ()
    server.start()
    with opened(server, tmp_path) as system:
        assert system.store_step(1, herd(1))
        assert [len(system.recall(Query(agent_id=agent))) for agent in herd(1)] == [2] * 40
