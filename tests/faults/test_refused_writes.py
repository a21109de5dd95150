"""A server that answers and takes no writes, or refuses one of them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from agent_memory import (
    AgentMemorySystem,
    MemoryConfig,
    Query,
    StoreFull,
    Tier,
    WritesRefused,
)
from agent_memory.connections.embedded.server import server_binary
from agent_memory.tiers.intake import LOOK_EVERY
from tests import engines
from tests.faults.away import Ticks, steps_of, store, stored_steps, waiting

pytestmark = pytest.mark.faults


def _admin(server: engines.StoppableServer) -> redis.Redis:
    return engines.tcp_client(server.port)


def _out_of_memory(server: engines.StoppableServer) -> Callable[[], object]:
    admin = _admin(server)
    engines.call(admin, "CONFIG", "SET", "maxmemory", "1")
    return lambda: engines.call(admin, "CONFIG", "SET", "maxmemory", "0")


def _replica(server: engines.StoppableServer) -> Callable[[], object]:
    admin = _admin(server)
    engines.call(admin, "REPLICAOF", "127.0.0.1", str(engines.free_port()))
    return lambda: engines.call(admin, "REPLICAOF", "NO", "ONE")


def _cannot_persist(server: engines.StoppableServer) -> Callable[[], object]:
    admin = _admin(server)
    # A folder stands where the snapshot's file shall be.
    (server._folder / "snapshot.rdb").mkdir()
    engines.call(admin, "CONFIG", "SET", "dbfilename", "snapshot.rdb", "save", "3600 1")
    engines.call(admin, "SET", "changed", "1")
    engines.call(admin, "BGSAVE")
    deadline = time.monotonic() + 20
    while admin.info("persistence")["rdb_last_bgsave_status"] == "ok":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return lambda: engines.call(admin, "CONFIG", "SET", "stop-writes-on-bgsave-error", "no")


def _other_password(server: engines.StoppableServer) -> Callable[[], object]:
    admin = _admin(server)
    engines.call(admin, "CONFIG", "SET", "requirepass", "another")
    engines.call(admin, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    return lambda: engines.call(admin, "CONFIG", "SET", "requirepass", engines.PASSWORD)


def _no_permission(server: engines.StoppableServer) -> Callable[[], object]:
    admin = _admin(server)
    engines.call(admin, "ACL", "SETUSER", "default", "-evalsha")
    return lambda: engines.call(admin, "ACL", "SETUSER", "default", "+@all")


def _loading(server: engines.StoppableServer) -> Callable[[], object]:
    admin = _admin(server)
    engines.call(admin, "DEBUG", "POPULATE", "20000", "filling", "10")
    engines.call(admin, "BGREWRITEAOF")
    deadline = time.monotonic() + 20
    while admin.info("persistence")["aof_rewrite_in_progress"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    server.kill()
    server._more += "key-load-delay 1000\nloading-process-events-interval-bytes 1024\n"
    server._process = engines._start(
        server_binary(), server._folder, server.port, (),
        "appendonly yes\n" + server._more,
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while not _says_loading(server):
        assert time.monotonic() < deadline
        time.sleep(0.02)

    def loaded() -> None:
        engines.call(_admin(server), "CONFIG", "SET", "key-load-delay", "0")
        limit = time.monotonic() + 60
        while _says_loading(server):
            assert time.monotonic() < limit
            time.sleep(0.05)

    return loaded


def _says_loading(server: engines.StoppableServer) -> bool:
    try:
        return bool(_admin(server).info("persistence")["loading"])
    except redis.exceptions.BusyLoadingError:
        return True
    except redis.exceptions.ConnectionError:
        return False


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_out_of_memory, "maxmemory"),
        (_replica, "read only replica"),
        (_cannot_persist, "MISCONF"),
        (_other_password, "password"),
        (_no_permission, "permission"),
        (_loading, "loading"),
    ],
    ids=lambda value: getattr(value, "__name__", "")[1:] or None,
)
def test_a_server_that_takes_no_writes_is_as_good_as_away(
    server: engines.StoppableServer,
    system: AgentMemorySystem,
    ticks: Ticks,
    spoil: Callable[[engines.StoppableServer], Callable[[], object]],
    said: str,
) -> None:
    store(system, 0)
    mend = spoil(server)
    store(system, 1, 2)
    assert said in system.status.short_term.reason
    ticks.now += LOOK_EVERY
    store(system, 3)
    assert waiting(system) == 3
    mend()
    ticks.now += 60.0
    store(system, 4)
    assert steps_of(system) == [0, 1, 2, 3, 4]
    assert waiting(system) == 0


@pytest.fixture
def full(server: engines.StoppableServer, system: AgentMemorySystem) -> redis.Redis:
    """The server, out of memory."""
    store(system, *range(40))
    client = redis.Redis.from_url(server.url)
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", 1)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        client.set("more", "x")
    return client


def test_a_full_server_breaks_no_change_of_an_entry_off_half_way(
    full: redis.Redis, system: AgentMemorySystem
) -> None:
    entries = system.stm.find(Query(run_id="default", agent_id="ant", limit=40))
    changed = replace(entries[0], importance_score=0.5)
    newer = replace(entries[1], importance_score=0.25, revision=5)
    with contextlib.suppress(WritesRefused):
        system.stm.replace(changed)
    with contextlib.suppress(WritesRefused):
        system.stm.add(newer)
    with pytest.raises(WritesRefused):
        system.stm.encodings.reembed(entries[2:3])
    found = system.stm.find(Query(run_id="default", agent_id="ant", limit=40))
    assert found[0] in (entries[0], replace(changed, revision=1))
    assert found[1] in (entries[1], newer)
    assert found[2:] == entries[2:]
    assert steps_of(system) == [*range(40)]


def test_a_full_server_gives_its_entries_to_long_term_memory_and_takes_more_then(
    full: redis.Redis, system: AgentMemorySystem, ticks: Ticks
) -> None:
    small = {"stm_config": {"memory_limit": 4}, "im_config": {"memory_limit": 4}}
    store(system, 40)
    assert waiting(system) == 1
    with AgentMemorySystem(MemoryConfig(**{**dict(system.config), **small}), upkeep=False) as tidy:
        assert tidy._resources is not system._resources
        near = Query(agent_id="ant", limit=5)
        assert len(tidy.recall(near, near={"step": 3})) == 5
        tidy._run.consolidation.consolidate("default", ["ant"], time.time(), None)
        assert [tidy.statistics()[tier].entries for tier in Tier] == [4, 4, 32]
        assert len(tidy.recall(near, near={"step": 3})) == 5
    full.config_set("maxmemory", 0)
    ticks.now += 60
    store(system, 41)
    assert steps_of(system) == [*range(42)]


def test_upkeep_of_a_full_server_makes_room_first_and_then_stores_what_waits(
    server: engines.StoppableServer, system: AgentMemorySystem
) -> None:
    small = {"stm_config": {"memory_limit": 4}, "im_config": {"memory_limit": 4}}
    for step in range(40):
        assert system.store_agent_state("ant", {"fill": os.urandom(50_000)}, step)
    client = _admin(server)
    used = int(client.info("memory")["used_memory"])
    engines.call(client, "CONFIG", "SET", "maxmemory", str(used - 500_000))
    store(system, 40, 41)
    assert waiting(system) == 2
    assert "maintain() moves down" in system.status.short_term.reason
    with AgentMemorySystem(MemoryConfig(**{**dict(system.config), **small}), upkeep=False) as tidy:
        assert tidy.maintain().im_to_ltm == 34
        assert waiting(tidy) == 0
        assert steps_of(tidy) == [*range(42)]
        assert [tidy.statistics()[tier].entries for tier in Tier] == [4, 4, 34]
    # Where nothing has to move down the server stays full, and upkeep says so.
    engines.call(client, "CONFIG", "SET", "maxmemory", "1")
    store(system, 42)
    with pytest.raises(StoreFull, match="raise maxmemory"):
        system.maintain()
    assert waiting(system) == 1


def test_vectors_that_are_kept_forget_what_a_full_server_removed(
    full: redis.Redis, system: AgentMemorySystem
) -> None:
    near = Query(agent_id="ant", limit=5)
    first = system.recall(near, near={"step": 3})
    keys = [hit.entry.key for hit in first]
    assert system.stm.remove_many(keys) == 5
    again = system.recall(near, near={"step": 3})
    assert len(again) == 5
    assert not {hit.entry.key for hit in again} & set(keys)


def test_refusing_every_write_is_told_from_refusing_one_command(
    server: engines.StoppableServer, system: AgentMemorySystem
) -> None:
    _out_of_memory(server)
    with pytest.raises(WritesRefused):
        system._resources.connections.stm.call("SET", "key", "value")


def test_fakeredis_that_is_switched_off_answers_false(tmp_path: Path) -> None:
    with AgentMemorySystem(MemoryConfig(engine="fake", path=tmp_path)) as system:
        store(system, 0)
        pool = system._resources.connections.stm.client.connection_pool
        pool.connection_kwargs["server"].connected = False
        assert system.store_agent_state("ant", {}, 1) is False
        assert not system.status.short_term.up
        assert system.status.spool is None
        pool.connection_kwargs["server"].connected = True
        store(system, 2)
        assert system.status.short_term.up


def test_an_entry_that_is_refused_for_itself_does_not_keep_others_from_being_stored(
    server: engines.StoppableServer, config: MemoryConfig, ticks: Ticks
) -> None:
    with AgentMemorySystem(config, upkeep=False) as system:
        server.kill()
        store(system, 0)
        assert system.store_agent_state("ant", {"fill": "x" * 1_000}, 1)
        store(system, 2)
    server.start()
    # The next process allows less than the one that spooled.
    strict = config.model_copy(update={"max_entry_bytes": 500})
    with AgentMemorySystem(strict) as system:
        assert stored_steps(system) == [0, 2]
        assert steps_of(system) == [0, 1, 2]  # it waits
        status = system.status.spool
        assert status is not None
        assert (status.entries, status.refused) == (1, 1)
        assert system.status.short_term.up
        store(system, 3)
    with AgentMemorySystem(config) as system:
        assert steps_of(system) == [0, 1, 2, 3]
        assert waiting(system) == 0


def test_a_command_that_is_refused_for_its_agent_is_no_outage(
    server: engines.StoppableServer, system: AgentMemorySystem
) -> None:
    store(system, 0, agent="bee")
    (key,) = _admin(server).keys("*stm*bee*:steps")
    _admin(server).set(key, "spoiled")
    assert system.store_agent_state("bee", {}, 1) is False
    assert system.status.short_term.up
    store(system, 0, agent="ant")
    assert waiting(system) == 0
