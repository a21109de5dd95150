"""One transaction on long-term memory."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from math import inf
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Dialect,
    Table,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    update,
)

from agent_memory.models.ltm import LtmModels
from agent_memory.models.ltm_columns import PINNED
from agent_memory.models.ltm_rows import bounds_of_row, code_embedding
from agent_memory.models.ltm_vectors import decode_vector
from agent_memory.repositories.contract import same_vector
from agent_memory.repositories.moves import CLOCK_SKEW
from agent_memory.repositories.outcomes import Added
from agent_memory.repositories.sql.names import KnownNames, Names
from agent_memory.repositories.sql.statements import (
    IN_LIST,
    chunked,
    is_canonical,
    locations,
    rows_with_code,
    runs_with_tombstones,
    table_of,
    tombstones,
)
from agent_memory.values.entry import EntryKey, MemoryEntry

Age = tuple[int, int]


class Row(NamedTuple):
    """An entry, and the values of its row but for the references."""

    entry: MemoryEntry
    values: dict[str, Any]


class Located(NamedTuple):
    """Where an entry's row is, and how old the entry is."""

    row: int
    age: Age


class UnitOfWork:
    """One transaction: what is not committed when its connection is closed is undone.

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
        self._tombstones = table_of(models.Tombstone)
        self._clock = clock
        self._names = Names(connection, models, known, clock)

    def commit(self) -> None:
        """Make it last."""
        self.connection.commit()
        self._names.committed()

    def add(self, rows: Sequence[Row], read_at: float = inf) -> list[Added]:
        """Store entries that were not forgotten, in place of older copies of theirs.

        Args:
            rows: The entries, coded.
            read_at: When they were read from the tier above, in seconds since 1970.
        """
        self._take_turns(forgetting=False)
        references = self._names.references([row.entry for row in rows])
        keys = [
            (reference.run_ref, row.entry.memory_id)
            for row, reference in zip(rows, references, strict=True)
        ]
        now = self._clock()
        forgotten = self._redated(self._forgotten(keys), now)
        stored = self._stored(row.values["memory_id"] for row in rows)
        ages = {key: located.age for key, located in stored.items()}
        newest: dict[tuple[int, str], dict[str, Any]] = {}
        outcomes = []
        for row, key, reference in zip(rows, keys, references, strict=True):
            refused = _refused(forgotten[key], read_at, now) if key in forgotten else None
            if refused is not None:
                outcomes.append(refused)
                continue
            outcomes.append(Added.PRESENT if key in ages else Added.STORED)
            if key not in ages or age_of(row.entry) > ages[key]:
                ages[key] = age_of(row.entry)
                newest[key] = row.values | reference._asdict()
        self.delete_rows(stored[key].row for key in newest if key in stored)
        self._insert(list(newest.values()))
        return outcomes

    def replace(self, row: Row) -> bool:
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
        """Store entries' vectors in place of those they had, where the revision is theirs.

        Args:
            entries: The entries.
            read: As they were read; given, only the vector that one had is replaced.
            contents: Their contents, coded, which may stand on their vectors; None: those that
                were read do not. Where they do by now, as they were coded anew meanwhile, the
                entry stays as it is: without its vector nobody could read it again.
        """
        self._names.note_versions({entry.encoder_version for entry in entries})
        located = self.locate(entry.key for entry in entries)
        stored = {} if read is None else self._vectors(place.row for place in located.values())
        standing = self._standing_on_vectors(place.row for place in located.values())
        table, changes, outcome = self._entries, [], []
        known: Sequence[MemoryEntry | None] = [None] * len(entries) if read is None else read
        for entry, before, coded in zip(entries, known, contents, strict=True):
            place = located.get(entry.key)
            there = place is not None and place.age[0] == entry.revision
            if there and place is not None and before is not None:
                there = same_vector(replace(before, **stored[place.row]), before)
            if place is not None and coded is None:
                there = there and place.row not in standing
            outcome.append(there)
            if place is not None and there:
                coding, vector = code_embedding(entry)
                changes.append(
                    {
                        "row": place.row,
                        "vector": vector,
                        "coding": coding,
                        "version": entry.encoder_version,
                        "coded": coded,
                        "bounds": None if coded is None else bounds_of_row(entry, coded),
                    }
                )
        given = bindparam("coded", type_=table.c.contents.type)
        bounds = bindparam("bounds", type_=table.c.error_bounds.type)
        pinned = case((table.c.embedding_coding >= PINNED, PINNED), else_=0)
        statement = (
            update(table)
            .where(table.c.id == bindparam("row"))
            .values(
                embedding=bindparam("vector"),
                embedding_coding=pinned + bindparam("coding"),
                encoder_version=bindparam("version"),
                contents=func.coalesce(given, table.c.contents),
                # Bounds that stand beside exact contents stay.
                error_bounds=case((given.is_(None), table.c.error_bounds), else_=bounds),
            )
        )
        if changes:
            self.connection.execute(statement, changes)
        return outcome

    def _vectors(self, rows: Iterable[int]) -> dict[int, dict[str, Any]]:
        """The vectors and versions of entries by the ids of their rows, as fields."""
        table = self._entries
        coding = (table.c.embedding_coding % PINNED).label("embedding_coding")
        asked = (table.c.id, table.c.embedding, coding, table.c.encoder_version)
        return {
            row.id: {
                "embedding": (
                    None
                    if row.embedding is None
                    else decode_vector(row.embedding_coding, row.embedding)
                ),
                "encoder_version": row.encoder_version,
            }
            for chunk in chunked(rows, IN_LIST)
            for row in self.connection.execute(select(*asked).where(table.c.id.in_(chunk)))
        }

    def _standing_on_vectors(self, rows: Iterable[int]) -> set[int]:
        """Those of some rows whose contents may have been coded beside their vectors."""
        return {
            row
            for chunk in chunked(rows, IN_LIST)
            for row in self.connection.scalars(rows_with_code(self._models, chunk))
        }

    def touch(self, counts: Mapping[int, int], at: float) -> None:
        """Count retrievals of entries, by the ids of their rows."""
        table = self._entries
        accessed = func.coalesce(table.c.last_access_time, table.c.timestamp)
        later = case((accessed < at, at), else_=table.c.last_access_time)
        statement = (
            update(table)
            .where(table.c.id == bindparam("row"))
            .values(
                retrieval_count=table.c.retrieval_count + bindparam("count"),
                last_access_time=later,
            )
        )
        touched = [{"row": row, "count": count} for row, count in counts.items()]
        if touched:
            self.connection.execute(statement, touched)

    def forget(self, keys: Sequence[EntryKey], at: float, released_at: float | None = None) -> int:
        """Mark keys as forgotten and delete their entries, whichever agent has them."""
        self._take_turns(forgetting=True)
        runs = self._names.runs({key.run_id for key in keys})
        marks = list(dict.fromkeys((runs[key.run_id], key.memory_id) for key in keys))
        marked = self._forgotten(marks)
        self._insert_tombstones([mark for mark in marks if mark not in marked], at, released_at)
        self._set_released([mark for mark, found in marked.items() if found != released_at],
                           released_at)  # fmt: skip
        stored = self._stored(memory_id for _, memory_id in marks)
        return self.delete_rows(stored[mark].row for mark in marks if mark in stored)

    def release(self, keys: Sequence[EntryKey], at: float) -> None:
        """Let forgotten keys be stored anew, but for copies that were read before."""
        self._take_turns(forgetting=True)
        runs = self._names.runs({key.run_id for key in keys})
        self._set_released([(runs[key.run_id], key.memory_id) for key in keys], at)

    def locate(self, keys: Iterable[EntryKey]) -> dict[EntryKey, Located]:
        """Find the rows of those keys that are stored, and keep others from changing them."""
        wanted = set(keys)
        ids = {key.memory_id for key in wanted if is_canonical(key.memory_id)}
        located = {
            EntryKey(row.run_id, row.agent_id, row.memory_id): _located(row)
            for chunk in chunked(ids, IN_LIST)
            for row in self.connection.execute(locations(self._models, chunk))
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

    def _stored(self, memory_ids: Iterable[str | bytes]) -> dict[tuple[int, str], Located]:
        return {
            (row.run_ref, row.memory_id): _located(row)
            for chunk in chunked(memory_ids, IN_LIST)
            for row in self.connection.execute(locations(self._models, chunk))
        }

    def _forgotten(self, keys: Iterable[tuple[int, str]]) -> dict[tuple[int, str], float | None]:
        by_run: dict[int, list[str]] = {}
        for run_ref, memory_id in keys:
            by_run.setdefault(run_ref, []).append(memory_id)
        # Most runs forget nothing: asking that first spares the list of ids, 3 us an entry.
        by_run = {run_ref: by_run[run_ref] for run_ref in self._forgetful(by_run)}
        return {
            (run_ref, row.memory_id): row.released_at
            for run_ref, memory_ids in by_run.items()
            for chunk in chunked(memory_ids, IN_LIST)
            for row in self.connection.execute(tombstones(self._models, run_ref, chunk))
        }

    def _redated(
        self, forgotten: dict[tuple[int, str], float | None], now: float
    ) -> dict[tuple[int, str], float | None]:
        """When keys were released; now, if that was under a clock which was set back since.

        Else what is stored under them later would be refused until the clock gets there again.
        """
        ahead = [mark for mark, at in forgotten.items() if at is not None and at > now + CLOCK_SKEW]
        self._set_released(ahead, now)
        return forgotten | dict.fromkeys(ahead, now)

    def _forgetful(self, run_refs: Iterable[int]) -> list[int]:
        return [
            run_ref
            for chunk in chunked(run_refs, IN_LIST)
            for run_ref in self.connection.scalars(runs_with_tombstones(self._models, chunk))
        ]

    def _insert(self, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        if not self.connection.dialect.positional:
            self.connection.execute(insert(self._entries), rows)
            return
        # Tuples for the driver: SQLAlchemy's own handling of parameters takes as long as SQLite.
        statement, columns = _insertion(self._entries, self.connection.dialect, tuple(rows[0]))
        for row in rows:
            if row["attributes"] is not None:
                row["attributes"] = json.dumps(row["attributes"])
        values_of = itemgetter(*columns)
        self.connection.exec_driver_sql(statement, [values_of(row) for row in rows])

    def _insert_tombstones(
        self, marks: Sequence[tuple[int, str]], at: float, released_at: float | None
    ) -> None:
        times = {"forgotten_at": at, "released_at": released_at}
        rows = [
            {"run_ref": run_ref, "memory_id": memory_id, **times} for run_ref, memory_id in marks
        ]
        if rows:
            self.connection.execute(insert(self._tombstones), rows)

    def _set_released(self, marks: Sequence[tuple[int, str]], at: float | None) -> None:
        table = self._tombstones
        statement = (
            update(table)
            .where(table.c.run_ref == bindparam("run"), table.c.memory_id == bindparam("forgotten"))
            .values(released_at=at)
        )
        if marks:
            self.connection.execute(
                statement,
                [{"run": run_ref, "forgotten": memory_id} for run_ref, memory_id in marks],
            )

    def _take_turns(self, *, forgetting: bool) -> None:
        """Let no entry be added between the mark and the deletion of its forgetting.

        SQLite has one writer at a time as it is.
        """
        if self.connection.dialect.name == "postgresql":
            lock = func.pg_advisory_xact_lock if forgetting else func.pg_advisory_xact_lock_shared
            self.connection.execute(lock(zlib.crc32(self._tombstones.name.encode())).select())


@lru_cache(maxsize=16)
def _insertion(table: Table, dialect: Dialect, columns: tuple[str, ...]) -> tuple[str, list[str]]:
    """The statement that inserts a row, and the order of its parameters."""
    compiled = insert(table).compile(dialect=dialect, column_keys=list(columns))
    return compiled.string, compiled.positiontup or []


def _refused(released_at: float | None, read_at: float, now: float) -> Added | None:
    """Why an entry under a forgotten key is refused; None if it is not."""
    if released_at is None:
        return Added.FORGOTTEN
    # Read under a clock which was set back since: nobody can tell whether that was before.
    untold = now + CLOCK_SKEW < read_at < inf
    return Added.STALE if untold or read_at <= released_at else None


def age_of(entry: MemoryEntry) -> Age:
    """What says which of two copies of an entry is the newer."""
    return entry.revision, entry.retrieval_count


def _located(row: Any) -> Located:
    return Located(row.id, (row.revision, row.retrieval_count))
