"""What a step of many agents costs, beside a bare socket, a loop of single stores, and redis-py.

All four take their turns in each round, on one embedded server. The socket sends the commands that
an entry needs, packed beforehand, and reads the answers: what no client can be faster than. Where
other work keeps both cores busy, the processor time of client and server says more than the clock.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import hiredis
import redis

from agent_memory import AgentMemorySystem
from agent_memory.models.redis import agent_prefix
from benchmarks.beside import Cost, cost, figure, printed
from benchmarks.entries import new_entries, trader_states
from benchmarks.measuring import Figure
from benchmarks.plain_redis import memory_and_client, ready_hash, store_one

AGENTS = 1_000
ROUNDS = 9
NAMESPACE = "bare"

_COMMANDS = 7  # that an entry needs


def figures(rounds: int = ROUNDS) -> Iterator[Figure]:
    """Measure a step of 1,000 agents."""
    with memory_and_client() as (system, client, socket_path):
        costs = _measured(system, client, socket_path, rounds)
    for beside, ours, plain, target in (
        ("a bare socket with the same commands", "store_step", "socket", 1.5),
        ("a loop of single stores", "store_step", "loop", 1 / 6),
        ("a MULTI of redis-py an entry, of ready bytes", "store_step", "redis-py", None),
        ("the socket, by add_many of ready entries", "add_many", "socket", 1.5),
    ):
        name = f"a step of {AGENTS:,} agents against {beside}"
        yield figure(name, costs, target, (1e-3 * AGENTS, "us an entry"), ours=ours, plain=plain)


def _measured(
    system: AgentMemorySystem, client: redis.Redis, path: str, rounds: int
) -> dict[str, list[Cost]]:
    states = trader_states(AGENTS)
    costs: dict[str, list[Cost]] = {}
    for step in range(rounds + 1):
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
            took = cost(work, client)
            if step:  # the first is slower for all: scripts are loaded, keys are new
                costs.setdefault(name, []).append(took)
    return costs


def _store_each(client: redis.Redis, ready: Sequence[dict[Any, Any]]) -> None:
    for stored in ready:
        store_one(client, stored)


def _loop(system: AgentMemorySystem, step: int, data: dict[str, Any]) -> None:
    for agent, state in data.items():
        system.store_agent_state(f"single {agent}", state, step)


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
    printed(figures())
