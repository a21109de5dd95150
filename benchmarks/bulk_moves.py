"""What moving entries down costs, beside a plain client that copies and deletes the same.

    python -m benchmarks.bulk_moves

From short-term to intermediate memory the plain way is redis-py: HGETALL of each hash, and a MULTI
of HSET, DEL and grouped index commands. From there to long-term memory it is HGETALL, an insert by
SQLAlchemy Core into the same table with the same pragmas, and DEL. Both read and write the bytes
that ours do, 500 and 1,000 entries at once; neither checks, refuses or survives anything.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis
from sqlalchemy import Engine, create_engine, event, insert

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.connections.embedded.server import EmbeddedServer
from agent_memory.models.ltm import ltm_models
from agent_memory.models.redis import decode_id
from benchmarks.beside import Prepare, figure, in_turn, printed
from benchmarks.entries import trader_states
from benchmarks.measuring import Figure, Work

AGENTS, EACH = 5, 1_000
DEMOTED, EMPTIED = AGENTS * (EACH - 1), AGENTS * (EACH - 2)  # one of each agent stays in a tier
ROUNDS = 5
MANY = 10**9

_AT_REST = 38  # bytes of a vector of 32 numbers
_HASHES_AT_ONCE, _ROWS_AT_ONCE = 500, 1_000

Hash = dict[bytes, bytes]


@dataclass(frozen=True)
class Bench:
    """A memory that is opened three times, and plain clients of its server and its kind of file.

    Attributes:
        keeper: Nothing leaves a tier of it.
        demoting: All but the newest entry of an agent leave short-term memory.
        emptying: They leave intermediate memory too.
        client: Of the server.
        folder: Where the database is.
    """

    keeper: AgentMemorySystem
    demoting: AgentMemorySystem
    emptying: AgentMemorySystem
    client: redis.Redis
    folder: Path


def config_of(folder: Path, stm: int = MANY, im: int = MANY, **further: Any) -> MemoryConfig:
    """The configuration of a memory whose tiers hold so many entries of an agent."""
    return MemoryConfig(
        path=folder,
        engine="embedded",
        search=False,
        cleanup_interval=MANY,
        stm_config={"memory_limit": stm},
        im_config={"memory_limit": im},
        **further,
    )


@contextmanager
def bench(*, coded: bool) -> Iterator[Bench]:
    """Open a memory; coded: a code of contents is fitted first, and contents go by it."""
    with TemporaryDirectory() as name, ExitStack() as opened:
        folder = Path(name)
        if coded:
            with AgentMemorySystem(config_of(folder)) as system:
                system.train_encoder(trader_states(EACH), network=False)
        limits = ((MANY, MANY), (1, MANY), (1, 1))
        keeper, demoting, emptying = (
            opened.enter_context(AgentMemorySystem(config_of(folder, *both), upkeep=False))
            for both in limits
        )
        server = opened.enter_context(EmbeddedServer.open(folder))
        client = opened.enter_context(closing(redis.Redis(unix_socket_path=server.socket_path)))
        yield Bench(keeper, demoting, emptying, client, folder)


def figures(rounds: int = ROUNDS, kinds: Sequence[str] = ("exact", "coded")) -> Iterator[Figure]:
    """Measure both moves, of contents of each kind."""
    for kind in kinds:
        coded = kind == "coded"
        with bench(coded=coded) as opened:
            ways: dict[str, Prepare] = {
                "ours": lambda opened=opened: _demoted(opened),  # type: ignore[misc]
                "plain": lambda opened=opened: _copied(opened),  # type: ignore[misc]
            }
            costs = in_turn(ways, rounds, opened.client)
            yield figure(
                f"{DEMOTED:,} entries from STM to IM, {kind}, against a pipeline of redis-py with "
                "grouped indexes",
                costs,
                None if coded else 1.0,
                (1e-3 * DEMOTED, "us an entry"),
            )
            ways = {
                "ours": lambda opened=opened: _emptied(opened),  # type: ignore[misc]
                "plain": lambda opened=opened: _inserted(opened),  # type: ignore[misc]
            }
            costs = in_turn(ways, rounds, opened.client)
            yield figure(
                f"{EMPTIED:,} entries from IM to LTM, {kind}, against HGETALL, an insert of "
                "SQLAlchemy Core, DEL",
                costs,
                1.6 if coded else 1.3,
                (1e-3 * EMPTIED, "us an entry"),
            )


# -- ours -----------------------------------------------------------------------------------------

_rounds = itertools.count()


def _stored(opened: Bench) -> str:
    """Store entries of a run of their own, which is empty before; gives the run."""
    run_id = f"r{next(_rounds)}"
    states = trader_states(EACH)
    run = opened.keeper.run(run_id)
    for step, state in enumerate(states):
        run.store_step(step, {f"a{agent}": state for agent in range(AGENTS)})
    return run_id


def _filled(opened: Bench) -> str:
    """Store entries, and move them down to intermediate memory."""
    run_id = _stored(opened)
    opened.demoting.maintain()
    return run_id


def _demoted(opened: Bench) -> Work:
    _cleared(opened)
    _stored(opened)

    def work() -> None:
        assert opened.demoting.maintain().stm_to_im == DEMOTED

    return work


def _emptied(opened: Bench) -> Work:
    _cleared(opened)
    _filled(opened)

    def work() -> None:
        assert opened.emptying.maintain().im_to_ltm == EMPTIED

    return work


def _cleared(opened: Bench) -> None:
    keeper = opened.keeper
    for run_id in {one for tier in (keeper.stm, keeper.im, keeper.ltm) for one in tier.runs()}:
        keeper.run(run_id).clear_all_memories()
    for key in opened.client.scan_iter("agent_memory:plain:*", count=10_000):
        opened.client.unlink(key)


# -- the plain way --------------------------------------------------------------------------------


def _copied(opened: Bench) -> Work:
    """HGETALL, and a MULTI of HSET, DEL and grouped index commands, for each 500 entries."""
    _cleared(opened)
    run_id = _stored(opened)
    client = opened.client

    def work() -> None:
        for agent in range(AGENTS):
            source = f"agent_memory:stm:{{{run_id}/a{agent}}}:"
            names = [name.decode() for name in client.zrange(f"{source}times", 0, EACH - 2)]
            for first in range(0, len(names), _HASHES_AT_ONCE):
                _copy(client, source, names[first : first + _HASHES_AT_ONCE])

    return work


def _copy(client: redis.Redis, source: str, names: Sequence[str]) -> None:
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hgetall(source + name)
        hashes: list[Hash] = pipe.execute()
    target = source.replace(":stm:", ":plain:")
    times = {name: one[b"timestamp"] for name, one in zip(names, hashes, strict=True)}
    with client.pipeline(transaction=True) as pipe:
        for name, one in zip(names, hashes, strict=True):
            pipe.hset(target + name, mapping=one)
            pipe.delete(source + name)
        scores = {
            "steps": {name: one[b"step_number"] for name, one in zip(names, hashes, strict=True)},
            "times": times,
            "type:state": times,
            "importance": {
                name: one[b"importance_score"] for name, one in zip(names, hashes, strict=True)
            },
        }
        for index, members in scores.items():
            pipe.zadd(target + index, members)
            pipe.zrem(source + index, *members)
        pipe.execute()


def _inserted(opened: Bench) -> Work:
    """HGETALL, an insert by Core, and DEL with ZREM, for each 1,000 entries."""
    _cleared(opened)
    run_id = _filled(opened)
    client, engine = opened.client, _plain_engine(opened)
    table: Any = ltm_models().LtmEntry.__table__

    def work() -> None:
        for agent in range(AGENTS):
            source = f"agent_memory:im:{{{run_id}/a{agent}}}:"
            names = [name.decode() for name in client.zrange(f"{source}times", 0, EACH - 3)]
            for first in range(0, len(names), _ROWS_AT_ONCE):
                _insert(client, engine, table, agent, source, names[first : first + _ROWS_AT_ONCE])
        engine.dispose()

    return work


def _insert(
    client: redis.Redis,
    engine: Engine,
    table: Any,
    agent: int,
    source: str,
    names: Sequence[str],
) -> None:
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hgetall(source + name)
        hashes: list[Hash] = pipe.execute()
    with engine.begin() as connection:
        connection.execute(insert(table), [_row(agent, one) for one in hashes])
    with client.pipeline(transaction=True) as pipe:
        pipe.delete(*(source + name for name in names))
        for index in ("steps", "times", "type:state", "importance"):
            pipe.zrem(source + index, *names)
        pipe.execute()


def _row(agent: int, one: Hash) -> dict[str, Any]:
    return {
        "memory_id": decode_id(one[b"memory_id"]),
        "run_ref": 1,
        "agent_ref": agent + 1,
        "type_ref": 1,
        "step_number": int(one[b"step_number"]),
        "timestamp": float(one[b"timestamp"]),
        "importance_score": float(one[b"importance_score"]),
        "compression_level": 2,
        "retrieval_count": int(one[b"retrieval_count"]),
        "revision": int(one[b"revision"]),
        "encoder_version": int(one[b"encoder_version"]),
        "embedding_coding": 2,
        "creation_time": None,
        "last_access_time": None,
        "embedding": one[b"embedding"][:_AT_REST],
        "contents": one[b"contents"],
        "attributes": None,
        "error_bounds": None,
    }


def _plain_engine(opened: Bench) -> Engine:
    """A file of its own with the same tables and pragmas."""
    file = opened.folder / f"plain{next(_rounds)}.db"
    engine = create_engine(f"sqlite:///{file}")

    @event.listens_for(engine, "connect")
    def _(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    with closing(sqlite3.connect(opened.folder / "agent_memory.db")) as ours:
        tables = [row for (row,) in ours.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL "
                                                 "AND name NOT LIKE 'sqlite_%'")]  # fmt: skip
    with engine.begin() as connection:
        for statement in tables:
            connection.exec_driver_sql(statement)
    return engine


if __name__ == "__main__":
    printed(figures())
