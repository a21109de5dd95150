"""Channels to the server of a client that somebody else has opened."""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.clients import CONNECT_TIMEOUT, REPLY_TIMEOUT, client_like
from agent_memory.connections.redis.reading import BoundedParser
from agent_memory.errors import ConfigError


def channel_of(client: Any) -> RedisChannel:
    """A channel to the server of somebody's client, with connections of its own.

    Args:
        client: Of redis-py or fakeredis, whatever it decodes; it stays as it is.

    Raises:
        ConfigError: It is no such client.
    """
    if not isinstance(client, redis.Redis):
        raise ConfigError("redis_client: a client of redis-py or fakeredis is needed")
    pool: Any = client.connection_pool
    kind = pool.connection_class
    is_fake = kind.__module__.partition(".")[0] == "fakeredis"
    # Without what protocol 3 alone has, whose handlers hang on the client's own pool.
    options = {
        name: value
        for name, value in pool.connection_kwargs.items()
        if not name.startswith(("maint_notifications", "oss_cluster_maint"))
    }
    options |= {"decode_responses": False, "protocol": 2}
    if not is_fake:
        options |= {"parser_class": BoundedParser, "retry": Retry(NoBackoff(), 0)}
        # Whoever has none would wait for a silent server for ever.
        for name, usual in (
            ("socket_timeout", REPLY_TIMEOUT),
            ("socket_connect_timeout", CONNECT_TIMEOUT),
        ):
            options[name] = options.get(name) or usual
    place = options.get("path") or f"{options.get('host')}:{options.get('port')}"
    where = "the fake server" if is_fake else f"the Redis server at {place}"
    return RedisChannel(client_like(kind, options), where, in_process=is_fake)
