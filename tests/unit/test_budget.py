"""``redis_max_bytes``: kept under load by moving entries down, and by losing none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from agent_memory import AgentMemorySystem, ConfigError, MemoryConfig, Query, StoreUnavailable
from agent_memory.budget import STORES_BETWEEN_LOOKS
from agent_memory.consolidation import Moves
from tests.memories import Clock, Opener, standing, store

AGENTS = [f"agent {number}" for number in range(40)]


def bounded(open_memory: Opener, room: int, **config: Any) -> AgentMemorySystem:
    """A memory that may take so many bytes beyond what its server holds when it is empty."""
    with open_memory(**config) as empty:
        store(empty, "first", 0)  # what every memory needs: scripts, the first keys
        empty.clear_all_memories()
        held = empty._resources.used_bytes()
    return open_memory(redis_max_bytes=held + room, **config)


def used(system: AgentMemorySystem) -> int:
    return system._resources.used_bytes()


def state(step: int) -> dict[str, Any]:
    return {"step": step, "mood": f"m{step % 2}"}


def load(system: AgentMemorySystem, clock: Clock, steps: range) -> Iterator[int]:
    """All agents store a state for each step; gives the bytes used after each step."""
    for step in steps:
        clock.now += 1
        for agent in AGENTS:
            store(system, agent, step)
        yield used(system)


def found_once(system: AgentMemorySystem, steps: int) -> None:
    standing(system, *AGENTS)
    for agent in AGENTS:
        hits = system.recall(Query(agent_id=agent), touch=False)
        assert [hit.entry.step_number for hit in hits] == list(range(steps))
        assert [hit.entry.contents for hit in hits] == [state(step) for step in range(steps)]


@contextmanager
def long_term_memory_away(system: AgentMemorySystem) -> Iterator[None]:
    """Let every statement in long-term memory fail."""

    def fail(*_: object) -> None:
        raise StoreUnavailable("long-term memory is away")

    event.listen(system.sql_engine, "before_cursor_execute", fail)
    yield
    event.remove(system.sql_engine, "before_cursor_execute", fail)


def test_no_bound_is_the_default_and_one_below_a_byte_is_refused() -> None:
    assert MemoryConfig().redis_max_bytes is None
    with pytest.raises(ConfigError, match="redis_max_bytes"):
        MemoryConfig(redis_max_bytes=0)


def test_a_load_of_many_agents_stays_within_the_bound_and_is_all_found_once(
    open_memory: Opener, clock: Clock
) -> None:
    system = bounded(open_memory, 1_000_000)
    bound = system.config.redis_max_bytes
    assert bound is not None
    most = max(load(system, clock, range(50)))
    # Between two looks it may grow by so many entries of 2.6 kB.
    assert most <= bound + STORES_BETWEEN_LOOKS * 8_000
    assert sum(system.moves.__getattribute__(way) for way in ("stm_to_im", "im_to_ltm")) > 500
    system.maintain()
    assert used(system) <= bound
    found_once(system, 50)
