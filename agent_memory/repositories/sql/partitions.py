"""The table of entries in partitions by agent, for large stores on PostgreSQL.

Rows are divided by a hash of their agent, which every question about an agent names, so that it
goes to one partition; dividing them by run would put a whole simulation into one. The unique key of
entries holds the agent anyway; the primary key gets it as well, since PostgreSQL has no key across
partitions. No statement needs to know: rows come and go by the name of the whole table.
"""

from __future__ import annotations

from sqlalchemy import (
    Connection,
    Engine,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    exists,
    select,
    text,
)
from sqlalchemy.schema import AddConstraint, CreateIndex

from agent_memory.connections.migrating import migration
from agent_memory.connections.sql import place_of
from agent_memory.errors import ConfigError
from agent_memory.models.ltm import DEFAULT_PREFIX, LtmModels, ltm_models
from agent_memory.repositories.sql.statements import as_identifier, table_of

MOST = 1_024
"""How many partitions there may be: each takes files, and memory of whoever asks them all."""

KEY = ("id", "agent_ref")
"""The primary key of a table in partitions."""


def partitions_of(connection: Connection, table: str) -> int:
    """How many partitions a table is in; 0 if it is in none.

    Args:
        connection: To the database.
        table: The name of the table.
    """
    if connection.dialect.name != "postgresql":
        return 0
    asked = text("SELECT count(*) FROM pg_inherits WHERE inhparent = to_regclass(:of_table)")
    of_table = {"of_table": as_identifier(connection, table)}
    return int(connection.execute(asked, of_table).scalar_one())


def bytes_of(connection: Connection, table: str) -> int:
    """How many bytes a table takes, in partitions or not, indexes included.

    Args:
        connection: To a PostgreSQL database.
        table: The name of the table.
    """
    asked = text(
        "SELECT pg_total_relation_size(to_regclass(:of_table))"
        " + coalesce(sum(pg_total_relation_size(inhrelid)), 0)"
        " FROM pg_inherits WHERE inhparent = to_regclass(:of_table)"
    )
    of_table = {"of_table": as_identifier(connection, table)}
    return int(connection.execute(asked, of_table).scalar_one())


def refuse_elsewhere(sql_engine: Engine) -> None:
    """See that a database can have partitions; it is not connected to, and no file is made.

    Raises:
        ConfigError: It is not PostgreSQL.
    """
    if sql_engine.dialect.name != "postgresql":
        raise ConfigError(
            f"{place_of(sql_engine)}: partitions are made in PostgreSQL alone; name a database "
            "there, or make this one without them"
        )


def partition(sql_engine: Engine, number: int, table_prefix: str = DEFAULT_PREFIX) -> None:
    """Put the table of entries into partitions, before the first entry is stored.

    Args:
        sql_engine: From ``connections.sql.open_engine``, over a schema that is up to date.
        number: How many.
        table_prefix: What the tables' names begin with.

    Raises:
        ConfigError: The database is not PostgreSQL, the number is none, there are entries, or the
            table is in another number of partitions.
        StoreReadOnly: The SQL engine is read-only.
        StoreUnavailable: The database does not answer, or refuses to take writes.
    """
    refuse_elsewhere(sql_engine)
    place, models = place_of(sql_engine), ltm_models(table_prefix)
    if not 1 <= number <= MOST:
        raise ConfigError(f"{number} partitions: name a number from 1 to {MOST:,}")
    name = table_of(models.LtmEntry).name
    with migration(sql_engine) as connection:
        there = partitions_of(connection, name)
        if there == number:
            return
        if connection.scalar(select(exists().where(models.LtmEntry.id.is_not(None)))):
            raise ConfigError(
                f"{place} holds entries: copy the memory into a database that was made with "
                "partitions, by agent-memory db copy"
            )
        if there:
            raise ConfigError(f"{place} has {there} partitions already: drop its tables first")
        _make(connection, models, number)


def refuse_below(connection: Connection, table: str, wanted: int, place: str) -> None:
    """See that a table in partitions is not taken to a revision that has another key of entries.

    Args:
        connection: To the database.
        table: The name of the table.
        wanted: How many revisions it is to have behind it.
        place: The database, for messages. No secrets.

    Raises:
        ConfigError: It is.
    """
    if wanted < _REVISIONS and partitions_of(connection, table):
        raise ConfigError(
            f"{place} is in partitions by agent, and before revision 0003 the key of an entry was "
            "without its agent, which PostgreSQL cannot keep across partitions: copy the memory "
            "into a database without them, by agent-memory db copy; to delete all, drop the tables"
        )


_REVISIONS = 3  # behind a database whose key of entries has the agent


def _make(connection: Connection, models: LtmModels, number: int) -> None:
    table = _with_keys_across(models)
    name, former = (as_identifier(connection, table.name + end) for end in ("", "_former"))
    sequence = connection.scalar(text(f"SELECT pg_get_serial_sequence('{name}', 'id')"))
    by = f"PARTITION BY HASH ({KEY[1]})"
    for statement in (
        # Like the former one, whose columns are in the order that leaves the fewest gaps.
        f"ALTER TABLE {name} RENAME TO {former}",
        f"CREATE TABLE {name} (LIKE {former} INCLUDING DEFAULTS) {by}",
        f"ALTER SEQUENCE {sequence} OWNED BY {name}.id",
        f"DROP TABLE {former}",
    ):
        connection.execute(text(statement))
    for constraint in sorted(table.constraints, key=lambda each: str(each.name)):
        connection.execute(AddConstraint(constraint))
    for index in sorted(table.indexes, key=lambda each: str(each.name)):
        connection.execute(CreateIndex(index))
    for place in range(number):
        part = as_identifier(connection, f"{table.name}_p{place}")
        values = f"FOR VALUES WITH (MODULUS {number}, REMAINDER {place})"
        connection.execute(text(f"CREATE TABLE {part} PARTITION OF {name} {values}"))


def _with_keys_across(models: LtmModels) -> Table:
    """The table of entries with the keys that it can have in partitions."""
    metadata = MetaData(naming_convention=models.metadata.naming_convention)
    for table in models.metadata.sorted_tables:
        table.to_metadata(metadata)
    entries = metadata.tables[table_of(models.LtmEntry).name]
    entries.constraints.discard(entries.primary_key)
    for name in KEY:
        entries.c[name].primary_key = True
    entries.append_constraint(PrimaryKeyConstraint(*(entries.c[name] for name in KEY)))
    return entries
