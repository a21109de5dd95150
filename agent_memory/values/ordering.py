"""By what entries are sorted in each order."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent_memory.values.entry import MemoryEntry
from agent_memory.values.query import Order

ORDERED_BY: Mapping[Order, str] = {
    Order.OLDEST: "timestamp",
    Order.NEWEST: "timestamp",
    Order.STEP: "step_number",
    Order.IMPORTANCE: "importance_score",
}
"""The field of an entry that each order goes by."""

SORT_KEYS: Mapping[Order, Callable[[MemoryEntry], tuple[float, str]]] = {
    Order.OLDEST: lambda entry: (entry.timestamp, entry.memory_id),
    Order.NEWEST: lambda entry: (entry.timestamp, entry.memory_id),
    Order.STEP: lambda entry: (entry.step_number, entry.memory_id),
    Order.IMPORTANCE: lambda entry: (entry.importance_score, entry.memory_id),
}
DESCENDING = (Order.NEWEST, Order.IMPORTANCE)
"""The orders in which the greatest come first."""
