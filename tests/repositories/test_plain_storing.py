"""Many entries that are stored by plain commands are stored as the scripts store them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import redis

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.conversation import Conversation
from agent_memory.errors import CommandRefused, StoreUnavailable
from agent_memory.repositories.outcomes import Added, Arrival
from agent_memory.repositories.redis import plain_storing
from agent_memory.repositories.redis.packing import EntryPacker, Packed
from agent_memory.repositories.redis.repository import StmRepository
from agent_memory.testing import an_entry
from agent_memory.testing.redis_keys import orphans
from agent_memory.values.entry import MemoryEntry, MemoryType
from tests import engines

pytestmark = engines.redis_usually(*engines.USUAL_REDIS)


def repository_of(client: redis.Redis, *declared: str, namespace: str = "stm") -> StmRepository:
    channel = RedisChannel(client, "the server of this test")
    repository = StmRepository(
        channel,
        ContentsCodec(),
        namespace=namespace,
        clock=lambda: 1234.5,
        indexed_attributes=declared,
    )
    repository.upkeep.declare_attributes()
    return repository


def herd(count: int, **fields: Any) -> list[MemoryEntry]:
    """An entry of each of some agents."""
    return [an_entry(agent_id=f"cow {number}", **fields) for number in range(count)]


def varied() -> list[MemoryEntry]:
    """Entries that have little in common, several of an agent."""
    vector = np.arange(4, dtype=np.float32)
    entries = [
        an_entry(
            agent_id=f"a%b {number % 7}",
            step_number=number,
            timestamp=float(number),
            memory_type=[*MemoryType][number % 3],
            contents={"kind": "50 %", "n": number, "on": number % 2 == 0},
            importance_score=number / 200,
            embedding=vector + number if number % 5 else None,
            encoder_version=3 if number % 4 else None,
            retrieval_count=number % 2,
            pinned=number % 6 == 0,
            error_bounds={"n": 0.5} if number % 9 == 0 else None,
        )
        for number in range(130)
    ]
    crowd = [an_entry(agent_id="crowd", step_number=step) for step in range(70)]
    return [*entries, *crowd, *(replace(entry, run_id="other") for entry in herd(9))]


def everything(client: redis.Redis, namespace: str) -> dict[bytes, Any]:
    """What is stored under a namespace, by key; of logs, when."""
    read: dict[bytes, Callable[[bytes], Any]] = {
        b"hash": client.hgetall,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"set": client.smembers,
        b"string": client.get,
        b"stream": lambda key: {word for _, record in client.xrange(key) for word in record},
    }
    prefix = namespace.encode()
    return {
        key.removeprefix(prefix): read[client.type(key)](key)
        for key in client.scan_iter(match=prefix + b":*", count=1_000)
        if b":index:" not in key
    }


def before_it_is_written(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen once, when entries have been looked at and are not written yet."""
    pack, pending = EntryPacker.pack, [happens]

    def packing(self: EntryPacker, *args: Any) -> Packed:
        # The look is under way by now: a round trip later it has been answered.
        while pending:
            pending.pop()()
        return pack(self, *args)

    monkeypatch.setattr(EntryPacker, "pack", packing)


def test_they_are_stored_as_the_scripts_store_them(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = varied()
    plain = repository_of(redis_client, "n", "on", "kind")
    assert plain.add_many(entries) == [Added.STORED] * len(entries)
    monkeypatch.setattr(plain_storing, "LEAST", 10**9)
    scripted = repository_of(redis_client, "n", "on", "kind", namespace="other")
    assert scripted.add_many(entries) == [Added.STORED] * len(entries)
    stored = everything(redis_client, "stm")
    assert len(stored) > len(entries)
    assert stored == everything(redis_client, "other")
    assert not orphans(redis_client, ["stm"])
    assert plain.get_many([entry.key for entry in entries]) == entries
    assert logged(redis_client, "cow_203") == {entries[-6].memory_id}


def logged(client: redis.Redis, agent: str) -> set[str]:
    """The ids that an agent's log of changes names."""
    records = client.xrange(f"stm:{{other/{agent}}}:changes")
    return {name.decode() for _, record in records for name in record.values()}


def test_most_are_stored_by_no_script(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = repository_of(redis_client)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a script was run")

    monkeypatch.setattr(repository.channel, "run", refuse)
    assert repository.arrive(herd(250), [-1.0] * 250) == [Arrival(Added.STORED, 1.0)] * 250


def test_those_that_are_stored_already_stay_as_they_are(redis_client: redis.Redis) -> None:
    repository, entries = repository_of(redis_client), herd(150)
    newer = replace(entries[120], revision=3)
    repository.add(newer)
    expected = [Added.PRESENT if entry is entries[120] else Added.STORED for entry in entries]
    assert repository.add_many(entries) == expected
    assert repository.add_many(entries) == [Added.PRESENT] * 150
    assert repository.get_many([newer.key]) == [newer]
    assert repository.add_many([*herd(20), newer, newer])[20:] == [Added.PRESENT] * 2


def test_what_another_stores_meanwhile_is_not_overwritten(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, entries = repository_of(redis_client), herd(20)
    newer = replace(entries[7], revision=3)
    before_it_is_written(monkeypatch, lambda: repository_of(redis_client).add(newer))
    outcome = repository.add_many(entries)
    assert outcome[7] is Added.PRESENT
    assert outcome.count(Added.STORED) == 19
    assert repository.get_many([newer.key]) == [newer]
    assert not orphans(redis_client, ["stm"])


def test_what_another_stores_meanwhile_is_not_overwritten_by_who_may_not_watch(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        rights = ("on", ">secret", "~*", "&*", "+@all", "-watch")
        redis_client.execute_command("ACL", "SETUSER", "blind", *rights)
    except redis.ResponseError:
        pytest.skip("this engine knows no rights")
    pool = redis_client.connection_pool
    options = {**pool.connection_kwargs, "username": "blind", "password": "secret"}
    blind = redis.ConnectionPool(connection_class=pool.connection_class, **options)
    with redis.Redis(connection_pool=blind) as client:
        repository, entries = repository_of(client), herd(20)
        newer = replace(entries[7], revision=3)
        before_it_is_written(monkeypatch, lambda: repository_of(redis_client).add(newer))
        repository.add_many(entries)
        assert repository.get_many([newer.key]) == [newer]
    redis_client.execute_command("ACL", "DELUSER", "blind")
    blind.disconnect()


def test_what_another_declares_meanwhile_is_indexed(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, entries = repository_of(redis_client), herd(120)
    before_it_is_written(monkeypatch, lambda: repository_of(redis_client, "energy"))
    assert repository.add_many(entries) == [Added.STORED] * 120
    assert all(redis_client.zcard(key) for key in numbers(entries))


def numbers(entries: Sequence[MemoryEntry]) -> list[str]:
    return [f"stm:{{run/{entry.agent_id.replace(' ', '_20')}}}:number:energy" for entry in entries]


def test_time_goes_on_where_another_has_stored_meanwhile(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, entries = repository_of(redis_client), herd(20, step_number=4, timestamp=4.0)
    late = an_entry(agent_id="cow 3", step_number=9, timestamp=9.0)
    before_it_is_written(monkeypatch, lambda: repository_of(redis_client).add(late))
    times = [arrival.timestamp for arrival in repository.arrive(entries, [-1.0] * 20)]
    assert times == [10.0 if number == 3 else 4.0 for number in range(20)]


def test_time_goes_on_for_those_alone_that_are_late(redis_client: redis.Redis) -> None:
    repository = repository_of(redis_client)
    repository.add(an_entry(agent_id="cow 3", step_number=9, timestamp=9.0))
    entries = herd(130, step_number=4, timestamp=4.0)
    after = [7.0 if number == 5 else -1.0 for number in range(130)]
    times = [arrival.timestamp for arrival in repository.arrive(entries, after)]
    assert times[:6] == [4.0, 4.0, 4.0, 10.0, 4.0, 8.0]
    assert set(times[6:]) == {4.0}


def test_a_damaged_index_is_told_and_keeps_no_other_agent_out(redis_client: redis.Redis) -> None:
    repository, entries = repository_of(redis_client), herd(20)
    redis_client.set("stm:{run/cow_203}:times", "no sorted set")
    with pytest.raises(CommandRefused, match="WRONGTYPE"):
        repository.add_many(entries)
    others = [entry for entry in entries if entry.agent_id != "cow 3"]
    assert repository.get_many([entry.key for entry in others]) == others
    # Still reported: what was stored of it in part does not pass for stored.
    with pytest.raises(CommandRefused, match="WRONGTYPE"):
        repository.add_many(herd(20))


def test_a_connection_that_is_lost_on_the_way_costs_nothing(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    if redis_client.connection_pool.connection_class.__module__.startswith("fakeredis"):
        pytest.skip("a server in this process loses no connection")
    repository, entries = repository_of(redis_client), herd(250)

    def cut() -> None:
        for one in redis_client.client_list(_type="normal"):
            if one["cmd"].startswith(("watch", "exists", "get")):
                redis_client.client_kill(one["addr"])

    before_it_is_written(monkeypatch, cut)
    assert repository.add_many(entries) == [Added.STORED] * 250
    assert repository.get_many([entry.key for entry in entries]) == entries
    assert not orphans(redis_client, ["stm"])


@pytest.mark.parametrize("error", [BrokenPipeError, redis.exceptions.ConnectionError])
def test_what_cannot_be_sent_is_left_to_the_scripts(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse(*_: object) -> None:
        raise error("cut off")

    monkeypatch.setattr(Conversation, "send", refuse)
    repository, entries = repository_of(redis_client), herd(20)
    assert repository.add_many(entries) == [Added.STORED] * 20
    assert repository.get_many([entry.key for entry in entries]) == entries


def test_a_server_that_is_silent_is_not_asked_twice(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise redis.exceptions.TimeoutError("silent")

    repository = repository_of(redis_client)
    monkeypatch.setattr(Conversation, "answers", refuse)
    monkeypatch.setattr(repository.channel, "run", lambda *_, **__: pytest.fail("asked again"))
    with pytest.raises(StoreUnavailable, match="silent"):
        repository.add_many(herd(20))


def test_new_entries_are_stored_as_others_and_none_of_them_is_watched(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []
    send = Conversation.send

    def sending(self: Conversation, name: str, packed: bytes, count: int) -> None:
        sent.extend([packed] if name == "look" else [])
        send(self, name, packed, count)

    monkeypatch.setattr(Conversation, "send", sending)
    new, watched = repository_of(redis_client, "n"), repository_of(redis_client, namespace="other")
    entries = varied()
    assert new.add_new(entries) == watched.add_many(entries) == [Added.STORED] * len(entries)
    looks = [look.count(b"\r\nstm:{") for look in sent if b"\r\nstm:" in look]
    assert len(looks) == len(entries) // plain_storing.CHUNK + 1
    assert set(looks) == {2}  # one key of each chunk, watched and asked for
    assert new.get_many([entry.key for entry in entries]) == entries
    assert not orphans(redis_client, ["stm", "other"])


def test_what_another_declares_meanwhile_is_indexed_of_new_entries_too(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, entries = repository_of(redis_client), herd(120)
    before_it_is_written(monkeypatch, lambda: repository_of(redis_client, "energy"))
    assert repository.add_new(entries) == [Added.STORED] * 120
    assert all(redis_client.zcard(key) for key in numbers(entries))
