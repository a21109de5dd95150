"""Where versions of the encoder are registered: a table beside the rows they have encoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from agent_memory.compression.rows import Stored
from agent_memory.embeddings.own import KIND
from agent_memory.embeddings.registry import UNTRAINED
from agent_memory.errors import EncoderInUse, EncoderNotFound, EncodingError, EntryConflict
from agent_memory.models.ltm import DEFAULT_PREFIX, ltm_models
from agent_memory.models.ltm_columns import PINNED
from agent_memory.models.ltm_vectors import decode_vector
from agent_memory.repositories.sql.statements import table_of
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.values.coded import mark_of
from agent_memory.values.formats import newer

ACTIVE = "active"
REGISTERED = "registered"
REMOVED = "removed"

FORMAT = 2
"""The newest number of a version's row, kept in it; 0 is that of versions that are only named, 1
of encoders, and 2 of spaces of own vectors, which the packages before did not know."""
_ATTEMPTS = 3
_SAMPLED = 256  # rows


@dataclass(frozen=True, slots=True)
class EncoderRecord:
    """What is known of a version of the encoder, but for its weights.

    Attributes:
        version: Its number; 0 needs no training.
        name: For people.
        kind: "pca", "learned", "file" for one that was given as a file, "own" for a space of own
            vectors, or "untrained" for 0.
        status: "active" (new entries are encoded with it), "registered", "removed" (its weights
            are gone), or "unregistered": entries name it, and its weights are not here.
        parent: The version that was active when it was trained.
        created_at: When, in seconds since 1970; 0 for version 0.
        metrics: What was measured when it was trained, and on whose memories.
        stored_bytes: How many bytes its artifact has; 0 where there is none.
    """

    version: int
    name: str | None
    kind: str | None
    status: str
    parent: int | None
    created_at: float
    metrics: Mapping[str, Any]
    stored_bytes: int


class EncoderVersions:
    """The registered versions of the encoder; the ``VersionSource`` of a registry.

    Args:
        sql_engine: From ``connections.sql.open_engine``, over a schema that is up to date.
        table_prefix: What the tables' names begin with.
    """

    def __init__(self, sql_engine: Engine, table_prefix: str = DEFAULT_PREFIX) -> None:
        self._transactions = Transactions(sql_engine)
        model = ltm_models(table_prefix).EncoderVersion
        self._table = table_of(model)
        self._unregistered = model.UNREGISTERED
        self._entries = table_of(ltm_models(table_prefix).LtmEntry)

    def active(self) -> int:
        """The version to encode with; 0 if none was activated."""
        column = self._table.c
        with self._transactions.reading() as connection:
            found = connection.scalar(select(column.id).where(column.status == ACTIVE))
        return UNTRAINED if found is None else int(found)

    def artifact(self, version: int) -> bytes | None:
        """The bytes of a version; None if it is not registered.

        Raises:
            NewerFormat: A newer version of the package registered it.
        """
        return self._stored(version, self._table.c.weights)

    def code(self, version: int) -> bytes | None:
        """The bytes of a version's code of contents; None if it has none.

        Raises:
            NewerFormat: A newer version of the package registered it.
        """
        return self._stored(version, self._table.c.dictionary)

    def _stored(self, version: int, part: ColumnElement[Any]) -> bytes | None:
        column = self._table.c
        # Vectors and contents that were read need them in the midst of reading.
        with self._transactions.reading_within() as connection:
            asked = select(part, column.format).where(column.id == version)
            row = connection.execute(asked).one_or_none()
        if row is None or row[0] is None:
            return None
        if row.format > FORMAT:
            raise newer(f"version {version} of the encoder", row.format, FORMAT)
        return bytes(row[0])

    def coded_rows(self, version: int) -> list[Stored]:
        """Some entries whose contents the code of a version has coded, the earliest first."""
        column, mark = self._entries.c, mark_of(version)
        asked = (
            select(column.contents, column.step_number, column.embedding_coding, column.embedding)
            .where(func.substr(column.contents, 1, len(mark)) == mark)
            .order_by(column.id)
            .limit(_SAMPLED)
        )
        with self._transactions.reading() as connection:
            return [*map(_coded_row, connection.execute(asked))]

    def records(self) -> list[EncoderRecord]:
        """All versions that are registered or named by entries of long-term memory, and 0."""
        column = self._table.c
        size = func.coalesce(func.length(column.weights), 0).label("stored_bytes")
        asked = (column.id, column.name, column.kind, column.status, column.parent_id)
        statement = select(*asked, column.created_at, column.metrics, size).order_by(column.id)
        with self._transactions.reading() as connection:
            rows = connection.execute(statement).mappings().all()
        registered = [_record(row) for row in rows if row["id"] != UNTRAINED]
        used = not any(record.status == ACTIVE for record in registered)
        return [_untrained(used), *registered]

    def own(self) -> dict[int, str]:
        """The versions that stand for spaces of own vectors, with the names of these."""
        column = self._table.c
        asked = select(column.id, column.name).where(column.kind == KIND).order_by(column.id)
        with self._transactions.reading() as connection:
            return {int(row.id): str(row.name) for row in connection.execute(asked)}

    def named(self, name: str) -> int | None:
        """The version of a name; None if there is none."""
        column = self._table.c
        with self._transactions.reading() as connection:
            found = connection.scalar(select(column.id).where(column.name == name))
        return None if found is None else int(found)

    def register(
        self,
        artifact: bytes,
        *,
        kind: str,
        at: float,
        name: str | None = None,
        parent: int | None = None,
        metrics: Mapping[str, Any] | None = None,
        code: bytes | None = None,
        tolerances: Mapping[str, Any] | None = None,
        above: int = UNTRAINED,
    ) -> int:
        """Register a version; ``activate`` lets new entries use it.

        Args:
            artifact: See ``FittedEncoder.to_bytes``.
            kind: See ``EncoderRecord``.
            at: The time, in seconds since 1970.
            name: For people; no two versions have the same.
            parent: The version it came after.
            metrics: JSON values.
            code: The code of contents that was fitted with it; see ``coding.artifact``.
            tolerances: What that was fitted with, as JSON values.
            above: The highest version that entries elsewhere name; this one gets a higher number.

        Returns:
            Its number: no entry names a version of that number already.

        Raises:
            EntryConflict: The name is taken.
        """
        values = {
            "name": name,
            "kind": kind,
            "status": REGISTERED,
            "format": FORMAT if kind == KIND else 1,
            "created_at": at,
            "parent_id": parent,
            "metrics": None if metrics is None else dict(metrics),
            "weights": artifact,
            "dictionary": code,
            "tolerances": None if tolerances is None else dict(tolerances),
        }
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._insert(values, above)
            except EntryConflict as conflict:
                # Another process took the number, where writers do not wait for each other.
                if not isinstance(conflict.__cause__, IntegrityError):
                    raise
        return self._insert(values, above)

    def activate(self, version: int) -> None:
        """Let new entries be encoded with a version; 0 is the one that needs no training.

        Raises:
            EncoderNotFound: It is not registered.
        """
        table = self._table
        with self._transactions.writing() as connection:
            connection.execute(
                update(table).where(table.c.status == ACTIVE).values(status=REGISTERED)
            )
            if version != UNTRAINED and not self._set_active(connection, version):
                raise _not_registered(version)
            connection.commit()

    def check_removable(self, version: int) -> None:
        """See that a version is registered and not used for new entries.

        Raises:
            EncoderNotFound, EncoderInUse: See ``remove``.
        """
        with self._transactions.reading() as connection:
            self._check_removable(connection, version)

    def remove(self, version: int) -> None:
        """Remove a version's weights and what was measured of it.

        Its number and the few kilobytes of its code of contents stay: a process that does not
        know yet may still code with it, and loses nothing.

        Raises:
            EncoderNotFound: It is not registered.
            EncoderInUse: New entries are encoded with it, or it is a space of own vectors.
        """
        table = self._table
        with self._transactions.writing() as connection:
            self._check_removable(connection, version)
            gone = {"weights": None, "metrics": None, "name": None, "status": REMOVED}
            connection.execute(update(table).where(table.c.id == version).values(gone))
            connection.commit()

    def _check_removable(self, connection: Connection, version: int) -> None:
        column = self._table.c
        found = connection.execute(
            select(column.status, column.kind, column.name).where(
                column.id == version, column.weights.is_not(None)
            )
        ).one_or_none()
        if found is None:
            raise _not_registered(version)
        if found.kind == KIND:
            raise EncoderInUse(
                f"version {version} stands for the own vectors of {found.name!r}: any process may "
                "store more of them, and its row takes a few bytes"
            )
        if found.status == ACTIVE:
            raise EncoderInUse(
                f"version {version} of the encoder encodes new entries; activate another first"
            )

    def _insert(self, values: Mapping[str, Any], above: int) -> int:
        table = self._table
        with self._transactions.writing() as connection:
            highest = connection.scalar(select(func.max(table.c.id)))
            version = max(highest or UNTRAINED, above) + 1
            self._check_name(connection, values["name"])
            self._note(connection, values["parent_id"], values["created_at"])
            connection.execute(insert(table), {"id": version, **values})
            connection.commit()
        return version

    def _check_name(self, connection: Connection, name: str | None) -> None:
        column = self._table.c
        # SQLAlchemy would take a name of None for a search for rows without any.
        taken = name and connection.scalar(select(column.id).where(column.name == name))
        if taken:
            raise EntryConflict(f"version {taken} of the encoder is called {name!r} already")

    def _note(self, connection: Connection, version: int | None, at: float) -> None:
        """See that a version can be named as a parent: 0 has no row until an entry names it."""
        table = self._table
        if version is None:
            return
        if not connection.scalar(select(func.count()).where(table.c.id == version)):
            row = {"id": version, "status": self._unregistered, "format": 0, "created_at": at}
            connection.execute(insert(table), row)

    def _set_active(self, connection: Connection, version: int) -> bool:
        table = self._table
        registered = (table.c.id == version) & table.c.weights.is_not(None)
        return (
            connection.execute(update(table).where(registered).values(status=ACTIVE)).rowcount == 1
        )


def _coded_row(row: Any) -> Stored:
    contents, step, coding, coded = row
    try:
        vector = None if coded is None else decode_vector(coding % PINNED, coded)
    except EncodingError:
        vector = None
    return Stored(contents, step, vector)


def _not_registered(version: int) -> EncoderNotFound:
    return EncoderNotFound(
        f"version {version} of the encoder is not registered; see: agent-memory encoder list"
    )


def _untrained(used: bool) -> EncoderRecord:
    """Version 0, which is there without being registered."""
    status = ACTIVE if used else REGISTERED
    return EncoderRecord(UNTRAINED, None, "untrained", status, None, 0.0, {}, 0)


def _record(row: RowMapping) -> EncoderRecord:
    return EncoderRecord(
        version=row["id"],
        name=row["name"],
        kind=row["kind"],
        status=row["status"],
        parent=row["parent_id"],
        created_at=row["created_at"],
        metrics=row["metrics"] or {},
        stored_bytes=row["stored_bytes"],
    )
