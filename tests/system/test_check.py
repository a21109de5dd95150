"""A check finds what is broken beneath each tier, mends it, and the memory is as it was before."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from agent_memory import AgentMemorySystem, MemoryEntry, Order, Query
from agent_memory.models.ltm import ltm_models
from agent_memory.repositories.sql.inspection import LongTermInspection
from agent_memory.repositories.sql.statements import table_of
from agent_memory.system.beneath import inspections
from agent_memory.tiers.quarantine import Quarantine
from agent_memory.values.check_report import Kind
from tests import engines
from tests.memories import Opener

LIMITS: dict[str, Any] = {
    "stm_config": {"memory_limit": 6},
    "im_config": {"memory_limit": 5},
    "cleanup_interval": 1,
    "indexed_attributes": ("mood",),
}
AGENTS = ("ant", "b|e:{e} *")
_STM = "agent_memory:stm:{default/ant}:"


@pytest.fixture
def memory_config(tmp_path: Path, tcp_port: int) -> dict[str, Any]:
    """A plain server; ``test_check_engines`` looks at the others."""
    engines.tcp_client(tcp_port).flushall()
    password = quote(engines.PASSWORD, safe="")
    return {"redis_url": f"redis://:{password}@127.0.0.1:{tcp_port}", "path": tmp_path}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_memory.system.checking.cross_tier._PAUSE", 0.0)


@pytest.fixture
def system(open_memory: Opener) -> AgentMemorySystem:
    opened = open_memory(**LIMITS)
    for step in range(20):
        for agent in AGENTS:
            assert opened.store_agent_state(agent, {"step": step, "mood": f"m{step % 3}"}, step)
    opened.pin("ant", opened.stm.keys("default", "ant")[-1].memory_id)
    opened.pin("ant", opened.ltm.keys("default", "ant")[-1].memory_id)
    return opened


def client_of(system: AgentMemorySystem) -> Any:
    return system._resources.connections.stm.client


def remembered(system: AgentMemorySystem) -> list[tuple[str, MemoryEntry]]:
    return [
        (tier.tier.name, entry)
        for tier in (system.stm, system.im, system.ltm)
        for agent in AGENTS
        for entry in tier.find(Query(run_id="default", agent_id=agent, order=Order.STEP))
    ]


def beneath(system: AgentMemorySystem) -> dict[bytes, Any]:
    """All that the server holds but for logs of changes, which grow with every mending."""
    client, found = client_of(system), {}
    for key in client.scan_iter():
        kind = client.type(key)
        if kind == b"hash":
            found[key] = client.hgetall(key)
        elif kind == b"zset":
            found[key] = dict(client.zrange(key, 0, -1, withscores=True))
        elif kind in (b"set", b"string"):
            found[key] = client.smembers(key) if kind == b"set" else client.get(key)
    return {key: value for key, value in found.items() if b":agents:" not in key}


def kinds(system: AgentMemorySystem, *, repair: bool = False) -> set[Kind]:
    report = system.check(repair=repair)
    assert not report.unfinished
    assert sum(report.found.values()) == len(report.findings)
    assert report.left == sum(not found.repaired for found in report.findings)
    return {found.kind for found in report.findings}


def first_of(system: AgentMemorySystem) -> str:
    return system.stm.keys("default", "ant")[0].memory_id


def test_a_memory_in_use_is_sound(system: AgentMemorySystem) -> None:
    report = system.check()
    assert report.findings == ()
    assert report.sound
    assert [report.looked_at[f"{tier} entries"] for tier in ("STM", "IM", "LTM")] == [12, 10, 18]


def _drop_from_an_order(client: Any, name: str) -> None:
    client.zrem(f"{_STM}steps", name)


def _drop_from_all(client: Any, name: str) -> None:
    for index in client.scan_iter(f"{_STM}*", _type="zset"):
        client.zrem(index, name)


def _give_another_place(client: Any, name: str) -> None:
    client.zadd(f"{_STM}times", {name: 5.0})


def _drop_from_an_attribute(client: Any, name: str) -> None:
    (index,) = [
        key for key in client.scan_iter(f"{_STM}value:*") if client.zscore(key, name) is not None
    ]
    client.zrem(index, name)


def _drop_the_orders_of_the_agent(client: Any, _name: str) -> None:
    client.delete(f"{_STM}steps", f"{_STM}times")


def _strike_the_agent_off(client: Any, _name: str) -> None:
    client.zrem("agent_memory:stm:agents:default", "ant")


def _strike_the_run_off(client: Any, _name: str) -> None:
    client.srem("agent_memory:stm:runs", "default")


def _pin_beneath(client: Any, name: str) -> None:
    client.zadd(f"{_STM}pinned", {name: 1.0})


def _unpin_beneath(client: Any, _name: str) -> None:
    (pinned,) = client.zrange(f"{_STM}pinned", 0, -1)
    client.zrem(f"{_STM}pinned", pinned)


def _drop_attributes(client: Any, name: str) -> None:
    client.hdel(f"{_STM}{name}", "attributes")


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (_drop_from_an_order, Kind.INDEX),
        (_drop_from_all, Kind.INDEX),
        (_give_another_place, Kind.INDEX),
        (_drop_the_orders_of_the_agent, Kind.INDEX),
        (_pin_beneath, Kind.INDEX),
        (_unpin_beneath, Kind.INDEX),
        (_strike_the_agent_off, Kind.INDEX),
        (_strike_the_run_off, Kind.INDEX),
        (_drop_from_an_attribute, Kind.ATTRIBUTES),
        (_drop_attributes, Kind.ATTRIBUTES),
    ],
)
def test_places_in_indexes_are_made_from_the_entries_again(
    system: AgentMemorySystem, damage: Callable[[Any, str], None], kind: Kind
) -> None:
    before, under = remembered(system), beneath(system)
    damage(client_of(system), first_of(system))
    assert kind in kinds(system)
    assert kind in kinds(system, repair=True)
    assert kinds(system) == set()
    assert remembered(system) == before
    assert beneath(system) == under


def _add_members_of_nothing(client: Any) -> None:
    for index in ("steps", "type:state", "type:action"):
        client.zadd(f"{_STM}{index}", {"f" * 32: 3.0})


def _delete_a_hash_beneath(client: Any) -> None:
    name = "0" * 32
    for index in ("steps", "times", "importance", "type:state"):
        client.zadd(f"{_STM}{index}", {name: 1.0})


def _leave_a_log(client: Any) -> None:
    client.xadd("agent_memory:im:{default/gone}:changes", {"1": "x"})


def _list_nobody(client: Any) -> None:
    client.zadd("agent_memory:im:agents:other", {"nobody": 1.0})
    client.sadd("agent_memory:im:runs", "other", "none")


def _index_an_attribute_wrongly(client: Any) -> None:
    (name,) = client.zrange(f"{_STM}steps", 0, 0)
    client.zadd(f"{_STM}value:mood:twrong", {name: 1.0})


@pytest.mark.parametrize(
    "damage",
    [
        _add_members_of_nothing,
        _delete_a_hash_beneath,
        _leave_a_log,
        _list_nobody,
        _index_an_attribute_wrongly,
    ],
)
def test_places_of_what_is_not_there_go(
    system: AgentMemorySystem, damage: Callable[[Any], None]
) -> None:
    before, under = remembered(system), beneath(system)
    damage(client_of(system))
    assert kinds(system) == {Kind.ORPHAN}
    assert kinds(system, repair=True) == {Kind.ORPHAN}
    assert kinds(system) == set()
    assert remembered(system) == before
    assert beneath(system) == under


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("memory_id", "?"), ("run_id", "other"), ("agent_id", "_ff"), ("step_number", "soon"),
        ("timestamp", "nan"), ("importance_score", "7"), ("memory_type", "dream"),
    ],
)  # fmt: skip
def test_what_key_and_indexes_tell_is_restored(
    system: AgentMemorySystem, field: str, value: str
) -> None:
    before = remembered(system)
    client_of(system).hset(_STM + first_of(system), field, value)
    assert Kind.UNREADABLE in kinds(system)
    assert Kind.UNREADABLE in kinds(system, repair=True)
    assert kinds(system) == set()
    assert remembered(system) == before


@pytest.mark.parametrize("value", [b"abc", b"\xff" * 1536, b"\x00\x00\x80\x3f" * 8, None])
def test_a_damaged_vector_is_made_anew(system: AgentMemorySystem, value: bytes | None) -> None:
    before, key = remembered(system), _STM + first_of(system)
    client = client_of(system)
    flipped = bytearray(client.hget(key, "embedding"))
    flipped[3] ^= 0x40  # the exponent of its first number
    client.hset(key, "embedding", bytes(flipped) if value is None else value)
    assert kinds(system) == {Kind.VECTOR}
    assert kinds(system, repair=True) == {Kind.VECTOR}
    assert kinds(system) == set()
    assert remembered(system) == before


def test_what_cannot_be_read_is_set_aside_with_its_bytes_and_the_agent_goes_on(
    system: AgentMemorySystem,
) -> None:
    before, name, client = remembered(system), first_of(system), client_of(system)
    stored = client.hgetall(_STM + name) | {b"contents": b"\x91damaged"}
    client.hset(_STM + name, "contents", b"\x91damaged")
    assert kinds(system) == {Kind.UNREADABLE}
    assert client.exists(_STM + name)
    (found,) = system.check(repair=True).findings
    assert found.repaired
    assert name in found.place
    assert kinds(system) == set()
    assert remembered(system) == [one for one in before if one[1].memory_id != name]
    (kept,) = Quarantine(system._resources.connections.deployment.path / "agent_memory.db-aside")
    assert {name.encode(): value for name, value in kept.stored.items()} == stored


def test_keys_that_would_expire_are_kept_and_foreign_ones_told(system: AgentMemorySystem) -> None:
    client, name = client_of(system), first_of(system)
    client.expire(_STM + name, 1_000)
    client.set("agent_memory:stm:mine", "x")
    client.set("agent_memory:stm:{default/ant}:mine", "x")
    client.set("agent_memory:stmx:mine", "x")
    report = system.check(repair=True)
    assert [found.repaired for found in report.findings] == [True, False, False] or sorted(
        found.repaired for found in report.findings
    ) == [False, False, True]
    assert {found.kind for found in report.findings} == {Kind.KEY}
    assert client.pttl(_STM + name) == -1
    assert not report.sound


def test_an_index_of_a_wrong_type_is_set_aside_and_made_anew(system: AgentMemorySystem) -> None:
    before, under, client = remembered(system), beneath(system), client_of(system)
    client.delete(f"{_STM}times")
    client.set(f"{_STM}times", "x")
    assert Kind.KEY in kinds(system)
    assert Kind.KEY in kinds(system, repair=True)
    assert kinds(system) == set()
    assert remembered(system) == before
    assert beneath(system) == under


def test_a_level_that_short_term_memory_does_not_have_is_corrected(
    system: AgentMemorySystem,
) -> None:
    before = remembered(system)
    client_of(system).hset(_STM + first_of(system), "compression_level", "2")
    assert Kind.LEVEL in kinds(system)
    assert Kind.LEVEL in kinds(system, repair=True)
    assert kinds(system) == set()
    assert remembered(system) == before


def test_an_entry_in_two_tiers_is_settled_the_newer_copy_staying(
    system: AgentMemorySystem,
) -> None:
    in_stm = system.stm.find(Query(run_id="default", agent_id="ant", limit=10))
    in_im = system.im.find(Query(run_id="default", agent_id="ant", limit=10))
    lowered = system._resources.encoder.compression.lowered
    system.im.add(lowered(in_stm[0], 1))  # as after a move that was broken off
    system.ltm.add(lowered(in_im[0], 2))
    changed = system.stm.replace(in_stm[1])
    system.ltm.add(lowered(in_stm[1], 2))  # older than what stands above
    assert kinds(system) == {Kind.TWICE}
    report = system.check(repair=True)
    assert [found.repaired for found in report.findings] == [True] * 3
    assert kinds(system) == set()
    assert system.stm.get(changed.key) == changed
    assert system.im.get_many([in_stm[0].key])
    assert system.ltm.get_many([in_im[0].key])
    assert len({entry.key for _, entry in remembered(system)}) == len(remembered(system)) == 40


def test_what_was_forgotten_and_is_there_is_removed(system: AgentMemorySystem) -> None:
    entry = system.stm.find(Query(run_id="default", agent_id="ant", limit=10))[0]
    system.ltm.forget([entry.key], 1.0)
    assert kinds(system) == {Kind.FORGOTTEN}
    assert kinds(system, repair=True) == {Kind.FORGOTTEN}
    assert kinds(system) == set()
    assert not system.stm.get_many([entry.key])


def test_a_key_that_was_released_under_a_clock_that_was_ahead_is_released(
    system: AgentMemorySystem,
) -> None:
    entry = system.stm.find(Query(run_id="default", agent_id="ant", limit=10))[0]
    system.stm.remove(entry.key)
    system.ltm.forget([entry.key], 3e9, 3e9)
    assert kinds(system) == {Kind.TOMBSTONE}
    assert kinds(system, repair=True) == {Kind.TOMBSTONE}
    assert kinds(system) == set()


def test_a_move_that_was_broken_off_is_finished(system: AgentMemorySystem) -> None:
    note = f"{1_000:014x}-{'0' * 32}", json.dumps([["default", "ant"]])
    client_of(system).hset("agent_memory:im:moving", *note)
    assert kinds(system) == {Kind.MOVE}
    assert kinds(system, repair=True) == {Kind.MOVE}
    assert kinds(system) == set()
    client_of(system).hset("agent_memory:im:moving", "x", "{")
    assert kinds(system, repair=True) == {Kind.MOVE}
    assert kinds(system) == set()


class TestLongTerm:
    @pytest.fixture
    def change(self, system: AgentMemorySystem) -> Callable[[str], None]:
        def change(assignment: str) -> None:
            with system.sql_engine.begin() as connection:
                connection.exec_driver_sql(
                    f"UPDATE agent_ltm_entries SET {assignment} WHERE id = 3"  # noqa: S608 - a test's own
                )

        return change

    @pytest.mark.parametrize(
        ("assignment", "kind"),
        [
            ("attributes = NULL", Kind.ATTRIBUTES),
            ('attributes = \'{"mood": "other"}\'', Kind.ATTRIBUTES),
        ],
    )
    def test_attributes_are_made_from_contents_again(
        self, system: AgentMemorySystem, change: Callable[[str], None], assignment: str, kind: Kind
    ) -> None:
        before = remembered(system)
        change(assignment)
        assert kinds(system) == {kind}
        assert kinds(system, repair=True) == {kind}
        assert kinds(system) == set()
        assert remembered(system) == before

    @pytest.mark.parametrize(
        "assignment",
        [
            "embedding = x'00'", "embedding_coding = 2", "embedding = x'0000803f01'",
            "embedding = x'0000c07f' || substr(embedding, 5)",
            "embedding = CAST(x'0000c07f' || substr(embedding, 5) AS BLOB)",
            "embedding = CAST(substr(embedding, 1, 4) || zeroblob(31) || x'01' AS BLOB)",
        ],
    )  # fmt: skip
    def test_a_damaged_vector_is_made_anew(
        self, system: AgentMemorySystem, change: Callable[[str], None], assignment: str
    ) -> None:
        before = remembered(system)
        change(assignment)
        assert kinds(system) == {Kind.VECTOR}
        assert kinds(system, repair=True) == {Kind.VECTOR}
        assert kinds(system) == set()
        assert remembered(system) == before

    @pytest.mark.parametrize(
        "assignment",
        [
            "contents = x'9100'", "contents = 'text'", "timestamp = 'soon'", "step_number = -1",
            "importance_score = 2.0", "revision = 'x'", "contents = x'91a46d6f6f64a26d3000000000'",
        ],
    )  # fmt: skip
    def test_what_cannot_be_read_is_set_aside_and_the_agent_goes_on(
        self, system: AgentMemorySystem, change: Callable[[str], None], assignment: str
    ) -> None:
        before = len(remembered(system))
        change(assignment)
        assert kinds(system) == {Kind.UNREADABLE}
        assert kinds(system, repair=True) == {Kind.UNREADABLE}
        assert kinds(system) == set()
        assert len(remembered(system)) == before - 1
        assert system.check().looked_at["quarantined"] == 1

    def test_a_reference_to_nothing_is_told_and_its_row_set_aside(
        self, system: AgentMemorySystem, change: Callable[[str], None]
    ) -> None:
        with system.sql_engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            connection.exec_driver_sql("UPDATE agent_ltm_entries SET type_ref = 77 WHERE id = 3")
            connection.exec_driver_sql("PRAGMA foreign_keys=ON")
        assert {Kind.DATABASE, Kind.UNREADABLE} == kinds(system)

    def test_a_version_that_is_not_registered_is_told_once_for_all_its_entries(
        self, system: AgentMemorySystem
    ) -> None:
        entries = [
            MemoryEntry(
                memory_id=f"{number:032x}", run_id="default", agent_id="ant", step_number=number,
                timestamp=0.0, memory_type="state", contents={"mood": "m"},  # type: ignore[arg-type]
                compression_level=2, embedding=np.ones(32, np.float32), encoder_version=9,
            )
            for number in range(3)
        ]  # fmt: skip
        system.ltm.add_many(entries)
        (found,) = system.check(repair=True).findings
        assert found.kind is Kind.VERSION
        assert "3 entries" in found.means
        assert not found.repaired
        assert system.ltm.get_many([entry.key for entry in entries]) == entries

    def test_tables_that_were_changed_are_told(self, system: AgentMemorySystem) -> None:
        with system.sql_engine.begin() as connection:
            connection.exec_driver_sql("DROP INDEX ix_agent_ltm_entries_agent_ref_timestamp")
        assert kinds(system) == {Kind.SCHEMA}

    def test_an_index_of_the_database_that_lost_a_row_is_made_anew(
        self, system: AgentMemorySystem
    ) -> None:
        before = remembered(system)
        _spoil_an_index(system)
        assert Kind.DATABASE in kinds(system)
        assert Kind.DATABASE in kinds(system, repair=True)
        assert kinds(system) == set()
        assert remembered(system) == before


def _spoil_an_index(system: AgentMemorySystem) -> None:
    """Take a row out of an index by telling SQLite meanwhile that it leaves it out."""
    name = "ix_agent_ltm_entries_agent_ref_timestamp"
    asked = "SELECT sql FROM sqlite_master WHERE type = 'index' AND name = ?"
    rewritten = "UPDATE sqlite_master SET sql = ? WHERE type = 'index' AND name = ?"
    with system.sql_engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        connection.exec_driver_sql("COMMIT")
        ((sql,),) = driver.execute(asked, (name,))
        driver.execute("PRAGMA writable_schema=ON")
        for spelled in (f"{sql} WHERE id <> 3", sql):
            driver.execute(rewritten, (spelled, name))
            ((version,),) = driver.execute("PRAGMA schema_version")
            driver.execute(f"PRAGMA schema_version={version + 1}")
            if spelled != sql:
                driver.execute(f"REINDEX {name}")
        driver.execute("PRAGMA writable_schema=RESET")


def test_inspections_give_every_row_and_key(system: AgentMemorySystem, tmp_path: Path) -> None:
    opened = system._resources
    above, _ = inspections(opened.connections, opened.config)
    found = [key for batch in above.scan() for key in batch]
    assert {key.name for key in found} == {*client_of(system).scan_iter("agent_memory:stm:*")}
    assert all(key.expected == key.kind for key in found)
    below = LongTermInspection(system.sql_engine, ltm_models())
    assert sum(map(len, below.rows())) == 18
    assert table_of(ltm_models().LtmEntry).name == "agent_ltm_entries"
