"""How fast entries are stored, beside a plain client on the same server."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import redis

from agent_memory import AgentMemorySystem
from benchmarks.beside import Prepare, figure, in_turn
from benchmarks.entries import new_entries, trader_states
from benchmarks.measuring import Figure, Work, compare
from benchmarks.plain_redis import memory_and_client, ready_hash, store_grouped, store_one

SINGLE = 2_000
BATCH = 1_000
BATCHES = 5


def figures() -> Iterator[Figure]:
    """Measure single and batched stores."""
    with memory_and_client() as (system, client, _):
        yield _single(system, client)
        yield _batched(system, client)
        unarmed = system.config.model_copy(update={"spool_max_bytes": 0})
        with AgentMemorySystem(unarmed) as bare:
            yield _armed(system, bare)


def by_processor(rounds: int) -> Iterator[Figure]:
    """Measure the same by the processor time of client and server."""
    with memory_and_client() as (system, client, _):
        yield figure(
            "single store_agent_state against a MULTI of redis-py, of ready bytes",
            in_turn(_single_ways(system, client), rounds, client),
            1 / 0.6,
            (1e-3 * SINGLE, "us each"),
        )
        yield figure(
            f"add_many of {BATCH:,} against a plain pipeline with grouped indexes",
            in_turn(_batched_ways(system, client), rounds, client),
            1 / 0.7,
            (1e-3 * BATCH * BATCHES, "us an entry"),
        )


def _single(system: AgentMemorySystem, client: redis.Redis) -> Figure:
    ways = _single_ways(system, client)
    ratio = compare(ways["ours"], ways["plain"])
    return Figure(
        "single store_agent_state against a plain MULTI of ready bytes",
        "0.60x or more",
        f"{ratio.median:.2f}x",
        ratio.median >= 0.6,
        f"{ratio.spread}; {ratio.our_seconds / SINGLE * 1e6:.0f} us each",
    )


def _single_ways(system: AgentMemorySystem, client: redis.Redis) -> dict[str, Prepare]:
    states = trader_states(SINGLE)
    agents = itertools.count()

    def ours() -> Work:
        return partial(_store_states, system, f"single{next(agents)}", states)

    def plain() -> Work:
        ready = [ready_hash(entry) for entry in new_entries(states, f"single{next(agents)}")]
        return partial(_store_each, client, ready)

    return {"ours": ours, "plain": plain}


def _armed(system: AgentMemorySystem, bare: AgentMemorySystem) -> Figure:
    states = trader_states(SINGLE)
    agents = itertools.count()

    def ours() -> Work:
        return partial(_store_states, system, f"armed{next(agents)}", states)

    def without() -> Work:
        return partial(_store_states, bare, f"bare{next(agents)}", states)

    ratio = compare(ours, without)
    return Figure(
        "single store_agent_state with the spool armed against without",
        "0.83x or more",
        f"{ratio.median:.2f}x",
        ratio.median >= 0.83,
        f"{ratio.spread}; {ratio.our_seconds / SINGLE * 1e6:.0f} us each",
    )


def _batched(system: AgentMemorySystem, client: redis.Redis) -> Figure:
    ways = _batched_ways(system, client)
    ratio = compare(ways["ours"], ways["plain"])
    return Figure(
        f"add_many of {BATCH:,} against a plain pipeline with grouped indexes",
        "0.70x or more",
        f"{ratio.median:.2f}x",
        ratio.median >= 0.7,
        f"{ratio.spread}; {ratio.our_seconds / BATCH / BATCHES * 1e6:.0f} us an entry",
    )


def _batched_ways(system: AgentMemorySystem, client: redis.Redis) -> dict[str, Prepare]:
    states = trader_states(BATCH)
    agents = itertools.count()

    def ours() -> Work:
        batches = [new_entries(states, f"batch{next(agents)}") for _ in range(BATCHES)]
        return lambda: [system.stm.add_many(batch) for batch in batches]

    def plain() -> Work:
        batches = [
            [ready_hash(entry) for entry in new_entries(states, f"batch{next(agents)}")]
            for _ in range(BATCHES)
        ]
        return partial(_store_batches, client, batches)

    return {"ours": ours, "plain": plain}


def _store_states(system: AgentMemorySystem, agent: str, states: list[dict[str, Any]]) -> None:
    for step, state in enumerate(states):
        system.store_agent_state(agent, state, step)


def _store_batches(client: redis.Redis, batches: list[list[dict[str, Any]]]) -> None:
    for batch in batches:
        store_grouped(client, batch)


def _store_each(client: redis.Redis, ready: list[dict[str, Any]]) -> None:
    for stored in ready:
        store_one(client, stored)
