"""The importances of long-term memory: read without contents, kept, and set by one statement."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import Connection, Update, bindparam, update

from agent_memory.models.ltm import LtmModels
from agent_memory.repositories.importances import ENTRY_BYTES, Importances
from agent_memory.repositories.moves import Agent
from agent_memory.repositories.sql.agent_rows import names_of, numbers_of, raw_rows
from agent_memory.repositories.sql.marks import KnownMarks, mark_of
from agent_memory.repositories.sql.statements import table_of
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.repositories.sql.work import UnitOfWork
from agent_memory.repositories.sql.writing import Writer
from agent_memory.values.entry import EntryKey
from agent_memory.values.forking import after_fork
from agent_memory.values.recently_used import RecentlyUsed

MAX_BYTES = 256 * 1024**2
"""How many bytes of importances a process keeps of long-term memory."""

_BARE = 1_000  # bytes that an agent without entries takes
_COLUMNS = ("memory_id", "step_number", "importance_score")


class _Kept:
    """What is kept of an agent's importances."""

    def __init__(self, marks: KnownMarks, agent: Agent) -> None:
        self.rows: Importances | None = None
        self.marks = marks.of(agent)
        self.size = _BARE


class LtmImportances:
    """The importances of long-term memory. Threads may share it.

    Args:
        transactions: The database.
        models: The models of the tables.
        marks: The marks of what is kept.
        writer: Writes to the tables.
    """

    def __init__(
        self, transactions: Transactions, models: LtmModels, marks: KnownMarks, writer: Writer
    ) -> None:
        self._transactions = transactions
        self._models = models
        self._marks = marks
        self._writer = writer
        self._kept: RecentlyUsed[Agent, _Kept] = RecentlyUsed(
            lambda agent: _Kept(marks, agent), MAX_BYTES
        )
        self._unlock()
        after_fork(self._unlock)

    def of(self, run_id: str, agents: Sequence[str]) -> dict[str, Importances]:
        """Those of some agents of a run; see ``ImportanceIndex``."""
        found: dict[str, Importances] = {}
        with self._lock, self._transactions.reading() as connection:
            mark = mark_of(connection)
            for agent_id in agents:
                one = self._kept.of((run_id, agent_id))
                if one.rows is None or not one.marks.hold(mark):
                    self._read(connection, (run_id, agent_id), one)
                    one.marks.clear()
                    one.marks.add(mark)
                if one.rows is not None and len(one.rows.ids):
                    found[agent_id] = one.rows
            self._kept.make_room()
        return found

    def _read(self, connection: Connection, agent: Agent, one: _Kept) -> None:
        rows = [
            row for part in raw_rows(connection, self._models, _COLUMNS, *agent) for row in part
        ]
        names, sound = names_of([row[0] for row in rows])
        ids = np.frombuffer(names.tobytes().hex().encode(), "S32")
        steps = numbers_of([row[1] for row in rows], np.int64)
        importance = numbers_of([row[2] for row in rows], np.float64)
        sound &= (steps >= 0) & np.isfinite(importance)
        kept = np.flatnonzero(sound)[np.argsort(ids[sound], kind="stable")]
        found = Importances(ids[kept], importance[kept], steps[kept])
        if one.rows is not None and np.array_equal(one.rows.ids, found.ids):
            found = found._replace(ids=one.rows.ids)
        one.rows = found
        one.size = _BARE + ENTRY_BYTES * len(found.ids)

    def set(self, wanted: Mapping[EntryKey, float]) -> list[EntryKey]:
        """Set how important some entries are; returns the keys that are not stored here."""
        agents = {key[:2] for key in wanted}
        statement = _setting(self._models)

        def work_on(work: UnitOfWork) -> list[EntryKey]:
            located = work.locate(wanted)
            rows = [{"row": at.row, "wanted": wanted[key]} for key, at in located.items()]
            # What is kept here is set as well, and so stays true.
            own = [self._kept.of(agent).marks for agent in agents]
            with self._marks.going_on(work.connection, agents, spared=own):
                if rows:
                    work.connection.execute(statement, rows)
            return [key for key in wanted if key not in located]

        with self._lock:
            kept = {agent: self._kept.of(agent) for agent in agents}
            try:
                missing = self._writer.run(work_on)
            except BaseException:
                for one in kept.values():
                    one.rows = None  # it may have been set all the same
                raise
            for agent, one in kept.items():
                if one.rows is not None:
                    one.rows = _with(one.rows, wanted, agent)
        return missing

    def _unlock(self) -> None:
        self._lock = threading.Lock()


def _with(rows: Importances, wanted: Mapping[EntryKey, float], agent: Agent) -> Importances:
    of_agent = {key.memory_id.encode(): it for key, it in wanted.items() if key[:2] == agent}
    names = np.array([*of_agent], "S32")
    _, there = rows.places_of(names)
    chosen = {bytes(name): (of_agent[bytes(name)], 0) for name in names[there]}
    return rows.with_changes(chosen)


def _setting(models: LtmModels) -> Update:
    table = table_of(models.LtmEntry)
    return (
        update(table)
        .where(table.c.id == bindparam("row"))
        .where(table.c.importance_score != bindparam("wanted"))
        .values(importance_score=bindparam("wanted"), revision=table.c.revision + 1)
    )
