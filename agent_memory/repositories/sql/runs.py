"""Where runs are recorded: what each was begun with, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Select, case, null, select, update

from agent_memory.models.ltm import LtmModels
from agent_memory.repositories.sql.names import KnownNames, Names
from agent_memory.repositories.sql.statements import table_of
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.values.run import FORGOTTEN, RUNNING, RunRecord


class RunRecords:
    """The records of a memory's runs; each call is one transaction.

    Args:
        transactions: The database.
        models: The models of the tables.
        clock: Gives the time in seconds since 1970.
    """

    def __init__(
        self, transactions: Transactions, models: LtmModels, clock: Callable[[], float]
    ) -> None:
        self._transactions = transactions
        self._models = models
        self._table = table_of(models.Run)
        self._clock = clock

    def all(self) -> list[RunRecord]:
        """The records of all runs that long-term memory has met, by name.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        with self._transactions.reading() as connection:
            rows = connection.execute(self._asked()).mappings().all()
        return sorted((_record(row) for row in rows), key=lambda record: record.run_id)

    def get(self, run_id: str) -> RunRecord | None:
        """The record of a run; None: long-term memory has not met it.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        with self._transactions.reading() as connection:
            return self._read(connection, run_id)

    def begin(self, wanted: RunRecord, *, add_seed: bool = True) -> tuple[RunRecord, bool]:
        """Record what a run is begun with, unless that is recorded already; its seed by itself.

        Of several processes that begin the same run at once, one records it.

        Args:
            wanted: What to record; its parameters are a dict.
            add_seed: Whether the seed of a run that is recorded without one is recorded now.

        Returns:
            What is recorded, and whether this call has recorded it.

        Raises:
            StoreReadOnly: The database was opened read-only.
            StoreUnavailable: It does not answer.
        """
        column = self._table.c
        with self._transactions.writing() as connection:
            names = Names(connection, self._models, KnownNames(), self._clock)
            wanted_names = [name for name in (wanted.run_id, wanted.parent) if name is not None]
            references = names.runs(wanted_names)
            now = wanted.created_at or self._clock()
            changed = connection.execute(
                update(self._table)
                .where(column.name == wanted.run_id, column.parameters.is_(null()))
                .values(
                    parameters=dict(wanted.parameters or {}),
                    seed=wanted.seed,
                    parent_id=references.get(wanted.parent or ""),
                    fork_step=wanted.fork_step,
                    status=RUNNING,
                    created_at=case((column.status == FORGOTTEN, now), else_=column.created_at),
                )
            )
            if add_seed and wanted.seed is not None and not changed.rowcount:
                connection.execute(
                    update(self._table)
                    .where(column.name == wanted.run_id, column.seed.is_(null()))
                    .values(seed=wanted.seed)
                )
            connection.commit()
            recorded = self._read(connection, wanted.run_id)
        return recorded or replace(wanted, status=FORGOTTEN), changed.rowcount == 1

    def set_status(self, run_id: str, status: str) -> bool:
        """Record that a run ended or goes on; returns whether it was recorded that it began.

        Raises:
            StoreReadOnly, StoreUnavailable: As ``begin``.
        """
        column = self._table.c
        with self._transactions.writing() as connection:
            changed = connection.execute(
                update(self._table)
                .where(column.name == run_id, column.parameters.is_not(null()))
                .values(status=status)
            )
            connection.commit()
        return changed.rowcount == 1

    def forget(self, run_id: str) -> None:
        """Forget what a run was begun with; its name stays, which tombstones refer to.

        Raises:
            StoreReadOnly, StoreUnavailable: As ``begin``.
        """
        gone = {"parameters": null(), "seed": None, "parent_id": None, "fork_step": None}
        with self._transactions.writing() as connection:
            connection.execute(
                update(self._table)
                .where(self._table.c.name == run_id)
                .values(**gone, status=FORGOTTEN)
            )
            connection.commit()

    def _read(self, connection: Connection, run_id: str) -> RunRecord | None:
        asked = self._asked().where(self._table.c.name == run_id)
        row = connection.execute(asked).mappings().first()
        return None if row is None else _record(row)

    def _asked(self) -> Select[*tuple[Any, ...]]:
        run, parent = self._table, self._table.alias()
        return select(run, parent.c.name.label("parent")).select_from(
            run.outerjoin(parent, parent.c.id == run.c.parent_id)
        )


def _record(row: Any) -> RunRecord:
    seed, parameters = row["seed"], row["parameters"]
    return RunRecord(
        run_id=row["name"],
        parent=row["parent"],
        fork_step=row["fork_step"],
        seed=None if seed is None else int(seed),
        parameters=parameters if isinstance(parameters, dict) else None,
        status=row["status"],
        created_at=row["created_at"],
    )
