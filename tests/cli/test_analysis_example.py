"""The analysis script, on the demo's folder, beside a simulation that goes on storing."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent_memory import AgentMemorySystem
from agent_memory.cli.commands import app

PROJECT = Path(__file__).parents[2]
SCRIPT = PROJECT / "examples" / "analysis.py"


def analyse(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("analysis") / "demo"
    arguments = ["demo", "--path", str(folder), "--agents", "15", "--steps", "25"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return folder


def _go_on_storing(folder: Path, stored: Any) -> None:
    with AgentMemorySystem.open(folder) as memory:
        run = memory.run("sugarscape-1")
        for step in range(26, 10_000):
            run.store_agent_state("live", {"sugar": float(step), "spice": 1.0}, step)
            stored.value += 1
            time.sleep(0.01)


def test_the_script_reads_a_live_memory_in_three_ways_and_draws_it(
    demo: Path, tmp_path: Path
) -> None:
    ways = multiprocessing.get_context("spawn")
    stored = ways.Value("i", 0)
    writer = ways.Process(target=_go_on_storing, args=(demo, stored), daemon=True)
    writer.start()
    while stored.value < 20 and writer.is_alive():
        time.sleep(0.01)
    before = stored.value
    done = analyse(tmp_path, "--path", demo, "--plot", "picture.png")
    assert writer.is_alive()
    assert stored.value > before
    writer.terminate()
    writer.join()
    assert done.returncode == 0, done.stderr
    with AgentMemorySystem.open(demo, read_only=True) as memory:
        if memory.redis_engine.has_query_engine:
            assert "Redis-OM: states in short-term memory" in done.stdout
    assert "SQLAlchemy: long-term memory by agent and type" in done.stdout
    assert (tmp_path / "picture.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_folder_without_a_memory_is_told_in_one_line(tmp_path: Path) -> None:
    done = analyse(tmp_path, "--path", "nowhere")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "there is no memory in" in line


def test_contents_never_stand_in_the_columns_of_their_entry() -> None:
    script = runpy.run_path(str(SCRIPT))
    own = {"agent": "ant", "step": 7, "type": "state", "importance": 0.5, "tier": "STM"}
    contents = {**dict.fromkeys(own, "its own"), "contents.tier": 1, "a": {"b": 2}, "a.b": 3}
    with AgentMemorySystem({"engine": "fake"}) as memory:
        memory.store_agent_state("ant", contents, 7, 0.5)
        (row,) = script["by_recall"](memory, "ant").to_dict("records")
    assert {name: row[name] for name in own} == own
    assert {row[f"contents.{name}"] for name in own} == {"its own"}
    assert row[r"contents.contents\.tier"] == 1
    assert (row["contents.a.b"], row[r"contents.a\.b"]) == (2, 3)
    assert len(row) == len(own) + len(contents)
