"""What was changed of long-term memory's tables that Alembic's comparison does not see.

Alembic compares tables, columns, their types and defaults, foreign keys, and indexes by name and
columns. What else decides how rows are kept and found is read here from the database's own
catalogue: row numbers that are counted up, collations, indexes that are partial, descending or over
expressions, the order of keys, checks, triggers and rules.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    bindparam,
    create_engine,
    text,
)

from agent_memory.models.ltm import LtmModels, ltm_models
from agent_memory.repositories.sql.attributes import declared, index_on, is_attribute_index
from agent_memory.repositories.sql.partitions import KEY
from agent_memory.repositories.sql.statements import table_of
from agent_memory.repositories.sql.vector_indexes import is_vector_index

_TOKEN = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^]]*]|--[^\n]*|/\*.*?\*/|\w+|[^\s\w]""", re.DOTALL
)
_CLAUSES = (
    *("AUTOINCREMENT", "CHECK", "COLLATE", "CONFLICT", "DEFAULT", "DEFERRABLE", "GENERATED"),
    *("STRICT", "WITHOUT"),
)
"""What a table's statement says in SQLite, and no pragma of those below."""


def differences(connection: Connection, models: LtmModels, table_prefix: str) -> list[str]:
    """What was changed, each in a few words; nothing for databases that are not known here.

    Args:
        connection: To the database; nothing is written.
        models: The models of the tables.
        table_prefix: What the tables' names begin with.
    """
    if connection.dialect.name == "sqlite":
        return [*_of_sqlite(connection, models, table_prefix)]
    if connection.dialect.name == "postgresql":
        return [*_of_postgresql(connection, models)]
    return []


# -- SQLite -----------------------------------------------------------------------------------


def _of_sqlite(connection: Connection, models: LtmModels, table_prefix: str) -> Iterator[str]:
    known = _as_made(table_prefix)
    attributes = {
        name: _definition(statement)
        for name, statement in (index_on(models, path) for path in declared(connection, models))
    }
    for name, wanted in known.items():
        found = _table(connection, name)
        yield from _compared(f"table {name}", wanted["clauses"], found["clauses"])
        for what in ("primary key", "foreign keys", "unique keys"):
            if found[what] != wanted[what]:
                yield f"table {name}: the {what} changed"
        for index, definition in found["indexes"].items():
            expected = wanted["indexes"].get(index) or attributes.get(index)
            if expected is None:
                if not is_attribute_index(index, name):  # of before the table of them was dropped
                    yield f"index {index} was added"
            elif definition != expected:
                yield f"index {index} is another: {' '.join(definition)}"
        yield from (f"trigger {trigger} was added" for trigger in found["triggers"])


@cache
def _as_made(table_prefix: str) -> Mapping[str, Mapping[str, Any]]:
    """The tables as the models make them, in a database in this process."""
    engine = create_engine("sqlite://")
    metadata = ltm_models(table_prefix).metadata
    with engine.connect() as connection:
        metadata.create_all(connection)
        made = {name: _table(connection, name) for name in metadata.tables}
    engine.dispose()
    return made


def _table(connection: Connection, name: str) -> Mapping[str, Any]:
    """What SQLite's catalogue says of a table."""

    def ask(statement: str, *values: str) -> Sequence[Any]:
        return connection.exec_driver_sql(statement, values).all()

    columns = ask("SELECT name, pk FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", name)
    foreign = ask(
        'SELECT "from", "table", "to", on_update, on_delete FROM pragma_foreign_key_list(?)', name
    )
    unique = ask("SELECT name FROM pragma_index_list(?) WHERE origin <> 'c'", name)
    made = ask("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", name)
    indexes = ask("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ?", name)
    triggers = ask("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?", name)
    return {
        "clauses": Counter(word for word in _words(made[0][0] if made else "") if word in _CLAUSES),
        "primary key": [column for column, _ in columns],
        "foreign keys": sorted(map(tuple, foreign)),
        "unique keys": sorted(
            ask(
                "SELECT group_concat(name || coll || desc) FROM pragma_index_xinfo(?) WHERE key",
                index,
            )[0][0]
            for (index,) in unique
        ),
        "indexes": {index: _definition(sql) for index, sql in indexes if sql is not None},
        "triggers": [trigger for (trigger,) in triggers],
    }


def _words(statement: str) -> list[str]:
    """The words of a statement, names without their quotes; what is quoted stays as it is."""
    found = [token for token in _TOKEN.findall(statement) if token[:2] not in ("--", "/*")]
    return [token if token[0] in "'\"`[" else token.upper() for token in found]


def _definition(statement: str) -> list[str]:
    """What makes an index what it is: whether it is unique, and all behind its name."""
    words = [word[1:-1].upper() if word[0] in '"`[' else word for word in _words(statement or "")]
    kind = ["UNIQUE"] if "UNIQUE" in words[:2] else []
    return [*kind, *words[words.index("ON") :]]


def _compared(place: str, wanted: Counter[str], found: Counter[str]) -> Iterator[str]:
    yield from (f"{place}: {clause} was dropped" for clause in wanted - found)
    yield from (f"{place}: {clause} was added" for clause in found - wanted)


# -- PostgreSQL -------------------------------------------------------------------------------

_TABLES = """
SELECT c.relname, c.oid, c.relkind, c.relpersistence <> 'p' AS is_other, c.relrowsecurity
FROM pg_class c WHERE c.relname IN :names AND pg_table_is_visible(c.oid)
"""
_INDEXES = """
SELECT i.relname, pg_get_indexdef(x.indexrelid), x.indisvalid AND x.indisready
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = :table
"""
_CONSTRAINTS = """
SELECT conname, contype IN ('c', 'x', 't'),
    condeferrable OR NOT convalidated
    OR (contype = 'f' AND (confupdtype, confdeltype, confmatchtype) <> ('a', 'a', 's'))
FROM pg_constraint WHERE conrelid = :table
"""
_COLUMNS = """
SELECT a.attname, a.attcollation <> t.typcollation, a.attgenerated <> '',
    coalesce(pg_get_expr(d.adbin, d.adrelid), '') LIKE 'nextval(%' OR a.attidentity <> ''
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = :table AND a.attnum > 0 AND NOT a.attisdropped
"""
_TRIGGERS = """
SELECT tgname, tgisinternal FROM pg_trigger
WHERE tgrelid = :table AND NOT (tgisinternal AND tgenabled = 'O')
"""
_RULES = "SELECT rulename FROM pg_rewrite WHERE ev_class = :table"

_INDEX = re.compile(r"CREATE (UNIQUE )?INDEX .*? USING (.*?)( WITH \(.*\))?", re.DOTALL)


def _of_postgresql(connection: Connection, models: LtmModels) -> Iterator[str]:
    tables = models.metadata.tables
    asked = text(_TABLES).bindparams(bindparam("names", expanding=True))
    entries = table_of(models.LtmEntry).name
    for name, oid, kind, is_other, is_secured in connection.execute(asked, {"names": [*tables]}):
        # Entries may be in partitions; see ``partitions``.
        if is_other or (kind != "r" and (kind, name) != ("p", entries)):
            yield f"table {name} is no ordinary one: it is unlogged, temporary or partitioned"
        if is_secured:
            yield f"table {name}: row security was added"
        yield from _indexes(connection, tables[name], oid, in_partitions=kind == "p")
        for look in (_constraints, _columns, _triggers):
            yield from look(connection, tables[name], oid)


def _asked(connection: Connection, query: str, oid: int) -> Sequence[Any]:
    return connection.execute(text(query), {"table": oid}).all()


def _indexes(
    connection: Connection, table: Table, oid: int, *, in_partitions: bool
) -> Iterator[str]:
    wanted = _definitions(table)
    if in_partitions:
        wanted[str(table.primary_key.name)] = True, f"btree ({', '.join(KEY)})"
    for index, statement, is_sound in _asked(connection, _INDEXES, oid):
        found = _INDEX.fullmatch(statement)
        if is_vector_index(index, table.name) or is_attribute_index(index, table.name):
            continue  # whoever opens the memory neither needs nor misses it
        if index not in wanted:
            yield f"index {index} was added"
        elif found is None or (bool(found[1]), found[2].replace('"', "")) != wanted[index]:
            yield f"index {index} is another: {statement.partition(' USING ')[2]}"
        elif not is_sound:
            yield f"index {index} is not valid: REINDEX it"


def _definitions(table: Table) -> dict[str, tuple[bool, str]]:
    """Whether each index of a table is unique, and what it is over, in PostgreSQL's words."""
    keys = [
        each
        for each in table.constraints
        if isinstance(each, (PrimaryKeyConstraint, UniqueConstraint))
    ]
    columns: list[tuple[Any, bool, Any]] = [(key.name, True, key.columns) for key in keys]
    columns += [(index.name, bool(index.unique), index.columns) for index in table.indexes]
    return {
        str(name): (unique, f"btree ({', '.join(column.name for column in each)})")
        for name, unique, each in columns
    }


def _constraints(connection: Connection, table: Table, oid: int) -> Iterator[str]:
    for name, is_added, is_other in _asked(connection, _CONSTRAINTS, oid):
        if is_added:
            yield f"table {table.name}: the check or trigger {name} was added"
        elif is_other:
            yield f"table {table.name}: the constraint {name} holds in another way, or not for all"


def _columns(connection: Connection, table: Table, oid: int) -> Iterator[str]:
    counted = table.autoincrement_column
    for name, is_collated, is_generated, is_counted in _asked(connection, _COLUMNS, oid):
        if is_collated:
            yield f"column {table.name}.{name} has another collation"
        if is_generated:
            yield f"column {table.name}.{name} is generated"
        if counted is not None and name == counted.name and not is_counted:
            yield f"column {table.name}.{name} is no longer counted up"


def _triggers(connection: Connection, table: Table, oid: int) -> Iterator[str]:
    for name, is_internal in _asked(connection, _TRIGGERS, oid):
        done = "that keeps a foreign key is disabled" if is_internal else "was added"
        yield f"table {table.name}: the trigger {name} {done}"
    for (name,) in _asked(connection, _RULES, oid):
        yield f"table {table.name}: the rule {name} was added"
