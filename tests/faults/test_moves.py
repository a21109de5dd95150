from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig, Order, Query, Tier
from agent_memory.embedded import EmbeddedServer
from tests.faults.storing import AGENTS, LIMITS, contents_of

PROGRAM = Path(__file__).with_name("storing.py")
ROOT = Path(__file__).parents[2]

# How many kills of each kind; ``make faults`` asks for more.
KILLS = int(os.environ.get("AGENT_MEMORY_TEST_KILLS", "10"))


class Run:
    """A memory that a program stores into, again and again killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "memory"
        self._log = folder / "acknowledged"
        self._log.touch()
        self.next_step = 0

    def start(self, steps: int, kill_at: int) -> subprocess.Popen[bytes]:
        first, self.next_step = self.next_step, self.next_step + steps
        return subprocess.Popen(
            [sys.executable, PROGRAM, self.folder, self._log, str(first), str(self.next_step),
             str(kill_at)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def acknowledged(self) -> dict[str, set[int]]:
        steps: dict[str, set[int]] = {agent: set() for agent in AGENTS}
        for line in self._log.read_text().splitlines():
            agent, step = line.split()
            steps[agent].add(int(step))
        return steps

    def check(self) -> None:
        """Every acknowledged entry is there once and whole; and after upkeep in one tier only."""
        self._check_readable_as_it_lies()
        config = MemoryConfig(path=self.folder, engine="embedded", **LIMITS)
        with AgentMemorySystem(config) as system:
            system.maintain()
            for agent in AGENTS:
                self._check_settled(system, agent)
            self._check_no_orphans(system)

    def _check_readable_as_it_lies(self) -> None:
        with AgentMemorySystem.open(self.folder, read_only=True) as system:
            for agent, steps in self.acknowledged().items():
                found = Counter(
                    hit.entry.step_number for hit in system.recall(Query(agent_id=agent))
                )
                assert steps <= set(found)
                assert set(found.values()) <= {1}

    def _check_settled(self, system: AgentMemorySystem, agent: str) -> None:
        places: Counter[int] = Counter()
        for tier in (system.stm, system.im, system.ltm):
            entries = tier.find(Query(run_id="default", agent_id=agent, order=Order.STEP))
            assert tier.count("default", agent) == len(entries)
            for entry in entries:
                assert entry.contents == contents_of(entry.step_number)
                places[entry.step_number] += 1
        assert set(places.values()) <= {1}
        assert self.acknowledged()[agent] <= set(places)
        assert system.stm.count("default", agent) <= LIMITS["stm_config"]["memory_limit"]  # type: ignore[index]
        assert system.im.count("default", agent) <= LIMITS["im_config"]["memory_limit"]  # type: ignore[index]

    @staticmethod
    def _check_no_orphans(system: AgentMemorySystem) -> None:
        client = system._resources.stm._channel.client  # type: ignore[attr-defined]
        held = system.statistics()
        hashes = [key for key in client.scan_iter(_type="hash") if not key.endswith(b":moving")]
        assert len(hashes) == held[Tier.STM].entries + held[Tier.IM].entries
        names = {key.rpartition(b":")[2] for key in hashes}
        for index in client.scan_iter(_type="zset"):
            if b"agents" not in index:
                assert set(client.zrange(index, 0, -1)) <= names


# A move into long-term memory notes itself, writes, deletes and takes the note back; each of these
# four exchanges may be the last that was begun or ended. The first deletion of a process takes
# three exchanges, because the script is new to the server: two moves have twenty points.
POINTS_OF_TWO_MOVES = 20


@pytest.mark.faults
@pytest.mark.parametrize("point", range(1, POINTS_OF_TWO_MOVES + 1))
def test_each_acknowledged_entry_survives_a_kill_at_every_point_of_a_move(
    tmp_path: Path, point: int
) -> None:
    run = Run(tmp_path)
    process = run.start(60, kill_at=point)
    assert process.wait(60) == -signal.SIGKILL
    run.check()


@pytest.mark.faults
def test_each_acknowledged_entry_survives_a_kill_of_program_or_server_at_random(
    tmp_path: Path,
) -> None:
    chance = random.Random(7)
    run = Run(tmp_path)
    for number in range(KILLS):
        process = run.start(100_000, kill_at=0)
        run.next_step = run.next_step - 100_000 + 50_000
        deadline = time.monotonic() + 20
        before = run.acknowledged()
        while run.acknowledged() == before and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.3))
        if number % 2:
            # The program heals the server and goes on.
            with EmbeddedServer.open(run.folder) as server:
                os.kill(server.pid, signal.SIGKILL)
            time.sleep(chance.uniform(0.1, 0.3))
        process.kill()
        process.wait(20)
        run.check()
