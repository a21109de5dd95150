"""Backups that somebody has changed by hand and sealed again."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgpack

from agent_memory import AgentMemorySystem, MemoryConfig

LIMITS: dict[str, Any] = {
    "stm_config": {"memory_limit": 3},
    "im_config": {"memory_limit": 3},
    "cleanup_interval": 1,
}
_SEAL = b"agent-memory backup "
SEALED = len(_SEAL) + 32

# What a column may hold that nobody has saved there.
VALUES: tuple[object, ...] = (
    *(None, -1, 0, 1, 2, 7, 2**31, 2**62, -(2**63)),
    *(float("inf"), float("-inf"), 1e308, -0.5, 0.5),
    *("", "x", "NaN", "x" * 5_000, "\0", "{", "[1]", "9" * 5_000, "nobody", "0" * 32),
    *(b"", b"\0", b"\xc1", b"\x80", b"\xff" * 9, b"\xdd\xff\xff\xff\xff"),
)


def make_backup(folder: Path) -> Path:
    """A backup with rows in every table."""
    config = MemoryConfig(
        engine="fake",
        path=folder,
        ltm_url=f"sqlite:///{folder}/source.db",
        indexed_attributes=("mood",),
        **LIMITS,
    )
    with AgentMemorySystem(config) as system:
        states = [{"step": step, "mood": f"m{step % 3}", "x": step * 0.37} for step in range(300)]
        system.train_encoder(states)
        for step in range(12):
            assert system.store_agent_state("ant", states[step], step)
            assert system.run("other").store_agent_state("bee", states[step], step)
        system.forget("ant", memory_id=system.stm.keys("default", "ant")[0].memory_id)
        system.backup(folder / "saved")
    kept = "INSERT INTO unreadable VALUES ('here', 'so', 1.0, x'80')"
    return damaged(folder / "saved", folder / "whole", Damage("unreadable", _run(kept)))


class Damage(NamedTuple):
    """Something that was done to a backup.

    Attributes:
        name: What.
        do: Does it to the database in the file.
    """

    name: str
    do: Callable[[sqlite3.Connection], object]


def damaged(backup: Path, to: Path, damage: Damage) -> Path:
    """A copy of a backup that was damaged, and sealed again."""
    shutil.copy(backup, to)
    with to.open("r+b") as file:
        file.truncate(backup.stat().st_size - SEALED)
    with closing(sqlite3.connect(to, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        damage.do(connection)
    raw = to.read_bytes()
    to.write_bytes(raw + seal_of(raw))
    return to


def seal_of(raw: bytes) -> bytes:
    """What follows a database in a backup."""
    return _SEAL + hashlib.sha256(raw).digest()


def of_columns(backup: Path) -> Iterator[Damage]:
    """Each value that does not belong there, in each column of each table."""
    with closing(sqlite3.connect(f"file:{backup}?mode=ro&immutable=1", uri=True)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name != 'head'"
        ).fetchall()
        for (table,) in tables:
            for _, column, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
                if table != "attributes":  # which has one alone
                    yield Damage(f"{table} without {column}", _drop(table, column))
                for value in VALUES:
                    yield Damage(f"{table}.{column} = {value!r:.30}", _set(table, column, value))


def of_fields(places: int = 16) -> Iterator[Damage]:
    """Each value that does not belong there, in each field of an entry."""
    for place in range(places):
        for value in (*VALUES, 2**64 - 1, [], {}, [1], {"x": 1}, True):
            yield Damage(f"field {place} = {value!r:.30}", _set_field(place, value))
    yield Damage("no fields", _set("entries", "fields", msgpack.packb([])))
    yield Damage("more fields", _set_field(15, {"nobody": 1}))


def of_tables() -> Iterator[Damage]:
    """Tables that are none, or are not there, and rows that name what is not there."""
    endless = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n)"
    for table, columns in _VIEWS.items():
        yield Damage(f"no {table}", _run(f"DROP TABLE {table}"))
        yield Damage(
            f"{table} that never ends",
            _run(
                f"ALTER TABLE {table} RENAME TO was_{table}",
                f"CREATE VIEW {table} AS {endless} SELECT {columns} FROM n WHERE i < 0",  # noqa: S608  # named by the test
            ),
        )
    yield Damage("a run that is its own parent", _run("UPDATE runs SET parent = name"))
    yield Damage(
        "runs that are each other's parents",
        _run(
            "UPDATE runs SET parent = 'other' WHERE name = 'default'",
            "UPDATE runs SET parent = 'default' WHERE name = 'other'",
        ),
    )
    yield Damage("a version that is its own parent", _run("UPDATE versions SET parent_id = id"))
    yield Damage(
        "columns that are calculated",
        _run(
            "DROP TABLE attributes",
            "CREATE TABLE attributes (path AS (hex(zeroblob(100000000))), x)",
            "INSERT INTO attributes (x) VALUES (1)",
        ),
    )
    yield Damage("a column more", _run("ALTER TABLE versions ADD COLUMN nobody"))
    yield Damage("a run more", _run("INSERT INTO runs (name) VALUES ('third')"))
    yield Damage("an entry of no run", _run("DELETE FROM runs"))
    yield Damage("no versions", _run("DELETE FROM versions"))


_VIEWS = {
    "entries": "i AS number, 0 AS tier, '' AS run, '' AS agent, '' AS memory_id, 0 AS spooled_at,"
    " x'' AS fields",
    "unreadable": "'' AS place, '' AS why, 0.0 AS at, x'80' AS stored",
    "runs": "'' AS name, NULL AS parent, NULL AS fork_step, NULL AS seed, '' AS status,"
    " 0 AS created_at",
    "versions": "i AS id",
    "tombstones": "'' AS run",
    "attributes": "'' AS path",
}


def _run(*statements: str) -> Callable[[sqlite3.Connection], object]:
    return lambda connection: [connection.execute(statement) for statement in statements]


def _drop(table: str, column: str) -> Callable[[sqlite3.Connection], object]:
    def do(connection: sqlite3.Connection) -> None:
        names = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
        kept = ", ".join(name for name in names if name != column)
        connection.execute(f"CREATE TABLE kept AS SELECT {kept} FROM {table}")  # noqa: S608  # named by the test
        connection.execute(f"DROP TABLE {table}")
        connection.execute(f"ALTER TABLE kept RENAME TO {table}")

    return do


def _set(table: str, column: str, value: object) -> Callable[[sqlite3.Connection], object]:
    def do(connection: sqlite3.Connection) -> None:
        _loosen(connection, table)
        # One row, since there is none of the same name as another.
        row = f"(SELECT rowid FROM {table} ORDER BY rowid DESC LIMIT 1)"  # noqa: S608  # named by the test
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = {row}", (value,))  # noqa: S608  # named by the test

    return do


def _loosen(connection: sqlite3.Connection, table: str) -> None:
    """Let the columns of a table hold any value."""
    connection.execute(f"CREATE TABLE loose AS SELECT * FROM {table}")  # noqa: S608  # named by the test
    names = [name for _, name, *_ in connection.execute("PRAGMA table_info(loose)")]
    connection.execute(f"DROP TABLE {table}")
    connection.execute(f"CREATE TABLE {table} ({', '.join(names)})")
    connection.execute(f"INSERT INTO {table} SELECT * FROM loose")  # noqa: S608  # named by the test
    connection.execute("DROP TABLE loose")


def _set_field(place: int, value: object) -> Callable[[sqlite3.Connection], object]:
    def do(connection: sqlite3.Connection) -> None:
        number, stored = connection.execute(
            "SELECT number, fields FROM entries ORDER BY number DESC LIMIT 1"
        ).fetchone()
        fields = msgpack.unpackb(stored)
        fields[place : place + 1] = [value]
        connection.execute(
            "UPDATE entries SET fields = ? WHERE number = ?", (msgpack.packb(fields), number)
        )

    return do
