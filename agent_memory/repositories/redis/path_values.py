"""The values at a path of many entries of a tier; nothing else is read or made of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from agent_memory.connections.redis.answers import values_of as answers_of
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.commands import KeyedCommand
from agent_memory.errors import EncodingError
from agent_memory.repositories.access import note_read
from agent_memory.repositories.codec import Codec
from agent_memory.repositories.reading import VALUES_AT_ONCE, EntryReader, ValueOf, values_of
from agent_memory.repositories.redis.keys import KeySpace
from agent_memory.repositories.redis.queries import keys_answering
from agent_memory.values.collecting import collection_paused
from agent_memory.values.query import Query

_FIELDS = ("memory_id", "step_number", "contents", "error_bounds")
_READ = KeyedCommand("HMGET", *_FIELDS, answers=answers_of(len(_FIELDS)))


class _Tier(EntryReader, Protocol):
    channel: RedisChannel
    key_space: KeySpace
    _codec: Codec


class ReadsValues:
    """The part of a tier that reads values at a path."""

    def values_at(self: _Tier, query: Query, path: str) -> list[ValueOf]:
        """The values at a path of the entries that answer a query about one agent of one run."""
        if query.attributes or not query.is_about_one_agent:
            return values_of(self.find(query), path)
        (keys,) = keys_answering(self.channel, self.key_space, [query])
        values: list[ValueOf] = []
        for first in range(0, len(keys), VALUES_AT_ONCE):
            some = keys[first : first + VALUES_AT_ONCE]
            with collection_paused():
                found = _read(self.channel, self._codec, self.key_space.names(some), path)
            values += values_of(self.get_many(some), path) if found is None else found
        return values


def _read(
    channel: RedisChannel, codec: Codec, names: Iterable[str], path: str
) -> list[ValueOf] | None:
    """The values at a path of the entries under some keys of hashes.

    Args:
        channel: The server.
        codec: Decodes contents.
        names: The keys; those that are not there are left out.
        path: As in ``values.paths``.

    Returns:
        None where one may be damaged, or has bounds of its own, which is seldom: whoever reads
        entries says which.
    """
    replies = channel.call_all([_READ(name) for name in names])
    there = [values for values in replies if any(values)]
    if not there:
        return []
    ids, steps, contents, bounds = zip(*there, strict=True)
    if {*bounds} != {None}:
        return None
    try:
        names_of, numbers = [*map(bytes.decode, ids)], [*map(int, steps)]
    except (TypeError, ValueError):
        return None
    if None in contents:
        return None
    found = codec.values_at(path, contents, numbers)
    note_read(len(there))
    values = [
        ValueOf(memory_id, step, one.value, one.bounds)
        for memory_id, step, one in zip(names_of, numbers, found, strict=True)
        if not isinstance(one, EncodingError)
    ]
    return values if len(values) == len(there) else None
