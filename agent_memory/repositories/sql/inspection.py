"""Looks at long-term memory beneath its repository: raw rows, and what the file says."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Engine, Row, and_, delete, select, type_coerce, update
from sqlalchemy.types import NullType

from agent_memory.errors import EncodingError
from agent_memory.models.ltm import LtmModels
from agent_memory.models.ltm_columns import PINNED
from agent_memory.models.ltm_rows import row_to_entry, vector_of
from agent_memory.models.ltm_types import Name, agent_hash
from agent_memory.repositories.codec import Codec
from agent_memory.repositories.sql import attributes as sql_attributes
from agent_memory.repositories.sql.statements import IN_LIST, chunked, table_of
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.values.coded import is_coded
from agent_memory.values.entry import MemoryEntry
from agent_memory.values.interruptions import raise_if_interrupted

AT_ONCE = 500
"""How many rows are read at once."""

_MOST_LINES = 100  # complaints of SQLite about its file
_IN_INDEX = ("missing from index", "entries in index", "non-unique entry")
# What values of a wrong type raise, which SQLite lets stand in any column.
_DAMAGES = (ValueError, TypeError, AttributeError, OverflowError)


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row of an entry as it is stored.

    Attributes:
        row: Its number.
        columns: Its columns by name, as the driver gives them.
        run_id: What its run is called; None if there is none.
        agent_id: What its agent is called; None if there is none.
        memory_type: Its type; None if there is none.
        same_run: Whether its agent is one of its run.
    """

    row: int
    columns: Mapping[str, Any]
    run_id: str | None
    agent_id: str | None
    memory_type: str | None
    same_run: bool

    @property
    def memory_id(self) -> str:
        """The id of the entry, as far as it can be read."""
        stored = self.columns["memory_id"]
        return stored.hex() if isinstance(stored, bytes) else repr(stored)

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Its declared attributes.

        Raises:
            ValueError: They are no JSON.
        """
        stored = self.columns["attributes"]
        attributes = json.loads(stored) if isinstance(stored, (str, bytes)) else stored
        return attributes or {}

    def entry(self, codec: Codec, *, with_vector: bool = True) -> MemoryEntry:
        """The entry.

        Args:
            codec: Codes contents.
            with_vector: False leaves its vector out, which may be damaged.

        Raises:
            EncodingError: The row is damaged, or refers to what is not there.
        """
        columns = self.columns
        if None in (self.run_id, self.agent_id, self.memory_type):
            raise EncodingError("its run, its agent or its type is not there")
        try:
            named = dict(columns)
            coding = named["embedding_coding"]
            named |= {"embedding_coding": coding % PINNED, "pinned": coding >= PINNED}
            for name in ("creation_time", "last_access_time"):
                if named[name] is None:
                    named[name] = named["timestamp"]
            if not with_vector:
                named |= {"embedding": None}
            stored = columns["contents"]
            # Coded contents may rest beside the vector, and cannot be read without it.
            beside = vector_of(SimpleNamespace(**named)) if _is_coded(stored) else None
            contents = codec.decode(stored, columns["step_number"], beside)
            row = SimpleNamespace(
                **named | {"memory_id": self.memory_id, "run_id": self.run_id,
                           "agent_id": self.agent_id, "memory_type": self.memory_type}
            )  # fmt: skip
            return row_to_entry(row, contents)
        except EncodingError:
            raise
        except _DAMAGES as error:
            raise_if_interrupted(error)
            raise EncodingError(f"the row is damaged ({error!r:.200})") from error


def _is_coded(stored: object) -> bool:
    return isinstance(stored, bytes) and is_coded(stored)


@contextmanager
def _any_text(connection: Any) -> Iterator[None]:
    """Read text that is no UTF-8 as well, at which SQLite's driver would fail."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        yield
        return
    driver.text_factory = _lenient
    try:
        yield
    finally:
        driver.text_factory = str


def _lenient(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


class LongTermInspection:
    """What stands in the tables of long-term memory.

    Args:
        sql_engine: From ``connections.sql.open_engine``.
        models: The models of the tables.
    """

    def __init__(self, sql_engine: Engine, models: LtmModels) -> None:
        self._sql_engine = sql_engine
        self.models = models
        self.transactions = Transactions(sql_engine)

    def complaints(self) -> list[str]:
        """What the database says of its own file; nothing where it cannot check itself."""
        if self._sql_engine.dialect.name != "sqlite":
            return []
        with self.transactions.reading() as connection:
            lines = connection.exec_driver_sql(f"PRAGMA integrity_check({_MOST_LINES})").scalars()
            return [str(line) for line in lines if line != "ok"]

    def dangling(self) -> list[tuple[str, int | None, str]]:
        """Rows that refer to what is not there: table, row, and the table they refer to."""
        if self._sql_engine.dialect.name != "sqlite":
            return []  # other databases never let go of what is referred to
        with self.transactions.reading() as connection:
            rows = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        ours = {table.name for table in self.models.metadata.sorted_tables}
        return [(row[0], row[1], row[2]) for row in rows if row[0] in ours]

    def reindex(self) -> None:
        """Have the database rebuild its own indexes."""
        with self.transactions.writing() as connection:
            connection.exec_driver_sql("REINDEX")
            connection.commit()

    @staticmethod
    def is_about_indexes(complaint: str) -> bool:
        """Whether a complaint is about an index alone, which can be rebuilt."""
        return any(mark in complaint for mark in _IN_INDEX)

    def rows(self) -> Iterator[list[StoredRow]]:
        """All entries, some at a time, in the order of their rows."""
        last = -1
        while True:
            with self.transactions.reading() as connection, _any_text(connection):
                found = connection.execute(self._statement(last)).all()
            if not found:
                return
            yield [self._stored(row) for row in found]
            last = found[-1].id

    def snapshot(self, connection: Any) -> Iterator[list[StoredRow]]:
        """All entries as they stand at one moment, some at a time.

        Args:
            connection: In a transaction, which holds that moment.
        """
        with _any_text(connection):
            asked = connection.execution_options(yield_per=AT_ONCE)
            with asked.execute(self._statement(None)) as found:
                for rows in found.partitions(AT_ONCE):
                    yield [self._stored(row) for row in rows]

    def row(self, number: int) -> StoredRow | None:
        """One entry by its row."""
        with self.transactions.reading() as connection, _any_text(connection):
            found = connection.execute(self._statement(number - 1).limit(1)).first()
        return None if found is None or found.id != number else self._stored(found)

    def take_out(self, stored: StoredRow) -> bool:
        """Delete a row, if it is still as it was seen."""
        table = table_of(self.models.LtmEntry)
        same = [
            type_coerce(table.c[name], NullType()).is_not_distinct_from(stored.columns[name])
            for name in ("contents", "embedding", "revision", "retrieval_count", "step_number")
        ]
        with self.transactions.writing() as connection:
            gone = connection.execute(delete(table).where(table.c.id == stored.row, *same))
            connection.commit()
        return gone.rowcount == 1

    def ages(
        self, keys: Sequence[tuple[str, str, str]]
    ) -> dict[tuple[str, str, str], tuple[int, int]]:
        """Revision and retrieval count of those of the keys (run, agent, id) that are here."""
        entry = self.models.LtmEntry
        wanted = set(keys)
        columns = entry.run_id, entry.agent_id, entry.memory_id, entry.revision
        found: dict[tuple[str, str, str], tuple[int, int]] = {}
        with self.transactions.reading() as connection:
            for ids in chunked({key[2] for key in wanted}, IN_LIST):
                asked = select(*columns, entry.retrieval_count).where(entry.memory_id.in_(ids))
                for run_id, agent_id, memory_id, revision, count in connection.execute(asked):
                    found[run_id, agent_id, memory_id] = revision, count
        return {key: age for key, age in found.items() if key in wanted}

    def forgotten_rows(self) -> list[tuple[str, str, str]]:
        """Run, agent and id of entries that stand here although their key is closed for good."""
        entry, tombstone = self.models.LtmEntry, self.models.Tombstone
        asked = (
            select(entry.run_id, entry.agent_id, entry.memory_id, tombstone.agent_hash)
            .join(
                tombstone,
                and_(tombstone.run_ref == entry.run_ref, tombstone.memory_id == entry.memory_id),
            )
            .where(tombstone.released_at.is_(None))
        )
        with self.transactions.reading() as connection:
            found = connection.execute(asked).all()
        # SQL has no such hash. A row whose agent is not there is of none.
        return list(
            dict.fromkeys(
                (run, agent, memory_id)
                for run, agent, memory_id, closed_to in found
                if closed_to in (0, agent_hash(agent or ""))
            )
        )

    def closed_ahead(self, after: float) -> list[tuple[str, str]]:
        """Run and id of forgotten keys that are released at a time after that."""
        run, tombstone = self.models.Run, self.models.Tombstone
        asked = (
            select(run.name, tombstone.memory_id)
            .join(run, run.id == tombstone.run_ref)
            .where(tombstone.released_at > after)
        )
        with self.transactions.reading() as connection:
            return [(row[0], row[1]) for row in connection.execute(asked)]

    def open_closed_ahead(self, after: float, at: float) -> None:
        """Have forgotten keys that are released at a time after that be released at another.

        Args:
            after: In seconds since 1970.
            at: The time, in seconds since 1970.
        """
        tombstones = table_of(self.models.Tombstone)
        released_at = tombstones.c.released_at
        with self.transactions.writing() as connection:
            connection.execute(update(tombstones).where(released_at > after).values(released_at=at))
            connection.commit()

    def declared(self) -> tuple[dict[str, bool], list[str]]:
        """The declared attributes and whether all have them; and those that lack their index.

        In PostgreSQL none lacks it: who may not make one is answered without.
        """
        with self.transactions.reading() as connection:
            found = sql_attributes.declared(connection, self.models)
            if connection.dialect.name == "postgresql":
                return found, []
            return found, sql_attributes.without_index(connection, self.models, found)

    def set_attributes(self, changes: Mapping[int, dict[str, Any]]) -> None:
        """Store the declared attributes of entries, by their rows."""
        with self.transactions.writing() as connection:
            sql_attributes.set_attributes(connection, self.models, changes)
            connection.commit()

    def _statement(self, after: int | None) -> Any:
        entries, runs = table_of(self.models.LtmEntry), table_of(self.models.Run)
        agents, types = table_of(self.models.Agent), table_of(self.models.Type)
        # As they are: SQLite keeps values of any type in any column, which a type would refuse.
        columns = [
            entries.c.id,
            *(
                type_coerce(column, NullType()).label(column.name)
                for column in entries.c
                if column.name != "id"
            ),
        ]
        # Of these the type gives back whatever it is, and PostgreSQL's as it was before.
        names = [
            type_coerce(table.c.name, Name()).label(name)
            for table, name in ((runs, "of_run"), (agents, "of_agent"), (types, "of_type"))
        ]
        joined = (
            entries.outerjoin(runs, runs.c.id == entries.c.run_ref)
            .outerjoin(agents, agents.c.id == entries.c.agent_ref)
            .outerjoin(types, types.c.id == entries.c.type_ref)
        )
        run_of_agent = type_coerce(agents.c.run_id, NullType()).label("run_of_agent")
        asked = select(*columns, *names, run_of_agent).select_from(joined).order_by(entries.c.id)
        return asked if after is None else asked.where(entries.c.id > after).limit(AT_ONCE)

    @staticmethod
    def _stored(row: Row[Any]) -> StoredRow:
        columns = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
        number = columns.pop("id")
        run, agent, kind = (columns.pop(name) for name in ("of_run", "of_agent", "of_type"))
        same = columns.pop("run_of_agent") == columns["run_ref"]
        return StoredRow(number, columns, run, agent, kind, same)
