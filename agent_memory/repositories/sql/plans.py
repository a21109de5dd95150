"""Reads the rows of a statement that is made once, as SQLite's driver gives them.

SQLAlchemy makes a key of the statement, a context and a result for each time that it runs, which
takes four times as long as SQLite takes to say that an agent has nothing there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Connection, Dialect, Label, Select
from sqlalchemy.types import TypeEngine

from agent_memory.connections.sqlite_file import check_file

_Processor = Callable[[Any], Any] | None


class _Plan(NamedTuple):
    """A statement as the driver takes it.

    Attributes:
        text: The statement.
        parameters: Of each parameter its name, what makes of a value what the driver takes, and
            the value that it always has, where it has one.
        columns: The places of the columns that are not given as the driver reads them, and what
            makes their values.
        constant: The places of the columns that the driver does not read, since each of their
            values is that of a parameter; its name, and what makes of it what the driver takes.
    """

    text: str
    parameters: tuple[tuple[str, _Processor, Any], ...]
    columns: tuple[tuple[int, Callable[[Any], Any]], ...]
    constant: tuple[tuple[int, str, _Processor], ...]


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
    rows = rows_by_driver(connection, plan.text, _given(plan, parameters))
    if not rows or not (plan.columns or plan.constant):
        return rows
    return [*zip(*_columns(plan, rows, parameters), strict=True)]


def columns_of(
    connection: Connection,
    statement: Select[*tuple[Any, ...]],
    parameters: Mapping[str, Any],
    *,
    alone: bool = False,
) -> list[Sequence[Any]]:
    """The same column by column; none where there is no row.

    Args:
        connection: See ``rows_of``.
        statement: See there.
        parameters: See there.
        alone: Whether nothing else is read on the connection: SQLite reads a statement as of one
            instant, so that it takes no transaction, which costs as much as a question for nothing.
    """
    plan = _plan_of(statement, connection.dialect) if _is_sqlite(connection.dialect) else None
    if plan is None:
        return [*zip(*connection.execute(statement, parameters).all(), strict=True)]
    rows = rows_by_driver(connection, plan.text, _given(plan, parameters), alone)
    return _columns(plan, rows, parameters) if rows else []


def _given(plan: _Plan, parameters: Mapping[str, Any]) -> list[Any]:
    """The values of a statement's parameters as the driver takes them."""
    return [
        always
        if name not in parameters
        else process(parameters[name])
        if process
        else parameters[name]
        for name, process, always in plan.parameters
    ]


def _columns(
    plan: _Plan, rows: Sequence[Sequence[Any]], parameters: Mapping[str, Any]
) -> list[Sequence[Any]]:
    """The columns of rows, one or more."""
    columns: list[Sequence[Any]] = [*zip(*rows, strict=True)]
    for place, process in plan.columns:
        columns[place] = [*map(process, columns[place])]
    for place, name, bind in plan.constant:
        value = parameters[name]
        columns.insert(place, [bind(value) if bind else value] * len(rows))
    return columns


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
    connection: Connection,
    text: str,
    parameters: Sequence[Any] = (),
    alone: bool = False,
) -> Sequence[Sequence[Any]]:
    """All rows that a reading statement gives, as SQLite's driver gives them.

    Args:
        connection: What to read on.
        text: The statement, with question marks for its parameters.
        parameters: Their values.
        alone: Whether nothing else is read on it; see ``columns_of``.
    """
    if not connection.in_transaction():
        if alone:
            check_file(connection.engine)
        else:
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
    every = [*statement.selected_columns]
    # The driver would make a text of each for every row.
    known = {place: _parameter(one, dialect) for place, one in enumerate(every)}
    constant = {place: bind for place, bind in known.items() if bind is not None}
    read = [one for place, one in enumerate(every) if place not in constant]
    if constant:
        statement = statement.with_only_columns(*read, maintain_column_froms=True)
    compiled: Any = statement.compile(dialect=dialect)
    names = compiled.positiontup or ()
    binds = [compiled.binds[name] for name in names]
    if any(bind.expanding for bind in binds):
        return None
    made = [_implemented(column.type, dialect).result_processor(dialect, None) for column in read]
    return _Plan(
        compiled.string,
        tuple((bind.key, _bound(bind, dialect), bind.value) for bind in binds),
        tuple((place, process) for place, process in enumerate(made) if process is not None),
        tuple((place, bind.key, _bound(bind, dialect)) for place, bind in constant.items()),
    )


def _parameter(column: Any, dialect: Dialect) -> BindParameter[Any] | None:
    """The parameter that a column is, whose value comes back as it is given."""
    one = column.element if isinstance(column, Label) else column
    if not isinstance(one, BindParameter) or not one.required:
        return None
    comes_back = _implemented(column.type, dialect).result_processor(dialect, None) is None
    return one if comes_back else None


def _bound(bind: BindParameter[Any], dialect: Dialect) -> _Processor:
    return _implemented(bind.type, dialect).bind_processor(dialect)


def _implemented(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    return kind.dialect_impl(dialect)
