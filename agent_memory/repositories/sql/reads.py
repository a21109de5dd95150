"""Reads long-term memory: entries, their vectors, and how many there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from sqlalchemy import exists, func, select

from agent_memory.models.ltm import LtmModels
from agent_memory.repositories.contract import (
    LongTermMemory,
    Vectors,
    answering,
    run_of,
)
from agent_memory.repositories.counts import AgentCounts
from agent_memory.repositories.sql import attributes as sql_attributes
from agent_memory.repositories.sql.counts import agent_counts
from agent_memory.repositories.sql.entries import RowMapper
from agent_memory.repositories.sql.statements import (
    agents_with_entries,
    bytes_of_weights,
    entries_answering,
    entries_of_any_run,
    forks_of,
    ids_by_run,
    memory_ids_by_step,
    number_of_entries,
    numbers_by_mark,
    numbers_by_version,
    outdated_memory_ids,
    runs_with_entries,
    table_of,
    tombstones_in,
    vectors_answering,
)
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.repositories.sql.vectors import vectors_of
from agent_memory.values.coded import code_named_by
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.query import Query

_ROWS_AT_ONCE = 500


class LtmReads(LongTermMemory):
    """The reading half of ``LtmRepository``; each call is one transaction.

    Args:
        transactions: The database.
        models: The models of the tables.
        mapper: Turns rows into entries.
    """

    tier = Tier.LTM

    def __init__(self, transactions: Transactions, models: LtmModels, mapper: RowMapper) -> None:
        self._transactions = transactions
        self._models = models
        self._mapper = mapper

    def get_many(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are stored here, in the order of the keys."""
        with self._transactions.reading() as connection:
            return self._mapper.read(connection, keys)

    def find(self, query: Query) -> list[MemoryEntry]:
        """Return the entries that answer a query, in its order."""
        statement, asked = entries_answering(self._models, run_of(query), query)
        with self._transactions.reading() as connection:
            if not query.attributes:
                return self._mapper.to_entries(connection.execute(statement, asked).all())
            conditions = sql_attributes.conditions(connection, self._models, query.attributes)
            # Closed at once when enough is found: PostgreSQL keeps a cursor until then.
            with connection.execute(
                statement.where(*conditions), asked, execution_options={"yield_per": _ROWS_AT_ONCE}
            ) as rows:
                return answering(map(self._mapper.to_entry, rows), query)

    def vectors(self, query: Query) -> list[Vectors]:
        """The vectors of the entries that answer a query, whatever its order and limit."""
        if query.attributes:
            return super().vectors(query)
        statement, asked = vectors_answering(self._models, run_of(query), query)
        with self._transactions.reading() as connection:
            rows = connection.execute(statement, asked).all()
        return vectors_of(rows)

    def outdated(self, run_id: str, agent_id: str, version: int) -> list[EntryKey]:
        """The keys of an agent's entries whose vector another encoder made, or that have none."""
        with self._transactions.reading() as connection:
            ids = connection.scalars(outdated_memory_ids(self._models, run_id, agent_id, version))
            return [EntryKey(run_id, agent_id, memory_id) for memory_id in ids]

    def agent_counts(
        self, run_id: str, agents: Iterable[str] | None = None, horizon: float | None = None
    ) -> dict[str, AgentCounts]:
        """What each of some agents of a run has here."""
        del horizon  # entries do not leave the last tier
        with self._transactions.reading() as connection:
            return dict(agent_counts(connection, self._models, run_id, agents))

    def count(self, run_id: str, agent_id: str | None = None) -> int:
        """How many entries an agent has in a run; None for all agents together."""
        with self._transactions.reading() as connection:
            statement = number_of_entries(self._models, run_id, agent_id)
            return int(connection.execute(statement).scalar_one())

    def agents(self, run_id: str) -> list[str]:
        """The agents that have entries in a run, sorted."""
        with self._transactions.reading() as connection:
            return sorted(connection.scalars(agents_with_entries(self._models, run_id)))

    def runs(self) -> list[str]:
        """The runs that have entries, sorted."""
        with self._transactions.reading() as connection:
            return sorted(connection.scalars(runs_with_entries(self._models)))

    def keys(self, run_id: str, agent_id: str) -> list[EntryKey]:
        """The keys of all entries of an agent in a run, by step."""
        with self._transactions.reading() as connection:
            ids = connection.scalars(memory_ids_by_step(self._models, run_id, agent_id))
            return [EntryKey(run_id, agent_id, memory_id) for memory_id in ids]

    def versions(self) -> dict[int, int]:
        """How many entries of every run name each version of the encoder."""
        with self._transactions.reading() as connection:
            rows = connection.execute(numbers_by_version(self._models))
            return {row.version: row.number for row in rows}

    def code_versions(self) -> dict[int, int]:
        """How many entries have contents coded by the code of each version."""
        with self._transactions.reading() as connection:
            rows = connection.execute(numbers_by_mark(self._models))
            counts = Counter[int | None]()
            for row in rows:
                counts[code_named_by(bytes(row.mark))] += row.number
        return {version: number for version, number in counts.items() if version is not None}

    def stored_bytes(self) -> int:
        """How many bytes the database uses for all entries here, indexes included.

        For SQLite the whole file less its free pages and the encoders' weights: what else is in
        it is small, and telling it apart would mean to read the file from end to end.
        """
        with self._transactions.reading() as connection:
            if not connection.execute(select(exists(entries_of_any_run(self._models)))).scalar():
                return 0
            if connection.dialect.name == "postgresql":
                size = func.pg_total_relation_size(table_of(self._models.LtmEntry).name)
                return int(connection.execute(select(size)).scalar_one())
            pages, free, page_bytes = (
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("page_count", "freelist_count", "page_size")
            )
            weights = connection.execute(bytes_of_weights(self._models)).scalar_one()
            return int((pages - free) * page_bytes - weights)

    def forgotten(self, keys: Iterable[EntryKey]) -> dict[EntryKey, float | None]:
        """Those of the keys that were forgotten, and when they were released."""
        wanted = list(dict.fromkeys(keys))
        found: dict[tuple[str, str], float | None] = {}
        with self._transactions.reading() as connection:
            for run_id, chunk in ids_by_run(wanted):
                rows = connection.execute(tombstones_in(self._models, run_id, chunk))
                found |= {(run_id, row.memory_id): row.released_at for row in rows}
        places = {key: (key.run_id, key.memory_id) for key in wanted}
        return {key: found[place] for key, place in places.items() if place in found}

    def forks(self, run_id: str) -> list[str]:
        """The runs that were forked from a run, sorted."""
        with self._transactions.reading() as connection:
            return sorted(connection.scalars(forks_of(self._models, run_id)))
