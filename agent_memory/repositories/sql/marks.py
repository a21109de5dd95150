"""Tells whether a database may have changed since something was read, without reading it again.

A *mark* is taken before what it stands for is read. What has been committed stays committed: so
where a later mark is the same, nothing was committed in between, and what was read is still true.

SQLite counts the commits of others for each connection (``PRAGMA data_version``), and the driver
the rows that the connection itself has changed. PostgreSQL tells which transactions are visible
(``pg_current_snapshot``). Both count any change of the database, of whatever table.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import Connection, Select, literal_column, select

from agent_memory.repositories.moves import Agent
from agent_memory.repositories.sql.plans import rows_by_driver, rows_of
from agent_memory.values.forking import after_fork

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
            # Through SQLAlchemy it takes ten times as long, and each question asks.
            ((version,),) = rows_by_driver(connection, "PRAGMA data_version")
            driver = connection.connection.driver_connection
            return None if driver is None else Mark(source, (version, driver.total_changes))
        case "postgresql":
            ((snapshot,),) = rows_of(connection, _ASKED, {})
            return server_mark(snapshot)
        case _:
            return None


SNAPSHOT = "pg_current_snapshot()::text"
"""The state of a PostgreSQL server, as each of its statements sees it."""

_ASKED: Select[tuple[str]] = select(literal_column(SNAPSHOT))


def server_mark(snapshot: str) -> Mark:
    """The mark of what a statement has read.

    Args:
        snapshot: What the same statement has read as ``SNAPSHOT``.
    """
    return Mark(_SERVER, snapshot)


class Marks:
    """The marks under which something that was read is known to be true. Threads may share them.

    Args:
        agent: The run and the agent that it was read of.
    """

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self._lock = threading.Lock()
        self._states: WeakKeyDictionary[_Source, object] = WeakKeyDictionary()

    def hold(self, mark: Mark | None) -> bool:
        """Whether nothing was committed since one of them was taken."""
        with self._lock:
            return mark is not None and self._states.get(mark.source) == mark.state

    def add(self, mark: Mark | None) -> None:
        """Note that it is true under a mark too."""
        if mark is not None:
            with self._lock:
                self._states[mark.source] = mark.state

    def clear(self) -> None:
        """Note that it is to be read again."""
        with self._lock:
            self._states.clear()

    def go_on(self, before: Mark, after: Mark) -> None:
        """Note that what was true under a mark is true under a later one too."""
        with self._lock:
            if self._states.get(before.source) == before.state:
                self._states[after.source] = after.state


class KnownMarks:
    """The marks of all that is kept of a database in this process. Threads may share them."""

    def __init__(self) -> None:
        self._renew()
        after_fork(self._renew)

    def of(self, agent: Agent) -> Marks:
        """Marks for something that is read of an agent in a run; none at first."""
        marks = Marks(agent)
        with self._lock:
            self._all.add(marks)
        return marks

    @contextmanager
    def going_on(
        self,
        connection: Connection,
        changed: Collection[Agent] | None,
        spared: Collection[Marks] = (),
    ) -> Iterator[None]:
        """Keep what this process itself is about to write from being taken for a change.

        What is kept of other agents stays true. Only SQLite, where a transaction that writes has
        the database for itself, tells that nobody else has written in between.

        Args:
            connection: What is written on, whose transaction has begun to write.
            changed: The agents whose entries change; None: anyone's may.
            spared: The marks of what is kept of them and is changed in the same way.
        """
        if changed is None or connection.dialect.name != "sqlite":
            yield
            return
        before = mark_of(connection)
        yield
        after = mark_of(connection)
        if before is None or after is None:
            return
        with self._lock:
            others = [
                marks
                for marks in self._all
                if marks.agent not in changed or any(marks is one for one in spared)
            ]
        for marks in others:
            marks.go_on(before, after)

    def _renew(self) -> None:
        # In a forked child too, whose connections are others.
        self._lock = threading.Lock()
        self._all: WeakSet[Marks] = WeakSet()
