"""Long-term memory in SQL: SQLite and PostgreSQL."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import inf, isfinite
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Connection, Engine, delete, exists, func, select
from sqlalchemy.exc import IntegrityError

from agent_memory.errors import (
    EncodingError,
    EntryConflict,
    EntryNotFound,
    InvalidEntry,
)
from agent_memory.models.ltm import DEFAULT_PREFIX, ltm_models
from agent_memory.models.ltm_rows import entry_to_row, row_to_entry, vector_of
from agent_memory.models.ltm_vectors import decode_vectors
from agent_memory.repositories.contract import (
    Codec,
    LongTermMemory,
    Vectors,
    answering,
    is_kept,
    run_of,
)
from agent_memory.repositories.counts import AgentCounts
from agent_memory.repositories.outcomes import Added, Gone
from agent_memory.repositories.sql import attributes as sql_attributes
from agent_memory.repositories.sql import many as sql_many
from agent_memory.repositories.sql.names import KnownNames
from agent_memory.repositories.sql.statements import (
    agents_with_entries,
    bytes_of_weights,
    chunked,
    entries_answering,
    entries_at,
    entries_of_any_run,
    forks_of,
    ids_by_run,
    memory_ids_by_step,
    number_of_entries,
    numbers_by_mark,
    numbers_by_version,
    outdated_memory_ids,
    owned_by,
    runs_with_entries,
    table_of,
    tombstones_in,
    vectors_answering,
)
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.repositories.sql.work import Row, UnitOfWork, age_of
from agent_memory.values.attributes import declared_attributes
from agent_memory.values.coded import CodedContents, code_named_by, is_coded
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.identity import checked_memory_id, checked_run_id
from agent_memory.values.query import Query

_ATTEMPTS = 3
_ROWS_AT_ONCE = 500

T = TypeVar("T")


class LtmRepository(LongTermMemory):
    """Entries of long-term memory in the tables of a SQL database.

    Threads may share it, and both sides of a fork go on with it.

    Args:
        engine: From ``connections.open_engine``, over a schema that is up to date.
        codec: Codes contents.
        table_prefix: What the tables' names begin with.
        indexed_attributes: Paths in contents (keys joined by dots) whose values, if they are
            text, finite numbers, bools or None, are kept in the column ``attributes``.
        max_entry_bytes: Refuse contents whose code needs more bytes.
        batch_size: How many entries one transaction of ``add_many`` stores at most.
        clock: Gives the time in seconds since 1970.
    """

    tier = Tier.LTM

    def __init__(
        self,
        engine: Engine,
        codec: Codec,
        *,
        table_prefix: str = DEFAULT_PREFIX,
        indexed_attributes: Sequence[str] = (),
        max_entry_bytes: int | None = None,
        batch_size: int = 1000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._transactions = Transactions(engine)
        self._codec = codec
        self._models = ltm_models(table_prefix)
        self._indexed_attributes = tuple(indexed_attributes)
        self._paths = self._indexed_attributes  # all that are declared, as far as is known
        self._max_entry_bytes = max_entry_bytes
        self._batch_size = batch_size
        self._clock = clock
        self._known = KnownNames()

    def __repr__(self) -> str:
        return f"LtmRepository({self._transactions.place!r})"

    # -- transactions -------------------------------------------------------------------------

    @contextmanager
    def unit_of_work(self) -> Iterator[UnitOfWork]:
        """Begin a transaction; leaving the block without ``commit()`` undoes it.

        Raises:
            StoreReadOnly: The store was opened read-only.
        """
        with self._transactions.writing() as connection:
            yield UnitOfWork(connection, self._models, self._known, self._clock)

    def _write(self, work_on: Callable[[UnitOfWork], T]) -> T:
        """Commit a piece of work; when another process got in between, begin it again."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._write_once(work_on)
            except EntryConflict as conflict:
                # Two writers added the same key or name (PostgreSQL), or a name that was known
                # here has been deleted by someone else.
                if not isinstance(conflict.__cause__, IntegrityError):
                    raise
                self._known.clear()
        return self._write_once(work_on)

    def _write_once(self, work_on: Callable[[UnitOfWork], T]) -> T:
        with self.unit_of_work() as work:
            done = work_on(work)
            work.commit()
        return done

    # -- writing ------------------------------------------------------------------------------

    def add_many(self, entries: Sequence[MemoryEntry]) -> list[Added]:
        """Store entries, ``batch_size`` in a transaction; see the contract."""
        return self.take_over(entries, inf)

    def take_over(self, entries: Sequence[MemoryEntry], read_at: float) -> list[Added]:
        """Store entries that were read from the tier above; see the contract."""
        self._transactions.check_writable()
        rows = self._rows(entries)
        outcomes: list[Added] = []
        for batch in chunked(rows, self._batch_size):
            outcomes += self._write(partial(self._add_batch, batch, read_at))
        return outcomes

    def _add_batch(self, batch: Sequence[Row], read_at: float, work: UnitOfWork) -> list[Added]:
        return work.add(self._declared(work, batch), read_at)

    def replace(self, entry: MemoryEntry) -> MemoryEntry:
        """Store a changed entry in place of the one whose revision it carries."""
        coded = self._codec.encode(entry)

        def work_on(work: UnitOfWork) -> MemoryEntry:
            kept = work.contents_of(entry.key) if is_coded(coded) else None
            contents = kept if kept and is_kept(self._codec, kept, entry) else coded
            row = self._row(entry, contents)
            replaced = work.replace(*self._declared(work, [row]))
            stored = self._read(work.connection, [entry.key])
            if not stored:
                raise EntryNotFound(f"no entry {entry.key} in {self.tier.name}")
            if not replaced:
                raise _conflict(entry.key, stored[0].revision, entry.revision)
            return stored[0]

        return self._write(work_on)

    def touch(self, counts: Mapping[EntryKey, int], at: float) -> list[EntryKey]:
        """Count retrievals; returns the keys that are not stored here."""
        if not isfinite(at):
            raise InvalidEntry(f"at: {at} is not a finite number")

        def work_on(work: UnitOfWork) -> list[EntryKey]:
            located = work.locate(counts)
            work.touch({place.row: counts[key] for key, place in located.items()}, at)
            return [key for key in counts if key not in located]

        return self._write(work_on)

    def reembed(
        self, entries: Sequence[MemoryEntry], read: Sequence[MemoryEntry] | None = None
    ) -> list[bool]:
        """Store entries' vectors and encoder versions in place of those they had.

        Contents that a fitted code has coded are coded again beside the new vector, with the
        numbers that they have.
        """
        coded = iter(self._codec.encode_many([one for one in entries if _stands_on_vector(one)]))
        contents = [next(coded) if _stands_on_vector(one) else None for one in entries]
        return self._write(lambda work: work.reembed(entries, read, contents))

    def recode(self, entries: Sequence[MemoryEntry]) -> list[bool]:
        """Code the contents of entries again, as those that come are coded now."""
        contents = self._codec.encode_many(entries)
        return self._write(lambda work: work.reembed(entries, entries, contents))

    def remove(self, key: EntryKey, *, revision: int | None = None) -> bool:
        """Remove an entry, if its stored revision is the given one."""

        def work_on(work: UnitOfWork) -> bool:
            place = work.locate([key]).get(key)
            if place is not None and revision not in (None, place.age[0]):
                raise _conflict(key, place.age[0], revision)
            return place is not None and work.delete_rows([place.row]) == 1

        return self._write(work_on)

    def remove_many(self, keys: Iterable[EntryKey]) -> int:
        """Remove entries, whatever their revision; returns how many were there."""
        wanted = list(keys)
        return self._write(
            lambda work: work.delete_rows(place.row for place in work.locate(wanted).values())
        )

    def remove_answering(self, queries: Sequence[Query]) -> int:
        """Remove the entries that answer any of some queries, in one transaction."""
        if any(
            query.attributes or query.limit is not None or query.pinned is not None
            for query in queries
        ):
            return super().remove_answering(queries)
        keys = [
            EntryKey(run_of(query), query.agent_id, memory_id)
            for query in queries
            for group in self.vectors(query)
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

        return self._write(work_on)

    def clear_agent(self, run_id: str, agent_id: str) -> int:
        """Remove all entries of an agent in a run; returns how many there were."""
        return self._clear(run_id, agent_id)

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
        return self._write(
            lambda work: sum(work.connection.execute(statement).rowcount for statement in doomed)
        )

    def forget(self, keys: Iterable[EntryKey], at: float, released_at: float | None = None) -> int:
        """Remove entries for good, and refuse their keys from now on."""
        forgotten = [
            EntryKey(checked_run_id(key.run_id), key.agent_id, checked_memory_id(key.memory_id))
            for key in keys
        ]
        return self._write(lambda work: work.forget(forgotten, at, released_at))

    def release(self, keys: Iterable[EntryKey], at: float) -> None:
        """Let forgotten keys be stored anew, but for copies that were read before."""
        released = list(keys)
        self._write(lambda work: work.release(released, at))

    def forgotten(self, keys: Iterable[EntryKey]) -> dict[EntryKey, float | None]:
        """Those of the keys that were forgotten, and when they were released."""
        wanted = list(dict.fromkeys(keys))
        found: dict[tuple[str, str], float | None] = {}
        with self._transactions.reading() as connection:
            for run_id, chunk in ids_by_run(wanted):
                rows = connection.execute(tombstones_in(self._models, run_id, chunk))
                found |= {(run_id, row.memory_id): row.released_at for row in rows}
        places = {key: (key.run_id, key.memory_id) for key in wanted}
        return {key: found[place] for key, place in places.items() if place in found}

    def forks(self, run_id: str) -> list[str]:
        """The runs that were forked from a run, sorted."""
        with self._transactions.reading() as connection:
            return sorted(connection.scalars(forks_of(self._models, run_id)))

    def declare_attributes(self) -> None:
        """Declare the attributes of this process, and complete the column of what is stored.

        From then on whoever stores fills the column, be it another process that does not declare
        them. A process that is killed meanwhile leaves the rest to the next one that asks.
        """
        found, lacking = self._look_at_declared()
        if lacking:
            self._write(
                lambda work: sql_attributes.declare(
                    work.connection, self._models, self._indexed_attributes
                )
            )
            found, _ = self._look_at_declared()
        self._paths = tuple(dict.fromkeys([*self._indexed_attributes, *found]))
        if not all(found.values()):
            self._complete_attributes(list(found))

    def _look_at_declared(self) -> tuple[dict[str, bool], bool]:
        """The declared paths, and whether a declaration or an index is lacking."""
        with self._transactions.reading() as connection:
            found = sql_attributes.declared(connection, self._models)
            bare = sql_attributes.without_index(connection, self._models, found)
        return found, bool(bare or set(self._indexed_attributes) - found.keys())

    def _complete_attributes(self, paths: Sequence[str]) -> None:
        row = 0
        while True:
            last = self._write(partial(self._complete_batch, paths, row))
            if last is None:
                break
            row = last
        self._write(lambda work: sql_attributes.set_complete(work.connection, self._models, paths))

    def _complete_batch(self, paths: Sequence[str], row: int, work: UnitOfWork) -> int | None:
        """Complete a batch of rows; the last of them, None if there was none."""
        rows = sql_attributes.rows_after(work.connection, self._models, row)
        changes = {}
        for found in rows:
            try:
                wanted = declared_attributes(self._contents(found), paths)
            except EncodingError:
                continue  # it answers no query, and says so when it is read
            if wanted != (found.attributes or {}):
                changes[found.id] = wanted
        sql_attributes.set_attributes(work.connection, self._models, changes)
        return rows[-1].id if rows else None

    def _rows(self, entries: Sequence[MemoryEntry]) -> list[Row]:
        """Code all that can be refused, before a transaction begins."""
        coded = self._codec.encode_many(entries)
        return [self._row(entry, contents) for entry, contents in zip(entries, coded, strict=True)]

    def _row(self, entry: MemoryEntry, contents: bytes) -> Row:
        if self._max_entry_bytes is not None and len(contents) > self._max_entry_bytes:
            raise InvalidEntry(
                f"contents: {len(contents)} bytes exceed max_entry_bytes={self._max_entry_bytes}; "
                "store less, or raise the limit in MemoryConfig"
            )
        attributes = declared_attributes(entry.contents, self._paths)
        return Row(entry, entry_to_row(entry, contents, attributes))

    def _declared(self, work: UnitOfWork, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows with all attributes that are declared in this very transaction."""
        paths = tuple(sql_attributes.declared(work.connection, self._models))
        if set(paths) <= set(self._paths):
            return rows
        # Another process has declared more since; those of this one stay declared with them.
        self._paths = tuple(dict.fromkeys([*self._indexed_attributes, *paths]))
        return [
            row._replace(
                values=row.values
                | {"attributes": declared_attributes(row.entry.contents, self._paths) or None}
            )
            for row in rows
        ]

    # -- reading ------------------------------------------------------------------------------

    def get_many(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are stored here, in the order of the keys."""
        with self._transactions.reading() as connection:
            return self._read(connection, keys)

    def find(self, query: Query) -> list[MemoryEntry]:
        """Return the entries that answer a query, in its order."""
        statement, asked = entries_answering(self._models, run_of(query), query)
        with self._transactions.reading() as connection:
            if not query.attributes:
                return [self._entry(row) for row in connection.execute(statement, asked).all()]
            told = sql_attributes.conditions(connection, self._models, query.attributes)
            # Closed at once when enough is found: PostgreSQL keeps a cursor until then.
            with connection.execute(
                statement.where(*told), asked, execution_options={"yield_per": _ROWS_AT_ONCE}
            ) as rows:
                return answering((self._entry(row) for row in rows), query)

    def vectors(self, query: Query) -> list[Vectors]:
        """The vectors of the entries that answer a query, whatever its order and limit."""
        if query.attributes:
            return super().vectors(query)
        statement, asked = vectors_answering(self._models, run_of(query), query)
        with self._transactions.reading() as connection:
            rows = connection.execute(statement, asked).all()
        alike: dict[tuple[int | None, int, int], list[Any]] = {}
        for row in rows:
            length = _length(row)
            alike.setdefault((row.encoder_version, row.embedding_coding, length), []).append(row)
        # Those of one version and width rank together, however each rests in its row.
        groups: dict[tuple[int | None, int], list[Vectors]] = {}
        for (version, _, _), group in alike.items():
            vectors = _vectors(version, group)
            groups.setdefault((version, vectors.matrix.shape[1]), []).append(vectors)
        return [_together(parts) for parts in groups.values()]

    def outdated(self, run_id: str, agent_id: str, version: int) -> list[EntryKey]:
        """The keys of an agent's entries whose vector another encoder made, or that have none."""
        with self._transactions.reading() as connection:
            ids = connection.scalars(outdated_memory_ids(self._models, run_id, agent_id, version))
            return [EntryKey(run_id, agent_id, memory_id) for memory_id in ids]

    def agent_counts(
        self, run_id: str, agents: Iterable[str] | None = None, horizon: float | None = None
    ) -> dict[str, AgentCounts]:
        """What each of some agents of a run has here."""
        del horizon  # entries do not leave the last tier
        with self._transactions.reading() as connection:
            return dict(sql_many.agent_counts(connection, self._models, run_id, agents))

    def count(self, run_id: str, agent_id: str | None = None) -> int:
        """How many entries an agent has in a run; None for all agents together."""
        with self._transactions.reading() as connection:
            statement = number_of_entries(self._models, run_id, agent_id)
            return int(connection.execute(statement).scalar_one())

    def agents(self, run_id: str) -> list[str]:
        """The agents that have entries in a run, sorted."""
        with self._transactions.reading() as connection:
            return sorted(connection.scalars(agents_with_entries(self._models, run_id)))

    def runs(self) -> list[str]:
        """The runs that have entries, sorted."""
        with self._transactions.reading() as connection:
            return sorted(connection.scalars(runs_with_entries(self._models)))

    def keys(self, run_id: str, agent_id: str) -> list[EntryKey]:
        """The keys of all entries of an agent in a run, by step."""
        with self._transactions.reading() as connection:
            ids = connection.scalars(memory_ids_by_step(self._models, run_id, agent_id))
            return [EntryKey(run_id, agent_id, memory_id) for memory_id in ids]

    def versions(self) -> dict[int, int]:
        """How many entries of every run name each version of the encoder."""
        with self._transactions.reading() as connection:
            rows = connection.execute(numbers_by_version(self._models))
            return {row.version: row.number for row in rows}

    def code_versions(self) -> dict[int, int]:
        """How many entries have contents coded by the code of each version."""
        with self._transactions.reading() as connection:
            rows = connection.execute(numbers_by_mark(self._models))
            counts = Counter[int | None]()
            for row in rows:
                counts[code_named_by(bytes(row.mark))] += row.number
        return {version: number for version, number in counts.items() if version is not None}

    def stored_bytes(self) -> int:
        """How many bytes the database uses for all entries here, indexes included.

        For SQLite the whole file less its free pages and the encoders' weights: what else is in
        it is small, and telling it apart would mean to read the file from end to end.
        """
        with self._transactions.reading() as connection:
            if not connection.execute(select(exists(entries_of_any_run(self._models)))).scalar():
                return 0
            if connection.dialect.name == "postgresql":
                size = func.pg_total_relation_size(table_of(self._models.LtmEntry).name)
                return int(connection.execute(select(size)).scalar_one())
            pages, free, page_bytes = (
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("page_count", "freelist_count", "page_size")
            )
            weights = connection.execute(bytes_of_weights(self._models)).scalar_one()
            return int((pages - free) * page_bytes - weights)

    def _read(self, connection: Connection, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        wanted = set(keys)
        rows = {}
        for run_id, memory_ids in ids_by_run(wanted):
            for row in connection.execute(entries_at(self._models, run_id, memory_ids)):
                rows[EntryKey(row.run_id, row.agent_id, row.memory_id)] = row
        return [self._entry(rows[key]) for key in keys if key in rows]

    def _entry(self, row: Any) -> MemoryEntry:
        try:
            contents = self._contents(row)
        except EncodingError as error:
            raise EncodingError(
                f"entry {row.memory_id} of agent {row.agent_id!r} in run {row.run_id!r}: {error}"
            ) from error
        return row_to_entry(row, contents)

    def _contents(self, row: Any) -> dict[str, Any]:
        """The contents of a row, which may have been coded beside its vector."""
        # SQLite keeps a value of any type in any column.
        if not isinstance(row.contents, bytes) or not isinstance(row.step_number, int):
            raise EncodingError("contents or step are of another type than was stored")
        vector = vector_of(row) if is_coded(row.contents) else None
        return self._codec.decode(row.contents, row.step_number, vector)


def _stands_on_vector(entry: MemoryEntry) -> bool:
    """Whether the contents may have been coded beside the vector, and cannot be read without."""
    return isinstance(entry.contents, CodedContents)


def _length(row: Any) -> int:
    """How many bytes the vector of a row has; -1 without one."""
    if row.embedding is None:
        return -1
    if not isinstance(row.embedding, bytes):
        raise EncodingError(f"entry {row.memory_id}: the stored vector is damaged")
    return len(row.embedding)


def _vectors(version: int | None, rows: Sequence[Any]) -> Vectors:
    """The vectors of rows that are coded alike."""
    ids = [row.memory_id for row in rows]
    if rows[0].embedding is None:
        return Vectors(version, ids, np.zeros((len(ids), 0), np.float32))
    try:
        matrix = decode_vectors(rows[0].embedding_coding, [row.embedding for row in rows])
    except (EncodingError, TypeError, ValueError) as error:
        raise EncodingError(f"entry {ids[0]}: {error}") from error
    return Vectors(version, ids, matrix)


def _together(parts: Sequence[Vectors]) -> Vectors:
    if len(parts) == 1:
        return parts[0]
    ids = [memory_id for part in parts for memory_id in part.memory_ids]
    return Vectors(parts[0].version, ids, np.concatenate([part.matrix for part in parts]))


def _conflict(key: EntryKey, stored: int, revision: int | None) -> EntryConflict:
    return EntryConflict(
        f"entry {key.memory_id} of agent {key.agent_id!r} has revision {stored}, "
        f"not {revision}: read it again and redo the change"
    )
