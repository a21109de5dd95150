"""Looks at what lies beneath the repositories, and seeds it, so that no symmetric bug can hide."""

from __future__ import annotations

import json
import random
import sqlite3
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import redis
from sqlalchemy import Engine

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.errors import EncodingError, EntryConflict, EntryNotFound
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.outcomes import Added
from agent_memory.repositories.redis.repository import ImRepository, StmRepository
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.testing import HOSTILE_NAMES, a_memory_id, an_entry
from agent_memory.tiers.moving import move
from agent_memory.values.entry import MemoryEntry, MemoryType
from agent_memory.values.query import Order, Query

# {"energy": 3} in MessagePack, with the first byte of an array and a CRC-32 behind it.
_SEALED = b"\x91\xa6energy\x03:\x7f=\x06"
_STM, _IM = "agent_memory:stm", "agent_memory:im"
_PREFIX = b"agent_memory:stm:{run/ant}:"
_ID = a_memory_id(0xA1)


@pytest.fixture
def channel(redis_client: redis.Redis) -> RedisChannel:
    return RedisChannel(redis_client, "the server of this test")


@pytest.fixture
def stm(channel: RedisChannel) -> StmRepository:
    return StmRepository(channel, ContentsCodec(), namespace=_STM, clock=lambda: 1234.5)


@pytest.fixture
def im(channel: RedisChannel) -> ImRepository:
    return ImRepository(channel, ContentsCodec(), namespace=_IM)


def _entry(**fields: Any) -> MemoryEntry:
    usual = {
        "memory_id": _ID, "step_number": 3, "timestamp": 0.1 + 0.2, "importance_score": 1 / 3,
        "contents": {"energy": 3}, "retrieval_count": 5, "revision": 2, "creation_time": 0.25,
        "last_access_time": 7.5, "embedding": np.array([1.5, -0.0], np.float32),
        "encoder_version": 4, "error_bounds": {"energy": 0.5},
    }  # fmt: skip
    return an_entry(**usual | fields)


def _keys(client: redis.Redis) -> set[bytes]:
    found: list[Any] = client.keys("*")
    return set(found)


class TestRedisBeneath:
    def test_an_entry_is_one_hash_and_its_place_in_each_index(
        self, redis_client: redis.Redis, stm: StmRepository
    ) -> None:
        stm.add(_entry())
        names = (b"steps", b"times", b"importance", b"type:state", b"changes", _ID.encode())
        registries = {b"agent_memory:stm:agents:run", b"agent_memory:stm:runs"}
        assert _keys(redis_client) == {_PREFIX + name for name in names} | registries
        for index, score in {
            b"steps": 3.0, b"times": 0.1 + 0.2, b"importance": 1 / 3, b"type:state": 0.1 + 0.2,
        }.items():  # fmt: skip
            assert redis_client.zrange(_PREFIX + index, 0, -1, withscores=True) == [
                (_ID.encode(), score)
            ]
        assert redis_client.zrange("agent_memory:stm:agents:run", 0, -1, withscores=True) == [
            (b"ant", 1234.5)
        ]
        assert redis_client.smembers("agent_memory:stm:runs") == {b"run"}
        [(_, noted)] = redis_client.xrange(_PREFIX + b"changes")
        assert noted == {b"1234.5": _ID.encode()}

    def test_the_hash_holds_every_field_as_documented(
        self, redis_client: redis.Redis, stm: StmRepository
    ) -> None:
        stm.add(_entry())
        stored = redis_client.hgetall(_PREFIX + _ID.encode())
        assert stored == {
            b"memory_id": _ID.encode(),
            b"run_id": b"run",
            b"agent_id": b"ant",
            b"step_number": b"3",
            b"timestamp": b"0.30000000000000004",
            b"memory_type": b"state",
            b"importance_score": b"0.3333333333333333",
            b"compression_level": b"0",
            b"retrieval_count": b"5",
            b"creation_time": b"0.25",
            b"last_access_time": b"7.5",
            b"revision": b"2",
            b"contents": _SEALED,
            b"embedding": struct.pack("<2f", 1.5, -0.0),
            b"encoder_version": b"4",
            b"error_bounds": stored[b"error_bounds"],
        }
        assert json.loads(stored[b"error_bounds"]) == {"energy": 0.5}

    def test_what_is_absent_takes_no_field(
        self, redis_client: redis.Redis, stm: StmRepository
    ) -> None:
        stm.add(_entry(embedding=None, encoder_version=None, error_bounds=None))
        stored = redis_client.hgetall(_PREFIX + _ID.encode())
        assert not {b"embedding", b"encoder_version", b"error_bounds"} & stored.keys()

    def test_a_hash_seeded_by_hand_is_read_right(
        self, redis_client: redis.Redis, stm: StmRepository
    ) -> None:
        _seed_by_hand(redis_client)
        assert stm.get(_entry().key) == _entry()
        assert (
            stm.find(Query(run_id="run", agent_id="ant", limit=10))
            == stm.find(
                Query(run_id="run", agent_id="ant", importance=(0.0, 1.0), order=Order.IMPORTANCE)
            )
            == [_entry()]
        )
        assert stm.find(
            Query(run_id="run", agent_id="ant", steps=(3, 3), order=Order.STEP)
        ) == stm.find(
            Query(run_id="run", agent_id="ant", memory_type=MemoryType.STATE, order=Order.NEWEST)
        )
        assert (stm.runs(), stm.agents("run"), stm.count("run")) == (["run"], ["ant"], 1)
        assert stm.add(_entry()) is Added.PRESENT
        assert stm.replace(_entry()).revision == 3
        assert stm.remove(_entry().key, revision=3) is True
        assert _keys(redis_client) == set()

    def test_a_name_is_spelled_with_letters_digits_and_underscores_alone(
        self, redis_client: redis.Redis, stm: StmRepository
    ) -> None:
        stm.add_many([an_entry(run_id=name, agent_id=name) for name in HOSTILE_NAMES])
        names = [
            "".join(
                chr(byte) if chr(byte).isalnum() and byte < 128 else f"_{byte:02x}"
                for byte in name.encode()
            ).encode()
            for name in HOSTILE_NAMES
        ]
        assert redis_client.smembers("agent_memory:stm:runs") == {*names}
        for spelled in names:
            assert redis_client.zrange(b"agent_memory:stm:agents:" + spelled, 0, -1) == [spelled]
            assert redis_client.exists(b"agent_memory:stm:{%s/%s}:steps" % (spelled, spelled))

    def test_nothing_is_left_of_what_was_removed_in_any_way(
        self, redis_client: redis.Redis, stm: StmRepository, im: ImRepository
    ) -> None:
        for way in range(6):
            entries = [
                an_entry(agent_id=agent, memory_type=kind)
                for agent in ("a", "b*")
                for kind in MemoryType
            ]
            stm.add_many(entries)
            entries = [stm.replace(replace(e, memory_type=MemoryType.ACTION)) for e in entries]
            keys = [entry.key for entry in entries]
            if way == 0:
                assert all(stm.remove(key) for key in keys)
            elif way == 1:
                stm.remove_many(keys)
            elif way == 2:
                stm.remove_copied(entries)
            elif way == 3:
                for agent in ("a", "b*"):
                    stm.clear_agents("run", [agent])
            elif way == 4:
                stm.clear_run("run")
            else:
                assert all(move(stm, im, entries))
                assert im.remove_many(keys) == len(keys)
            assert _keys(redis_client) == set(), way

    def test_indexes_hold_just_the_hashes_after_any_sequence_of_writes(
        self, redis_client: redis.Redis, stm: StmRepository, im: ImRepository
    ) -> None:
        walk = random.Random(7)
        for _ in range(150):
            _write_something(walk, stm, im)
            _check_indexes(redis_client, _STM)
            _check_indexes(redis_client, _IM)

    def test_a_move_leaves_nothing_behind_and_an_entry_and_its_places_there(
        self, redis_client: redis.Redis, stm: StmRepository, im: ImRepository
    ) -> None:
        stm.add(_entry())
        move(stm, im, [_entry(compression_level=1)])
        assert {key for key in _keys(redis_client) if key.startswith(b"agent_memory:stm")} == set()
        assert len(_keys(redis_client)) == 8
        _check_indexes(redis_client, _IM)

    def test_two_namespaces_and_foreign_keys_are_left_alone(
        self, redis_client: redis.Redis, stm: StmRepository, im: ImRepository
    ) -> None:
        foreign = {b"agent_memory:stm": b"1", b"agent_memory:stmx:runs": b"2", b"runs": b"3"}
        redis_client.mset(foreign)
        stm.add(_entry())
        im.add(_entry())
        assert stm.clear_run("run") == 1
        assert im.count("run") == 1
        im.clear_run("run")
        assert _keys(redis_client) == foreign.keys()
        assert redis_client.mget(foreign) == list(foreign.values())

    def test_a_hash_that_vanished_beneath_its_indexes_is_no_entry(
        self, redis_client: redis.Redis, stm: StmRepository
    ) -> None:
        stm.add_many([_entry(), _entry(memory_id=a_memory_id(2))])
        redis_client.delete(_PREFIX + _ID.encode())
        assert [
            entry.memory_id for entry in stm.find(Query(run_id="run", agent_id="ant", limit=10))
        ] == [a_memory_id(2)]
        with pytest.raises(EntryNotFound):
            stm.get(_entry().key)
        assert stm.add(_entry()) is Added.STORED
        _check_indexes(redis_client, _STM)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("contents", b"\xc1"), ("contents", b""), ("contents", None), ("timestamp", b"soon"),
            ("timestamp", b"nan"), ("step_number", b"-1"), ("memory_type", b"dream"),
            ("embedding", b"abc"), ("revision", None), ("error_bounds", b"{"), ("run_id", b"_ff"),
            ("importance_score", b"2"), ("memory_id", b"\xff"),
        ],
    )  # fmt: skip
    def test_a_damaged_hash_is_told_and_the_others_stay_readable(
        self, redis_client: redis.Redis, stm: StmRepository, field: str, value: bytes | None
    ) -> None:
        sound = _entry(memory_id=a_memory_id(2))
        stm.add_many([_entry(), sound])
        if value is None:
            redis_client.hdel(_PREFIX + _ID.encode(), field)
        else:
            redis_client.hset(_PREFIX + _ID.encode(), field, value)
        if field == "revision":
            assert stm.get_many([sound.key]) == [sound]
            return  # without a revision the scripts take it for absent
        with pytest.raises(EncodingError):
            stm.get(_entry().key)
        assert stm.get(sound.key) == sound

    def test_a_server_that_lost_its_scripts_gets_them_again(
        self, redis_client: redis.Redis, stm: StmRepository
    ) -> None:
        entry = _entry()
        stm.add(entry)
        redis_client.script_flush()
        stm.touch({entry.key: 1}, at=9.0)
        redis_client.script_flush()
        assert stm.replace(entry).retrieval_count == 6
        redis_client.script_flush()
        assert stm.clear_run("run") == 1


def _seed_by_hand(client: redis.Redis) -> None:
    member = _ID.encode()
    client.hset(
        _PREFIX + member,
        mapping={
            "memory_id": _ID, "run_id": "run", "agent_id": "ant", "step_number": "3",
            "timestamp": "0.30000000000000004", "memory_type": "state",
            "importance_score": "0.3333333333333333", "compression_level": "0",
            "retrieval_count": "5", "creation_time": "0.25", "last_access_time": "7.5",
            "revision": "2", "contents": _SEALED, "encoder_version": "4",
            "embedding": b"\x00\x00\xc0\x3f\x00\x00\x00\x80", "error_bounds": '{"energy":0.5}',
        },
    )  # fmt: skip
    client.zadd(_PREFIX + b"steps", {member: 3})
    client.zadd(_PREFIX + b"times", {member: 0.1 + 0.2})
    client.zadd(_PREFIX + b"type:state", {member: 0.1 + 0.2})
    client.zadd(_PREFIX + b"importance", {member: 1 / 3})
    client.zadd("agent_memory:stm:agents:run", {"ant": 1.0})
    client.sadd("agent_memory:stm:runs", "run")


def _some_entry(walk: random.Random) -> MemoryEntry:
    agent = walk.choice("ab")
    return an_entry(
        memory_id=a_memory_id(walk.randrange(6) + 16 * ord(agent)),
        run_id=walk.choice(("run", "run*")),
        agent_id=agent,
        step_number=walk.randrange(3),
        timestamp=walk.random(),
        importance_score=walk.random(),
        memory_type=walk.choice(list(MemoryType)),
        revision=walk.randrange(3),
        retrieval_count=walk.randrange(3),
    )


def _write_something(walk: random.Random, stm: StmRepository, im: ImRepository) -> None:
    repository: MemoryRepository = walk.choice((stm, stm, im))
    entry = _some_entry(walk)
    what = walk.randrange(9)
    if what < 4:
        repository.add_many([_some_entry(walk) for _ in range(walk.randrange(4))])
    elif what == 4:
        for stored in repository.get_many([entry.key]):
            repository.replace(replace(entry, revision=stored.revision))
        with pytest.raises((EntryConflict, EntryNotFound)):
            repository.replace(replace(entry, revision=99))
    elif what == 5:
        repository.remove_copied(
            repository.find(Query(run_id=entry.run_id, agent_id=entry.agent_id, limit=2))
        )
    elif what == 6:
        move(stm, im, stm.find(Query(run_id=entry.run_id, agent_id=entry.agent_id, limit=3)))
    elif what == 7:
        repository.remove_many([_some_entry(walk).key for _ in range(4)])
    elif walk.random() < 0.3:
        repository.clear_agents(entry.run_id, [entry.agent_id])


def _check_indexes(client: Any, namespace: str) -> None:
    """Every hash is in each of its indexes with the score it says, and nothing else is."""
    expected: dict[bytes, dict[bytes, float]] = {}
    registered: dict[bytes, set[bytes]] = {}
    for key in client.scan_iter(f"{namespace}:{{*", count=1000):
        prefix, _, name = key.rpartition(b"}:")
        if len(name) != 32:
            continue
        stored = client.hgetall(key)
        prefix += b"}:"
        registered.setdefault(stored[b"run_id"], set()).add(stored[b"agent_id"])
        for index, field in (
            (b"steps", b"step_number"), (b"times", b"timestamp"),
            (b"importance", b"importance_score"), (b"type:" + stored[b"memory_type"], b"timestamp"),
        ):  # fmt: skip
            expected.setdefault(prefix + index, {})[name] = float(stored[field])
    found = {
        key: dict(client.zrange(key, 0, -1, withscores=True))
        for key in client.scan_iter(f"{namespace}:{{*", count=1000)
        if len(key.rpartition(b"}:")[2]) != 32 and not key.endswith(b"}:changes")
    }
    assert found == expected
    logs = set(client.scan_iter(f"{namespace}:{{*}}:changes", count=1000))
    assert logs == {key[: -len(b"steps")] + b"changes" for key in found if key.endswith(b"}:steps")}
    assert client.smembers(f"{namespace}:runs") == registered.keys()
    for run, agents in registered.items():
        assert set(client.zrange(f"{namespace}:agents:".encode() + run, 0, -1)) == agents


@pytest.fixture
def ltm(sqlite_file: Any) -> LtmRepository:
    sqlite_file.empty()
    engine: Engine = sqlite_file.engine
    return LtmRepository(engine, ContentsCodec())


@pytest.fixture
def database(ltm: LtmRepository, sqlite_path: Path) -> Iterator[sqlite3.Connection]:
    """The file of long-term memory, opened with the standard library alone."""
    with closing(sqlite3.connect(sqlite_path, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


_TIER_2 = {"compression_level": 2}


def _only(database: sqlite3.Connection, table: str) -> dict[str, Any]:
    [row] = database.execute(f"SELECT * FROM agent_ltm_{table}")  # noqa: S608 - a name of ours
    return dict(row)


def _number_of_rows(database: sqlite3.Connection, table: str) -> int:
    [[number]] = database.execute(f"SELECT count(*) FROM agent_ltm_{table}")  # noqa: S608 - as above
    return int(number)


class TestSqlBeneath:
    def test_an_entry_is_one_row_that_refers_to_names(
        self, database: sqlite3.Connection, ltm: LtmRepository
    ) -> None:
        ltm.add(_entry(**_TIER_2))
        row = _only(database, "entries")
        run, agent = _only(database, "runs"), _only(database, "agents")
        [[kind]] = database.execute(
            "SELECT name FROM agent_ltm_types WHERE id = ?", (row["type_ref"],)
        )
        assert (run["name"], agent["name"], kind) == ("run", "ant", "state")
        assert (row["run_ref"], row["agent_ref"]) == (run["id"], agent["id"])
        assert agent["run_id"] == run["id"]
        assert row["memory_id"] == bytes.fromhex(_ID)
        assert row["contents"] == _SEALED
        # Both are numbers of half precision, and rest so.
        assert row["embedding"] == struct.pack("<2e", 1.5, -0.0)
        assert (row["step_number"], row["timestamp"]) == (3, 0.1 + 0.2)
        assert (row["importance_score"], row["compression_level"]) == (1 / 3, 2)
        assert (row["retrieval_count"], row["revision"]) == (5, 2)
        assert (row["creation_time"], row["last_access_time"]) == (0.25, 7.5)
        assert row["encoder_version"] == 4
        assert msgpack.unpackb(row["error_bounds"]) == {"energy": 0.5}

    def test_times_that_equal_the_timestamp_take_no_space(
        self, database: sqlite3.Connection, ltm: LtmRepository
    ) -> None:
        entry = an_entry(timestamp=7.5)
        ltm.add(entry)
        row = _only(database, "entries")
        assert row["creation_time"] is row["last_access_time"] is None
        ltm.touch({entry.key: 1}, at=8.0)
        assert _only(database, "entries")["last_access_time"] == 8.0

    def test_a_row_seeded_by_hand_is_read_right(
        self, database: sqlite3.Connection, ltm: LtmRepository
    ) -> None:
        _seed_rows_by_hand(database)
        expected = _entry(run_id="run?", agent_id="a'nt", **_TIER_2)
        assert ltm.get(expected.key) == expected
        assert (
            ltm.find(Query(run_id="run?", agent_id="a'nt", limit=10))
            == ltm.find(Query(run_id="run?", agent_id="a'nt", steps=(3, 3), order=Order.STEP))
            == [expected]
        )
        assert (ltm.runs(), ltm.agents("run?"), ltm.count("run?")) == (["run?"], ["a'nt"], 1)
        assert ltm.add(expected) is Added.PRESENT
        assert ltm.replace(expected).revision == 3
        assert ltm.forget([expected.key], at=9.0) == 1
        assert _number_of_rows(database, "entries") == 0

    def test_a_tombstone_seeded_by_hand_is_respected(
        self, database: sqlite3.Connection, ltm: LtmRepository
    ) -> None:
        _seed_rows_by_hand(database)
        database.execute(
            "INSERT INTO agent_ltm_tombstones (run_ref, memory_id, forgotten_at) VALUES (71, ?, 1)",
            (bytes.fromhex(a_memory_id(5)),),
        )
        forgotten = an_entry(run_id="run?", memory_id=a_memory_id(5))
        assert ltm.add(forgotten) is Added.FORGOTTEN

    def test_forgetting_leaves_a_tombstone_and_no_row(
        self, database: sqlite3.Connection, ltm: LtmRepository
    ) -> None:
        entry = _entry()
        ltm.add(entry)
        ltm.forget([entry.key], at=1234.5)
        tombstone = _only(database, "tombstones")
        assert tombstone["memory_id"] == bytes.fromhex(_ID)
        assert tombstone["run_ref"] == _only(database, "runs")["id"]
        assert tombstone["forgotten_at"] == 1234.5
        assert _number_of_rows(database, "entries") == 0

    def test_each_way_of_removing_deletes_the_row_and_marks_nothing(
        self, database: sqlite3.Connection, ltm: LtmRepository
    ) -> None:
        entry = _entry()
        for remove in (
            lambda: ltm.remove(entry.key),
            lambda: ltm.remove_many([entry.key]),
            lambda: ltm.remove_copied([entry]),
            lambda: ltm.clear_agents("run", ["ant"]),
            lambda: ltm.clear_run("run"),
        ):
            assert ltm.add(entry) is Added.STORED
            assert _number_of_rows(database, "entries") == 1
            remove()
            assert _number_of_rows(database, "entries") == 0
        assert _number_of_rows(database, "tombstones") == 0

    def test_a_name_is_kept_once_however_many_entries_have_it(
        self, database: sqlite3.Connection, ltm: LtmRepository
    ) -> None:
        for _ in range(3):
            ltm.add_many([an_entry(agent_id=name) for name in ("a", "b", "a")])
        ltm.clear_run("run")
        ltm.add(an_entry(agent_id="b"))
        assert _number_of_rows(database, "runs") == 1
        assert _number_of_rows(database, "agents") == 2

    def test_a_name_that_was_deleted_beneath_is_made_again(
        self, database: sqlite3.Connection, ltm: LtmRepository
    ) -> None:
        ltm.add(_entry())
        database.execute("PRAGMA foreign_keys=ON")
        for table in ("entries", "agents", "runs"):
            database.execute(f"DELETE FROM agent_ltm_{table}")  # noqa: S608 - a name of ours
        assert ltm.add(_entry()) is Added.STORED
        assert ltm.get(_entry().key) == _entry()

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("contents", b"\xc1"), ("contents", b""), ("embedding", b"abc"),
            ("embedding_coding", 99), ("step_number", -1), ("importance_score", 2.0),
            ("error_bounds", b"\xc1"), ("contents", b"\x81\xa1a\xc7\x00\x63"),
        ],
    )  # fmt: skip
    def test_a_damaged_row_is_told_and_the_others_stay_readable(
        self, database: sqlite3.Connection, ltm: LtmRepository, column: str, value: Any
    ) -> None:
        sound = _entry(memory_id=a_memory_id(2))
        ltm.add_many([_entry(), sound])
        database.execute(
            f"UPDATE agent_ltm_entries SET {column} = ? WHERE memory_id = ?",  # noqa: S608 - ours
            (value, bytes.fromhex(_ID)),
        )
        with pytest.raises(EncodingError, match=_ID):
            ltm.get(_entry().key)
        assert ltm.get(sound.key) == sound

    def test_a_write_waits_for_another_process_that_holds_the_lock(
        self, sqlite_path: Path, ltm: LtmRepository
    ) -> None:
        with closing(
            sqlite3.connect(sqlite_path, isolation_level=None, check_same_thread=False)
        ) as other:
            other.execute("BEGIN IMMEDIATE")
            begun = time.monotonic()
            release = threading.Timer(0.4, other.execute, ["ROLLBACK"])
            release.start()
            assert ltm.runs() == []
            assert time.monotonic() - begun < 0.4, "readers do not wait"
            assert ltm.add(_entry()) is Added.STORED
            assert time.monotonic() - begun > 0.4
            release.join()

    def test_what_was_not_committed_is_not_there(
        self, database: sqlite3.Connection, ltm: LtmRepository
    ) -> None:
        ltm.add(_entry())
        with ltm.unit_of_work() as work:
            assert work.delete_rows([_only(database, "entries")["id"]]) == 1
        assert _number_of_rows(database, "entries") == 1
        assert ltm.get(_entry().key) == _entry()

    def test_the_file_is_sound_after_many_writes(
        self, database: sqlite3.Connection, ltm: LtmRepository
    ) -> None:
        entries = [an_entry(agent_id=f"agent {place % 5}") for place in range(500)]
        ltm.add_many(entries)
        ltm.touch({entry.key: 1 for entry in entries[::2]}, at=5.0)
        ltm.remove_many([entry.key for entry in entries[::3]])
        ltm.forget([entry.key for entry in entries[1::3]], at=5.0)
        assert [list(row) for row in database.execute("PRAGMA integrity_check")] == [["ok"]]
        assert list(database.execute("PRAGMA foreign_key_check")) == []
        assert _number_of_rows(database, "entries") == ltm.count("run") == 166
        assert [list(row) for row in database.execute("PRAGMA journal_mode")] == [["wal"]]


def _seed_rows_by_hand(database: sqlite3.Connection) -> None:
    database.execute(
        "INSERT INTO agent_ltm_runs (id, name, status, created_at) VALUES (71, 'run?', 'done', 0)"
    )
    database.execute("INSERT INTO agent_ltm_agents (id, run_id, name) VALUES (72, 71, 'a''nt')")
    database.execute(
        "INSERT INTO agent_ltm_types (name) SELECT 'state' "
        "WHERE NOT EXISTS (SELECT 1 FROM agent_ltm_types WHERE name = 'state')"
    )
    database.execute(
        "INSERT INTO agent_ltm_encoder_versions (id, status, format, created_at) "
        "VALUES (4, 'unregistered', 0, 0)"
    )
    database.execute(
        "INSERT INTO agent_ltm_entries (run_ref, agent_ref, type_ref, memory_id, step_number, "
        "timestamp, importance_score, compression_level, retrieval_count, revision, "
        "creation_time, last_access_time, embedding_coding, embedding, contents, "
        "encoder_version, error_bounds) VALUES (71, 72, "
        "(SELECT id FROM agent_ltm_types WHERE name = 'state'), ?, 3, 0.30000000000000004, "
        "0.3333333333333333, 2, 5, 2, 0.25, 7.5, 0, X'0000C03F00000080', X'81A6656E6572677903', "
        "4, X'81A6656E65726779CB3FE0000000000000')",
        (bytes.fromhex(_ID),),
    )
