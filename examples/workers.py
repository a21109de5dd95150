"""Simulates agents in several processes, which share one memory; a worker does the upkeep.

    python examples/workers.py --processes 4 --agents 1000 --steps 20

By itself it uses a folder. With AGENT_MEMORY_REDIS_URL and AGENT_MEMORY_LTM_URL set, the same
processes may run on as many machines as you like.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Event
from pathlib import Path

from agent_memory import AgentMemorySystem, MemoryConfig, MemoryStoreError, Query

LIMITS = {"stm_config": {"memory_limit": 5}, "im_config": {"memory_limit": 5}}


def opened(folder: Path) -> AgentMemorySystem:
    """The memory, whose upkeep is left to the worker."""
    return AgentMemorySystem(MemoryConfig(path=folder, **LIMITS), upkeep=False)


def simulate(folder: Path, agents: Sequence[str], steps: int, seed: int) -> None:
    """Let some of the agents walk about: each step is stored in one request."""
    chance = random.Random(seed)  # noqa: S311 - a simulation, no secret
    places = dict.fromkeys(agents, (0.0, 0.0))
    with opened(folder) as memory:
        for step in range(steps):
            places = {
                agent: (x + chance.uniform(-1, 1), y + chance.uniform(-1, 1))
                for agent, (x, y) in places.items()
            }
            memory.store_step(step, {agent: {"place": place} for agent, place in places.items()})


def maintain(folder: Path, ended: Event) -> None:
    """Move down what has to leave, beside as many other workers as there are."""
    with opened(folder) as memory, memory.maintenance_worker() as worker:
        while not ended.wait(0.2):
            worker.maintain()
        worker.maintain()


def main() -> None:
    """Simulate, and say what is remembered."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--path", type=Path, default=Path("agent_memory_data/workers"))
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=20)
    asked = parser.parse_args()
    names = [f"walker-{number}" for number in range(asked.agents)]
    # Spawned, since connections and threads of a process are not those of its children.
    processes = multiprocessing.get_context("spawn")
    ended = processes.Event()
    workers = [
        processes.Process(target=maintain, args=(asked.path, ended)) for _ in range(asked.workers)
    ]
    simulations = [
        processes.Process(
            target=simulate,
            args=(asked.path, names[number :: asked.processes], asked.steps, number),
        )
        for number in range(asked.processes)
    ]
    begun = time.monotonic()
    for process in (*workers, *simulations):
        process.start()
    for process in simulations:
        process.join()
    ended.set()
    for process in workers:
        process.join()
    if any(process.exitcode for process in (*simulations, *workers)):
        sys.exit("a process failed")
    took = time.monotonic() - begun
    with opened(asked.path) as memory:
        last = Query(agent_id=None, steps=(asked.steps - 1, asked.steps - 1))
        print(f"{memory.count(last):,} agents remember the last step")
        for tier, held in memory.statistics().items():
            print(f"{tier.name}: {held.all_entries:,} entries")
        print(f"{asked.agents * asked.steps / took:,.0f} entries a second, with all that starts")


if __name__ == "__main__":
    try:
        main()
    except MemoryStoreError as error:
        sys.exit(f"workers: {error}")
