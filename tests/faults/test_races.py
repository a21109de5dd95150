"""Programs that work on the same agents at once lose, double and resurrect nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_memory import AgentMemorySystem, MemoryConfig, Query
from agent_memory.testing.acknowledged import Acknowledgements, Expected
from agent_memory.testing.tally import count
from agent_memory.testing.wholeness import Findings
from tests import engines
from tests.faults.looking import RUN, as_it_lies, whole
from tests.faults.processes import PATIENCE, ROOT, eventually
from tests.faults.racing import AGENTS
from tests.faults.scenarios import LIMITS
from tests.fuzzing import KILLS

pytestmark = pytest.mark.faults

RACERS = 3
ROUNDS = max(KILLS // 100, 1)
OPERATIONS = 200 if ROUNDS > 1 else min(3 * KILLS, 60)


@pytest.fixture(params=engines.parameters(["one folder", "one server", "two servers"], []))
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Where the memory is that all share."""
    if request.param == "one folder":
        yield {"path": str(tmp_path / "memory"), "engine": "embedded", "search": False}
        return
    (tmp_path / "server").mkdir()
    with engines.StoppableServer(tmp_path / "server") as server:
        ltm_url = f"sqlite:///{tmp_path / 'ltm.db'}"
        if request.param == "two servers":
            ltm_url = request.getfixturevalue("postgresql_memory")
        yield {
            "redis_url": server.url, "ltm_url": ltm_url, "path": str(tmp_path / "memory"),
        }  # fmt: skip


def raced(folder: Path, where: dict[str, Any], kind: str, first: int) -> tuple[int, int]:
    """Let some programs loose at once; gives how many entries they have moved, on either way."""
    folder.mkdir(exist_ok=True)
    start = folder / f"start {first}"
    results = [folder / f"result {first + number}" for number in range(RACERS)]
    racers = [
        subprocess.Popen(
            [sys.executable, Path(__file__).with_name("racing.py"), json.dumps(where),
             str(first + number), str(OPERATIONS), kind, folder / "log", result, start],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
        )
        for number, result in enumerate(results)
    ]  # fmt: skip
    eventually(lambda: all(result.with_suffix(".ready").exists() for result in results))
    start.touch()
    reported = [_complaints(racer.communicate(timeout=PATIENCE)[1].decode()) for racer in racers]
    # What upkeep meets is only logged: "database is locked" would stand there.
    assert reported == [""] * RACERS, "\n".join(reported)
    assert [racer.returncode for racer in racers] == [0] * RACERS
    count("races")
    moved = [json.loads(result.read_text()) for result in results]
    return sum(above for above, _ in moved), sum(below for _, below in moved)


def _complaints(reported: str) -> str:
    """What a program complains of, but for what psycopg says of a conflict that is tried again."""
    lines = reported.splitlines(keepends=True)
    return "".join(line for line in lines if "terminating <psycopg.Pipeline" not in line)


def expectations(folder: Path) -> Expected:
    log = Acknowledgements(folder / "log")
    expected = log.expected()
    log.close()
    return expected


def opened(where: dict[str, Any]) -> AgentMemorySystem:
    return AgentMemorySystem(MemoryConfig(**LIMITS, **where), upkeep=False)


def test_programs_that_do_everything_at_once_lose_double_and_resurrect_nothing(
    where: dict[str, Any], tmp_path: Path
) -> None:
    for number in range(ROUNDS):
        raced(tmp_path / "race", where, "everything", number * RACERS)
        expected = expectations(tmp_path / "race")
        with opened(where) as system:
            as_it_lies(system, expected).assert_none("as it lay after a race")
            system.maintain()
            whole(system, expected).assert_none("after a race and upkeep")
            there = {
                (hit.entry.agent_id, hit.entry.step_number)
                for agent in AGENTS
                for hit in system.recall(Query(agent_id=agent), touch=False)
            }
        # Each that is there was changed as often as was acknowledged: no update is lost.
        unsure = {place for place in there & expected.changes.keys()
                  if place[0] == AGENTS[0] and len({*expected.changes[place]}) > 1}  # fmt: skip
        assert not unsure
        assert expected.changes
        assert expected.forgotten


@pytest.mark.long
def test_entries_that_several_programs_move_at_once_move_once(
    where: dict[str, Any], tmp_path: Path
) -> None:
    for number in range(ROUNDS):
        # A folder is as it was left: what was moved before is not moved now.
        with opened(where) as system:
            before = below(system)
        moved = raced(tmp_path / "race", where, "moves", number * RACERS)
        with opened(where) as system:
            settled = system.maintain()
            whole(system, expectations(tmp_path / "race")).assert_none("after a race to move")
            after = below(system)
        went = tuple(now - then for now, then in zip(after, before, strict=True))
        counted = moved[0] + settled.stm_to_im, moved[1] + settled.im_to_ltm
        twice = [f"{more} moves" for more in (counted[0] - went[0], counted[1] - went[1]) if more]
        Findings(doubles=tuple(twice)).assert_none(f"{went} went down, and {counted} were counted")


def below(system: AgentMemorySystem) -> tuple[int, int]:
    """How many entries are below short-term memory, and below intermediate memory."""
    im, ltm = system.im.count(RUN), system.ltm.count(RUN)
    return im + ltm, ltm
