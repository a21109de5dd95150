"""How long it takes to find similar memories on a server without a query engine."""

from __future__ import annotations

import itertools
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import redis
from numpy.typing import NDArray

from agent_memory import AgentMemorySystem, MemoryConfig, MemoryEntry, Query
from agent_memory.connections.embedded.server import EmbeddedServer
from agent_memory.embeddings.version_zero import VersionZero
from agent_memory.models.redis import agent_prefix
from agent_memory.repositories.contract import MemoryRepository
from benchmarks.entries import new_entries, trader_states
from benchmarks.measuring import Figure, Work, alternately, in_own_process, many_seconds, tell
from benchmarks.plain_redis import PlainNearest

ASKED = 300
WARMING = 20
FOUND = 10


class Size(NamedTuple):
    """A tier to be asked, and the time that is allowed.

    Attributes:
        namespace: What its keys begin with.
        entries: Entries in it.
        width: Numbers in their vectors.
        target: What a question may take, in milliseconds ...
        plain: ... where the plain way takes this: so long it took on the machine where the
            target was set.
    """

    namespace: str
    entries: int
    width: int
    target: float
    plain: float


STM = Size("agent_memory:stm", 1_000, 384, 0.4, 0.20)
IM = Size("agent_memory:im", 10_000, 128, 0.8, 0.37)


def figures() -> Iterator[Figure]:
    """Measure in a process of its own."""
    return in_own_process("benchmarks.similarity")


class Beside:
    """A probe of one vector."""

    def __init__(self, vector: NDArray[np.float32]) -> None:
        self._vector = vector

    def at(self, version: int | None, width: int) -> NDArray[np.float32] | None:
        return self._vector if (version, width) == (0, len(self._vector)) else None

    def bias(self, _version: int | None, _width: int) -> float:
        return 0.0


def _measured() -> Iterator[Figure]:
    with TemporaryDirectory() as folder:
        limits = {"stm_config": {"memory_limit": 20_000}, "im_config": {"memory_limit": 20_000}}
        config = MemoryConfig(path=Path(folder), engine="embedded", search=False, **limits)
        # Another process, as far as the reader's cache can tell.
        other = MemoryConfig(**{**dict(config), "vector_cache_bytes": 1})
        with (
            AgentMemorySystem(config) as reader,
            AgentMemorySystem(other) as writer,
            EmbeddedServer.open(Path(folder)) as server,
            redis.Redis(unix_socket_path=server.socket_path, protocol=2) as client,
        ):
            yield from _nearest("short-term", reader.stm, writer.stm, client, STM)
            yield from _nearest("intermediate", reader.im, writer.im, client, IM)
        yield _recall(Path(folder) / "whole")


def _nearest(
    name: str,
    reader: MemoryRepository,
    writer: MemoryRepository,
    client: redis.Redis,
    size: Size,
) -> Iterator[Figure]:
    """Ten entries with their contents, when nothing changed, and just after a foreign write."""
    encoder = VersionZero()
    entries = [
        _carried(encoder, entry, size.width)
        for entry in new_entries(trader_states(size.entries), name)
    ]
    writer.add_many(entries)
    query = Query(run_id=entries[0].run_id, agent_id=name, limit=FOUND)
    prefix = agent_prefix(size.namespace, entries[0].run_id, name)
    plain = PlainNearest(client, prefix, entries, FOUND)
    vectors = [
        encoder.carry(encoder.encode_one(entry.contents), size.width)
        for entry in entries[:: size.entries // 20]
    ]
    changes = itertools.cycle(entries)

    def ours(vector: NDArray[np.float32]) -> Work:
        probe = Beside(vector)
        return lambda: len(reader.nearest(query, probe)) == FOUND or sys.exit("too few were found")

    def theirs(vector: NDArray[np.float32]) -> Work:
        return lambda: len(plain.ask(vector)) == FOUND or sys.exit("too few were found")

    few = [(ours(vector), theirs(vector)) for vector in vectors]
    asked = list(itertools.islice(itertools.cycle(few), WARMING + ASKED))
    what = f"top {FOUND} with contents of {size.entries:,} in {name} memory"
    yield _figure(what, alternately(asked)[WARMING:], size.target, size.plain)
    after = alternately(asked, lambda: writer.encodings.reembed([next(changes)]))[WARMING:]
    what = "the same just after a write of another process"
    yield _figure(what, after, 3 * size.target, size.plain)


def _carried(encoder: VersionZero, entry: MemoryEntry, width: int) -> MemoryEntry:
    vector = encoder.carry(encoder.encode_one(entry.contents), width)
    return replace(entry, embedding=vector, encoder_version=0)


def _figure(name: str, pairs: Sequence[tuple[float, float]], target: float, plain: float) -> Figure:
    """What our way takes, against what it may where the plain way takes as long as it did once."""
    ratios = [mine / theirs for mine, theirs in pairs]
    median, spread = statistics.median(ratios), statistics.quantiles(ratios, n=10)
    mine, theirs = (1e3 * statistics.median(times) for times in zip(*pairs, strict=True))
    allowed = target / plain
    return Figure(
        f"{name}, against NumPy, redis-py's pipeline and MessagePack",
        f"{allowed:.1f}x the time ({target:.1f} ms where that takes {plain:.2f})",
        f"{median:.2f}x the time",
        median <= allowed,
        f"{spread[0]:.2f} to {spread[-1]:.2f} for four fifths; {mine:.2f} ms against {theirs:.2f}",
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
