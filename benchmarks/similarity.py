"""How long it takes to find what is alike, on a server without a query engine."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from agent_memory import AgentMemorySystem, MemoryConfig, MemoryEntry, Query
from agent_memory.embeddings.version_zero import VersionZero
from agent_memory.repositories.base import MemoryRepository
from benchmarks.entries import new_entries, trader_states
from benchmarks.measuring import Figure, Work, in_own_process, many_seconds, tell

ASKED = 300
FOUND = 10


def figures() -> Iterator[Figure]:
    """Measure in a process of its own."""
    return in_own_process("benchmarks.similarity")


class Beside:
    """A probe of one vector."""

    def __init__(self, vector: NDArray[np.float32]) -> None:
        self._vector = vector

    def at(self, version: int | None, width: int) -> NDArray[np.float32] | None:
        return self._vector if (version, width) == (0, len(self._vector)) else None

    def lead(self, _version: int | None, _width: int) -> float:
        return 0.0


def _measured() -> Iterator[Figure]:
    with TemporaryDirectory() as folder:
        limits = {"stm_config": {"memory_limit": 20_000}, "im_config": {"memory_limit": 20_000}}
        config = MemoryConfig(path=Path(folder), engine="embedded", search=False, **limits)
        # Another process, as far as the reader's cache can tell.
        other = MemoryConfig(**{**dict(config), "vector_cache_bytes": 1})
        with AgentMemorySystem(config) as reader, AgentMemorySystem(other) as writer:
            yield from _nearest("short-term", reader.stm, writer.stm, 1_000, 384, 0.4)
            yield from _nearest("intermediate", reader.im, writer.im, 10_000, 128, 0.8)
        yield _recall(Path(folder) / "whole")


def _nearest(
    name: str,
    reader: MemoryRepository,
    writer: MemoryRepository,
    count: int,
    width: int,
    target: float,
) -> Iterator[Figure]:
    """Ten entries with their contents, when nothing changed, and just after a foreign write."""
    encoder = VersionZero()
    entries = [_carried(encoder, entry, width) for entry in new_entries(trader_states(count), name)]
    writer.add_many(entries)
    query = Query(run_id=entries[0].run_id, agent_id=name, limit=FOUND)
    probes = [Beside(encoder.carry(encoder.encode_one(entry.contents), width))
              for entry in entries[:: count // 20]]  # fmt: skip

    def ask(probe: Beside) -> Work:
        return lambda: len(reader.nearest(query, probe)) == FOUND or sys.exit("too few were found")

    asked = [ask(probes[number % len(probes)]) for number in range(ASKED)]
    asked[0]()
    quiet = many_seconds(asked)
    yield _figure(f"top {FOUND} with contents of {count:,} in {name} memory", quiet, target)
    changes = iter(entries)
    after = many_seconds(asked, between=lambda: writer.reembed([next(changes)]))
    yield _figure("the same just after a write of another process", after, 3 * target)


def _carried(encoder: VersionZero, entry: MemoryEntry, width: int) -> MemoryEntry:
    vector = encoder.carry(encoder.encode_one(entry.contents), width)
    return replace(entry, embedding=vector, encoder_version=0)


def _figure(name: str, seconds: list[float], target: float) -> Figure:
    times = [1e3 * second for second in seconds]
    median = statistics.median(times)
    spread = statistics.quantiles(times, n=10)
    return Figure(
        name,
        f"{target:.1f} ms or less",
        f"{median:.2f} ms",
        median <= target,
        f"{spread[0]:.2f} to {spread[-1]:.2f} ms for four fifths",
    )


def _recall(folder: Path) -> Figure:
    """One question to all three tiers, ranked by features."""
    config = MemoryConfig(
        path=folder,
        engine="embedded",
        search=False,
        stm_config={"memory_limit": 1_000},
        im_config={"memory_limit": 3_000},
        cleanup_interval=1_000,
    )
    states = trader_states(5_000)
    with AgentMemorySystem(config) as memory:
        for step, state in enumerate(states):
            memory.store_agent_state("trader", state, step)
        memory.maintain()
        query = Query(agent_id="trader", limit=FOUND)
        asked = [partial(memory.recall, query, near=state) for state in states[::50]]
        asked[0]()
        median = 1e3 * statistics.median(many_seconds(asked))
    return Figure(
        "recall near a state over 1,000 + 3,000 + 1,000 entries in three tiers",
        "none",
        f"{median:.1f} ms",
        True,
        "ranked by features, some 280 candidates read",
    )


if __name__ == "__main__":
    tell(_measured())
