"""Ranks what answers by what matters now, and picks what is not the same moment once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.comparable import comparable
from agent_memory.embeddings.distance import distances
from agent_memory.embeddings.feature_table import FeatureTable
from agent_memory.embeddings.scales import scales_of
from agent_memory.errors import InvalidEntry
from agent_memory.values.checks import checked_number
from agent_memory.values.entry import MemoryEntry
from agent_memory.values.query import Hit, Query
from agent_memory.values.rank import Rank, ScoreParts

POOL = (5, 50, 1_000)
"""Among how many the diverse are chosen: times the limit, at least, and at most."""


def ranked(
    hits: Sequence[Hit],
    rank: Rank,
    now: float,
    default: tuple[float, float],
    most: int | None = None,
) -> list[Hit]:
    """Hits with the scores of a rank, the greatest first; equals stay in their order.

    Args:
        hits: What answers, in the order that decides among equals.
        rank: The weights.
        now: The present, in the unit of timestamps.
        default: The decay, and in how many steps, where the rank names none.
        most: How many of them are given; None: all.
    """
    if not hits:
        return []
    weights = (rank.relevance, rank.recency, rank.importance)
    parts = [
        np.array([hit.score or 0.0 for hit in hits]),
        _recency([hit.entry for hit in hits], rank, now, default),
        np.array([hit.entry.importance_score for hit in hits]),
    ]
    if rank.min_max:
        parts = [_stretched(values) for values in parts]
    total = np.zeros(len(hits))
    for weight, values in zip(weights, parts, strict=True):
        if weight:
            total += weight * values
    order = np.argsort(-total, kind="stable")[:most].tolist()
    found = zip(order, *(values[order].tolist() for values in (total, *parts)), strict=True)
    is_near = rank.relevance > 0.0
    return [
        replace(
            hits[place], score=score,
            parts=ScoreParts(relevance if is_near else None, recency, importance),
        )
        for place, score, relevance, recency, importance in found
    ]  # fmt: skip


def _recency(
    entries: Sequence[MemoryEntry], rank: Rank, now: float, default: tuple[float, float]
) -> NDArray[np.float64]:
    if rank.unit == "steps":
        at = np.array([float(entry.step_number) for entry in entries])
        present = float(at.max()) if rank.now is None else rank.now
    else:
        accessed = rank.since == "accessed"
        at = np.array([it.last_access_time if accessed else it.timestamp for it in entries])
        present = now if rank.now is None else rank.now
    decay, per = default if rank.decay is None else (rank.decay, 1.0)
    with np.errstate(over="ignore"):  # of an age in ever so small parts nothing is left
        age = np.maximum(present - at, 0.0) / (per if rank.per is None else rank.per)
    recency: NDArray[np.float64] = np.power(decay, age)
    return recency


def _stretched(values: NDArray[np.float64]) -> NDArray[np.float64]:
    span = float(np.ptp(values))
    return (values - values.min()) / span if span else np.zeros(len(values))


def checked_diversity(diverse: object, query: Query) -> float:
    """Return how much diversity counts, from 0 to 1.

    Raises:
        InvalidEntry: It is no such number, or the query has no limit.
    """
    strength = checked_number("diverse", diverse)
    if not 0.0 <= strength <= 1.0:
        raise InvalidEntry(f"diverse: a number from 0 to 1 is needed, not {strength}")
    if query.limit is None:
        raise InvalidEntry("diverse: a limit is needed: all that answers is as diverse as it is")
    return strength


def pool_of(limit: int) -> int:
    """Among how many the diverse of a limit are chosen."""
    times, least, greatest = POOL
    return max(limit, min(max(times * limit, least), greatest))


def diverse(hits: Sequence[Hit], strength: float, limit: int) -> list[Hit]:
    """Choose by maximal marginal relevance (Carbonell and Goldstein, 1998).

    One after the other, whichever has the greatest ``(1 - strength) * score - strength * (the
    greatest similarity to what is chosen)``, scores stretched from 0 to 1.

    Args:
        hits: The best, in their order; without scores their places count.
        strength: How much diversity counts, from 0 to 1.
        limit: How many are chosen.
    """
    pool = [*hits[: pool_of(limit)]]
    if len(pool) <= 1 or not strength:
        return pool[:limit]
    places = np.arange(len(pool), 0, -1, dtype=np.float64)
    scored = all(hit.score is not None for hit in pool)
    scores = _stretched(np.array([hit.score for hit in pool], np.float64) if scored else places)
    similar = _Similarities([hit.entry for hit in pool])
    nearest = np.zeros(len(pool))
    left = np.ones(len(pool), bool)
    chosen: list[Hit] = []
    while len(chosen) < min(limit, len(pool)):
        worth = np.where(left, (1.0 - strength) * scores - strength * nearest, -np.inf)
        place = int(np.argmax(worth))
        chosen.append(pool[place])
        left[place] = False
        nearest = np.maximum(nearest, similar.to(place))
    return chosen


class _Similarities:
    """How similar some entries are to each other, as ``near`` measures it: 1 is the same.

    Args:
        entries: The entries; numbers are scaled by what these have.
    """

    def __init__(self, entries: Sequence[MemoryEntry]) -> None:
        self._asked = [comparable(entry.contents) for entry in entries]
        self._table = FeatureTable()
        self._table.add([each.values for each in self._asked])
        self._scales = scales_of(self._table)

    def to(self, place: int) -> NDArray[np.float64]:
        """The similarities of all to one of them, of shape (n,)."""
        found = distances(self._table, self._scales, self._asked[place])
        similarities: NDArray[np.float64] = 1.0 / (1.0 + found.distance)
        return similarities
