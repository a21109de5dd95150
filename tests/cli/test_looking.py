"""The commands that show what a memory holds, and their JSON."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from agent_memory import AgentMemorySystem, Query
from agent_memory.cli.commands import app
from agent_memory.cli.latest import Latest
from tests import engines

STEPS = 12
LONG = "SugarscapeG1mt-0123456789abcdef-of-a-sweep"


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def rows(*arguments: object) -> list[Any]:
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def live(memory: AgentMemorySystem, *agents: str, first: int = 0) -> None:
    for step in range(first, first + STEPS):
        for place, agent in enumerate(agents):
            data = {"food": step / 2, "at": (step, place), "mood": "calm" if step % 2 else "wild"}
            memory.store_agent_state(agent, data, step)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory with two runs; what is in it does not change."""
    path = tmp_path_factory.mktemp("looking") / "memory"
    with AgentMemorySystem({"engine": "embedded", "path": path}) as memory:
        live(memory, "ant/1", "[ant] 2")
        parameters = {"bees": 1, "at": (2, 3)}
        with memory.run("later", parameters=parameters, seed=2**70, parent="default") as run:
            live(run, "bee", first=100)
    return path


@pytest.mark.parametrize(
    "asked", [("recall", "atn/1"), ("history", "atn/1", "food"), ("recall", "ant/1", "--run", "x")]
)
def test_a_name_that_nobody_has_is_told_of(folder: Path, asked: tuple[str, ...]) -> None:
    result = invoke(*asked, "--path", folder)
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"holds nothing of agent {asked[1]!r}: agent-memory agents lists" in result.stderr
    assert invoke("recall", "ant/1", "--steps", "900", "--path", folder).stderr == ""


def test_importing_a_file_that_is_not_there_makes_no_memory(tmp_path: Path) -> None:
    result = invoke("import", tmp_path / "ants.parqet", "--path", tmp_path / "other")
    assert result.exit_code == 2
    assert "there is no export; name what" in result.stderr
    assert [*tmp_path.iterdir()] == []


def test_runs_agents_and_tiers_are_listed_with_what_they_hold(folder: Path) -> None:
    assert rows("runs", "--path", folder) == [
        {"run": "default", "parent": None, "seed": None, "status": "running", "agents": 2,
         "first step": 0, "last step": 11, "STM": 24, "IM": 0, "LTM": 0, "parameters": {}},
        {"run": "later", "parent": "default", "seed": str(2**70), "status": "finished", "agents": 1,
         "first step": 100, "last step": 111, "STM": 12, "IM": 0, "LTM": 0,
         "parameters": {"bees": 1, "at": [2, 3]}},
    ]  # fmt: skip
    assert "bees=1, at=(2, 3)" in " ".join(invoke("runs", "--path", folder).stdout.split())
    assert [row["agent"] for row in rows("agents", "--path", folder)] == ["[ant] 2", "ant/1"]
    assert [row["agent"] for row in rows("agents", "--path", folder, "--search", "ANT/")] == [
        "ant/1"
    ]
    assert rows("agents", "--path", folder, "--run", "nobody's") == []
    [stm, *_] = rows("stats", "--path", folder, "--run", "later")
    assert (stm["tier"], stm["entries of the run"], stm["of all runs"]) == ("STM", 12, 36)
    shown = invoke("agents", "--path", folder)
    assert "[ant] 2" in shown.stdout


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory with long names, long parameters, and numbers of NumPy."""
    path = tmp_path_factory.mktemp("named") / "memory"
    parameters = {"rates": [0.123456789] * 20, "policy": "graze until the grass is gone"}
    with AgentMemorySystem({"engine": "embedded", "path": path}) as memory:
        run = memory.run(LONG, parameters=parameters, seed=2**64)
        run.store_agent_state(f"{LONG}:bug:", {"food": np.float64(4.5), "at": (np.int64(3), 1)}, 9)
        run.store_agent_state("tab\tline\nend", {"food": None}, 1_234)
    return path


@pytest.mark.parametrize("columns", ["80", "40", None])
def test_names_are_whole_however_narrow_the_screen(
    named: Path, columns: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    at = ("--path", named)
    listed = invoke("runs", *at).stdout
    assert f"\n{LONG}  {2**64}  running  " in listed
    assert "None" not in listed
    assert "parent" not in listed  # of no run
    assert "graze until" in listed
    agents = invoke("agents", *at, "--run", LONG).stdout
    assert f"{LONG}:bug:" in agents
    assert r"'tab\tline\nend'" in agents
    found = invoke("recall", f"{LONG}:bug:", *at, "--run", LONG).stdout
    assert "{'at': (3, 1)," in found
    if columns is None:
        assert [len(text.splitlines()) for text in (found, listed)] == [2, 3]
    assert f"\n{LONG}  " in invoke("status", *at).stdout


def test_a_value_that_is_none_is_printed_as_such(named: Path) -> None:
    asked = ("history", "tab\tline\nend", "food", "--run", LONG, "--path", named)
    assert invoke(*asked).stdout.splitlines()[1].split()[:2] == ["1,234", "None"]
    assert rows(*asked)[0]["value"] is None


def test_recall_answers_as_the_memory_does(folder: Path) -> None:
    asked = ("recall", "ant/1", "--path", folder)
    assert [row["step_number"] for row in rows(*asked, "--steps", "5:7")] == [5, 6, 7]
    assert [row["step_number"] for row in rows(*asked, "--steps", "10:")] == [10, 11]
    assert [row["step_number"] for row in rows(*asked, "--steps", ":1")] == [0, 1]
    assert [row["step_number"] for row in rows(*asked, "--steps", "4")] == [4]
    assert [row["step_number"] for row in rows(*asked, "--newest", "-n", 2)] == [11, 10]
    calm = rows(*asked, "--where", "mood=calm", "--where", "food=1..3")
    assert [row["step_number"] for row in calm] == [3, 5]
    with AgentMemorySystem.open(folder, read_only=True) as memory:
        near = memory.recall(Query(agent_id="ant/1", limit=3), near={"food": 2.0}, touch=False)
    found = rows(*asked, "--near", '{"food": 2}', "-n", 3)
    assert [row["memory_id"] for row in found] == [hit.entry.memory_id for hit in near]
    assert [row["score"] for row in found] == pytest.approx([hit.score for hit in near])
    assert found[0]["contents"] == {"food": 2.0, "at": [4, 0], "mood": "wild"}
    assert rows("recall", "nobody", "--path", folder) == []
    assert rows("recall", "bee", "--run", "later", "--type", "action", "--path", folder) == []


def test_how_a_value_went_is_printed_with_its_bounds(folder: Path) -> None:
    assert rows("history", "ant/1", "at[0]", "--path", folder, "--steps", "9:") == [
        {"step": step, "value": step, "bound": 0.0, "tier": "STM"} for step in (9, 10, 11)
    ]
    assert rows("history", "ant/1", "nothing", "--path", folder) == []


def test_a_path_that_no_entry_has_is_told_on_a_line_of_its_own(folder: Path) -> None:
    result = invoke("recall", "ant/1", "--where", "fodo=3", "--path", folder)
    assert (result.exit_code, result.stdout) == (0, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("agent-memory: ")
    assert "food" in line


def test_a_memory_is_shown_by_the_beginning_of_its_id(folder: Path) -> None:
    last = rows("recall", "bee", "--run", "later", "--path", folder, "--newest")[0]
    asked = ("show", "bee", last["memory_id"][:16], "--run", "later", "--path", folder)
    assert rows(*asked) == [last]
    shown = invoke(*asked).stdout
    assert f"memory id: {last['memory_id']}" in shown
    assert "'food': 55.5" in shown
    several = invoke("show", "bee", "0", "--run", "later", "--path", folder)
    assert several.exit_code == 2
    assert "12 memories of agent 'bee' begin so" in several.stderr
    nothing = invoke("show", "bee", last["memory_id"], "--path", folder)
    assert nothing.exit_code == 2
    assert "agent 'bee' of run 'default' has no memory" in nothing.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--steps", "x:2"), "write 7, 5:10, 5: or :10"),
        (("--where", "food"), "write PATH=VALUE"),
        (("--near", "[3"), "is no JSON"),
        (("--near", "3"), "a JSON object is needed"),
    ],
)
def test_an_option_without_meaning_is_one_plain_line(
    folder: Path, options: tuple[str, str], said: str
) -> None:
    result = invoke("recall", "ant/1", "--path", folder, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert said in line


def test_what_follows_is_given_once_and_in_order() -> None:
    moment = iter(range(1, 10_000))
    config = {"engine": "fake", "ltm_url": "sqlite://", "stm_config": {"memory_limit": 5}}
    with AgentMemorySystem(config, clock=lambda: next(moment) // 3) as memory:
        live(memory, "ant")
        latest = Latest(memory, None)
        assert [hit.entry.step_number for hit in latest.more(3)] == [9, 10, 11]
        assert latest.more() == []
        given = []
        for first in range(STEPS, 4 * STEPS, STEPS):
            live(memory, "ant", "bee", first=first)
            given += [(hit.entry.agent_id, hit.entry.step_number) for hit in latest.more()]
        steps = range(STEPS, 4 * STEPS)
        assert sorted(given) == sorted((who, step) for who in ("ant", "bee") for step in steps)
        assert [step for _, step in given] == sorted(step for _, step in given)


def test_tail_prints_the_latest_of_all_agents(folder: Path) -> None:
    assert [row["step_number"] for row in rows("tail", "--path", folder, "-n", 3)] == [10, 11, 11]
    only = rows("tail", "--path", folder, "--agent", "ant/1", "-n", 2)
    assert [(row["agent_id"], row["step_number"]) for row in only] == [("ant/1", 10), ("ant/1", 11)]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[Path, AgentMemorySystem]]:
    path = tmp_path / "own"
    config = {"engine": "embedded", "path": path, "stm_config": {"memory_limit": 10}}
    with AgentMemorySystem(config, upkeep=False) as memory:
        yield path, memory


@pytest.mark.parametrize(
    "ended_by", engines.parameters([signal.SIGINT, signal.SIGTERM], [signal.SIGTERM])
)
def test_upkeep_that_watches_goes_on_until_a_signal(
    own: tuple[Path, AgentMemorySystem], ended_by: signal.Signals
) -> None:
    path, memory = own
    command = ["maintain", "--path", str(path), "--watch", "--every", "0.05", "--json"]
    code = "from agent_memory.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *command], stdout=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["refused"] == 0
        live(memory, "ant")
        process.stdout.readline()
        process.send_signal(ended_by)
        process.stdout.read()
        assert process.wait() == 0
    assert len(memory.recall(Query(agent_id="ant"))) == STEPS


_SIGNALLED = """
import os, signal, threading, time
from agent_memory.cli.upkeep import _ended_by_signal
def send():
    for _ in range(2_000):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.0001)
    done.append(True)
done = []
with _ended_by_signal() as end:
    threading.Thread(target=send).start()
    while not done or not end.wait(0.01):
        end.wait(0.0)
"""


@pytest.mark.long
def test_a_signal_at_any_instant_ends_the_upkeep_and_stops_it_nowhere() -> None:
    ended = subprocess.run([sys.executable, "-c", _SIGNALLED], timeout=60, check=False)
    assert ended.returncode == 0


def test_an_export_comes_back_in_another_folder(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    [reported] = rows("export", file, "--path", folder)
    assert (reported["entries"], reported["files"]) == (36, [str(file)])
    again = invoke("export", file, "--path", folder)
    assert again.exit_code == 2
    assert str(file) in again.stderr
    assert invoke("export", file, "--path", folder, "--force").exit_code == 0
    [reported] = rows("import", file, "--path", tmp_path / "other")
    assert (reported["stored"], reported["present"], reported["differing"]) == (36, 0, [])
    recorded = ("parent", "seed", "status", "parameters")  # which a file of entries does not hold
    there, here = (
        [{name: row[name] for name in row if name not in recorded} for row in rows("runs", *at)]
        for at in (("--path", tmp_path / "other"), ("--path", folder))
    )
    assert there == here
    assert "36 were there" in invoke("import", file, "--path", tmp_path / "other").stdout
    [reported] = rows("export", tmp_path / "parts", "--run", "later", "--by-run", "--path", folder)
    assert reported["entries"] == 12
    assert (tmp_path / "parts" / "run_id=later").is_dir()


@pytest.mark.parametrize("command", ["check", "doctor", "status", "stats", "backup", "forget"])
def test_what_is_printed_for_programs_is_json(own: tuple[Path, Any], command: str) -> None:
    path, memory = own
    live(memory, "ant")
    more: dict[str, list[object]] = {
        "backup": [path.parent / "file"],
        "forget": ["--agent", "ant", "--yes"],
    }
    assert all(type(row) is dict for row in rows(command, *more.get(command, []), "--path", path))


def test_every_command_shows_an_example_of_itself() -> None:
    group: Any = get_command(app)
    for name, command in group.commands.items():
        if name not in ("db", "encoder"):
            assert command.epilog.startswith(f"Example: agent-memory {name}"), name


def test_the_version_is_an_option_too() -> None:
    assert invoke("--version").stdout == invoke("version").stdout


def test_versions_of_the_encoder_and_the_schema_are_given_as_json_too(folder: Path) -> None:
    (version,) = rows("encoder", "list", "--path", folder)
    assert version["version"] == 0
    assert version["entries"] == 3 * STEPS
    assert (version["R2"], version["status"]) == (None, "active")
    (now,) = rows("db", "current", "--path", folder)
    assert now["revision"] == now["newest"]
    revisions = rows("db", "history", "--path", folder)
    assert revisions[-1]["revision"] == now["newest"]
    assert {revision["state"] for revision in revisions} == {"applied"}
