"""Keys that were forgotten, within one transaction on long-term memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from math import inf

from sqlalchemy import Connection, bindparam, func, insert, update

from agent_memory.models.ltm import LtmModels
from agent_memory.repositories.moves import CLOCK_SKEW
from agent_memory.repositories.outcomes import Added
from agent_memory.repositories.sql.statements import (
    IN_LIST,
    chunked,
    runs_with_tombstones,
    table_of,
    tombstones,
)

Mark = tuple[int, str]
"""A forgotten key: the reference of its run, and its memory id."""


class Tombstones:
    """The forgotten keys as one transaction sees and changes them.

    Args:
        connection: The transaction's connection.
        models: The models of the tables.
    """

    def __init__(self, connection: Connection, models: LtmModels) -> None:
        self._connection = connection
        self._models = models
        self._table = table_of(models.Tombstone)

    def lock(self, *, forgetting: bool) -> None:
        """Keep entries from being added while their keys are marked and their rows deleted.

        SQLite has one writer at a time anyway.

        Args:
            forgetting: True waits for every transaction that adds or forgets; False only for
                those that forget.
        """
        if self._connection.dialect.name == "postgresql":
            lock = func.pg_advisory_xact_lock if forgetting else func.pg_advisory_xact_lock_shared
            self._connection.execute(lock(zlib.crc32(self._table.name.encode())).select())

    def found(self, marks: Iterable[Mark]) -> dict[Mark, float | None]:
        """Those of the marks that are stored, and when they were released; None: they were not."""
        by_run: dict[int, list[str]] = {}
        for run_ref, memory_id in marks:
            by_run.setdefault(run_ref, []).append(memory_id)
        # Most runs forget nothing. Asking that first saves the list of ids, 3 us an entry.
        by_run = {run_ref: by_run[run_ref] for run_ref in self._runs_with_any(by_run)}
        return {
            (run_ref, row.memory_id): row.released_at
            for run_ref, memory_ids in by_run.items()
            for chunk in chunked(memory_ids, IN_LIST)
            for row in self._connection.execute(tombstones(self._models, run_ref, chunk))
        }

    def refusals(self, marks: Iterable[Mark], read_at: float, now: float) -> Mapping[Mark, Added]:
        """Those of the marks under which nothing may be stored, and why.

        Args:
            marks: The keys of entries that are to be stored.
            read_at: When the entries were read from the tier above, in seconds since 1970.
            now: The time, in seconds since 1970.
        """
        found = self._corrected(self.found(marks), now)
        refused = {mark: _refusal(at, read_at, now) for mark, at in found.items()}
        return {mark: reason for mark, reason in refused.items() if reason is not None}

    def mark(self, marks: Sequence[Mark], at: float, released_at: float | None) -> None:
        """Store marks.

        Args:
            marks: The keys that are forgotten.
            at: When, in seconds since 1970.
            released_at: From when on they are released; None: they are not.
        """
        there = self.found(marks)
        times = {"forgotten_at": at, "released_at": released_at}
        rows = [
            {"run_ref": run_ref, "memory_id": memory_id, **times}
            for run_ref, memory_id in marks
            if (run_ref, memory_id) not in there
        ]
        if rows:
            self._connection.execute(insert(self._table), rows)
        self.release([mark for mark, stored in there.items() if stored != released_at], released_at)

    def release(self, marks: Sequence[Mark], at: float | None) -> None:
        """Set when marks are released; None: they are not. Those that are not stored stay away."""
        column = self._table.c
        statement = (
            update(self._table)
            .where(column.run_ref == bindparam("run"), column.memory_id == bindparam("forgotten"))
            .values(released_at=at)
        )
        if marks:
            self._connection.execute(
                statement,
                [{"run": run_ref, "forgotten": memory_id} for run_ref, memory_id in marks],
            )

    def _corrected(self, found: dict[Mark, float | None], now: float) -> dict[Mark, float | None]:
        """When marks were released: now, if the clock was set back since.

        Otherwise what is stored under them would be refused until the clock gets there again.
        """
        ahead = [mark for mark, at in found.items() if at is not None and at > now + CLOCK_SKEW]
        self.release(ahead, now)
        return found | dict.fromkeys(ahead, now)

    def _runs_with_any(self, run_refs: Iterable[int]) -> list[int]:
        return [
            run_ref
            for chunk in chunked(run_refs, IN_LIST)
            for run_ref in self._connection.scalars(runs_with_tombstones(self._models, chunk))
        ]


def _refusal(released_at: float | None, read_at: float, now: float) -> Added | None:
    """Why an entry under a forgotten key is refused; None if it is not."""
    if released_at is None:
        return Added.FORGOTTEN
    # It was read under a clock that was set back since: whether that was before is unknown.
    unknown = now + CLOCK_SKEW < read_at < inf
    return Added.STALE if unknown or read_at <= released_at else None
