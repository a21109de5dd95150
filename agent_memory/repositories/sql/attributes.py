"""Declared attributes in SQL: which they are, their indexes, and the conditions on them.

Every entry has the values of the declared paths in its column ``attributes``, a JSON object.
Every transaction that stores reads which paths are declared, so that processes need not know of
each other's declarations. Entries that were stored before a declaration are completed in batches;
only then do queries use the column. Each path has an index on the expressions that read it, in
PostgreSQL where the program may make one. On other databases, and for a path that JSON cannot
quote, the repository looks at contents.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    bindparam,
    exc,
    insert,
    select,
    update,
)

from agent_memory.errors import EncodingError
from agent_memory.models.ltm import LtmModels
from agent_memory.models.ltm_types import Name
from agent_memory.repositories.querying import agent_of, run_of
from agent_memory.repositories.sql.attribute_conditions import (
    ColumnTests,
    column_tests,
    conditions_of,
    has_number,
    index_expressions,
    is_named,
)
from agent_memory.repositories.sql.entries import EntryRow
from agent_memory.repositories.sql.plans import rows_of
from agent_memory.repositories.sql.statements import agent_ref_of, table_of
from agent_memory.repositories.sql.work import UnitOfWork
from agent_memory.repositories.sql.writing import Writer
from agent_memory.values.attributes import declared_attributes
from agent_memory.values.query import Query

BATCH = 1_000
"""How many entries are completed in one transaction."""

_LONGEST_NAME = 63

# Without an index, which is made when the memory is opened next:
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_MADE_LATER = (
    "42501",  # only the owner of a table may make one
    "42P17",  # a server whose functions that read JSON are not declared immutable
    "57014",  # it would take longer than a statement may
    "55P03",  # somebody has been writing for longer than a lock may be waited for
)
_MOST_BITS = 2048  # of an int: Python spells none of more than 4,300 digits


class DeclaredAttributes:
    """The declared attributes of the tables, as far as this process knows them.

    Args:
        models: The models of the tables.
        wanted: The paths that this process declares.
    """

    def __init__(self, models: LtmModels, wanted: Sequence[str]) -> None:
        self._models = models
        self._wanted = tuple(wanted)
        self._paths = self._wanted

    def of(self, contents: Mapping[str, Any]) -> dict[str, Any]:
        """The declared attributes of some contents, by path, as the column holds them."""
        return column_values(contents, self._paths)

    def completed(self, connection: Connection, rows: Sequence[EntryRow]) -> Sequence[EntryRow]:
        """The rows with every attribute that is declared in the connection's transaction."""
        paths = tuple(declared(connection, self._models))
        if set(paths) <= set(self._paths):
            return rows
        # Another process has declared more since.
        self._learn(paths)
        return [
            row._replace(values=row.values | {"attributes": self.of(row.entry.contents) or None})
            for row in rows
        ]

    def declare(self, writer: Writer, contents_of: Callable[[Any], Mapping[str, Any]]) -> None:
        """Declare the paths of this process, and complete the column of what is stored.

        Args:
            writer: Writes to the tables.
            contents_of: Decodes the contents of a row.
        """
        found, lacking = self._look(writer)
        if lacking:
            writer.run(lambda work: declare(work.connection, self._models, self._wanted))
            found, _ = self._look(writer)
        self._learn(found)
        if not all(found.values()):
            self._complete_all(writer, contents_of)

    def _learn(self, paths: Iterable[str]) -> None:
        self._paths = tuple(dict.fromkeys([*self._wanted, *paths]))

    def _look(self, writer: Writer) -> tuple[dict[str, bool], bool]:
        """The declared paths, and whether a declaration or an index is missing."""
        with writer.transactions.reading() as connection:
            found = declared(connection, self._models)
            bare = without_index(connection, self._models, found)
        return found, bool(bare or set(self._wanted) - found.keys())

    def _complete_all(
        self, writer: Writer, contents_of: Callable[[Any], Mapping[str, Any]]
    ) -> None:
        paths = self._paths
        last: int | None = 0
        while last is not None:
            last = writer.run(partial(self._complete_batch, contents_of, paths, last))
        writer.run(lambda work: set_complete(work.connection, self._models, paths))

    def _complete_batch(
        self,
        contents_of: Callable[[Any], Mapping[str, Any]],
        paths: Sequence[str],
        after: int,
        work: UnitOfWork,
    ) -> int | None:
        """Complete a batch of rows; returns the last of them, None if there was none."""
        rows = rows_after(work.connection, self._models, after)
        changes = {}
        for found in rows:
            try:
                attributes = column_values(contents_of(found), paths)
            except EncodingError:
                continue  # it answers no query, and says so when it is read
            if attributes != (found.attributes or {}):
                changes[found.id] = attributes
        set_attributes(work.connection, self._models, changes)
        return rows[-1].id if rows else None


def column_values(contents: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """The scalars at some paths of contents, as the column ``attributes`` holds them.

    An integer that JSON's readers may not take for its many digits is there as the largest float
    of its sign: the column alone answers no condition on it.
    """
    found: dict[str, Any] = declared_attributes(contents, paths)
    for path, value in found.items():
        if isinstance(value, int) and value.bit_length() > _MOST_BITS:
            found[path] = sys.float_info.max if value > 0 else -sys.float_info.max
    return found


def declared(connection: Connection, models: LtmModels) -> dict[str, bool]:
    """The declared paths, and whether every entry has their values."""
    return {row.path: row.is_complete for row in connection.execute(_declared(models))}


def declare(connection: Connection, models: LtmModels, paths: Iterable[str]) -> None:
    """Declare paths that are not, and make their indexes."""
    known = declared(connection, models)
    new = [path for path in paths if path not in known]
    if new:
        rows = [{"path": path, "is_complete": False} for path in new]
        connection.execute(insert(table_of(models.DeclaredAttribute)), rows)
    for path in without_index(connection, models, [*known, *new]):
        _index(connection, models, path)


def _index(connection: Connection, models: LtmModels, path: str) -> None:
    """Make the index on a path; without it questions take longer, and no answer is another."""
    dialect = connection.dialect.name
    statement = index_on(models, path, dialect)[1]
    if dialect == "sqlite":
        connection.exec_driver_sql(statement)
        return
    try:
        with connection.begin_nested():
            # A driver takes a percent sign for a parameter.
            connection.exec_driver_sql(statement.replace("%", "%%"))
    except exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in _MADE_LATER:
            raise


def without_index(connection: Connection, models: LtmModels, paths: Iterable[str]) -> list[str]:
    """The paths that should have an index and have none, as after a copy of the table."""
    asked = _NAMES_OF_INDEXES.get(connection.dialect.name)
    if asked is None:
        return []
    made = {name for (name,) in connection.exec_driver_sql(asked)}
    return [path for path in paths if is_named(path) and index_name(models, path) not in made]


_NAMES_OF_INDEXES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'index'",
    "postgresql": "SELECT c.relname FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid"
    " WHERE x.indisvalid AND pg_table_is_visible(c.oid)",
}


def set_complete(connection: Connection, models: LtmModels, paths: Iterable[str]) -> None:
    """Note that every entry has the values of some paths."""
    column = models.DeclaredAttribute
    connection.execute(update(column).where(column.path.in_(list(paths))).values(is_complete=True))


def rows_after(connection: Connection, models: LtmModels, row: int) -> Sequence[Row[Any]]:
    """A batch of entries in the order of their rows, with what tells their contents; locks them."""
    entry = models.LtmEntry
    statement = (
        select(
            *(entry.id, entry.step_number, entry.contents, entry.attributes),
            *(entry.embedding, entry.embedding_coding.label("embedding_coding")),
        )
        .where(entry.id > row)
        .order_by(entry.id)
        .limit(BATCH)
        .with_for_update()
    )
    return connection.execute(statement).all()


def set_attributes(
    connection: Connection, models: LtmModels, changes: Mapping[int, dict[str, Any]]
) -> None:
    """Store the attributes of entries, by their rows."""
    table = table_of(models.LtmEntry)
    statement = (
        update(table)
        .where(table.c.id == bindparam("row"))
        .values(attributes=bindparam("values", type_=table.c.attributes.type))
    )
    if changes:
        connection.execute(
            statement, [{"row": row, "values": values} for row, values in changes.items()]
        )


def answerable(connection: Connection, models: LtmModels, query: Query) -> ColumnTests:
    """What the column can tell of a query's conditions in this database, now."""
    tests = column_tests(query.attributes, connection.dialect.name)
    if not tests.tests:
        return tests
    rows: Any = rows_of(connection, _declared(models), {})
    complete = dict(rows)
    known = {
        path: query.attributes[path]
        for path in (test.path for test in tests.tests)
        if complete.get(path)
        # Where an agent has no number, two numbers in a list may be asked for: contents tell.
        and (
            path not in tests.pairs
            or (query.is_about_one_agent and _has_number(connection, models, query, path))
        )
    }
    told = column_tests(known, connection.dialect.name)
    return told._replace(is_all=len(known) == len(query.attributes))


def conditions(
    connection: Connection, models: LtmModels, query: Query
) -> tuple[list[ColumnElement[bool]], dict[str, Any]]:
    """What an index can tell of a query's conditions, and the parameters of that.

    Entries that meet the query's conditions meet these.
    """
    tests = answerable(connection, models, query)
    return conditions_of(models, connection.dialect.name, tests.tests), tests.parameters


def _has_number(connection: Connection, models: LtmModels, query: Query, path: str) -> bool:
    """Whether any entry of a query's agent has a number at a path."""
    owner = {"of_run": run_of(query), "of_agent": agent_of(query)}
    return bool(rows_of(connection, _number_at(models, connection.dialect.name, path), owner))


# Made once, as the statements of ``questions``.
@lru_cache(maxsize=64)
def _number_at(models: LtmModels, dialect: str, path: str) -> Select[*tuple[Any, ...]]:
    """One entry of an agent (``of_run``, ``of_agent``) that has a number at a path."""
    entry = models.LtmEntry
    run, agent = bindparam("of_run", type_=Name), bindparam("of_agent", type_=Name)
    return (
        select(entry.id)
        .where(
            entry.agent_ref == agent_ref_of(models, run, agent),
            entry.attributes.is_not(None),
            has_number(models, dialect, path),
        )
        .limit(1)
    )


@lru_cache(maxsize=16)
def _declared(models: LtmModels) -> Select[*tuple[Any, ...]]:
    column = models.DeclaredAttribute
    return select(column.path, column.is_complete)


def index_name(models: LtmModels, path: str) -> str:
    """The name of the index on a path, as long as PostgreSQL lets names be."""
    digest = hashlib.blake2b(path.encode(), digest_size=6).hexdigest()
    return f"{_index_prefix(table_of(models.LtmEntry).name)}{digest}"[:_LONGEST_NAME]


def is_attribute_index(name: str, table: str) -> bool:
    """Whether an index of a table is one on a declared attribute, by its name."""
    return name.startswith(_index_prefix(table))


def _index_prefix(table: str) -> str:
    return f"ix_{table}_attribute_"


def index_on(models: LtmModels, path: str, dialect: str = "sqlite") -> tuple[str, str]:
    """The name of the index on a path, and the statement that makes it.

    Args:
        models: The models of the tables.
        path: The path.
        dialect: The name of the database's kind, SQLite or PostgreSQL.
    """
    name, table = index_name(models, path), table_of(models.LtmEntry).name
    if dialect == "postgresql":
        name, table = f'"{name}"', f'"{table}"'
    return index_name(models, path), (
        f"CREATE INDEX IF NOT EXISTS {name} "
        f"ON {table} (agent_ref, {index_expressions(dialect, path)}) "
        "WHERE attributes IS NOT NULL"
    )
