"""What a database records of the memory that it belongs to: its identity, and how it was made.

The table is made when a memory is first opened for writing and belongs to no revision of the
schema: a database of any revision takes one, and nothing that is kept depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select, text
from sqlalchemy.schema import CreateTable

from agent_memory.connections.sql import SqlEngine
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.values.formats import FORMAT, check_record

LOCK_RECORDS = "SELECT pg_advisory_xact_lock(6281127)"
"""Has PostgreSQL let one transaction at a time make and fill the table."""


@cache
def records_table(table_prefix: str) -> Table:
    """The table of what is recorded of the memory whose tables begin with a prefix.

    The same one on every call: a statement on another table is compiled again, and takes the room
    of one that is still asked for.
    """
    return Table(
        f"{table_prefix}_memory",
        MetaData(),
        Column("name", String, primary_key=True),
        Column("value", String, nullable=False),
    )


class DatabaseRecord:
    """Named texts about the memory whose tables begin with a prefix.

    Args:
        sql_engine: From ``connections.sql.open_engine``.
        table_prefix: What the names of the memory's tables begin with.
    """

    def __init__(self, sql_engine: SqlEngine, table_prefix: str) -> None:
        self._transactions = Transactions(sql_engine)
        self._table = records_table(table_prefix)

    @property
    def place(self) -> str:
        """Where the database is, without a password."""
        return self._transactions.place

    def read(self) -> dict[str, str]:
        """What is recorded; nothing where no memory has recorded anything.

        Raises:
            NewerFormat: A newer version made that memory.
            StoreUnavailable: The database does not answer.
        """
        with self._transactions.reading() as connection:
            return self._read(connection) if self._is_there(connection) else {}

    def add(self, values: Mapping[str, str]) -> dict[str, str]:
        """Record what is not recorded yet; gives what is recorded then.

        Of several processes that record at once, one comes first.

        Raises:
            StoreReadOnly: The database was opened read-only.
            StoreUnavailable: The database does not answer.
        """
        return self._write(values, replacing=False)

    def put(self, values: Mapping[str, str]) -> None:
        """Record these, in place of what was recorded under their names.

        Raises:
            StoreReadOnly: The database was opened read-only.
            StoreUnavailable: The database does not answer.
        """
        self._write(values, replacing=True)

    def _write(self, values: Mapping[str, str], *, replacing: bool) -> dict[str, str]:
        with self._transactions.writing() as connection:
            if connection.dialect.name == "postgresql":
                # Taken until the end of the transaction, as SQLite's write lock is.
                connection.execute(text(LOCK_RECORDS))
            connection.execute(CreateTable(self._table, if_not_exists=True))
            held = self._read(connection)
            changed = {
                name: value
                for name, value in values.items()
                if held.get(name) != value and (replacing or name not in held)
            }
            for name, value in changed.items():
                connection.execute(self._table.delete().where(self._table.c.name == name))
                connection.execute(self._table.insert().values(name=name, value=value))
            connection.commit()
            return held | changed

    def _read(self, connection: Connection) -> dict[str, str]:
        rows = connection.execute(select(self._table.c.name, self._table.c.value))
        # SQLite keeps a value of any type in any column.
        held = {str(name): str(value) for name, value in rows}
        check_record(self.place, held.get(FORMAT))
        return held

    def _is_there(self, connection: Connection) -> bool:
        return inspect(connection).has_table(self._table.name)
