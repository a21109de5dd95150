"""What questions cost a user, by ``recall``, beside plain clients that read the same.

    python -m benchmarks.bulk_reads

Long-term memory stands beside sqlite3 and MessagePack, or the bare statement; short-term memory
beside NumPy and a pipeline of redis-py. Each entry is counted as retrieved by us alone.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgpack
import numpy as np
import redis

from agent_memory import (
    AgentMemorySystem,
    CompressionEngine,
    MemoryConfig,
    MemoryEntry,
    Order,
    Query,
)
from agent_memory.connections.embedded.server import EmbeddedServer, server_binary
from agent_memory.models.redis import agent_prefix
from agent_memory.values.sealing import unsealed
from benchmarks.beside import Cost, Prepare, cost, figure, in_turn, printed
from benchmarks.bulk_moves import config_of
from benchmarks.entries import new_entries, trader_states
from benchmarks.measuring import Figure, Work
from benchmarks.plain_redis import PlainNearest

FOUND, STEPS, NEAREST = 1_000, 100, 10
ROWS, LEARNED = 20_000, 2_000
ROUNDS, EACH_ROUND, ROUNDS_OF_OPENING = 11, 10, 5
OPENED = 10_000

_AGENT = "a0"
_COLUMNS = (
    "e.memory_id, r.name, a.name, e.step_number, e.timestamp, t.name, e.contents, "
    "e.importance_score, e.compression_level, e.retrieval_count, e.creation_time, "
    "e.last_access_time, e.embedding, e.embedding_coding, e.encoder_version, e.revision, "
    "e.error_bounds"
)
_FROM = (
    f"SELECT {_COLUMNS} FROM agent_ltm_entries e JOIN agent_ltm_runs r ON r.id = e.run_ref "  # noqa: S608 - our own text
    "JOIN agent_ltm_agents a ON a.id = e.agent_ref JOIN agent_ltm_types t ON t.id = e.type_ref "
    "WHERE e.agent_ref = ? "
)
_NEWEST = _FROM + "ORDER BY e.timestamp DESC, e.memory_id DESC LIMIT ?"
_OLDEST = _FROM + "ORDER BY e.timestamp, e.memory_id LIMIT ?"
_RANGE = _FROM + "AND e.step_number BETWEEN ? AND ? ORDER BY e.step_number, e.memory_id"


def figures() -> Iterator[Figure]:
    """Measure each kind of question."""
    yield from long_term()
    yield from short_term()
    with TemporaryDirectory() as folder:
        yield from _opening(Path(folder))


def long_term(rounds: int = ROUNDS, kinds: Sequence[str] = ("exact", "coded")) -> Iterator[Figure]:
    """Measure questions to long-term memory; the plain way reads exact contents."""
    with ExitStack() as opened:
        folders = {}
        for kind in kinds:
            folders[kind] = Path(opened.enter_context(TemporaryDirectory()))
            _fill(folders[kind], coded=kind == "coded")
        database = folders["exact"] / "agent_memory.db"
        plain = opened.enter_context(closing(sqlite3.connect(database, isolation_level=None)))
        for kind, folder in folders.items():
            yield from _long_term(folder, plain, kind, rounds)


def short_term(rounds: int = ROUNDS) -> Iterator[Figure]:
    """Measure questions to short-term memory."""
    with TemporaryDirectory() as folder:
        yield from _short_term(Path(folder), rounds)


def _fill(folder: Path, *, coded: bool) -> None:
    """Store rows as moves do."""
    with AgentMemorySystem(config_of(folder), upkeep=False) as memory:
        states = trader_states(ROWS)
        if coded:
            places = np.sort(np.random.default_rng(0).choice(ROWS, LEARNED, replace=False))
            learned = [states[place] for place in places.tolist()]
            memory.train_encoder(learned, network=False)
        engine = CompressionEngine()
        for first in range(0, ROWS, 1_000):
            entries = new_entries(states[first : first + 1_000], _AGENT)
            memory.ltm.add_many(
                [
                    engine.lowered(replace(entry, step_number=step), 2)
                    for step, entry in enumerate(entries, first)
                ]
            )


# -- long-term memory -----------------------------------------------------------------------------


def _long_term(folder: Path, plain: sqlite3.Connection, kind: str, rounds: int) -> Iterator[Figure]:
    (agent,) = plain.execute("SELECT id FROM agent_ltm_agents").fetchone()
    with AgentMemorySystem(config_of(folder), upkeep=False) as memory:
        first = Query(agent_id=_AGENT, limit=FOUND)

        def ours() -> None:
            assert len(memory.recall(first)) == FOUND

        def rows() -> None:
            found = plain.execute(_OLDEST, (agent, FOUND)).fetchall()
            assert len([msgpack.unpackb(unsealed(row[6])) for row in found]) == FOUND

        costs = in_turn({"ours": lambda: ours, "plain": lambda: rows}, rounds)
        name = f"recall of {FOUND:,} entries in LTM, {kind}, against sqlite3 rows and MessagePack"
        yield figure(name, costs, 3.0 if kind == "coded" else 2.0)
        yield figure(
            f"recall of {STEPS} steps in LTM, {kind}, against the bare statement",
            in_turn(_ranges(memory, plain, agent), rounds),
            3.0,
            (EACH_ROUND, "ms a question"),
        )


def _ranges(memory: AgentMemorySystem, plain: sqlite3.Connection, agent: int) -> dict[str, Prepare]:
    """Questions for a hundred steps, some a round."""
    first = itertools.cycle(range(0, ROWS - STEPS, 1_979))

    def within() -> tuple[int, int]:
        least = next(first)
        return least, least + STEPS - 1

    def ours() -> Work:
        queries = [
            Query(agent_id=_AGENT, steps=within(), order=Order.STEP) for _ in range(EACH_ROUND)
        ]
        return lambda: [memory.recall(query) for query in queries]

    def bare() -> Work:
        asked = [(agent, *within()) for _ in range(EACH_ROUND)]
        return lambda: [plain.execute(_RANGE, one).fetchall() for one in asked]

    return {"ours": ours, "plain": bare}


# -- short-term memory ----------------------------------------------------------------------------


def _short_term(folder: Path, rounds: int) -> Iterator[Figure]:
    config = config_of(folder)
    with AgentMemorySystem(config, upkeep=False) as memory, EmbeddedServer.open(folder) as server:
        states = trader_states(FOUND)
        entries = new_entries(states, _AGENT)
        memory.stm.add_many(entries)
        with closing(redis.Redis(unix_socket_path=server.socket_path)) as client:
            for name, ours, plain, target in _questions(memory, client, entries, states):
                ways = {"ours": lambda ours=ours: ours, "plain": lambda plain=plain: plain}
                costs = in_turn(ways, rounds, client)
                yield figure(name, costs, target, (EACH_ROUND, "ms a question"))


def _questions(
    memory: AgentMemorySystem,
    client: redis.Redis,
    entries: Sequence[MemoryEntry],
    states: Sequence[Any],
) -> Iterator[tuple[str, Work, Work, float]]:
    """What is asked, by ours and by the plain way, and the target."""
    prefix = agent_prefix("agent_memory:stm", "default", _AGENT)
    plain = PlainNearest(client, prefix, entries, NEAREST)
    asked = Query(agent_id=_AGENT, limit=NEAREST)
    places = np.random.default_rng(0).integers(0, FOUND, EACH_ROUND).tolist()

    def near() -> None:
        for place in places:
            assert len(memory.recall(asked, near=states[place])) == NEAREST

    def with_numpy() -> None:
        for place in places:
            vector = entries[place].embedding
            assert vector is not None
            assert len(plain.ask(vector)) == NEAREST

    yield (
        f"recall of the {NEAREST} nearest of {FOUND:,} in STM, against NumPy and a pipeline",
        *(near, with_numpy, 1.5),
    )

    latest = Query(agent_id=_AGENT, limit=NEAREST, order=Order.NEWEST)

    def newest() -> None:
        for _ in places:
            assert len(memory.recall(latest)) == NEAREST

    def piped() -> None:
        for _ in places:
            assert len(_newest(client, prefix)) == NEAREST

    yield (
        f"recall of the newest {NEAREST} of {FOUND:,} in STM, against a pipeline",
        *(newest, piped, 1.2),
    )


def _newest(client: redis.Redis, prefix: str) -> list[tuple[Any, ...]]:
    names: Any = client.zrevrange(f"{prefix}times", 0, NEAREST - 1)
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hgetall(prefix + name.decode())
        hashes = pipe.execute()
    return [
        (one, msgpack.unpackb(unsealed(one[b"contents"])), np.frombuffer(one[b"embedding"], "<f4"))
        for one in hashes
    ]


# -- opening --------------------------------------------------------------------------------------


def _opening(folder: Path) -> Iterator[Figure]:
    """A folder of 10,000 entries, half in either store: from closed to the first answer."""
    config = config_of(folder)
    with AgentMemorySystem(config, upkeep=False) as memory:
        entries = new_entries(trader_states(OPENED), _AGENT)
        memory.stm.add_many(entries[OPENED // 2 :])
        engine = CompressionEngine()
        memory.ltm.add_many([engine.lowered(entry, 2) for entry in entries[: OPENED // 2]])
    asked = Query(agent_id=_AGENT, limit=NEAREST, order=Order.NEWEST)
    costs: dict[str, list[Cost]] = {"ours": [], "plain": []}
    for _ in range(ROUNDS_OF_OPENING + 1):
        with ExitStack() as opened:
            costs["ours"].append(cost(lambda: _opened(config, asked, opened)))
        with ExitStack() as opened, TemporaryDirectory() as name:
            copied = shutil.copytree(folder, Path(name) / "copied")
            costs["plain"].append(cost(lambda: _opened_plainly(copied, opened)))  # noqa: B023
    yield figure(
        f"opening {OPENED:,} entries until the first answer, against redis-py and sqlite3",
        {name: each[1:] for name, each in costs.items()},
        2.5,
    )


def _opened(config: MemoryConfig, asked: Query, opened: ExitStack) -> None:
    memory = opened.enter_context(AgentMemorySystem(config, upkeep=False))
    assert len(memory.recall(asked)) == NEAREST


def _opened_plainly(folder: Path, opened: ExitStack) -> None:
    """The same server over the same file, started by hand; the newest of either store."""
    socket = f"/tmp/plain-{os.getpid()}.sock"  # noqa: S108 - short enough for a socket
    # As the embedded server is started, but for its keeper.
    options = {"appenddirname": "appendonlydir", "appendonly": "yes", "save": "", "port": "0"}
    appended = next((folder / "redis").glob("*/*.manifest")).parent
    options |= {"dir": str(appended.parent), "appenddirname": appended.name, "unixsocket": socket}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    server = subprocess.Popen([server_binary(), *words], stdout=subprocess.DEVNULL)
    opened.callback(server.wait)
    opened.callback(server.kill)
    client = opened.enter_context(closing(redis.Redis(unix_socket_path=socket)))
    while True:
        with suppress(redis.ConnectionError, redis.BusyLoadingError):
            if client.ping():
                break
        time.sleep(0.002)
    assert len(_newest(client, agent_prefix("agent_memory:stm", "default", _AGENT))) == NEAREST
    database = opened.enter_context(closing(sqlite3.connect(folder / "agent_memory.db")))
    (agent,) = database.execute("SELECT id FROM agent_ltm_agents").fetchone()
    rows = database.execute(_NEWEST, (agent, NEAREST)).fetchall()
    assert len([msgpack.unpackb(unsealed(row[6])) for row in rows]) == NEAREST


if __name__ == "__main__":
    printed(figures())
