"""A program that is killed while it makes room on the server."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig, Query
from agent_memory.testing.acknowledged import Expected
from agent_memory.testing.tally import count
from agent_memory.testing.wholeness import compared
from tests.faults.processes import PATIENCE
from tests.fuzzing import KILLS
from tests.memories import tier_counts

ROOT = Path(__file__).parents[2]
ROUNDS = min(max(KILLS // 5, 2), 4)
AGENTS = [f"agent {number}" for number in range(8)]

# Stores for ever, writes down what was acknowledged, and makes room all the time.
PROGRAM = """
import sys
from pathlib import Path

from agent_memory import AgentMemorySystem, MemoryConfig

folder, log, first, bound = sys.argv[1:]
config = MemoryConfig(
    path=Path(folder), engine="embedded", search=False, redis_max_bytes=int(bound)
)
with AgentMemorySystem(config) as system, Path(log).open("a") as acknowledged:
    for step in range(int(first), 10**9):
        for number in range(8):
            if system.store_agent_state(f"agent {number}", {"step": step}, step):
                acknowledged.write(f"{number} {step}\\n")
                acknowledged.flush()
"""


def acknowledged_in(log: Path) -> set[tuple[str, int]]:
    lines = log.read_text().splitlines() if log.exists() else []
    return {(f"agent {number}", int(step)) for number, step in map(str.split, lines)}


@pytest.mark.faults
@pytest.mark.long
def test_a_program_that_is_killed_while_it_makes_room_loses_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    chance = random.Random(11)
    log, folder = tmp_path / "acknowledged", tmp_path / "memory"
    config = MemoryConfig(path=folder, engine="embedded", search=False)
    with AgentMemorySystem(config) as system:
        bound = system._resources.used_bytes() + 300_000
    moved = 0
    for kill in range(ROUNDS):
        before = len(acknowledged_in(log))
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, folder, log, str(kill * 10**6), str(bound)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        deadline = time.monotonic() + PATIENCE
        # By then it has made room several times.
        while len(acknowledged_in(log)) < before + 600 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.2))
        process.kill()
        process.wait()
        count("kills")
        with AgentMemorySystem(config) as system:
            system.maintain()
            moved = tier_counts(system, *AGENTS)[2]
            found = Counter(
                (agent, hit.entry.step_number)
                for agent in AGENTS
                for hit in system.recall(Query(agent_id=agent), touch=False)
            )
            reported = frozenset(acknowledged_in(log))
            compared(found, Expected(reported, frozenset(found), frozenset(), {})).assert_none()
            assert len(found) <= len(acknowledged_in(log)) + kill + 1
    assert moved > 0
