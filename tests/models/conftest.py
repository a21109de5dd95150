"""Fixtures of servers with a query engine, one of Valkey and one of Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.embedded.server import server_binary
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.clients import open_redis
from agent_memory.repositories.redis.repository import ImRepository, StmRepository
from agent_memory.repositories.redis.tier_search import TierSearch
from tests import engines
from tests.models import servers

STM, IM = "agent_memory:stm", "agent_memory:im"
WIDTH = 8


# The query engine is the same module in both.
@pytest.fixture(scope="session", params=engines.parameters([*servers.PROGRAMS], ["valkey"]))
def search_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a server with a query engine."""
    try:
        with servers.server(servers.PROGRAMS[request.param](), modules=True) as url:
            yield url
    except servers.NotInstalled as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def plain_url() -> Iterator[str]:
    """The URL of a server without one."""
    with servers.server(server_binary(), modules=False) as url:
        yield url


@pytest.fixture
def client(search_url: str) -> Iterator[redis.Redis]:
    """A client of the server with a query engine, which is empty and has no index."""
    client = open_redis(search_url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def channel(client: redis.Redis) -> RedisChannel:
    return RedisChannel(client, "the server of this test")


@pytest.fixture
def stm(channel: RedisChannel) -> StmRepository:
    return StmRepository(channel, ContentsCodec(), namespace=STM)


@pytest.fixture
def im(channel: RedisChannel) -> ImRepository:
    return ImRepository(channel, ContentsCodec(), namespace=IM)


@pytest.fixture
def search(channel: RedisChannel) -> TierSearch:
    return TierSearch(channel, STM, WIDTH)
