"""A server that may lose entries by its settings is told of once, or refused on request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from agent_memory import AgentMemorySystem, ConfigError, MemoryConfig, StoreUnavailable
from agent_memory.cli.doctor import findings
from agent_memory.cli.findings import State
from agent_memory.connections.deployment import REDIS_URL_VARIABLE, deployment
from agent_memory.connections.redis import risks
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.clients import open_redis
from agent_memory.connections.sql import open_engine
from agent_memory.repositories.sql import schema
from tests import engines

LIMIT = 1_000_000_000


@pytest.fixture
def client(tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """A server that keeps all that it is given, by its settings; none was told of yet."""
    monkeypatch.setattr(risks, "_told", set())
    with engines.tcp_client(tcp_port) as client:
        before = {
            name: client.config_get(name)[name] for name in ("appendonly", "maxmemory-policy")
        }
        client.flushall()
        client.config_set("appendonly", "yes")
        yield client
        client.config_set("maxmemory", 0)
        for name, value in before.items():
            client.config_set(name, value)
        client.flushall()


@pytest.fixture
def config(client: redis.Redis, tcp_port: int, tmp_path: Path) -> MemoryConfig:
    url = f"redis://:{quote(engines.PASSWORD, safe='')}@127.0.0.1:{tcp_port}"
    return MemoryConfig(redis_url=url, path=tmp_path, strict_server=True)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if "may lose entries" in record.message]


def as_it_is(config: MemoryConfig) -> MemoryConfig:
    return config.model_copy(update={"strict_server": False})


def test_a_server_that_keeps_all_is_taken(
    config: MemoryConfig, caplog: pytest.LogCaptureFixture
) -> None:
    with AgentMemorySystem(config) as memory:
        assert memory.store_agent_state("ant", {"step": 1}, 1)
    assert told(caplog) == []


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("maxmemory-policy", "allkeys-lru", "set 'maxmemory-policy noeviction'"),
        ("maxmemory-policy", "volatile-ttl", "set 'maxmemory-policy noeviction'"),
        ("appendonly", "no", "set 'appendonly yes'"),
    ],
)
def test_a_server_that_loses_entries_is_told_of_once_and_refused_when_asked(
    client: redis.Redis,
    config: MemoryConfig,
    caplog: pytest.LogCaptureFixture,
    setting: str,
    value: str,
    remedy: str,
) -> None:
    client.config_set("maxmemory", LIMIT)
    client.config_set(setting, value)
    with pytest.raises(ConfigError, match=f"strict_server: .*{remedy}"):
        AgentMemorySystem(config)
    for _ in range(2):
        with AgentMemorySystem(as_it_is(config)) as memory:
            assert memory.store_agent_state("ant", {"step": 1}, 1)
    (line,) = told(caplog)
    assert remedy in line
    assert engines.PASSWORD not in line


def test_a_server_that_is_nearly_full_is_told_of_and_taken(
    client: redis.Redis, config: MemoryConfig, caplog: pytest.LogCaptureFixture
) -> None:
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 1.05))
    AgentMemorySystem(config, upkeep=False).close()
    (line,) = told(caplog)
    assert "raise 'maxmemory', or set redis_max_bytes" in line


def test_a_replica_is_refused_with_the_name_of_its_primary(
    client: redis.Redis, config: MemoryConfig
) -> None:
    primary = engines.free_port()
    client.replicaof("127.0.0.1", str(primary))
    try:
        with pytest.raises(ConfigError, match=f"name its primary, 127.0.0.1:{primary}, in redis"):
            AgentMemorySystem(config)
    finally:
        client.replicaof("NO", "ONE")


@pytest.mark.parametrize(
    ("more", "arguments", "reason"),
    [
        ("cluster-enabled yes\n", [], "is a node of a cluster"),
        ("sentinel monitor ants 127.0.0.1 1 1\n", ["--sentinel"], "is a Sentinel"),
    ],
)
def test_what_is_no_single_server_is_refused_at_opening_and_by_the_doctor(
    more: str, arguments: list[str], reason: str, tmp_path: Path
) -> None:
    with engines.StoppableServer(tmp_path, more, *arguments) as server:
        config = MemoryConfig(redis_url=server.url, path=tmp_path / "memory")
        with pytest.raises(ConfigError, match=f"redis_url: .*{reason}"):
            AgentMemorySystem(config)
        (stores,) = [found for found in findings(config) if found.subject == "stores"]
        assert stores.state is State.BROKEN
        assert reason in stores.text


def test_commands_that_a_node_of_a_cluster_refuses_say_what_it_is(tmp_path: Path) -> None:
    with engines.StoppableServer(tmp_path, "cluster-enabled yes\n") as server:
        channel = RedisChannel(open_redis(server.url), "the server")
        with pytest.raises(StoreUnavailable, match=r"is a node of a cluster.*: begin redis"):
            channel.call("GET", "a")
        channel.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        with pytest.raises(StoreUnavailable, match="is a node of a cluster"):
            channel.call("EVAL", "return 1", 2, "a", "b")
        channel.close()


@pytest.mark.parametrize(
    ("scheme", "reason"),
    [
        ("cluster", r"write redis\+cluster://"),
        ("sentinel", r"write redis\+sentinel://"),
        ("Redis+Sentinel", r"write redis\+sentinel://"),
        ("valkey", "does not begin with redis://"),
    ],
)
def test_a_scheme_that_is_not_served_is_refused_with_the_reason(
    scheme: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{scheme}://ants:geheim@10.0.0.1:6379/service"
    with pytest.raises(ConfigError, match=reason) as in_code:
        MemoryConfig(redis_url=url)
    monkeypatch.setenv(REDIS_URL_VARIABLE, url)
    with pytest.raises(ConfigError, match=reason) as in_environment:
        deployment(MemoryConfig())
    for refusal in (in_code, in_environment):
        assert "geheim" not in str(refusal.value)


def test_the_doctor_finds_that_server_and_database_belong_to_others(
    client: redis.Redis, config: MemoryConfig, tmp_path: Path
) -> None:
    def identity(looked_at: MemoryConfig) -> tuple[State, str]:
        (found,) = [one for one in findings(looked_at) if one.subject == "identity"]
        return found.state, found.text

    assert identity(config) == (State.FINE, "recorded on first use")
    AgentMemorySystem(config).close()
    assert identity(config)[0] is State.FINE
    assert "belong together" in identity(config)[1]
    other = config.model_copy(update={"path": tmp_path / "other"})
    state, text = identity(other)
    assert state is State.BROKEN
    assert "belongs to the long-term memory in" in text
    client.flushall()
    AgentMemorySystem(other).close()
    state, text = identity(config)
    assert state is State.BROKEN
    assert "agent-memory rebind" in text


def test_the_doctor_finds_a_memory_in_the_same_index(
    redis_port_with_modules: int, tmp_path: Path
) -> None:
    url = f"redis://:{quote(engines.PASSWORD, safe='')}@127.0.0.1:{redis_port_with_modules}"
    with engines.tcp_client(redis_port_with_modules) as client:
        client.flushall()
        AgentMemorySystem(MemoryConfig(redis_url=url, path=tmp_path / "ants")).close()
        beside = MemoryConfig(redis_url=f"{url}/1", path=tmp_path / "bees")
        engine = open_engine(deployment(beside).ltm_url)
        schema.ensure(engine)
        engine.dispose()
        (found,) = [one for one in findings(beside) if one.subject == "identity"]
        client.flushall()
    assert found.state is State.BROKEN
    assert "Name another namespace" in found.text
