"""Former names of a repository's methods; they work, and warn with the name of today.

They are looked up when nothing else has the name, so that neither completion nor a type checker
offers them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from agent_memory.values.entry import EntryKey, MemoryEntry, MemoryType
from agent_memory.values.query import Order, Query

_MOVED = {
    "reembed": "encodings.reembed",
    "recode": "encodings.recode",
    "vectors": "encodings.vectors",
    "outdated": "encodings.outdated",
    "versions": "encodings.versions",
    "code_versions": "encodings.code_versions",
    "get_readable": "upkeep.get_readable",
    "find_readable": "upkeep.find_readable",
    "agent_counts": "upkeep.agent_counts",
    "importances": "upkeep.importances",
    "stored_bytes": "upkeep.stored_bytes",
    "declare_attributes": "upkeep.declare_attributes",
    "open_moves": "moves.open",
    "close_move": "moves.close",
}


class _Repository(Protocol):
    """What the former names call."""

    def find(self, query: Query) -> list[MemoryEntry]: ...

    def keys(self, run_id: str, *agents: str) -> list[EntryKey]: ...

    def clear_agents(self, run_id: str, agents: Sequence[str]) -> int: ...


class FormerNames:
    """Gives a repository the names that its methods had."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in _MOVED:
                part, method = _MOVED[name].split(".")
                _warn(type(self).__name__, name, _MOVED[name])
                return getattr(getattr(self, part), method)
            if name in _SPELLED:
                call, today = _SPELLED[name]
                _warn(type(self).__name__, name, today)
                return partial(call, self)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _warn(owner: str, name: str, today: str) -> None:
    warnings.warn(f"{owner}.{name} is deprecated; use {today}", DeprecationWarning, stacklevel=3)


def _by_step(store: _Repository, run_id: str, agent_id: str, step: int) -> list[MemoryEntry]:
    return _by_step_range(store, run_id, agent_id, step, step)


def _by_step_range(
    store: _Repository, run_id: str, agent_id: str, first: int, last: int, limit: int | None = None
) -> list[MemoryEntry]:
    steps = first, last
    return store.find(
        Query(run_id=run_id, agent_id=agent_id, steps=steps, order=Order.STEP, limit=limit)
    )


def _by_time_range(
    store: _Repository,
    run_id: str,
    agent_id: str,
    first: float,
    last: float,
    limit: int | None = None,
) -> list[MemoryEntry]:
    return store.find(Query(run_id=run_id, agent_id=agent_id, times=(first, last), limit=limit))


def _recent(store: _Repository, run_id: str, agent_id: str, count: int = 10) -> list[MemoryEntry]:
    return store.find(Query(run_id=run_id, agent_id=agent_id, order=Order.NEWEST, limit=count))


def _oldest(store: _Repository, run_id: str, agent_id: str, count: int = 10) -> list[MemoryEntry]:
    return store.find(Query(run_id=run_id, agent_id=agent_id, limit=count))


def _by_type(
    store: _Repository,
    run_id: str,
    agent_id: str,
    memory_type: MemoryType,
    limit: int | None = None,
) -> list[MemoryEntry]:
    query = Query(run_id=run_id, agent_id=agent_id, order=Order.NEWEST, limit=limit)
    return store.find(replace(query, memory_type=memory_type))


def _by_importance(
    store: _Repository,
    run_id: str,
    agent_id: str,
    least: float = 0.0,
    limit: int | None = None,
) -> list[MemoryEntry]:
    query = Query(run_id=run_id, agent_id=agent_id, order=Order.IMPORTANCE, limit=limit)
    return store.find(replace(query, importance=(least, 1.0)))


def _clear_agent(store: _Repository, run_id: str, agent_id: str) -> int:
    return store.clear_agents(run_id, [agent_id])


def _keys_of(store: _Repository, run_id: str, agents: Sequence[str]) -> list[EntryKey]:
    return store.keys(run_id, *agents)


_SPELLED: dict[str, tuple[Callable[..., Any], str]] = {
    "by_step": (_by_step, "find(Query(..., steps=(step, step), order=Order.STEP))"),
    "by_step_range": (_by_step_range, "find(Query(..., steps=(first, last), order=Order.STEP))"),
    "by_time_range": (_by_time_range, "find(Query(..., times=(first, last)))"),
    "recent": (_recent, "find(Query(..., order=Order.NEWEST, limit=count))"),
    "oldest": (_oldest, "find(Query(..., limit=count))"),
    "by_type": (_by_type, "find(Query(..., memory_type=memory_type, order=Order.NEWEST))"),
    "by_importance": (
        _by_importance,
        "find(Query(..., importance=(least, 1.0), order=Order.IMPORTANCE))",
    ),
    "clear_agent": (_clear_agent, "clear_agents(run_id, [agent_id])"),
    "keys_of": (_keys_of, "keys(run_id, *agents)"),
}
