"""Declared attributes in SQL: which they are, their indexes, and the conditions on them.

Every entry has the values of the declared paths in its column ``attributes``, a JSON object.
Every transaction that stores reads which paths are declared, so that processes need not know of
each other's declarations. Entries that were stored before a declaration are completed in batches;
only then do queries use the column. In SQLite each path has an index on the expression that reads
it. On other databases, and for a path that JSON cannot quote, the repository looks at contents.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    func,
    insert,
    select,
    update,
)

from agent_memory.errors import EncodingError
from agent_memory.models.ltm import LtmModels
from agent_memory.repositories.querying import agent_of, run_of
from agent_memory.repositories.sql.entries import EntryRow
from agent_memory.repositories.sql.statements import table_of
from agent_memory.repositories.sql.work import UnitOfWork
from agent_memory.repositories.sql.writing import Writer
from agent_memory.values.attributes import Condition, declared_attributes
from agent_memory.values.conditions import Between, ContentCondition
from agent_memory.values.query import Query

BATCH = 1_000
"""How many entries are completed in one transaction."""

_EXACT = 2**53  # up to here an int is a double
_MARGIN = 1e-12  # SQLite may read a JSON number off by its last place
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
    column = models.DeclaredAttribute
    return {row.path: row.is_complete for row in connection.execute(
        select(column.path, column.is_complete))}  # fmt: skip


def declare(connection: Connection, models: LtmModels, paths: Iterable[str]) -> None:
    """Declare paths that are not, and make their indexes."""
    known = declared(connection, models)
    new = [path for path in paths if path not in known]
    if new:
        rows = [{"path": path, "is_complete": False} for path in new]
        connection.execute(insert(table_of(models.DeclaredAttribute)), rows)
    for path in without_index(connection, models, [*known, *new]):
        connection.exec_driver_sql(index_on(models, path)[1])


def without_index(connection: Connection, models: LtmModels, paths: Iterable[str]) -> list[str]:
    """The paths that should have an index and have none, as after a copy of the table."""
    if connection.dialect.name != "sqlite":
        return []
    made = {
        name
        for (name,) in connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'index'"
        )
    }
    return [path for path in paths if _quotable(path) and _index_name(models, path) not in made]


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


def conditions(
    connection: Connection, models: LtmModels, query: Query
) -> list[ColumnElement[bool]]:
    """What an index can tell of a query's conditions; entries that meet them meet these."""
    if connection.dialect.name != "sqlite":
        return []
    complete = declared(connection, models)
    found = (
        _condition(models, path, condition)
        for path, condition in query.attributes.items()
        if complete.get(path)
        and _quotable(path)
        # Where an agent has no number, two numbers in a list may be asked for: contents tell.
        and (
            not isinstance(condition, tuple)
            or (query.is_about_one_agent and _has_values(connection, models, query, path))
        )
    )
    answered = [condition for condition in found if condition is not None]
    # The indexes leave out entries without attributes, and are used only by those who do as well.
    return [models.LtmEntry.attributes.is_not(None), *answered] if answered else []


def _condition(models: LtmModels, path: str, condition: Condition) -> ColumnElement[bool] | None:
    value = _value(models, path)
    if isinstance(condition, str):
        return value == condition if condition.isprintable() else None
    if isinstance(condition, Between):
        condition = condition.least, condition.greatest
    if condition is None or isinstance(condition, ContentCondition):
        return None
    least, greatest = condition if isinstance(condition, tuple) else (condition, condition)
    # Whatever is left out here is left to a look at contents.
    bounds = []
    if abs(least) <= _EXACT:
        bounds.append(value >= least - _MARGIN * abs(least))
    if abs(greatest) <= _EXACT:
        bounds.append(value <= greatest + _MARGIN * abs(greatest))
    return and_(*bounds) if bounds else None


def _has_values(connection: Connection, models: LtmModels, query: Query, path: str) -> bool:
    """Whether any entry of a query's agent has a scalar at a path."""
    entry = models.LtmEntry
    statement = select(entry.id).where(
        entry.run_id == run_of(query),
        entry.agent_id == agent_of(query),
        entry.attributes.is_not(None),
        _value(models, path).is_not(None),
    )
    return connection.execute(statement.limit(1)).first() is not None


def _value(models: LtmModels, path: str) -> ColumnElement[Any]:
    # Part of the statement's text, since an index is used only for the very same expression.
    place: Any = bindparam(None, f'$."{path}"', literal_execute=True)
    found: ColumnElement[Any] = func.json_extract(models.LtmEntry.attributes, place)
    return found


def _index_name(models: LtmModels, path: str) -> str:
    digest = hashlib.blake2b(path.encode(), digest_size=6).hexdigest()
    return f"ix_{table_of(models.LtmEntry).name}_attribute_{digest}"


def index_on(models: LtmModels, path: str) -> tuple[str, str]:
    """The name of the index on a path in SQLite, and the statement that makes it."""
    place, name = f'$."{path}"'.replace("'", "''"), _index_name(models, path)
    return name, (
        f"CREATE INDEX IF NOT EXISTS {name} "
        f"ON {table_of(models.LtmEntry).name} (agent_ref, json_extract(attributes, '{place}')) "
        "WHERE attributes IS NOT NULL"
    )


def _quotable(path: str) -> bool:
    """Whether JSON paths can name a path: they know no way to quote what JSON escapes."""
    return json.dumps(path) == f'"{path}"'
