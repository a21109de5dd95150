"""What asking by models, by the query engine and by SQL costs, beside the same without us."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis
from redis_om import Field, HashModel

from agent_memory import AgentMemorySystem, MemoryConfig, Order, Query
from agent_memory.connections.embedded.server import EmbeddedServer
from agent_memory.models.redis_search_schema import VECTOR, condition
from agent_memory.repositories.redis.tier_search import TierSearch
from agent_memory.repositories.sql.questions import entries_answering
from benchmarks.entries import new_entries, trader_states
from benchmarks.long_term import COLUMNS, long_term_memory, multiply
from benchmarks.measuring import Figure, Work, compare, paired, slower
from benchmarks.plain_redis import ready_hash, store_grouped

AGENTS, ENTRIES = 10, 1_000
ROWS = 1_000_000
ASKED = 200


def figures() -> Iterator[Figure]:
    """Measure the query engine's ways, where it is installed, and SQL's."""
    with TemporaryDirectory() as folder:
        config = MemoryConfig(
            path=Path(folder),
            engine="embedded",
            search=True,
            stm_config={"memory_limit": 10**9},
            cleanup_interval=10**9,
        )
        with AgentMemorySystem(config) as memory, EmbeddedServer.open(Path(folder)) as server:
            client = redis.Redis(unix_socket_path=server.socket_path)
            for agent in range(AGENTS):
                memory.stm.add_many(new_entries(trader_states(ENTRIES, agent), f"a{agent}"))
            memory.make_search_indexes()
            yield _nearest(memory, client)
            yield _found(memory, client)
            yield _written(memory, client)
            client.close()
    yield _ranged()


def _nearest(memory: AgentMemorySystem, client: redis.Redis) -> Figure:
    """A filter and KNN: the ids of ten entries, by ``TierSearch`` and by bare FT.SEARCH."""
    query = Query(run_id="default", agent_id="a3", steps=(100, 900), limit=10)
    newest = Query(run_id="default", agent_id="a3", order=Order.NEWEST, limit=1)
    vector = memory.stm.find(newest)[0].embedding
    assert vector is not None

    search: TierSearch = memory.models.stm.search  # type: ignore[attr-defined]  # its protocol is narrower
    where, parameters = condition(query, 0)
    named = ("k", 10, "vector", vector.tobytes(), *parameters)
    command = (
        *("FT.SEARCH", search.vectors.alias),
        f"({where})=>[KNN $k @{VECTOR} $vector HYBRID_POLICY ADHOC_BF AS distance]",
        *("PARAMS", len(named), *named),
        *("SORTBY", "distance", "RETURN", 1, "distance", "LIMIT", 0, 10, "DIALECT", 2),
    )
    ratio = paired(
        lambda: search.search(query, vector, 10, encoder_version=0),
        lambda: client.execute_command(*command),
        ASKED,
    )
    return slower("filter and KNN of 10 by the query engine, against bare FT.SEARCH", ratio, 1.5)


def _found(memory: AgentMemorySystem, client: redis.Redis) -> Figure:
    """``find`` of ten by our model, and by a model of Redis-OM's own over the same hashes."""
    entry = memory.models.StmEntry
    plain = _plain_model(client)
    ours = entry.find(entry.agent_id == "a3", entry.step_number >= 500)
    theirs = plain.find(plain.agent_id == "a3", plain.step_number >= 500)
    assert len(ours.page(0, 10)) == len(theirs.page(0, 10)) == 10
    ratio = paired(
        lambda: entry.find(entry.agent_id == "a3", entry.step_number >= 500).page(0, 10),
        lambda: plain.find(plain.agent_id == "a3", plain.step_number >= 500).page(0, 10),
        ASKED,
    )
    return slower("find of 10 by StmEntry, against a model of Redis-OM's own", ratio, 1.3)


def _plain_model(client: redis.Redis) -> Any:
    """A model with the same fields, and ten thousand of it, stored by Redis-OM."""
    database = redis.Redis(
        unix_socket_path=client.connection_pool.connection_kwargs["path"], decode_responses=True
    )

    class Plain(HashModel, index=True):  # type: ignore[misc, call-arg]  # untyped
        run_id: str = Field(index=True)
        agent_id: str = Field(index=True)
        step_number: int = Field(index=True, sortable=True)
        timestamp: float = Field(index=True, sortable=True)
        memory_type: str = Field(index=True)
        importance_score: float = Field(index=True, sortable=True)
        compression_level: int
        retrieval_count: int
        creation_time: float
        last_access_time: float
        revision: int
        encoder_version: int = Field(index=True, sortable=True)
        contents: str
        embedding: str

        class Meta:
            global_key_prefix = "plain"

    meta: Any = Plain._meta  # noqa: SLF001 - Redis-OM's own way to bind a model late
    meta.database = database
    schema = Plain.redisearch_schema()
    database.execute_command("FT.CREATE", meta.index_name, *schema.split())
    random_numbers = random.Random(0)
    with database.pipeline(transaction=False) as pipeline:
        for agent, step in itertools.product(range(AGENTS), range(ENTRIES)):
            Plain(
                run_id="default",
                agent_id=f"a{agent}",
                step_number=step,
                timestamp=float(step),
                memory_type="state",
                importance_score=random_numbers.random(),
                compression_level=0,
                retrieval_count=0,
                creation_time=0.0,
                last_access_time=0.0,
                revision=0,
                encoder_version=0,
                contents="x" * 200,
                embedding="x" * 1536,
            ).save(pipeline=pipeline)
        pipeline.execute()
    return Plain


def _written(memory: AgentMemorySystem, client: redis.Redis) -> Figure:
    """A thousand entries into both indexes, and a plain pipeline of the same keys into them."""
    numbers = itertools.count(100)
    states = trader_states(1_000)

    def ours() -> Work:
        entries = new_entries(states, f"a{next(numbers)}")
        return lambda: memory.stm.add_many(entries)

    def plain() -> Work:
        batch = [ready_hash(entry) for entry in new_entries(states, f"a{next(numbers)}")]
        return lambda: store_grouped(client, batch, "agent_memory:stm")

    return slower("add_many of 1,000 into both indexes, against a plain pipeline of the same bytes",
                  compare(ours, plain, rounds=11), 1.5)  # fmt: skip


def _ranged() -> Figure:
    """The rows of a hundred steps among a million, by our statement and by a bare one."""
    with long_term_memory() as (memory, raw):
        memory.ltm.add_many(new_entries(trader_states(1_000), "a0"))
        multiply(raw, ROWS // 1_000)
        (agent,) = raw.execute("SELECT id FROM agent_ltm_agents").fetchone()
        steps = itertools.cycle(range(0, ROWS - 1_000, 7_919))

        def bare() -> list[Any]:
            first = next(steps)
            return raw.execute(_BARE, (agent, first, first + 99)).fetchall()

        def ours() -> Any:
            first = next(steps)
            within = first, first + 99
            query = Query(run_id="default", agent_id="a0", steps=within, order=Order.STEP)
            (asked,) = entries_answering(memory.models, query)
            with memory.sql_engine.connect() as connection:
                return connection.execute(*asked).all()

        assert len(bare()) == len(ours()) == 100
        ratio = paired(ours, bare, ASKED)
    return slower(f"100 rows of a range in {ROWS:,}, against the bare statement", ratio, 2)


_BARE = (
    f"SELECT memory_id, step_number, timestamp, {COLUMNS} FROM agent_ltm_entries "  # noqa: S608
    "WHERE agent_ref = ? AND step_number BETWEEN ? AND ? ORDER BY step_number, memory_id"
)
