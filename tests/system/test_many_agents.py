"""Upkeep of many agents costs requests for the batches they come in, not for each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event

from agent_memory import AgentMemorySystem
from agent_memory.testing import an_entry
from agent_memory.tiers.consolidation import Moves
from tests import engines
from tests.memories import DAY, YEAR, Clock, Opener

# Requests are the same wherever they go to.
pytestmark = engines.usually_on("embedded", "tcp and postgresql")


class Counts:
    """How many requests the server got, and how many transactions long-term memory committed."""

    requests = 0
    transactions = 0


def counts_of(
    system: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]
) -> Counts:
    counts = Counts()

    def committed(_: object) -> None:
        counts.transactions += 1

    with monkeypatch.context() as patched:
        for channel in system._resources.connections.channels:
            patched.setattr(channel, "_send_and_read", _counted(channel._send_and_read, counts))
        event.listen(system.sql_engine, "commit", committed)
        work()
        event.remove(system.sql_engine, "commit", committed)
    return counts


def _counted(send: Callable[..., Any], counts: Counts) -> Callable[..., Any]:
    def sent(*args: Any) -> Any:
        # A connection that was idle is tried first: how often goes by the clock, not by agents.
        counts.requests += [*args[0]] != [("PING",)]
        return send(*args)

    return sent


def filled(system: AgentMemorySystem, agents: int, timestamp: float) -> None:
    system.stm.add_many(
        [
            an_entry(run_id="default", agent_id=f"agent {number}", timestamp=timestamp)
            for number in range(agents)
        ]
    )


def test_upkeep_of_idle_agents_costs_the_same_requests_however_many_they_are(
    open_memory: Opener, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = []
    for agents in (10, 1_000):
        system = open_memory(stm_config={"max_age_steps": 5})
        filled(system, agents, clock.now)
        system.maintain()  # which loads the scripts
        counts = counts_of(system, monkeypatch, system.maintain)
        assert counts.transactions == 0
        requests.append(counts.requests)
        system.clear_all_memories()
        system.close()
    assert requests[0] == requests[1] <= 20


def test_entries_of_many_agents_move_together(
    open_memory: Opener, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = open_memory()
    filled(system, 1_000, clock.now)
    clock.now += DAY + 1
    counts = counts_of(system, monkeypatch, system.maintain)
    assert system.moves == Moves(stm_to_im=1_000)
    assert counts.requests <= 30
    clock.now += YEAR
    counts = counts_of(system, monkeypatch, system.maintain)
    assert system.moves == Moves(stm_to_im=1_000, im_to_ltm=1_000)
    # A thousand (batch_size) in a transaction, with its note, its deletion, and the end of it.
    assert counts.transactions == 1
    assert counts.requests <= 30 + 4


def test_many_agents_are_forgotten_together(
    open_memory: Opener, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = open_memory()
    filled(system, 1_000, clock.now)
    counts = counts_of(system, monkeypatch, system.clear_all_memories)
    assert sum(reported.all_entries for reported in system.statistics().values()) == 0
    # A hundred agents at once.
    assert counts.requests <= 10 * 4 + 10
    assert counts.transactions <= 10 * 4 + 2
