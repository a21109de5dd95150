"""Simulates agents in Ray tasks, which share one memory; actors do the upkeep.

    pip install ray
    python examples/ray_workers.py --tasks 4 --agents 1000 --steps 20

By itself it uses a folder of this machine. On a cluster of Ray (``--address auto``) name servers
that all machines reach, by AGENT_MEMORY_REDIS_URL and AGENT_MEMORY_LTM_URL: tasks and actors get
both.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray

from agent_memory import AgentMemorySystem, MemoryConfig, MemoryStoreError, Query

LIMITS = {"stm_config": {"memory_limit": 5}, "im_config": {"memory_limit": 5}}
VARIABLES = ("AGENT_MEMORY_REDIS_URL", "AGENT_MEMORY_LTM_URL")


def opened(folder: Path) -> AgentMemorySystem:
    """The memory, whose upkeep is left to the actors; each process opens it for itself."""
    return AgentMemorySystem(MemoryConfig(path=folder, **LIMITS), upkeep=False)


def simulate(folder: Path, agents: Sequence[str], steps: int, seed: int) -> int:
    """Let some of the agents walk about, and give how many entries they stored."""
    chance = random.Random(seed)  # noqa: S311 - a simulation, no secret
    places = dict.fromkeys(agents, (0.0, 0.0))
    stored = 0
    with opened(folder) as memory:
        for step in range(steps):
            places = {
                agent: (x + chance.uniform(-1, 1), y + chance.uniform(-1, 1))
                for agent, (x, y) in places.items()
            }
            states = {agent: {"place": place} for agent, place in places.items()}
            stored += len(memory.store_step(step, states).accepted)
    return stored


class Upkeep:
    """Moves down what has to leave, beside as many others as there are.

    An actor that dies with its machine leaves its share to the others: it held a lease on the
    server.

    Args:
        folder: Of the memory.
    """

    def __init__(self, folder: Path) -> None:
        self._memory = opened(folder)
        self._worker = self._memory.maintenance_worker()

    def maintain(self) -> int:
        """Do this actor's share, and give how many entries moved."""
        moved = self._worker.maintain()
        return moved.stm_to_im + moved.im_to_ltm

    def close(self) -> None:
        """Give the share back, and close the memory."""
        self._worker.close()
        self._memory.close()


def watched(tasks: list[Any], actors: Sequence[Any]) -> int:
    """Do upkeep until the tasks have ended, and once more; give how many entries were stored."""
    left = tasks
    while left:
        _, left = ray.wait(left, num_returns=len(left), timeout=0.2)
        ray.get([actor.maintain.remote() for actor in actors])
    stored: int = sum(ray.get(tasks))
    # Each actor learns of the others' leases in a round, and does its share in the next.
    while sum(ray.get([actor.maintain.remote() for actor in actors])):
        pass
    ray.get([actor.close.remote() for actor in actors])
    return stored


def main() -> None:
    """Simulate, and say what is remembered."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--path", type=Path, default=Path("agent_memory_data/ray"))
    parser.add_argument("--address", help="of a cluster of Ray; else one of this machine's own")
    parser.add_argument("--tasks", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=20)
    asked = parser.parse_args()
    folder = asked.path.absolute()
    names = [f"walker-{number}" for number in range(asked.agents)]
    environment = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    here = {"num_cpus": asked.tasks + asked.workers, "include_dashboard": False}
    ray.init(
        address=asked.address,
        runtime_env={"env_vars": environment},
        **({} if asked.address else here),
    )
    try:
        upkeep = ray.remote(Upkeep)
        # Run once: a task that Ray ran again would store its steps a second time.
        task = ray.remote(max_retries=0)(simulate)
        actors = [upkeep.remote(folder) for _ in range(asked.workers)]
        tasks = [
            task.remote(folder, names[number :: asked.tasks], asked.steps, number)
            for number in range(asked.tasks)
        ]
        print(f"{watched(tasks, actors):,} entries stored")
    finally:
        ray.shutdown()
    with opened(folder) as memory:
        last = Query(agent_id=None, steps=(asked.steps - 1, asked.steps - 1))
        print(f"{memory.count(last):,} agents remember the last step")
        for tier, held in memory.statistics().items():
            print(f"{tier.name}: {held.all_entries:,} entries")


if __name__ == "__main__":
    try:
        main()
    except MemoryStoreError as error:
        sys.exit(f"ray_workers: {error}")
