"""Importance and pins of what is remembered: changed wherever it is, and no change is lost."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from agent_memory import (
    AgentMemoryAPI,
    AgentMemorySystem,
    EntryNotFound,
    InvalidEntry,
    MemoryAgent,
    MemoryConfig,
    Query,
    StoreReadOnly,
    StoreUnavailable,
    Tier,
)
from agent_memory.repositories.redis.repository import RedisRepository
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.testing import IoPoints
from agent_memory.testing.samples import a_memory_id, an_entry
from agent_memory.tiers.spool import spool_of
from tests import engines
from tests.memories import store, tier_counts

ROOT = Path(__file__).parents[2]
LIMITS: dict[str, Any] = {"stm_config": {"memory_limit": 4}, "im_config": {"memory_limit": 4}}

CHANGING = """
import sys
from agent_memory import AgentMemorySystem, MemoryConfig
from tests import engines
config = MemoryConfig(path=sys.argv[1], engine="embedded")
with AgentMemorySystem(config, upkeep=False) as system:
    print("ready", flush=True)
    for change in range(int(sys.argv[3])):
        system.set_importance("ant", sys.argv[2], change % 11 / 10)
"""


@pytest.fixture(
    params=engines.parameters(["fake", "embedded", "postgresql"], ["embedded", "postgresql"])
)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> MemoryConfig:
    where: dict[str, Any] = {"engine": request.param}
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_memory")
        where = {"engine": "embedded", "ltm_url": url}
    return MemoryConfig(path=tmp_path / "memory", **where, **LIMITS)


@pytest.fixture
def system(config: MemoryConfig) -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(config) as opened:
        yield opened


def in_every_tier(system: AgentMemorySystem) -> dict[Tier, str]:
    """Store twelve states; gives an entry of each tier."""
    store(system, "ant", *range(12))
    system.maintain()
    assert tier_counts(system, "ant") == (4, 4, 4)
    hits = system.recall(Query(agent_id="ant"), touch=False)
    return {hit.tier: hit.entry.memory_id for hit in hits}


def stored(system: AgentMemorySystem, memory_id: str) -> Any:
    hit = system.fetch("ant", memory_id, touch=False)
    assert hit is not None
    return hit


def test_importance_and_pin_change_in_every_tier(system: AgentMemorySystem) -> None:
    for tier, memory_id in in_every_tier(system).items():
        before = stored(system, memory_id).entry
        changed = system.set_importance("ant", memory_id, 0.25)
        assert changed.importance_score == 0.25
        pinned = system.pin("ant", memory_id)
        assert (pinned.pinned, pinned.revision) == (True, 2)
        assert stored(system, memory_id) == type(stored(system, memory_id))(pinned, tier)
        assert pinned.contents == before.contents
        assert system.recall(Query(agent_id="ant", pinned=True))[-1].entry == pinned
        (found,) = system.recall(Query(agent_id="ant", importance=(0.25, 0.25), pinned=True))
        assert found.tier is tier
        unpinned = system.unpin("ant", memory_id)
        assert (unpinned.pinned, unpinned.revision) == (False, 3)
        assert system.recall(Query(agent_id="ant", pinned=True)) == []
    assert tier_counts(system, "ant") == (4, 4, 4)


def test_a_pin_that_is_there_already_is_no_change_and_an_importance_always_is_one(
    system: AgentMemorySystem,
) -> None:
    memory_id = in_every_tier(system)[Tier.STM]
    assert system.unpin("ant", memory_id).revision == 0
    assert [system.pin("ant", memory_id).revision for _ in range(3)] == [1, 1, 1]
    assert [system.set_importance("ant", memory_id, 0.5).revision for _ in range(3)] == [2, 3, 4]


def test_an_agent_changes_its_own_and_the_dict_style_api_says_whether_it_was_done(
    config: MemoryConfig,
) -> None:
    api = AgentMemoryAPI(config)
    with api.memory_system as system:
        store(system, "ant", 0)
        (found,) = api.retrieve_recent_states("ant")
        memory_id = found["memory_id"]
        agent: MemoryAgent = system.get_memory_agent("ant")
        assert agent.set_importance(memory_id, 0.5).importance_score == 0.5
        assert agent.pin(memory_id).pinned
        assert not agent.unpin(memory_id).pinned
        assert api.set_importance("ant", memory_id, 0.125) is True
        assert api.pin("ant", memory_id) is True
        (found,) = api.retrieve_recent_states("ant")
        assert found["metadata"]["importance_score"] == 0.125
        assert found["metadata"]["pinned"] is True
        assert api.unpin("ant", memory_id) is True
        with pytest.raises(EntryNotFound):
            api.pin("bee", memory_id)
        with pytest.raises(InvalidEntry):
            api.set_importance("ant", memory_id, 2)


@pytest.mark.parametrize("importance", [-0.1, 1.1, math.nan, math.inf, "high", None, True])
def test_an_importance_without_meaning_is_refused_and_changes_nothing(
    system: AgentMemorySystem, importance: Any
) -> None:
    store(system, "ant", 0)
    (hit,) = system.recall(Query(agent_id="ant"), touch=False)
    with pytest.raises(InvalidEntry, match="importance"):
        system.set_importance("ant", hit.entry.memory_id, importance)
    assert system.recall(Query(agent_id="ant"), touch=False) == [hit]


@pytest.mark.parametrize("memory_id", ["", "*", "x" * 32, 7, None])
def test_an_id_without_meaning_is_refused(system: AgentMemorySystem, memory_id: Any) -> None:
    for change in (system.pin, system.unpin):
        with pytest.raises(InvalidEntry):
            change("ant", memory_id)
    with pytest.raises(InvalidEntry):
        system.set_importance("ant", memory_id, 0.5)


def test_what_was_forgotten_stays_forgotten(system: AgentMemorySystem) -> None:
    ids = in_every_tier(system)
    for memory_id in ids.values():
        system.pin("ant", memory_id)
    assert system.forget("ant").entries == 12
    for memory_id in ids.values():
        for change in (system.pin, system.unpin):
            with pytest.raises(EntryNotFound, match=memory_id):
                change("ant", memory_id)
        with pytest.raises(EntryNotFound, match=memory_id):
            system.set_importance("ant", memory_id, 0.5)
    assert tier_counts(system, "ant") == (0, 0, 0)


def test_nobody_changes_what_is_anothers_or_of_another_run(system: AgentMemorySystem) -> None:
    memory_id = in_every_tier(system)[Tier.STM]
    with pytest.raises(EntryNotFound):
        system.pin("ant*", memory_id)
    with pytest.raises(EntryNotFound):
        system.run("another").pin("ant", memory_id)
    assert stored(system, memory_id).entry.revision == 0


def test_a_memory_that_is_open_for_reading_alone_is_not_changed(tmp_path: Path) -> None:
    config = MemoryConfig(path=tmp_path / "memory", engine="embedded")
    with AgentMemorySystem(config) as system:
        memory_id = in_every_tier_of_one(system)
        with AgentMemorySystem(config, read_only=True) as reader:
            for change in (reader.pin, reader.unpin):
                with pytest.raises(StoreReadOnly):
                    change("ant", memory_id)
            with pytest.raises(StoreReadOnly):
                reader.set_importance("ant", memory_id, 0.5)
        assert stored(system, memory_id).entry.revision == 0


def in_every_tier_of_one(system: AgentMemorySystem) -> str:
    store(system, "ant", 0)
    (hit,) = system.recall(Query(agent_id="ant"), touch=False)
    return hit.entry.memory_id


@pytest.mark.parametrize("tier", [Tier.STM, Tier.IM, Tier.LTM])
def test_a_change_that_another_made_first_is_made_again_on_top_of_it(
    system: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch, tier: Tier
) -> None:
    memory_id = in_every_tier(system)[tier]
    kind = LtmRepository if tier is Tier.LTM else RedisRepository
    replacing = kind.replace
    others = [0.1, 0.2, 0.3]

    def late(repository: Any, entry: Any) -> Any:
        if others and entry.pinned:
            system.set_importance("ant", memory_id, others.pop(0))
        return replacing(repository, entry)

    monkeypatch.setattr(kind, "replace", late)
    pinned = system.pin("ant", memory_id)
    assert (pinned.importance_score, pinned.revision, pinned.pinned) == (0.3, 4, True)
    assert stored(system, memory_id).entry == pinned


def test_a_change_whose_answer_is_lost_is_one_change(system: AgentMemorySystem) -> None:
    place = in_every_tier(system)
    for tier in (Tier.STM, Tier.IM):
        before = stored(system, place[tier]).entry
        for change, importance in enumerate((0.25, 0.75), 1):
            answers = iter([True])

            def lose_one(where: str, answers: Iterator[bool] = answers) -> None:
                if "after redis replace" in where and next(answers, False):
                    raise redis.exceptions.ConnectionError("lost")

            with IoPoints(lose_one) as points, points.operation("change"):
                changed = system.set_importance("ant", place[tier], importance)
            assert not [*answers], "no answer was lost"
            assert changed == stored(system, place[tier]).entry
            assert changed.importance_score == importance
            assert changed.revision == before.revision + change


def test_an_entry_that_moves_meanwhile_is_changed_where_it_is_by_then(
    system: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(system, "ant", *range(4))
    memory_id = system.recall(Query(agent_id="ant"))[0].entry.memory_id
    steps = iter(range(4, 12))
    replacing = RedisRepository.replace

    def late(repository: Any, entry: Any) -> Any:
        store(system, "ant", *[next(steps) for _ in range(4)])
        system.maintain()  # a tier down each time
        return replacing(repository, entry)

    monkeypatch.setattr(RedisRepository, "replace", late)
    assert system.set_importance("ant", memory_id, 0.25).importance_score == 0.25
    hit = stored(system, memory_id)
    assert (hit.tier, hit.entry.importance_score, hit.entry.revision) == (Tier.LTM, 0.25, 1)
    assert tier_counts(system, "ant") == (4, 4, 4)


def test_what_waits_in_the_spool_is_stored_and_changed_once_the_server_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_memory.tiers.spool.BUSY_TIMEOUT", 0.1)
    config = MemoryConfig(path=tmp_path / "memory", engine="embedded")
    with AgentMemorySystem(config) as system:
        opened = system._resources
        spool = spool_of(opened.config, opened.connections.deployment, opened.identity.id)
        assert spool is not None
        entry = an_entry(memory_id=a_memory_id(1), run_id="default")
        spool.put(entry, time.time())
        spool.close()
        with spool.replaying() as mine:  # as another process may be at it
            assert mine
            with pytest.raises(StoreUnavailable, match=r"waits in the spool.* call again"):
                system.pin("ant", entry.memory_id)
            with pytest.raises(EntryNotFound):
                system.pin("ant", a_memory_id(2))
        assert system.pin("ant", entry.memory_id).pinned
        assert system.status.spool is not None
        assert system.status.spool.entries == 0
        assert tier_counts(system, "ant") == (1, 0, 0)


@pytest.mark.long
def test_two_processes_that_change_a_memory_300_times_each_lose_no_change_while_it_moves(
    tmp_path: Path,
) -> None:
    config = MemoryConfig(path=tmp_path / "memory", engine="embedded", **LIMITS)
    with AgentMemorySystem(config, upkeep=False) as system:
        store(system, "ant", 0)
        memory_id = system.recall(Query(agent_id="ant"), touch=False)[0].entry.memory_id
        program = [sys.executable, "-c", CHANGING, str(tmp_path / "memory"), memory_id, "300"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        processes = [
            subprocess.Popen(program, stdout=subprocess.PIPE, env=environment) for _ in range(2)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        for step, revision in ((1, 120), (5, 450)):
            while stored(system, memory_id).entry.revision < revision:
                assert all(process.poll() in (None, 0) for process in processes)
            store(system, "ant", *range(step, step + 4))
            system.maintain()
        for process in processes:
            assert process.wait(timeout=120) == 0
            assert process.stdout is not None
            process.stdout.close()
        system.maintain()
        hit = stored(system, memory_id)
        assert (hit.tier, hit.entry.revision, hit.entry.importance_score) == (
            Tier.LTM, 600, 299 % 11 / 10,
        )  # fmt: skip
        assert tier_counts(system, "ant") == (4, 4, 1)
