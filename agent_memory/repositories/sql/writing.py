"""Commits pieces of work on long-term memory, again where another writer came in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, NamedTuple, TypeVar

from agent_memory.connections.sql_commits import CommitNote
from agent_memory.connections.sql_failures import was_cut_off, was_interfered
from agent_memory.errors import EntryConflict, MemoryStoreError, StoreUnavailable
from agent_memory.models.ltm import LtmModels
from agent_memory.repositories.sql.names import KnownNames
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.repositories.sql.work import UnitOfWork

# Of writers that interfere one succeeds each time. Three attempts were too few for two that add and
# clear the same entries on PostgreSQL: one of eight runs failed.
_ATTEMPTS = 12
# A pool may hold another connection that was lost with the first. It is asked before it is used,
# so that a third is lost only where the server goes on losing them.
_CONNECTIONS = 3

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
        self,
        work_on: Callable[[UnitOfWork], T],
        committed: Callable[[T], None] | None = None,
        *,
        repeatable: bool = False,
    ) -> T:
        """Do a piece of work and commit it; begin again if another process interfered.

        Where the connection was lost it is begun again too, unless that was while the work was
        being committed: then it may be done already.

        Args:
            work_on: The work. It may be called several times, each time in a new transaction.
            committed: Called with what it gives as soon as the commit was acknowledged.
            repeatable: Whether work that is done already may be done once more.

        Raises:
            EntryConflict: Other writers interfered each time.
            StoreReadOnly: The store was opened read-only.
            StoreUnavailable: The database does not answer.
        """
        attempts = _Attempts(repeatable)
        while True:
            attempts.is_committing = False
            try:
                with self.begin() as work:
                    done = work_on(work)
                    attempts.is_committing = True
                    work.commit()
                    if committed is not None:
                        committed(done)
            except (EntryConflict, StoreUnavailable) as failure:
                if not attempts.is_one_left(failure):
                    raise
                self.known.clear()
            else:
                return done


class _Attempts:
    """How often work may be begun again.

    Args:
        repeatable: Whether work that is done already may be done once more.

    Attributes:
        is_committing: Whether the work of this attempt was done, so that it may be committed.
    """

    def __init__(self, repeatable: bool) -> None:
        self._repeatable = repeatable
        self._interferences = self._losses = 0
        self.is_committing = False

    def is_one_left(self, failure: MemoryStoreError) -> bool:
        """Whether to begin again after a failure."""
        if was_interfered(failure):
            self._interferences += 1
            return self._interferences < _ATTEMPTS
        if was_cut_off(failure) and (self._repeatable or not self.is_committing):
            self._losses += 1
            return self._losses < _CONNECTIONS
        return False


class _Begun(NamedTuple, Generic[T]):
    """Work that was begun: what it gives, in which transaction, and whether that was answered."""

    done: T
    transaction: int | CommitNote | None
    answered: bool


class NamedWork(Generic[T]):
    """Does work of a name once, though the answer to its commit may be lost. Threads may share it.

    PostgreSQL is asked what became of the transaction. SQLite answers in this process, where it is
    noted whatever interrupts the caller.

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
        if begun is not None and begun.answered:
            return begun.done
        # It asks what became of an earlier attempt, so that it may be made at any time.
        return self._writer.run(once, committed, repeatable=True)

    def close(self, name: str) -> None:
        """Note that work of that name does not come again."""
        self._begun.pop(name, None)
