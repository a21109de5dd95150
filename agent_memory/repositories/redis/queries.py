"""Finds what answers queries about many agents in one request, by their indexes alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.models.redis import memory_id_of
from agent_memory.repositories.querying import agent_of, run_of
from agent_memory.repositories.redis.keys import KeySpace
from agent_memory.repositories.redis.sorted_sets import chosen, in_the_way, lookups
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.query import Order, Query


def keys_answering(
    channel: RedisChannel, key_space: KeySpace, queries: Sequence[Query]
) -> list[list[EntryKey]]:
    """The keys of the entries that answer each of some queries, in the query's order.

    Args:
        channel: The server.
        key_space: The tier's keys.
        queries: What is asked, without conditions on attributes.
    """
    replies = _ask(channel, key_space, queries, [0] * len(queries))
    more = [in_the_way(reply, query) for reply, query in zip(replies, queries, strict=True)]
    if any(more):
        short = [place for place, number in enumerate(more) if number]
        again = _ask(
            channel,
            key_space,
            [queries[place] for place in short],
            [more[place] for place in short],
        )
        for place, reply in zip(short, again, strict=True):
            replies[place] = reply
    return [
        _keys(query, chosen(reply, query)) if reply else []
        for query, reply in zip(queries, replies, strict=True)
    ]


def _keys(query: Query, names: Iterable[bytes]) -> list[EntryKey]:
    run_id, agent_id = run_of(query), agent_of(query)
    return [EntryKey(run_id, agent_id, memory_id_of(name)) for name in names]


def entries_answering(
    channel: RedisChannel,
    key_space: KeySpace,
    queries: Sequence[Query],
    read: Callable[[Sequence[EntryKey]], list[MemoryEntry]],
) -> list[list[MemoryEntry]]:
    """The entries that answer each of some queries, in the query's order.

    Args:
        channel: The server.
        key_space: The tier's keys.
        queries: What is asked, without conditions on attributes.
        read: Gives the entries of some keys.
    """
    keys = keys_answering(channel, key_space, queries)
    entries = {entry.key: entry for entry in read([key for each in keys for key in each])}
    return [[entries[key] for key in each if key in entries] for each in keys]


def _ask(
    channel: RedisChannel, key_space: KeySpace, queries: Sequence[Query], more: Sequence[int]
) -> list[list[Sequence[bytes]]]:
    """What the indexes say to each query; nothing where nothing is wanted."""
    asked = [
        [] if query.limit == 0 else lookups(_prefix(key_space, query), query, more=number)
        for query, number in zip(queries, more, strict=True)
    ]
    replies = iter(channel.call_all([command for commands in asked for command in commands]))
    return [[next(replies) for _ in commands] for commands in asked]


def all_keys(
    channel: RedisChannel, key_space: KeySpace, agents: Iterable[tuple[str, str]]
) -> list[EntryKey]:
    """The keys of all entries of some agents of any runs, agent by agent and by step."""
    queries = [
        Query(run_id=run_id, agent_id=agent_id, order=Order.STEP)
        for run_id, agent_id in dict.fromkeys(agents)
    ]
    return [key for keys in keys_answering(channel, key_space, queries) for key in keys]


def _prefix(key_space: KeySpace, query: Query) -> str:
    return key_space.prefix(run_of(query), agent_of(query))
