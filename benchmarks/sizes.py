"""What questions, counts and stores cost by how much is stored, and the server's bytes an entry.

    python -m benchmarks.sizes [rows ...]

An agent with as many rows in long-term memory as each size says, a memory each, asked in turn in
one run; the first size is the unit. Bytes are those of a server that holds 10,000 entries of one
agent in short-term memory, beyond an empty one, over what their payload and vectors take.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import redis

from agent_memory import AgentMemorySystem, Order, Query
from agent_memory.connections.embedded.server import EmbeddedServer
from benchmarks.beside import Cost, cost
from benchmarks.bulk_moves import config_of
from benchmarks.entries import new_entries, trader_states
from benchmarks.near import fill
from benchmarks.plain_redis import ready_hash

SIZES = (10_000, 100_000)
ROUNDS, EACH_ROUND = 11, 5
HELD = 10_000

_AGENT = "a0"


def questions(memory: AgentMemorySystem) -> dict[str, Callable[[], object]]:
    """What is asked of a memory."""
    state = trader_states(1)[0]
    newest = Query(agent_id=_AGENT, limit=10, order=Order.NEWEST)
    steps = Query(agent_id=_AGENT, steps=(5_000, 5_099), order=Order.STEP)
    return {
        "store": lambda: memory.store_agent_state("other", state, 1),
        "newest 10": lambda: memory.recall(newest),
        "100 steps": lambda: memory.recall(steps),
        "count of the agent": lambda: memory.count(agent_id=_AGENT),
        "statistics": memory.statistics,
    }


def measured(sizes: list[int]) -> Iterator[tuple[str, list[list[Cost]]]]:
    """What each question costs, by size."""
    with ExitStack() as opened:
        memories = []
        for rows in sizes:
            folder = Path(opened.enter_context(TemporaryDirectory()))
            memories.append(
                opened.enter_context(AgentMemorySystem(config_of(folder), upkeep=False))
            )
            fill(memories[-1], _AGENT, rows)
        asked = [questions(memory) for memory in memories]
        for name in asked[0]:
            costs: list[list[Cost]] = [[] for _ in sizes]
            for _ in range(ROUNDS + 1):
                for place, each in enumerate(asked):
                    way = each[name]
                    work = lambda way=way: [way() for _ in range(EACH_ROUND)]  # noqa: E731
                    costs[place].append(cost(work))
            yield name, [each[1:] for each in costs]


def bytes_over_payload() -> float:
    """How many times the bytes of payload and vectors the server takes for entries."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        with (
            AgentMemorySystem(config_of(folder), upkeep=False) as memory,
            EmbeddedServer.open(folder) as server,
            closing(redis.Redis(unix_socket_path=server.socket_path)) as client,
        ):
            before = int(client.info("memory")["used_memory"])
            entries = new_entries(trader_states(HELD), _AGENT)
            memory.stm.add_many(entries)
            after = int(client.info("memory")["used_memory"])
            hashes = map(ready_hash, entries)
            payload = sum(len(one["contents"]) + len(one["embedding"]) for one in hashes)
            return (after - before) / payload


def main() -> None:
    """Print a table."""
    sizes = [int(size) for size in sys.argv[1:]] or [*SIZES]
    print(f"server bytes an entry over payload and vector: {bytes_over_payload():.2f}x", flush=True)
    for name, costs in measured(sizes):
        told = [
            f"{rows:,}: {1e3 * median(one.clock for one in each) / EACH_ROUND:.3g} ms, "
            f"{1e3 * median(one.processor for one in each) / EACH_ROUND:.3g} of the processor"
            for rows, each in zip(sizes, costs, strict=True)
        ]
        first, last = (median(one.processor for one in each) for each in (costs[0], costs[-1]))
        print(f"{name}: {last / max(first, 1e-9):.2f}x ({'; '.join(told)})", flush=True)


if __name__ == "__main__":
    main()
