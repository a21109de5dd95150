"""Gathers what the tiers propose near a vector, each entry once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from agent_memory.repositories.nearest import Probe
from agent_memory.retrieval.recall import left_behind
from agent_memory.tiers.expiry import TierReader
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.ordering import DESCENDING, SORT_KEYS
from agent_memory.values.query import Hit, Order, Query

# Vectors order near neighbours the less surely the narrower they are: so more candidates than are
# asked for make the best of them almost surely be among them. How many times as many by the level
# of the tier, which says how wide its vectors are, and at least.
_CANDIDATES = {0: (4, 40), 1: (8, 80), 2: (16, 160)}


def candidates(
    tiers: Sequence[TierReader], query: Query, probe: Probe, level: Callable[[Tier], int]
) -> list[tuple[MemoryEntry, Tier]]:
    """The entries that each tier finds nearest to a probe, from the richest tier that has them.

    Args:
        tiers: The tiers, richest first.
        query: Which entries; its limit is how many are to be chosen from what is given.
        probe: What they are to be near.
        level: Gives the compression level of a tier.
    """
    found: dict[EntryKey, tuple[MemoryEntry, Tier]] = {}
    for repository in tiers:
        times, least = _CANDIDATES[level(repository.tier)]
        # Where contents are asked about, all that answer are read anyway: so all are ranked.
        narrowed = query.limit is not None and not query.attributes
        limit = max((query.limit or 0) * times, least) if narrowed else None
        for entry, _ in repository.nearest(replace(query, limit=limit), probe):
            # Tiers are read from the top down, as entries move: the richer copy is met first.
            found.setdefault(entry.key, (entry, repository.tier))
    for key in left_behind(tiers, query, {key: tier for key, (_, tier) in found.items()}):
        del found[key]
    return [*found.values()]


def best(hits: list[Hit], query: Query) -> list[Hit]:
    """Hits by their scores, equal ones in the query's order or newest first, up to its limit."""
    order = query.order or Order.NEWEST
    hits.sort(key=lambda hit: SORT_KEYS[order](hit.entry), reverse=order in DESCENDING)
    hits.sort(key=lambda hit: -(hit.score or 0.0))
    return hits[: query.limit]
