"""The transaction in which a schema is migrated: all of it or nothing, and no row lost."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event, inspect, text

from agent_memory.connections.sql import (
    is_read_only,
    place_of,
    translating_sql_errors,
    writing,
)
from agent_memory.connections.sql_connecting import connection_to
from agent_memory.errors import EntriesWouldBeLost, StoreReadOnly, StoreUnavailable


@contextmanager
def migration(engine: Engine) -> Iterator[Connection]:
    """A transaction to run revisions in, one process at a time; leaving the block commits it.

    SQLite drops and changes columns by copying their table. The old one can only be dropped
    while references are not enforced, so that they are checked at the end instead.

    Raises:
        StoreReadOnly: The engine is read-only.
        StoreUnavailable: The database does not answer, or rows would be left that refer to none.
    """
    if is_read_only(engine):
        raise StoreReadOnly(
            f"{place_of(engine)} was opened read-only, so its schema cannot be changed: "
            "open it for writing"
        )
    with (
        translating_sql_errors(place_of(engine)),
        connection_to(writing(engine)) as connection,
        _without_enforcing_references(connection),
        connection.begin(),
        _checking_references(connection),
        _remembering_ids(connection),
        _keeping_ids_unique(connection),
    ):
        if connection.dialect.name == "postgresql":
            # Taken until the end of the transaction, as SQLite's write lock is.
            connection.execute(text("SELECT pg_advisory_xact_lock(6281127)"))
        yield connection


@contextmanager
def keeping_rows(connection: Connection, tables: Iterable[str]) -> Iterator[None]:
    """Refuse to leave the block when a table that had rows is gone.

    Args:
        connection: In a transaction, which must be rolled back when this raises.
        tables: Their names, which must be identifiers.

    Raises:
        EntriesWouldBeLost: One is.
    """
    quote = connection.dialect.identifier_preparer.quote
    filled = {
        table
        for table in {*tables} & {*inspect(connection).get_table_names()}
        if connection.execute(text(f"SELECT 1 FROM {quote(table)} LIMIT 1")).first()  # noqa: S608
    }
    yield
    lost = filled - {*inspect(connection).get_table_names()}
    if lost:
        raise EntriesWouldBeLost(
            f"{place_of(connection.engine)}: this downgrade would delete all that is in "
            f"{', '.join(sorted(lost))}; nothing was changed; if that is meant, add "
            "--delete-everything (or -x delete_everything=yes after alembic)"
        )


@contextmanager
def quoting_names(connection: Connection, prefix: str) -> Iterator[None]:
    """Put the tables' names in quotes where revisions write statements without.

    PostgreSQL takes ``Ants_entries`` for ``ants_entries`` otherwise, and a revision that has landed
    is not changed.

    Args:
        connection: What the revisions run on.
        prefix: What the names begin with.
    """
    if connection.dialect.name == "sqlite" or prefix == prefix.lower():
        yield
        return
    bare = re.compile(rf"""(?<![\w".'])({re.escape(prefix)}_\w+)(?![\w"'])""")

    def quote(
        _connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object
    ) -> tuple[str, Any]:
        return bare.sub(r'"\1"', statement), parameters

    event.listen(connection, "before_cursor_execute", quote, retval=True)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", quote)


@contextmanager
def _without_enforcing_references(connection: Connection) -> Iterator[None]:
    if connection.dialect.name != "sqlite":
        yield
        return
    # Beneath SQLAlchemy, which would begin a transaction, and within one this cannot be set.
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


@contextmanager
def _checking_references(connection: Connection) -> Iterator[None]:
    if connection.dialect.name != "sqlite":
        yield
        return
    before = _number_of_changes(connection)
    yield
    # It reads every row (0.13 s a million), which is too long for a block that only looked.
    if _number_of_changes(connection) == before:
        return
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise StoreUnavailable(
            f"{place_of(connection.engine)}: the migration was undone, since row {broken[1]} of "
            f"{broken[0]} would refer to a row of {broken[2]} that is not there; restore a backup"
        )


@contextmanager
def _remembering_ids(connection: Connection) -> Iterator[None]:
    """Keep what SQLite knows of the ids it has given, so that it gives none of them again.

    The copy of a table only knows those that are still there.
    """
    before = _ids_given(connection)
    yield
    after = _ids_given(connection)
    tables = {*inspect(connection).get_table_names()}
    for table, highest in before.items():
        if table in tables and after.get(table, -1) < highest:
            values = {"table": table, "highest": highest}
            connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :table"), values)
            connection.execute(
                text("INSERT INTO sqlite_sequence VALUES (:table, :highest)"), values
            )


@contextmanager
def _keeping_ids_unique(connection: Connection) -> Iterator[None]:
    """Refuse to leave the block when a table has lost what keeps SQLite from giving an id twice.

    Alembic's copy of a table lacks it unless the migration asks for it, and nothing else would
    notice.
    """
    before = _tables_of_unique_ids(connection)
    yield
    torn = before & {*inspect(connection).get_table_names()} - _tables_of_unique_ids(connection)
    if torn:
        raise StoreUnavailable(
            f"{place_of(connection.engine)}: the migration was undone, since "
            f"{', '.join(sorted(torn))} would give ids again that were given before: the revision "
            'must copy a table with table_kwargs={"sqlite_autoincrement": True}'
        )


def _tables_of_unique_ids(connection: Connection) -> set[str]:
    if connection.dialect.name != "sqlite":
        return set()
    made = connection.exec_driver_sql(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'"
    )
    return {*made.scalars()}


def _ids_given(connection: Connection) -> dict[str, int]:
    """The highest id that SQLite has given in each table whose ids it never gives again."""
    if connection.dialect.name != "sqlite":
        return {}
    # It is there once the first of those tables is made.
    if not connection.exec_driver_sql(
        "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"
    ).first():
        return {}
    rows = connection.exec_driver_sql("SELECT name, seq FROM sqlite_sequence")
    return {str(name): int(highest) for name, highest in rows}


def _number_of_changes(connection: Connection) -> int:
    """How often the schema of a SQLite database was changed."""
    return int(connection.exec_driver_sql("PRAGMA schema_version").scalar_one())
