"""Reads the rows of a statement that is made once, as SQLite's driver gives them.

SQLAlchemy makes a key of the statement, a context and a result for each time that it runs, which
takes four times as long as SQLite takes to say that an agent has nothing there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Select
from sqlalchemy.types import TypeEngine

_Processor = Callable[[Any], Any] | None


class _Plan(NamedTuple):
    """A statement as the driver takes it.

    Attributes:
        text: The statement.
        parameters: Of each parameter its name, what makes of a value what the driver takes, and
            the value that it always has, where it has one.
        columns: The places of the columns that are not given as the driver reads them, and what
            makes their values.
    """

    text: str
    parameters: tuple[tuple[str, _Processor, Any], ...]
    columns: tuple[tuple[int, Callable[[Any], Any]], ...]


def rows_of(
    connection: Connection, statement: Select[*tuple[Any, ...]], parameters: Mapping[str, Any]
) -> Sequence[Sequence[Any]]:
    """All rows of a statement; its columns alone say what each value is.

    Args:
        connection: What to read on.
        statement: One that is made once for all questions of a shape.
        parameters: The values of its parameters by name.
    """
    plan = _plan_of(statement, connection.dialect) if _is_sqlite(connection.dialect) else None
    if plan is None:
        return connection.execute(statement, parameters).all()
    given = [
        always
        if name not in parameters
        else process(parameters[name])
        if process
        else parameters[name]
        for name, process, always in plan.parameters
    ]
    rows = rows_by_driver(connection, plan.text, given)
    if not rows or not plan.columns:
        return rows
    columns: list[Sequence[Any]] = [*zip(*rows, strict=True)]
    for place, process in plan.columns:
        columns[place] = [*map(process, columns[place])]
    return [*zip(*columns, strict=True)]


def rows_by_ids(
    connection: Connection,
    made: Callable[[int | None], Select[*tuple[Any, ...]]],
    parameters: Mapping[str, Any],
    ids: Sequence[str],
) -> Sequence[Sequence[Any]]:
    """All rows of a statement for some ids.

    Args:
        connection: What to read on.
        made: Gives the statement for a number of ids (``id_0`` and so on), made once for each
            number; None: for a list of them (``ids``).
        parameters: The values of its other parameters by name.
        ids: The ids, one or more.
    """
    if not _is_sqlite(connection.dialect):
        return connection.execute(made(None), {**parameters, "ids": ids}).all()
    # Some more than there are, so that statements of few numbers serve all.
    count = 1 << (len(ids) - 1).bit_length()
    filled = [*ids, *[ids[-1]] * (count - len(ids))]
    named = {f"id_{place}": one for place, one in enumerate(filled)}
    return rows_of(connection, made(count), {**parameters, **named})


def rows_by_driver(
    connection: Connection, text: str, parameters: Sequence[Any] = ()
) -> Sequence[Sequence[Any]]:
    """All rows that a reading statement gives, as SQLite's driver gives them.

    Args:
        connection: What to read on, in a transaction as always.
        text: The statement, with question marks for its parameters.
        parameters: Their values.
    """
    if not connection.in_transaction():
        connection.begin()  # which looks whether the file is still there
    driver: Any = connection.connection.driver_connection
    try:
        rows: list[Sequence[Any]] = driver.execute(text, parameters).fetchall()
    except sqlite3.Error:
        # Asked again by SQLAlchemy, which says what is wrong as for every other statement.
        return connection.exec_driver_sql(text, tuple(parameters)).all()
    return rows


def _is_sqlite(dialect: Dialect) -> bool:
    return dialect.name == "sqlite" and dialect.driver == "pysqlite"


@lru_cache(maxsize=512)
def _plan_of(statement: Select[*tuple[Any, ...]], dialect: Dialect) -> _Plan | None:
    """How to run a statement; None where that depends on the values of its parameters."""
    compiled: Any = statement.compile(dialect=dialect)
    names = compiled.positiontup or ()
    binds = [compiled.binds[name] for name in names]
    if any(bind.expanding for bind in binds):
        return None
    types = [column.type for column in statement.selected_columns]
    made = [_implemented(kind, dialect).result_processor(dialect, None) for kind in types]
    return _Plan(
        compiled.string,
        tuple(
            (bind.key, _implemented(bind.type, dialect).bind_processor(dialect), bind.value)
            for bind in binds
        ),
        tuple((place, process) for place, process in enumerate(made) if process is not None),
    )


def _implemented(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    return kind.dialect_impl(dialect)
