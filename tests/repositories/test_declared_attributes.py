"""Declared attributes: the same answers from an index, whoever stored what and whenever."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, false, select, update

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.redis.answers import name_of
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.redis.commands import Command
from agent_memory.connections.sql import open_engine
from agent_memory.models.ltm import ltm_models
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.repositories.redis.repository import ImRepository, StmRepository
from agent_memory.repositories.sql import attributes as sql_attributes
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.repositories.sql.statements import table_of
from agent_memory.testing import a_memory_id, an_entry
from agent_memory.testing.stateful import OracleContract
from agent_memory.tiers.moving import move
from agent_memory.values.conditions import between
from agent_memory.values.entry import MemoryEntry
from agent_memory.values.query import Order, Query
from tests import engines

PATHS = ("a", "b", "c|d*")
PREFIX = b"stm:{run/ant}:"


@pytest.fixture
def channel(redis_client: redis.Redis) -> RedisChannel:
    return RedisChannel(redis_client, "the server of this test")


def declaring(channel: RedisChannel, *paths: str) -> StmRepository:
    """A repository of a process that declares some paths."""
    repository = StmRepository(channel, ContentsCodec(), namespace="stm", indexed_attributes=paths)
    repository.upkeep.declare_attributes()
    return repository


@engines.redis_usually("embedded")
class TestDeclared(OracleContract):
    @pytest.fixture
    def repository(self, channel: RedisChannel) -> StmRepository:
        return declaring(channel, *PATHS)


@engines.sql_usually("sqlite_file")
class TestDeclaredInSql(OracleContract):
    @pytest.fixture
    def repository(self, ltm_engine: Engine) -> LtmRepository:
        return declaring_in_sql(ltm_engine, *PATHS)


def declaring_in_sql(engine: Engine, *paths: str) -> LtmRepository:
    repository = LtmRepository(engine, ContentsCodec(), indexed_attributes=paths)
    repository.upkeep.declare_attributes()
    return repository


def entries_of(count: int) -> list[MemoryEntry]:
    walk = random.Random(3)
    values = [None, True, False, 0, 1, 1.0, -2.5, 10**400, 2**53 + 1, "", "calm", "x" * 300,
              "\ud800", "a|b {*} ü", "\0", "\\u0041", [1], {"in": 3}]  # fmt: skip
    return [
        an_entry(
            memory_id=a_memory_id(number),
            step_number=number,
            timestamp=float(number),
            contents={
                path: walk.choice(values) for path in ("a", "b", "home") if walk.random() < 0.8
            },
        )
        for number in range(count)
    ]


CONDITIONS: list[dict[str, Any]] = [
    {"a": None}, {"a": True}, {"a": 1}, {"a": 0}, {"a": "calm"}, {"a": ""}, {"a": "x" * 300},
    {"a": "\ud800"}, {"a": "a|b {*} ü"}, {"a": 10**400}, {"a": 2**53 + 1}, {"a": 2**53},
    {"a": (-3, 1)}, {"a": (0.5, 10**500)}, {"home.in": 3}, {"a": 1, "b": "calm"}, {"none": 1},
    {"a": "calm", "home.in": 3}, {"a": "\0"}, {"a": "\\u0041"}, {"a": "A"}, {"a": "/u0041"},
    {"a": False}, {"a": between(None, 0)}, {"a": "true"}, {"a": between(2**53, None)},
]  # fmt: skip


def asked(repository: Any, **more: Any) -> list[list[str]]:
    return [
        [
            entry.memory_id
            for entry in repository.find(
                Query(run_id="run", agent_id="ant", attributes=attributes, **more)
            )
        ]
        for attributes in CONDITIONS
    ]


def expected(entries: list[MemoryEntry], **more: Any) -> list[list[str]]:
    reference = InMemoryRepository()
    reference.add_many(entries)
    return asked(reference, **more)


def test_an_index_gives_what_looking_at_every_entry_gives(channel: RedisChannel) -> None:
    entries = entries_of(300)
    repository = declaring(channel, "a", "home.in")
    repository.add_many(entries)
    for more in (
        {}, {"order": Order.NEWEST, "limit": 5}, {"steps": (20, 200), "order": Order.STEP},
        {"times": (5.0, 250.0), "limit": 1}, {"importance": (0.0, 1.0)}, {"limit": 0},
    ):  # fmt: skip
        assert asked(repository, **more) == expected(entries, **more)
    found = expected(entries)
    assert all(found[:4])
    assert found[4]


class TestSql:
    def test_an_index_gives_what_looking_at_every_entry_gives(self, ltm_engine: Engine) -> None:
        entries = entries_of(300)
        repository = declaring_in_sql(ltm_engine, "a", "home.in", 'quote"d', "it's: %s")
        repository.add_many(entries)
        for more in (
            {}, {"order": Order.NEWEST, "limit": 5}, {"steps": (20, 200), "order": Order.STEP},
            {"times": (5.0, 250.0), "limit": 1}, {"limit": 0},
        ):  # fmt: skip
            assert asked(repository, **more) == expected(entries, **more)

    def test_two_numbers_in_a_list_are_found_beside_what_is_no_number(
        self, ltm_engine: Engine
    ) -> None:
        entries = [an_entry(contents={"a": value}) for value in ((1, 2), "x", True, None)]
        repository = declaring_in_sql(ltm_engine, "a")
        repository.add_many(entries)
        query = Query(run_id="run", agent_id="ant", attributes={"a": (1, 2)})
        assert repository.find(query) == entries[:1]
        repository.add(number := an_entry(contents={"a": 1.5}))
        assert repository.find(query) == [number], "docs/configuration.md"

    def test_odd_paths_are_found_too(self, ltm_engine: Engine) -> None:
        paths = ['quote"d', "it's: %s", "a\\b", "[0]", "$", "größe", "a b"]
        entries = [an_entry(contents=dict.fromkeys(paths, "x")), an_entry()]
        repository = declaring_in_sql(ltm_engine, *paths)
        repository.add_many(entries)
        for path in paths:
            query = Query(run_id="run", agent_id="ant", attributes={path: "x"})
            assert repository.find(query) == entries[:1], path

    def test_a_query_uses_the_index(self, ltm_engine: Engine) -> None:
        repository = declaring_in_sql(ltm_engine, "a", "it's: %s")
        values = ({"a": f"v{n % 100}", "it's: %s": n / 100} for n in range(2_000))
        repository.add_many([an_entry(contents=contents) for contents in values])
        with ltm_engine.begin() as connection:
            connection.exec_driver_sql("ANALYZE")
        for conditions in ({"a": "v7"}, {"it's: %s": between(1, 1.2)}, {"it's: %s": (1, 1.2)}):
            query = Query(run_id="run", agent_id="ant", attributes=conditions)
            told = repository.access(query)
            # In a partition PostgreSQL names it.
            assert "_attribute_" in told.way or "_agent_ref_case_" in told.way, told
            assert len(repository.find(query)) in (20, 21)

    def test_an_index_that_cannot_be_made_now_is_made_at_the_next_opening(
        self, ltm_engine: Engine
    ) -> None:
        if ltm_engine.dialect.name != "postgresql":
            pytest.skip("SQLite waits for its one writer")
        hasty = ltm_engine.url.update_query_dict({"options": "-c lock_timeout=50ms"})
        opened = open_engine(hasty.render_as_string(hide_password=False))
        declaring_in_sql(ltm_engine).add(an_entry(contents={"late": 7}))
        query = Query(run_id="run", agent_id="ant", attributes={"late": 7})
        models = ltm_models()
        with ltm_engine.connect() as writing:
            writing.execute(update(table_of(models.LtmEntry)).values(revision=0).where(false()))
            assert len(declaring_in_sql(opened, "late").find(query)) == 1
            assert sql_attributes.without_index(writing, models, ["late"]) == ["late"]
        declaring_in_sql(ltm_engine, "late")  # which waits for as long as it takes
        with ltm_engine.connect() as connection:
            assert sql_attributes.without_index(connection, models, ["late"]) == []
        opened.dispose()

    def test_what_was_stored_before_the_declaration_is_completed(self, ltm_engine: Engine) -> None:
        entries = entries_of(2_500)
        declaring_in_sql(ltm_engine).add_many(entries)
        repository = declaring_in_sql(ltm_engine, "a")
        assert asked(repository) == expected(entries)
        with ltm_engine.connect() as connection:
            assert sql_attributes.declared(connection, ltm_models()) == {"a": True}
            column = ltm_models().LtmEntry.attributes
            stored = connection.scalars(select(column).where(column.is_not(None))).all()
        assert len(stored) == sum("a" in e.contents and not isinstance(
            e.contents["a"], (list, dict)) for e in entries)  # fmt: skip

    def test_a_process_that_does_not_declare_fills_the_column_all_the_same(
        self, ltm_engine: Engine
    ) -> None:
        before = declaring_in_sql(ltm_engine)
        declaring_in_sql(ltm_engine, "a")
        entries = entries_of(100)
        before.add_many(entries)
        before.replace(replace(entries[0], contents={"a": "calm"}))
        entries[0] = replace(entries[0], contents={"a": "calm"}, revision=1)
        assert asked(declaring_in_sql(ltm_engine, "a")) == expected(entries)

    def test_one_damaged_entry_keeps_no_other_from_being_completed(
        self, ltm_engine: Engine
    ) -> None:
        entries = entries_of(30)
        declaring_in_sql(ltm_engine).add_many(entries)
        with ltm_engine.begin() as connection:
            rows = table_of(ltm_models().LtmEntry)
            damaged = update(rows).where(rows.c.step_number == 4).values(contents=b"\xc1")
            connection.execute(damaged)
        repository = declaring_in_sql(ltm_engine, "a")
        sound = [entry for entry in entries if entry is not entries[4]]
        steps = {"steps": (5, 100)}
        assert asked(repository, **steps) == expected(sound, **steps)


def test_only_what_an_index_gives_is_read(
    channel: RedisChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [an_entry(contents={"a": number % 50}) for number in range(500)]
    repository = declaring(channel, "a")
    repository.add_many(entries)
    sent: list[Command] = []
    ask = channel.call_all

    def noting(commands: Any) -> list[Any]:
        sent.extend(commands)
        return ask(commands)

    monkeypatch.setattr(channel, "call_all", noting)
    query = Query(run_id="run", agent_id="ant", attributes={"a": 7})
    assert len(repository.find(query)) == 10
    assert sum(name_of(command) == "HMGET" for command in sent) == 10


def test_what_was_stored_before_the_declaration_is_indexed(channel: RedisChannel) -> None:
    entries = entries_of(700)
    declaring(channel).add_many(entries)
    repository = declaring(channel, "a")
    assert channel.call("EXISTS", PREFIX + b"value:a:tcalm") == 1
    assert asked(repository) == expected(entries)
    again = declaring(channel, "b", "home.in")
    assert asked(again) == asked(repository) == expected(entries)
    assert channel.call("EXISTS", PREFIX + b"number:home_2ein") == 1


def test_a_process_that_does_not_declare_indexes_all_the_same(channel: RedisChannel) -> None:
    before = declaring(channel)  # opened before anyone declared
    declaring(channel, "a")
    entries = entries_of(100)
    before.add_many(entries[:50])
    for entry in entries[50:]:
        before.add(entry)
    before.replace(replace(entries[0], contents={"a": "calm"}))
    entries[0] = replace(entries[0], contents={"a": "calm"}, revision=1)
    assert asked(declaring(channel, "a")) == expected(entries)
    assert a_memory_id(0).encode() in channel.call("ZRANGE", PREFIX + b"value:a:tcalm", 0, -1)


def test_a_move_takes_the_attributes_along(channel: RedisChannel) -> None:
    entries = entries_of(100)
    stm = declaring(channel, "a")
    im = ImRepository(channel, ContentsCodec(), namespace="im", indexed_attributes=["a"])
    im.upkeep.declare_attributes()
    stm.add_many(entries)
    assert all(move(stm, im, entries))
    assert asked(im) == expected(entries)
    assert asked(stm) == expected([])
    assert channel.call("KEYS", b"stm:*") == [b"stm:attributes"] or set(
        channel.call("KEYS", b"stm:*")
    ) == {b"stm:attributes", b"stm:attributes:complete"}


def test_nothing_is_left_of_the_attributes_of_what_is_gone(channel: RedisChannel) -> None:
    repository = declaring(channel, "a", "home.in")
    entries = entries_of(60)
    kept = {b"stm:attributes", b"stm:attributes:complete"}
    for remove in (
        lambda: repository.clear_agents("run", ["ant"]),
        lambda: repository.remove_many([entry.key for entry in entries]),
        lambda: [repository.remove(entry.key) for entry in entries],
        lambda: repository.remove_copied(entries),
    ):
        repository.add_many(entries)
        remove()
        assert set(channel.call("KEYS", b"*")) == kept


def test_a_server_that_lost_everything_is_told_the_declaration_again(
    channel: RedisChannel,
) -> None:
    repository = declaring(channel, "a")
    repository.add_many(entries_of(20))
    channel.call("FLUSHALL")
    entries = entries_of(50)
    repository.add_many(entries)
    assert asked(repository) == expected(entries)
    assert channel.call("GET", b"stm:attributes") == b" a \n"
    assert asked(declaring(channel, "a")) == expected(entries)


def test_one_damaged_entry_keeps_no_other_from_being_indexed(channel: RedisChannel) -> None:
    entries = entries_of(30)
    declaring(channel).add_many(entries)
    channel.call("HSET", PREFIX + entries[4].memory_id.encode(), "contents", b"\xc1")
    repository = declaring(channel, "a")
    sound = [entry for entry in entries if entry is not entries[4]]
    steps = {"steps": (5, 100)}
    assert asked(repository, **steps) == expected(sound, **steps)


@pytest.mark.long
def test_attributes_declared_later_reach_every_tier_though_the_first_try_is_killed(
    tmp_path: Path,
) -> None:
    limits = {"stm_config": {"memory_limit": 300}, "im_config": {"memory_limit": 300}}
    config = MemoryConfig(path=tmp_path, engine="embedded", search=False, **limits)
    moods = ("calm", "alert", "hungry")
    with AgentMemorySystem(config) as memory:
        for step in range(900):
            memory.store_agent_state("ant", {"mood": moods[step % 3], "n": step}, step)
    for pause in (0.0, 0.05, 0.15):
        ways = multiprocessing.get_context("spawn")
        child = ways.Process(target=_declare_there, args=(tmp_path, limits))
        child.start()
        _await_declaration(tmp_path, pause)
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
    declared = MemoryConfig(**{**dict(config), "indexed_attributes": ("mood", "n")})
    with AgentMemorySystem(declared) as memory:
        query = Query(agent_id="ant", attributes={"mood": "calm", "n": (300, 599)})
        hits = memory.recall(query)
        assert [hit.entry.contents["n"] for hit in hits] == [*range(300, 600, 3)]
        every = memory.recall(Query(agent_id="ant", attributes={"mood": "alert"}))
        assert {hit.tier.name for hit in every} == {"STM", "IM", "LTM"}
        assert len(every) == 300


def _await_declaration(folder: Path, pause: float) -> None:
    deadline = time.monotonic() + 30
    while not (folder / "declaring").exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    (folder / "declaring").unlink(missing_ok=True)
    time.sleep(pause)


def _declare_there(folder: Path, limits: dict[str, Any]) -> None:
    (folder / "declaring").touch()
    config = MemoryConfig(
        path=folder, engine="embedded", search=False, indexed_attributes=("mood", "n"), **limits
    )
    with AgentMemorySystem(config):
        time.sleep(30)
