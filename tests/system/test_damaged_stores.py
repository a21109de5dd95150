"""Stored bytes flipped, cut off, replaced or gone: a typed error, and others stay whole."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import zstandard

from agent_memory import AgentMemorySystem, MemoryConfig, MemoryStoreError, Query, Vector
from agent_memory.compression.levels import MOST_UNSQUEEZED, ContentsCodec
from agent_memory.connections.folder_record import recorded_config
from agent_memory.errors import ConfigError, EncodingError
from agent_memory.testing import an_entry
from agent_memory.tiers.spool import Spool
from agent_memory.tiers.waiting import Waiting, coded, decoded
from tests.fuzzing import cases, count_case

HOSTILE = (
    *(b"", b"-1", b"1e999", b"nan", b"null", b"{}", b"\xff\xfe", b"9" * 5_000, b"[" * 20_000),
    *(b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x81\xa1a\xc6\xff\xff\xff\xff"),
    *(b"\x81\xa1a\xc9\xff\xff\xff\xff\x08", b"\x7f" + b"\xff" * 9, b"\x03abc", b"\x81" * 2_000),
    *(b"\x01(\xb5/\xfd\xa4\x00\x00\x00\x80" + b"\0" * 10,),
)


def damaged(stored: bytes, chance: random.Random) -> bytes:
    """Bytes as damage or malice might leave them."""
    kind = chance.randrange(5)
    changed = bytearray(stored)
    if kind == 0 and changed:
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del changed[chance.randrange(len(changed) + 1) :]
    elif kind == 2:
        changed = bytearray(chance.randbytes(len(changed)))
    elif kind == 3 and changed:
        changed = changed * 2
    else:
        changed = bytearray(chance.choice(HOSTILE))
    return bytes(changed)


def damage_server(client: redis.Redis, chance: random.Random) -> None:
    """Damage one thing of agent a, or of what all agents share; b's own stays whole."""
    keys = [key for key in client.keys("*") if b"/b}" not in key]
    key = chance.choice(sorted(keys))
    kind = client.type(key)
    if chance.random() < 0.1:
        client.delete(key)
        client.set(key, b"of another type")
    elif kind == b"hash":
        field = chance.choice(sorted(client.hgetall(key)))
        if chance.random() < 0.15:
            client.hdel(key, field)
        else:
            client.hset(key, field, damaged(client.hget(key, field) or b"", chance))
    elif kind == b"zset":
        member, score = chance.choice(client.zrange(key, 0, -1, withscores=True))
        client.zrem(key, member)
        client.zadd(key, {damaged(member, chance): chance.choice([score, -5.0, 1e300])})
    elif kind == b"set":
        client.sadd(key, damaged(min(client.smembers(key)), chance))
    elif kind == b"string":
        client.set(key, damaged(client.get(key) or b"", chance))


def damage_rows(file: Path, chance: random.Random) -> None:
    """Damage a value of a row of agent a."""
    with contextlib.closing(sqlite3.connect(file)) as database:
        table = "agent_ltm_entries"
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        column = chance.choice([name for name in columns if name != "agent_ref"])
        (agent,) = database.execute("SELECT id FROM agent_ltm_agents WHERE name = 'a'").fetchone()
        rows = database.execute(
            f"SELECT memory_id, {column} FROM {table} WHERE agent_ref = ? ORDER BY 1",  # noqa: S608
            (agent,),
        ).fetchall()
        memory_id, value = chance.choice(rows)
        raw = value if isinstance(value, bytes) else str(value).encode()
        new = chance.choice([None, -1, 2**63 - 1, 1.5, "x", "[[[" * 3_000, damaged(raw, chance)])
        with contextlib.suppress(sqlite3.Error):  # the database refuses some by itself
            database.execute(
                f"UPDATE {table} SET {column} = ? WHERE memory_id = ?",  # noqa: S608
                (new, memory_id),
            )
        database.commit()


def calls_of(system: AgentMemorySystem) -> list[Callable[[], object]]:
    mine = Query(agent_id="a")
    tiers = (system.stm, system.im, system.ltm)
    return [
        lambda: system.recall(mine),
        lambda: system.recall(mine, near={"v": 1}, touch=False),
        lambda: system.recall(mine, near=Vector([0.1] * 32), touch=False),
        lambda: system.recall(Query(agent_id="a", attributes={"v": (0, 5)}), touch=False),
        lambda: system.store_agent_state("a", {"v": 3}, 30),
        system.maintain,
        lambda: [tier.encodings.versions() for tier in tiers],
        lambda: [tier.upkeep.stored_bytes() for tier in tiers],
        lambda: [tier.agents(run) for tier in tiers for run in tier.runs()],
        lambda: system.forget("a"),
    ]


def a_memory(folder: Path) -> AgentMemorySystem:
    small: dict[str, Any] = {"memory_limit": 2}
    system = AgentMemorySystem(
        MemoryConfig(
            engine="fake",
            ltm_config={"db_path": str(folder / "ltm.db")},
            stm_config=small,
            im_config=small,
            cleanup_interval=3,
            indexed_attributes=("v",),
        )
    )
    for step in range(6):
        for agent in "ab":
            big = ["abc"] * 200 if step % 4 == 0 else 1
            system.store_agent_state(agent, {"v": step, "pos": (1.5, step), "big": big}, step)
    system.maintain()
    return system


def look_at_damage(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    with a_memory(folder) as system:
        expected = [hit.entry.contents for hit in system.recall(Query(agent_id="b"), touch=False)]
        assert len(expected) == 6
        if chance.random() < 0.6:
            damage_server(system._resources.connections.stm.client, chance)
        else:
            damage_rows(folder / "ltm.db", chance)
        for call in calls_of(system):
            with contextlib.suppress(MemoryStoreError):
                call()
            count_case()
        found = [hit.entry.contents for hit in system.recall(Query(agent_id="b"), touch=False)]
        assert found == expected, "the other agent's memories"


@pytest.mark.faults
def test_one_damaged_thing_is_a_typed_error_and_leaves_the_others_readable(tmp_path: Path) -> None:
    for seed in range(cases(12)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            look_at_damage(folder, seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


def test_a_row_that_claims_gigabytes_is_refused_before_they_are_taken() -> None:
    codec = ContentsCodec()
    bomb = zstandard.compress(bytes(MOST_UNSQUEEZED + 1))
    assert len(bomb) < 100_000
    with pytest.raises(EncodingError, match="max_entry_bytes"):
        codec.decode(b"\x01" + bomb, 0)
    for claimed in (b"\x01(\xb5/\xfd\xa4\xff\xff\xff\xff", b"\x01(\xb5/\xfd\xe4" + b"\xff" * 8):
        with pytest.raises(EncodingError):
            codec.decode(claimed + bytes(20), 0)


@pytest.mark.faults
def test_contents_of_any_bytes_are_read_or_refused_by_a_typed_error() -> None:
    codec, chance = ContentsCodec(), random.Random(0)
    entry = an_entry(contents={"a": [1, (2.5, None)], "b": {"c": {3}}, "text": "x" * 300})
    for level in (0, 1):
        stored = codec.encode(an_entry(contents=entry.contents, compression_level=level))
        for _ in range(cases(1_000)):
            with contextlib.suppress(EncodingError):
                codec.decode(damaged(stored, chance), 0)
            count_case()


@pytest.mark.faults
def test_an_entry_of_the_spool_of_any_bytes_is_read_or_refused_by_a_typed_error() -> None:
    chance = random.Random(0)
    stored = coded(an_entry(contents={"a": [1, (2.5, None)]}))
    for _ in range(cases(1_000)):
        with contextlib.suppress(EncodingError):
            decoded(Waiting(1, 0.0, damaged(stored, chance)))
        count_case()


@pytest.mark.faults
def test_a_spool_file_of_any_bytes_is_read_or_refused_by_a_typed_error(tmp_path: Path) -> None:
    chance = random.Random(0)
    made = Spool(tmp_path / "made", "store", 10**7)
    for step in range(5):
        made.put(an_entry(step_number=step), 0.0)
    made.close()
    whole = (tmp_path / "made").read_bytes()
    for case in range(cases(60)):
        file = tmp_path / f"spool{case}"
        file.write_bytes(damaged(whole, chance))
        spool = Spool(file, "store", 10**7)
        with contextlib.suppress(MemoryStoreError):
            for waiting in spool.all_waiting():
                with contextlib.suppress(EncodingError):
                    decoded(waiting)
            spool.status()
        spool.close()
        count_case()


@pytest.mark.parametrize("record", [b"[" * 100_000, b'{"ltm_url": 5}', b"5", b"\xff", b"{", b""])
def test_a_folder_whose_records_are_damaged_is_refused_by_a_typed_error(
    record: bytes, tmp_path: Path
) -> None:
    (tmp_path / "memory.json").write_bytes(record)
    with pytest.raises(EncodingError):
        recorded_config(tmp_path)
    (tmp_path / "memory.json").unlink()
    (tmp_path / "embedded.json").write_bytes(record)
    with pytest.raises(ConfigError):
        AgentMemorySystem.open(tmp_path)


@pytest.mark.parametrize("column", ["step_number", "timestamp", "importance_score", "revision",
                                    "type_ref", "embedding_coding", "encoder_version"])  # fmt: skip
def test_a_column_of_another_type_is_a_typed_error_for_near_and_leaves_the_others_readable(
    tmp_path: Path, column: str
) -> None:
    with a_memory(tmp_path) as system:
        before = system.recall(Query(agent_id="b"), near={"v": 1}, touch=False)
        with contextlib.closing(sqlite3.connect(tmp_path / "ltm.db")) as database:
            database.execute(
                f"UPDATE agent_ltm_entries SET {column} = ? WHERE memory_id IN ("  # noqa: S608
                "SELECT memory_id FROM agent_ltm_entries JOIN agent_ltm_agents a ON a.id = "
                "agent_ref WHERE a.name = 'a' LIMIT 1)",
                ("no number",),
            )
            database.commit()
        for near in ({"v": 1}, Vector([0.1] * 32)):
            for steps in (None, (0, 1)):
                with contextlib.suppress(MemoryStoreError):
                    system.recall(Query(agent_id="a", steps=steps), near=near, touch=False)
        assert system.recall(Query(agent_id="b"), near={"v": 1}, touch=False) == before
