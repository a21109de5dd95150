"""The questions that long-term memory asks in SQL, as statements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import Any, TypeVar

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    Connection,
    ScalarSelect,
    Select,
    Table,
    and_,
    any_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.types import NullType

from agent_memory.models.ltm import LtmModels
from agent_memory.models.ltm_rows import RawRow
from agent_memory.models.ltm_types import MemoryIdBytes, Name
from agent_memory.values.coded import CODED_BELOW, CODED_FROM, CODED_MARK, FURTHER
from agent_memory.values.entry import EntryKey
from agent_memory.values.ordering import DESCENDING, ORDERED_BY
from agent_memory.values.query import Order

IN_LIST = 500
"""How many values one statement lists; SQLite's older builds take 999 of all sorts."""

_AS_STORED = ("memory_id", "contents", "embedding", "error_bounds")
"""Columns that are read as the driver gives them: SQLAlchemy would call Python for each value."""
_HEX_DIGITS = frozenset("0123456789abcdef")

T = TypeVar("T")


@lru_cache(maxsize=64)
def entries_at(models: LtmModels, count: int | None = None) -> Select[*tuple[Any, ...]]:
    """The entries of a run (``of_run``) with some ids; made once, see ``questions``.

    Args:
        models: The models of the tables.
        count: How many ids (``id_0`` and so on); None: any number, in a list (``ids``); 0: any
            number, in an array, as which PostgreSQL takes them.
    """
    entry = models.LtmEntry
    run = bindparam("of_run", type_=Name)
    if count == 0:
        array: BindParameter[Any] = bindparam("ids", type_=ARRAY(MemoryIdBytes()))
        return entries_selected(models, {"run_id": run}).where(
            table_of(entry).c.memory_id == any_(array), entry.run_ref == run_ref_of(models, run)
        )
    ids: Any = bindparam("ids", expanding=True)
    if count is not None:
        ids = [bindparam(f"id_{place}", type_=entry.memory_id.type) for place in range(count)]
    return entries_selected(models, {"run_id": run}).where(
        entry.memory_id.in_(ids), entry.run_ref == run_ref_of(models, run)
    )


@lru_cache(maxsize=64)
def locations(models: LtmModels, *, in_array: bool) -> Select[*tuple[Any, ...]]:
    """Where entries with some ids (``ids``, as bytes) are, in any run, and how old; locks them.

    Args:
        models: The models of the tables.
        in_array: Whether to send the ids as one parameter, which PostgreSQL can: it is prepared
            once for every number of them, and takes a third of the time.
    """
    entry = models.LtmEntry
    raw_id = type_coerce(entry.memory_id, NullType())
    ids: BindParameter[Any] = bindparam("ids", expanding=True, type_=NullType())
    wanted: ColumnElement[bool] = raw_id.in_(ids)
    if in_array:
        array: BindParameter[Any] = bindparam("ids", type_=ARRAY(MemoryIdBytes()))
        wanted = table_of(entry).c.memory_id == any_(array)
    return (
        select(
            entry.id,
            entry.run_ref,
            entry.run_id.label("run_id"),
            entry.agent_id.label("agent_id"),
            raw_id.label("memory_id"),
            entry.revision,
            entry.retrieval_count,
        )
        .where(wanted)
        .with_for_update()
    )


def tombstones(
    models: LtmModels, run_ref: int, memory_ids: Sequence[str]
) -> Select[*tuple[Any, ...]]:
    """Which of those ids were forgotten in a run, of which agents, and when they were released."""
    tombstone = models.Tombstone
    return select(
        tombstone.memory_id, tombstone.agent_hash, tombstone.released_at, tombstone.forgotten_at
    ).where(tombstone.run_ref == run_ref, tombstone.memory_id.in_(memory_ids))


def tombstones_in(
    models: LtmModels, run_id: str, memory_ids: Sequence[str]
) -> Select[*tuple[Any, ...]]:
    """The same of a run by its name, and when they were forgotten."""
    run, tombstone = models.Run, models.Tombstone
    return (
        select(
            tombstone.memory_id,
            tombstone.agent_hash,
            tombstone.forgotten_at,
            tombstone.released_at,
        )
        .join(run, run.id == tombstone.run_ref)
        .where(run.name == run_id, tombstone.memory_id.in_(memory_ids))
    )


@lru_cache(maxsize=16)
def runs_with_tombstones(models: LtmModels) -> Select[*tuple[Any, ...]]:
    """Which of some runs (``run_refs``) have forgotten anything."""
    run, tombstone = models.Run, models.Tombstone
    asked: BindParameter[Any] = bindparam("run_refs", expanding=True)
    return select(run.id).where(run.id.in_(asked), exists().where(tombstone.run_ref == run.id))


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
    return ids.order_by(*ordered_by(models, Order.STEP))


def outdated_memory_ids(
    models: LtmModels, run_id: str, agent_id: str, versions: Sequence[int]
) -> Select[*tuple[Any, ...]]:
    """The ids of an agent's entries whose vector no such version made, by step."""
    made_by = models.LtmEntry.encoder_version
    ids = memory_ids_by_step(models, run_id, agent_id)
    return ids.where(made_by.not_in(versions) | made_by.is_(None))


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


def run_ref_of(models: LtmModels, run_id: str | BindParameter[str]) -> ScalarSelect[int]:
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


def entries_selected(
    models: LtmModels, known: Mapping[str, ColumnElement[str]] = MappingProxyType({})
) -> Select[*tuple[Any, ...]]:
    """Whole entries as ``RawRow``; what is known of all of them need not be looked up for each."""
    columns = [known.get(name, getattr(models.LtmEntry, name)) for name in RawRow._fields]
    return select(
        *(
            (type_coerce(column, NullType()) if name in _AS_STORED else column).label(name)
            for column, name in zip(columns, RawRow._fields, strict=True)
        )
    )


def ordered_by(models: LtmModels, order: Order) -> tuple[ColumnElement[Any], ...]:
    """By what entries come in an order."""
    entry = models.LtmEntry
    columns = getattr(entry, ORDERED_BY[order]), entry.memory_id
    down = order in DESCENDING
    return tuple(column.desc() if down else column.asc() for column in columns)


def as_identifier(connection: Connection, name: str) -> str:
    """A name as SQL text needs it: in quotes where it has capital letters."""
    return str(connection.dialect.identifier_preparer.quote(name))


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
