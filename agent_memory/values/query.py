"""A question about the memories of one agent, of several, or of all; and a hit that answers it."""

from __future__ import annotations

from collections.abc import Callable, Collection, KeysView, Mapping, ValuesView
from dataclasses import dataclass, field, fields
from enum import Enum, StrEnum
from typing import Any, Final

import numpy as np

from agent_memory.errors import InvalidCall, InvalidEntry
from agent_memory.values.attributes import checked_conditions
from agent_memory.values.calls import BESIDE_A_QUERY, explains_calls, unknown_argument
from agent_memory.values.checks import (
    checked_flag,
    checked_limit,
    checked_member,
    checked_range,
    is_a,
)
from agent_memory.values.entry import MemoryEntry, MemoryType, Tier
from agent_memory.values.html import html_table
from agent_memory.values.identity import checked_agent_id, checked_run_id
from agent_memory.values.quoting import quoted, short_repr
from agent_memory.values.rank import ScoreParts


class Order(StrEnum):
    """In which order entries are given. Ties break by memory id, in the same direction.

    Examples:
        >>> from agent_memory import Order, Query
        >>> Query(agent_id="ant-1", order=Order.NEWEST, limit=3).limit
        3
    """

    OLDEST = "oldest"
    """By timestamp, ascending."""
    NEWEST = "newest"
    """By timestamp, descending."""
    STEP = "step"
    """By step, ascending."""
    LATEST_STEP = "latest_step"
    """By step, descending."""
    IMPORTANCE = "importance"
    """By importance, descending."""


class AllRuns(Enum):
    """The type of ``ALL_RUNS``: as the ``run_id`` of a query it stands for every run there is.

    Examples:
        >>> from agent_memory import ALL_RUNS, Query
        >>> Query(agent_id="ant-1", run_id=ALL_RUNS).runs is None
        True
    """

    ALL_RUNS = "all runs"

    def __repr__(self) -> str:
        return self.name


ALL_RUNS: Final = AllRuns.ALL_RUNS
"""As the ``run_id`` of a query: every run there is."""

RANGES: Mapping[str, str] = {
    "steps": "step_number",
    "times": "timestamp",
    "importance": "importance_score",
}
"""The filters of a query that are a least and a greatest number, and whose number each is.

Every engine looks by this table and the two below it: a filter that is added to ``Query`` and to
its table is answered by all.
"""

CATEGORIES = ("memory_type",)
"""The filters that are a value which the entry's field of the same name must have."""

FLAGS = ("pinned",)
"""The filters that are True or False, as the entry's field of the same name must be."""

_NEVER_CHANGE = {"steps", "times", "memory_type"}


@explains_calls("__init__", elsewhere=BESIDE_A_QUERY)
@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question about memories; what is left out does not filter.

    Either end of a range may be None, which leaves that side open.

    Attributes:
        agent_id: Whose memories: an agent, a list of agents, or None for all agents.
        run_id: Of which run: one, a list of runs, or ``ALL_RUNS``; None stands for the run the
            asked one is bound to.
        steps: First and last step, both included.
        times: First and last timestamp, both included.
        memory_type: Only this type.
        importance: Least and greatest importance, both included.
        attributes: Conditions on contents by path, all of which must hold: a value or sequence to
            equal, or ``between``, ``one_of``, ``exists``, ``contains``, ``matches``,
            ``near_point``: ``{"mood": "calm", "home.food": between(3, 10), "pos": (8, 12)}``.
        pinned: Only those that are pinned (True), or that are not (False).
        order: In which order, and so which entries a limit keeps; None: oldest first. Where
            similarity is asked for it decides among equals; None: newest first.
        limit: At most this many entries; None for all.

    Raises:
        InvalidEntry: A field has no meaning; the message names it.

    Examples:
        >>> from agent_memory import Query
        >>> query = Query(agent_id="ant-1", steps=(2, 4), attributes={"food": (1.0, 1.5)})
        >>> [hit.entry.step_number for hit in memory.recall(query)]
        [2, 3]
        >>> everyone = Query(steps=(3, 3))
        >>> [hit.entry.agent_id for hit in memory.recall(everyone)]
        ['ant-1']
    """

    agent_id: str | int | Collection[str | int] | None = None
    run_id: str | Collection[str] | AllRuns | None = None
    steps: tuple[int | None, int | None] | None = None
    times: tuple[float | None, float | None] | None = None
    memory_type: MemoryType | None = None
    importance: tuple[float | None, float | None] | None = None
    attributes: Mapping[Any, Any] = field(default_factory=dict, hash=False)
    pinned: bool | None = None
    order: Order | None = None
    limit: int | None = None

    __repr__ = short_repr()

    def __post_init__(self) -> None:
        """Check every field, and bring each to its own type."""
        put = object.__setattr__
        put(self, "agent_id", _checked_names(self.agent_id, checked_agent_id))
        if self.run_id is not ALL_RUNS:
            put(self, "run_id", _checked_names(self.run_id, checked_run_id))
        for name in RANGES:
            put(self, name, checked_range(name, getattr(self, name)))
        if self.memory_type is not None:
            put(self, "memory_type", checked_member("memory_type", MemoryType, self.memory_type))
        put(self, "attributes", checked_conditions(self.attributes))
        if self.pinned is not None:
            put(self, "pinned", checked_flag("pinned", self.pinned))
        if self.order is not None:
            put(self, "order", checked_member("order", Order, self.order))
        put(self, "limit", checked_limit(self.limit))

    @property
    def sorting(self) -> Order:
        """In which order entries are given where similarity is not asked for.

        Examples:
            >>> Query(agent_id="ant-1").sorting
            <Order.OLDEST: 'oldest'>
        """
        return Order.OLDEST if self.order is None else self.order

    @property
    def filters(self) -> set[str]:
        """The names of the filters by fields that it has."""
        names = (*RANGES, *CATEGORIES, *FLAGS)
        return {name for name in names if getattr(self, name) is not None}

    @property
    def can_change_its_answer(self) -> bool:
        """Whether an entry that answers it may stop to, or begin to, when it is changed."""
        chooses_by_importance = self.sorting is Order.IMPORTANCE and self.limit is not None
        return bool(self.attributes or chooses_by_importance or self.filters - _NEVER_CHANGE)

    @property
    def agents(self) -> tuple[str, ...] | None:
        """The agents that it names; None for all.

        Examples:
            >>> Query(agent_id=["bee", 7]).agents
            ('7', 'bee')
        """
        return _as_names(self.agent_id)

    @property
    def runs(self) -> tuple[str, ...] | None:
        """The runs that it names; None for all.

        Raises:
            InvalidEntry: It names none; see ``within``.

        Examples:
            >>> Query(run_id="episode-1").runs
            ('episode-1',)
        """
        if self.run_id is None:
            raise InvalidEntry("query: run_id is missing; bind it with query.within(run_id)")
        return None if self.run_id is ALL_RUNS else _as_names(self.run_id)

    @property
    def is_about_one_agent(self) -> bool:
        """Whether it asks for one agent of one run.

        Examples:
            >>> Query(agent_id="ant-1", run_id="episode-1").is_about_one_agent
            True
        """
        return type(self.agent_id) is str and type(self.run_id) is str

    def is_about(self, run_id: str, agent_id: str) -> bool:
        """Whether it asks for the entries of an agent of a run.

        Examples:
            >>> Query(run_id="episode-1").is_about("episode-1", "ant-1")
            True
        """
        return (self.agents is None or agent_id in self.agents) and (
            self.runs is None or run_id in self.runs
        )

    def of(self, run_id: str, agent_id: str) -> Query:
        """The same question about one agent of one run.

        Examples:
            >>> Query(limit=3).of("episode-1", "ant-1").agents
            ('ant-1',)
        """
        return _with(self, run_id=run_id, agent_id=agent_id)

    def admits(self, entry: MemoryEntry) -> bool:
        """Whether an entry of its agents answers it; contents are not looked at."""
        ranges = ((getattr(self, name), getattr(entry, of)) for name, of in RANGES.items())
        return all(bounds is None or bounds[0] <= of <= bounds[1] for bounds, of in ranges) and all(
            getattr(self, name) in (None, getattr(entry, name)) for name in (*CATEGORIES, *FLAGS)
        )

    def within(self, run_id: str) -> Query:
        """The same question, bound to a run if it names none.

        Examples:
            >>> Query(agent_id="ant-1").within("episode-1").run_id
            'episode-1'
        """
        return self if self.run_id is not None else _with(self, run_id=checked_run_id(run_id))


_FIELDS = tuple(each.name for each in fields(Query))


def bounded(query: Query, **bounds: tuple[float, float]) -> Query:
    """The same question with other ranges, whose ends have been checked."""
    return _with(query, **bounds)


def _with(query: Query, **checked: Any) -> Query:
    """The same question with other fields; all that it holds has been checked."""
    other = object.__new__(Query)
    for name in _FIELDS:
        object.__setattr__(other, name, checked.get(name, getattr(query, name)))
    return other


def checked_query(query: object) -> Query:
    """Give back a query.

    Raises:
        InvalidEntry: It is none; the message says what is needed.
    """
    if not isinstance(query, Query):
        raise InvalidEntry(
            f"query: a Query is needed, not {quoted(query)}; for example "
            'Query(agent_id="ant-1", steps=(0, 10))'
        )
    return query


def query_of(query: object, asked: Mapping[str, Any]) -> Query:
    """The query that was given, or that of the fields that were given in its place.

    Raises:
        InvalidEntry: Neither, both, or no query was given; or a field has no meaning.
    """
    if not asked:
        return checked_query(query)
    if query is not None:
        raise InvalidEntry(
            f"query: a Query or its fields are needed, not both; write {', '.join(sorted(asked))} "
            "into the Query"
        )
    unknown = sorted(asked.keys() - set(_FIELDS))
    if unknown:
        raise InvalidCall(f"query: {unknown_argument(unknown[0], _FIELDS)}")
    return Query(**asked)


def run_of(query: Query) -> str:
    """The run that a query names, where one is needed.

    Raises:
        InvalidEntry: It names none, or several, or is no query.
    """
    runs = checked_query(query).runs
    if runs is None or len(runs) != 1:
        raise InvalidEntry("run_id: one run is needed here; ask for one after the other")
    return runs[0]


def agent_of(query: Query) -> str:
    """The agent that a query names, where one is needed.

    Raises:
        InvalidEntry: It names none, or several, or is no query.
    """
    agents = checked_query(query).agents
    if agents is None or len(agents) != 1:
        raise InvalidEntry("agent_id: one agent is needed here; ask for one after the other")
    return agents[0]


# Whatever has a length and an end; what is else iterable may have none.
_LISTS = (list, tuple, set, frozenset, range, KeysView, ValuesView, np.ndarray)


def _checked_names(given: Any, checked: Callable[[Any], str]) -> str | tuple[str, ...] | None:
    """A name, several of them, or None, each checked."""
    if given is None:
        return None
    if not names_several(given):
        return checked(given)
    names = tuple(sorted({checked(name) for name in given}))
    return names[0] if len(names) == 1 else names


def names_several(given: Any) -> bool:
    """Whether what names agents or runs is a list of names, which may hold one or none."""
    if type(given) is str:
        return False
    return is_a(given, _LISTS) and not (is_a(given, np.ndarray) and given.ndim != 1)


def _as_names(names: Any) -> tuple[str, ...] | None:
    return (names,) if isinstance(names, str) else names


HIT_COLUMNS = ("tier", "score", "agent_id", "step_number", "memory_type", "contents")
"""What a notebook shows of a hit."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that answers a query, and where it was found.

    Attributes:
        entry: The entry; its ``error_bounds`` say how exact its contents are.
        tier: Where it was found.
        score: Similarity where the query asked for it, else None: from 0 for nothing in common to
            1 for the same near a state or memory, a cosine from -1 to 1 near a vector or text.
            None too near a vector or text of a model of your own, of an entry without one.
            Where a rank was asked for, its weighted sum.
        parts: What a rank's sum was made of; None where none was asked for.

    Examples:
        >>> hit = memory.recall(Query(agent_id="ant-1", steps=(3, 3)))[0]
        >>> hit.tier.name, hit.entry.contents["food"]
        ('STM', 1.5)
    """

    entry: MemoryEntry
    tier: Tier
    score: float | None = None
    parts: ScoreParts | None = None

    def __repr__(self) -> str:
        score = "" if self.score is None else f", score={self.score:.4g}"
        entry = repr(self.entry)
        if len(entry) > 240:
            entry = f"{entry[:240]}...)"
        return f"Hit({self.tier.name}{score}, {entry})"

    def _repr_html_(self) -> str:
        return html_table(HIT_COLUMNS, [self.html_row()])

    def html_row(self) -> tuple[object, ...]:
        """What a table shows of it, under ``HIT_COLUMNS``."""
        score = "" if self.score is None else f"{self.score:.4g}"
        entry = self.entry
        named = entry.agent_id, entry.step_number, entry.memory_type.value
        return (self.tier.name, score, *named, dict(entry.contents))

    @property
    def fidelity(self) -> int:
        """The compression level of what was found: 0 is what was stored.

        Examples:
            >>> hit.fidelity
            0
        """
        return self.entry.compression_level
