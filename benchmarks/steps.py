"""What a step of many agents costs, beside a bare socket, a loop of single stores, and redis-py.

All four take their turns in each round, on one embedded server. The socket sends the commands that
an entry needs, packed beforehand, and reads the answers: what no client can be faster than. Where
other work keeps both cores busy, the processor time of client and server says more than the clock.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from statistics import median, quantiles
from typing import Any, NamedTuple

import hiredis
import redis

from agent_memory import AgentMemorySystem
from agent_memory.models.redis import agent_prefix
from benchmarks.entries import new_entries, trader_states
from benchmarks.measuring import Figure
from benchmarks.plain_redis import memory_and_client, ready_hash, store_one

AGENTS = 1_000
ROUNDS = 9
NAMESPACE = "bare"

_COMMANDS = 7  # that an entry needs


class Cost(NamedTuple):
    """What a way of storing a step took.

    Attributes:
        seconds: By the clock.
        processor: Seconds of processor time, of client and server together.
    """

    seconds: float
    processor: float


def figures() -> Iterator[Figure]:
    """Measure a step of 1,000 agents."""
    with memory_and_client() as (system, client, socket_path):
        costs = _measured(system, client, socket_path)
    ours = costs["store_step"]
    yield _figure("a bare socket with the same commands", ours, costs["socket"], 1.5)
    yield _figure("a loop of single stores", ours, costs["loop"], 1 / 6)
    yield _figure("a MULTI of redis-py an entry, of ready bytes", ours, costs["redis-py"], None)
    yield _figure(
        "the socket, by add_many of ready entries", costs["add_many"], costs["socket"], 1.5
    )


def _figure(
    beside: str, ours: Sequence[Cost], theirs: Sequence[Cost], target: float | None
) -> Figure:
    ratios = [mine.seconds / other.seconds for mine, other in zip(ours, theirs, strict=True)]
    low, middle, high = quantiles(ratios, n=4)
    processor = median(one.processor for one in ours) / median(one.processor for one in theirs)
    return Figure(
        f"a step of {AGENTS:,} agents against {beside}",
        "for comparison" if target is None else f"{target:.2f}x its time or less",
        f"{middle:.2f}x",
        target is None or middle <= target,
        f"quartiles {low:.2f} and {high:.2f}; {processor:.2f}x its processor time; "
        f"{median(one.seconds for one in ours) / AGENTS * 1e6:.0f} us an entry",
    )


def _measured(system: AgentMemorySystem, client: redis.Redis, path: str) -> dict[str, list[Cost]]:
    states = trader_states(AGENTS)
    costs: dict[str, list[Cost]] = {}
    for step in range(ROUNDS + 1):
        data = {f"agent{place}": state for place, state in enumerate(states)}
        entries = [
            replace(entry, agent_id=agent, step_number=step)
            for agent, entry in zip(data, new_entries(states, "any"), strict=True)
        ]
        ready = [ready_hash(entry) for entry in entries]
        works: dict[str, Callable[[], object]] = {
            "store_step": lambda: system.store_step(step, data),  # noqa: B023  # called now
            "socket": _sending(path, b"".join(map(_packed, ready))),
            "loop": lambda: _loop(system, step, data),  # noqa: B023
            "redis-py": lambda: _store_each(client, ready),  # noqa: B023
            "add_many": lambda: system.stm.add_many(entries),  # noqa: B023
        }
        for name, work in works.items():
            cost = _cost(client, work)
            if step:  # the first is slower for all: scripts are loaded, keys are new
                costs.setdefault(name, []).append(cost)
    return costs


def _store_each(client: redis.Redis, ready: Sequence[dict[Any, Any]]) -> None:
    for stored in ready:
        store_one(client, stored)


def _loop(system: AgentMemorySystem, step: int, data: dict[str, Any]) -> None:
    for agent, state in data.items():
        system.store_agent_state(f"single {agent}", state, step)


def _cost(client: redis.Redis, work: Callable[[], object]) -> Cost:
    before, own, begin = _used(client), time.process_time(), time.perf_counter()
    work()
    seconds = time.perf_counter() - begin
    own = time.process_time() - own
    return Cost(seconds, own + _used(client) - before)


def _used(client: redis.Redis) -> float:
    """The server's processor time, in seconds."""
    told: Any = client.info("cpu")
    return float(told["used_cpu_user"] + told["used_cpu_sys"])


_calls = count()


def _packed(stored: dict[Any, Any]) -> bytes:
    """The commands that an entry needs: of its hash, indexes, agent and log of changes."""
    prefix = agent_prefix(NAMESPACE, stored["run_id"], stored["agent_id"])
    name, at = stored["memory_id"], stored["timestamp"]
    scores = {
        "steps": stored["step_number"],
        "times": at,
        "importance": stored["importance_score"],
        f"type:{stored['memory_type']}": at,
    }
    fields = [word for pair in stored.items() for word in pair]
    log = ("XADD", prefix + "changes", "MAXLEN", "~", 64, "*", next(_calls), name)
    words = [
        ("HSET", prefix + name, *fields),
        *(("ZADD", prefix + index, score, name) for index, score in scores.items()),
        ("ZADD", f"{NAMESPACE}:agents:{stored['run_id']}", at, stored["agent_id"]),
        log,
    ]
    return b"".join(map(hiredis.pack_command, words))


def _sending(path: str, packed: bytes) -> Callable[[], None]:
    """Send commands over a socket of one's own and read all answers, both at once."""

    def send() -> None:
        left, answered, reader = memoryview(packed), 0, hiredis.Reader()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.setblocking(False)
            while answered < AGENTS * _COMMANDS:
                writing = [connection] if left else []
                readable, writable, _ = select.select([connection], writing, [])
                if writable:
                    left = left[connection.send(left[: 1 << 17]) :]
                if readable:
                    reader.feed(connection.recv(1 << 16))
                    while reader.gets() is not False:
                        answered += 1

    return send


if __name__ == "__main__":
    for figure in figures():
        print(f"{figure.name}: {figure.measured} (target {figure.target}); {figure.note}")
