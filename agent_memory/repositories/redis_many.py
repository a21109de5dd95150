"""Finds the keys of many agents' entries in one request, by their indexes alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent_memory.connections.redis import RedisChannel
from agent_memory.entry import EntryKey, Order, Query
from agent_memory.models.redis import agent_prefix, memory_id_of
from agent_memory.repositories.base import run_of
from agent_memory.repositories.redis_indexes import chosen, lookups


def keys_answering(
    channel: RedisChannel, namespace: str, queries: Sequence[Query]
) -> list[list[EntryKey]]:
    """The keys of the entries that answer each of some queries, in the query's order.

    Args:
        channel: The server.
        namespace: What every key begins with.
        queries: What is asked, without conditions on attributes.
    """
    asked = [
        [] if query.limit == 0 else lookups(_prefix(namespace, query), query) for query in queries
    ]
    replies = iter(channel.call_all([command for commands in asked for command in commands]))
    found = []
    for query, commands in zip(queries, asked, strict=True):
        told = [next(replies) for _ in commands]
        names = chosen(told, query.limit) if told else []
        found.append(
            [EntryKey(run_of(query), query.agent_id, memory_id_of(name)) for name in names]
        )
    return found


def all_keys(
    channel: RedisChannel, namespace: str, run_id: str, agents: Iterable[str]
) -> list[EntryKey]:
    """The keys of all entries of some agents in a run, agent by agent and by step."""
    queries = [
        Query(run_id=run_id, agent_id=agent_id, order=Order.STEP)
        for agent_id in dict.fromkeys(agents)
    ]
    return [key for keys in keys_answering(channel, namespace, queries) for key in keys]


def _prefix(namespace: str, query: Query) -> str:
    return agent_prefix(namespace, run_of(query), query.agent_id)
