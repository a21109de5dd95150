"""Answers what lies behind a place in the order of a query: the next page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from math import inf, nextafter
from typing import Any

from agent_memory.retrieval.recall import fetch, recall
from agent_memory.tiers.expiry import TierReader
from agent_memory.values.attributes import meets
from agent_memory.values.entry import EntryKey
from agent_memory.values.ordering import DESCENDING, ORDERED_BY
from agent_memory.values.pages import Place, is_behind
from agent_memory.values.query import RANGES, Hit, Query

_RANGE_OF = {field: name for name, field in RANGES.items()}
_READ_AT_ONCE = 100


def page(tiers: Sequence[TierReader], query: Query, place: Place) -> list[Hit]:
    """Answer a query from all tiers with what comes after a place in its order.

    Args:
        tiers: The tiers, richest first.
        query: What is asked; it names its runs. Its limit counts from the place on.
        place: Where the page before has ended.
    """
    rest = _from(query, place.value)
    if rest is None or query.limit == 0:
        return []
    if query.limit is None:
        return [hit for hit in recall(tiers, rest) if is_behind(query, hit, place)]
    # Nearly always one entry alone is at the place itself, so that one more is enough.
    found = recall(tiers, replace(rest, limit=query.limit + 1))
    behind = [hit for hit in found if is_behind(query, hit, place)]
    if len(behind) >= query.limit or (behind and len(found) <= query.limit):
        return behind[: query.limit]
    equals = _equals(tiers, query, place)
    more, further = query.limit - len(equals), _from(query, _beyond(query, place.value))
    if more <= 0 or further is None:
        return equals
    return equals + recall(tiers, replace(further, limit=more))


def _equals(tiers: Sequence[TierReader], query: Query, place: Place) -> list[Hit]:
    """What comes after a place and has the same value, as steps of many agents do.

    However many there are, their keys alone are listed, and as many are read as are wanted.
    """
    listed = replace(_at(query, place.value), attributes={}, limit=None)
    keys = {key for tier in tiers for key in tier.keys_answering(listed)}
    down, mark = query.sorting in DESCENDING, (place.memory_id, place.run_id, place.agent_id)
    ranked = sorted(((key.memory_id, key.run_id, key.agent_id), key) for key in keys)
    behind = [key for rank, key in ranked if (rank < mark if down else rank > mark)]
    return [*islice(_answering(tiers, query, behind[::-1] if down else behind), query.limit)]


def _answering(tiers: Sequence[TierReader], query: Query, keys: Sequence[EntryKey]) -> Any:
    """Those of some entries that answer a query, read some at a time."""
    at_once = max(_READ_AT_ONCE if query.attributes else 0, min(query.limit or 1, _READ_AT_ONCE))
    for first in range(0, len(keys), at_once):
        for hit in fetch(tiers, keys[first : first + at_once]):
            # The copy below of an entry that moves may answer where the entry does not.
            if query.admits(hit.entry) and meets(hit.entry.contents, query.attributes):
                yield hit


def _from(query: Query, value: float) -> Query | None:
    """The query of what comes at a value of its order or later; None where nothing can."""
    name = _RANGE_OF[ORDERED_BY[query.sorting]]
    first, last = getattr(query, name) or (None, None)
    if query.sorting in DESCENDING:
        last = value if last is None else min(last, value)
    else:
        first = value if first is None else max(first, value)
    if (first is not None and last is not None and first > last) or last == -inf or first == inf:
        return None
    bounds: Any = {name: (first, last)}
    return None if name == "steps" and last is not None and last < 0 else replace(query, **bounds)


def _at(query: Query, value: float) -> Query:
    bounds: Any = {_RANGE_OF[ORDERED_BY[query.sorting]]: (value, value)}
    return replace(query, **bounds)


def _beyond(query: Query, value: float) -> float:
    """The next value of a query's order."""
    down = query.sorting in DESCENDING
    if _RANGE_OF[ORDERED_BY[query.sorting]] == "steps":
        return value - 1 if down else value + 1
    return nextafter(value, -inf if down else inf)
