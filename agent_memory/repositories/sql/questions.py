"""The statements that answer questions: made once for all questions of a shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, BindParameter, Select, bindparam, select

from agent_memory.models.ltm import LtmModels
from agent_memory.models.ltm_many_rows import ContentsRow
from agent_memory.models.ltm_types import Name
from agent_memory.repositories.sql.statements import (
    IN_LIST,
    agent_ref_of,
    chunked,
    entries_selected,
    ordered_by,
    table_of,
)
from agent_memory.values.ordering import DESCENDING
from agent_memory.values.query import CATEGORIES, FLAGS, RANGES, Order, Query, agent_of, run_of

_LARGEST = 2**63 - 1


class Asked(NamedTuple):
    """A statement that is made once for all questions of its shape, and what one of them says."""

    statement: Select[*tuple[Any, ...]]
    parameters: dict[str, Any]


def entries_answering(models: LtmModels, query: Query) -> Iterator[Asked]:
    """The entries that answer a query, in its order; of very many named agents in several parts.

    Its conditions on attributes are left to the caller, and with them its limit.
    """
    limit = None if query.attributes else query.limit
    for named in _named(query):
        parameters = named | _parameters(query)
        if limit is not None:
            parameters["at_most"] = min(limit, _LARGEST)
        shape = _shape(query, named)
        yield Asked(_entries_shaped(models, shape, query.sorting, limit is not None), parameters)


def contents_answering(models: LtmModels, query: Query) -> Asked:
    """The contents of the entries of an agent that answer a query, and what they are read with.

    Its conditions on attributes are left to the caller.
    """
    named = {"of_run": run_of(query), "of_agent": agent_of(query)}
    parameters = named | _parameters(query)
    if query.limit is not None:
        parameters["at_most"] = min(query.limit, _LARGEST)
    shape = _shape(query, named)
    limited = query.limit is not None
    return Asked(_contents_shaped(models, shape, query.sorting, limited), parameters)


def vectors_answering(models: LtmModels, query: Query) -> Asked:
    """The vectors of all entries that answer a query, NULL where there is none."""
    named = {"of_run": run_of(query), "of_agent": agent_of(query)}
    return Asked(_vectors_shaped(models, _shape(query, named)), named | _parameters(query))


def among(models: LtmModels, entries: Select[*tuple[Any, ...]], query: Query) -> Asked:
    """Those of a selection that answer a query; whose they are is left to the selection."""
    return Asked(filtered(models, entries, _shape(query, ())), _parameters(query))


def filters_of(query: Query) -> tuple[Shape, dict[str, Any]]:
    """What a question filters by, whoever's entries it is about, and the parameters of that."""
    return _shape(query, ()), _parameters(query)


def keys_of_answers(models: LtmModels, query: Query) -> Iterator[Asked]:
    """The runs, agents and ids of the entries that answer a query, in its order."""
    for statement, parameters in entries_answering(models, query):
        columns = statement.selected_columns
        keys = [columns["run_id"], columns["agent_id"], models.LtmEntry.memory_id]
        yield Asked(statement.with_only_columns(*keys, maintain_column_froms=True), parameters)


def first_of_each_agent(models: LtmModels, query: Query) -> Iterator[Asked]:
    """The first entry, in the query's order, of each agent that it is about."""
    for named in _named(query, of_one=False):
        shape = _shape(query, named)
        yield Asked(_first_shaped(models, shape, query.sorting), named | _parameters(query))


class Shape(NamedTuple):
    """What a question filters by; of flags also which side."""

    ranges: tuple[str, ...]
    categories: tuple[str, ...]
    flags: tuple[tuple[str, bool], ...]
    owners: tuple[str, ...]


def _shape(query: Query, owners: Iterable[str]) -> Shape:
    return Shape(
        tuple(name for name in RANGES if getattr(query, name) is not None),
        tuple(name for name in CATEGORIES if getattr(query, name) is not None),
        tuple((name, flag) for name in FLAGS if (flag := getattr(query, name)) is not None),
        tuple(owners),
    )


def _named(query: Query, *, of_one: bool = True) -> Iterator[dict[str, Any]]:
    """Whose entries are asked for, as parameters; lists are short enough for one statement."""
    runs, agents = query.runs, query.agents
    if of_one and query.is_about_one_agent:
        yield {"of_run": run_of(query), "of_agent": agent_of(query)}
        return
    for some_runs in [None] if runs is None else chunked(runs, IN_LIST // 2):
        # One alone is no list, whose length would have to be seen in each statement.
        in_runs = (
            {}
            if some_runs is None
            else {"of_one_run": some_runs[0]}
            if len(some_runs) == 1
            else {"of_runs": some_runs}
        )
        for some in [None] if agents is None else chunked(agents, IN_LIST // 2):
            yield in_runs if some is None else in_runs | {"of_agents": some}


def _parameters(query: Query) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    for name in RANGES:
        bounds = getattr(query, name)
        if bounds is not None:
            least, greatest = map(_storable, bounds)
            parameters |= {f"least_{name}": least, f"greatest_{name}": greatest}
    for name in CATEGORIES:
        value = getattr(query, name)
        if value is not None:
            parameters[f"of_{name}"] = value.value
    return parameters


# Making a statement and its cache key takes SQLAlchemy 0.4 ms, as long as SQLite takes to answer.
@lru_cache(maxsize=512)
def _entries_shaped(
    models: LtmModels, shape: Shape, order: Order, limited: bool
) -> Select[*tuple[Any, ...]]:
    if "of_agent" in shape.owners:
        # Of one run and one agent, whose names need not be looked up for each row.
        known: dict[str, Any] = {"run_id": _text_of("of_run"), "agent_id": _text_of("of_agent")}
        entries = entries_selected(models, known)
        ordered = ordered_by(models, order)
    else:
        entry, agent, run = models.LtmEntry, models.Agent, models.Run
        of_one_run = "of_one_run" in shape.owners
        names: dict[str, Any] = {
            "run_id": _text_of("of_one_run") if of_one_run else run.name,
            "agent_id": agent.name,
        }
        entries = (
            entries_selected(models, names)
            .join_from(agent, run, run.id == agent.run_id)
            .join(entry, entry.agent_ref == agent.id)
        )
        down = order in DESCENDING
        last = [name.desc() if down else name.asc() for name in (run.name, agent.name)]
        ordered = (*ordered_by(models, order), *last)
    found = filtered(models, entries, shape).order_by(*ordered)
    return found.limit(bindparam("at_most", type_=BigInteger)) if limited else found


@lru_cache(maxsize=64)
def _contents_shaped(
    models: LtmModels, shape: Shape, order: Order, limited: bool
) -> Select[*tuple[Any, ...]]:
    entries = _entries_shaped(models, shape, order, limited)
    columns = [entries.selected_columns[name] for name in ContentsRow._fields]
    return entries.with_only_columns(*columns, maintain_column_froms=True)


@lru_cache(maxsize=64)
def _first_shaped(models: LtmModels, shape: Shape, order: Order) -> Select[*tuple[Any, ...]]:
    entry, agent, run = models.LtmEntry, models.Agent, models.Run
    bare = shape._replace(owners=())
    # Of each agent one look into an index, however many entries it has.
    first = (
        filtered(models, select(entry.id).where(entry.agent_ref == agent.id), bare)
        .order_by(*ordered_by(models, order))
        .limit(1)
        .correlate(table_of(agent))
        .scalar_subquery()
    )
    owners = filtered(
        models,
        select(first.label("id")).select_from(agent).join(run, run.id == agent.run_id),
        Shape((), (), (), shape.owners),
    )
    return entries_selected(models).where(entry.id.in_(owners))


@lru_cache(maxsize=64)
def _vectors_shaped(models: LtmModels, shape: Shape) -> Select[*tuple[Any, ...]]:
    entry = models.LtmEntry
    coding = entry.embedding_coding.label("embedding_coding")
    columns = entry.memory_id, entry.embedding, coding, entry.encoder_version
    return filtered(models, select(*columns), shape)


def filtered(
    models: LtmModels, entries: Select[*tuple[Any, ...]], shape: Shape
) -> Select[*tuple[Any, ...]]:
    """Those of a selection that answer questions of a shape."""
    entry, found = models.LtmEntry, entries
    if "of_agent" in shape.owners:
        agent_ref = agent_ref_of(models, _text_of("of_run"), _text_of("of_agent"))
        found = entries.where(entry.agent_ref == agent_ref)
    if "of_one_run" in shape.owners:
        found = found.where(models.Run.name == _text_of("of_one_run"))
    if "of_runs" in shape.owners:
        found = found.where(models.Run.name.in_(_texts_of("of_runs")))
    if "of_agents" in shape.owners:
        found = found.where(models.Agent.name.in_(_texts_of("of_agents")))
    for name in shape.ranges:
        column = getattr(entry, RANGES[name])
        least: BindParameter[Any] = bindparam(f"least_{name}")
        greatest: BindParameter[Any] = bindparam(f"greatest_{name}")
        found = found.where(column >= least, column <= greatest)
    for name in shape.categories:
        found = found.where(getattr(entry, name) == _text_of(f"of_{name}"))
    for name, wanted in shape.flags:
        flag = getattr(entry, name)
        found = found.where(flag if wanted else ~flag)
    return found


def _text_of(name: str) -> BindParameter[str]:
    return bindparam(name, type_=Name)


def _texts_of(name: str) -> BindParameter[str]:
    return bindparam(name, type_=Name, expanding=True)


def _storable(bound: float) -> float:
    """A bound that the driver takes; no integer is stored beyond it."""
    return max(min(bound, _LARGEST), -_LARGEST) if isinstance(bound, int) else bound
