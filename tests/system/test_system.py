"""Entries are stored, move down, are found and cleared, in one memory of a folder."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from agent_memory import (
    AgentMemoryAPI,
    AgentMemorySystem,
    ConfigError,
    InvalidEntry,
    MemoryAgent,
    MemoryConfig,
    MemoryType,
    Order,
    Query,
    StoreReadOnly,
    StoreUnavailable,
    Tier,
)
from tests.system.small import SMALL, steps_of

# -- the whole way ------------------------------------------------------------------------------


def test_entries_fill_all_three_tiers_and_are_found_once_wherever_they_are(
    system: AgentMemorySystem,
) -> None:
    for step in range(20):
        assert system.store_agent_state("ant", {"step": step, "pos": (step, 1)}, step)
    assert [system.statistics()[tier].entries for tier in Tier] == [5, 5, 10]
    hits = system.recall(Query(agent_id="ant", steps=(5, 17), order=Order.STEP))
    assert [hit.entry.step_number for hit in hits] == list(range(5, 18))
    assert {hit.tier for hit in hits} == set(Tier)
    assert all(
        hit.entry.contents == {"step": hit.entry.step_number, "pos": (hit.entry.step_number, 1)}
        for hit in hits
    )
    assert [hit.fidelity for hit in hits] == [int(hit.tier) for hit in hits]


def test_a_limit_keeps_the_first_in_order_over_all_tiers(system: AgentMemorySystem) -> None:
    for step in range(20):
        system.store_agent_state("ant", {}, step, priority=step / 20)
    newest = system.recall(Query(agent_id="ant", order=Order.NEWEST, limit=7))
    assert [hit.entry.step_number for hit in newest] == list(range(19, 12, -1))
    least = system.recall(Query(agent_id="ant", importance=(0.0, 0.3), order=Order.IMPORTANCE))
    assert [hit.entry.step_number for hit in least] == [6, 5, 4, 3, 2, 1, 0]


def test_a_folder_that_was_closed_opens_again_with_everything_in_it(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded", **SMALL)
    with AgentMemorySystem(config) as system:
        for step in range(20):
            system.store_agent_state("ant", {"step": step}, step)
    with AgentMemorySystem(config) as system:
        assert steps_of(system, "ant") == list(range(20))


def test_states_actions_and_interactions_are_told_apart(system: AgentMemorySystem) -> None:
    system.store_agent_state("ant", {"kind": "s"}, 1)
    system.store_agent_action("ant", {"kind": "a"}, 1)
    system.store_agent_interaction("ant", {"kind": "i"}, 1)
    for memory_type in MemoryType:
        (hit,) = system.recall(Query(agent_id="ant", memory_type=memory_type))
        assert hit.entry.contents == {"kind": memory_type[0]}


def test_an_int_id_is_the_agent_of_its_decimal_text(system: AgentMemorySystem) -> None:
    system.store_agent_state(7, {}, 0)
    assert steps_of(system, "7") == [0]
    assert system.get_memory_agent(7) is system.get_memory_agent("7")


@pytest.mark.parametrize("level", ["stm", "im"])
def test_entries_of_agents_that_are_gone_move_when_the_memory_is_opened(
    folder: Path, level: str
) -> None:
    with AgentMemorySystem(MemoryConfig(path=folder, engine="embedded")) as system:
        for step in range(4):
            system.store_agent_state("dead", {}, step)
    config = {f"{level}_config": {"max_age_steps": 1}}
    with AgentMemorySystem(MemoryConfig(path=folder, engine="embedded", **config)) as system:
        tiers = system.stm if level == "stm" else system.im
        assert tiers.count("default", "dead") == (2 if level == "stm" else 0)
        assert steps_of(system, "dead") == [0, 1, 2, 3]


def test_what_is_over_its_limit_moves_when_the_memory_is_closed(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded", stm_config={"memory_limit": 5})
    with AgentMemorySystem(config) as system:
        for step in range(9):
            system.store_agent_state("ant", {}, step)
        assert system.stm.count("default") == 9
    with AgentMemorySystem.open(folder, read_only=True) as system:
        assert (system.stm.count("default"), system.im.count("default")) == (5, 4)


# -- retrievals ---------------------------------------------------------------------------------


def test_each_retrieval_is_counted_wherever_the_entry_is_by_then(
    system: AgentMemorySystem,
) -> None:
    system.store_agent_state("ant", {}, 0)
    for _ in range(3):
        system.recall(Query(agent_id="ant", steps=(0, 0)))
    for step in range(1, 15):
        system.store_agent_state("ant", {}, step)
    system.maintain()
    (hit,) = system.recall(Query(agent_id="ant", steps=(0, 0)), touch=False)
    assert hit.tier is Tier.LTM
    assert hit.entry.retrieval_count == 3
    assert hit.entry.last_access_time > hit.entry.creation_time


def test_a_read_without_touch_leaves_no_trace(system: AgentMemorySystem) -> None:
    system.store_agent_state("ant", {}, 0)
    before = system.recall(Query(agent_id="ant"), touch=False)
    system.recall(Query(agent_id="ant"), touch=False)
    system.maintain()
    assert system.recall(Query(agent_id="ant"), touch=False) == before


def test_retrievals_are_counted_on_close(folder: Path) -> None:
    with AgentMemorySystem(MemoryConfig(path=folder, engine="embedded")) as system:
        system.store_agent_state("ant", {}, 0)
        system.recall(Query(agent_id="ant"))
    with AgentMemorySystem.open(folder, read_only=True) as system:
        assert system.recall(Query(agent_id="ant"))[0].entry.retrieval_count == 1


# -- runs ---------------------------------------------------------------------------------------


def test_runs_keep_to_themselves(system: AgentMemorySystem) -> None:
    first, second = system.run("first"), system.run("second")
    first.store_agent_state("ant", {}, 1)
    second.store_agent_state("ant", {}, 2)
    assert (steps_of(first, "ant"), steps_of(second, "ant")) == ([1], [2])
    assert system.run("first") is first
    assert system.run("default") is system


def test_clearing_a_run_reaches_agents_never_met_and_no_other_run(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded", **SMALL)
    with AgentMemorySystem(config) as system:
        for agent in ("ant", "bee"):
            for step in range(15):
                system.store_agent_state(agent, {}, step)
                system.run("other").store_agent_state(agent, {}, step)
    with AgentMemorySystem(config) as system:
        assert system.agents == {}
        assert system.clear_all_memories() is True
        assert [held.entries for held in system.statistics().values()] == [0, 0, 0]
        assert len(steps_of(system.run("other"), "ant")) == 15


def test_clearing_one_agent_leaves_the_others(system: AgentMemorySystem) -> None:
    for step in range(15):
        system.store_agent_state("ant", {}, step)
        system.store_agent_state("bee", {}, step)
    assert system.get_memory_agent("ant").clear_memory() is True
    assert (steps_of(system, "ant"), len(steps_of(system, "bee"))) == ([], 15)
    system.store_agent_state("ant", {}, 99)
    assert steps_of(system, "ant") == [99]


# -- reproducible runs --------------------------------------------------------------------------


def test_the_same_steps_leave_the_same_rows(tmp_path: Path) -> None:
    def rows(folder: Path) -> list[Any]:
        config = MemoryConfig(path=folder, engine="embedded", clock="steps", **SMALL)
        with AgentMemorySystem(config) as system:
            for step in range(20):
                system.store_agent_state("ant", {"step": step}, step)
                system.store_agent_state("ant", {"again": step}, step)
            return [
                (hit.tier, hit.entry)
                for hit in system.recall(Query(agent_id="ant", order=Order.STEP), touch=False)
            ]

    first, second = rows(tmp_path / "a"), rows(tmp_path / "b")
    assert first == second
    assert len(first) == 40
    assert [entry.timestamp for _, entry in first] == [float(step // 2) for step in range(40)]
    assert [next(iter(entry.contents)) for _, entry in first[:4]] == ["step", "again"] * 2


def test_going_back_some_steps_adds_to_them(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded", clock="steps")
    with AgentMemorySystem(config) as system:
        for place, step in enumerate((1, 2, 1, 2, 0)):
            system.store_agent_state("ant", {"place": place}, step)
        assert steps_of(system, "ant") == [0, 1, 1, 2, 2]


def test_a_run_that_was_cleared_can_be_run_again(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded", clock="steps", **SMALL)
    with AgentMemorySystem(config) as system:
        for step in range(20):
            system.store_agent_state("ant", {"step": step}, step)
        assert system.clear_all_memories()
    with AgentMemorySystem(config) as system:
        for step in range(30):
            assert system.store_agent_state("ant", {"step": step}, step)
        system.maintain()
        assert steps_of(system, "ant") == list(range(30))
        assert [held.entries for held in system.statistics().values()] == [5, 5, 20]


def test_what_was_stored_last_in_a_step_comes_last_whatever_its_type(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded", clock="steps")
    with AgentMemorySystem(config) as system:
        for agent in range(20):
            system.store_agent_state(agent, {"was": "first"}, 1)
            system.store_agent_action(agent, {"was": "last"}, 1)
            store = system.get_memory_agent(agent).stm_store
            assert store.get_recent(1)[0]["contents"] == {"was": "last"}
            latest = store.get_by_step(1)
            assert latest is not None
            assert latest["contents"] == {"was": "last"}


def test_two_ways_to_one_agent_do_not_swallow_each_others_entries(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded", clock="steps")
    first, second = MemoryAgent("ant", config), MemoryAgent("ant", config)
    assert first.store_state({"by": 1}, 1)
    assert second.store_state({"by": 2}, 1)
    assert first.stm_store.count() == 2


def test_threads_with_reproducible_ids_lose_nothing(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded", clock="steps")
    with AgentMemorySystem(config) as system:
        agent = system.get_memory_agent("ant")

        def store(by: int) -> None:
            for place in range(200):
                agent.store_state({"by": by, "place": place}, place // 20)

        threads = [threading.Thread(target=store, args=(by,)) for by in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert system.stm.count("default", "ant") == 800


def test_a_step_that_is_run_again_is_stored_once(folder: Path) -> None:
    for _ in range(2):
        config = MemoryConfig(path=folder, engine="embedded", clock="steps")
        with AgentMemorySystem(config) as system:
            for step in range(3):
                system.store_agent_state("ant", {"step": step}, step)
            assert steps_of(system, "ant") == [0, 1, 2]


# -- read-only ----------------------------------------------------------------------------------


def test_a_reader_beside_a_live_run_sees_all_and_changes_nothing(
    system: AgentMemorySystem, folder: Path
) -> None:
    for step in range(20):
        system.store_agent_state("ant", {}, step)
    with AgentMemorySystem.open(folder, read_only=True) as reader:
        assert steps_of(reader, "ant") == list(range(20))
        reader.recall(Query(agent_id="ant"))
        for write in (
            lambda: reader.store_agent_state("ant", {}, 21),
            reader.maintain,
            reader.clear_all_memories,
            reader.get_memory_agent("ant").clear_memory,
            lambda: reader.ltm.clear_run("default"),
        ):
            with pytest.raises(StoreReadOnly, match="read-only"):
                write()
        engine = reader._resources.connections.sql_engine
        with pytest.raises(OperationalError, match="readonly"), engine.begin() as raw:
            raw.execute(text("DELETE FROM agent_ltm_entries"))
        system.store_agent_state("ant", {}, 20)
        assert steps_of(reader, "ant") == list(range(21))
    assert all(hit.entry.retrieval_count == 0 for hit in system.recall(Query(agent_id="ant")))


def test_a_folder_is_opened_as_it_was_made(folder: Path, tmp_path: Path) -> None:
    made = {
        "path": folder,
        "engine": "embedded",
        "ltm_config": {"db_path": str(tmp_path / "elsewhere.db"), "table_prefix": "zoo"},
        "im_config": {"namespace": "zoo.im", "memory_limit": 5},
        "stm_config": {"namespace": "zoo.stm", "memory_limit": 5},
    }
    with AgentMemorySystem(made) as system:
        for step in range(20):
            system.store_agent_state("ant", {}, step)
    with AgentMemorySystem.open(folder, read_only=True) as system:
        assert [held.entries for held in system.statistics().values()] == [5, 5, 10]
    for part in ("ltm_config", "im_config", "stm_config"):
        other = {name: value for name, value in made.items() if name != part}
        with pytest.raises(ConfigError, match="was made with"):
            AgentMemorySystem(other)
    with AgentMemorySystem(made) as system:
        assert steps_of(system, "ant") == list(range(20))


def test_a_folder_that_was_moved_opens_all_the_same(folder: Path, tmp_path: Path) -> None:
    with AgentMemorySystem(MemoryConfig(path=folder, engine="embedded", **SMALL)) as system:
        for step in range(20):
            system.store_agent_state("ant", {}, step)
    folder.rename(tmp_path / "moved")
    with AgentMemorySystem.open(tmp_path / "moved") as system:
        assert steps_of(system, "ant") == list(range(20))


def test_reading_a_folder_without_a_memory_is_refused_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="no memory"):
        AgentMemorySystem.open(tmp_path / "none", read_only=True)
    assert not (tmp_path / "none").exists()


# -- the dict-style faces ------------------------------------------------------------------------


def test_the_api_speaks_dicts(folder: Path) -> None:
    api = AgentMemoryAPI(MemoryConfig(path=folder, engine="embedded", **SMALL))
    with api.memory_system:
        for step in range(20):
            assert api.store_agent_state("ant", {"step": step}, step)
            assert api.store_agent_action("ant", {"did": step}, step)
            assert api.store_agent_interaction("ant", {"met": step}, step)
        recent = api.retrieve_recent_states("ant", count=8)
        assert [entry["contents"]["step"] for entry in recent] == list(range(19, 11, -1))
        assert set(recent[0]) == {
            "memory_id", "run_id", "agent_id", "step_number", "timestamp", "contents",
            "metadata", "embeddings",
        }  # fmt: skip
        assert set(recent[0]["metadata"]) == {
            "creation_time", "last_access_time", "compression_level", "importance_score",
            "retrieval_count", "memory_type", "encoder_version",
        }  # fmt: skip
        oldest = api.memory_system.recall(Query(agent_id="ant", limit=1))[0].entry
        found = api.retrieve_state_by_id("ant", oldest.memory_id)
        assert found is not None
        assert found["contents"] == {"step": 0}
        assert api.retrieve_state_by_id("ant", "0" * 32) is None
        assert api.retrieve_recent_states("nobody") == []
        with pytest.raises(InvalidEntry):
            api.retrieve_recent_states("ant", count=-1)
        with pytest.raises(InvalidEntry):
            api.retrieve_state_by_id("ant", "no uuid")
        assert api.clear_agent_memory("ant") is True
        assert api.retrieve_recent_states("ant") == []


def test_a_memory_agent_opens_its_own_stores(folder: Path) -> None:
    agent = MemoryAgent("ant", MemoryConfig(path=folder, engine="embedded", **SMALL))
    assert all(agent.store_state({"step": step}, step) for step in range(12))
    assert agent.store_action({"did": 1}, 12, priority=0.5)
    assert agent.store_interaction({"met": "bee"}, 13)
    assert [store.count() for store in (agent.stm_store, agent.im_store, agent.ltm_store)] == [
        5,
        5,
        4,
    ]
    assert agent.stm_store.get_recent(1)[0]["contents"] == {"met": "bee"}
    assert agent.ltm_store.get_oldest(1)[0]["contents"] == {"step": 0}
    assert agent.clear_memory()
    assert agent.stm_store.count() == 0
