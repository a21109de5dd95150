"""A server that may lose entries by its settings is told of once, or refused on request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from agent_memory import AgentMemorySystem, ConfigError, MemoryConfig
from agent_memory.connections.redis import risks
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
