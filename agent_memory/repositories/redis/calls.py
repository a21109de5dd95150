"""Calls of scripts for many entries: one for each agent, of a bounded number of entries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from agent_memory.errors import EntryConflict, StoreUnavailable
from agent_memory.repositories.redis.keys import Agent
from agent_memory.values.entry import EntryKey

AT_ONCE = 500
"""How many entries one call is about: the server does nothing else meanwhile."""

_T = TypeVar("_T")

Group = tuple[Agent, Sequence[int]]
"""An agent, and the places of its entries among all that were given."""


def by_agent(keys: Sequence[EntryKey]) -> list[Group]:
    """The places of the keys by agent, at most ``AT_ONCE`` in a group."""
    places_of: dict[Agent, list[int]] = {}
    for place, key in enumerate(keys):
        places_of.setdefault(Agent(key.run_id, key.agent_id), []).append(place)
    return [
        (agent, places[first : first + AT_ONCE])
        for agent, places in places_of.items()
        for first in range(0, len(places), AT_ONCE)
    ]


def in_order(groups: Sequence[Group], replies: Sequence[Sequence[int]]) -> list[int]:
    """Put the answers to the calls of groups back in the order in which the entries were given.

    Raises:
        StoreUnavailable: There are not as many answers as entries.
    """
    outcome = [0] * sum(len(places) for _, places in groups)
    for (_, places), reply in zip(groups, replies, strict=True):
        if len(reply) != len(places):
            raise StoreUnavailable("the Redis server answers for other entries than asked")
        for place, code in zip(places, reply, strict=True):
            outcome[place] = code
    return outcome


def flat(groups: Iterable[Iterable[Any]]) -> list[Any]:
    """The values of all groups, one after the other."""
    return [value for group in groups for value in group]


def left_of(given: Sequence[_T], stored: Sequence[bool]) -> list[_T]:
    """What is given of entries that are not stored."""
    return [one for one, is_stored in zip(given, stored, strict=True) if not is_stored]


def parts(keys: Sequence[EntryKey]) -> Iterator[Sequence[EntryKey]]:
    """The keys, at most ``AT_ONCE`` at a time."""
    for first in range(0, len(keys), AT_ONCE):
        yield keys[first : first + AT_ONCE]


def conflict(memory_id: str, revision: int | None) -> EntryConflict:
    """What to raise of an entry whose revision is another than its caller has seen."""
    return EntryConflict(
        f"entry {memory_id} no longer has revision {revision}; read it again and redo the change"
    )
