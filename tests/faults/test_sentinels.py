"""A memory whose server three Sentinels watch outlives the loss of that server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.cli.doctor import findings
from agent_memory.cli.findings import State
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.clients import describe, open_redis
from agent_memory.errors import ConfigError, StoreUnavailable
from tests.engines import PASSWORD, call, tcp_client
from tests.faults.away import steps_of, store, waiting
from tests.sentinels import NAME, WatchedPair, wait_until_linked


@pytest.fixture
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedPair]:
    with WatchedPair(tmp_path_factory.mktemp("w")) as started:
        yield started


def config(pair: WatchedPair, folder: Path) -> MemoryConfig:
    return MemoryConfig(redis_url=pair.url, path=folder)


def test_nothing_is_lost_when_the_primary_dies_in_mid_run(
    pair: WatchedPair, tmp_path: Path
) -> None:
    with AgentMemorySystem(config(pair, tmp_path)) as memory:
        store(memory, *range(20))
        memory.store_step(0, {f"ant{number}": {"n": number} for number in range(10)})
        with closing(tcp_client(pair.primary.port)) as client:
            assert client.wait(1, 10_000) == 1  # so that the replica has all of it
        pair.primary.kill()
        store(memory, 20, 21)
        assert waiting(memory) == 2
        pair.wait_for_failover(pair.replica)
        memory._resources.connections.stm.breaker.pause.end()
        memory.maintain()
        store(memory, 22)
        assert waiting(memory) == 0
        assert steps_of(memory) == [*range(23)]
        assert all(memory.recall(agent_id=f"ant{number}") for number in range(10))
        # What was the primary comes back as a replica, and nobody writes there.
        pair.primary.start()
        (sentinels,) = [one for one in findings(memory.config) if one.subject == "sentinels"]
        assert sentinels.state is State.FINE
        assert str(pair.replica.port) in sentinels.text


@pytest.mark.long
def test_a_primary_that_is_demoted_in_mid_run_is_left(pair: WatchedPair, tmp_path: Path) -> None:
    with AgentMemorySystem(config(pair, tmp_path)) as memory:
        store(memory, 0)
        with closing(tcp_client(pair.sentinels[0].port)) as sentinel:
            call(sentinel, "SENTINEL", "FAILOVER", NAME)
        pair.wait_for_failover(pair.replica)
        wait_until_linked(pair.primary)
        store(memory, 1)
        assert waiting(memory) == 0
        assert steps_of(memory) == [0, 1]


@pytest.mark.long
def test_a_server_that_refuses_to_write_is_no_primary_any_more(pair: WatchedPair) -> None:
    with closing(RedisChannel(open_redis(pair.url), "the server")) as channel:
        channel.call("SET", "a", 1)
        with closing(tcp_client(pair.primary.port)) as client:
            client.replicaof("127.0.0.1", str(pair.replica.port))
        with pytest.raises(StoreUnavailable, match="which the Sentinels name, is a replica"):
            channel.call("SET", "a", 2)
        assert channel.losses
        with closing(tcp_client(pair.primary.port)) as client:
            client.replicaof("NO", "ONE")
        channel.breaker.pause.end()
        channel.call("SET", "a", 2)


def test_what_the_sentinels_refuse_is_said_with_what_mends_it(pair: WatchedPair) -> None:
    options = pair.url.partition("?")[2]
    no_sentinel = f"redis+sentinel://127.0.0.1:{pair.primary.port}/{NAME}?{options}"
    for wrong, complaint in (
        (no_sentinel, r"is no Sentinel: name the ports of Sentinels"),
        (pair.url.replace(f"/{NAME}", "/bees"), "no Sentinel tells where 'bees' is"),
        (pair.url.partition("?")[0], "sentinel_password=PASSWORD"),
        (pair.url.replace("sentinel://:", "sentinel://:x"), "refuses the password"),
    ):
        with closing(RedisChannel(open_redis(wrong), describe(wrong))) as channel:
            with pytest.raises(StoreUnavailable, match=complaint) as refusal:
                channel.call("PING")
            assert PASSWORD not in str(refusal.value)
    # One of them is enough.
    for sentinel in pair.sentinels[:2]:
        sentinel.kill()
    with closing(RedisChannel(open_redis(pair.url), "the server")) as channel:
        assert channel.call("PING")


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("redis+sentinel://:geheim@h:1,g:2", "where NAME is what"),
        ("redis+sentinel://:geheim@h:1,g:x/ants", "where NAME is what"),
        ("redis+sentinel://:geheim@,/ants", "where NAME is what"),
        ("redis+sentinel://:geheim@h:1/ants/first", "db in .* is no number"),
        ("redis+sentinel://:geheim@h:1/ants/1?db=2", "db in .* stands there twice"),
        ("redis+sentinel://:geheim@h:1/ants?sentinel_moon=1", "sentinel_moon in .* not supported"),
        ("redis+sentinel://:geheim@h:1/ants?max_connections=1", "max_connections in"),
        ("redis://:geheim@h:1?sentinel_password=geheim", "needs a URL that begins with redis.sent"),
    ],
)
def test_a_url_of_sentinels_that_cannot_be_read_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as refusal:
        open_redis(url)
    assert "geheim" not in str(refusal.value)
