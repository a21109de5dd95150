"""A memory on a Redis Cluster for a user with the least rights, and by TLS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import quote

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig, Query, StoreUnavailable
from agent_memory.cli.doctor import findings
from agent_memory.cli.findings import Finding, State
from agent_memory.connections.redis.rights import setuser
from tests.clusters import LocalCluster, ask, wait_until
from tests.engines import PASSWORD, StoppableServer, tcp_client
from tests.tls import Authority, TlsLine

AGENTS = [f"ant{number}" for number in range(20)]
NAMESPACES = ("agent_memory:stm", "agent_memory:im")
RIGHTS = setuser("ants", NAMESPACES).replace("PASSWORD", "secret") + " +cluster|slots"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path_factory.mktemp("c")) as cluster:
        yield cluster


@pytest.fixture
def cluster(started: LocalCluster) -> LocalCluster:
    for server in started.primaries:
        ask(server, "FLUSHALL")
    return started


def test_the_documented_user_can_do_all_that_a_memory_does_on_a_cluster(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    for server in cluster.primaries:
        ask(server, *RIGHTS.split())
    config = MemoryConfig(
        redis_url=cluster.url.partition("://")[0] + "://ants:secret@" + cluster.url.split("@")[1],
        path=tmp_path,
        stm_config={"memory_limit": 5},
        im_config={"memory_limit": 5},
        on_store_error="raise",
    )
    with AgentMemorySystem(config) as memory:
        for step in range(12):
            memory.store_step(step, {agent: {"food": step} for agent in AGENTS})
            memory.store_agent_action("bee", {"go": step}, step)
        (hit, *_) = memory.recall(Query(agent_id="ant1"), near={"food": 2})
        assert memory.pin("ant1", hit.entry.memory_id).pinned
        memory.set_importance("ant1", hit.entry.memory_id, 0.5)
        with memory.maintenance_worker() as worker:
            worker.maintain()
        assert memory.check(repair=True).sound
        memory.forget("ant2")
        assert len(memory.recall(Query(steps=(11, 11), limit=None))) == len(AGENTS)
    assert _rights(config).state is State.FINE
    refused = [name for server in cluster.primaries for name in _refused(server)]
    assert {*refused} <= {"client|setinfo"}
    # Each server has users of its own: one that lacks a right is enough.
    ask(cluster.primaries[1], "ACL", "SETUSER", "ants", "-zrem", "-watch")
    found = _rights(config)
    assert found.state is State.BROKEN
    assert "grant it +watch +zrem" in found.text
    for server in cluster.primaries:
        ask(server, "ACL", "SETUSER", "ants", "-cluster|slots")
    with pytest.raises(StoreUnavailable, match=r"cluster\|slots"):
        AgentMemorySystem(config)


def test_a_memory_is_served_by_a_cluster_with_tls(cluster: LocalCluster, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with ExitStack() as opened:
        lines = [
            opened.enter_context(TlsLine(server.port, authority.certify("127.0.0.1")))
            for server in cluster.primaries
        ]
        _announce(cluster, [line.port for line in lines])
        opened.callback(_announce, cluster, [server.port for server in cluster.primaries])
        places = ",".join(f"127.0.0.1:{line.port}" for line in lines)
        url = f"rediss+cluster://:{quote(PASSWORD, safe='')}@{places}"
        with pytest.raises(StoreUnavailable, match=r"\?ssl_ca_certs=FILE"):
            AgentMemorySystem(MemoryConfig(redis_url=url, path=tmp_path / "m"))
        trusted = f"{url}?ssl_ca_certs={quote(str(authority.file), safe='')}"
        config = MemoryConfig(redis_url=trusted, path=tmp_path / "m", on_store_error="raise")
        with AgentMemorySystem(config) as memory:
            for step in range(3):
                memory.store_step(step, {agent: {"text": "x" * 2_000} for agent in AGENTS})
            memory.maintain()
            assert len(memory.recall(Query(steps=(1, 1), limit=None))) == len(AGENTS)
            assert memory.check().sound
        held = [ask(server, "DBSIZE") for server in cluster.primaries]
        assert all(isinstance(keys, int) and keys > 10 for keys in held)


def _announce(cluster: LocalCluster, ports: list[int]) -> None:
    """Let the servers name other ports, and wait until all of them do."""
    for server, port in zip(cluster.primaries, ports, strict=True):
        ask(server, "CONFIG", "SET", "cluster-announce-port", port)
    wait_until(lambda: all(_ports(server) == {*ports} for server in cluster.primaries))


def _ports(server: StoppableServer) -> set[int]:
    slots = ask(server, "CLUSTER", "SLOTS")
    assert isinstance(slots, (list, dict))
    ranges = slots if isinstance(slots, list) else []
    return {int(holder[1]) for _, _, holder, *_ in ranges}


def _rights(config: MemoryConfig) -> Finding:
    (found,) = [one for one in findings(config) if one.subject == "rights"]
    return found


def _refused(server: StoppableServer) -> list[str]:
    """The commands that a server has refused to a user."""
    with closing(tcp_client(server.port)) as client:
        return [
            entry["object"].decode() if isinstance(entry["object"], bytes) else entry["object"]
            for entry in client.acl_log()
            if entry["reason"] == "command"
        ]
