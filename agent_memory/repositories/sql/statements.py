"""The questions that long-term memory asks in SQL, as statements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    ScalarSelect,
    Select,
    Table,
    and_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
)

from agent_memory.models.ltm import LtmModels
from agent_memory.models.ltm_types import Name
from agent_memory.values.coded import CODED_BELOW, CODED_FROM, CODED_MARK, FURTHER
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.ordering import DESCENDING
from agent_memory.values.query import (
    CATEGORIES,
    FLAGS,
    RANGES,
    Order,
    Query,
    agent_of,
    run_of,
)

IN_LIST = 500
"""How many values one statement lists; SQLite's older builds take 999 of all sorts."""

_READ = (*(field.name for field in fields(MemoryEntry)), "embedding_coding")
_LARGEST = 2**63 - 1
_HEX_DIGITS = frozenset("0123456789abcdef")

T = TypeVar("T")


def entries_at(
    models: LtmModels, run_id: str, memory_ids: Sequence[str]
) -> Select[*tuple[Any, ...]]:
    """The entries of a run with those ids."""
    entry = models.LtmEntry
    return _entries(models).where(
        entry.memory_id.in_(memory_ids), entry.run_ref == run_ref_of(models, run_id)
    )


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


def vectors_answering(models: LtmModels, query: Query) -> Asked:
    """The vectors of all entries that answer a query, NULL where there is none."""
    named = {"of_run": run_of(query), "of_agent": agent_of(query)}
    return Asked(_vectors_shaped(models, _shape(query, named)), named | _parameters(query))


class _Shape(NamedTuple):
    """What a question filters by; of flags also which side."""

    ranges: tuple[str, ...]
    categories: tuple[str, ...]
    flags: tuple[tuple[str, bool], ...]
    owners: tuple[str, ...]


def _shape(query: Query, owners: Iterable[str]) -> _Shape:
    return _Shape(
        tuple(name for name in RANGES if getattr(query, name) is not None),
        tuple(name for name in CATEGORIES if getattr(query, name) is not None),
        tuple((name, flag) for name in FLAGS if (flag := getattr(query, name)) is not None),
        tuple(owners),
    )


def _named(query: Query) -> Iterator[dict[str, Any]]:
    """Whose entries are asked for, as parameters; lists are short enough for one statement."""
    runs, agents = query.runs, query.agents
    if query.is_about_one_agent:
        yield {"of_run": run_of(query), "of_agent": agent_of(query)}
        return
    for some_runs in [None] if runs is None else chunked(runs, IN_LIST // 2):
        in_runs = {} if some_runs is None else {"of_runs": some_runs}
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
    models: LtmModels, shape: _Shape, order: Order, limited: bool
) -> Select[*tuple[Any, ...]]:
    if "of_agent" in shape.owners:
        # Of one run and one agent, whose names need not be looked up for each row.
        known: dict[str, Any] = {"run_id": _text_of("of_run"), "agent_id": _text_of("of_agent")}
        entries = _entries(models, known)
        ordered = _ordered(models, order)
    else:
        entry, agent, run = models.LtmEntry, models.Agent, models.Run
        names: dict[str, Any] = {"run_id": run.name, "agent_id": agent.name}
        entries = (
            _entries(models, names)
            .join_from(agent, run, run.id == agent.run_id)
            .join(entry, entry.agent_ref == agent.id)
        )
        down = order in DESCENDING
        last = [name.desc() if down else name.asc() for name in (run.name, agent.name)]
        ordered = (*_ordered(models, order), *last)
    found = _answering(models, entries, shape).order_by(*ordered)
    return found.limit(bindparam("at_most", type_=BigInteger)) if limited else found


@lru_cache(maxsize=64)
def _vectors_shaped(models: LtmModels, shape: _Shape) -> Select[*tuple[Any, ...]]:
    entry = models.LtmEntry
    coding = entry.embedding_coding.label("embedding_coding")
    columns = entry.memory_id, entry.embedding, coding, entry.encoder_version
    return _answering(models, select(*columns), shape)


def _answering(
    models: LtmModels, entries: Select[*tuple[Any, ...]], shape: _Shape
) -> Select[*tuple[Any, ...]]:
    """Those of a selection that answer questions of a shape."""
    entry, found = models.LtmEntry, entries
    if "of_agent" in shape.owners:
        agent_ref = agent_ref_of(models, _text_of("of_run"), _text_of("of_agent"))
        found = entries.where(entry.agent_ref == agent_ref)
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


def locations(models: LtmModels, memory_ids: Sequence[str | bytes]) -> Select[*tuple[Any, ...]]:
    """Where the entries with those ids are, in any run, and how old; locks their rows."""
    entry = models.LtmEntry
    return (
        select(
            entry.id,
            entry.run_ref,
            entry.run_id.label("run_id"),
            entry.agent_id.label("agent_id"),
            entry.memory_id,
            entry.revision,
            entry.retrieval_count,
        )
        .where(entry.memory_id.in_(memory_ids))
        .with_for_update()
    )


def tombstones(
    models: LtmModels, run_ref: int, memory_ids: Sequence[str]
) -> Select[*tuple[Any, ...]]:
    """Which of those ids were forgotten in a run, of which agents, and when they were released."""
    tombstone = models.Tombstone
    return select(tombstone.memory_id, tombstone.agent_hash, tombstone.released_at).where(
        tombstone.run_ref == run_ref, tombstone.memory_id.in_(memory_ids)
    )


def tombstones_in(
    models: LtmModels, run_id: str, memory_ids: Sequence[str]
) -> Select[*tuple[Any, ...]]:
    """The same of a run by its name."""
    run, tombstone = models.Run, models.Tombstone
    return (
        select(tombstone.memory_id, tombstone.agent_hash, tombstone.released_at)
        .join(run, run.id == tombstone.run_ref)
        .where(run.name == run_id, tombstone.memory_id.in_(memory_ids))
    )


def runs_with_tombstones(models: LtmModels, run_refs: Sequence[int]) -> Select[*tuple[Any, ...]]:
    """Which of those runs have forgotten anything."""
    run, tombstone = models.Run, models.Tombstone
    return select(run.id).where(run.id.in_(run_refs), exists().where(tombstone.run_ref == run.id))


def number_of_entries(
    models: LtmModels, run_id: str, agent_id: str | None
) -> Select[*tuple[Any, ...]]:
    """How many entries a run has, or an agent of it."""
    return select(func.count()).where(owned_by(models, run_id, agent_id))


def numbers_by_version(models: LtmModels) -> Select[*tuple[Any, ...]]:
    """How many entries name each version of the encoder."""
    version = models.LtmEntry.encoder_version
    numbers = select(version.label("version"), func.count().label("number"))
    return numbers.where(version.is_not(None)).group_by(version)


def numbers_by_mark(models: LtmModels) -> Select[*tuple[Any, ...]]:
    """How many entries begin with each of the marks that name the code of their contents."""
    contents, long = models.LtmEntry.contents, bytes([CODED_BELOW - 1])
    first, third = func.substr(contents, 1, 1), func.substr(contents, 3, 1)
    further = first == bytes([FURTHER])
    length = case(
        (and_(further, third < long), 3),
        (further, CODED_MARK),
        (first < long, 1),
        else_=CODED_MARK - 2,
    )
    mark = func.substr(contents, 1, length)
    numbers = select(mark.label("mark"), func.count().label("number"))
    return numbers.where(_is_coded(models)).group_by(mark)


def rows_with_code(models: LtmModels, rows: Sequence[int]) -> Select[*tuple[Any, ...]]:
    """Those of some rows whose contents a fitted code has coded."""
    entry = models.LtmEntry
    return select(entry.id).where(entry.id.in_(rows), _is_coded(models))


def _is_coded(models: LtmModels) -> ColumnElement[bool]:
    first = func.substr(models.LtmEntry.contents, 1, 1)
    named = first.between(bytes([CODED_FROM]), bytes([CODED_BELOW - 1]))
    return or_(named, first == bytes([FURTHER]))


def agents_with_entries(models: LtmModels, run_id: str) -> Select[*tuple[Any, ...]]:
    """The names of a run's agents that have entries."""
    agent, entry = models.Agent, models.LtmEntry
    return select(agent.name).where(
        agent.run_id == run_ref_of(models, run_id), exists().where(entry.agent_ref == agent.id)
    )


def all_agents_with_entries(models: LtmModels) -> Select[*tuple[Any, ...]]:
    """The names of runs, and of their agents that have entries."""
    run, agent, entry = models.Run, models.Agent, models.LtmEntry
    return (
        select(run.name, agent.name)
        .join_from(agent, run, agent.run_id == run.id)
        .where(exists().where(entry.agent_ref == agent.id))
    )


def numbers_by_run(models: LtmModels) -> Select[*tuple[Any, ...]]:
    """How many entries each run has that has any."""
    run, agent, entry = models.Run, models.Agent, models.LtmEntry
    # By way of the agents, because no index begins with the run.
    return (
        select(run.name, func.count())
        .join_from(agent, run, agent.run_id == run.id)
        .join(entry, entry.agent_ref == agent.id)
        .group_by(run.id, run.name)
    )


def runs_with_entries(models: LtmModels) -> Select[*tuple[Any, ...]]:
    """The names of the runs that have entries."""
    run, agent, entry = models.Run, models.Agent, models.LtmEntry
    # By way of the agents, because no index begins with the run.
    return select(run.name).where(
        exists().where(agent.run_id == run.id, entry.agent_ref == agent.id)
    )


def forks_of(models: LtmModels, run_id: str, after: int) -> Select[*tuple[Any, ...]]:
    """The names of the runs that were forked from a run, unless it was at that step or before."""
    run = models.Run
    forks = select(run.name).where(run.parent_id == run_ref_of(models, run_id))
    return forks.where(run.fork_step.is_(None) | (run.fork_step > after))


def memory_ids_by_step(models: LtmModels, run_id: str, agent_id: str) -> Select[*tuple[Any, ...]]:
    """The ids of an agent's entries, by step."""
    entry = models.LtmEntry
    ids = select(entry.memory_id).where(owned_by(models, run_id, agent_id))
    return ids.order_by(*_ordered(models, Order.STEP))


def outdated_memory_ids(
    models: LtmModels, run_id: str, agent_id: str, version: int
) -> Select[*tuple[Any, ...]]:
    """The ids of an agent's entries whose vector another encoder made, by step."""
    made_by = models.LtmEntry.encoder_version
    ids = memory_ids_by_step(models, run_id, agent_id)
    return ids.where((made_by != version) | made_by.is_(None))


def entries_of_any_run(models: LtmModels) -> Select[*tuple[Any, ...]]:
    """All there are."""
    return select(models.LtmEntry.id)


def bytes_of_weights(models: LtmModels) -> Select[*tuple[Any, ...]]:
    """How many bytes the encoders' arrays have, all versions together."""
    weights = func.length(models.EncoderVersion.weights)
    return select(func.coalesce(func.sum(weights), 0))


def owned_by(models: LtmModels, run_id: str, agent_id: str | None) -> ColumnElement[bool]:
    """Whether an entry is of that agent, or of any agent of that run."""
    agent_ref = models.LtmEntry.agent_ref
    if agent_id is not None:
        return agent_ref == agent_ref_of(models, run_id, agent_id)
    agent = models.Agent
    return agent_ref.in_(select(agent.id).where(agent.run_id == run_ref_of(models, run_id)))


def run_ref_of(models: LtmModels, run_id: str) -> ScalarSelect[int]:
    """What stands for a run; NULL if it is unknown."""
    run = models.Run
    return select(run.id).where(run.name == run_id).scalar_subquery()


def agent_ref_of(
    models: LtmModels, run_id: str | BindParameter[str], agent_id: str | BindParameter[str]
) -> ScalarSelect[int]:
    """What stands for an agent of a run; NULL if it is unknown."""
    run, agent = models.Run, models.Agent
    references = select(agent.id).join_from(agent, run, agent.run_id == run.id)
    return references.where(run.name == run_id, agent.name == agent_id).scalar_subquery()


def _entries(
    models: LtmModels, known: Mapping[str, ColumnElement[str]] = MappingProxyType({})
) -> Select[*tuple[Any, ...]]:
    columns = (known.get(name, getattr(models.LtmEntry, name)) for name in _READ)
    return select(*(column.label(name) for column, name in zip(columns, _READ, strict=True)))


def _ordered(models: LtmModels, order: Order) -> tuple[ColumnElement[Any], ...]:
    entry = models.LtmEntry
    if order is Order.NEWEST:
        return entry.timestamp.desc(), entry.memory_id.desc()
    if order is Order.IMPORTANCE:
        return entry.importance_score.desc(), entry.memory_id.desc()
    first = entry.step_number if order is Order.STEP else entry.timestamp
    return first.asc(), entry.memory_id.asc()


def _storable(bound: float) -> float:
    """A bound that the driver takes; no integer is stored beyond it."""
    return max(min(bound, _LARGEST), -_LARGEST) if isinstance(bound, int) else bound


def ids_by_run(keys: Iterable[EntryKey]) -> Iterator[tuple[str, list[str]]]:
    """Group the memory ids of keys by run, in lists short enough for one statement.

    What is no memory id in its canonical form is left out: nothing is stored under it.
    """
    by_run: dict[str, list[str]] = {}
    for key in keys:
        if is_canonical(key.memory_id):
            by_run.setdefault(key.run_id, []).append(key.memory_id)
    for run_id, ids in by_run.items():
        for chunk in chunked(ids, IN_LIST):
            yield run_id, chunk


def is_canonical(memory_id: str) -> bool:
    """Whether a text is 32 lower-case hexadecimal digits."""
    return len(memory_id) == 32 and _HEX_DIGITS.issuperset(memory_id)


def chunked(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut into lists of at most that size."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def table_of(model: Any) -> Table:
    """The table of a model."""
    table: Table = model.__table__
    return table
