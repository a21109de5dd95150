"""Declared attributes as on a cluster, where each bucket has a declaration of its own."""

from __future__ import annotations

import pytest
import redis

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.models.redis import encode_id
from agent_memory.repositories.redis.repository import StmRepository
from agent_memory.testing import a_memory_id, an_entry
from agent_memory.testing.stateful import OracleContract
from agent_memory.values.entry import MemoryEntry
from agent_memory.values.query import Query
from tests import engines

BUCKETS = 16
AGENTS = [f"ant{number}" for number in range(40)]

pytestmark = engines.redis_usually("embedded")


@pytest.fixture
def channel(redis_client: redis.Redis) -> RedisChannel:
    return RedisChannel(redis_client, "the server of this test")


def opened(channel: RedisChannel, *paths: str) -> StmRepository:
    """A repository of a process that wants some paths declared, and has not declared them."""
    return StmRepository(
        channel, ContentsCodec(), namespace="stm", indexed_attributes=paths, buckets=BUCKETS
    )


def declaring(channel: RedisChannel, *paths: str) -> StmRepository:
    """A repository of a process that has declared some paths."""
    repository = opened(channel, *paths)
    repository.upkeep.declare_attributes()
    return repository


def entries_of(step: int) -> list[MemoryEntry]:
    return [
        an_entry(
            memory_id=a_memory_id(1000 * step + number),
            agent_id=agent,
            step_number=step,
            contents={"food": number % 4, "home": agent},
        )
        for number, agent in enumerate(AGENTS)
    ]


def hungry(repository: StmRepository) -> list[tuple[str, int]]:
    found = repository.find(Query(run_id="run", attributes={"food": 1}))
    return sorted((entry.agent_id, entry.step_number) for entry in found)


def indexed(channel: RedisChannel, path: str) -> int:
    """How many entries stand in the indexes of a path."""
    _, names = channel.call("SCAN", 0, "MATCH", f"*:{encode_id(path)}*", "COUNT", 10**6)
    return sum(channel.call_all([("ZCARD", name) for name in {*names}]))


@pytest.mark.long
class TestDeclaredInBuckets(OracleContract):
    @pytest.fixture
    def repository(self, channel: RedisChannel) -> StmRepository:
        return declaring(channel, "a", "b", "c|d*")


def test_entries_of_all_buckets_are_found_by_declared_attributes(channel: RedisChannel) -> None:
    opened(channel).add_many(entries_of(0))  # before they are declared
    repository = declaring(channel, "food")
    repository.add_many(entries_of(1))
    opened(channel).add_many(entries_of(2))  # by a process that does not know
    wanted = sorted((agent, step) for agent in AGENTS[1::4] for step in range(3))
    assert hungry(repository) == wanted
    assert indexed(channel, "food") == 3 * len(AGENTS)
    (one,) = repository.find(
        Query(run_id="run", agent_id="ant5", attributes={"food": 1}, steps=(1, 1))
    )
    assert one.contents["home"] == "ant5"
    assert "number:food" in repository.access(Query(run_id="run", attributes={"food": 1})).way


def test_processes_that_declare_at_once_come_to_one_declaration(channel: RedisChannel) -> None:
    first, second = declaring(channel, "food"), opened(channel, "home")
    # Killed in the middle: some buckets know of a path, others do not.
    places = second.key_space.declarations
    channel.call_all([("SET", key, " home \n food \n") for key in places[::2]])
    first.add_many(entries_of(0))
    assert {channel.call("GET", key) for key in places} == {b" food \n home \n"}
    second.upkeep.declare_attributes()
    second.add_many(entries_of(1))
    assert indexed(channel, "food") == indexed(channel, "home") == 2 * len(AGENTS)
    assert hungry(second) == sorted((agent, step) for agent in AGENTS[1::4] for step in range(2))


def test_a_server_that_lost_its_buckets_is_told_the_declaration_again(
    channel: RedisChannel,
) -> None:
    repository = declaring(channel, "food")
    repository.add_many(entries_of(0))
    # One server of several has lost everything.
    lost = {name for place in repository.key_space.places[::2] for name in _keys(channel, place)}
    channel.call("DEL", *lost)
    left = len(hungry(repository))
    assert 0 < left < len(AGENTS[1::4])
    repository.add_many(entries_of(1))
    assert len(hungry(repository)) == left + len(AGENTS[1::4])
    assert len({channel.call("GET", key) for key in repository.key_space.declarations}) == 1


def _keys(channel: RedisChannel, place: str) -> list[bytes]:
    _, names = channel.call("SCAN", 0, "MATCH", f"{place}:*", "COUNT", 10**6)
    return list(names)
