"""Which sorted sets of an agent answer a query, and in which order their ids come."""

from __future__ import annotations

from collections.abc import Sequence

from agent_memory.connections.redis.commands import Command
from agent_memory.models.redis import SORTED_SETS
from agent_memory.models.redis_attributes import Lookup
from agent_memory.values.checks import MAX_STEP
from agent_memory.values.ordering import DESCENDING
from agent_memory.values.query import RANGES, Order, Query

_INDEX_OF_ORDER = {
    Order.OLDEST: "times",
    Order.NEWEST: "times",
    Order.STEP: "steps",
    Order.LATEST_STEP: "steps",
    Order.IMPORTANCE: "importance",
}
_INDEX_OF_FIELD = {
    index.score: index.name for index in SORTED_SETS if index.by is None and index.only is None
}
_RANGES = [(name, _INDEX_OF_FIELD[field]) for name, field in RANGES.items()]
_CATEGORIES = [
    (index.by, index.name, _INDEX_OF_FIELD[index.score])
    for index in SORTED_SETS
    if index.by is not None
]
_ALL = (float("-inf"), float("inf"))
_MOST = 2**62


def lookups(
    prefix: str, query: Query, attributes: Sequence[Lookup] = (), more: int = 0
) -> list[Command]:
    """The commands that read the ids a query needs.

    The first gives ids in the query's order; each further one gives ids of which the answer
    must be one, but for the last one of a query for what is not pinned: of its ids the answer is
    none. A sorted set breaks ties by member, which is the order of memory ids.

    Args:
        prefix: What all keys of the agent begin with.
        query: What is asked; its limit applies after the further ones.
        attributes: Indexes of declared attributes of which the entries must be too.
        more: How many ids beyond the query's limit to read; see ``in_the_way``.
    """
    ranges = {index: getattr(query, name) for name, index in _RANGES}
    leading = _INDEX_OF_ORDER[query.sorting]
    bounds = ranges.pop(leading)
    others = [(name, bounds_of) for name, bounds_of in ranges.items() if bounds_of is not None]
    for field, name, ordered_as in _CATEGORIES:
        value = getattr(query, field)
        if value is None:
            continue
        if leading == ordered_as:
            leading = f"{name}:{value}"  # which filters and orders at once
        else:
            others.append((f"{name}:{value}", _ALL))
    others += [(at, _ALL) if isinstance(at, str) else (at[0], at[1:]) for at in attributes]
    if query.pinned:
        others.append(("pinned", _ALL))
    limit = query.limit if not others else None
    if query.pinned is False:
        others.append(("pinned", _ALL))
        limit = None if limit is None else limit + more
    first = _range(prefix + leading, bounds, limit, descending=query.sorting in DESCENDING)
    return [first, *(_range(prefix + name, pair) for name, pair in others)]


def chosen(replies: Sequence[Sequence[bytes]], query: Query) -> list[bytes]:
    """The ids that answer a query: the first reply's, kept if they are in all others."""
    ids, *others = replies
    if query.pinned is False:
        *others, pinned = others
        if pinned:
            kept_out = set(pinned)
            ids = [memory_id for memory_id in ids if memory_id not in kept_out]
    if others:
        allowed = set(others[0]).intersection(*others[1:])
        ids = [memory_id for memory_id in ids if memory_id in allowed]
    return list(ids if query.limit is None else ids[: query.limit])


def in_the_way(replies: Sequence[Sequence[bytes]], query: Query) -> int:
    """How many ids more are to be read, because pinned ones took the place of others.

    So many that it is enough if all of them are among the first.
    """
    if query.pinned is not False or query.limit is None or len(replies) != 2:
        return 0
    ids, pinned = replies
    full = len(ids) == query.limit
    return len(pinned) if full and not set(pinned).isdisjoint(ids) else 0


def _range(
    key: str,
    bounds: tuple[float, float] | None,
    limit: int | None = None,
    *,
    descending: bool = False,
) -> Command:
    first, last = bounds or _ALL
    command = ("ZREVRANGEBYSCORE", key, _score(last), _score(first)) if descending else (
        "ZRANGEBYSCORE", key, _score(first), _score(last)
    )  # fmt: skip
    # The server counts in 64 bits.
    return command if limit is None else (*command, "LIMIT", 0, min(limit, _MOST))


def _score(bound: float) -> str:
    # Beyond what a step may be ints have no exact double, and some have none at all.
    if isinstance(bound, int) and abs(bound) > MAX_STEP:
        return "inf" if bound > 0 else "-inf"
    return repr(float(bound))
