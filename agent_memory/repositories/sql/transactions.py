"""Connections to a SQL database for reading and for writing, whose errors are ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy import Connection, Engine

from agent_memory.connections.sql import (
    is_read_only,
    place_of,
    translating_sql_errors,
    writing,
)
from agent_memory.connections.sql_connecting import connection_to, connection_within
from agent_memory.errors import StoreReadOnly


class Transactions:
    """Opens transactions on a database. Threads may share one, and both sides of a fork.

    Args:
        sql_engine: From ``connections.sql.open_engine``.
    """

    def __init__(self, sql_engine: Engine) -> None:
        self._sql_engine = sql_engine
        self._writing = writing(sql_engine)
        self.place = place_of(sql_engine)

    def reading(self) -> AbstractContextManager[Connection]:
        """A connection to read on.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        return self._open(self._sql_engine)

    @contextmanager
    def reading_within(self) -> Iterator[Connection]:
        """The connection that this thread reads or writes on already; one to read on if none.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        with translating_sql_errors(self.place), connection_within(self._sql_engine) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection to write on: what is not committed on it when the block ends is undone.

        Raises:
            StoreReadOnly: The database was opened read-only.
            StoreUnavailable: The database does not answer.
        """
        self.check_writable()
        with self._open(self._writing) as connection:
            yield connection

    def check_writable(self) -> None:
        """See that the database may be written to.

        Raises:
            StoreReadOnly: It was opened read-only.
        """
        if is_read_only(self._sql_engine):
            raise StoreReadOnly(f"{self.place} was opened read-only: open it without read_only")

    @contextmanager
    def _open(self, sql_engine: Engine) -> Iterator[Connection]:
        with translating_sql_errors(self.place), connection_to(sql_engine) as connection:
            yield connection
