"""Asks an index over vectors which of an agent's are nearest, and ranks what it gives exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    BigInteger,
    BindParameter,
    Connection,
    Select,
    String,
    TextClause,
    bindparam,
    func,
    literal_column,
    select,
    text,
    true,
    type_coerce,
)
from sqlalchemy.types import NullType

from agent_memory.embeddings.ranking import as_unit, as_units, nearest, with_bias
from agent_memory.models.ltm import LtmModels
from agent_memory.models.ltm_rows import RawRow
from agent_memory.models.ltm_types import Name
from agent_memory.models.ltm_vectors import INT8, decode_vectors
from agent_memory.repositories.nearest import Probe
from agent_memory.repositories.sql.attribute_conditions import (
    NO_TESTS,
    ColumnTests,
    ValueTest,
    conditions_of,
)
from agent_memory.repositories.sql.marks import SNAPSHOT, Mark, server_mark
from agent_memory.repositories.sql.plans import asks_driver, rows_of
from agent_memory.repositories.sql.questions import Shape, among, filtered, filters_of
from agent_memory.repositories.sql.statements import entries_selected, table_of
from agent_memory.repositories.sql.vector_indexes import VectorIndex
from agent_memory.values.query import Query, agent_of, run_of

EF_SEARCH = 200
"""How many candidates the index keeps while it looks."""

MOST = 1_000
"""How many may be asked for, and the most candidates that pgvector takes."""

_ITERATIVE_SCAN = "strict_order"
"""Have the index go on looking where a filter leaves few."""


def _setting(*, locally: bool) -> Select[*tuple[Any, ...]]:
    """The statement that has a transaction, or a connection, look so (``ef_search``)."""
    ef_search: BindParameter[str] = bindparam("ef_search", type_=String)
    return select(
        func.set_config("hnsw.ef_search", ef_search, locally),
        func.set_config("hnsw.iterative_scan", _ITERATIVE_SCAN, locally),
    )


_SET_LOCALLY, _SET = _setting(locally=True), _setting(locally=False)
_ID, _VECTOR = map(RawRow._fields.index, ("memory_id", "embedding"))


def usable_index(index: VectorIndex | None, query: Query, probe: Probe) -> VectorIndex | None:
    """The index that answers a question about its agent; None where rows are compared one by one.

    Args:
        index: The one that the agent has; None if it has none.
        query: Which entries.
        probe: What their vectors are compared with.
    """
    if index is None or query.limit is None or query.limit > MOST:
        return None
    if probe.at(index.version, index.width) is None:
        return None  # those that do not compare are all given
    return index


class Answer(NamedTuple):
    """What an index gives.

    Attributes:
        cosines: By memory id; see ``MemoryRepository.nearest``.
        rows: Those (``RawRow``) that were read with them, by memory id.
    """

    cosines: dict[str, float | None]
    rows: dict[str, Any]


class AnswerAtOnce(NamedTuple):
    """What one statement tells of an index, all of it as of one moment.

    Attributes:
        answer: What the index gives; None where it gives fewer than were asked for.
        mark: The mark of the database.
        has_rest: Whether the agent has rows that the index does not hold.
    """

    answer: Answer | None
    mark: Mark
    has_rest: bool


class IndexQuestion:
    """A question to an index.

    Args:
        connection: To the database.
        models: The models of the tables.
        index: The index.
        query: Which entries; has a limit.
        probe: What their vectors are compared with.
        ef_search: How many candidates the index keeps while it looks.
        attributes: What the column of declared attributes tells of the query's conditions; the
            others are left to the caller.
    """

    def __init__(
        self,
        connection: Connection,
        models: LtmModels,
        index: VectorIndex,
        query: Query,
        probe: Probe,
        ef_search: int = EF_SEARCH,
        attributes: ColumnTests = NO_TESTS,
    ) -> None:
        self._attributes = attributes
        self._connection = connection
        self._models = models
        self._index = index
        self._query = query
        self._limit = query.limit or 0
        # Half precision takes neighbours for each other that lie as near: the last place is ranked
        # among some more.
        self._number = self._limit + self._limit // 8 + 8
        self._ef_search = str(min(max(ef_search, self._number), MOST))
        self._bias = probe.bias(index.version, index.width)
        asked = probe.at(index.version, index.width)
        self._unit: NDArray[np.float32] | None = None
        if asked is not None and len(asked) and self._limit:
            self._unit = as_unit(with_bias(asked[None], self._bias)[0])

    def at_once(self) -> AnswerAtOnce | None:
        """Ask by one statement, outside of transactions.

        Returns:
            None where that cannot be: the index is not the one that was known, or the connection
            does not keep settings, as behind a pooler.
        """
        told = self._told()
        if told is None or self._unit is None:
            return None
        state, found = told
        answer = self.ranked(found) if self._is_whole(found) else None
        return AnswerAtOnce(answer, server_mark(state.mark), state.has_rest)

    def candidates(self) -> Sequence[Any] | None:
        """Some more rows than were asked for, the nearest first, by one statement.

        Returns:
            None where that cannot be (see ``at_once``), where the index gives fewer, and where the
            agent has rows that it does not hold.
        """
        told = self._told()
        if told is None or told[0].has_rest or not self._is_whole(told[1]):
            return None
        return told[1]

    def _is_whole(self, found: Sequence[Any]) -> bool:
        return len(found) >= self._limit and found[0][_ID] is not None

    def _told(self) -> tuple[_State, Sequence[Any]] | None:
        if self._unit is None or not self._unit.any() or not asks_driver(self._connection):
            return None
        for _ in range(2):
            rows = self._ask(_nearest_at_once)
            state = _State(*rows[0][: len(_State._fields)])
            if state.oid != self._index.oid:
                return None
            if (state.ef_search, state.iterative_scan) == (self._ef_search, _ITERATIVE_SCAN):
                return state, [row[len(_State._fields) :] for row in rows]
            rows_of(self._connection, _SET, {"ef_search": self._ef_search})
        return None

    def in_turn(self, *, is_short: bool = False) -> Answer:
        """Ask by several statements, within one transaction.

        Args:
            is_short: Whether it is known that too few in the index answer.
        """
        if self._unit is None:
            return Answer({}, {})
        rows: Sequence[Any] = ()
        if self._unit.any() and not is_short:
            self._connection.execute(_SET_LOCALLY, {"ef_search": self._ef_search})
            rows = self._ask(_nearest)
            if len(rows) >= self._limit:
                return self.ranked(rows)
        # Few answer the query, or the index has looked for as long as it may.
        statement, parameters = among(
            self._models, _vectors(self._models, self._index), self._query
        )
        rows = rows_of(self._connection, statement, parameters)
        return Answer(self.ranked(rows).cosines, {})

    def _ask(self, made: Callable[..., Select[*tuple[Any, ...]]]) -> Sequence[Any]:
        query = self._query
        shape, parameters = filters_of(query)
        statement = made(self._models, self._index, self._bias, shape, self._attributes.tests)
        parameters |= self._attributes.parameters
        owner = {"of_run": run_of(query), "of_agent": agent_of(query)}
        near = {"near": _as_text(self._unit), "at_most": self._number}
        return rows_of(self._connection, statement, parameters | near | owner)

    def ranked(self, rows: Sequence[Any]) -> Answer:
        """The nearest among some rows."""
        if not rows or self._unit is None:
            return Answer({}, {})
        id_at, vector_at = (_ID, _VECTOR) if len(rows[0]) > 2 else (0, 1)
        names = [bytes(row[id_at]).hex() for row in rows]
        vectors = decode_vectors(INT8, [row[vector_at] for row in rows])
        units = as_units(with_bias(vectors, self._bias))
        found = nearest(units, self._unit, names, self._limit)
        return Answer(
            {names[place]: cosine for place, cosine in found},
            {names[place]: rows[place] for place, _ in found},
        )


@lru_cache(maxsize=64)
def _vectors(models: LtmModels, index: VectorIndex) -> Select[*tuple[Any, ...]]:
    """The ids and vectors of all that an index holds, as the driver gives them."""
    column = table_of(models.LtmEntry).c
    columns = (type_coerce(column[name], NullType()) for name in ("memory_id", "embedding"))
    return select(*columns).where(text(index.condition))


@lru_cache(maxsize=64)
def _nearest(
    models: LtmModels,
    index: VectorIndex,
    bias: float,
    shape: Shape,
    tests: tuple[ValueTest, ...] = (),
) -> Select[*tuple[Any, ...]]:
    """Whole entries of an index (``of_run``, ``of_agent``), the nearest (``at_most``) first."""
    known = {name: bindparam(f"of_{name[:-3]}", type_=Name) for name in ("run_id", "agent_id")}
    entries = entries_selected(models, known).where(text(index.condition))
    entries = entries.where(*conditions_of(models, "postgresql", tests))
    found = filtered(models, entries, shape).order_by(_distance(index, bias))
    return found.limit(bindparam("at_most", type_=BigInteger))


class _State(NamedTuple):
    """What a statement tells beside the rows."""

    mark: str
    ef_search: str | None
    iterative_scan: str | None
    oid: int | None
    has_rest: bool


@lru_cache(maxsize=64)
def _nearest_at_once(
    models: LtmModels,
    index: VectorIndex,
    bias: float,
    shape: Shape,
    tests: tuple[ValueTest, ...] = (),
) -> Select[*tuple[Any, ...]]:
    """``_State``, and beside it each of the same entries; NULL where there is none."""
    table = table_of(models.LtmEntry)
    name = f'"{index.name(table.name)}"'
    state = select(
        literal_column(SNAPSHOT).label("mark"),
        literal_column("current_setting('hnsw.ef_search', true)").label("ef_search"),
        literal_column("current_setting('hnsw.iterative_scan', true)").label("iterative_scan"),
        literal_column(
            "(SELECT x.indexrelid::bigint FROM pg_index x"  # noqa: S608 - a name of the models' own
            f" WHERE x.indexrelid = to_regclass('{name}') AND x.indisvalid)"
        ).label("oid"),
        select(table.c.id).where(text(_rest(index))).exists().label("has_rest"),
    ).subquery()
    found = _nearest(models, index, bias, shape, tests).subquery()
    return select(*state.c, *found.c).select_from(state.outerjoin(found, true()))


def _rest(index: VectorIndex) -> str:
    """Whether a row is of the agent, and is not in the index.

    PostgreSQL takes that to be nearly all rows, and reads the table to find one, all of it where
    there is none: 0.9 s of a million rows. With a second condition it takes them to be few.
    """
    return f"{index.condition_of_rest} AND agent_ref + 0 = {index.agent_ref}"


def _distance(index: VectorIndex, bias: float) -> TextClause:
    """How far a vector is from the one that is asked about (``near``)."""
    schema = index.schema
    near = f"CAST(:near AS {schema}.halfvec)"
    return text(f"{index.unit(bias)} OPERATOR({schema}.<->) {near}")


def _as_text(unit: NDArray[np.float32] | None) -> str:
    """A vector as pgvector reads it."""
    numbers = [] if unit is None else unit.astype(float).tolist()
    return f"[{','.join(map(repr, numbers))}]"
