"""Machines of one memory whose clocks are hours apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig, Query
from agent_memory.repositories.moves import token_at
from agent_memory.tiers.moving import move
from tests import engines
from tests.memories import remembered, store, tier_counts

SHARED = [name for name in engines.MEMORY_ENGINES if name != "fakeredis"]
LIMITS: dict[str, Any] = {"stm_config": {"memory_limit": 2}, "im_config": {"memory_limit": 2}}


def clock_that_is(wrong: float) -> Callable[[], float]:
    return lambda: time.time() + wrong


@pytest.fixture(
    params=[(0.0, 5_000.0), (5_000.0, 0.0), (-40_000.0, 40_000.0)], ids=["behind", "ahead", "far"]
)
def machines(
    request: pytest.FixtureRequest, memory_config: dict[str, Any]
) -> Iterator[tuple[AgentMemorySystem, ...]]:
    """Two machines: who forgets, and who moves."""
    config = MemoryConfig(**memory_config, **LIMITS)
    with ExitStack() as opened:
        yield tuple(
            opened.enter_context(
                AgentMemorySystem(config, upkeep=False, clock=clock_that_is(wrong))
            )
            for wrong in request.param
        )


@pytest.mark.parametrize(
    "memory_config", engines.parameters(SHARED, ("tcp and postgresql",)), indirect=True
)
def test_machines_whose_clocks_are_wrong_lose_and_double_nothing(
    machines: tuple[AgentMemorySystem, ...],
) -> None:
    one, other = machines
    store(one, "ant", *range(4))
    store(other, "ant", *range(4, 8))
    other.maintain()
    assert tier_counts(one, "ant") == (2, 2, 4)
    # A move that is in flight while the agent is forgotten elsewhere brings nothing back...
    moment, in_flight = other.ltm.moment(), other.im.find(Query(run_id="default", agent_id="ant"))
    one.forget("ant")
    move(other.im, other.ltm, in_flight, moment)
    assert remembered(other, "ant") == []
    # ...and what is stored afterwards moves at once, on either machine.
    store(one, "ant", *range(6))
    other.maintain()
    assert tier_counts(other, "ant") == (2, 2, 2)
    store(other, "ant", 6, 7)
    one.maintain()
    assert tier_counts(one, "ant") == (2, 2, 4)
    assert remembered(one, "ant") == [*range(8)]


@pytest.mark.parametrize(
    "memory_config", engines.parameters(SHARED, ("tcp and postgresql",)), indirect=True
)
def test_a_move_that_is_under_way_elsewhere_is_not_taken_for_one_that_was_broken_off(
    machines: tuple[AgentMemorySystem, ...],
) -> None:
    one, other = machines
    with one.im.moves.noted([("default", "ant")]):
        other.maintain()
        assert [move.agents for move in other.im.moves.open()] == [(("default", "ant"),)]
    assert other.im.moves.open() == []


@pytest.mark.parametrize(
    "memory_config", engines.parameters(SHARED, ("tcp and postgresql",)), indirect=True
)
def test_a_count_whose_answer_was_lost_is_made_once_beside_a_clock_that_is_a_year_ahead(
    memory_config: dict[str, Any],
) -> None:
    year = 365 * 86_400.0
    config = MemoryConfig(**memory_config)
    with (
        AgentMemorySystem(config) as one,
        AgentMemorySystem(config, upkeep=False, clock=clock_that_is(year)) as other,
    ):
        store(one, "ant", 0)
        ((key, at),) = [
            (hit.entry.key, hit.entry.timestamp)
            for hit in one.recall(Query(agent_id="ant"), touch=False)
        ]
        token = token_at(time.time())
        one.stm.touch({key: 1}, at, token)
        other.stm.touch({key: 1}, at, token_at(time.time() + year))
        one.stm.touch({key: 1}, at, token)  # again, as if its answer was lost
        assert one.stm.get(key).retrieval_count == 2
