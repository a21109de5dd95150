"""One transaction on long-term memory: entries are added, changed, found and removed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import compress
from math import inf
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    Connection,
    Insert,
    Table,
    Update,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from agent_memory.connections.sql_commits import CommitNote, note_commit
from agent_memory.connections.sql_copying import can_copy, copy_rows
from agent_memory.errors import StoreUnavailable
from agent_memory.models.ltm import LtmModels
from agent_memory.models.ltm_types import RealNumber, WholeNumber
from agent_memory.repositories.forgettings import Leases
from agent_memory.repositories.nearest import same_vector
from agent_memory.repositories.outcomes import Added, Age, age_of
from agent_memory.repositories.sql.entries import EntryRow
from agent_memory.repositories.sql.many_rows import execute_for_each
from agent_memory.repositories.sql.moments import Moments
from agent_memory.repositories.sql.names import KnownNames, Names, References
from agent_memory.repositories.sql.statements import (
    IN_LIST,
    chunked,
    is_canonical,
    locations,
    table_of,
)
from agent_memory.repositories.sql.tombstones import Mark, Tombstones
from agent_memory.repositories.sql.vectors import (
    NewVector,
    replace_vectors,
    rows_that_need_their_vector,
    stored_vectors,
)
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.identity import id_of_bytes


class Located(NamedTuple):
    """Where an entry's row is, and how old the entry is."""

    row: int
    age: Age


class UnitOfWork:
    """One transaction: closing its connection undoes whatever was not committed.

    Args:
        connection: An open connection; the first statement begins the transaction.
        models: The models of the tables.
        known: References that earlier transactions have learned.
        clock: Gives the time in seconds since 1970.
    """

    def __init__(
        self,
        connection: Connection,
        models: LtmModels,
        known: KnownNames,
        clock: Callable[[], float],
    ) -> None:
        self.connection = connection
        self._models = models
        self._entries = table_of(models.LtmEntry)
        self._names = Names(connection, models, known, clock)
        self._tombstones = Tombstones(connection, models)
        self._moments = Moments(connection, models)

    def commit(self) -> None:
        """Make it last."""
        self.connection.commit()
        self._names.committed()

    def transaction(self) -> int | CommitNote | None:
        """What tells later whether this transaction was committed; None where nothing does."""
        match self.connection.dialect.name:
            case "postgresql":
                name: int | None = self.connection.scalar(select(func.txid_current()))
                return name
            case "sqlite":
                return note_commit(self.connection)
            case _:
                return None

    def has_committed(self, transaction: int | CommitNote | None) -> bool:
        """Whether an earlier transaction was committed.

        Raises:
            StoreUnavailable: It is still under way.
        """
        if transaction is None or isinstance(transaction, CommitNote):
            return transaction is not None and transaction.is_made
        status = self.connection.scalar(select(func.txid_status(transaction)))
        if status == "in progress":
            raise StoreUnavailable("a transaction whose answer was lost is under way: call again")
        return bool(status == "committed")

    # -- storing ------------------------------------------------------------------------------

    def add(self, rows: Sequence[EntryRow], moment: float = inf) -> list[Added]:
        """Store entries that were not forgotten, in place of their older copies.

        Args:
            rows: The entries, coded.
            moment: The last moment of forgetting before they were read from the tier above.
        """
        self._tombstones.lock(forgetting=False)
        references = self._names.references([row.entry for row in rows])
        forgetful = self._tombstones.forgetful({reference.run_ref for reference in references})
        keys = _marks_of(rows, references) if forgetful else []
        refused = self._tombstones.refusals(
            [key for key in keys if key.run_ref in forgetful], moment, self._leases
        )
        if self._has_copied(rows, keys, references, refused):
            return [refused.get(key, Added.STORED) for key in keys] or [Added.STORED] * len(rows)
        keys = keys or _marks_of(rows, references)
        stored = self._stored(row.values["memory_id"] for row in rows)
        ages = {key: located.age for key, located in stored.items()}
        newest: dict[Mark, dict[str, Any]] = {}
        outcomes = []
        for row, key, reference in zip(rows, keys, references, strict=True):
            if key in refused:
                outcomes.append(refused[key])
                continue
            outcomes.append(Added.PRESENT if key in ages else Added.STORED)
            if key not in ages or age_of(row.entry) > ages[key]:
                ages[key] = age_of(row.entry)
                run_ref, agent_ref, type_ref = reference
                refs = {"run_ref": run_ref, "agent_ref": agent_ref, "type_ref": type_ref}
                newest[key] = row.values | refs
        self.delete_rows(stored[key].row for key in newest if key in stored)
        self._insert(list(newest.values()))
        return outcomes

    def _has_copied(
        self,
        rows: Sequence[EntryRow],
        keys: Sequence[Mark],
        references: Sequence[References],
        refused: Mapping[Mark, Added],
    ) -> bool:
        """Insert entries none of which is stored yet, as nearly always; False: some may be.

        Looking for each before takes PostgreSQL as long as storing it. The unique index of keys
        tells as well, also of two of a batch, and the transaction then goes on as if nothing had
        been tried.
        """
        if not can_copy(self.connection):
            return False
        fresh: Iterable[tuple[EntryRow, References]] = zip(rows, references, strict=True)
        if refused:
            fresh = compress(fresh, [key not in refused for key in keys])
        names = [*rows[0].values] if rows else []
        values_of = itemgetter(*names)
        # A tuple of both: of dicts that are put together it would take three times as long.
        values = (reference + values_of(row.values) for row, reference in fresh)
        try:
            with self.connection.begin_nested():
                copy_rows(self.connection, self._entries, [*References._fields, *names], values)
        except IntegrityError:
            return False
        return True

    def replace(self, row: EntryRow) -> bool:
        """Store a changed entry in place of its earlier revision, if that is the stored one."""
        entry, table = row.entry, self._entries
        [reference] = self._names.references([entry])
        values = row.values | reference._asdict() | {"revision": entry.revision + 1}
        # Retrievals do not change the revision: those counted since the caller read it stay.
        del values["retrieval_count"]
        accessed = func.coalesce(table.c.last_access_time, table.c.timestamp)
        values["last_access_time"] = func.nullif(accessed, entry.timestamp)
        changed = self.connection.execute(
            update(table)
            .where(
                table.c.memory_id == entry.memory_id,
                table.c.run_ref == reference.run_ref,
                table.c.agent_ref == reference.agent_ref,
                table.c.revision == entry.revision,
            )
            .values(values)
        )
        return changed.rowcount == 1

    def reembed(
        self,
        entries: Sequence[MemoryEntry],
        read: Sequence[MemoryEntry] | None,
        contents: Sequence[bytes | None],
    ) -> list[bool]:
        """Store entries' vectors in place of the stored ones, where the revision is theirs.

        Args:
            entries: The entries.
            read: The entries as they were read: only the vector that one had then is replaced.
                None: any vector is.
            contents: Their contents, coded, which may need their vectors. None: the contents that
                were read did not. If the stored ones do by now, because they were recoded
                meanwhile, the entry stays as it is: nobody could read it without its vector.

        Returns:
            For each, whether it was stored.
        """
        self._names.note_versions({entry.encoder_version for entry in entries})
        located = self.locate(entry.key for entry in entries)
        rows = [place.row for place in located.values()]
        stored = {} if read is None else stored_vectors(self.connection, self._models, rows)
        needed = rows_that_need_their_vector(self.connection, self._models, rows)
        known: Sequence[MemoryEntry | None] = [None] * len(entries) if read is None else read
        changes, outcome = [], []
        for entry, before, coded in zip(entries, known, contents, strict=True):
            place = located.get(entry.key)
            fits = (
                place is not None
                and place.age[0] == entry.revision
                and (before is None or same_vector(replace(before, **stored[place.row]), before))
                and (coded is not None or place.row not in needed)
            )
            outcome.append(fits)
            if place is not None and fits:
                changes.append(NewVector(place.row, entry, coded))
        replace_vectors(self.connection, self._models, changes)
        return outcome

    def touch(self, counts: Mapping[int, int], at: float) -> None:
        """Count retrievals of entries, by the ids of their rows."""
        touched = [{"row": row, "count": count, "at": at} for row, count in counts.items()]
        if touched:
            execute_for_each(self.connection, _touching(self._entries), touched)

    # -- forgetting ---------------------------------------------------------------------------

    def forget(self, keys: Sequence[EntryKey], at: float, released_at: float | None = None) -> int:
        """Mark keys as forgotten and delete their entries; of a key without agent, every agent's.

        Returns:
            How many entries were deleted.
        """
        self._tombstones.lock(forgetting=True)
        marks = self._marks(keys)
        moment = self._moments.next(at)
        self._tombstones.mark(marks, moment, released_at)
        if released_at is not None and released_at > at:
            self._moments.lease(moment, released_at - at, self._now())
        return self._delete({*marks})

    def _delete(self, marked: set[Mark]) -> int:
        """Delete the entries under some marks; of one without agent every agent's."""
        stored = self._stored({mark.memory_id for mark in marked})
        return self.delete_rows(
            place.row
            for key, place in stored.items()
            if key in marked or key.of_all_agents in marked
        )

    def release(self, keys: Sequence[EntryKey], at: float) -> int:
        """Allow new entries under forgotten keys, but no copies that were read before.

        Returns:
            How many entries were deleted, which had come in since a lease ran out.
        """
        self._tombstones.lock(forgetting=True)
        marks = self._marks(keys)
        found = self._tombstones.found(marks)
        leases = self._leases()
        passed = {mark for mark, it in found.items() if leases.has_run_out(it.moment)}
        removed = self._delete(passed) if passed else 0
        self._tombstones.release(marks, at, self._moments.next(at))
        return removed

    def _leases(self) -> Leases:
        return self._moments.leases(self._now())

    def _now(self) -> float:
        """The time by the one clock that all who use the database share."""
        if self.connection.dialect.name != "postgresql":
            return time.time()  # that of this machine, on which they all are
        now = self.connection.scalar(select(func.extract("epoch", func.clock_timestamp())))
        return float(now or 0.0)

    def roll_back(self, run_id: str, step: int, at: float) -> None:
        """Note that what a run has stored of the steps after one is forgotten."""
        self._tombstones.lock(forgetting=True)
        self._moments.roll_back(run_id, step, at)

    def _marks(self, keys: Sequence[EntryKey]) -> list[Mark]:
        runs = self._names.runs({key.run_id for key in keys})
        marks = (Mark(runs[key.run_id], key.agent_id, key.memory_id) for key in keys)
        return list(dict.fromkeys(marks))

    # -- finding and removing -----------------------------------------------------------------

    def locate(self, keys: Iterable[EntryKey]) -> dict[EntryKey, Located]:
        """Find the rows of those keys that are stored, and keep others from changing them."""
        wanted = set(keys)
        ids = {key.memory_id for key in wanted if is_canonical(key.memory_id)}
        located = {
            EntryKey(run_id, agent_id, id_of_bytes(memory_id)): Located(row, (revision, count))
            for row, _, run_id, agent_id, memory_id, revision, count in self._rows_with(ids)
        }
        return {key: place for key, place in located.items() if key in wanted}

    def contents_of(self, key: EntryKey) -> bytes | None:
        """The contents of an entry as they are stored; None where it is not."""
        place = self.locate([key]).get(key)
        if place is None:
            return None
        column = self._entries.c
        stored = self.connection.scalar(select(column.contents).where(column.id == place.row))
        return stored if isinstance(stored, bytes) else None

    def delete_rows(self, rows: Iterable[int]) -> int:
        """Delete entries by the ids of their rows; returns how many were there."""
        table = self._entries
        return sum(
            self.connection.execute(delete(table).where(table.c.id.in_(chunk))).rowcount
            for chunk in chunked(rows, IN_LIST)
        )

    def _stored(self, memory_ids: Iterable[str | bytes]) -> dict[Mark, Located]:
        return {
            Mark(run_ref, agent_id, id_of_bytes(memory_id)): Located(row, (revision, count))
            for row, run_ref, _, agent_id, memory_id, revision, count in self._rows_with(memory_ids)
        }

    def _rows_with(self, memory_ids: Iterable[str | bytes]) -> Iterator[Any]:
        """Where entries with some ids are; see ``locations``."""
        statement = locations(self._models, in_array=self.connection.dialect.name == "postgresql")
        as_bytes = (one if isinstance(one, bytes) else bytes.fromhex(one) for one in memory_ids)
        for chunk in chunked(as_bytes, IN_LIST):
            yield from self.connection.execute(statement, {"ids": chunk})

    def _insert(self, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        if can_copy(self.connection):
            columns = [*rows[0]]
            copy_rows(self.connection, self._entries, columns, map(itemgetter(*columns), rows))
            return
        if self.connection.dialect.positional:
            for row in rows:
                if row["attributes"] is not None:
                    row["attributes"] = json.dumps(row["attributes"])
        execute_for_each(self.connection, _inserting(self._entries), rows)


def _marks_of(rows: Sequence[EntryRow], references: Sequence[References]) -> list[Mark]:
    """The keys of entries as tombstones know them."""
    return [
        Mark(reference.run_ref, row.entry.agent_id, row.entry.memory_id)
        for row, reference in zip(rows, references, strict=True)
    ]


@lru_cache(maxsize=16)
def _inserting(table: Table) -> Insert:
    """The statement that inserts a row."""
    return insert(table)


@lru_cache(maxsize=16)
def _touching(table: Table) -> Update:
    """The statement that counts retrievals (``count``) of a row (``row``) at a time (``at``)."""
    at: BindParameter[Any] = bindparam("at", type_=RealNumber)
    count: BindParameter[Any] = bindparam("count", type_=WholeNumber)
    accessed = func.coalesce(table.c.last_access_time, table.c.timestamp)
    return (
        update(table)
        .where(table.c.id == bindparam("row"))
        .values(
            retrieval_count=table.c.retrieval_count + count,
            last_access_time=case((accessed < at, at), else_=table.c.last_access_time),
        )
    )
