"""Reads the rows of a statement that is made once, as the drivers of databases give them.

SQLAlchemy makes a key of the statement, a context and a result for each time that it runs, which
takes four times as long as SQLite takes to say that an agent has nothing there. PostgreSQL is asked
by one request, where SQLAlchemy begins a transaction by one and ends it by another.
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
        names: What the text calls each, where it names them.
        kinds: The types of the columns that the driver reads.
        constant: The places of the columns that the driver does not read, since each of their
            values is that of a parameter; its name, and what makes of it what the driver takes.
    """

    text: str
    parameters: tuple[tuple[str, _Processor, Any], ...]
    names: tuple[str, ...]
    kinds: tuple[TypeEngine[Any], ...]
    constant: tuple[tuple[int, str, _Processor], ...]

    def given(self, parameters: Mapping[str, Any]) -> list[Any]:
        """The values that the driver takes, in the order of the parameters."""
        return [
            always
            if name not in parameters
            else process(parameters[name])
            if process
            else parameters[name]
            for name, process, always in self.parameters
        ]


class _Read(NamedTuple):
    """Rows as a driver has read them, without the columns that it does not read.

    Attributes:
        plan: Of their statement.
        rows: The rows.
        processes: The places of the columns that are not given as they are read, and what makes
            their values.
    """

    plan: _Plan
    rows: Sequence[Sequence[Any]]
    processes: tuple[tuple[int, Callable[[Any], Any]], ...]

    def columns(self, parameters: Mapping[str, Any]) -> list[Sequence[Any]]:
        """The columns of the rows, one or more."""
        columns: list[Sequence[Any]] = [*zip(*self.rows, strict=True)]
        for place, process in self.processes:
            columns[place] = [*map(process, columns[place])]
        for place, name, bind in self.plan.constant:
            value = parameters[name]
            columns.insert(place, [bind(value) if bind else value] * len(self.rows))
        return columns


def rows_of(
    connection: Connection,
    statement: Select[*tuple[Any, ...]],
    parameters: Mapping[str, Any],
) -> Sequence[Sequence[Any]]:
    """All rows that a statement gives.

    Args:
        connection: What to read on.
        statement: One that is made once for all questions of a shape.
        parameters: The values of its parameters by name.
    """
    read = _read(connection, statement, parameters)
    if read is None:
        return connection.execute(statement, parameters).all()
    if not read.rows or not (read.processes or read.plan.constant):
        return read.rows
    return [*zip(*read.columns(parameters), strict=True)]


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
    read = _read(connection, statement, parameters, alone)
    if read is None:
        return [*zip(*connection.execute(statement, parameters).all(), strict=True)]
    return read.columns(parameters) if read.rows else []


def _read(
    connection: Connection,
    statement: Select[*tuple[Any, ...]],
    parameters: Mapping[str, Any],
    alone: bool = False,
) -> _Read | None:
    """What the driver reads; None where SQLAlchemy is to be asked.

    That is so too where PostgreSQL complains or does not answer: then SQLAlchemy says what is
    wrong, as for every other statement.
    """
    plan = _plan_of(statement, connection.dialect) if asks_driver(connection) else None
    if plan is None:
        return None
    given = plan.given(parameters)
    if _is_sqlite(connection.dialect):
        rows = rows_by_driver(connection, plan.text, given, alone)
        return _Read(plan, rows, _processes(plan.kinds, connection.dialect, None))
    answer = rows_by_psycopg(connection, plan.text, dict(zip(plan.names, given, strict=True)))
    if answer is None:
        return None
    rows, codes = answer
    return _Read(plan, rows, _processes(plan.kinds, connection.dialect, codes) if rows else ())


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
            number; None: for a list of them (``ids``); 0: for an array of them.
        parameters: The values of its other parameters by name.
        ids: The ids, one or more.
    """
    if connection.dialect.name == "postgresql":
        # As one parameter, so that a statement serves any number.
        return rows_of(connection, made(0), {**parameters, "ids": ids})
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


def rows_by_psycopg(
    connection: Connection, text: str, parameters: Mapping[str, Any]
) -> tuple[Sequence[Sequence[Any]], tuple[int, ...]] | None:
    """All rows that a reading statement gives, as psycopg gives them, and the types of its columns.

    It is a transaction of its own.

    Returns:
        None where the database complains of it or does not answer.
    """
    errors: Any = connection.dialect.loaded_dbapi.Error
    # What else is raised here leaves a connection that the pool does not take back.
    driver: Any = connection.connection.driver_connection
    try:
        driver.autocommit = True
        cursor = driver.cursor(binary=True)
        rows = cursor.execute(text, parameters).fetchall()
        result = cursor.pgresult  # whose description would take longer than the rows
        codes = tuple(map(result.ftype, range(result.nfields)))
        driver.autocommit = False
    except errors:
        if not driver.closed:
            driver.autocommit = False
        return None
    return rows, codes


def asks_driver(connection: Connection) -> bool:
    """Whether the driver is asked: in PostgreSQL's transactions SQLAlchemy is."""
    if connection.dialect.driver == "psycopg":
        return not connection.in_transaction()
    return _is_sqlite(connection.dialect)


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
    named: Mapping[Any, str] = compiled.bind_names
    binds = [compiled.binds[name] for name in compiled.positiontup or ()]
    if not dialect.positional:
        binds = [*named]
    if any(bind.expanding for bind in binds):
        return None
    return _Plan(
        compiled.string,
        tuple((bind.key, _bound(bind, dialect), bind.value) for bind in binds),
        tuple(named[bind] for bind in binds),
        tuple(_implemented(column.type, dialect) for column in read),
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


@lru_cache(maxsize=512)
def _processes(
    kinds: tuple[TypeEngine[Any], ...], dialect: Dialect, codes: tuple[int, ...] | None
) -> tuple[tuple[int, Callable[[Any], Any]], ...]:
    """The places of the columns that are not given as the driver reads them, and what makes them.

    Args:
        kinds: The types of the columns.
        dialect: Of the database.
        codes: What the driver says of the columns' types, where it does.
    """
    told = codes or [None] * len(kinds)
    made = [kind.result_processor(dialect, code) for kind, code in zip(kinds, told, strict=True)]
    return tuple((place, process) for place, process in enumerate(made) if process is not None)


def _implemented(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    return kind.dialect_impl(dialect)
