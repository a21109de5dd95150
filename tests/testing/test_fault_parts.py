"""The parts of fault tests find what they are there to find."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import fakeredis
import numpy as np
import pytest

from agent_memory import AgentMemorySystem, MemoryConfig, Tier
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.testing import (
    Acknowledgements,
    Expected,
    Findings,
    IoPoints,
    Memories,
    an_entry,
    orphans,
)
from agent_memory.testing.tally import count, counted

ROOT = Path(__file__).parents[2]


def contents_of(agent: str, step: int) -> dict[str, Any]:
    return {"agent": agent, "step": step}


def stored(*steps: int, tier: Tier = Tier.STM, **fields: Any) -> InMemoryRepository:
    repository = InMemoryRepository(tier)
    for step in steps:
        contents = {"contents": contents_of("ant", step)} | fields
        repository.add(an_entry(step_number=step, **contents))
    return repository


def expecting(*certain: int, forgotten: tuple[int, ...] = (), changes: Any = ()) -> Expected:
    places = frozenset(("ant", step) for step in certain)
    gone = frozenset(("ant", step) for step in forgotten)
    return Expected(places, places, gone, dict(changes))


MEMORIES = Memories("run", contents_of)


@pytest.mark.parametrize(
    ("tiers", "expected", "found"),
    [
        ([stored(1, 2)], expecting(1, 2), {}),
        ([stored(1)], expecting(1, 2), {"losses": 1}),
        ([stored(1, contents={})], expecting(1), {"losses": 1}),
        ([stored(1), stored(1)], expecting(1), {"doubles": 1}),
        ([stored(1), stored(2)], expecting(1, forgotten=(2,)), {"resurrections": 1}),
        ([stored(1, 2)], expecting(1), {"ghosts": 1}),
        ([stored(1)], expecting(1, changes={("ant", 1): (1, 1)}), {"losses": 1}),
        ([stored(1, revision=2)], expecting(1, changes={("ant", 1): (1, 1)}), {"doubles": 1}),
    ],
)
def test_each_kind_of_damage_is_found_and_named(
    tiers: list[InMemoryRepository], expected: Expected, found: dict[str, int]
) -> None:
    findings = MEMORIES.whole(tiers, expected)
    reported = {kind: len(words) for kind, words in findings.by_kind().items() if words}
    assert reported == found
    assert bool(findings) == bool(found)


def test_a_vector_that_is_not_the_encoders_is_a_loss() -> None:
    memories = Memories("run", contents_of, lambda entry: np.array([1.0, 0.0], np.float32))
    assert not memories.whole([stored(1, embedding=[1.0, 0.001])], expecting(1))
    assert memories.whole([stored(1, embedding=[0.0, 1.0])], expecting(1)).losses
    assert memories.whole([stored(1)], expecting(1)).losses


def test_a_log_tells_what_must_be_there_and_what_may(tmp_path: Path) -> None:
    log, again = Acknowledgements(tmp_path / "log"), Acknowledgements(tmp_path / "log")
    for step in range(4):
        log.storing("ant", step)
    for step in range(3):
        again.stored("ant", step)
    log.forgetting([("ant", 1), ("ant", 2)])
    log.forgot([("ant", 2)])
    log.changing("ant", 0)
    expected = again.expected()
    assert expected.certain == {("ant", 0)}
    assert expected.possible == {("ant", 0), ("ant", 1), ("ant", 3)}
    assert expected.forgotten == {("ant", 2)}
    assert expected.changes == {("ant", 0): (0, 1)}
    log.close()
    again.close()


def test_keys_that_belong_to_no_entry_are_found() -> None:
    client = fakeredis.FakeRedis(protocol=2)
    assert not orphans(client, ["stm"])
    client.zadd("stm:{run/ant}:steps", {"gone": 1})
    client.hset("stm:{run/ant}:there", "memory_id", "there")
    client.set("stm:odd", "1")
    client.sadd("stm:runs", "run")
    client.zadd("stm:agents:run", {"bee": 1})
    client.set("stmother:key", "not of this namespace")
    found = orphans(client, ["stm"])
    assert len(found.losses) == 4  # it is in no index
    assert len(found.ghosts) == 2  # a member without an entry, an agent without one
    assert len(found.leaks) == 2  # a key of nobody, an agent that is not registered


def test_the_points_of_a_move_are_named_in_their_order(tmp_path: Path) -> None:
    names: list[str] = []
    limits = {"stm_config": {"memory_limit": 1}, "im_config": {"memory_limit": 1}}
    config = MemoryConfig(path=tmp_path, engine="fake", cleanup_interval=100, **limits)
    with IoPoints(names.append) as points, AgentMemorySystem(config) as system:
        for step in range(3):
            system.store_agent_state("ant", {}, step)
        assert names == []
        with points.operation("maintain"):
            system.maintain()
        before = len(names)
        system.maintain()
        assert len(names) == before
    below = [name for name in names if "move im->ltm" in name and "LOAD" not in name]
    assert below == [
        f"maintain, move im->ltm: {point}"
        for point in (
            "before redis note_move", "after redis note_move",
            "before sql transaction", "before sql commit", "after sql commit",
            "after sql transaction",
            "before redis remove", "after redis remove",
            "before redis HDEL", "after redis HDEL",
        )
    ]  # fmt: skip


def test_a_run_that_meets_a_loss_prints_it_and_fails(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["agent_memory.testing.tally"]\n')
    (tmp_path / "test_it.py").write_text(
        "from agent_memory.testing.tally import count\n"
        "def test_it():\n"
        "    count('kills', 3)\n"
        "    count('losses')\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert run.returncode == 1, run.stdout + run.stderr
    assert "kills                3" in run.stdout
    assert "losses               1" in run.stdout


def test_what_is_counted_is_kept_in_the_file_that_processes_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tally"
    monkeypatch.setenv("AGENT_MEMORY_TEST_TALLY", str(file))
    count("kills")
    count("kills", 2)
    with pytest.raises(AssertionError, match="losses: ant 1"):
        Findings(losses=("ant 1",)).assert_none("a kill")
    assert counted(file) == {"kills": 3, "losses": 1}
    with pytest.raises(ValueError, match="none of"):
        count("wins")
