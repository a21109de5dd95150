"""The moments of forgetting, and the roll-backs of runs, within one transaction.

They lie among what the database records of its memory (``identity``), in the transaction of what
they are the moments of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Table, func, insert, inspect, select, text, update
from sqlalchemy.schema import CreateTable

from agent_memory.models.ltm import LtmModels
from agent_memory.repositories.forgettings import Leases, RollBack, next_moment, with_roll_back
from agent_memory.repositories.sql.identity import LOCK_RECORDS, records_table
from agent_memory.repositories.sql.statements import IN_LIST, chunked, table_of

_LAST = "moment of forgetting"
_LEASES = "forgettings under way"
_ROLLED_BACK = "rolled back: "


class Moments:
    """Reads and makes moments. Whoever makes one holds the lock of those who forget.

    Args:
        connection: The transaction's connection.
        models: The models of the tables.
    """

    def __init__(self, connection: Connection, models: LtmModels) -> None:
        self._connection = connection
        self._there = False
        self._tombstones = table_of(models.Tombstone)
        self._table: Table = records_table(models.Tombstone.__table_prefix__)

    def last(self) -> float:
        """The last moment; 0 where nothing was ever forgotten."""
        column = self._table.c
        if self._is_there():
            asked = select(column.value).where(column.name == _LAST)
            for value in self._connection.scalars(asked):
                return float(value)
        # What earlier versions have forgotten, whose moments are the times of their clocks.
        marks = self._tombstones.c
        times = self._connection.execute(
            select(func.max(marks.forgotten_at), func.max(marks.released_at))
        ).one()
        return max((float(time) for time in times if time is not None), default=0.0)

    def next(self, at: float) -> float:
        """Make the next moment.

        Args:
            at: The time, in seconds since 1970.
        """
        moment = next_moment(self.last(), at)
        self._put(_LAST, repr(moment))
        return moment

    def lease(self, moment: float, seconds: float, now: float) -> None:
        """Note that a forgetting is under way for some seconds, unless it is released before.

        Args:
            moment: Of the forgetting.
            seconds: For how long.
            now: The time by the database's clock.
        """
        held = self.leases(now).with_one(moment, seconds)
        self._put(_LEASES, json.dumps([*held.items()]))

    def leases(self, now: float) -> Leases:
        """The forgettings that are under way, or were not released in time.

        Args:
            now: The time by the database's clock.
        """
        if not self._is_there():
            return Leases({}, now)
        column = self._table.c
        asked = select(column.value).where(column.name == _LEASES)
        values = self._connection.scalars(asked)
        return Leases({at: until for value in values for at, until in json.loads(value)}, now)

    def roll_back(self, run_id: str, step: int, at: float) -> None:
        """Note that what a run has stored of the steps after one is forgotten."""
        new = RollBack(step, self.next(at), at)
        held = self.roll_backs([run_id]).get(run_id, [])
        self._put(_name_of(run_id), json.dumps(with_roll_back(held, new)))

    def roll_backs(self, runs: Iterable[str]) -> dict[str, list[RollBack]]:
        """The roll-backs of some runs; those that were never rolled back are left out."""
        if not self._is_there():
            return {}
        column, named = self._table.c, {_name_of(run_id): run_id for run_id in runs}
        rows = [
            row
            for chunk in chunked(named, IN_LIST)
            for row in self._connection.execute(
                select(column.name, column.value).where(column.name.in_(chunk))
            )
        ]
        return {named[row.name]: [RollBack(*one) for one in json.loads(row.value)] for row in rows}

    def _put(self, name: str, value: str) -> None:
        if not self._is_there():
            if self._connection.dialect.name == "postgresql":
                self._connection.execute(text(LOCK_RECORDS))
            self._connection.execute(CreateTable(self._table, if_not_exists=True))
            self._there = True
        column = self._table.c
        changed = self._connection.execute(
            update(self._table).where(column.name == name).values(value=value)
        )
        if changed.rowcount == 0:
            self._connection.execute(insert(self._table).values(name=name, value=value))

    def _is_there(self) -> bool:
        if not self._there:
            inspector: Any = inspect(self._connection)
            self._there = bool(inspector.has_table(self._table.name))
        return self._there


def _name_of(run_id: str) -> str:
    """Under what the roll-backs of a run are recorded: names of runs may be anything, and long."""
    return _ROLLED_BACK + hashlib.blake2b(run_id.encode(), digest_size=16).hexdigest()
