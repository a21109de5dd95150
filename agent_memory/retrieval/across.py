"""Asks every tier, from the top down, and gives each entry once.

A move writes below before it removes above, so that an entry on its way is seen at least once;
of two copies the richer tier's is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from agent_memory.entry import EntryKey, Hit, MemoryEntry, Order, Query
from agent_memory.unexpired import Shown

_SORT_KEYS: dict[Order, Callable[[Hit], tuple[float, str]]] = {
    Order.OLDEST: lambda hit: (hit.entry.timestamp, hit.entry.memory_id),
    Order.NEWEST: lambda hit: (hit.entry.timestamp, hit.entry.memory_id),
    Order.STEP: lambda hit: (hit.entry.step_number, hit.entry.memory_id),
    Order.IMPORTANCE: lambda hit: (hit.entry.importance_score, hit.entry.memory_id),
}
_DESCENDING = (Order.NEWEST, Order.IMPORTANCE)


def recall(tiers: Sequence[Shown], query: Query) -> list[Hit]:
    """Answer a query from all tiers.

    Args:
        tiers: The tiers, richest first.
        query: What is asked; it names its run.

    Returns:
        The entries in the query's order, each with the richest tier that holds it.
    """
    hits = _richest((repository, repository.find(query)) for repository in tiers)
    hits.sort(key=_SORT_KEYS[query.order], reverse=query.order in _DESCENDING)
    return hits if query.limit is None else hits[: query.limit]


def fetch(tiers: Sequence[Shown], keys: Sequence[EntryKey]) -> list[Hit]:
    """Get entries by key from whichever tier holds them, in the order of the keys.

    Args:
        tiers: The tiers, richest first.
        keys: The entries; those that are stored nowhere are left out.
    """
    found: dict[EntryKey, Hit] = {}
    for repository in tiers:
        missing = [key for key in keys if key not in found]
        if missing:
            for entry in repository.get_many(missing):
                found[entry.key] = Hit(entry, repository.tier)
    return [found[key] for key in keys if key in found]


def _richest(answers: Iterable[tuple[Shown, list[MemoryEntry]]]) -> list[Hit]:
    found: dict[EntryKey, Hit] = {}
    for repository, entries in answers:
        for entry in entries:
            found.setdefault(entry.key, Hit(entry, repository.tier))
    return list(found.values())
