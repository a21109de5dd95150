"""Keys that were forgotten, within one transaction on long-term memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, func, insert, update

from agent_memory.models.ltm import LtmModels
from agent_memory.models.ltm_types import agent_hash
from agent_memory.repositories.forgettings import Forgetting, Leases, refusal
from agent_memory.repositories.outcomes import Added
from agent_memory.repositories.sql.statements import (
    IN_LIST,
    chunked,
    runs_with_tombstones,
    table_of,
    tombstones,
)


class Mark(NamedTuple):
    """A forgotten key.

    Attributes:
        run_ref: The reference of its run.
        agent_id: Its agent; empty: every agent of the run.
        memory_id: Its memory id.
    """

    run_ref: int
    agent_id: str
    memory_id: str

    @property
    def of_all_agents(self) -> Mark:
        """The mark that closes the same id to every agent of the run."""
        return self._replace(agent_id="")


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
            self._connection.execute(_locking(self._table.name, forgetting=forgetting))

    def forgetful(self, run_refs: Collection[int]) -> set[int]:
        """Those of some runs that have forgotten anything, as most have not.

        Asking that first saves the list of ids, 3 us an entry.
        """
        return {
            run_ref
            for chunk in chunked(run_refs, IN_LIST)
            for run_ref in self._connection.scalars(
                runs_with_tombstones(self._models), {"run_refs": chunk}
            )
        }

    def found(self, marks: Iterable[Mark]) -> dict[Mark, Forgetting]:
        """Those of the marks that are stored, and when they were forgotten and released."""
        return self._found(self._of_runs_with_any(marks))

    def _found(self, marks: Collection[Mark]) -> dict[Mark, Forgetting]:
        by_run: dict[int, set[str]] = {}
        for mark in marks:
            by_run.setdefault(mark.run_ref, set()).add(mark.memory_id)
        rows = {
            (run_ref, row.agent_hash, row.memory_id): Forgetting(row.forgotten_at, row.released_at)
            for run_ref, memory_ids in by_run.items()
            for chunk in chunked(memory_ids, IN_LIST)
            for row in self._connection.execute(tombstones(self._models, run_ref, chunk))
        }
        places = {mark: (mark.run_ref, agent_hash(mark.agent_id), mark.memory_id) for mark in marks}
        return {mark: rows[place] for mark, place in places.items() if place in rows}

    def refusals(
        self, marks: Iterable[Mark], moment: float, leases: Callable[[], Leases]
    ) -> Mapping[Mark, Added]:
        """Those of the marks under which nothing may be stored, and why.

        Args:
            marks: The keys of entries that are to be stored, of runs that are ``forgetful``.
            moment: The last moment that was known before the entries were read from the tier above.
            leases: Gives the forgettings that are under way.
        """
        of_all = {mark: mark.of_all_agents for mark in marks}
        found = self._found({*of_all, *of_all.values()})
        refused: dict[Mark, Added] = {}
        if not found:
            return refused
        open_ones = leases()
        for mark, of_all_agents in of_all.items():
            reasons = [
                reason
                for it in (found[one] for one in (mark, of_all_agents) if one in found)
                if (reason := refusal(it, moment, open_ones)) is not None
            ]
            if reasons:
                refused[mark] = min(reasons)  # the one that lasts
        return refused

    def mark(self, marks: Sequence[Mark], moment: float, released_at: float | None) -> None:
        """Store marks.

        Args:
            marks: The keys that are forgotten.
            moment: When; see ``forgettings``.
            released_at: From when on they are released; None: they are not.
        """
        there = self.found(marks)
        times = {"forgotten_at": moment, "released_at": released_at}
        rows = [
            {
                "run_ref": mark.run_ref,
                "memory_id": mark.memory_id,
                "agent_hash": agent_hash(mark.agent_id),
                **times,
            }
            for mark in marks
            if mark not in there
        ]
        if rows:
            self._connection.execute(insert(self._table), rows)
        self.release([*there], released_at, moment)

    def release(self, marks: Sequence[Mark], at: float | None, moment: float) -> None:
        """Set when marks are released; None: they are not. Those that are not stored stay away.

        Args:
            marks: The keys.
            at: When, in seconds since 1970.
            moment: The same as a moment.
        """
        column = self._table.c
        statement = (
            update(self._table)
            .where(
                column.run_ref == bindparam("run"),
                column.memory_id == bindparam("forgotten"),
                column.agent_hash == bindparam("of_agent"),
            )
            .values(released_at=at, forgotten_at=moment)
        )
        if marks:
            self._connection.execute(
                statement,
                [
                    {"run": run_ref, "forgotten": memory_id, "of_agent": agent_hash(agent_id)}
                    for run_ref, agent_id, memory_id in marks
                ],
            )

    def _of_runs_with_any(self, marks: Iterable[Mark]) -> list[Mark]:
        wanted = list(marks)
        forgetful = self.forgetful({mark.run_ref for mark in wanted})
        return [mark for mark in wanted if mark.run_ref in forgetful] if forgetful else []


@lru_cache(maxsize=16)
def _locking(table: str, *, forgetting: bool) -> Select[Any]:
    """The statement that waits for a lock on a table's name until the transaction ends."""
    lock = func.pg_advisory_xact_lock if forgetting else func.pg_advisory_xact_lock_shared
    return lock(zlib.crc32(table.encode())).select()
