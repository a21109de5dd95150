"""With ``wait_replicas`` what is acknowledged is on replicas, or waits on this machine's disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent_memory import AgentMemorySystem, ConfigError, MemoryConfig
from agent_memory.cli.doctor import findings
from agent_memory.connections.deployment import deployment
from tests.engines import PASSWORD, StoppableServer, tcp_client
from tests.faults.away import steps_of, store, waiting
from tests.sentinels import AT_ONCE, wait_until_linked

AGENTS = [f"ant{number}" for number in range(20)]


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[StoppableServer]:
    (tmp_path / "a").mkdir()
    with StoppableServer(tmp_path / "a", AT_ONCE) as server:
        yield server


@pytest.fixture
def replica(primary: StoppableServer, tmp_path: Path) -> Iterator[StoppableServer]:
    (tmp_path / "b").mkdir()
    more = f'replicaof 127.0.0.1 {primary.port}\nmasterauth "{PASSWORD}"\n'
    with StoppableServer(tmp_path / "b", more) as server:
        wait_until_linked(server)
        yield server


@pytest.fixture
def config(primary: StoppableServer, tmp_path: Path) -> MemoryConfig:
    return MemoryConfig(
        redis_url=primary.url, path=tmp_path / "m", wait_replicas=1, wait_timeout=5.0
    )


def test_what_is_acknowledged_is_on_the_replica(
    config: MemoryConfig, primary: StoppableServer, replica: StoppableServer
) -> None:
    with AgentMemorySystem(config) as memory:
        store(memory, 0)
        memory.store_step(1, {agent: {"n": 1} for agent in AGENTS})
        primary.kill()
    with closing(tcp_client(replica.port)) as client:
        stored = [key for key in client.keys("agent_memory:stm:{*}:steps") if client.zcard(key)]
    assert len(stored) == 1 + len(AGENTS)


def test_entries_wait_on_disk_while_no_replica_has_them(
    config: MemoryConfig, replica: StoppableServer
) -> None:
    hasty = config.model_copy(update={"wait_timeout": 0.05})
    with AgentMemorySystem(hasty, upkeep=False) as memory:
        store(memory, 0)
        assert waiting(memory) == 0
        replica.kill()
        (risk,) = [one for one in findings(config) if one.subject == "replicas"]
        assert "0 replicas are connected" in risk.text
        store(memory, 1)
        memory.store_step(2, {agent: {"n": 1} for agent in ["ant", *AGENTS]})
        assert waiting(memory) == 2 + len(AGENTS)
        assert memory.status.short_term.reason.count("of 1 replicas") == 1
        assert steps_of(memory) == [0, 1, 2]
        replica.start()
        wait_until_linked(replica)
        memory.maintain()
        assert waiting(memory) == 0
        assert steps_of(memory) == [0, 1, 2]


def test_a_request_may_take_as_long_as_its_replicas(tmp_path: Path) -> None:
    def settled(seconds: str, replicas: int = 1) -> str | None:
        url = f"redis://there:1?socket_timeout={seconds}"
        config = MemoryConfig(
            redis_url=url, path=tmp_path, wait_replicas=replicas, wait_timeout=2.0
        )
        return deployment(config).redis_url

    assert settled("2.5") == "redis://there:1?socket_timeout=2.5"
    assert settled("1", replicas=0) is not None
    for seconds in ("2", "0.5"):
        with pytest.raises(ConfigError, match=f"socket_timeout={seconds} ends a request before"):
            settled(seconds)


def test_replicas_are_asked_for_where_there_are_some(tmp_path: Path) -> None:
    for engine in ("embedded", "fake"):
        with pytest.raises(ConfigError, match=f"wait_replicas=1: the {engine} server has no"):
            deployment(MemoryConfig(engine=engine, path=tmp_path, wait_replicas=1))
