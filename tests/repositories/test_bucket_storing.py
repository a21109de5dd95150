"""Entries that are stored by a transaction of each bucket are stored as the scripts store them.

As on a cluster, with all buckets on one server.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
import redis

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.commands import packed_command
from agent_memory.connections.redis.conversation import Conversation
from agent_memory.connections.redis.script import Script
from agent_memory.errors import CommandRefused, WritesRefused
from agent_memory.repositories.outcomes import Added, Arrival
from agent_memory.repositories.redis import bucket_storing, plain_storing
from agent_memory.repositories.redis.repository import StmRepository
from agent_memory.testing import an_entry
from agent_memory.values.entry import MemoryEntry
from tests import engines
from tests.repositories.test_plain_storing import (
    before_it_is_written,
    everything,
    herd,
    varied,
)

pytestmark = engines.redis_usually("embedded")


def repository_of(client: redis.Redis, *declared: str, namespace: str = "stm") -> StmRepository:
    repository = StmRepository(
        RedisChannel(client, "the server of this test"),
        ContentsCodec(),
        namespace=namespace,
        clock=lambda: 1234.5,
        indexed_attributes=declared,
        buckets=16,
    )
    repository.upkeep.declare_attributes()
    return repository


@pytest.fixture
def run_by_scripts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many calls of scripts there are, request by request."""
    calls: list[int] = []
    run = RedisChannel.run

    def counted(channel: RedisChannel, script: Script, some: list[object], **how: bool) -> object:
        calls.append(len(some))
        return run(channel, script, some, **how)  # type: ignore[arg-type]  # as they are given

    monkeypatch.setattr(RedisChannel, "run", counted)
    return calls


def indexed(client: redis.Redis, repository: StmRepository, entry: MemoryEntry, path: str) -> bool:
    prefix = repository.key_space.prefix(entry.run_id, entry.agent_id)
    return client.zscore(f"{prefix}number:{path}", entry.memory_id) is not None


def test_they_are_stored_as_the_scripts_store_them(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, run_by_scripts: list[int]
) -> None:
    monkeypatch.setattr(bucket_storing, "AT_ONCE", 90)  # in several requests
    entries = varied()
    plain = repository_of(redis_client, "n", "on", "kind")
    run_by_scripts.clear()
    assert plain.add_many(entries) == [Added.STORED] * len(entries)
    assert not any(run_by_scripts)
    monkeypatch.setattr(plain_storing, "LEAST", 10**9)
    scripted = repository_of(redis_client, "n", "on", "kind", namespace="other")
    assert scripted.add_many(entries) == [Added.STORED] * len(entries)
    assert any(run_by_scripts)
    stored = everything(redis_client, "stm")
    assert len(stored) > len(entries)
    assert stored == everything(redis_client, "other")
    assert plain.get_many([entry.key for entry in entries]) == entries


def test_those_that_are_stored_already_stay_as_they_are(
    redis_client: redis.Redis, run_by_scripts: list[int]
) -> None:
    repository, entries = repository_of(redis_client), herd(150)
    newer = replace(entries[120], revision=3)
    repository.add(newer)
    run_by_scripts.clear()
    expected = [Added.PRESENT if entry is entries[120] else Added.STORED for entry in entries]
    assert repository.add_many(entries) == expected
    assert 0 < sum(run_by_scripts) < 40  # those of one bucket
    assert repository.add_many(entries) == [Added.PRESENT] * 150
    assert repository.get_many([newer.key]) == [newer]


def test_what_another_stores_meanwhile_is_not_overwritten(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, entries = repository_of(redis_client), herd(40)
    newer = replace(entries[7], revision=3)
    before_it_is_written(monkeypatch, lambda: repository_of(redis_client).add(newer))
    outcome = repository.add_many(entries)
    assert outcome[7] is Added.PRESENT
    assert outcome.count(Added.STORED) == 39
    assert repository.get_many([newer.key]) == [newer]


@pytest.mark.parametrize("are_new", [True, False])
def test_what_another_declares_meanwhile_is_indexed(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, are_new: bool
) -> None:
    repository, entries = repository_of(redis_client), herd(120)
    before_it_is_written(monkeypatch, lambda: repository_of(redis_client, "energy"))
    store = repository.add_new if are_new else repository.add_many
    assert store(entries) == [Added.STORED] * 120
    assert all(indexed(redis_client, repository, entry, "energy") for entry in entries)
    # What has ended the watches has changed nothing.
    declared = {redis_client.get(key) for key in repository.key_space.declarations}
    assert declared == {b" energy \n"}


def test_what_another_declares_behind_the_guard_is_indexed(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, entries = repository_of(redis_client), herd(40)
    send, multi = Conversation.send, packed_command(("MULTI",))

    def halting(self: Conversation, name: str, packed: bytes, count: int) -> None:
        monkeypatch.setattr(Conversation, "send", send)
        guards, _, writes = packed.partition(multi)
        self._connection.send_packed_command([guards])
        repository_of(redis_client, "energy")
        send(self, name, multi + writes, count)

    monkeypatch.setattr(Conversation, "send", halting)
    assert repository.add_new(entries) == [Added.STORED] * 40
    assert all(indexed(redis_client, repository, entry, "energy") for entry in entries)


def test_where_nothing_is_declared_nothing_is_after_a_watch_has_ended(
    redis_client: redis.Redis,
) -> None:
    repository, entries = repository_of(redis_client), herd(40)
    repository.add_many(entries)
    repository.add_many(entries)  # all are there, which ends all watches
    assert not redis_client.exists(*repository.key_space.declarations)


def test_time_goes_on_for_those_that_are_late(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = repository_of(redis_client)
    repository.add(an_entry(agent_id="cow 3", step_number=9, timestamp=9.0))
    late = an_entry(agent_id="cow 8", step_number=11, timestamp=11.0)
    before_it_is_written(monkeypatch, lambda: repository_of(redis_client).add(late))
    entries = herd(130, step_number=4, timestamp=4.0)
    after = [7.0 if number == 5 else -1.0 for number in range(130)]
    times = [arrival.timestamp for arrival in repository.arrive(entries, after)]
    assert [times[3], times[5], times[8]] == [10.0, 8.0, 12.0]
    assert times.count(4.0) == 127
    again = herd(130, step_number=20, timestamp=20.0)
    assert repository.arrive(again, [-1.0] * 130) == [Arrival(Added.STORED, 20.0)] * 130


@contextmanager
def without_right(client: redis.Redis, name: str) -> Iterator[None]:
    """Let the server's user lack a right for a while."""
    client.execute_command("ACL", "SETUSER", "default", f"-{name}")
    try:
        yield
    finally:
        client.execute_command("ACL", "SETUSER", "default", f"+{name}")


@pytest.mark.parametrize("right", ["watch", "script|load"])
def test_what_was_stored_with_no_guard_is_stored_again_by_the_scripts(
    redis_client: redis.Redis, run_by_scripts: list[int], right: str
) -> None:
    repository, entries = repository_of(redis_client), herd(40)
    repository.add(an_entry(agent_id="one that takes the script there"))
    repository_of(redis_client, "energy")
    run_by_scripts.clear()
    with without_right(redis_client, right):
        assert repository.add_new(entries) == [Added.STORED] * 40
    assert sum(run_by_scripts) >= 40
    assert all(indexed(redis_client, repository, entry, "energy") for entry in entries)


@pytest.mark.parametrize("right", ["evalsha", "script|load"])
def test_what_is_stored_already_stays_where_scripts_are_refused(
    redis_client: redis.Redis, right: str
) -> None:
    repository, entries = repository_of(redis_client), herd(40)
    repository.add_many(entries)
    redis_client.script_flush()
    with without_right(redis_client, right), suppress(WritesRefused):
        repository.add_many(entries)
    assert repository.get_many([entry.key for entry in entries]) == entries


def test_a_connection_that_is_lost_on_the_way_costs_nothing(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    if redis_client.connection_pool.connection_class.__module__.startswith("fakeredis"):
        pytest.skip("a server in this process loses no connection")
    monkeypatch.setattr(bucket_storing, "AT_ONCE", 60)  # in several requests
    repository, entries = repository_of(redis_client), herd(250)

    def cut() -> None:
        for one in redis_client.client_list(_type="normal"):
            if one["cmd"] != "client|list":
                redis_client.client_kill(one["addr"])

    before_it_is_written(monkeypatch, cut)
    assert repository.add_many(entries) == [Added.STORED] * 250
    assert repository.get_many([entry.key for entry in entries]) == entries


def test_a_damaged_index_keeps_no_other_agent_out(redis_client: redis.Redis) -> None:
    repository, entries = repository_of(redis_client), herd(40)
    prefix = repository.key_space.prefix("run", "cow 3")
    redis_client.set(f"{prefix}times", "no sorted set")
    with pytest.raises(CommandRefused, match="WRONGTYPE"):
        repository.add_many(entries)
    others = [entry for entry in entries if entry.agent_id != "cow 3"]
    assert repository.get_many([entry.key for entry in others]) == others
