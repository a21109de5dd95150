"""Entries that waited are stored once, whatever dies meanwhile; what was forgotten stays so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent_memory import (
    AgentMemorySystem,
    MemoryConfig,
    MemoryType,
    Order,
    Query,
    Tier,
)
from agent_memory.cli.commands import app
from agent_memory.testing.tally import count
from agent_memory.tiers.replaying import SLICE
from agent_memory.tiers.spool import Spool, spool_of
from tests import engines
from tests.faults.away import Ticks, come_back, steps_of, store, waiting

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
    reported = [int(process.stdout.readline()) for _ in range(least)]
    process.kill()
    count("kills")
    reported += [int(line) for line in process.stdout if line.endswith(b"\n")]
    process.communicate()
    return reported


def begin(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


@pytest.mark.long
def test_what_killed_processes_had_acknowledged_is_there_once_after_the_next_opens(
    server: engines.StoppableServer, config: MemoryConfig
) -> None:
    processes = {agent: storing(config, agent) for agent in ("ant", "bee")}
    reported = {}
    for process in processes.values():
        begin(process)
        assert process.stdout is not None
        assert int(process.stdout.readline()) == 0
    server.kill()
    for agent, process in processes.items():
        reported[agent] = [0, *told_by(process, 500)]
    server.start()
    with AgentMemorySystem(config) as system:
        for agent, acknowledged in reported.items():
            steps = steps_of(system, agent)
            assert acknowledged == list(range(len(acknowledged)))
            # The last one may have been stored without being acknowledged.
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
        come_back(server, system)
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


def test_what_is_replayed_waits_until_it_is_stored(
    system: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    spooled(system, 0, 1, 2)
    intake = system._resources.intake
    waited = []

    def die(_entries: object) -> None:
        waited.append(waiting(system))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(intake._replay._store, "add_many", die)
        with pytest.raises(KeyboardInterrupt):
            intake.replay()
    assert waited == [3]
    intake.replay()
    assert steps_of(system) == [0, 1, 2]
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
        spool.close()
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
