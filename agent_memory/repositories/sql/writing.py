"""Commits pieces of work on long-term memory, again where another writer came in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, NamedTuple, TypeVar

from sqlalchemy.exc import IntegrityError

from agent_memory.errors import EntryConflict
from agent_memory.models.ltm import LtmModels
from agent_memory.repositories.sql.names import KnownNames
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.repositories.sql.work import UnitOfWork

# Of writers that interfere one succeeds each time. Three attempts were too few for two that add and
# clear the same entries on PostgreSQL: one of eight runs failed.
_ATTEMPTS = 12

T = TypeVar("T")


class Writer:
    """Begins units of work. Threads may share one.

    Args:
        transactions: The database.
        models: The models of the tables.
        clock: Gives the time in seconds since 1970.
    """

    def __init__(
        self, transactions: Transactions, models: LtmModels, clock: Callable[[], float]
    ) -> None:
        self.transactions = transactions
        self.known = KnownNames()
        self._models = models
        self._clock = clock

    @contextmanager
    def begin(self) -> Iterator[UnitOfWork]:
        """Begin a transaction; leaving the block without ``commit()`` undoes it.

        Raises:
            StoreReadOnly: The store was opened read-only.
        """
        with self.transactions.writing() as connection:
            yield UnitOfWork(connection, self._models, self.known, self._clock)

    def run(
        self, work_on: Callable[[UnitOfWork], T], committed: Callable[[T], None] | None = None
    ) -> T:
        """Do a piece of work and commit it; begin again if another process interfered.

        Args:
            work_on: The work. It may be called several times, each time in a new transaction.
            committed: Called with what it gives as soon as the commit was acknowledged.

        Raises:
            EntryConflict: Other writers interfered each time.
            StoreReadOnly: The store was opened read-only.
            StoreUnavailable: The database does not answer.
        """
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._run_once(work_on, committed)
            except EntryConflict as conflict:
                # Two writers added the same key or name (PostgreSQL), or a name that was known
                # here has been deleted by someone else.
                if not isinstance(conflict.__cause__, IntegrityError):
                    raise
                self.known.clear()
        return self._run_once(work_on, committed)

    def _run_once(
        self, work_on: Callable[[UnitOfWork], T], committed: Callable[[T], None] | None
    ) -> T:
        with self.begin() as work:
            done = work_on(work)
            work.commit()
            if committed is not None:
                committed(done)
        return done


class _Begun(NamedTuple, Generic[T]):
    """Work that was begun: what it gives, in which transaction, and whether that was answered."""

    done: T
    transaction: int | None
    answered: bool


class NamedWork(Generic[T]):
    """Does work of a name once, though the answer to its commit may be lost. Threads may share it.

    PostgreSQL is asked what became of the transaction. SQLite answers in this process: a commit
    that fails there was none.

    Args:
        writer: Begins the transactions.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._begun: dict[str, _Begun[T]] = {}

    def run(self, name: str, work_on: Callable[[UnitOfWork], T]) -> T:
        """Do a piece of work and commit it, unless that was done under this name before.

        Raises:
            EntryConflict: Other writers interfered each time.
            StoreReadOnly: The store was opened read-only.
            StoreUnavailable: The database does not answer; the same call may be made again.
        """

        def once(work: UnitOfWork) -> T:
            begun = self._begun.get(name)
            if begun is not None and work.has_committed(begun.transaction):
                return begun.done
            done = work_on(work)
            self._begun[name] = _Begun(done, work.transaction(), answered=False)
            return done

        def committed(done: T) -> None:
            self._begun[name] = _Begun(done, None, answered=True)

        begun = self._begun.get(name)
        return begun.done if begun and begun.answered else self._writer.run(once, committed)

    def close(self, name: str) -> None:
        """Note that work of that name does not come again."""
        self._begun.pop(name, None)
