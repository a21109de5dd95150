"""Opens the channel to what a URL names: a server, the primary of Sentinels, or a cluster."""

from __future__ import annotations

from agent_memory.connections.circuit_breaker import CircuitBreaker
from agent_memory.connections.confirmation import Confirmation
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.clients import cluster_places, describe, open_redis
from agent_memory.connections.redis.cluster_channel import ClusterChannel
from agent_memory.values.urls import names_cluster


def open_channel(
    url: str,
    db: int,
    *,
    breaker: CircuitBreaker | None = None,
    confirmation: Confirmation | None = None,
) -> RedisChannel:
    """Open a channel; nothing is sent yet.

    Args:
        url: The URL.
        db: Database to use, unless the URL names one.
        breaker: Of the server, shared by all its channels; None: one of its own.
        confirmation: What replicas are asked before what is written counts as stored.

    Raises:
        ConfigError: The URL cannot be read, or has an option that a memory is not served with.
    """
    client = open_redis(url, db)
    if names_cluster(url):
        return ClusterChannel(
            client,
            describe(url),
            cluster_places(url),
            breaker=breaker,
            confirmation=confirmation,
        )
    return RedisChannel(client, describe(url), breaker=breaker, confirmation=confirmation)
