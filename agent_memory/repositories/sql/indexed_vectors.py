"""Asks an index over vectors which of an agent's are nearest, and ranks what it gives exactly."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    BigInteger,
    Connection,
    Select,
    TextClause,
    bindparam,
    select,
    text,
    type_coerce,
)
from sqlalchemy.types import NullType

from agent_memory.embeddings.ranking import as_unit, as_units, nearest, with_bias
from agent_memory.models.ltm import LtmModels
from agent_memory.models.ltm_types import Name
from agent_memory.models.ltm_vectors import INT8, decode_vectors
from agent_memory.repositories.nearest import Probe
from agent_memory.repositories.sql.questions import among
from agent_memory.repositories.sql.statements import entries_selected, table_of
from agent_memory.repositories.sql.vector_indexes import VectorIndex
from agent_memory.values.query import Query, agent_of, run_of

EF_SEARCH = 200
"""How many candidates the index keeps while it looks."""

MOST = 1_000
"""How many may be asked for, and the most candidates that pgvector takes."""

_SETTINGS = text(
    "SELECT set_config('hnsw.ef_search', :ef_search, true),"
    " set_config('hnsw.iterative_scan', 'strict_order', true)"
)


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


def nearest_in_index(
    connection: Connection,
    models: LtmModels,
    index: VectorIndex,
    query: Query,
    probe: Probe,
    ef_search: int = EF_SEARCH,
) -> tuple[dict[str, float | None], dict[str, Any]]:
    """The vectors nearest to a probe of those that an index holds.

    Args:
        connection: To the database.
        models: The models of the tables.
        index: The index.
        query: Which entries; has a limit.
        probe: What their vectors are compared with.
        ef_search: How many candidates the index keeps while it looks.

    Returns:
        Cosines by memory id; see ``MemoryRepository.nearest``. Then the rows (``RawRow``) of those
        whose entries were read with them, by memory id.
    """
    asked = probe.at(index.version, index.width)
    limit = query.limit
    if asked is None or not len(asked) or not limit:
        return {}, {}
    bias = probe.bias(index.version, index.width)
    unit = as_unit(with_bias(asked[None], bias)[0])
    rows: Sequence[Any] = ()
    if unit.any():
        # Half precision takes neighbours for each other that lie as near: the last place is ranked
        # among some more.
        number = limit + limit // 8 + 8
        _prepare(connection, max(ef_search, number))
        statement, parameters = among(models, _nearest(models, index, bias), query)
        near = {"near": _as_text(unit), "at_most": number}
        owner = {"of_run": run_of(query), "of_agent": agent_of(query)}
        rows = connection.execute(statement, parameters | near | owner).all()
    is_whole = len(rows) >= limit
    if not is_whole:
        # Few answer the query, or the index has looked for as long as it may.
        statement, parameters = among(models, _vectors(models, index), query)
        rows = connection.execute(statement, parameters).all()
    if not rows:
        return {}, {}
    names = [bytes(row.memory_id).hex() for row in rows]
    units = as_units(with_bias(decode_vectors(INT8, [row.embedding for row in rows]), bias))
    found = nearest(units, unit, names, limit)
    cosines: dict[str, float | None] = {names[place]: cosine for place, cosine in found}
    return cosines, {names[place]: rows[place] for place, _ in found} if is_whole else {}


@lru_cache(maxsize=64)
def _vectors(models: LtmModels, index: VectorIndex) -> Select[*tuple[Any, ...]]:
    """The ids and vectors of all that an index holds, as the driver gives them."""
    column = table_of(models.LtmEntry).c
    columns = (type_coerce(column[name], NullType()) for name in ("memory_id", "embedding"))
    return select(*columns).where(text(index.condition))


@lru_cache(maxsize=64)
def _nearest(models: LtmModels, index: VectorIndex, bias: float) -> Select[*tuple[Any, ...]]:
    """Whole entries of an index (``of_run``, ``of_agent``), the nearest (``at_most``) first."""
    known = {name: bindparam(f"of_{name[:-3]}", type_=Name) for name in ("run_id", "agent_id")}
    entries = entries_selected(models, known).where(text(index.condition))
    return entries.order_by(_distance(index, bias)).limit(bindparam("at_most", type_=BigInteger))


def _distance(index: VectorIndex, bias: float) -> TextClause:
    """How far a vector is from the one that is asked about (``near``)."""
    schema = index.schema
    near = f"CAST(:near AS {schema}.halfvec)"
    return text(f"{index.unit(bias)} OPERATOR({schema}.<->) {near}")


def _prepare(connection: Connection, ef_search: int) -> None:
    """Have the transaction look among so many candidates, and go on where a filter leaves few."""
    connection.execute(_SETTINGS, {"ef_search": str(min(ef_search, MOST))})


def _as_text(unit: NDArray[np.float32]) -> str:
    """A vector as pgvector reads it."""
    return f"[{','.join(map(repr, unit.astype(float).tolist()))}]"
