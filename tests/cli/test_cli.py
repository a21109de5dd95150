"""The command line: what it leaves in a folder, and how it speaks of what goes wrong."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from agent_memory import AgentMemorySystem, Query, Tier, Vector
from agent_memory.cli import main
from agent_memory.cli.commands import app
from agent_memory.integrations.sugarscape import Sugarscape
from agent_memory.values.entry import MemoryType
from agent_memory.values.query import Order

TRADERS, STEPS = 12, 25


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_demo(folder: Path) -> Result:
    result = invoke("demo", "--path", folder, "--agents", TRADERS, "--steps", STEPS)
    assert result.exit_code == 0, result.output
    return result


def entries_by_tier(folder: Path, run_id: str) -> dict[Tier, int]:
    with AgentMemorySystem.open(folder, read_only=True) as system:
        return {tier.tier: tier.count(run_id) for tier in (system.stm, system.im, system.ltm)}


def simulated_entries(seed: int) -> int:
    simulation = Sugarscape(TRADERS, seed)
    moments = [moment for _ in range(STEPS) for moment in simulation.step()]
    return sum(1 if moment.state is None else 2 for moment in moments)


@pytest.fixture(scope="module")
def remembered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with one run of the demo, and what the demo printed."""
    folder = tmp_path_factory.mktemp("demo") / "memory"
    return folder, run_demo(folder).output


def test_demo_fills_all_three_tiers_and_loses_nothing(remembered: tuple[Path, str]) -> None:
    folder, _ = remembered
    held = entries_by_tier(folder, "sugarscape-1")
    assert all(count > 0 for count in held.values()), held
    assert sum(held.values()) == simulated_entries(seed=1)


def test_demo_keeps_the_states_that_the_simulation_had(remembered: tuple[Path, str]) -> None:
    folder, _ = remembered
    simulation = Sugarscape(TRADERS, seed=1)
    expected = [
        moment.state for _ in range(STEPS) for moment in simulation.step() if moment.agent_id == 1
    ]
    with AgentMemorySystem.open(folder, read_only=True) as system:
        query = Query(
            agent_id="1", run_id="sugarscape-1", memory_type=MemoryType.STATE, order=Order.STEP
        )
        recalled = [dict(hit.entry.contents) for hit in system.recall(query)]
    assert recalled == [state for state in expected if state is not None]


def test_demo_tells_of_every_tier_and_answers_from_all(remembered: tuple[Path, str]) -> None:
    _, output = remembered
    for said in ("short-term", "intermediate", "long-term", "bytes an entry", "stores a second"):
        assert said in output
    (answer,) = [line for line in output.splitlines() if " entries in " in line]
    assert re.search(r": [1-9]\d* short-term, [1-9]\d* intermediate, [1-9]\d* long-term$", answer)


@pytest.mark.long
def test_second_demo_reopens_the_folder_and_adds_a_run(tmp_path: Path) -> None:
    run_demo(tmp_path)
    first = sum(entries_by_tier(tmp_path, "sugarscape-1").values())
    again = run_demo(tmp_path)
    assert f"{first:,} entries" in again.output
    assert sum(entries_by_tier(tmp_path, "sugarscape-1").values()) == first
    assert sum(entries_by_tier(tmp_path, "sugarscape-2").values()) == simulated_entries(seed=2)
    with AgentMemorySystem.open(tmp_path, read_only=True) as memory:
        runs = {run.run_id: run for run in memory.runs()}
    assert {run.status for run in runs.values()} == {"finished"}
    assert runs["sugarscape-2"].parameters == {"traders": TRADERS, "steps": STEPS}
    assert runs["sugarscape-2"].seed == 2


def test_status_lists_the_runs_and_changes_nothing(remembered: tuple[Path, str]) -> None:
    folder, _ = remembered
    before = entries_by_tier(folder, "sugarscape-1")
    result = invoke("status", "--path", folder)
    assert result.exit_code == 0, result.output
    assert "sugarscape-1" in result.output
    assert entries_by_tier(folder, "sugarscape-1") == before


def test_maintain_says_what_it_moved_and_loses_nothing(remembered: tuple[Path, str]) -> None:
    folder, _ = remembered
    before = sum(entries_by_tier(folder, "sugarscape-1").values())
    result = invoke("maintain", "--path", folder)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("moved ")
    assert sum(entries_by_tier(folder, "sugarscape-1").values()) == before


@pytest.mark.parametrize("command", ["demo", "status", "maintain"])
def test_a_path_that_cannot_be_used_is_one_plain_line(command: str, tmp_path: Path) -> None:
    occupied = tmp_path / "occupied"
    occupied.write_text("a file, not a folder")
    result = invoke(command, "--path", occupied)
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("agent-memory: ")
    assert str(occupied) in line
    assert occupied.read_text() == "a file, not a folder"


@pytest.mark.parametrize("command", ["status", "maintain"])
def test_a_folder_that_is_not_there_is_told_and_not_made(command: str, tmp_path: Path) -> None:
    result = invoke(command, "--path", tmp_path / "absent")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("arguments", [("--agents", "0"), ("--steps", "0"), ("--steps", "many")])
def test_demo_refuses_numbers_without_a_meaning(arguments: tuple[str, str], tmp_path: Path) -> None:
    result = invoke("demo", "--path", tmp_path, *arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


def test_version_is_the_installed_one() -> None:
    assert invoke("version").output.strip() == version("agent-memory")


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"),
    [
        ("typer", ["version"], "agent-memory[cli]"),
        ("rich", ["version"], "agent-memory[cli]"),
        pytest.param("mesa", ["demo"], "agent-memory[demo]", marks=pytest.mark.long),
        ("networkx", ["demo"], "agent-memory[demo]"),
    ],
)
def test_a_missing_package_is_told_with_the_extra_that_brings_it(
    missing: str, arguments: list[str], extra: str, tmp_path: Path
) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from agent_memory.cli import main\n"
        f"sys.argv = ['agent-memory', *{arguments!r}]\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert f"pip install '{extra}'" in line


def test_simulation_with_the_same_seed_is_the_same() -> None:
    first, second = Sugarscape(TRADERS, seed=5), Sugarscape(TRADERS, seed=5)
    for _ in range(STEPS):
        assert first.step() == second.step()


def test_traders_who_starve_leave_an_action_and_no_state() -> None:
    simulation = Sugarscape(40, seed=1)
    dead = [
        moment
        for _ in range(60)
        for moment in simulation.step()
        if moment.action["action_type"] == "starve"
    ]
    assert len(dead) == 40 - simulation.alive > 0
    assert all(
        moment.state is None and moment.action["action_params"]["lacking"] for moment in dead
    )


class TestEncoder:
    @pytest.fixture(scope="class")
    @staticmethod
    def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A folder in which an ant has moved through all three tiers."""
        folder = tmp_path_factory.mktemp("encoder") / "memory"
        limits = {"stm_config": {"memory_limit": 40}, "im_config": {"memory_limit": 40}}
        with AgentMemorySystem({"path": folder, "engine": "embedded", **limits}) as memory:
            for step in range(150):
                memory.store_agent_state("ant", {"food": step % 7, "at": (step, 3)}, step)
        return folder

    def test_versions_are_trained_activated_listed_and_reencoded(self, folder: Path) -> None:
        def held() -> dict[Tier, int]:
            return entries_by_tier(folder, "default")

        before = held()
        listed = invoke("encoder", "list", "--path", folder)
        assert re.search(r"^0 +150 .*active +untrained", listed.output, re.MULTILINE)
        trained = invoke("encoder", "train", "--path", folder, "--epochs", 1, "--name", "ants")
        assert trained.exit_code == 0, trained.output
        assert "version 1 is active" in trained.output
        assert re.search(r"long-term +32 +[01]\.\d{3} +[01]\.\d{3}", trained.output)
        assert "kept: pca" in trained.output
        done = invoke("encoder", "reencode", "--path", folder)
        assert "re-encoded: 150 entries" in done.output
        listed = invoke("encoder", "list", "--path", folder)
        assert re.search(r"^0 +0 .*registered +untrained", listed.output, re.MULTILINE)
        assert re.search(r"^1 +150 .*active +pca +ants", listed.output, re.MULTILINE)
        assert "version 0 is active" in invoke("encoder", "activate", 0, "--path", folder).output
        # Limits are the simulation's: a command that was given none moves nothing.
        assert held() == before

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (("activate", 9), "version 9 of the encoder is not registered"),
            (("reencode", "--version", 9), "version 9 of the encoder is not registered"),
            (("train", "--run", "nowhere"), "at least one is needed"),
        ],
    )
    def test_what_is_not_there_is_told_in_one_line(
        self, folder: Path, arguments: tuple[object, ...], complaint: str
    ) -> None:
        result = invoke("encoder", *arguments, "--path", folder)
        assert result.exit_code == 2
        assert complaint in result.stderr
        assert len(result.stderr.splitlines()) == 1

    def test_own_vectors_are_listed_and_what_a_byte_costs_them_is_reported(
        self, tmp_path: Path
    ) -> None:
        folder = tmp_path / "memory"
        with AgentMemorySystem({"path": folder, "engine": "embedded", "search": False}) as memory:
            for step, vector in enumerate(np.random.default_rng(0).normal(size=(40, 16))):
                memory.store_agent_state("ant", {}, step, vector=Vector(vector, space="policy"))
        listed = invoke("encoder", "list", "--path", folder)
        assert re.search(r"^1 +40 .*registered +own +policy", listed.output, re.MULTILINE)
        told = invoke("encoder", "report", "--version", 1, "--path", folder)
        assert "vectors of 'policy': 16 numbers each, measured on 40" in told.output
        assert re.search(r"IM: recall@10 1.000\nLTM: recall@10 [.01]", told.output)
        assert told.exit_code == 0

    @pytest.mark.parametrize("command", ["list", "train", "reencode"])
    def test_a_folder_without_a_memory_is_told_and_not_made(
        self, tmp_path: Path, command: str
    ) -> None:
        result = invoke("encoder", command, "--path", tmp_path / "none")
        assert result.exit_code == 2
        assert "there is no memory" in result.stderr
        assert not (tmp_path / "none").exists()


def test_the_package_is_a_command_of_python_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["agent_memory", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("agent_memory", run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == version("agent-memory")


def test_ctrl_c_while_the_command_line_is_loaded_ends_it_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Interrupted:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "agent_memory.cli.commands":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "agent_memory.cli.commands")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
