"""Asks every tier, from the top down, and gives each entry once.

A move writes below before it removes above, so that an entry on its way is seen at least once;
of two copies the richer tier's is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent_memory.entry import EntryKey, Hit, MemoryEntry, Query
from agent_memory.ordering import DESCENDING, SORT_KEYS
from agent_memory.unexpired import Shown


def recall(tiers: Sequence[Shown], query: Query) -> list[Hit]:
    """Answer a query from all tiers.

    Args:
        tiers: The tiers, richest first.
        query: What is asked; it names its run.

    Returns:
        The entries in the query's order, each with the richest tier that holds it.
    """
    hits = _richest((repository, repository.find(query)) for repository in tiers)
    sort_key = SORT_KEYS[query.order]
    hits.sort(key=lambda hit: sort_key(hit.entry), reverse=query.order in DESCENDING)
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
