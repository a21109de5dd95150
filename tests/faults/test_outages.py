"""What becomes of entries while Redis, or long-term memory, is away."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from agent_memory import (
    AgentMemoryAPI,
    AgentMemorySystem,
    InvalidEntry,
    MemoryConfig,
    Query,
    StoreUnavailable,
    Tier,
)
from agent_memory.connections import sql as sql_connecting
from agent_memory.connections.embedded.server import EmbeddedServer
from agent_memory.connections.redis import clients
from agent_memory.connections.redis import looking as connecting
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.testing.tally import count
from agent_memory.tiers.intake import LOOK_EVERY
from agent_memory.tiers.replaying import SLICE
from tests import engines
from tests.faults.away import Ticks, come_back, steps_of, store, stored_steps, waiting

pytestmark = pytest.mark.faults

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
    come_back(server, system)
    ticks.now += LOOK_EVERY
    store(system, 70)
    assert steps_of(system) == list(range(71))
    assert system.status.short_term.up
    assert waiting(system) == 0
    reported = [record.levelname for record in caplog.records if "Redis server" in record.message]
    assert reported == ["ERROR", "WARNING"]


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
        # Who waits is told by what is asked and with which patience: on a busy machine any call
        # may take half a second.
        waits: list[tuple[int, float]] = []
        step = 0
        asking, looking = RedisChannel._exchange_once, clients.new_connection

        def asked(channel: RedisChannel, commands: Any) -> Any:
            waits.append((step, 1.0))
            return asking(channel, commands)

        def looked(client: Any, **options: Any) -> Any:
            waits.append((step, options["socket_timeout"]))
            return looking(client, **options)

        monkeypatch.setattr(RedisChannel, "_exchange_once", asked)
        monkeypatch.setattr(connecting, "new_connection", looked)
        begun = time.monotonic()
        for step in range(1, 101):
            store(system, step)
            ticks.now += 0.1
        # The first waits for its answer; after 5 seconds one looks, with a timeout of its own.
        assert [patience for _, patience in waits] == [1.0, connecting.LOOK_TIMEOUT]
        assert [step for step, _ in waits] == [1, pytest.approx(51, abs=1)]
        assert time.monotonic() - begun > 0.9 + connecting.LOOK_TIMEOUT
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
            come_back(server, system)
            for ask in questions:
                assert ask(api)
            assert not system.outages.ongoing


def test_nobody_asks_the_server_between_two_looks(
    server: engines.StoppableServer, system: AgentMemorySystem, ticks: Ticks
) -> None:
    server.kill()
    store(system, 0)
    come_back(server, system)
    ticks.now += LOOK_EVERY - 0.1
    store(system, 1)
    assert stored_steps(system) == []
    assert steps_of(system) == [0, 1]
    ticks.now += 0.2
    store(system, 2)
    assert steps_of(system) == [0, 1, 2]


def test_what_waits_is_stored_in_slices_and_what_comes_waits_behind_it(
    server: engines.StoppableServer, system: AgentMemorySystem, ticks: Ticks
) -> None:
    server.kill()
    count = 2 * SLICE + 10
    store(system, *range(count))
    come_back(server, system)
    ticks.now += LOOK_EVERY
    store(system, count)
    assert stored_steps(system) == list(range(SLICE))
    assert steps_of(system) == list(range(count + 1))
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
        come_back(server, system)
        system.maintain()
        assert steps_of(system) == [0, 1]
        server.kill()
        store(system, 2)
        come_back(server, system)
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
        come_back(server, system)
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
        for agent, reported in acknowledged.items():
            assert reported
            assert steps_of(system, agent) == reported
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
    come_back(server, system)
    ticks.now += LOOK_EVERY
    store(system, 3)
    assert steps_of(system) == [0, 1, 2, 3]


# -- the embedded server ---------------------------------------------------------------------------


@pytest.mark.long
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
        reported = []
        step = 0
        while time.monotonic() < deadline:
            if system.store_agent_state("ant", {"step": step}, step):
                reported.append(step)
            step += 1
        stop.set()
        killer.join()
        system.maintain()
        assert reported == list(range(step))
        assert steps_of(system) == reported


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
