from __future__ import annotations

import pytest
import redis
from sqlalchemy import Engine

from agent_memory.compression import ContentsCodec
from agent_memory.connections_redis import RedisChannel
from agent_memory.entry import Tier
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.repositories.redis import ImRepository, StmRepository
from agent_memory.repositories.sql import LtmRepository
from agent_memory.testing import LongTermContract, RepositoryContract


class TestInMemory(LongTermContract):
    @pytest.fixture(params=Tier, ids=lambda tier: tier.name)
    def repository(self, request: pytest.FixtureRequest) -> InMemoryRepository:
        return InMemoryRepository(request.param)


@pytest.fixture
def channel(redis_client: redis.Redis) -> RedisChannel:
    return RedisChannel(redis_client, "the server of this test")


@pytest.fixture
def im(channel: RedisChannel) -> ImRepository:
    return ImRepository(channel, ContentsCodec(), namespace="agent_memory:im")


class TestShortTerm(RepositoryContract):
    @pytest.fixture
    def repository(self, channel: RedisChannel) -> StmRepository:
        return StmRepository(channel, ContentsCodec(), namespace="agent_memory:stm")

    @pytest.fixture
    def next_tier(self, im: ImRepository) -> ImRepository:
        return im


class TestIntermediate(RepositoryContract):
    @pytest.fixture
    def repository(self, im: ImRepository) -> ImRepository:
        return im


class TestLongTerm(LongTermContract):
    @pytest.fixture
    def repository(self, ltm_engine: Engine) -> LtmRepository:
        return LtmRepository(ltm_engine, ContentsCodec())
