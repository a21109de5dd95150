"""What long-term memory knows besides entries: runs, versions, tombstones, declared attributes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, null, select, update

from agent_memory.errors import EntryConflict
from agent_memory.models.ltm import LtmModels
from agent_memory.repositories.sql import attributes as sql_attributes
from agent_memory.repositories.sql.encoders import ACTIVE, REGISTERED
from agent_memory.repositories.sql.statements import table_of
from agent_memory.repositories.sql.transactions import Transactions

Rows = list[dict[str, Any]]

_JSON = ("tolerances", "metrics")


class LongTermTables:
    """The tables beside that of entries, as rows of plain values in which names stand for ids.

    Args:
        sql_engine: From ``connections.sql.open_engine``.
        models: The models of the tables.
    """

    def __init__(self, sql_engine: Engine, models: LtmModels) -> None:
        self._models = models
        self._transactions = Transactions(sql_engine)

    @contextmanager
    def at_one_moment(self) -> Iterator[Connection]:
        """A connection that sees the database as it is when it is first asked."""
        with self._transactions.reading() as connection:
            if connection.dialect.name == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @property
    def is_empty(self) -> bool:
        """Whether there is no run, no tombstone and no version but such as need no training."""
        models = self._models
        asked = [
            select(func.count()).select_from(table_of(model))
            for model in (models.Run, models.Tombstone)
        ]
        with self._transactions.reading() as connection:
            return not any(connection.scalar(statement) for statement in asked) and not (
                self.versions(connection)
            )

    def runs(self, connection: Connection) -> Rows:
        """The runs, with their parents by name."""
        run, parent = table_of(self._models.Run), table_of(self._models.Run).alias()
        asked = select(run, parent.c.name.label("parent")).select_from(
            run.outerjoin(parent, parent.c.id == run.c.parent_id)
        )
        names = ("name", "parent", "fork_step", "status", "created_at")
        return [
            {name: row[name] for name in names}
            | {
                "seed": None if row["seed"] is None else str(row["seed"]),
                "parameters": _as_text(row["parameters"]),
            }
            for row in connection.execute(asked.order_by(run.c.id)).mappings()
        ]

    def versions(self, connection: Connection) -> Rows:
        """The versions of the encoder, with all that is registered of them."""
        table = table_of(self._models.EncoderVersion)
        rows = connection.execute(select(table).where(table.c.id != 0).order_by(table.c.id))
        return [
            {name: _as_text(value) if name in _JSON else value for name, value in row.items()}
            for row in rows.mappings()
        ]

    def tombstones(self, connection: Connection) -> Iterator[dict[str, Any]]:
        """The forgotten keys, with their runs by name and the hashes of their agents."""
        run, tombstone = self._models.Run, self._models.Tombstone
        asked = select(
            run.name.label("run"),
            tombstone.memory_id,
            tombstone.agent_hash,
            tombstone.forgotten_at,
            tombstone.released_at,
        ).join(run, run.id == tombstone.run_ref)
        with connection.execution_options(yield_per=1_000).execute(asked) as found:
            for row in found.mappings():
                yield dict(row)

    def attributes(self, connection: Connection) -> list[str]:
        """The paths of declared attributes."""
        return list(sql_attributes.declared(connection, self._models))

    def conflicts(self, versions: Sequence[Mapping[str, Any]]) -> list[int]:
        """Those of the versions under whose number or name another one is registered here."""
        with self._transactions.reading() as connection:
            here = self.versions(connection)
        numbers = {row["id"]: (row["weights"], row["dictionary"]) for row in here}
        names = {row["name"]: row["id"] for row in here if row["name"] is not None}
        return [
            row["id"]
            for row in versions
            if names.get(row["name"], row["id"]) != row["id"]
            or (
                numbers.get(row["id"], (None, None)) != (None, None)
                and numbers[row["id"]] != (row["weights"], row["dictionary"])
            )
        ]

    def restore(
        self,
        runs: Sequence[Mapping[str, Any]],
        versions: Sequence[Mapping[str, Any]],
        tombstones: Sequence[Mapping[str, Any]],
        attributes: Sequence[str],
    ) -> None:
        """Add what is not here, in one transaction; no version is activated.

        Raises:
            EntryConflict: Another process added the same meanwhile; try again.
        """
        with self._transactions.writing() as connection:
            references = self._add_runs(connection, runs)
            self._add_versions(connection, versions)
            self._add_tombstones(connection, tombstones, references)
            sql_attributes.declare(connection, self._models, attributes)
            connection.commit()

    def activate(self, version: int) -> None:
        """Let new entries be encoded with a version, unless another one is active here."""
        table = table_of(self._models.EncoderVersion)
        with self._transactions.writing() as connection:
            if connection.scalar(select(table.c.id).where(table.c.status == ACTIVE)) is None:
                connection.execute(update(table).where(table.c.id == version).values(status=ACTIVE))
                connection.commit()

    def _add_runs(
        self, connection: Connection, runs: Sequence[Mapping[str, Any]]
    ) -> dict[str, int]:
        table = table_of(self._models.Run)

        def known() -> dict[str, int]:
            return {
                row.name: row.id for row in connection.execute(select(table.c.id, table.c.name))
            }

        here = known()
        added = [run for run in runs if run["name"] not in here]
        for run in runs:
            values = {name: run[name] for name in ("name", "fork_step", "status", "created_at")}
            values["seed"] = None if run["seed"] is None else int(run["seed"])
            values["parameters"] = _of_text(run.get("parameters"))  # early backups have none
            if run["name"] not in here:
                connection.execute(insert(table), values)
            elif values["parameters"] is not None:
                # What is recorded here stays.
                unrecorded = table.c.parameters.is_(null()), table.c.name == run["name"]
                connection.execute(update(table).where(*unrecorded).values(values))
        here = known()
        for run in added:
            if run["parent"] is not None:
                connection.execute(
                    update(table)
                    .where(table.c.name == run["name"])
                    .values(parent_id=here[run["parent"]])
                )
        return here

    def _add_versions(self, connection: Connection, versions: Sequence[Mapping[str, Any]]) -> None:
        table = table_of(self._models.EncoderVersion)
        found = connection.execute(select(table.c.id, table.c.weights))
        here = {row.id: row.weights for row in found}
        parents = {row["id"]: row["parent_id"] for row in versions}
        if 0 in parents.values() and 0 not in here:
            bare = {"id": 0, "status": self._models.EncoderVersion.UNREGISTERED}
            connection.execute(insert(table), bare | {"format": 0, "created_at": 0.0})
        for row in versions:
            values = dict(row) | {name: _of_text(row[name]) for name in _JSON}
            values["parent_id"] = None
            if values["status"] == ACTIVE:
                values["status"] = REGISTERED
            if row["id"] not in here:
                connection.execute(insert(table), values)
            elif here[row["id"]] is None:
                # Entries that were there named it; now it is.
                connection.execute(update(table).where(table.c.id == row["id"]).values(values))
            else:
                parents.pop(row["id"])
        for version, parent in parents.items():
            if parent is not None:
                connection.execute(
                    update(table).where(table.c.id == version).values(parent_id=parent)
                )

    def _add_tombstones(
        self,
        connection: Connection,
        tombstones: Sequence[Mapping[str, Any]],
        references: Mapping[str, int],
    ) -> None:
        table = table_of(self._models.Tombstone)
        found = connection.execute(select(table.c.run_ref, table.c.memory_id, table.c.agent_hash))
        here = {tuple(row) for row in found}
        rows = [
            {
                "run_ref": references[row["run"]],
                "memory_id": row["memory_id"],
                "agent_hash": row.get("agent_hash", 0),  # early backups know of no agents
                "forgotten_at": row["forgotten_at"],
                "released_at": row["released_at"],
            }
            for row in tombstones
        ]
        key = itemgetter("run_ref", "memory_id", "agent_hash")
        fresh = [row for row in rows if key(row) not in here]
        if fresh:
            connection.execute(insert(table), fresh)


def _as_text(value: Any) -> str | None:
    """A value of a JSON column as text."""
    return None if value is None else json.dumps(value)


def _of_text(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def refuse_conflicts(conflicts: Sequence[int]) -> None:
    """Raise if there are any.

    Raises:
        EntryConflict: There are.
    """
    if conflicts:
        raise EntryConflict(
            f"the versions {', '.join(map(str, conflicts))} of the encoder are other ones in this "
            "memory than in the backup; entries of both cannot stand in it: restore into an empty "
            "memory"
        )
