"""Says by which sorted sets a question is answered, and how many entries they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.commands import Command
from agent_memory.repositories.access import Access
from agent_memory.repositories.redis.attributes import DeclaredAttributes
from agent_memory.repositories.redis.keys import Agent, KeySpace
from agent_memory.repositories.redis.sorted_sets import lookups
from agent_memory.values.query import Order, Query

_OPEN = ("-inf", "inf")


def access(
    channel: RedisChannel,
    key_space: KeySpace,
    query: Query,
    declared: DeclaredAttributes,
    owners: Sequence[Agent],
) -> Access:
    """How a tier on a server answers a question.

    Args:
        channel: The server.
        key_space: The tier's keys.
        query: What is asked.
        declared: The declared attributes.
        owners: Whom it is about.
    """
    if query.is_about_one_agent:
        attributes = declared.lookups(owners[0], query.attributes)
    else:
        attributes = declared.lookups_of_all(query.attributes)
    leading = query
    if not query.is_about_one_agent and query.limit is None:
        # As ``ManyAgents`` asks: by the index that tells most.
        order = Order.STEP if query.steps is not None else Order.OLDEST
        leading = replace(query, order=order)
    named = [*map(_named, lookups("", leading, attributes))]
    if query.pinned is False:
        named.pop()  # it takes away, and gives nothing
    commands: list[Command] = [
        ("ZCOUNT", key_space.prefix(*owner) + name, *bounds)
        for owner in owners
        for name, bounds in named
    ]
    numbers = iter(channel.call_all(commands))
    least = [min(int(next(numbers)) for _ in named) for _ in owners]
    (first, bounds), others = named[0], named[1:]
    narrowed = bounds != _OPEN or ":" in first
    words = [_worded(name, each) for name, each in (named if narrowed else others)]
    if words:
        way = f"sorted sets {', '.join(words)}"
    else:
        way = f"scan of {first}" if query.limit is None or query.attributes else f"first of {first}"
    expected = sum(least)
    if query.limit is not None and not query.attributes:
        expected = min(expected, query.limit)
    details = (f"{len(owners)} agents", *(f"{name} {' '.join(each)}" for name, each in named))
    return Access(way, expected, details)


def _named(command: Command) -> tuple[str, tuple[str, str]]:
    """The sorted set that a command reads, and from which score to which."""
    name, key, *bounds = command  # type: ignore[misc]  # a tuple, as ``lookups`` makes them
    first, last = map(str, bounds[:2])
    return str(key), ((last, first) if name == "ZREVRANGEBYSCORE" else (first, last))


def _worded(name: str, bounds: tuple[str, str]) -> str:
    return name if bounds == _OPEN else f"{name} {bounds[0]} to {bounds[1]}"
