"""The example of several processes: all that they stored is there, in every tier, once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent_memory import AgentMemorySystem, Query

PROJECT = Path(__file__).parents[2]
SCRIPT = PROJECT / "examples" / "workers.py"


@pytest.mark.long
def test_processes_share_a_memory_and_workers_its_upkeep(tmp_path: Path) -> None:
    numbers = {"--processes": 2, "--workers": 1, "--agents": 30, "--steps": 14}
    size = {**numbers, "--path": tmp_path / "memory"}
    done = subprocess.run(
        [sys.executable, SCRIPT, *(str(word) for pair in size.items() for word in pair)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "30 agents remember the last step" in done.stdout
    assert "LTM: 120 entries" in done.stdout
    with AgentMemorySystem.open(tmp_path / "memory", read_only=True) as memory:
        for agent in ("walker-0", "walker-29"):
            steps = [hit.entry.step_number for hit in memory.recall(Query(agent_id=agent))]
            assert sorted(steps) == [*range(14)]
