"""What it costs a Mesa model to remember every agent at every step, beside a plain pipeline.

``WolfSheep`` of Mesa's examples has some 460 agents. After each step the collector and the pipeline
take their turns, so that both see the same agents and the same machine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import redis

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.connections.embedded.server import EmbeddedServer
from agent_memory.integrations.mesa import MemoryCollector
from benchmarks.measuring import Figure

STEPS = 50
TARGET = 1.5

_PLAIN = (int, float, str, bool, type(None))


def figures() -> Iterator[Figure]:
    """Measure the collector beside a pipeline of JSON, and beside the model alone."""
    with TemporaryDirectory() as folder:
        config = MemoryConfig(path=Path(folder), engine="embedded", search=False)
        with AgentMemorySystem(config) as memory, EmbeddedServer.open(Path(folder)) as server:
            client = redis.Redis(unix_socket_path=server.socket_path)
            alone, plain, ours, agents = _measured(memory, client)
            client.close()
    ratios = [mine / theirs for mine, theirs in zip(ours, plain, strict=True)]
    low, middle, high = quantiles(ratios, n=4)
    yield Figure(
        f"MemoryCollector, WolfSheep of {agents} agents, against HSETs of their JSON in a pipeline",
        f"{TARGET}x its time or less",
        f"{middle:.2f}x",
        middle <= TARGET,
        f"quartiles {low:.2f} and {high:.2f}; {median(ours) * 1e3:.1f} ms a step, the pipeline "
        f"{median(plain) * 1e3:.1f} ms, the model itself {median(alone) * 1e3:.1f} ms",
    )


def _measured(
    memory: AgentMemorySystem, client: redis.Redis
) -> tuple[list[float], list[float], list[float], int]:
    """Seconds of each step of the model, the pipeline and the collector; how many agents."""
    # Mesa is no dependency of the other benchmarks.
    from mesa.examples.advanced.wolf_sheep.model import WolfSheep  # noqa: PLC0415
    from mesa.experimental.devs import ABMSimulator  # noqa: PLC0415

    model = WolfSheep(seed=1, simulator=ABMSimulator())
    collector = MemoryCollector(model, memory)
    alone: list[float] = []
    plain: list[float] = []
    ours: list[float] = []
    counts: list[int] = []
    for step in range(STEPS + 3):
        alone.append(_seconds(model.step))
        turns: list[tuple[list[float], Callable[[], object]]] = [
            (plain, partial(_pipeline, client, model, step)),
            (ours, collector.collect),
        ]
        for times, work in turns if step % 2 else reversed(turns):
            times.append(_seconds(work))
        counts.append(len(model.agents))
    # The first are slower: indexes are made, and classes are met for the first time.
    return alone[3:], plain[3:], ours[3:], round(median(counts))


def _pipeline(client: redis.Redis, model: Any, step: int) -> None:
    with client.pipeline(transaction=False) as pipe:
        for agent in model.agents:
            state = {name: value for name, value in vars(agent).items() if type(value) in _PLAIN}
            state["pos"] = agent.cell.coordinate
            pipe.hset(f"plain:{agent.unique_id}", str(step), json.dumps(state))
        pipe.execute()


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    for figure in figures():
        print(f"{figure.name}: {figure.measured} (target {figure.target}); {figure.note}")
