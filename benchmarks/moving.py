"""How fast entries move down, and how many bytes they take in long-term memory."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import redis

from agent_memory import AgentMemorySystem, MemoryConfig, MemoryEntry
from agent_memory.connections.embedded.server import EmbeddedServer
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.tiers import moving
from benchmarks.entries import new_entries, trader_states
from benchmarks.measuring import Figure, Work, compare

ENTRIES = 5_000
AGENTS = 5


def figures() -> Iterator[Figure]:
    """Measure both moves, and the size of long-term memory after them."""
    with TemporaryDirectory() as folder:
        config = MemoryConfig(
            path=Path(folder),
            engine="embedded",
            search=False,
            stm_config={"memory_limit": 1},
            im_config={"memory_limit": 1},
        )
        with AgentMemorySystem(config) as system, EmbeddedServer.open(Path(folder)) as server:
            client = redis.Redis(unix_socket_path=server.socket_path)
            yield _down(system, client, Path(folder))
            yield _safe(system)
            client.close()
        yield _bytes_per_row(Path(folder) / "agent_memory.db")


def _down(system: AgentMemorySystem, client: redis.Redis, folder: Path) -> Figure:
    """Both moves of all entries, beside a plain copy and delete of the same bytes."""
    rounds = itertools.count()
    states = trader_states(ENTRIES // AGENTS)

    def ours() -> Work:
        _fill(system, next(rounds), states)
        return system.maintain

    def plain() -> Work:
        name = f"plain{next(rounds)}"
        _fill(system, next(rounds), states, run_id=name)
        return lambda: _copy_and_delete(client, folder / f"{name}.db", name)

    ratio = compare(ours, plain, rounds=5)
    moved = ENTRIES / ratio.our_seconds
    return Figure(
        f"{ENTRIES:,} entries from STM through IM to LTM, each counted once",
        "5,000 entries/s or more",
        f"{moved:,.0f} entries/s",
        moved >= 5_000,
        f"{ratio.median:.2f}x a plain copy and delete ({ratio.spread})",
    )


def _safe(system: AgentMemorySystem) -> Figure:
    """Both moves, beside the same that remove first and write then, and ask for no tombstones."""
    rounds = itertools.count()
    states = trader_states(ENTRIES // AGENTS)

    def ours() -> Work:
        _fill(system, next(rounds), states, run_id="safe")
        return system.maintain

    def unsafe() -> Work:
        _fill(system, next(rounds), states, run_id="unsafe")
        return lambda: _maintain_unsafely(system)

    ratio = compare(ours, unsafe, rounds=5)
    return Figure(
        "moves that lose nothing against such as remove first",
        "0.67x or more",
        f"{ratio.median:.2f}x",
        ratio.median >= 0.67,
        ratio.spread,
    )


def _maintain_unsafely(system: AgentMemorySystem) -> None:
    with patch.object(moving, "move", _remove_then_add):
        system.maintain()


def _remove_then_add(
    source: MemoryRepository,
    destination: MemoryRepository,
    copies: Sequence[MemoryEntry],
    moment: float,  # noqa: ARG001  # as the real one takes it
) -> list[bool]:
    source.remove_many([copy.key for copy in copies])
    destination.add_many(copies)
    return [True] * len(copies)


def _fill(
    system: AgentMemorySystem,
    number: int,
    states: Sequence[dict[str, object]],
    run_id: str = "default",
) -> None:
    for agent in range(AGENTS):
        system.stm.add_many(new_entries(states, f"r{number}a{agent}", run_id))


def _copy_and_delete(client: redis.Redis, database: Path, run_id: str) -> None:
    """Read each hash, write it under another key, delete it; then the same into SQLite."""
    names = list(client.scan_iter(f"*{{{run_id}/*", count=1000, _type="hash"))
    for first in range(0, len(names), 500):
        _copy_to_second_hash(client, names[first : first + 500])
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE rows (id PRIMARY KEY, agent, step, time, contents)")
        for first in range(0, len(names), 1_000):
            _copy_to_rows(client, connection, names[first : first + 1_000])


def _copy_to_second_hash(client: redis.Redis, names: Sequence[bytes]) -> None:
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hgetall(name)
        hashes = pipe.execute()
    with client.pipeline(transaction=True) as pipe:
        for name, stored in zip(names, hashes, strict=True):
            pipe.hset(b"second:" + name, mapping=stored)
            pipe.delete(name)
        pipe.execute()


def _copy_to_rows(
    client: redis.Redis, connection: sqlite3.Connection, names: Sequence[bytes]
) -> None:
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hgetall(b"second:" + name)
        hashes = pipe.execute()
    with connection:
        connection.executemany(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?)",
            [
                (one[b"memory_id"], one[b"agent_id"], one[b"step_number"], one[b"timestamp"],
                 one[b"contents"])
                for one in hashes
            ],
        )  # fmt: skip
    client.delete(*(b"second:" + name for name in names))


def _bytes_per_row(database: Path) -> Figure:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (page,) = connection.execute("PRAGMA page_size").fetchone()
        rows, contents, vectors = connection.execute(
            "SELECT count(*), sum(length(contents)), sum(length(embedding)) FROM agent_ltm_entries"
        ).fetchone()
    beside = (pages * page - contents - vectors) / rows
    return Figure(
        "bytes a row in long-term memory, beside vector and contents",
        "180 or less",
        f"{beside:.0f}",
        beside <= 180,
        f"{rows:,} rows with {contents / rows:.0f} + {vectors / rows:.0f} bytes of those each",
    )
