"""Long-term memory in SQL: SQLite and PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from math import inf, isfinite

from sqlalchemy import Engine, delete

from agent_memory.errors import EntryConflict, EntryNotFound, InvalidEntry
from agent_memory.models.ltm import DEFAULT_PREFIX, ltm_models
from agent_memory.repositories.codec import Codec, is_kept
from agent_memory.repositories.outcomes import Added, Gone, age_of
from agent_memory.repositories.querying import agent_of, run_of
from agent_memory.repositories.sql.attributes import DeclaredAttributes
from agent_memory.repositories.sql.encodings import LtmEncodings
from agent_memory.repositories.sql.entries import EntryRow, RowMapper
from agent_memory.repositories.sql.importances import LtmImportances
from agent_memory.repositories.sql.indexed_vectors import EF_SEARCH
from agent_memory.repositories.sql.kept_vectors import MAX_BYTES
from agent_memory.repositories.sql.reads import LtmReads
from agent_memory.repositories.sql.statements import chunked, owned_by, table_of
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.repositories.sql.upkeep import LtmUpkeep
from agent_memory.repositories.sql.work import UnitOfWork
from agent_memory.repositories.sql.writing import NamedWork, Writer
from agent_memory.values.coded import is_coded
from agent_memory.values.deprecation import renamed_argument
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.identity import checked_memory_id, checked_run_id
from agent_memory.values.query import Query


class LtmRepository(LtmReads):
    """Entries of long-term memory in the tables of a SQL database.

    Threads may share it, and both sides of a fork go on with it.

    Args:
        sql_engine: From ``connections.sql.open_engine``, over a schema that is up to date.
        codec: Codes contents.
        table_prefix: What the tables' names begin with.
        indexed_attributes: Paths in contents (keys joined by dots) whose values, if they are
            text, finite numbers, bools or None, are kept in the column ``attributes``.
        max_entry_bytes: Refuse contents whose code needs more bytes.
        batch_size: How many entries one transaction of ``add_many`` stores at most.
        clock: Gives the time in seconds since 1970.
        vector_cache_bytes: How many bytes of vectors to keep in this process for ``nearest``.
        ef_search: How many candidates an index over vectors keeps while it looks.

    Examples:
        >>> memory.ltm.agents("default")
        []
    """

    @renamed_argument("engine", "sql_engine")
    def __init__(
        self,
        sql_engine: Engine,
        codec: Codec,
        *,
        table_prefix: str = DEFAULT_PREFIX,
        indexed_attributes: Sequence[str] = (),
        max_entry_bytes: int | None = None,
        batch_size: int = 1000,
        clock: Callable[[], float] = time.time,
        vector_cache_bytes: int = MAX_BYTES,
        ef_search: int = EF_SEARCH,
    ) -> None:
        models = ltm_models(table_prefix)
        self._declared = DeclaredAttributes(models, indexed_attributes)
        mapper = RowMapper(models, codec, self._declared.of, max_entry_bytes)
        super().__init__(Transactions(sql_engine), models, mapper, vector_cache_bytes, ef_search)
        self._writer = Writer(self._transactions, models, clock)
        self._named: NamedWork[list[EntryKey]] = NamedWork(self._writer)
        self.encodings = LtmEncodings(self, self._transactions, models, codec, self._writer)
        self.importance = LtmImportances(self._transactions, models, self._marks, self._writer)
        self.upkeep = LtmUpkeep(
            self,
            self._transactions,
            models,
            mapper,
            lambda: self._declared.declare(self._writer, mapper.contents_of),
        )
        self._codec = codec
        self._batch_size = batch_size

    def __repr__(self) -> str:
        return f"LtmRepository({self._transactions.place!r})"

    def unit_of_work(self) -> AbstractContextManager[UnitOfWork]:
        """Begin a transaction; leaving the block without ``commit()`` undoes it.

        Raises:
            StoreReadOnly: The store was opened read-only.
        """
        return self._writer.begin()

    # -- storing and changing -----------------------------------------------------------------

    def add_many(self, entries: Sequence[MemoryEntry]) -> list[Added]:
        """Store entries, ``batch_size`` in a transaction; see the contract."""
        return self.take_over(entries, inf)

    def take_over(self, entries: Sequence[MemoryEntry], moment: float) -> list[Added]:
        """Store entries that were read from the tier above; see the contract."""
        self._transactions.check_writable()
        rows = self._mapper.to_rows(entries)
        outcomes: list[Added] = []
        for batch in chunked(rows, self._batch_size):
            # What is stored already is found to be there.
            outcomes += self._writer.run(partial(self._add_batch, batch, moment), repeatable=True)
        return outcomes

    def _add_batch(self, batch: Sequence[EntryRow], moment: float, work: UnitOfWork) -> list[Added]:
        agents = {(row.entry.run_id, row.entry.agent_id) for row in batch}
        with self._marks.going_on(work.connection, agents):
            return work.add(self._declared.completed(work.connection, batch), moment)

    def replace(self, entry: MemoryEntry) -> MemoryEntry:
        """Store a changed entry in place of the one whose revision it carries."""
        coded = self._codec.encode(entry)

        def work_on(work: UnitOfWork) -> MemoryEntry:
            kept = work.contents_of(entry.key) if is_coded(coded) else None
            contents = kept if kept and is_kept(self._codec, kept, entry) else coded
            row = self._mapper.to_row(entry, contents)
            replaced = work.replace(*self._declared.completed(work.connection, [row]))
            stored = self._mapper.read(work.connection, [entry.key])
            if not stored:
                raise EntryNotFound(f"no entry {entry.key} in {self.tier.name}")
            if not replaced:
                raise _conflict(entry.key, stored[0].revision, entry.revision)
            return stored[0]

        return self._writer.run(work_on)

    def touch(
        self, counts: Mapping[EntryKey, int], at: float, token: str | None = None
    ) -> list[EntryKey]:
        """Count retrievals; returns the keys that are not stored here."""
        if not isfinite(at):
            raise InvalidEntry(f"at: {at} is not a finite number")

        def work_on(work: UnitOfWork) -> list[EntryKey]:
            located = work.locate(counts)
            # Nothing that is kept of rows says how often they were retrieved.
            with self._marks.going_on(work.connection, ()):
                work.touch({place.row: counts[key] for key, place in located.items()}, at)
            return [key for key in counts if key not in located]

        return self._writer.run(work_on) if token is None else self._named.run(token, work_on)

    def touched(self, token: str) -> None:
        """Note that the count of a name is not made again."""
        self._named.close(token)

    # -- removing and forgetting --------------------------------------------------------------

    def remove(self, key: EntryKey, *, revision: int | None = None) -> bool:
        """Remove an entry, if its stored revision is the given one."""

        def work_on(work: UnitOfWork) -> bool:
            place = work.locate([key]).get(key)
            if place is not None and revision not in (None, place.age[0]):
                raise _conflict(key, place.age[0], revision)
            return place is not None and work.delete_rows([place.row]) == 1

        return self._writer.run(work_on)

    def remove_many(self, keys: Iterable[EntryKey]) -> int:
        """Remove entries, whatever their revision; returns how many were there."""
        wanted = list(keys)

        def work_on(work: UnitOfWork) -> int:
            with self._marks.going_on(work.connection, {key[:2] for key in wanted}):
                return work.delete_rows(place.row for place in work.locate(wanted).values())

        return self._writer.run(work_on)

    def remove_answering(self, queries: Sequence[Query]) -> int:
        """Remove the entries that answer any of some queries, in one transaction."""
        if any(
            query.attributes
            or query.limit is not None
            or query.pinned is not None
            or not query.is_about_one_agent
            for query in queries
        ):
            return super().remove_answering(queries)
        keys = [
            EntryKey(run_of(query), agent_of(query), memory_id)
            for query in queries
            for group in self.encodings.vectors(query)
            for memory_id in group.memory_ids
        ]
        return self.remove_many(keys)

    def remove_copied(self, entries: Sequence[MemoryEntry]) -> list[Gone]:
        """Remove entries that have been copied elsewhere, unless they changed since."""

        def work_on(work: UnitOfWork) -> list[Gone]:
            located = work.locate(entry.key for entry in entries)
            removed: dict[EntryKey, int] = {}
            gone = []
            for entry in entries:
                place = located.get(entry.key)
                if place is None or entry.key in removed:
                    gone.append(Gone.ABSENT)
                elif place.age == age_of(entry):
                    removed[entry.key] = place.row
                    gone.append(Gone.REMOVED)
                else:
                    gone.append(Gone.CHANGED)
            work.delete_rows(removed.values())
            return gone

        return self._writer.run(work_on)

    def clear_agents(self, run_id: str, agents: Iterable[str]) -> int:
        """Remove all entries of some agents of a run in one transaction."""
        return self._clear(run_id, *agents)

    def clear_run(self, run_id: str) -> int:
        """Remove all entries of a run; returns how many there were."""
        return self._clear(run_id, None)

    def _clear(self, run_id: str, *agents: str | None) -> int:
        entries = table_of(self._models.LtmEntry)
        doomed = [
            delete(entries).where(owned_by(self._models, run_id, agent_id)) for agent_id in agents
        ]
        return self._writer.run(
            lambda work: sum(work.connection.execute(statement).rowcount for statement in doomed)
        )

    def forget(self, keys: Iterable[EntryKey], at: float, released_at: float | None = None) -> int:
        """Remove entries for good, and refuse their keys from now on."""
        forgotten = [
            EntryKey(checked_run_id(key.run_id), key.agent_id, checked_memory_id(key.memory_id))
            for key in keys
        ]
        return self._writer.run(lambda work: work.forget(forgotten, at, released_at))

    def release(self, keys: Iterable[EntryKey], at: float) -> int:
        """Allow new entries under forgotten keys, but no copies that were read before."""
        released = list(keys)
        return self._writer.run(lambda work: work.release(released, at))

    def roll_back(self, run_id: str, step: int, at: float) -> None:
        """Note that what a run has stored of the steps after one is forgotten."""
        self._writer.run(lambda work: work.roll_back(checked_run_id(run_id), step, at))


def _conflict(key: EntryKey, stored: int, revision: int | None) -> EntryConflict:
    return EntryConflict(
        f"entry {key.memory_id} of agent {key.agent_id!r} has revision {stored}, "
        f"not {revision}: read it again and redo the change"
    )
