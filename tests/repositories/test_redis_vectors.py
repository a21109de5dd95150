"""Vectors kept in this process stay right, whoever writes to the server."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import redis

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.redis.answers import name_of
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.commands import Command
from agent_memory.errors import EncodingError
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.repositories.nearest import Neighbour
from agent_memory.repositories.redis.repository import ImRepository, StmRepository
from agent_memory.testing import an_entry
from agent_memory.testing.samples import Directions
from agent_memory.tiers.moving import move
from agent_memory.values.entry import MemoryEntry, MemoryType
from agent_memory.values.query import Query
from tests import engines

QUERY = Query(run_id="run", agent_id="ant", limit=10)
PREFIX = "stm:{run/ant}:"


def entries_of(count: int, seed: int = 0, **fields: Any) -> list[MemoryEntry]:
    random = np.random.default_rng(seed)
    return [
        an_entry(
            step_number=step,
            embedding=random.standard_normal(16).astype(np.float32),
            encoder_version=0,
            **fields,
        )
        for step in range(count)
    ]


def turned(entry: MemoryEntry) -> MemoryEntry:
    """The same entry, its vector pointing the other way."""
    assert entry.embedding is not None
    return replace(entry, embedding=-entry.embedding)


@pytest.fixture
def channel(redis_client: redis.Redis) -> RedisChannel:
    return RedisChannel(redis_client, "the server of this test")


@pytest.fixture
def reader(channel: RedisChannel) -> StmRepository:
    return StmRepository(channel, ContentsCodec(), namespace="stm")


@pytest.fixture
def writer(channel: RedisChannel) -> StmRepository:
    """Another process, as far as the reader can tell: it shares nothing but the server."""
    return StmRepository(channel, ContentsCodec(), namespace="stm")


@pytest.fixture
def im(channel: RedisChannel) -> ImRepository:
    return ImRepository(channel, ContentsCodec(), namespace="im")


def found(repository: Any, query: Query = QUERY) -> list[Neighbour]:
    hits: list[Neighbour] = repository.nearest(query, Directions())
    return hits


def counted(reader: StmRepository, monkeypatch: pytest.MonkeyPatch) -> list[Command]:
    """The commands that the reader sends from now on: of words, but where entries are read."""
    sent: list[Command] = []
    ask = reader.channel.call_all

    def noting(commands: Any) -> list[Any]:
        sent.extend(commands)
        return ask(commands)

    monkeypatch.setattr(reader.channel, "call_all", noting)
    return sent


def test_what_is_kept_here_is_not_read_again(
    reader: StmRepository, writer: StmRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.add_many(entries_of(200))
    before = found(reader)
    sent = counted(reader, monkeypatch)
    assert found(reader) == before
    assert len(before) == 10
    assert name_of(sent[0]) == "XRANGE"
    assert [name_of(command) == "HMGET" for command in sent[1:]] == [True] * 10


def test_after_a_foreign_write_only_what_changed_is_read(
    reader: StmRepository, writer: StmRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.add_many(entries_of(200))
    found(reader)
    writer.add_many(new := entries_of(3, seed=1))
    sent = counted(reader, monkeypatch)
    found(reader)
    read = [words[1].decode() for words in sent if isinstance(words, tuple) and words[0] == "HMGET"]
    assert sorted(read) == sorted(PREFIX + entry.memory_id for entry in new)


@pytest.mark.parametrize("count", engines.parameters([1, 40, 80, 700], [1, 40, 80]))
def test_what_others_store_change_and_remove_is_heeded(
    reader: StmRepository, writer: StmRepository, im: ImRepository, count: int
) -> None:
    reference = InMemoryRepository()
    stored = entries_of(count)
    for repository in (writer, reference):
        repository.add_many(stored)
    changes: list[Callable[[Any], object]] = [
        lambda repository: repository.add_many(entries_of(count, seed=1)),
        lambda repository: repository.encodings.reembed([turned(entry) for entry in stored]),
        lambda repository: repository.replace(
            replace(stored[0], embedding=np.ones(16, np.float32), step_number=99)
        ),
        lambda repository: repository.remove_many([entry.key for entry in stored[::2]]),
        lambda repository: repository.add_many([replace(entry, revision=5) for entry in stored]),
        lambda repository: move(repository, im, [replace(entry, revision=5) for entry in stored]),
        lambda repository: repository.clear_agents("run", ["ant"]),
        lambda repository: repository.add_many(stored),
    ]
    for number, change in enumerate(changes):
        # Other ids than those of the other repository are drawn, so that entries are made once.
        made = entries_of(count, seed=1) if number == 0 else None
        for repository in (writer, reference):
            if made is None:
                change(repository)
            else:
                repository.add_many(made)
        assert found(reader) == found(reference), number


@pytest.mark.parametrize("kept", [0, 3])
def test_ids_that_went_and_came_again_in_bulk_are_read_anew(
    reader: StmRepository, writer: StmRepository, kept: int
) -> None:
    reference = InMemoryRepository()
    stored = entries_of(60)
    for repository in (writer, reference):
        repository.add_many(stored)
    found(reader)
    again = [replace(turned(entry), step_number=7) for entry in stored[kept:]]
    for repository in (writer, reference):
        repository.remove_many([entry.key for entry in stored[kept:]])
        repository.add_many(again)
    assert found(reader) == found(reference)
    at_seven = replace(QUERY, steps=(7, 7))
    assert found(reader, at_seven) == found(reference, at_seven)


@engines.redis_usually("embedded")
@pytest.mark.parametrize("seed", range(4))
def test_whatever_happened_between_two_questions_the_answer_is_of_now(
    reader: StmRepository, writer: StmRepository, im: ImRepository, seed: int
) -> None:
    chance = random.Random(seed)
    reference, below = InMemoryRepository(), InMemoryRepository()
    pool = entries_of(150, seed)
    changes: list[Callable[[Any, Any, list[MemoryEntry]], object]] = [
        lambda tier, _, some: tier.add_many([turned(entry) for entry in some]),
        lambda tier, _, some: tier.encodings.reembed([turned(entry) for entry in some]),
        lambda tier, _, some: tier.remove_many([entry.key for entry in some]),
        move,
    ]
    for tier in (writer, reference):
        tier.add_many(pool)
    for _ in range(20):
        for _ in range(chance.randint(1, 4)):
            change, some = chance.choice(changes), chance.sample(pool, chance.choice([1, 49, 100]))
            change(writer, im, some)
            change(reference, below, some)
        assert found(reader) == found(reference)


class Biased(Directions):
    """Directions whose vectors have a bias when they are compared."""

    def bias(self, _version: int | None, _width: int) -> float:
        return 2.0


def test_vectors_that_get_a_bias_do_not_compare_here(
    reader: StmRepository, writer: StmRepository
) -> None:
    writer.add_many(stored := entries_of(300))
    hits = reader.nearest(QUERY, Biased())
    assert {hit.entry.key for hit in hits} == {entry.key for entry in stored}
    assert {hit.cosine for hit in hits} == {None}


def test_an_interrupted_refreshing_is_done_again(
    reader: StmRepository, writer: StmRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = InMemoryRepository()
    stored = entries_of(60)
    for repository in (writer, reference):
        repository.add_many(stored)
    found(reader)
    other = [turned(entry) for entry in stored[:55]]
    for repository in (writer, reference):
        repository.encodings.reembed(other)
    ask = reader.channel.call_all

    def interrupted(commands: Any) -> list[Any]:
        if commands and commands[0][0] == "HMGET":
            raise KeyboardInterrupt
        return ask(commands)

    with monkeypatch.context() as patched:
        patched.setattr(reader.channel, "call_all", interrupted)
        with pytest.raises(KeyboardInterrupt):
            found(reader)
    assert found(reader) == found(reference)


def test_a_log_that_was_cut_or_begun_anew_is_not_taken_for_the_old_one(
    reader: StmRepository, writer: StmRepository, redis_client: redis.Redis
) -> None:
    reference = InMemoryRepository()
    first = entries_of(5)
    writer.add_many(first)
    found(reader)
    later = entries_of(300, seed=2)
    for entry in later:
        writer.add(entry)
    reference.add_many([*first, *later])
    assert found(reader) == found(reference)
    assert redis_client.xlen(PREFIX + "changes") < 250
    writer.clear_agents("run", ["ant"])
    assert found(reader) == []
    again = [turned(entry) for entry in first]
    writer.add_many(again)
    reference.clear_agents("run", ["ant"])
    reference.add_many(again)
    assert found(reader) == found(reference)


def test_what_was_stored_before_there_were_logs_is_read_once(
    reader: StmRepository,
    writer: StmRepository,
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = InMemoryRepository()
    stored = entries_of(60)
    for repository in (writer, reference):
        repository.add_many(stored)
    redis_client.delete(PREFIX + "changes")
    assert found(reader) == found(reference)
    with monkeypatch.context() as patched:
        sent = counted(reader, patched)
        assert found(reader) == found(reference)
        assert len(sent) == 11
    changes: list[Callable[[Any], object]] = [
        lambda repository: repository.encodings.reembed([turned(entry) for entry in stored[:3]]),
        lambda repository: repository.remove_many([entry.key for entry in stored[1:]]),
    ]
    for change in changes:
        for repository in (writer, reference):
            change(repository)
        assert found(reader) == found(reference)
    redis_client.delete(PREFIX + "changes")
    assert found(reader) == found(reference)
    for again in ([], [turned(entry) for entry in stored]):
        for repository in (writer, reference):
            repository.clear_agents("run", ["ant"])
            repository.add_many(again)
        assert found(reader) == found(reference)


def test_a_log_that_begins_anew_within_the_same_millisecond_is_told_apart(
    reader: StmRepository, writer: StmRepository, redis_client: redis.Redis
) -> None:
    stored = entries_of(3)
    writer.add_many(stored)
    found(reader)
    ((record_id, _),) = redis_client.xrange(PREFIX + "changes")
    writer.clear_agents("run", ["ant"])
    again = [turned(entry) for entry in stored]
    writer.add_many(again)
    ((_, noted),) = redis_client.xrange(PREFIX + "changes")
    redis_client.delete(PREFIX + "changes")
    redis_client.xadd(PREFIX + "changes", noted, id=record_id)
    reference = InMemoryRepository()
    reference.add_many(again)
    assert found(reader) == found(reference)


def test_vectors_of_agents_that_were_not_asked_about_lately_make_room(
    channel: RedisChannel, writer: StmRepository
) -> None:
    agents = [f"ant {number}" for number in range(20)]
    for agent in agents:
        writer.add_many(entries_of(100, agent_id=agent))
    reader = StmRepository(channel, ContentsCodec(), namespace="stm", vector_cache_bytes=50_000)
    answers = {agent: found(reader, replace(QUERY, agent_id=agent)) for agent in agents}
    assert 0 < reader._vectors.size <= 50_000
    for agent in agents:
        assert found(reader, replace(QUERY, agent_id=agent)) == answers[agent]
    assert all(len(hits) == 10 for hits in answers.values())


def test_filters_look_at_what_is_stored_now(reader: StmRepository, writer: StmRepository) -> None:
    stored = entries_of(50, memory_type=MemoryType.STATE)
    writer.add_many(stored)
    steps = replace(QUERY, steps=(10, 12))
    assert {hit.entry.step_number for hit in found(reader, steps)} == {10, 11, 12}
    writer.replace(replace(stored[11], memory_type=MemoryType.ACTION, importance_score=0.25))
    states = replace(steps, memory_type=MemoryType.STATE)
    assert {hit.entry.step_number for hit in found(reader, states)} == {10, 12}
    faint = replace(QUERY, importance=(0.0, 0.5))
    assert [hit.entry.step_number for hit in found(reader, faint)] == [11]
    assert found(reader, replace(QUERY, steps=(2**70, 2**80))) == []
    assert len(found(reader, replace(QUERY, steps=(-(2**2000), 2**2000), limit=None))) == 50


@pytest.mark.parametrize("damage", [b"abc", np.full(16, np.nan, "<f4").tobytes()])
def test_a_damaged_vector_is_told_by_the_name_of_its_entry(
    reader: StmRepository, writer: StmRepository, redis_client: redis.Redis, damage: bytes
) -> None:
    stored = entries_of(20)
    writer.add_many(stored)
    redis_client.hset(PREFIX + stored[3].memory_id, "embedding", damage)
    with pytest.raises(EncodingError, match=stored[3].memory_id):
        found(reader)
    others = replace(QUERY, steps=(4, 19))
    assert len(found(reader, others)) == 10


def test_threads_that_write_and_ask_at_once_find_only_what_is_there(
    reader: StmRepository, writer: StmRepository
) -> None:
    stored = entries_of(300)
    writer.add_many(stored)
    faults: list[BaseException] = []

    def ask() -> None:
        try:
            for _ in range(40):
                hits = found(reader)
                assert len({hit.entry.key for hit in hits}) == len(hits)
                cosines = [hit.cosine or 0.0 for hit in hits]
                assert cosines == sorted(cosines, reverse=True)
        except BaseException as fault:  # noqa: BLE001 - handed to the test
            faults.append(fault)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    walk = random.Random(0)
    for number in range(60):
        some = walk.sample(stored, 5)
        if number % 2:
            writer.add_many(some)
        else:
            writer.remove_many([entry.key for entry in some])
    for thread in threads:
        thread.join()
    assert not faults
    reference = InMemoryRepository()
    reference.add_many(reader.find(replace(QUERY, limit=None)))
    assert found(reader) == found(reference)
