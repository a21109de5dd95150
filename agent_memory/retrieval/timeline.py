"""Questions about time: what stood at a step, how a value went, what changed, what was around."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.repositories.reading import ValueOf, values_of
from agent_memory.retrieval.recall import recall
from agent_memory.tiers.expiry import TierReader
from agent_memory.values.entry import MemoryEntry, Tier
from agent_memory.values.ordering import DESCENDING, SORT_KEYS
from agent_memory.values.paths import ABSENT, flattened
from agent_memory.values.query import Hit, Order, Query
from agent_memory.values.scalars import is_number, plain
from agent_memory.values.timeline import Difference, History

_MOST = 2**62


def first_of_each(tiers: Sequence[TierReader], query: Query) -> list[Hit]:
    """The first entry in a query's order of each agent that it is about, by run and agent.

    Args:
        tiers: The tiers, richest first.
        query: What is asked; steps, times and types alone, which no change of an entry touches.
    """
    sort_key, down = SORT_KEYS[query.sorting], query.sorting in DESCENDING
    found: dict[tuple[str, str], Hit] = {}
    for tier in tiers:
        for entry in tier.first_of_each(query):
            before = found.get(entry.key[:2])
            if before is not None:
                ranks = sort_key(entry), sort_key(before.entry)
                if not (ranks[0] > ranks[1] if down else ranks[0] < ranks[1]):
                    continue  # among them the copy of one that moves
            found[entry.key[:2]] = Hit(entry, tier.tier)
    return [found[owner] for owner in sorted(found)]


def history(tiers: Sequence[TierReader], query: Query, path: str) -> History:
    """The values at a path in what answers a query; entries without it are left out.

    Args:
        tiers: The tiers, richest first.
        query: Of one agent; its order is that of steps.
        path: As in ``values.paths``.
    """
    found: dict[str, tuple[ValueOf, Tier]] = {}
    for tier in tiers:
        for one in tier.values_at(query, path):
            found.setdefault(one.memory_id, (one, tier.tier))
    return _history(sorted(found.values(), key=_by_step), path)


def history_of(hits: Sequence[Hit], path: str) -> History:
    """The values at a path in some entries, in their order; those without it are left out."""
    values = values_of((hit.entry for hit in hits), path)
    return _history([*zip(values, (hit.tier for hit in hits), strict=True)], path)


def _history(rows: Sequence[tuple[ValueOf, Tier]], path: str) -> History:
    found = [(one, tier) for one, tier in rows if one.value is not ABSENT]
    # Those of a code are shared by all of its entries.
    kinds = {id(one.bounds): one.bounds for one, _ in found}
    bounds = {kind: _bound_at(each, path) for kind, each in kinds.items()}
    return History(
        np.array([one.step for one, _ in found], np.int64),
        _as_array([plain(one.value) for one, _ in found]),
        np.array([bounds[id(one.bounds)] for one, _ in found], np.float64),
        tuple(tier for _, tier in found),
    )


def _by_step(row: tuple[ValueOf, Tier]) -> tuple[int, str]:
    return row[0].step, row[0].memory_id


def difference(before: MemoryEntry | None, after: MemoryEntry | None) -> Difference:
    """What changed from one entry to another; None has no contents."""
    old, new = _flat(before), _flat(after)
    return Difference(
        {path: value for path, value in new.items() if path not in old},
        {path: value for path, value in old.items() if path not in new},
        {
            path: (old[path], new[path])
            for path in old.keys() & new.keys()
            if not _same(old[path], new[path], _bound(before, path) + _bound(after, path))
        },
    )


def window(tiers: Sequence[TierReader], entry: MemoryEntry, before: int, after: int) -> list[Hit]:
    """So many entries of an agent before another and after it, and itself, oldest first."""
    of_agent = Query(run_id=entry.run_id, agent_id=entry.agent_id)
    at = entry.timestamp
    later = replace(of_agent, times=(at, None))
    earlier = replace(of_agent, times=(None, at), order=Order.NEWEST)
    return [*_from(tiers, earlier, entry, before)[::-1], *_from(tiers, later, entry, after + 1)]


def _from(tiers: Sequence[TierReader], query: Query, entry: MemoryEntry, count: int) -> list[Hit]:
    """Those from an entry on in the query's order; newest first without itself."""
    sort_key = SORT_KEYS[query.sorting]
    mark, limit = sort_key(entry), count + 1
    while True:
        hits = recall(tiers, replace(query, limit=min(limit, _MOST)))
        ranked = [(sort_key(hit.entry), hit) for hit in hits]
        down = query.sorting in DESCENDING
        chosen = [hit for rank, hit in ranked if (rank < mark if down else rank >= mark)]
        if len(chosen) >= count or len(hits) < limit:
            return chosen[:count]
        limit *= 2  # others of the same time stand before it


def _flat(entry: MemoryEntry | None) -> dict[str, Any]:
    return {} if entry is None else dict(flattened(entry.contents))


def _bound(entry: MemoryEntry | None, path: str) -> float:
    return _bound_at(entry.error_bounds if entry is not None else None, path)


def _bound_at(known: Mapping[str, float] | None, path: str) -> float:
    bounds = known or {}
    if path in bounds:
        return float(bounds[path])
    # Of a list whose elements have bounds of their own it is the greatest.
    return max(
        (bound for name, bound in bounds.items() if name.startswith(f"{path}[")), default=0.0
    )


def _same(one: Any, other: Any, most: float) -> bool:
    one, other = plain(one), plain(other)
    if is_number(one) and is_number(other):
        return bool(one == other) or abs(one - other) <= most or (one != one and other != other)  # noqa: PLR0124 - NaN
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        if one.shape != other.shape or one.dtype.kind not in "iuf":
            return np.array_equal(one, other)
        return bool(np.allclose(one, other, rtol=0.0, atol=most, equal_nan=True))
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(
            _same(*pair, most) for pair in zip(one, other, strict=True)
        )
    return type(one) is type(other) and bool(one == other)


def _as_array(values: Sequence[Any]) -> NDArray[Any]:
    kinds = {type(value) for value in values}
    if kinds <= {int} and all(abs(value) < 2**63 for value in values):
        return np.array(values, np.int64)
    if kinds <= {int, float} and all(
        type(value) is float or abs(value) <= 2**53 for value in values
    ):
        return np.array(values, np.float64)
    array = np.empty(len(values), object)
    for place, value in enumerate(values):  # one by one: of lists NumPy would make dimensions
        array[place] = value
    return array
