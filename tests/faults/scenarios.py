"""What programs do to a memory until they are killed: one operation of many I/O steps each."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import redis

from agent_memory import AgentMemorySystem, MemoryConfig, Query
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.conversation import Conversation
from agent_memory.errors import StoreUnavailable
from agent_memory.testing.acknowledged import Acknowledgements
from agent_memory.testing.points import IoPoints
from tests.faults.processes import killed, running, serve

LIMITS: dict[str, Any] = {
    "stm_config": {"memory_limit": 4},
    "im_config": {"memory_limit": 6},
    "ltm_config": {"batch_size": 3},
    "cleanup_interval": 3,
}
AGENTS = ("ant", "bee")
DAY = 86_400.0


def contents_of(agent: str, step: int) -> dict[str, Any]:
    """What an agent remembers of a step."""
    return {"agent": agent, "step": step, "payload": str(step) * 50, "food": step % 3}


def in_two_days() -> float:
    return time.time() + 2 * DAY


@dataclass
class World:
    """A memory in a folder, the log of what was acknowledged, and the points that are watched."""

    folder: Path
    log: Acknowledgements
    points: IoPoints
    durability: str = "everysec"
    first: int = 0
    away: bool = False
    _next: dict[str, int] = field(default_factory=dict)

    def open(self, **options: Any) -> AgentMemorySystem:
        how = {name: options.pop(name) for name in ("clock", "upkeep") if name in options}
        config = {"durability": self.durability, "search": False, **LIMITS, **options}
        return AgentMemorySystem(MemoryConfig(path=self.folder, engine="embedded", **config), **how)

    def store(
        self, system: AgentMemorySystem, steps: int, agents: tuple[str, ...] = AGENTS
    ) -> None:
        for _ in range(steps):
            for agent in agents:
                step = self._next.setdefault(agent, self.first)
                self._next[agent] = step + 1
                self.log.storing(agent, step)
                if system.store_agent_state(agent, contents_of(agent, step), step):
                    self.log.stored(agent, step)

    def store_step(self, system: AgentMemorySystem, agents: tuple[str, ...]) -> None:
        """Store what many agents see in their next step, together."""
        step = max(self._next.get(agent, self.first) for agent in agents)
        for agent in agents:
            self._next[agent] = step + 1
            self.log.storing(agent, step)
        stored = system.store_step(step, {agent: contents_of(agent, step) for agent in agents})
        for key in stored.accepted:
            self.log.stored(key.agent_id, step)

    @contextmanager
    def forgetting(self, *agents: str, food: int | None = None) -> Iterator[None]:
        """Note what is forgotten in the block: all of some agents, or what they ate."""
        places = [
            (agent, step)
            for agent in agents
            for step in range(self.first, self._next[agent])
            if food is None or step % 3 == food
        ]
        self.log.forgetting(places)
        yield
        self.log.forgot(places)

    @contextmanager
    def server_away(self) -> Iterator[None]:
        """Let no request reach the server, as when its machine is cut off."""
        exchange = RedisChannel._exchange_once

        def lost(*_: Any) -> Any:
            raise redis.exceptions.ConnectionError("cut off")

        with (
            patch.object(RedisChannel, "_exchange_once", lost),
            patch.object(Conversation, "send", lost),
            patch.object(RedisChannel, "is_worth_asking", lambda channel: False),
        ):
            yield
        assert RedisChannel._exchange_once is exchange


def store(world: World) -> None:
    with world.open() as system:
        world.store(system, 5)
        with world.points.operation("store"):
            world.store(system, 9)


def store_step(world: World) -> None:
    herd = tuple(f"cow-{number}" for number in range(12))
    with world.open() as system:
        world.store_step(system, herd)
        with world.points.operation("store a step"):
            world.store_step(system, herd)
            world.store_step(system, herd)
        with world.points.operation("spool a step"), world.server_away():
            world.store_step(system, herd)


def age(world: World) -> None:
    with world.open() as system:
        world.store(system, 8)
    watched = world.points.operation("come of age")
    with world.open(clock=in_two_days, upkeep=False) as system, watched:
        system.maintain()


def forget_agent(world: World) -> None:
    with world.open() as system:
        world.store(system, 14)
        with world.forgetting("ant"), world.points.operation("forget an agent"):
            assert system.forget("ant").verified


def forget_query(world: World) -> None:
    with world.open() as system:
        world.store(system, 14)
        query = Query(agent_id="bee", attributes={"food": 1})
        with world.forgetting("bee", food=1), world.points.operation("forget a query"):
            assert system.forget(query=query).verified


def clear(world: World) -> None:
    with world.open() as system:
        world.store(system, 14)
        with world.forgetting(*AGENTS), world.points.operation("clear the run"):
            assert system.clear_all_memories()


def spool(world: World) -> None:
    with world.open() as system:
        world.store(system, 5)
        with world.points.operation("spool"), world.server_away():
            world.store(system, 4)
        # A server that is killed while it is away is not looked for again at once: what waits is
        # stored with the next opening then.
        with world.points.operation("replay"), suppress(StoreUnavailable):
            system.maintain()


def budget(world: World) -> None:
    with world.open() as system:
        world.store(system, 8)
    watched = world.points.operation("make room")
    with world.open(redis_max_bytes=1, upkeep=False) as system, watched:
        system.maintain()


def reencode(world: World) -> None:
    with world.open() as system:
        world.store(system, 14)
        with world.points.operation("train"):
            system.train_encoder(network=False, contents=False)
        with world.points.operation("reencode"):
            system.encoders.reencode()


def declare(world: World) -> None:
    with world.open() as system:
        world.store(system, 14)
    with world.points.operation("declare"):
        world.open(indexed_attributes=["food"]).close()


def open_and_close(world: World) -> None:
    with world.points.operation("open a new one"):
        system = world.open()
    world.store(system, 14)
    with world.points.operation("close"):
        system.close()
    with world.points.operation("open again"):
        system = world.open()
    world.store(system, 2)
    system.close()


def for_ever(world: World) -> None:
    """Store and tidy, forget now and then, until somebody ends it."""
    with world.open() as system:
        while True:
            world.store(system, 20)
            system.maintain()
            guest = f"guest {world._next['ant']}"
            world.store(system, 5, (guest,))
            with world.forgetting(guest):
                assert system.forget(guest).verified


SCENARIOS: dict[str, Callable[[World], None]] = {
    one.__name__: one
    for one in (store, store_step, age, forget_agent, forget_query, clear, spool, budget, reencode,
                declare, open_and_close, for_ever)
}  # fmt: skip


def run(
    scenario: str,
    folder: str,
    log: str,
    durability: str = "everysec",
    kill_at: str = "",
    victim: str = "",
    points_file: str = "",
    first: int = 0,
) -> None:
    """Do what a scenario says; kill the victim at the first point of a name.

    Args:
        scenario: Its name.
        folder: The memory's.
        log: File of acknowledgements.
        durability: Of the server.
        kill_at: The name of the point.
        victim: "program", "server" or "both".
        points_file: Where to write the names of the points, in the order they are passed.
        first: The first step.
    """
    passed: list[str] = []

    def pass_point(name: str) -> None:
        passed.append(name)
        if name == kill_at and passed.count(name) == 1:
            if victim in {"server", "both"}:
                killed(*running(Path(folder), "server"))
            if victim in {"program", "both"}:
                killed(os.getpid())

    with IoPoints(pass_point, files=True) as points:
        world = World(Path(folder), Acknowledgements(Path(log)), points, durability, first)
        SCENARIOS[scenario](world)
    if points_file:
        Path(points_file).write_text(json.dumps(passed))


if __name__ == "__main__":
    serve(run)
