"""Programs and servers that are killed anywhere lose, double, resurrect and leave nothing."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_memory.testing.acknowledged import Acknowledgements
from agent_memory.testing.tally import count
from agent_memory.tiers.forgetting import LEASE
from tests.faults.looking import look
from tests.faults.processes import Launcher, eventually, killed, running
from tests.faults.scenarios import SCENARIOS, in_two_days
from tests.fuzzing import EVERYTHING, KILLS

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc"),
]

OPERATIONS = [name for name in SCENARIOS if name != "for_ever"]
FORGETTING = ("forget_agent", "forget_query", "clear")
MOVED_BY_MORE_THAN_LIMITS = ("age", "budget", "spool", "store_step")
STORING = ("store", "store_step")

BUSY = """
import os, sys
block = os.urandom(1 << 20)
with open(sys.argv[1], "wb") as file:
    while True:
        file.seek(0)
        for _ in range(16):
            file.write(block)
            file.flush()
            os.fsync(file.fileno())
"""


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    launcher = Launcher(Path(__file__).with_name("scenarios.py"))
    yield launcher
    launcher.close()


def when_no_forgetting_is_open() -> float:
    """Keys whose forgetting was killed stay refused in long-term memory until its lease ends."""
    return time.time() + 2 * LEASE


def points_of(launcher: Launcher, scenario: str, folder: Path) -> list[str]:
    """The names of the points that a scenario passes, each once.

    Left out is the question whether the server was there all the time: it is asked after a change
    that took long, and so not in each run.
    """
    reported = folder / "points"
    launcher.start(
        scenario=scenario, folder=folder / "memory", log=folder / "log", points_file=reported
    )
    assert launcher.wait() == 0
    points = dict.fromkeys(json.loads(reported.read_text()))
    return [point for point in points if not point.endswith("redis PING, INFO")]


def chosen(points: list[str], scenario: str, victim: str) -> list[str]:
    """All points in ``make faults``; else those of moves, and a sample that the seed rotates."""
    chance = random.Random(f"{scenario} {victim}")
    if EVERYTHING:
        return points if victim == "program" else chance.sample(points, len(points) // 6)
    if (scenario, victim) == ("store", "program"):
        return [point for point in points if "move im->ltm" in point and "LOAD" not in point]
    if scenario == "store_step":
        return [point for point in points if point.endswith("redis write is sent")]
    return chance.sample(points, 1)


def kill_at(launcher: Launcher, folder: Path, scenario: str, point: str, victim: str) -> None:
    folder.mkdir()
    memory, log = folder / "memory", folder / "log"
    # Either is promised to lose nothing by the death of processes.
    durability = random.Random(f"{point} {victim}").choice(["everysec", "always"])
    launcher.start(
        scenario=scenario, folder=memory, log=log, durability=durability, kill_at=point,
        victim=victim,
    )  # fmt: skip
    # A program whose server is killed brings it back and goes on.
    assert launcher.wait() == (0 if victim == "server" else -signal.SIGKILL), point
    count("kills", 2 if victim == "both" else 1)
    when = f"killing the {victim} ({durability}) in {scenario!r} at {point!r}"
    if scenario == "age" and victim == "server":
        look(memory, log, when, clock=in_two_days)
    elif scenario in FORGETTING:
        look(memory, log, when, clock=when_no_forgetting_is_open, in_place=False)
    else:
        look(memory, log, when, in_place=scenario not in MOVED_BY_MORE_THAN_LIMITS)


@pytest.mark.parametrize("scenario", OPERATIONS)
@pytest.mark.parametrize("victim", ["program", "server", "both"])
def test_a_kill_between_any_two_io_steps_loses_and_leaves_nothing(
    launcher: Launcher, tmp_path: Path, scenario: str, victim: str
) -> None:
    if not EVERYTHING and victim != "program" and scenario not in STORING:
        pytest.skip("with AGENT_MEMORY_TEST_KILLS=300")
    points = points_of(launcher, scenario, tmp_path)
    assert len(points) > 5
    for number, point in enumerate(chosen(points, scenario, victim)):
        kill_at(launcher, tmp_path / str(number), scenario, point, victim)


@pytest.mark.parametrize("step", ["remove", "rename"])
def test_a_program_that_is_killed_while_it_makes_a_folder_leaves_no_draft(
    launcher: Launcher, tmp_path: Path, step: str
) -> None:
    point = f"open a new one: before os.{step}"
    kill_at(launcher, tmp_path / "killed", "open_and_close", point, "program")


@pytest.mark.long
@pytest.mark.parametrize("durability", ["everysec", "always"])
def test_a_kill_at_any_instant_loses_and_leaves_nothing_on_a_busy_disk_too(
    launcher: Launcher, tmp_path: Path, durability: str
) -> None:
    chance = random.Random(durability)
    memory, log = tmp_path / "memory", tmp_path / "log"
    noted = Acknowledgements(log)
    busy: subprocess.Popen[bytes] | None = None
    for number in range(max(KILLS // 20, 2)):
        if number % 2 == 1:
            busy = subprocess.Popen([sys.executable, "-c", BUSY, tmp_path / "written"])
        before = len(noted.places("stored"))
        pid = launcher.start(
            scenario="for_ever", folder=memory, log=log, durability=durability,
            first=number * 1_000_000,
        )  # fmt: skip
        assert eventually(lambda: len(noted.places("stored")) > before)  # noqa: B023  # called now
        victims = chance.choice([("program",), ("server",), ("server", "keeper"),
                                 ("program", "server"), ("keeper", "program")])  # fmt: skip
        time.sleep(chance.uniform(0, 0.3))
        kinds = [kind for kind in victims if kind != "program"]
        pids = running(memory, *kinds) if kinds else []
        killed(*pids, *([pid] if "program" in victims else []))
        count("kills", len(pids) + ("program" in victims))
        if "program" not in victims:
            # It brings the server back and goes on.
            healed = len(noted.places("stored"))
            assert eventually(lambda: len(noted.places("stored")) > healed)  # noqa: B023
            killed(pid)
            count("kills")
        assert launcher.wait() == -signal.SIGKILL
        if busy is not None:
            busy.kill()
            busy.wait()
            busy = None
        look(memory, log, f"killing {victims} ({durability})", in_place=False)
    noted.close()
