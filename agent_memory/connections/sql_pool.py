"""A pool of SQL connections that serves on, whatever interrupts it at whatever instant.

SQLAlchemy's own counts the connections it gives out, and waits with locks that are written in
Python. Whoever is interrupted between two counts, or with such a lock in hand, keeps a connection
from everybody else for good, or all of them. Here each change is one that Python does whole, and
what an interruption has left taken is found by looking.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import exc
from sqlalchemy.pool import ConnectionPoolEntry, Pool
from sqlalchemy.pool.base import _ConnectionRecord

_KEPT = 5  # open connections that nobody uses
_LOOK_EVERY = 0.001  # seconds
_LOST_AFTER = 5.0  # seconds; far longer than anybody takes to take a connection or give it back


@dataclass(eq=False, slots=True)
class _Taking:
    """That a connection is taken.

    Attributes:
        thread: By which thread.
        unused_since: When it was first seen that nobody uses it, by a clock that never goes back.
    """

    thread: int = field(default_factory=threading.get_ident)
    unused_since: float | None = None


class InterruptiblePool(Pool):
    """Gives out as many connections as are asked for at once, up to a limit. Threads may share it.

    Args:
        creator: See ``sqlalchemy.pool.Pool``.
        pool_size: How many may be in use at once.
        timeout: How long to wait for one, in seconds.
        options: See ``sqlalchemy.pool.Pool``.
    """

    def __init__(
        self, creator: Any, pool_size: int = 15, timeout: float = 30.0, **options: Any
    ) -> None:
        super().__init__(creator, **options)
        self._most = pool_size
        self._patience = timeout
        self._records: list[_ConnectionRecord] = []
        self._taken: dict[int, _Taking] = {}
        self._growing = threading.Lock()
        self._is_over = False
        self.only: Any = None
        """For a database in memory: its connection, once there is one."""

    def recreate(self) -> InterruptiblePool:
        """An empty pool like this one."""
        return self.__class__(
            self._creator,
            pool_size=self._most,
            timeout=self._patience,
            pre_ping=self._pre_ping,
            recycle=self._recycle,
            echo=self.echo,
            logging_name=self._orig_logging_name,
            reset_on_return=self._reset_on_return,
            _dispatch=self.dispatch,
            dialect=self._dialect,
        )

    def dispose(self) -> None:
        """Close what nobody uses now; the others are closed when they are given back."""
        self._is_over = True
        for record in [*self._records]:
            if self._take(record):
                record.close()
                self._taken.pop(id(record), None)

    def _close_connection(self, connection: Any, *, terminate: bool = False) -> None:
        if isinstance(connection, sqlite3.Connection):
            # While a cursor of it is kept, as by a traceback, closing it leaves its transaction
            # open.
            with suppress(sqlite3.Error):
                connection.rollback()
        # SQLAlchemy closes what an interruption makes it doubt, and would end one in memory.
        if connection is not self.only or self._is_over:
            super()._close_connection(connection, terminate=terminate)

    def status(self) -> str:
        """How many connections there are."""
        return f"{len(self._records)} connections, {len(self._taken)} of them in use"

    def taken_here(self, but: Sequence[object] = ()) -> list[object]:
        """What stands for each connection that this thread has taken.

        Args:
            but: Those that are left out.
        """
        me = threading.get_ident()
        return [
            taking
            for taking in [*self._taken.values()]
            if taking.thread == me and taking not in but
        ]

    def give_up(self, takings: Sequence[object]) -> None:
        """Take back connections that were not given back, and undo what was not committed.

        Args:
            takings: What stands for them.
        """
        if not takings:
            return
        for record in [*self._records]:
            if self._taken.get(id(record)) in takings:
                # Whoever still has it in hand does not give it back any more.
                record.fairy_ref = None
                record.invalidate()
                self._taken.pop(id(record), None)

    def _do_get(self) -> ConnectionPoolEntry:
        deadline = time.monotonic() + self._patience
        while True:
            for record in [*self._records]:
                if self._take(record) or self._take_over(record):
                    return record
            if (another := self._another()) is not None:
                return another
            if time.monotonic() > deadline:
                raise exc.TimeoutError(
                    f"{self._most} connections are in use; none became free in {self._patience:g} s"
                )
            time.sleep(_LOOK_EVERY)

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        if self._is_over or self._open_and_free() >= _KEPT:
            record.close()
        self._taken.pop(id(record), None)

    def _take(self, record: _ConnectionRecord) -> bool:
        me = _Taking()
        return self._taken.setdefault(id(record), me) is me

    def _another(self) -> _ConnectionRecord | None:
        """One more, which connects when it is used; None: there are too many."""
        with self._growing:
            if len(self._records) >= self._most:
                return None
            record = _ConnectionRecord(self, connect=False)
            self._take(record)
            self._records.append(record)
            return record

    def _open_and_free(self) -> int:
        if len(self._records) <= _KEPT:
            return 0
        return sum(
            record.dbapi_connection is not None and id(record) not in self._taken
            for record in [*self._records]
        )

    def _take_over(self, record: _ConnectionRecord) -> bool:
        """Take a connection from whoever was interrupted while taking it or giving it back."""
        taking = self._taken.get(id(record))
        if taking is None:
            return False
        if _is_used(record):
            taking.unused_since = None
            return False
        now = time.monotonic()
        if taking.unused_since is None:
            taking.unused_since = now
        # This very thread takes none and gives none back at the moment.
        if taking.thread != threading.get_ident() and now < taking.unused_since + _LOST_AFTER:
            return False
        with self._growing:
            if self._taken.get(id(record)) is not taking:
                return False
            self._taken[id(record)] = _Taking()
        record.invalidate()
        return True


def _is_used(record: _ConnectionRecord) -> bool:
    """Whether somebody has the connection in hand."""
    return record.fairy_ref is not None and record.fairy_ref() is not None


def _is_a_failure(record: logging.LogRecord) -> bool:
    """Whether a pool's line says that something went wrong, and not that somebody interrupted it.

    SQLAlchemy writes the traceback of a Ctrl-C that comes while a connection is given back, and
    raises it on: the program hears of it, and nothing is wrong.
    """
    error = record.exc_info[1] if record.exc_info else None
    return error is None or isinstance(error, Exception)


logging.getLogger(f"{__name__}.{InterruptiblePool.__name__}").addFilter(_is_a_failure)
