"""What is seen of each engine, against what the engine itself does when asked."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from urllib.parse import quote

import fakeredis
import pytest
import redis

from agent_memory import AgentMemorySystem, QueryEngineMissing
from agent_memory.connections.redis.channel import RedisChannel
from tests import engines


@pytest.fixture
def channel(redis_client: redis.Redis) -> RedisChannel:
    in_process = isinstance(redis_client, fakeredis.FakeRedis)
    return RedisChannel(redis_client, "the server of this test", in_process=in_process)


def makes_indexes(client: redis.Redis) -> bool:
    try:
        engines.call(client, "FT.CREATE", "probed", "SCHEMA", "colony", "TAG")
    except redis.ResponseError:
        return False
    engines.call(client, "FT.DROPINDEX", "probed")
    return True


def test_query_engine_is_seen_where_and_only_where_an_index_can_be_made(
    channel: RedisChannel, redis_client: redis.Redis, request: pytest.FixtureRequest
) -> None:
    assert channel.engine.has_query_engine == makes_indexes(redis_client)
    parameter = request.node.callspec.params["redis_client"]
    assert channel.engine.has_query_engine == (parameter in engines.WITH_MODULES)


def test_name_version_and_modules_are_the_servers_own(
    channel: RedisChannel, redis_client: redis.Redis, request: pytest.FixtureRequest
) -> None:
    parameter, engine = request.node.callspec.params["redis_client"], channel.engine
    name = {"fakeredis": "fakeredis", "redis+modules": "redis"}.get(parameter, "valkey")
    assert engine.name == name
    assert not engine.is_cluster
    if name == "fakeredis":
        assert (engine.kind, engine.version, engine.modules) == ("fake", "", ())
        return
    assert engine.version == redis_client.info("server")[f"{name}_version"]
    reported = {module[b"name"].decode() for module in redis_client.module_list()}
    assert {module.name for module in engine.modules} == reported
    versions = {module.name: module.version for module in engine.modules}
    if parameter in engines.WITH_MODULES:
        assert (versions["search"], versions["ReJSON"]) == ("2.10.5", "2.8.3")


def test_server_is_asked_once(channel: RedisChannel, redis_client: redis.Redis) -> None:
    first = channel.engine
    redis_client.ping()
    assert channel.engine is first


class TestSystem:
    @pytest.fixture
    def redis_url(self, tcp_port: int) -> str:
        engines.tcp_client(tcp_port).flushall()  # another test's folder is another memory
        return f"redis://:{quote(engines.PASSWORD, safe='')}@127.0.0.1:{tcp_port}"

    @pytest.mark.parametrize("search", [True, False])
    def test_embedded_memory_tells_whether_it_has_the_query_engine(
        self, tmp_path: Path, search: bool
    ) -> None:
        if search:
            engines.require_modules()
        with AgentMemorySystem({"path": tmp_path, "search": search}) as system:
            assert (system.redis_engine.kind, system.redis_engine.name) == ("embedded", "valkey")
            assert system.redis_engine.has_query_engine == search

    def test_a_server_of_ones_own_and_a_fake_one_are_told_apart(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        with AgentMemorySystem({"path": tmp_path, "redis_url": redis_url}) as system:
            assert system.redis_engine.kind == "redis"
        with AgentMemorySystem({"path": tmp_path, "engine": "fake"}) as system:
            assert system.redis_engine.kind == "fake"

    @pytest.mark.parametrize("engine", ["redis", "fake"])
    def test_query_engine_that_is_asked_for_and_not_there_is_refused(
        self, redis_url: str, tmp_path: Path, engine: str
    ) -> None:
        config = {"path": tmp_path, "engine": engine, "search": True}
        if engine == "redis":
            config["redis_url"] = redis_url
        with pytest.raises(QueryEngineMissing, match="Redis 8, Redis Stack") as refusal:
            AgentMemorySystem(config)
        assert engines.PASSWORD not in str(refusal.value)

    def test_a_server_started_anew_is_asked_anew(self, tmp_path: Path) -> None:
        with AgentMemorySystem({"path": tmp_path, "search": False}) as system:
            before = system.redis_engine
            info = system._resources.connections.stm.call("INFO", "server").decode()
            os.kill(int(info.partition("process_id:")[2].split()[0]), signal.SIGKILL)
            assert system.stm.count("default") == 0  # finds the connection lost, and heals it
            assert system.redis_engine == before
            assert system.redis_engine is not before
