"""The example of Ray: all that its tasks stored is there, in every tier, once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent_memory import AgentMemorySystem, Query

PROJECT = Path(__file__).parents[2]
SCRIPT = PROJECT / "examples" / "ray_workers.py"


@pytest.mark.long
def test_tasks_share_a_memory_and_actors_its_upkeep(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="pip install ray")
    numbers = {"--tasks": 2, "--workers": 2, "--agents": 30, "--steps": 14}
    size = {**numbers, "--path": tmp_path / "memory"}
    done = subprocess.run(
        [sys.executable, SCRIPT, *(str(word) for pair in size.items() for word in pair)],
        cwd=tmp_path,
        # Ray leaves a token in the home folder.
        env=os.environ
        | {"PYTHONPATH": str(PROJECT), "HOME": str(tmp_path), "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "420 entries stored" in done.stdout
    assert "30 agents remember the last step" in done.stdout
    held = {tier: int(count) for tier, count in re.findall(r"(\w+): (\d+) entries", done.stdout)}
    assert sum(held.values()) == 420
    # Actors that have not heard of each other yet may move down more than they must.
    assert held["STM"] <= 150
    assert held["IM"] <= 150
    with AgentMemorySystem.open(tmp_path / "memory", read_only=True) as memory:
        for agent in ("walker-0", "walker-29"):
            steps = [hit.entry.step_number for hit in memory.recall(Query(agent_id=agent))]
            assert sorted(steps) == [*range(14)]
