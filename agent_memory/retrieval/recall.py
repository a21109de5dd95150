"""Asks every tier, from the top down, and gives each entry once.

A move writes below before it removes above, so that an entry on its way is seen at least once;
of two copies the richer tier's is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf

from agent_memory.tiers.expiry import TierReader
from agent_memory.values.checks import MAX_STEP
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.ordering import DESCENDING, ORDERED_BY, SORT_KEYS
from agent_memory.values.pages import hits_of
from agent_memory.values.query import RANGES, Hit, Order, Query, agent_of, bounded, run_of

_RANGE_OF = {field: name for name, field in RANGES.items()}
_Answer = tuple[TierReader, Sequence[MemoryEntry]]


def recall(tiers: Sequence[TierReader], query: Query) -> list[Hit]:
    """Answer a query from all tiers.

    Args:
        tiers: The tiers, richest first.
        query: What is asked; it names its run.

    Returns:
        The entries in the query's order, each with the richest tier that holds it.
    """
    hits = _richest(tiers, query)
    if query.can_change_its_answer and _stale(tiers, query, hits):
        # Others take their places.
        hits = _richest(tiers, replace(query, limit=None))
        stale = _stale(tiers, query, hits)
        hits = [hit for hit in hits if hit.entry.key not in stale]
    return hits if query.limit is None else hits[: query.limit]


def count(tiers: Sequence[TierReader], query: Query) -> int:
    """How many entries answer a query, each counted once; those without conditions are not read.

    Args:
        tiers: The tiers, richest first.
        query: What is asked; it names its runs.
    """
    there = _number_of_all(tiers, query)
    if there is None:
        found: dict[EntryKey, Tier] = {}
        for tier in tiers:
            for key in tier.keys_answering(replace(query, limit=None)):
                found.setdefault(key, tier.tier)
        there = len(found) - len(left_behind(tiers, query, found))
    return there if query.limit is None else min(there, query.limit)


def _number_of_all(tiers: Sequence[TierReader], query: Query) -> int | None:
    """How many entries an agent has, those of the last tier as it counts them, not one by one.

    Returns:
        None where something else is asked, or an entry may have moved meanwhile.
    """
    *above, last = tiers
    whole = Query(run_id=query.run_id, agent_id=query.agent_id, order=query.order)
    if not above or not query.is_about_one_agent or replace(query, limit=None) != whole:
        return None
    keys = [tier.keys_answering(whole) for tier in above]
    met = {key for each in keys for key in each}
    below = last.count(run_of(query), agent_of(query)) - len(last.get_many([*met]))
    if any(tier.moves.open() for tier in above):
        return None
    if keys != [tier.keys_answering(whole) for tier in above]:
        return None
    return len(met) + below


def fetch(tiers: Sequence[TierReader], keys: Sequence[EntryKey]) -> list[Hit]:
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


def _stale(tiers: Sequence[TierReader], query: Query, hits: Sequence[Hit]) -> set[EntryKey]:
    return left_behind(tiers, query, {hit.entry.key: hit.tier for hit in hits})


def left_behind(
    tiers: Sequence[TierReader], query: Query, found: Mapping[EntryKey, Tier]
) -> set[EntryKey]:
    """Entries that answer a query by a copy which a move left below when it was killed.

    The entry above may have changed since, and not answer any more. Only then is it not found
    above, so that the copy is met.

    Args:
        tiers: The tiers, richest first.
        query: What is asked.
        found: Where each entry that answers was found.
    """
    if not query.can_change_its_answer:
        return set()
    stale: set[EntryKey] = set()
    for place, above in enumerate(tiers[:-1]):
        below = {tier.tier for tier in tiers[place + 1 :]}
        keys = [key for key, tier in found.items() if tier in below]
        if keys and above.moves.open():
            stale |= {entry.key for entry in above.get_many(keys)}
    return stale


def _richest(tiers: Sequence[TierReader], query: Query) -> list[Hit]:
    """What the tiers answer, each entry once, in the query's order."""
    given = [answer for answer in _answers(tiers, query) if answer[1]]
    if len(given) == 1:  # no copy can be met, and keys and sorting take a third of the time
        [(repository, entries)] = given
        return hits_of(entries, repository.tier)
    found: dict[EntryKey, Hit] = {}
    for repository, entries in given:
        for hit in hits_of(entries, repository.tier):
            found.setdefault(hit.entry.key, hit)
    is_short = len(found) < sum(len(entries) for _, entries in given)
    if is_short and query.limit is not None and query.sorting is Order.IMPORTANCE:
        # By the importance of a copy below, which may be another one, it has kept others out.
        return _richest(tiers, replace(query, limit=None))
    sort_key, down = SORT_KEYS[query.sorting], query.sorting in DESCENDING
    return sorted(found.values(), key=lambda hit: sort_key(hit.entry), reverse=down)


def _answers(tiers: Sequence[TierReader], query: Query) -> list[_Answer]:
    """What each tier answers, those that come after all that are asked for left out."""
    together = tiers[0].find_with(query, tiers[1]) if len(tiers) > 1 else None
    answers: list[_Answer] = [] if together is None else [*zip(tiers, together, strict=False)]
    for tier in tiers[len(answers) :]:
        answers.append((tier, tier.find(what_is_left(query, answers))))
    return answers


def what_is_left(query: Query, answers: Sequence[_Answer]) -> Query:
    """A query without what comes after all entries that it asks for.

    A lower tier would read as many entries as are asked for, nearly always for nothing.
    """
    full = [entries[-1] for _, entries in answers if entries and len(entries) == query.limit]
    field = ORDERED_BY[query.sorting]
    name = _RANGE_OF[field]
    if not full or query.can_change_its_answer:
        return query
    first, last = getattr(query, name) or ((0, MAX_STEP) if name == "steps" else (-inf, inf))
    ends = [getattr(entry, field) for entry in full]
    if query.sorting in DESCENDING:
        return bounded(query, **{name: (max(first, *ends), last)})
    return bounded(query, **{name: (first, min(last, *ends))})
