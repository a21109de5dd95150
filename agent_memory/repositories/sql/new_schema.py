"""The schema of a new SQLite database, which is made quickly from the second one on.

Alembic takes 60 ms to bring an empty database through all revisions, and what comes of it is the
same each time. So a process has it do so once, and makes further databases by the statements that
SQLite keeps of the first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class SchemaKey:
    """What the statements depend on.

    Attributes:
        table_prefix: What the tables' names begin with.
        head: The revision they come to.
        scripts: Where the revisions lie.
    """

    table_prefix: str
    head: str
    scripts: str


_known: dict[SchemaKey, tuple[str, ...]] = {}


def create_schema(
    connection: Connection,
    key: SchemaKey,
    version_table: str,
    tables: Callable[[], Collection[str]],
    upgrade: Callable[[], object],
) -> None:
    """Bring a database that has none of the tables to head.

    Args:
        connection: To the database, in a transaction that may write.
        key: What is to be made.
        version_table: The name of the table that holds the revision.
        tables: Gives the names of the tables that are there; called once they are made.
        upgrade: Brings the database to head by its revisions.
    """
    if connection.dialect.name != "sqlite":
        upgrade()
        return
    statements = _known.get(key)
    if statements is not None:
        for statement in statements:
            connection.exec_driver_sql(statement)
        return
    upgrade()
    made = tables()
    # Rows that a revision stores are known to Alembic alone.
    if not any(_has_rows(connection, name) for name in made if name != version_table):
        _known[key] = (*_schema(connection, made), *_version(connection, version_table))


def _has_rows(connection: Connection, table: str) -> bool:
    # The names are the models' own; the configuration lets only identifiers become part of them.
    return connection.execute(text(f"SELECT 1 FROM {table} LIMIT 1")).first() is not None  # noqa: S608


def _schema(connection: Connection, tables: Collection[str]) -> list[str]:
    """The statements that make tables, and then their indexes and triggers."""
    asked = text("SELECT tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
    found = [statement for name, statement in connection.execute(asked) if name in tables]
    return sorted(found, key=lambda statement: not statement.startswith("CREATE TABLE"))


def _version(connection: Connection, table: str) -> list[str]:
    asked = text(f"SELECT version_num FROM {table}")  # noqa: S608  # as above
    return [
        f"INSERT INTO {table} (version_num) VALUES ('{revision}')"  # noqa: S608  # of a file's name
        for revision in connection.execute(asked).scalars()
    ]
