"""Answers what is near a state: over one agent, several, or all, measured with the same units."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice, takewhile
from math import inf
from typing import NamedTuple

from agent_memory.embeddings.comparable import Comparable
from agent_memory.embeddings.scales import Scales
from agent_memory.repositories.following import View
from agent_memory.repositories.moves import Agent
from agent_memory.repositories.querying import agents_of
from agent_memory.retrieval.agent_features import AgentFeatures
from agent_memory.retrieval.feature_cache import FeatureCache
from agent_memory.retrieval.near_candidates import Candidate, Rounded
from agent_memory.retrieval.recall import fetch
from agent_memory.retrieval.state_vectors import StateVectors
from agent_memory.tiers.expiry import TierReader
from agent_memory.values.entry import EntryKey, Tier
from agent_memory.values.ordering import DESCENDING, ORDERED_BY, SORT_KEYS
from agent_memory.values.pages import hits_of
from agent_memory.values.query import Hit, Order, Query, agent_of, run_of

_ATTEMPTS = 3
_FEW = 100
"""How many entries are read though something may have changed, and they be read again."""

_MOST_TIED = 64  # entries that a code has rounded to the same, whose vectors are looked at

_Among = dict[Agent, dict[Tier, set[str]]]


def owners_of(tiers: Sequence[TierReader], query: Query) -> list[Agent]:
    """Whom a query is about, sorted: those that it names, else those that have entries."""
    if query.is_about_one_agent:
        return [(run_of(query), agent_of(query))]
    runs = query.runs
    if runs is None:
        runs = tuple(sorted({run_id for tier in tiers for run_id in tier.runs()}))
    return [
        (run_id, agent_id)
        for run_id in runs
        for agent_id in (agents_of(tiers, run_id) if query.agents is None else query.agents)
    ]


def each_agent(
    tiers: Sequence[TierReader], query: Query, ask: Callable[[Query], list[Hit]]
) -> list[Hit]:
    """Answer a query whose scores compare agent by agent, and give the best of all.

    Args:
        tiers: The tiers.
        query: What is asked.
        ask: Answers it for one agent.
    """
    if query.is_about_one_agent:
        return ask(query)
    hits = [hit for owner in owners_of(tiers, query) for hit in ask(query.of(*owner))]
    order = query.order or Order.NEWEST
    hits.sort(key=lambda hit: SORT_KEYS[order](hit.entry), reverse=order in DESCENDING)
    hits.sort(key=lambda hit: (hit.score is None, -(hit.score or 0.0)))
    return hits[: query.limit]


def near_state(
    features: FeatureCache,
    tiers: Sequence[TierReader],
    query: Query,
    asked: Comparable,
    rounded: Rounded,
    vectors: StateVectors,
) -> list[Hit]:
    """Answer a query by similarity to a state.

    Args:
        features: Keeps what is compared.
        tiers: The tiers, richest first.
        query: What is asked; its limit keeps the nearest.
        asked: The state.
        rounded: Rounds the state as a code has rounded contents.
        vectors: Those of the state, which distinguish entries that were rounded to the same.
    """
    if query.limit == 0:
        return []
    chosen: list[_Chosen] = []
    hits = _as_seen(features, tiers, query, asked, rounded)
    if hits is not None:
        return hits
    for _ in range(_ATTEMPTS):
        ordered = _chosen(features, tiers, query, asked, rounded)
        chosen = _own_first(tiers, ordered, vectors)[: query.limit]
        hits = _read(tiers, chosen)
        if hits is not None:
            break
    features.make_room()
    if hits is None:
        # Others change entries faster than they can be read: those that stay are right.
        hits = [hit for one in chosen for hit in _read(tiers, [one]) or ()]
    return hits


def lists_of(
    features: FeatureCache, tiers: Sequence[TierReader], query: Query, length: int
) -> list[str]:
    """The paths under which entries hold lists of so many elements, sorted."""
    found: set[str] = set()

    def look(agents: list[AgentFeatures]) -> None:
        for agent in agents:
            agent.refresh(tiers)
            found.update(agent.lists_of(length))

    for owner in owners_of(tiers, query):
        features.using([owner], look)
    return sorted(found)


class _Chosen(NamedTuple):
    """An entry that may be given, and whose it is."""

    owner: Agent
    candidate: Candidate

    @property
    def key(self) -> EntryKey:
        """The entry's key."""
        return EntryKey(*self.owner, self.candidate.stored.memory_id)


def _chosen(
    features: FeatureCache,
    tiers: Sequence[TierReader],
    query: Query,
    asked: Comparable,
    rounded: Rounded,
) -> list[_Chosen]:
    """The nearest entries of each agent, those that are as far as the last too, in their order."""
    owners = owners_of(tiers, query)

    def choose(agents: list[AgentFeatures]) -> list[_Chosen]:
        for agent in agents:
            agent.refresh(tiers)
        found: list[_Chosen] = []
        scales = AgentFeatures.joint_scales(agents)
        among = _answering(tiers, query) if query.attributes else None
        for owner, agent, units in zip(owners, agents, scales, strict=True):
            those = None if among is None else among.get(owner, {})
            found += _near_of(agent, owner, tiers, query, asked, rounded, those, units)
        return found

    return _ordered(features.using(owners, choose), query.order)


def _own_first(
    tiers: Sequence[TierReader],
    ordered: Sequence[_Chosen],
    vectors: StateVectors,
) -> list[_Chosen]:
    """The same, but of entries that were rounded to the same those with the state's vector first.

    Only the first ``_MOST_TIED`` of them are looked at, and none where the state is there exactly.
    """
    tied = _tied(ordered)
    if len(tied) <= 1:
        return [*ordered]
    stored = {hit.entry.key: hit.entry for hit in fetch(tiers, [one.key for one in tied])}
    off = {key: vectors.off(entry) for key, entry in stored.items()}
    tied.sort(key=lambda one: off.get(one.key, inf))
    return [*tied, *ordered[len(tied) :]]


def _tied(ordered: Sequence[_Chosen]) -> list[_Chosen]:
    """The first candidates, as far as a code would round the asked state to each of them."""
    first = takewhile(lambda one: one.candidate.rank.is_rounded_to_it, ordered)
    return [*islice(first, _MOST_TIED)]


def _near_of(
    agent: AgentFeatures,
    owner: Agent,
    tiers: Sequence[TierReader],
    query: Query,
    asked: Comparable,
    rounded: Rounded,
    among: Mapping[Tier, Collection[str]] | None = None,
    units: Scales | None = None,
) -> list[_Chosen]:
    """The nearest entries of an agent, as its features are."""
    own = query.of(*owner)
    queries = {tier.tier: tier.visible(own) for tier in tiers}
    near = agent.nearest(queries, asked, query.limit, among, rounded, units)
    return [_Chosen(owner, one) for one in near]


def _as_seen(
    features: FeatureCache,
    tiers: Sequence[TierReader],
    query: Query,
    asked: Comparable,
    rounded: Rounded,
) -> list[Hit] | None:
    """The answer for one agent if nothing has changed since the last one; else None.

    That is asked where the entries are read, in the same request.
    """
    limit = query.limit
    if not query.is_about_one_agent or query.attributes or limit is None or limit > _FEW:
        return None
    owner = (run_of(query), agent_of(query))

    def choose(agents: list[AgentFeatures]) -> tuple[list[_Chosen], list[View] | None]:
        (agent,) = agents
        if agent.views(tiers, []) is None:
            return [], None
        found = _ordered(_near_of(agent, owner, tiers, query, asked, rounded), query.order)
        if len(_tied(found)) > 1:
            return [], None  # their vectors are to be read too
        return found[:limit], agent.views(tiers, [one.candidate for one in found[:limit]])

    chosen, views = features.using([owner], choose)
    if views is None:
        return None
    found: dict[EntryKey, Hit] = {}
    # From the top down, as entries move: so that each is seen at least once.
    for first, some in ((0, tiers[:2]), (2, tiers[2:])):
        if not some:
            continue
        above, *below = some
        answers = above.read_as_seen(*owner, views[first : first + len(some)], *below)
        if answers is None:
            return None
        for tier, entries in zip(some, answers, strict=True):
            found |= {hit.entry.key: hit for hit in hits_of(entries, tier.tier)}
    return _scored(chosen, found)


def _answering(tiers: Sequence[TierReader], query: Query) -> _Among:
    """The ids of the entries that meet conditions on contents, by agent and tier."""
    asked = replace(query, limit=None)
    found: _Among = {}
    for tier in tiers:
        for entry in tier.find(asked):
            of_owner = found.setdefault(entry.key[:2], {})
            of_owner.setdefault(tier.tier, set()).add(entry.memory_id)
    return found


def _ordered(found: Iterable[_Chosen], order: Order | None) -> list[_Chosen]:
    """Candidates by distance; equals in an order, without one the newest first."""
    chosen = order or Order.NEWEST
    by = ORDERED_BY[chosen]
    ranked = sorted(
        found,
        key=lambda one: (
            *(one.candidate.stored.fields[by], one.candidate.stored.memory_id),
            *one.owner,
        ),
        reverse=chosen in DESCENDING,
    )
    ranked.sort(key=lambda one: one.candidate.rank)
    return ranked


def _read(tiers: Sequence[TierReader], chosen: Sequence[_Chosen]) -> list[Hit] | None:
    """The entries of candidates with their scores; None where one has changed or gone since."""
    by_tier: dict[Tier, list[EntryKey]] = {}
    for one in chosen:
        by_tier.setdefault(one.candidate.tier, []).append(one.key)
    found = {
        hit.entry.key: hit
        for tier in tiers
        if tier.tier in by_tier
        for hit in hits_of(tier.get_many(by_tier[tier.tier]), tier.tier)
    }
    moved = [one.key for one in chosen if one.key not in found]
    found |= {hit.entry.key: hit for hit in fetch(tiers, moved)} if moved else {}
    return _scored(chosen, found)


def _scored(chosen: Sequence[_Chosen], found: Mapping[EntryKey, Hit]) -> list[Hit] | None:
    """What was found of candidates with their scores; None where one has changed or gone."""
    hits = []
    for one in chosen:
        hit = found.get(one.key)
        if hit is None or hit.entry.revision != one.candidate.stored.revision:
            return None
        hits.append(Hit(hit.entry, hit.tier, 1.0 / (1.0 + one.candidate.rank[0])))
    return hits
