"""How the answers of servers are read that no package brings: as recorded from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import redis

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.clients import open_redis
from agent_memory.connections.redis.engine import RedisEngine, ServerModule, probe
from agent_memory.errors import StoreUnavailable
from tests import engines

UNKNOWN = redis.ResponseError("unknown command `FT._LIST`, with args beginning with: ")
DENIED = redis.exceptions.NoPermissionError(
    "User default has no permissions to run the 'module|list' command"
)
SEARCH = [b"name", b"search", b"ver", 21005, b"path", b"/lib/redisearch.so", b"args", []]
NO_CLUSTER = b"# Cluster\r\ncluster_enabled:0\r\n"


def seen(*replies: Any) -> RedisEngine:
    def exchange(commands: Sequence[tuple[str, ...]]) -> Sequence[Any]:
        assert len(commands) == len(replies)
        return replies

    return probe("redis", exchange)


def test_redis_6_has_no_query_engine_and_is_called_redis() -> None:
    engine = seen(UNKNOWN, [], b"# Server\r\nredis_version:6.2.14\r\nos:Linux 6.18\r\n", NO_CLUSTER)
    assert engine == RedisEngine("redis", "redis", "6.2.14", (), False, False)
    assert str(engine) == "redis 6.2.14"


def test_valkey_is_called_by_its_own_version_and_not_the_one_it_is_compatible_with() -> None:
    server = b"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n"
    assert str(seen([], [SEARCH], server, NO_CLUSTER)) == "valkey 9.1.2 with search 2.10.5"


def test_node_of_a_cluster_is_seen() -> None:
    engine = seen(UNKNOWN, [], b"redis_version:8.2.3\r\n", b"# Cluster\r\ncluster_enabled:1\r\n")
    assert engine.is_cluster
    assert str(engine) == "redis 8.2.3, a node of a cluster"


def test_user_who_may_ask_nothing_gets_an_engine_without_a_query_engine() -> None:
    assert seen(DENIED, DENIED, DENIED, DENIED) == RedisEngine(
        "redis", "redis", "", (), False, False
    )


def test_user_who_may_not_list_modules_has_a_query_engine_all_the_same() -> None:
    engine = seen([], DENIED, b"redis_version:8.2.3\r\n", NO_CLUSTER)
    assert engine.has_query_engine
    assert engine.modules == ()


def test_module_of_a_vendor_who_counts_from_one_keeps_its_number() -> None:
    fields = [b"name", b"vectorset", b"ver", 1, b"path", b"", b"args", []]
    engine = seen([], [fields, SEARCH], b"redis_version:8.2.3\r\n", NO_CLUSTER)
    assert engine.modules == (ServerModule("search", "2.10.5"), ServerModule("vectorset", "1"))


def test_busy_server_is_not_taken_for_one_without_a_query_engine() -> None:
    busy = redis.ResponseError("BUSY Redis is busy running a script.")
    with pytest.raises(redis.ResponseError, match="BUSY"):
        seen(busy, busy, busy, busy)


def test_server_that_is_away_is_told_and_asked_again_later() -> None:
    channel = RedisChannel(open_redis(f"redis://127.0.0.1:{engines.free_port()}"), "the server")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="the server does not answer"):
            _ = channel.engine
    channel.close()
