"""What becomes of entries while Redis, or long-term memory, is away."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import event
from typer.testing import CliRunner

from agent_memory import (
    AgentMemoryAPI,
    AgentMemorySystem,
    InvalidEntry,
    MemoryConfig,
    MemoryType,
    Order,
    Query,
    StoreUnavailable,
    Tier,
    WritesRefused,
)
from agent_memory.cli.commands import app
from agent_memory.connections import sql as sql_connecting
from agent_memory.connections.embedded.server import EmbeddedServer, server_binary
from agent_memory.connections.redis import channel as connecting
from agent_memory.connections.redis import clients
from agent_memory.testing.tally import count
from agent_memory.tiers.intake import LOOK_EVERY
from agent_memory.tiers.replaying import SLICE
from agent_memory.tiers.spool import Spool, spool_of
from tests import engines

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]

STORING = """
import sys
from agent_memory import AgentMemorySystem, MemoryConfig
config = MemoryConfig(redis_url=sys.argv[1], path=sys.argv[2])
system = AgentMemorySystem(config)
print("open", flush=True)
sys.stdin.readline()
for step in range(10_000):
    if system.store_agent_state(sys.argv[3], {"step": step}, step):
        print(step, flush=True)
"""


class Ticks:
    """A clock that stands still unless it is moved on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server(tmp_path: Path) -> Iterator[engines.StoppableServer]:
    folder = tmp_path / "server"
    folder.mkdir()
    with engines.StoppableServer(
        folder, "enable-debug-command yes\nenable-protected-configs yes\n"
    ) as started:
        yield started


@pytest.fixture
def config(server: engines.StoppableServer, tmp_path: Path) -> MemoryConfig:
    return MemoryConfig(redis_url=server.url, path=tmp_path / "memory")


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def system(config: MemoryConfig, ticks: Ticks) -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(config) as opened:
        opened._resources.intake.pause.ticks = ticks
        yield opened


def store(system: AgentMemorySystem, *steps: int, agent: str = "ant") -> None:
    for step in steps:
        assert system.store_agent_state(agent, {"step": step}, step)


def steps_of(system: AgentMemorySystem, agent: str = "ant") -> list[int]:
    """The steps that an agent remembers; fails when a tier holds what another holds too."""
    query = Query(agent_id=agent, order=Order.STEP)
    hits = system.recall(query, touch=False)
    held = sum(tier.count("default", agent) for tier in (system.stm, system.im, system.ltm))
    assert held == len(hits)
    return [hit.entry.step_number for hit in hits]


def waiting(system: AgentMemorySystem) -> int:
    spool = system.status.spool
    assert spool is not None
    return spool.entries


# -- Redis is away ------------------------------------------------------------------------------


def test_a_simulation_goes_on_while_the_server_is_away_for_a_minute(
    server: engines.StoppableServer,
    system: AgentMemorySystem,
    ticks: Ticks,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store(system, *range(10))
    server.kill()
    before = time.time()
    slowest = 0.0
    for second in range(60):
        begun = time.monotonic()
        store(system, 10 + second)
        slowest = max(slowest, time.monotonic() - begun)
        ticks.now += 1.0
    assert slowest < 1.0
    status = system.status
    assert not status.short_term.up
    assert "does not answer" in status.short_term.reason
    assert status.short_term.away_since is not None
    assert before <= status.short_term.away_since <= time.time()
    assert status.spool is not None
    assert status.spool.entries == 60
    assert 0 < status.spool.stored_bytes <= status.spool.max_bytes
    assert engines.PASSWORD not in repr(status)
    assert status.long_term.up
    assert status.failures == 0
    with pytest.raises(StoreUnavailable):
        system.recall(Query(agent_id="ant"))
    server.start()
    ticks.now += LOOK_EVERY
    store(system, 70)
    assert steps_of(system) == list(range(71))
    assert system.status.short_term.up
    assert waiting(system) == 0
    told = [record.levelname for record in caplog.records if "Redis server" in record.message]
    assert told == ["ERROR", "WARNING"]


def test_a_server_that_hangs_keeps_one_call_waiting_and_then_none(
    server: engines.StoppableServer,
    config: MemoryConfig,
    ticks: Ticks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clients, "REPLY_TIMEOUT", 1.0)
    with AgentMemorySystem(config, upkeep=False) as system:
        system._resources.intake.pause.ticks = ticks
        store(system, 0)
        server.pause()
        times = []
        for step in range(1, 101):
            begun = time.monotonic()
            store(system, step)
            times.append(time.monotonic() - begun)
            ticks.now += 0.1
        # The first waits for its answer; after 5 seconds one looks, with a timeout of its own.
        slow = [seconds for seconds in times if seconds > 0.3]
        assert len(slow) == 2
        assert 0.9 < times[0] < 2.0
        assert max(times[1:]) < connecting.LOOK_TIMEOUT + 0.4
        server.resume()
        ticks.now += 60.0
        store(system, 101)
        # The first was stored by the server, whose answer came too late.
        assert steps_of(system) == list(range(102))


def test_a_server_that_hangs_keeps_one_question_waiting_and_then_few(
    server: engines.StoppableServer, config: MemoryConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "REPLY_TIMEOUT", 1.0)
    later = 0.0
    with AgentMemorySystem(config, upkeep=False) as system:
        system._resources.connections.stm.breaker.pause.ticks = lambda: time.monotonic() + later
        store(system, 0)
        server.pause()
        asked = begun = time.monotonic()
        waited = []
        for _ in range(50):
            with pytest.raises(StoreUnavailable):
                system.recall(Query(agent_id="ant"))
            waited.append(time.monotonic() - asked)
            asked = time.monotonic()
        assert sum(seconds > 0.3 for seconds in waited) == 1
        assert waited[0] > 0.9
        assert asked - begun < 5.0
        later = 60.0
        # Now it is looked at, with a timeout of its own, and then left alone again.
        with pytest.raises(StoreUnavailable):
            system.recall(Query(agent_id="ant"))
        assert time.monotonic() - asked < connecting.LOOK_TIMEOUT + 0.4
        server.resume()
        later = 120.0
        assert steps_of(system) == [0]


def test_every_question_answers_as_configured_while_a_store_is_away(
    server: engines.StoppableServer, config: MemoryConfig
) -> None:
    with AgentMemorySystem(config, upkeep=False) as system:
        store(system, 0)
        memory_id = system.recall(Query(agent_id="ant"))[0].entry.memory_id
    raising = MemoryConfig(**{**dict(config), "on_store_error": "raise"})
    questions: list[Callable[[AgentMemoryAPI], object]] = [
        lambda api: api.retrieve_state_by_id("ant", memory_id),
        lambda api: api.retrieve_recent_states("ant"),
        lambda api: api.retrieve_states_by_similarity("ant", {"step": 0}),
        lambda api: api.retrieve_by_steps("ant", 0, 1),
        lambda api: api.retrieve_by_times("ant", 0.0, 1e12),
        lambda api: api.retrieve_by_type("ant", "state"),
        lambda api: api.retrieve_by_importance("ant", 0.0),
        lambda api: api.retrieve_by_attributes("ant", {"step": 0}),
        lambda api: api.set_importance("ant", memory_id, 0.5),
        lambda api: api.pin("ant", memory_id),
        lambda api: api.unpin("ant", memory_id),
    ]
    for configured in (config, raising):
        api = AgentMemoryAPI(configured)
        with api.memory_system as system:
            for ask in questions:
                assert ask(api)
            server.kill()
            for ask in questions:
                if configured is raising:
                    with pytest.raises(StoreUnavailable):
                        ask(api)
                else:
                    assert not ask(api)
            assert system.outages.failures == len(questions)
            server.start()
            for ask in questions:
                assert ask(api)
            assert not system.outages.ongoing


def test_nobody_asks_the_server_between_two_looks(
    server: engines.StoppableServer, system: AgentMemorySystem, ticks: Ticks
) -> None:
    server.kill()
    store(system, 0)
    server.start()
    ticks.now += LOOK_EVERY - 0.1
    store(system, 1)
    assert steps_of(system) == []
    ticks.now += 0.2
    store(system, 2)
    assert steps_of(system) == [0, 1, 2]


def test_what_waits_is_stored_in_slices_and_what_comes_waits_behind_it(
    server: engines.StoppableServer, system: AgentMemorySystem, ticks: Ticks
) -> None:
    server.kill()
    count = 2 * SLICE + 10
    store(system, *range(count))
    server.start()
    ticks.now += LOOK_EVERY
    store(system, count)
    assert steps_of(system) == list(range(SLICE))
    assert waiting(system) == SLICE + 11
    store(system, count + 1, count + 2)
    assert steps_of(system) == list(range(count + 3))
    assert waiting(system) == 0


def test_maintain_and_close_store_what_waits(
    server: engines.StoppableServer, config: MemoryConfig
) -> None:
    with AgentMemorySystem(config) as system:
        server.kill()
        store(system, 0, 1)
        with pytest.raises(StoreUnavailable):
            system.maintain()
        server.start()
        system.maintain()
        assert steps_of(system) == [0, 1]
        server.kill()
        store(system, 2)
        server.start()
    with AgentMemorySystem(config, read_only=True) as system:
        assert steps_of(system) == [0, 1, 2]


def test_bad_input_raises_while_the_server_is_away(
    server: engines.StoppableServer, system: AgentMemorySystem
) -> None:
    server.kill()
    store(system, 0)
    with pytest.raises(InvalidEntry, match="thing"):
        system.store_agent_state("ant", {"thing": object()}, 1)
    assert waiting(system) == 1


def test_a_full_spool_answers_false_is_logged_once_and_loses_nothing_it_took(
    server: engines.StoppableServer,
    config: MemoryConfig,
    ticks: Ticks,
    caplog: pytest.LogCaptureFixture,
) -> None:
    small = config.model_copy(update={"spool_max_bytes": 256 * 1024})
    with AgentMemorySystem(small) as system:
        system._resources.intake.pause.ticks = ticks
        server.kill()
        said = [system.store_agent_state("ant", {"step": step}, step) for step in range(150)]
        taken = [step for step, yes in enumerate(said) if yes]
        assert 20 < len(taken) < 150
        assert system.status.failures == said.count(False)
        assert sum("is full" in record.message for record in caplog.records) == 1
        server.start()
        ticks.now += LOOK_EVERY
        store(system, 150)
        assert steps_of(system) == [*taken, 150]


def test_with_errors_raised_a_spooled_entry_is_a_success_and_a_full_spool_raises(
    server: engines.StoppableServer, config: MemoryConfig
) -> None:
    strict = config.model_copy(update={"on_store_error": "raise", "spool_max_bytes": 128 * 1024})
    with AgentMemorySystem(strict, upkeep=False) as system:
        server.kill()
        store(system, 0)
        with pytest.raises(StoreUnavailable, match="is full"):
            store(system, *range(1, 200))


def test_threads_lose_nothing_when_the_server_goes_and_comes(
    server: engines.StoppableServer, config: MemoryConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with AgentMemorySystem(config, upkeep=False) as system:
        system._resources.intake.pause.least = 0.05
        stop = threading.Event()
        acknowledged: dict[str, list[int]] = {name: [] for name in ("a", "b", "c", "d")}

        def keep_storing(agent: str) -> None:
            step = 0
            while not stop.is_set():
                if system.store_agent_state(agent, {"step": step}, step):
                    acknowledged[agent].append(step)
                step += 1

        threads = [threading.Thread(target=keep_storing, args=[name]) for name in acknowledged]
        for thread in threads:
            thread.start()
        for _ in range(3):
            time.sleep(0.3)
            server.kill()
            time.sleep(0.3)
            server.start()
        time.sleep(0.5)
        stop.set()
        for thread in threads:
            thread.join()
        system._resources.intake.replay()
        for agent, told in acknowledged.items():
            assert told
            assert steps_of(system, agent) == told
        assert waiting(system) == 0


def test_both_sides_of_a_fork_spool(
    server: engines.StoppableServer, system: AgentMemorySystem, ticks: Ticks
) -> None:
    server.kill()
    store(system, 0)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            store(system, 1)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store(system, 2)
    server.start()
    ticks.now += LOOK_EVERY
    store(system, 3)
    assert steps_of(system) == [0, 1, 2, 3]


# -- answers that mean the same -------------------------------------------------------------------


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
        assert steps_of(system) == [0, 2]
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


# -- processes that die, and others ---------------------------------------------------------------


def storing(config: MemoryConfig, agent: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", STORING, str(config.redis_url), str(config.path), agent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    return process


def told_by(process: subprocess.Popen[bytes], least: int) -> list[int]:
    """Let it store, kill it after so many, and give what it had acknowledged by then."""
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(least)]
    process.kill()
    count("kills")
    told += [int(line) for line in process.stdout if line.endswith(b"\n")]
    process.communicate()
    return told


def begin(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


def test_what_killed_processes_had_acknowledged_is_there_once_after_the_next_opens(
    server: engines.StoppableServer, config: MemoryConfig
) -> None:
    processes = {agent: storing(config, agent) for agent in ("ant", "bee")}
    told = {}
    for process in processes.values():
        begin(process)
        assert process.stdout is not None
        assert int(process.stdout.readline()) == 0
    server.kill()
    for agent, process in processes.items():
        told[agent] = [0, *told_by(process, 500)]
    server.start()
    with AgentMemorySystem(config) as system:
        for agent, acknowledged in told.items():
            steps = steps_of(system, agent)
            assert acknowledged == list(range(len(acknowledged)))
            # The last one may have been stored and not told.
            assert steps in (acknowledged, [*acknowledged, len(acknowledged)])
        assert waiting(system) == 0


def test_the_command_line_says_what_waits_with_the_server_away_and_back(
    server: engines.StoppableServer, config: MemoryConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_MEMORY_REDIS_URL", server.url)
    asked = ["status", "--path", str(config.path)]
    with AgentMemorySystem(config, upkeep=False) as system:
        server.kill()
        store(system, 0, 1)
    away = CliRunner().invoke(app, asked)
    assert away.exit_code == 2
    assert "waiting for short-term memory: 2 entries since 20" in away.output
    assert "does not answer" in away.output
    server.start()
    back = CliRunner().invoke(app, asked)
    assert back.exit_code == 0
    assert "short-term and intermediate memory: up" in back.output
    assert "2 entries" in back.output  # looking stores nothing
    AgentMemorySystem(config).close()
    settled = CliRunner().invoke(app, asked)
    assert "waiting" not in settled.output
    assert engines.PASSWORD not in away.output + back.output


def test_killing_the_process_that_replays_loses_nothing(
    server: engines.StoppableServer, config: MemoryConfig
) -> None:
    with AgentMemorySystem(config, upkeep=False) as system:
        server.kill()
        store(system, *range(3 * SLICE))
        system._resources.intake._spool.close()  # type: ignore[union-attr]  # it is armed
        server.start()
        for _ in range(4):
            child = os.fork()
            if child == 0:
                try:
                    threading.Timer(0.02, os.kill, [os.getpid(), signal.SIGKILL]).start()
                    system._resources.intake.replay()
                finally:
                    os._exit(0)
            _, status = os.waitpid(child, 0)
            count("kills", int(os.WIFSIGNALED(status)))
        system._resources.intake.replay()
        assert steps_of(system) == list(range(3 * SLICE))
        assert waiting(system) == 0


def test_an_entry_that_is_replayed_twice_is_one_entry_wherever_it_is_by_now(
    server: engines.StoppableServer, config: MemoryConfig, ticks: Ticks
) -> None:
    limits = {"stm_config": {"memory_limit": 2}, "im_config": {"memory_limit": 2}}
    small = MemoryConfig(**{**dict(config), **limits, "cleanup_interval": 1_000})
    with AgentMemorySystem(small) as system:
        system._resources.intake.pause.ticks = ticks
        store(system, *range(6))
        query = Query(agent_id="ant", order=Order.STEP)
        entries = [hit.entry for hit in system.recall(query)]
        system.maintain()
        assert [system.statistics()[tier].entries for tier in Tier] == [2, 2, 2]
        opened = system._resources
        spool = spool_of(small, opened.connections.deployment, opened.identity.id)
        assert spool is not None
        for entry in entries:  # as if each had been answered too late
            spool.put(entry, time.time())
        system._resources.intake.replay()
        assert [system.statistics()[tier].entries for tier in Tier] == [2, 2, 2]
        assert steps_of(system) == list(range(6))
        assert waiting(system) == 0


# -- forgetting wins ------------------------------------------------------------------------------


def spooled(system: AgentMemorySystem, *steps: int, agent: str = "ant") -> Spool:
    """Put entries into another machine's spool, which knows nothing of what happens here."""
    resources = system._resources
    far = resources.intake._spool
    assert far is not None
    for step in steps:
        entry = resources.new_entries.of_data(
            system.config.run_id, agent, MemoryType.STATE, {"step": step}, step, 1.0
        )
        far.put(entry, time.time())
    return far


def test_what_waited_when_its_agent_was_cleared_does_not_come_back(
    system: AgentMemorySystem,
) -> None:
    spooled(system, 0, 1)
    spooled(system, 0, agent="bee")
    assert system.get_memory_agent("ant").clear_memory()
    spooled(system, 2)
    system._resources.intake.replay()
    assert steps_of(system, "ant") == [2]
    assert steps_of(system, "bee") == [0]
    assert waiting(system) == 0


def test_what_waited_when_its_run_was_cleared_does_not_come_back(
    system: AgentMemorySystem,
) -> None:
    spooled(system, 0, agent="an agent that no tier has heard of")
    elsewhere = system.run("another")
    spooled(elsewhere, 0)
    assert system.clear_all_memories()
    spooled(system, 1)
    system._resources.intake.replay()
    assert steps_of(system, "an agent that no tier has heard of") == []
    assert steps_of(system) == [1]
    assert elsewhere.stm.count("another") == 1


def test_what_waited_when_its_key_was_forgotten_does_not_come_back(
    system: AgentMemorySystem,
) -> None:
    far = spooled(system, 0, 1)
    first = system._resources.intake._replay._readable(far, far.waiting(1)).popitem()[1][1]
    system.ltm.forget([first.key], time.time())
    system._resources.intake.replay()
    assert steps_of(system) == [1]


def test_an_agent_that_is_cleared_while_its_entries_are_replayed_stays_cleared(
    system: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    spooled(system, 0)
    add_many = system.stm.add_many
    agent = system.get_memory_agent("ant")

    def late(entries: Any) -> Any:
        # Cleared by someone else, after it was looked for and before it is stored.
        assert agent.clear_memory()
        return add_many(entries)

    monkeypatch.setattr(system.stm, "add_many", late)
    system._resources.intake.replay()
    assert steps_of(system) == []


# -- the embedded server ---------------------------------------------------------------------------


def test_killing_the_embedded_server_again_and_again_loses_nothing_acknowledged(
    tmp_path: Path,
) -> None:
    config = MemoryConfig(path=tmp_path / "memory", engine="embedded", search=False)
    with AgentMemorySystem(config) as system, EmbeddedServer.open(tmp_path / "memory") as server:
        stop = threading.Event()

        def keep_killing() -> None:
            while not stop.wait(0.3):
                try:
                    os.kill(server.pid, signal.SIGKILL)
                except (StoreUnavailable, ProcessLookupError):
                    continue
                count("kills")

        killer = threading.Thread(target=keep_killing)
        killer.start()
        deadline = time.monotonic() + 4
        told = []
        step = 0
        while time.monotonic() < deadline:
            if system.store_agent_state("ant", {"step": step}, step):
                told.append(step)
            step += 1
        stop.set()
        killer.join()
        system.maintain()
        assert told == list(range(step))
        assert steps_of(system) == told


# -- long-term memory is away ---------------------------------------------------------------------


LIMITS: dict[str, Any] = {
    "stm_config": {"memory_limit": 3},
    "im_config": {"memory_limit": 3},
    "cleanup_interval": 1,
}


def test_a_database_that_is_locked_for_long_keeps_entries_above_and_few_calls_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_connecting, "BUSY_TIMEOUT", 0.4)
    config = MemoryConfig(path=tmp_path / "memory", engine="embedded", search=False, **LIMITS)
    with AgentMemorySystem(config) as system:
        store(system, *range(8))
        locker = sqlite3.connect(tmp_path / "memory" / "agent_memory.db", isolation_level=None)
        locker.execute("BEGIN IMMEDIATE")
        times = []
        for step in range(8, 40):
            begun = time.monotonic()
            store(system, step)
            times.append(time.monotonic() - begun)
        assert sum(seconds > 0.3 for seconds in times) == 1  # and then upkeep pauses
        assert not system.status.long_term.up
        assert "locked" in system.status.long_term.reason
        assert steps_of(system) == list(range(40))
        locker.execute("ROLLBACK")
        locker.close()
        system.maintain()
        assert system.status.long_term.up
        assert steps_of(system) == list(range(40))
        assert [system.statistics()[tier].entries for tier in Tier] == [3, 3, 34]


def test_a_full_disk_keeps_entries_above_until_there_is_room(tmp_path: Path) -> None:
    config = MemoryConfig(path=tmp_path / "memory", engine="embedded", search=False, **LIMITS)
    with AgentMemorySystem(config) as system:
        full = [True]

        @event.listens_for(system._resources.connections.sql_engine, "checkout")
        def fill(connection: sqlite3.Connection, *_: object) -> None:
            connection.execute(f"PRAGMA max_page_count = {1 if full[0] else 2**30}")

        for step in range(30):
            assert system.store_agent_state("ant", {"fill": os.urandom(20_000)}, step)
        assert not system.status.long_term.up
        assert "full" in system.status.long_term.reason
        assert steps_of(system) == list(range(30))
        full[0] = False
        system.maintain()
        assert system.status.long_term.up
        assert steps_of(system) == list(range(30))
        assert [system.statistics()[tier].entries for tier in Tier] == [3, 3, 24]
