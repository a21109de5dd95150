"""Tells whether a database may have changed since something was read, without reading it again.

A *mark* is taken before what it stands for is read. What has been committed stays committed: so
where a later mark is the same, nothing was committed in between, and what was read is still true.

SQLite counts the commits of others for each connection (``PRAGMA data_version``), and the driver
the rows that the connection itself has changed. PostgreSQL tells which transactions are visible
(``pg_current_snapshot``). Both count any change of the database, of whatever table.
"""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Connection

_SOURCE = "agent_memory_mark"


class _Source:
    """What marks are compared within: a connection to SQLite, or a server."""


class Mark(NamedTuple):
    """The state of a database, as one source of marks tells it.

    Attributes:
        source: Where it was taken; marks of different sources do not compare.
        state: What changes whenever anything is committed.
    """

    source: _Source
    state: object


_SERVER = _Source()


def mark_of(connection: Connection) -> Mark | None:
    """Take the mark of a database; None where it has none.

    Args:
        connection: What is read afterwards is to be read on this one.
    """
    match connection.dialect.name:
        case "sqlite":
            # Kept with the driver's connection: another one of the pool counts for itself.
            source = connection.info.setdefault(_SOURCE, _Source())
            version = connection.exec_driver_sql("PRAGMA data_version").scalar()
            driver = connection.connection.driver_connection
            return None if driver is None else Mark(source, (version, driver.total_changes))
        case "postgresql":
            snapshot = connection.exec_driver_sql("SELECT pg_current_snapshot()::text").scalar()
            return Mark(_SERVER, snapshot)
        case _:
            return None


class Marks:
    """The marks under which something that was read is known to be true."""

    def __init__(self) -> None:
        self._states: WeakKeyDictionary[_Source, object] = WeakKeyDictionary()

    def hold(self, mark: Mark | None) -> bool:
        """Whether nothing was committed since one of them was taken."""
        return mark is not None and self._states.get(mark.source) == mark.state

    def add(self, mark: Mark | None) -> None:
        """Note that it is true under a mark too."""
        if mark is not None:
            self._states[mark.source] = mark.state

    def renew(self, mark: Mark | None) -> None:
        """Note that it was read again, after a mark was taken."""
        self._states.clear()
        self.add(mark)
