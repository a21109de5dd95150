"""Runs a statement for many rows as the driver takes it.

SQLAlchemy's own handling of parameters takes as long as SQLite takes to write the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Insert, Update


class _ForDriver(NamedTuple):
    """A statement as a driver takes it.

    Attributes:
        text: The statement.
        names: Its parameters in their order.
        constants: The values of those that no row has.
    """

    text: str
    names: tuple[str, ...]
    constants: dict[str, Any]


def execute_for_each(
    connection: Connection, statement: Insert | Update, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Run a statement for each of some rows, one or more.

    Args:
        connection: What to run it on.
        statement: An insert or an update that is made once, not for each call.
        rows: The values of its parameters, all of the same names, as the driver takes them.
    """
    if not connection.dialect.positional:
        connection.execute(statement, rows)
        return
    text, names, constants = _for_driver(statement, connection.dialect, tuple(rows[0]))
    if constants:
        rows = [row | constants for row in rows]  # type: ignore[operator]  # they are dicts
    connection.exec_driver_sql(text, [*map(itemgetter(*names), rows)])


@lru_cache(maxsize=64)
def _for_driver(
    statement: Insert | Update, dialect: Dialect, columns: tuple[str, ...]
) -> _ForDriver:
    compiled = statement.compile(dialect=dialect, column_keys=list(columns))
    names = tuple(compiled.positiontup or ())
    constants = {name: compiled.params[name] for name in names if name not in columns}
    return _ForDriver(compiled.string, names, constants)
