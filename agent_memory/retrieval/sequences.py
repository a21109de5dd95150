"""Finds stretches of agents' lives that are similar to a given one.

Entry by entry the similarity is that of ``near``, so that text, missing values and numbers of any
unit count as they do there. A window compares the entries one to one; time warping lets one stand
for several, so that what went slower or faster is found as well (subsequence dynamic time warping:
Sakoe and Chiba, 1978; Müller, 2007, section 4.4). The libraries that have it compare numbers alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.comparable import Comparable
from agent_memory.repositories.moves import Agent
from agent_memory.retrieval.agent_features import AgentFeatures
from agent_memory.retrieval.feature_cache import FeatureCache
from agent_memory.retrieval.near_states import owners_of
from agent_memory.retrieval.recall import fetch
from agent_memory.tiers.expiry import TierReader
from agent_memory.values.entry import EntryKey
from agent_memory.values.query import Query
from agent_memory.values.stretch import Stretch

_MOST_WARPED = 2  # times as long, or as short, as the stretch that is asked about


class _Found(NamedTuple):
    """A stretch: its score, whose it is, and its entries."""

    score: float
    owner: Agent
    keys: tuple[EntryKey, ...]


def sequences_like(
    features: FeatureCache,
    tiers: Sequence[TierReader],
    query: Query,
    asked: Sequence[Comparable],
    *,
    warp: bool,
    but: Iterable[EntryKey] = (),
) -> list[Stretch]:
    """The stretches most similar to some states in their order, the best first.

    No two of them share an entry.

    Args:
        features: Keeps what is compared.
        tiers: The tiers, richest first.
        query: Whose entries, of which type and steps; its limit is how many stretches.
        asked: The states.
        warp: Whether time may be warped.
        but: Entries that are in none of them.
    """
    left_out = frozenset(but)
    owners = owners_of(tiers, query) if query.limit != 0 else []

    def choose(agents: list[AgentFeatures]) -> list[_Found]:
        found: list[_Found] = []
        for agent in agents:
            agent.refresh(tiers)
        scales = AgentFeatures.joint_scales(agents)
        for owner, agent, units in zip(owners, agents, scales, strict=True):
            own = query.of(*owner)
            queries = {tier.tier: tier.visible(own) for tier in tiers}
            ids, similar = agent.similarities(queries, asked, units)
            keys = [EntryKey(*owner, memory_id) for memory_id in ids]
            found += _best(owner, keys, similar, query.limit, left_out, warp=warp)
        return found

    found = features.using(owners, choose)
    features.make_room()
    found.sort(key=lambda one: (-one.score, one.owner, one.keys))
    stretches: list[Stretch] = []
    for one in found:
        if query.limit is not None and len(stretches) == query.limit:
            break
        hits = fetch(tiers, one.keys)
        if len(hits) == len(one.keys):  # else some of it was forgotten since
            stretches.append(Stretch(tuple(hits), one.score))
    return stretches


def _best(
    owner: Agent,
    keys: Sequence[EntryKey],
    similar: NDArray[np.float64],
    limit: int | None,
    left_out: frozenset[EntryKey],
    *,
    warp: bool,
) -> list[_Found]:
    """The best stretches of one agent that share no entry."""
    starts, ends, scores = warped(similar) if warp else windows(similar)
    free = np.array([key not in left_out for key in keys], bool)
    found: list[_Found] = []
    for place in np.argsort(-scores, kind="stable").tolist():
        if limit is not None and len(found) >= limit:
            break
        span = slice(int(starts[place]), int(ends[place]) + 1)
        if free[span].all():
            free[span] = False
            found.append(_Found(float(scores[place]), owner, tuple(keys[span])))
    return found


_Stretches = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]
"""Where stretches begin and end, the last included, and their scores; each of shape (s,)."""


def windows(similar: NDArray[np.float64]) -> _Stretches:
    """All stretches as long as what is asked about, compared one to one.

    Args:
        similar: How similar each entry is to each state, of shape (states, entries).
    """
    length, entries = similar.shape
    count = max(entries - length + 1, 0)
    scores = np.zeros(count)
    for place in range(length):
        scores += similar[place, place : place + count]
    starts = np.arange(count)
    return starts, starts + length - 1, scores / max(length, 1)


def warped(similar: NDArray[np.float64]) -> _Stretches:
    """For each entry the best stretch that ends there, time warped.

    Args:
        similar: How similar each entry is to each state, of shape (states, entries).
    """
    length = len(similar)
    costs = (1.0 - similar).tolist()
    # Of the cheapest way to each entry: its cost, how many pairs it has, and where it begins.
    row = [(cost, 1, at) for at, cost in enumerate(costs[0])] if length else []
    for of_state in costs[1:]:
        above, row = row, []
        for at, cost in enumerate(of_state):
            ways = [above[at]]
            if at:
                ways += [above[at - 1], row[at - 1]]
            total, pairs, start = min(ways)
            row.append((total + cost, pairs + 1, start))
    ends = np.arange(len(row))
    starts = np.array([start for _, _, start in row], np.intp)
    scores = np.array([1.0 - total / pairs for total, pairs, _ in row], np.float64)
    spans = ends - starts + 1
    kept = (spans * _MOST_WARPED >= length) & (spans <= length * _MOST_WARPED)
    return starts[kept], ends[kept], scores[kept]
