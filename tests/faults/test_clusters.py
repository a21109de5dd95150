"""A memory on a Redis Cluster: spread over its servers, and kept while slots and primaries move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import redis
from redis.crc import key_slot

from agent_memory import AgentMemorySystem, ConfigError, MemoryConfig, Order, Query
from agent_memory.cli.doctor import findings
from agent_memory.cli.findings import State
from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.confirmation import Confirmation
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.cluster_channel import ClusterChannel
from agent_memory.connections.redis.errors import translated
from agent_memory.connections.redis.opening import open_channel
from agent_memory.connections.redis.script import Script
from agent_memory.connections.redis.sentinels import Place
from agent_memory.connections.redis.topology import Topology
from agent_memory.errors import QueryEngineMissing, StoreUnavailable, WritesRefused
from agent_memory.repositories.redis.keys import BUCKETS, KeySpace
from agent_memory.repositories.redis.repository import ImRepository, StmRepository
from agent_memory.system import beneath
from agent_memory.testing import ShortLivedContract, an_entry
from tests.clusters import LocalCluster, ask, wait_until
from tests.engines import PASSWORD, StoppableServer, call, tcp_client
from tests.faults.away import end_pauses, steps_of, store, waiting

AGENTS = [f"ant{number}" for number in range(40)]
LIMITS = {"memory_limit": 5}
PATIENCE = "agent_memory.system.maintenance.PATIENCE"
_WRITE = Script("return redis.call('SET', KEYS[1], 1)", answers=lambda reply: reply == b"OK")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path_factory.mktemp("c")) as cluster:
        yield cluster


@pytest.fixture
def cluster(started: LocalCluster) -> LocalCluster:
    for server in started.primaries:
        ask(server, "FLUSHALL")
    return started


@pytest.fixture
def config(cluster: LocalCluster, tmp_path: Path) -> MemoryConfig:
    return MemoryConfig(redis_url=cluster.url, path=tmp_path, stm_config=LIMITS, im_config=LIMITS)


def test_a_memory_lives_on_all_servers_of_a_cluster(
    cluster: LocalCluster, config: MemoryConfig
) -> None:
    with AgentMemorySystem(config) as memory:
        for step in range(12):
            memory.store_step(step, {agent: {"n": step} for agent in AGENTS})
        store(memory, 0)
        memory.maintain()
        assert memory.stm.count("default") == memory.im.count("default") + 1 == 201
        assert memory.count(Query(limit=None)) == 12 * len(AGENTS) + 1
        assert len(memory.recall(Query(steps=(11, 11), limit=None))) == len(AGENTS)
        newest = memory.recall(Query(agent_id="ant7", order=Order.NEWEST, limit=3))
        assert [hit.entry.step_number for hit in newest] == [11, 10, 9]
        (nearest,) = memory.recall(Query(agent_id="ant7", limit=1), near={"n": 4})
        assert nearest.entry.contents == {"n": 4}
        memory.forget(agent="ant8")
        assert not memory.recall(agent_id="ant8")
        assert memory.check().findings == ()
        assert all(found.state is not State.BROKEN for found in findings(config))
    held = [ask(server, "DBSIZE") for server in cluster.primaries]
    assert all(isinstance(keys, int) and keys > 100 for keys in held)
    with AgentMemorySystem(config) as memory:
        assert memory.count(Query(limit=None)) == 11 * 12 + 29 * 12 + 1 - 12


def test_declared_attributes_are_indexed_on_all_servers_of_a_cluster(
    cluster: LocalCluster, config: MemoryConfig
) -> None:
    with AgentMemorySystem(config, upkeep=False) as memory:
        memory.store_step(0, {agent: {"food": 0} for agent in AGENTS})
    declaring = config.model_copy(update={"indexed_attributes": ("food",)})
    with AgentMemorySystem(declaring, upkeep=False) as memory:
        for step in range(1, 12):
            memory.store_step(step, {agent: {"food": step % 3} for agent in AGENTS})
        for asked in ({"attributes": {"food": 2}}, {"attributes": {"food": (2, 9)}}):
            assert len(memory.recall(Query(limit=None, **asked))) == 4 * len(AGENTS)
            found = memory.recall(Query(agent_id="ant3", limit=None, **asked))
            assert {hit.entry.step_number for hit in found} == {2, 5, 8, 11}
        assert "number:food" in str(memory.explain(Query(attributes={"food": 2})))
        memory.maintain()
        assert len(memory.recall(Query(limit=None, attributes={"food": 2}))) == 4 * len(AGENTS)
        assert memory.check().findings == ()


def test_a_bound_of_bytes_is_that_of_all_servers_of_a_cluster(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    held = sum(map(_used_bytes, cluster.primaries))
    config = MemoryConfig(redis_url=cluster.url, path=tmp_path, redis_max_bytes=held + 2_000_000)
    with AgentMemorySystem(config) as memory:
        for step in range(7):
            memory.store_step(step, {agent: {"text": f"{step:02d}" * 8_000} for agent in AGENTS})
        memory.maintain()
        assert sum(map(_used_bytes, cluster.primaries)) < held + 2_500_000  # buffers count too
        moved = memory.im.count("default") + memory.ltm.count("default")
        assert moved > 100
        assert memory.count(Query(limit=None)) == 7 * len(AGENTS)
        assert memory.check().findings == ()


def test_a_slot_that_moves_in_mid_run_takes_its_entries_with_it(
    cluster: LocalCluster, config: MemoryConfig
) -> None:
    slot = key_slot(KeySpace("", BUCKETS).prefix("default", "ant").encode())
    with AgentMemorySystem(config, upkeep=False) as memory:
        store(memory, 0, 1)
        memory.store_step(0, {agent: {"n": 0} for agent in AGENTS})
        source, target = _holder(cluster, slot), _other(cluster, slot)
        names = {server.port: _name(server) for server in cluster.primaries}
        ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", names[source.port])
        ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", names[target.port])
        # What is not whole on either of them is written by neither: it waits.
        store(memory, 2)
        assert waiting(memory) == 1
        assert steps_of(memory) == [0, 1, 2]
        # Neither of them knows all that there is, so that nobody is told of a part.
        for look in (memory.check, memory.stm.upkeep.counts_of):
            with pytest.raises(WritesRefused, match="during rehashing"):
                look()
        with patch(PATIENCE, 0.1), pytest.raises(WritesRefused, match="during rehashing"):
            memory.maintain()
        with ThreadPoolExecutor(1) as others:
            upkeep = others.submit(memory.maintain)
            with pytest.raises(TimeoutError):
                upkeep.result(0.5)  # which is longer than a store waits
            _migrate(source, target, slot)
            assert steps_of(memory) == [0, 1, 2]
            for server in (target, source, *cluster.primaries):
                ask(server, "CLUSTER", "SETSLOT", slot, "NODE", names[target.port])
            upkeep.result()
        assert waiting(memory) == 0
        store(memory, 3)
        assert steps_of(memory) == [0, 1, 2, 3]
        assert memory.check().findings == ()


def test_what_is_stored_again_while_its_slot_moves_stays_as_it_is(
    cluster: LocalCluster, config: MemoryConfig
) -> None:
    slot = key_slot(KeySpace("", BUCKETS).prefix("default", "ant").encode())
    with AgentMemorySystem(config, upkeep=False) as memory:
        entries = [an_entry(run_id="default", step_number=step) for step in range(20)]
        newer = [replace(entry, revision=3) for entry in entries]
        memory.stm.add_many(newer)
        source, target = _holder(cluster, slot), _other(cluster, slot)
        names = {server.port: _name(server) for server in cluster.primaries}
        ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", names[source.port])
        ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", names[target.port])
        # All of them are there still, but for a declaration, which there is not.
        with suppress(WritesRefused):
            memory.stm.add_many(entries)
        assert memory.stm.get_many([entry.key for entry in entries]) == newer
        for server in (target, source):
            ask(server, "CLUSTER", "SETSLOT", slot, "STABLE")


def test_replicas_are_asked_where_a_command_is_sent_on_to(cluster: LocalCluster) -> None:
    confirmation = Confirmation(0, 1.0)
    with closing(open_channel(cluster.url, 0, confirmation=confirmation)) as channel:
        assert isinstance(channel, ClusterChannel)
        for number in range(100):  # which takes the script to all servers
            channel.run(_WRITE, [([f"k{number}"], [])])
        slot = key_slot(b"k7")
        target = _other(cluster, slot)
        ask(_holder(cluster, slot), "DEL", "k7")
        for server in (target, *cluster.primaries):
            ask(server, "CLUSTER", "SETSLOT", slot, "NODE", _name(target))
        before = _waits(target)
        channel.run(_WRITE, [(["k7"], [])])
        assert _waits(target) == before + 1


def test_a_server_that_hangs_is_not_asked_who_holds_the_slots(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Place] = []
    answers = ClusterChannel._answers

    def noted(channel: ClusterChannel, jobs: Mapping[Place, Any]) -> Any:
        asked.extend(jobs)
        return answers(channel, jobs)

    monkeypatch.setattr(ClusterChannel, "_answers", noted)
    hung, *_ = cluster.servers
    hung.pause()
    try:
        with closing(open_channel(f"{cluster.url}?socket_timeout=5", 0)) as channel:
            assert isinstance(channel, ClusterChannel)
            assert channel.topology.primaries
    finally:
        hung.resume()
    cluster.wait_until_whole(*cluster.servers)  # which may have taken it for dead
    assert asked
    assert hung.port not in {place.port for place in asked}


def test_one_server_that_hangs_keeps_nobody_from_the_others(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    url = f"{cluster.url}?socket_timeout=1"
    config = MemoryConfig(redis_url=url, path=tmp_path, on_store_error="raise")
    with AgentMemorySystem(config, upkeep=False) as memory:
        memory.store_step(0, {agent: {"n": 0} for agent in AGENTS})
        space = KeySpace("agent_memory:stm", BUCKETS)
        slots = {agent: key_slot(space.prefix("default", agent).encode()) for agent in AGENTS}
        hung = _holder(cluster, slots["ant0"])
        theirs = [agent for agent in AGENTS if _holder(cluster, slots[agent]) is hung]
        hung.pause()
        try:
            for _ in range(2):  # it answers nobody, and then is not asked
                with pytest.raises(StoreUnavailable, match=f":{hung.port}(: | of )"):
                    memory.recall(agent_id="ant0")
                for agent in {*AGENTS} - {*theirs}:
                    assert steps_of(memory, agent) == [0]
            assert not memory.status.short_term.up
        finally:
            hung.resume()
        cluster.wait_until_whole(*cluster.servers)  # which may have taken it for dead
        end_pauses(memory)
        assert all(steps_of(memory, agent) == [0] for agent in AGENTS)
        assert memory.status.short_term.up


def test_a_risk_is_told_with_the_servers_of_a_cluster_that_have_it(
    cluster: LocalCluster, config: MemoryConfig
) -> None:
    odd = cluster.primaries[1]
    ask(odd, "CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ConfigError, match=rf":{odd.port}: the server drops entries"):
            AgentMemorySystem(config.model_copy(update={"strict_server": True}))
        (told,) = [found for found in findings(config) if found.subject == "eviction"]
        assert told.text.startswith(f"127.0.0.1:{odd.port}: the server drops entries")
    finally:
        ask(odd, "CONFIG", "SET", "maxmemory", 0, "maxmemory-policy", "noeviction")


def test_a_cluster_that_is_down_says_what_to_look_at() -> None:
    down = translated(redis.exceptions.ClusterDownError("The cluster is down"), "it")
    assert isinstance(down, WritesRefused)
    assert "see redis-cli --cluster check" in str(down)


def test_what_a_cluster_does_not_serve_is_refused_by_name(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    for options, complaint in (
        ({"search": True}, "search is not served on a cluster"),
        ({"stm_config": {"db": 1}}, "db is not served on a cluster"),
    ):
        with pytest.raises(ConfigError, match=complaint):
            AgentMemorySystem(MemoryConfig(redis_url=cluster.url, path=tmp_path, **options))
    wrong = cluster.url.replace("cluster://:", "cluster://:x")
    with (
        closing(open_channel(wrong, 0)) as channel,
        pytest.raises(StoreUnavailable, match="refuses the password") as refusal,
    ):
        channel.call("PING")
    assert PASSWORD not in str(refusal.value)


def test_a_memory_is_not_opened_by_keys_of_other_names(
    cluster: LocalCluster, config: MemoryConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beneath, "BUCKETS", 0)  # as if its keys had come from one server
    with AgentMemorySystem(config) as memory, pytest.raises(QueryEngineMissing, match="Redis-OM"):
        memory.models.StmEntry.find().all()
    monkeypatch.undo()
    with pytest.raises(ConfigError, match=r"was made on one server, .* agent-memory db copy"):
        AgentMemorySystem(config)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("redis+cluster://:geheim@h:1,g:x", "must be like redis.cluster"),
        ("redis+cluster://:geheim@h:1,,g:2", "must be like redis.cluster"),
        ("redis+cluster://:geheim@h:1/1", "db in .* is none of a cluster"),
        ("redis+cluster://:geheim@h:1?db=1", "db in .* is none of a cluster"),
        ("redis+cluster://:geheim@h:1?max_connections=1", "max_connections in .* not supported"),
        ("redis+cluster://:geheim@h:1?protocol=3", "protocol in .* needs another value"),
    ],
)
def test_a_url_of_a_cluster_that_cannot_be_read_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as refusal:
        open_channel(url, 0)
    assert "geheim" not in str(refusal.value)


def test_servers_that_are_no_whole_cluster_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with StoppableServer(tmp_path / "a") as single:
        url = single.url.replace("redis://", "redis+cluster://")
        with pytest.raises(ConfigError, match=r"is no cluster .*begin the URL .* redis://"):
            AgentMemorySystem(MemoryConfig(redis_url=url, path=tmp_path / "m"))
    with StoppableServer(tmp_path / "b", "cluster-enabled yes\n") as node:
        ask(node, "CLUSTER", "ADDSLOTSRANGE", 1, 16_000)
        url = node.url.replace("redis://", "redis+cluster://")
        broken = MemoryConfig(redis_url=url, path=tmp_path / "m")
        with pytest.raises(ConfigError, match=r"nobody holds the slots 0 to 0, 16001 to 16383"):
            AgentMemorySystem(broken)
        (stores,) = [found for found in findings(broken) if found.subject == "stores"]
        assert "nobody holds the slots" in stores.text


def test_gaps_between_slots_are_found() -> None:
    answer = [[5, 9, [b"a", 1, b"x"]], [0, 2, [b"", 2, b"y"], [b"c", 3]], [10, 16_000, [b"a", 1]]]
    topology = Topology.read(answer, Place("asked", 1))
    assert topology.uncovered() == [(3, 4), (16_001, 16_383)]
    assert topology.holder(4) is None
    assert topology.holder(2) == Place("asked", 2)


@pytest.mark.long
def test_nothing_is_lost_when_a_primary_of_a_cluster_dies_while_storing(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    with LocalCluster(tmp_path / "c", replicas=1) as cluster:
        config = MemoryConfig(
            redis_url=cluster.url, path=tmp_path / "m", wait_replicas=1, wait_timeout=2.0
        )
        with AgentMemorySystem(config) as memory:
            steps = 30
            for step in range(steps):
                memory.store_step(step, {agent: {"n": step} for agent in AGENTS})
                store(memory, step)
                if step == 10:
                    cluster.primaries[1].kill()
            others = [server for server in cluster.servers if server is not cluster.primaries[1]]
            cluster.wait_until_whole(*others)
            cluster.primaries[1].start()  # as a replica: what is acknowledged needs one
            _maintain_until_all_is_stored(memory)
            assert steps_of(memory) == [*range(steps)]
            assert all(steps_of(memory, agent) == [*range(steps)] for agent in AGENTS)
            assert memory.check().findings == ()


@pytest.mark.long
class TestRepositoriesOnACluster(ShortLivedContract):
    @pytest.fixture
    def channel(self, cluster: LocalCluster) -> Iterator[RedisChannel]:
        with closing(open_channel(cluster.url, 0)) as channel:
            yield channel

    @pytest.fixture
    def repository(self, channel: RedisChannel) -> StmRepository:
        return StmRepository(channel, ContentsCodec(), namespace="stm", buckets=BUCKETS)

    @pytest.fixture
    def next_tier(self, channel: RedisChannel) -> ImRepository:
        return ImRepository(channel, ContentsCodec(), namespace="im", buckets=BUCKETS)


def _maintain_until_all_is_stored(memory: AgentMemorySystem) -> None:
    def is_all_stored() -> bool:
        end_pauses(memory)
        with suppress(StoreUnavailable):  # which a server that has just come back may be
            memory.maintain()
        return not waiting(memory)

    wait_until(is_all_stored)


def _waits(server: StoppableServer) -> int:
    """How often a server was asked what its replicas have."""
    with closing(tcp_client(server.port)) as client:
        return int(client.info("commandstats")["cmdstat_wait"]["calls"])


def _used_bytes(server: StoppableServer) -> int:
    with closing(tcp_client(server.port)) as client:
        about = client.info("memory")
    return int(about["used_memory"]) - int(about["mem_not_counted_for_evict"])


def _name(server: StoppableServer) -> str:
    name = ask(server, "CLUSTER", "MYID")
    return name.decode() if isinstance(name, bytes) else str(name)


def _holder(cluster: LocalCluster, slot: int) -> StoppableServer:
    with closing(open_channel(cluster.url, 0)) as channel:
        assert isinstance(channel, ClusterChannel)
        holder = channel.topology.holder(slot)
    assert holder is not None
    return next(server for server in cluster.primaries if server.port == holder.port)


def _other(cluster: LocalCluster, slot: int) -> StoppableServer:
    holder = _holder(cluster, slot)
    return next(server for server in cluster.primaries if server is not holder)


def _migrate(source: StoppableServer, target: StoppableServer, slot: int) -> None:
    with closing(tcp_client(source.port)) as client:
        keys = call(client, "CLUSTER", "GETKEYSINSLOT", slot, 10_000)
        to = ("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000)
        call(client, *to, "AUTH", PASSWORD, "KEYS", *keys)
