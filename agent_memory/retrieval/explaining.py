"""Tells how a question is answered, by answering it and counting what is read."""

from __future__ import annotations

from collections.abc import Sequence

from agent_memory.repositories.access import counting_reads
from agent_memory.retrieval.recall import left_behind, what_is_left
from agent_memory.tiers.expiry import TierReader
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.explanation import Explanation, TierPlan
from agent_memory.values.query import Query


def explain(tiers: Sequence[TierReader], query: Query) -> Explanation:
    """How a query is answered, tier by tier.

    Args:
        tiers: The tiers, richest first.
        query: What is asked; it names its runs.
    """
    found: dict[EntryKey, Tier] = {}
    plans = []
    answers: list[tuple[TierReader, Sequence[MemoryEntry]]] = []
    for tier in tiers:
        asked = what_is_left(query, answers)
        with counting_reads() as read:
            entries = tier.find(asked)
        answers.append((tier, entries))
        for entry in entries:
            found.setdefault(entry.key, tier.tier)
        way, expected, details = tier.access(asked)
        plans.append(TierPlan(tier.tier, way, expected, read.number, len(entries), details))
    there = len(found) - len(left_behind(tiers, query, found))
    return Explanation(tuple(plans), there if query.limit is None else min(there, query.limit))
