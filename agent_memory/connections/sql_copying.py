"""Sends many rows to PostgreSQL by COPY, through SQLAlchemy's own handling of connections.

An INSERT of some thousand rows, each with its parameters, takes four times as long. COPY knows no
conditions: whoever uses it has looked at what is stored, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, Table, event

_ROWS = "agent_memory_rows"
_TYPES = "agent_memory_types"


def can_copy(connection: Connection) -> bool:
    """Whether rows can be sent by COPY on a connection."""
    return connection.dialect.driver == "psycopg"


def copy_rows(
    connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Insert rows by COPY, in the transaction of the connection.

    Args:
        connection: One that ``can_copy``.
        table: Where they are inserted.
        columns: Which columns are given; the others get their defaults.
        rows: A value for each of the columns, as the database's driver takes them.

    Raises:
        sqlalchemy.exc.DBAPIError: The database refuses them, or does not answer.
    """
    statement, types = _statement(table, connection.dialect, tuple(columns))
    connection.exec_driver_sql(statement, execution_options={_ROWS: rows, _TYPES: types})


def serve_copies(engine: Engine) -> None:
    """Have an engine send the rows of ``copy_rows``."""
    event.listen(engine, "do_execute", _send)


@lru_cache(maxsize=16)
def _statement(
    table: Table, dialect: Dialect, columns: tuple[str, ...]
) -> tuple[str, tuple[str, ...]]:
    """The statement, and the names of its columns' types."""
    quoted = dialect.identifier_preparer
    names = ", ".join(map(quoted.quote, columns))
    types = tuple(table.c[name].type.compile(dialect).lower() for name in columns)
    place = quoted.format_table(table)
    return f"COPY {place} ({names}) FROM STDIN (FORMAT BINARY)", types


def _send(cursor: Any, statement: str, _parameters: object, context: Any) -> bool:
    """Take the place of the execution of a statement that comes with rows."""
    rows = context.execution_options.get(_ROWS)
    if rows is None:
        return False
    # Of a column of bytes psycopg knows that for ``Binary`` last, which is written in Python.
    driver: Any = context.dialect.loaded_dbapi
    binary = driver.adapt.PyFormat.BINARY
    cursor.adapters.register_dumper(bytes, driver.adapters.get_dumper(bytes, binary))
    with cursor.copy(statement) as copy:
        copy.set_types(context.execution_options[_TYPES])
        for row in rows:
            copy.write_row(row)
    return True
