"""By what entries are sorted in each order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from agent_memory.values.entry import MemoryEntry
from agent_memory.values.query import Order, Query

ORDERED_BY: Mapping[Order, str] = {
    Order.OLDEST: "timestamp",
    Order.NEWEST: "timestamp",
    Order.STEP: "step_number",
    Order.LATEST_STEP: "step_number",
    Order.IMPORTANCE: "importance_score",
}
"""The field of an entry that each order goes by."""

_SortKey = tuple[float, str, str, str]

# Two agents may have entries of one id; so that whose they are breaks the last ties.
SORT_KEYS: Mapping[Order, Callable[[MemoryEntry], _SortKey]] = {
    Order.OLDEST: lambda it: (it.timestamp, it.memory_id, it.run_id, it.agent_id),
    Order.NEWEST: lambda it: (it.timestamp, it.memory_id, it.run_id, it.agent_id),
    Order.STEP: lambda it: (it.step_number, it.memory_id, it.run_id, it.agent_id),
    Order.LATEST_STEP: lambda it: (it.step_number, it.memory_id, it.run_id, it.agent_id),
    Order.IMPORTANCE: lambda it: (it.importance_score, it.memory_id, it.run_id, it.agent_id),
}
DESCENDING = (Order.NEWEST, Order.LATEST_STEP, Order.IMPORTANCE)
"""The orders in which the greatest come first."""


def in_order(entries: Iterable[MemoryEntry], query: Query) -> list[MemoryEntry]:
    """Entries in a query's order, up to its limit."""
    chosen = sorted(entries, key=SORT_KEYS[query.sorting], reverse=query.sorting in DESCENDING)
    return chosen if query.limit is None else chosen[: query.limit]
