"""Reads long-term memory: its entries, and how many there are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Result

from agent_memory.models.ltm import LtmModels
from agent_memory.models.ltm_types import agent_hash
from agent_memory.repositories.access import Access
from agent_memory.repositories.contract import LongTermMemory
from agent_memory.repositories.following import Changes, View
from agent_memory.repositories.forgettings import Forgetting, RollBack, strictest
from agent_memory.repositories.nearest import Neighbour, Probe
from agent_memory.repositories.querying import answering
from agent_memory.repositories.reading import VALUES_AT_ONCE, ValueOf
from agent_memory.repositories.sql import attributes as sql_attributes
from agent_memory.repositories.sql import following as sql_following
from agent_memory.repositories.sql.entries import RowMapper
from agent_memory.repositories.sql.explaining import access
from agent_memory.repositories.sql.indexed_vectors import EF_SEARCH
from agent_memory.repositories.sql.kept_counts import KeptCounts
from agent_memory.repositories.sql.kept_vectors import MAX_BYTES, KeptVectors
from agent_memory.repositories.sql.marks import KnownMarks, mark_of
from agent_memory.repositories.sql.moments import Moments
from agent_memory.repositories.sql.plans import columns_of
from agent_memory.repositories.sql.questions import (
    Asked,
    contents_answering,
    entries_answering,
    first_of_each_agent,
    keys_of_answers,
)
from agent_memory.repositories.sql.statements import (
    agents_with_entries,
    forks_of,
    ids_by_run,
    memory_ids_by_step,
    number_of_entries,
    runs_with_entries,
    table_of,
    tombstones_in,
)
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.values.attributes import meets
from agent_memory.values.checks import MAX_STEP
from agent_memory.values.collecting import collection_paused
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.ordering import in_order
from agent_memory.values.query import Order, Query, agent_of, checked_query, run_of

_ROWS_AT_ONCE = 500
_FEWEST_ROWS = 20


class LtmReads(LongTermMemory):
    """The reading half of ``LtmRepository``; each call is one transaction.

    Args:
        transactions: The database.
        models: The models of the tables.
        mapper: Turns rows into entries.
        vector_cache_bytes: How many bytes of vectors to keep in this process for ``nearest``.
        ef_search: How many candidates an index over vectors keeps while it looks.
    """

    tier = Tier.LTM

    def __init__(
        self,
        transactions: Transactions,
        models: LtmModels,
        mapper: RowMapper,
        vector_cache_bytes: int = MAX_BYTES,
        ef_search: int = EF_SEARCH,
    ) -> None:
        self._transactions = transactions
        self._models = models
        self._mapper = mapper
        self._marks = KnownMarks()
        self._counts: KeptCounts[int] = KeptCounts.of_agents(self._marks)
        self._ef_search = ef_search
        self._vectors = KeptVectors(models, self._marks, vector_cache_bytes)

    def get_many(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are stored here, in the order of the keys."""
        with self._transactions.reading() as connection:
            return self._mapper.read(connection, keys)

    def find(self, query: Query) -> list[MemoryEntry]:
        """Return the entries that answer a query, in its order."""
        parts = [*entries_answering(self._models, checked_query(query))]
        with self._transactions.reading() as connection:
            if len(parts) == 1 and not query.attributes:
                return self._mapper.of_columns(columns_of(connection, *parts[0], alone=True))
            found = [entry for part in parts for entry in self._found(connection, part, query)]
        return found if len(parts) == 1 else in_order(found, query)

    def _found(self, connection: Connection, part: Asked, query: Query) -> list[MemoryEntry]:
        statement, asked = part
        if not query.attributes:
            return self._mapper.of_columns(columns_of(connection, statement, asked))
        conditions, more = sql_attributes.conditions(connection, self._models, query)
        # Closed at once when enough is found: PostgreSQL keeps a cursor until then.
        statement = statement.where(*conditions)
        with connection.execute(
            statement, asked | more, execution_options={"yield_per": _ROWS_AT_ONCE}
        ) as rows:
            return answering(self._read_on(rows, query.limit), query)

    def _read_on(self, rows: Result[Any], limit: int | None) -> Iterator[MemoryEntry]:
        """The entries of rows, few at first where few are wanted."""
        size = _ROWS_AT_ONCE if limit is None else min(max(limit, _FEWEST_ROWS), _ROWS_AT_ONCE)
        while some := rows.fetchmany(size):
            yield from self._mapper.to_entries(some)
            size = min(2 * size, _ROWS_AT_ONCE)

    def nearest(self, query: Query, probe: Probe) -> list[Neighbour]:
        """The entries that answer a query and whose vectors are nearest to a probe."""
        if query.limit == 0:
            return []
        if query.attributes:
            met = self._nearest_with_attributes(query, probe)
            return super().nearest(query, probe) if met is None else met
        run_id, agent_id = run_of(query), agent_of(query)
        kept = self._vectors.of((run_id, agent_id))
        with kept.lock, self._transactions.reading() as connection:
            found, read = kept.answer(connection, query, probe, self._ef_search)
            keys = [EntryKey(run_id, agent_id, one) for one in found if one not in read]
            entries = self._mapper.read(connection, keys) if keys else []
            entries += self._mapper.to_entries([*read.values()])
        self._vectors.make_room()
        return [Neighbour(entry, found[entry.memory_id]) for entry in entries]

    def _nearest_with_attributes(self, query: Query, probe: Probe) -> list[Neighbour] | None:
        """The same of conditions that columns tell, by an index; None where that tells too few."""
        kept = self._vectors.of((run_of(query), agent_of(query)))
        self._vectors.make_room()
        with kept.lock, self._transactions.reading() as connection:
            if connection.dialect.name != "postgresql":
                return None
            tests = sql_attributes.answerable(connection, self._models, query)
            if not tests.is_all:
                return None
            question = kept.question(connection, query, probe, self._ef_search, tests)
            rows = None if question is None else question.candidates()
            if question is None or rows is None:
                return None
            near = zip(self._mapper.to_entries(rows), rows, strict=True)
            # The column tells a little too much.
            met = [one for one in near if meets(one[0].contents, query.attributes)]
        if query.limit is None or len(met) < query.limit:
            return None
        entries = {entry.memory_id: entry for entry, _ in met}
        cosines = question.ranked([row for _, row in met]).cosines
        return [Neighbour(entries[one], cosine) for one, cosine in cosines.items()]

    def first_of_each(self, query: Query) -> list[MemoryEntry]:
        """The first entry, in the query's order, of each agent that it is about."""
        if query.attributes:
            return super().first_of_each(query)
        with self._transactions.reading() as connection:
            return [
                entry
                for statement, asked in first_of_each_agent(self._models, query)
                for entry in self._mapper.of_columns(columns_of(connection, statement, asked))
            ]

    def keys_answering(self, query: Query) -> list[EntryKey]:
        """The keys of the entries that answer a query, in its order; no entry is decoded."""
        parts = [*keys_of_answers(self._models, query)]
        if query.attributes or len(parts) > 1:
            return super().keys_answering(query)
        with self._transactions.reading() as connection:
            return [
                EntryKey(run_id, agent_id, memory_id)
                for statement, asked in parts
                # Names of columns would cost more than the row.
                for run_id, agent_id, memory_id in connection.execute(statement, asked)
            ]

    def values_at(self, query: Query, path: str) -> list[ValueOf]:
        """The values at a path of the entries that answer a query about one agent of one run."""
        if query.attributes or query.limit is not None or not query.is_about_one_agent:
            return super().values_at(query, path)
        found: dict[str, ValueOf] = {}
        first, last = query.steps or (0, MAX_STEP)
        first = first or 0
        limit = VALUES_AT_ONCE
        while True:
            part = replace(query, steps=(first, last), order=Order.STEP, limit=limit)
            some = self._some_values_at(part, path)
            found |= {one.memory_id: one for one in some}
            if len(some) < limit:
                return [*found.values()]
            # The next part begins with the last step again, of which there may be more entries.
            limit = VALUES_AT_ONCE if some[-1].step > first else 2 * limit
            first = some[-1].step

    def _some_values_at(self, query: Query, path: str) -> list[ValueOf]:
        statement, asked = contents_answering(self._models, query)
        with collection_paused():
            with self._transactions.reading() as connection:
                columns = columns_of(connection, statement, asked, alone=True)
            found = self._mapper.values_at(columns, path)
        return super().values_at(query, path) if found is None else found

    def access(self, query: Query) -> Access:
        """How the database answers a question: by which index, and how many rows that gives."""
        statement, asked = next(entries_answering(self._models, query))
        table = table_of(self._models.LtmEntry).name
        with self._transactions.reading() as connection:
            where, more = sql_attributes.conditions(connection, self._models, query)
            return access(connection, statement.where(*where), asked | more, table)

    def count(self, run_id: str, agent_id: str | None = None) -> int:
        """How many entries an agent has in a run; None for all agents together."""
        with self._transactions.reading() as connection:

            def counted() -> int:
                statement = number_of_entries(self._models, run_id, agent_id)
                return int(connection.execute(statement).scalar_one())

            if agent_id is None:
                return counted()
            return self._counts.of(connection, (run_id, agent_id), counted)

    def agents(self, run_id: str) -> list[str]:
        """The agents that have entries in a run, sorted."""
        with self._transactions.reading() as connection:
            return sorted(connection.scalars(agents_with_entries(self._models, run_id)))

    def runs(self) -> list[str]:
        """The runs that have entries, sorted."""
        with self._transactions.reading() as connection:
            return sorted(connection.scalars(runs_with_entries(self._models)))

    def keys(self, run_id: str, *agents: str, after: int = -1) -> list[EntryKey]:
        """The keys of the entries of some agents in a run, agent by agent, each by step."""
        later = self._models.LtmEntry.step_number > after
        with self._transactions.reading() as connection:
            return [
                EntryKey(run_id, agent_id, memory_id)
                for agent_id in dict.fromkeys(agents)
                for memory_id in connection.scalars(
                    memory_ids_by_step(self._models, run_id, agent_id).where(later)
                )
            ]

    def changes(
        self, run_id: str, agent_id: str, seen: object = None, known: Collection[str] = ()
    ) -> Changes:
        """What has changed of an agent's entries since somebody asked last."""
        del known  # what was seen says it
        with self._transactions.reading() as connection:
            return sql_following.changes(
                *(connection, self._models, self._marks, (run_id, agent_id)),
                *(self._mapper.contents_of_many, seen),
            )

    def read_as_seen(
        self, run_id: str, agent_id: str, views: Sequence[View], *below: object
    ) -> list[list[MemoryEntry]] | None:
        """Read some entries of an agent, if nothing was committed to the database since."""
        (view,) = views
        if below or not isinstance(view.seen, sql_following.Seen):
            return None
        with self._transactions.reading() as connection:
            if not view.seen.marks.hold(mark_of(connection)):
                return None
            keys = [EntryKey(run_id, agent_id, name) for name in view.names]
            return [self._mapper.read(connection, keys) if keys else []]

    def forgettings(self, keys: Iterable[EntryKey]) -> dict[EntryKey, Forgetting]:
        """Those of the keys that were forgotten, and when they were and were released."""
        wanted = list(dict.fromkeys(keys))
        found: dict[tuple[str, int, str], Forgetting] = {}
        with self._transactions.reading() as connection:
            for run_id, chunk in ids_by_run(wanted):
                rows = connection.execute(tombstones_in(self._models, run_id, chunk))
                found |= {
                    (run_id, row.agent_hash, row.memory_id): Forgetting(
                        row.forgotten_at, row.released_at
                    )
                    for row in rows
                }
        forgotten = {}
        for key in wanted:
            hashes = dict.fromkeys((agent_hash(key.agent_id), 0))
            places = [(key.run_id, hashed, key.memory_id) for hashed in hashes]
            marks = [found[place] for place in places if place in found]
            if marks:
                forgotten[key] = strictest(marks)
        return forgotten

    def moment(self) -> float:
        """The last moment of forgetting."""
        with self._transactions.reading() as connection:
            return Moments(connection, self._models).last()

    def roll_backs(self, runs: Iterable[str]) -> dict[str, list[RollBack]]:
        """The roll-backs of some runs; those that were never rolled back are left out."""
        with self._transactions.reading() as connection:
            return Moments(connection, self._models).roll_backs(runs)

    def forks(self, run_id: str, after: int = -1) -> list[str]:
        """The runs that were forked from a run after a step, sorted."""
        with self._transactions.reading() as connection:
            return sorted(connection.scalars(forks_of(self._models, run_id, after)))
