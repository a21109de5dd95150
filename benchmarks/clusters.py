"""Times stores on a local Redis Cluster of three servers beside the same on one: interleaved.

Run from a checkout: python -m benchmarks.clusters
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import redis

from agent_memory import AgentMemorySystem, MemoryConfig
from tests.clusters import LocalCluster
from tests.engines import StoppableServer, tcp_client

ROUNDS = 21
AGENTS = [f"ant{number}" for number in range(1_000)]
SINGLE = 200


class Took(NamedTuple):
    """Seconds by the clock, and of the processor: this process, the servers, both."""

    wall: float
    client: float
    servers: float

    @property
    def processor(self) -> float:
        """Of this process and the servers."""
        return self.client + self.servers


def main() -> None:
    """Print the ratios of the two, by quartiles over rounds."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        for name in ("cluster", "server"):
            (folder / name).mkdir()
        cluster = opened.enter_context(LocalCluster(folder / "cluster"))
        server = opened.enter_context(StoppableServer(folder / "server"))
        sides = [
            [opened.enter_context(closing(tcp_client(one.port))) for one in some]
            for some in (cluster.primaries, [server])
        ]
        for client in chain(*sides):
            client.config_set("appendfsync", "everysec")
        memories = [
            opened.enter_context(
                AgentMemorySystem(
                    MemoryConfig(redis_url=url, path=folder / f"m{place}", on_store_error="raise"),
                    upkeep=False,
                )
            )
            for place, url in enumerate((cluster.url, server.url))
        ]
        for what, work in (("store_step of 1,000", _step), ("200 single stores", _single)):
            # The first round opens connections and loads scripts.
            rounds = [
                [_timed(work, *one, step) for one in zip(memories, sides, strict=True)]
                for step in range(ROUNDS)
            ]
            for kind in (*Took._fields, "processor"):
                ratios = [getattr(ours, kind) / getattr(one, kind) for ours, one in rounds[1:]]
                quartiles = ", ".join(f"{at:.2f}" for at in statistics.quantiles(ratios, n=4))
                print(f"{what}, {kind}: {quartiles} times one server's")
    print(f"load {os.getloadavg()[0]:.1f}")


def _timed(
    work: Callable[[AgentMemorySystem, int], None],
    memory: AgentMemorySystem,
    servers: Sequence[redis.Redis],
    step: int,
) -> Took:
    before = _used(servers)
    wall, processor = time.perf_counter(), time.process_time()
    work(memory, step)
    took = time.perf_counter() - wall, time.process_time() - processor
    return Took(*took, _used(servers) - before)


def _used(servers: Sequence[redis.Redis]) -> float:
    """How many seconds of the processor servers have used."""
    about = [server.info("cpu") for server in servers]
    return sum(float(one["used_cpu_user"]) + float(one["used_cpu_sys"]) for one in about)


def _step(memory: AgentMemorySystem, step: int) -> None:
    memory.store_step(step, {agent: {"x": 1.5 * step, "food": 3} for agent in AGENTS})


def _single(memory: AgentMemorySystem, step: int) -> None:
    for number in range(SINGLE):
        memory.store_agent_state(f"bee{number % 20}", {"x": number, "food": step}, step)


if __name__ == "__main__":
    main()
