"""What a batch has gathered is stored or reported, whatever ends: server, program or memory."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent_memory import (
    AgentMemorySystem,
    MemoryConfig,
    NotAllStored,
    Order,
    Query,
    StoreReadOnly,
    StoreUnavailable,
)
from tests import engines

pytestmark = pytest.mark.faults


def steps_of(system: AgentMemorySystem, agent: str = "ant") -> list[int]:
    hits = system.recall(Query(agent_id=agent, order=Order.STEP), touch=False)
    return [hit.entry.step_number for hit in hits]


def test_a_read_only_memory_gathers_nothing(tmp_path: Path) -> None:
    AgentMemorySystem(MemoryConfig(path=tmp_path, engine="embedded", search=False)).close()
    with (
        AgentMemorySystem.open(tmp_path, read_only=True) as system,
        pytest.raises(StoreReadOnly, match="gathered"),
    ):
        system.batch()


def test_what_is_not_stored_is_told_by_agent_and_reads_go_on(
    server: engines.StoppableServer, tmp_path: Path
) -> None:
    config = MemoryConfig(redis_url=server.url, path=tmp_path / "memory", spool_max_bytes=0)
    with AgentMemorySystem(config, upkeep=False) as system:
        batch = system.batch(max_seconds=1e9)
        batch.__enter__()
        for agent in ("ant", "bee"):
            system.store_agent_state(agent, {}, 1)
        server.kill()
        with pytest.raises(StoreUnavailable):
            system.stm.count("default", "ant")
        with pytest.raises(NotAllStored, match="2 gathered entries are not stored") as told:
            batch.flush()
        assert [key.agent_id for key in told.value.refused] == ["ant", "bee"]
        assert all(isinstance(why, StoreUnavailable) for why in told.value.refused.values())
        batch.__exit__()  # each is reported once


def test_while_the_server_is_away_a_batch_waits_in_the_spool(
    server: engines.StoppableServer, tmp_path: Path
) -> None:
    config = MemoryConfig(redis_url=server.url, path=tmp_path / "memory")
    with AgentMemorySystem(config, upkeep=False) as system:
        with system.batch():
            system.store_agent_state("ant", {}, 1)
            server.kill()
        spool = system.status.spool
        assert spool is not None
        assert spool.entries == 1
    server.start()


KILLED = """
import os, signal, sys
from agent_memory import AgentMemorySystem, MemoryConfig
system = AgentMemorySystem(MemoryConfig(path=sys.argv[1], engine="embedded", search=False))
batch = system.batch(max_seconds=1e9)
batch.__enter__()
for step in range(30):
    system.store_agent_state("ant", {}, step)
batch.flush()
system.store_agent_state("ant", {}, 30)
if sys.argv[2] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("ending", ["kill", "exit"])
@pytest.mark.long
def test_a_kill_costs_what_is_gathered_alone_and_an_exit_nothing(
    tmp_path: Path, ending: str
) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), ending], check=False)
    assert done.returncode == (-signal.SIGKILL if ending == "kill" else 0)
    with AgentMemorySystem.open(tmp_path) as system:
        assert steps_of(system) == [*range(30 if ending == "kill" else 31)]
