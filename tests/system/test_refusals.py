"""Bad input and stores that are away: what is refused, what is answered, what is logged."""

from __future__ import annotations

import os
import re
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from agent_memory import (
    AgentMemorySystem,
    ConfigError,
    InvalidEntry,
    MemoryConfig,
    Query,
    SchemaOutOfDate,
    StoreUnavailable,
)
from agent_memory.testing import HOSTILE_NAMES, UNSTORABLE_CONTENTS
from tests.system.small import steps_of


@pytest.mark.parametrize(
    ("agent", "data", "step", "priority", "complaint"),
    [
        ("", {}, 0, 1.0, "agent_id: must not be empty"),
        (None, {}, 0, 1.0, "agent_id"),
        (True, {}, 0, 1.0, "agent_id"),
        ("a" * 2_000, {}, 0, 1.0, "agent_id"),
        ("\ud800", {}, 0, 1.0, "agent_id"),
        ("ant", {}, -1, 1.0, "step_number"),
        ("ant", {}, 1.5, 1.0, "step_number"),
        ("ant", {}, "1", 1.0, "step_number"),
        ("ant", {}, None, 1.0, "step_number"),
        ("ant", {}, 2**60, 1.0, "step_number"),
        ("ant", {}, 0, -0.1, "importance_score"),
        ("ant", {}, 0, 1.1, "importance_score"),
        ("ant", {}, 0, float("nan"), "importance_score"),
        ("ant", {}, 0, "high", "importance_score"),
        ("ant", [1], 0, 1.0, "contents"),
        ("ant", None, 0, 1.0, "contents"),
        ("ant", {"a": {"b": [object()]}}, 0, 1.0, r"contents\.a\.b\[0\]"),
    ],
)
def test_bad_input_is_refused_by_name_and_stores_nothing(
    system: AgentMemorySystem, agent: Any, data: Any, step: Any, priority: Any, complaint: str
) -> None:
    system.store_agent_state("ant", {}, 0)
    for store in (
        system.store_agent_state,
        system.store_agent_action,
        system.store_agent_interaction,
    ):
        with pytest.raises(InvalidEntry, match=complaint):
            store(agent, data, step, priority)
    assert system.stm.count("default") == 1


@pytest.mark.parametrize(("contents", "path"), UNSTORABLE_CONTENTS)
def test_contents_that_cannot_be_stored_harm_nothing(
    system: AgentMemorySystem, contents: Any, path: str
) -> None:
    system.store_agent_state("ant", {"kept": 1}, 0)
    with pytest.raises(InvalidEntry, match=re.escape(path)):
        system.store_agent_state("ant", contents, 1)
    assert steps_of(system, "ant") == [0]


def test_contents_beyond_the_limit_are_refused(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded", max_entry_bytes=1_000)
    with AgentMemorySystem(config) as system:
        assert system.store_agent_state("ant", {"small": "x" * 900}, 0)
        with pytest.raises(InvalidEntry, match="max_entry_bytes=1000"):
            system.store_agent_state("ant", {"large": "x" * 1_100}, 1)
        assert steps_of(system, "ant") == [0]


def test_hostile_ids_keep_to_themselves_in_every_tier(folder: Path) -> None:
    config = {
        "path": folder,
        "engine": "embedded",
        "stm_config": {"memory_limit": 1},
        "im_config": {"memory_limit": 1},
        # Once at the end, over all agents together: a commit for each would take its time.
        "cleanup_interval": 1_000,
    }
    with AgentMemorySystem(config) as system:
        for place, name in enumerate(HOSTILE_NAMES):
            for step in range(3):
                system.store_agent_state(name, {"of": place}, step)
        system.maintain()
        assert [held.entries for held in system.statistics().values()] == [len(HOSTILE_NAMES)] * 3
        for place, name in enumerate(HOSTILE_NAMES):
            hits = system.recall(Query(agent_id=name), touch=False)
            assert [hit.entry.contents for hit in hits] == [{"of": place}] * 3
            assert {hit.entry.agent_id for hit in hits} == {name}
        for tier in (system.stm, system.im, system.ltm):
            assert tier.agents("default") == sorted(HOSTILE_NAMES)
        assert system.get_memory_agent("*").clear_memory()
        counts = [held.entries for held in system.statistics().values()]
        assert counts == [len(HOSTILE_NAMES) - 1] * 3


def test_a_folder_that_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable, match="file"):
        AgentMemorySystem({"path": tmp_path / "file", "engine": "embedded"})
    with pytest.raises(StoreUnavailable, match="file"):
        AgentMemorySystem({"path": tmp_path / "file" / "below", "engine": "embedded"})
    assert (tmp_path / "file").read_text() == "in the way"


def test_settings_that_are_given_as_arguments_are_refused_with_the_call_that_is_meant() -> None:
    make: Any = AgentMemorySystem
    with pytest.raises(
        ConfigError, match=r"redis_url: .*AgentMemorySystem\(\{'redis_url': \."
    ) as at:
        make(redis_url="redis://:sesame@host")
    assert "sesame" not in str(at.value)
    with pytest.raises(
        ConfigError, match=r"not str; for a folder.*AgentMemorySystem\.open\(path\)"
    ):
        make("memory")
    by_place: Any = MemoryConfig
    with pytest.raises(ConfigError, match="MemoryConfig: settings are given by name, such as"):
        by_place("memory")


@pytest.mark.parametrize("url", ["redis://127.0.0.1:{port}", "redis://h?nonsense=1", "redis://h/x"])
def test_a_server_that_cannot_be_used_leaves_no_database_behind(tmp_path: Path, url: str) -> None:
    for ltm in ({}, {"ltm_url": f"sqlite:///{tmp_path}/elsewhere/ltm.db"}):
        with pytest.raises((ConfigError, StoreUnavailable), match=r"redis_url|does not answer"):
            AgentMemorySystem(
                {"path": tmp_path / "new", "redis_url": url.format(port=free_port()), **ltm}
            )
        assert [*tmp_path.iterdir()] == []


def test_servers_that_differ_for_the_two_redis_tiers_are_refused() -> None:
    with pytest.raises(ConfigError, match="different servers"):
        MemoryConfig(stm_config={"host": "one"}, im_config={"host": "two"})


def test_a_schema_newer_than_the_code_is_refused_and_not_touched(folder: Path) -> None:
    config = MemoryConfig(path=folder, engine="embedded")
    with AgentMemorySystem(config) as system:
        system.store_agent_state("ant", {}, 0)
        with system._resources.connections.sql_engine.begin() as raw:
            raw.execute(text("UPDATE agent_ltm_alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaOutOfDate, match="9999"):
        AgentMemorySystem(config)
    with pytest.raises(SchemaOutOfDate, match="9999"):
        AgentMemorySystem.open(folder, read_only=True)


# -- outages ------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_unreachable_server_is_said_plainly_and_without_its_password(tmp_path: Path) -> None:
    url = f"redis://user:sesame@127.0.0.1:{free_port()}/0"
    with pytest.raises(StoreUnavailable, match="does not answer") as caught:
        AgentMemorySystem({"redis_url": url, "path": tmp_path})
    assert "127.0.0.1" in str(caught.value)
    assert "sesame" not in str(caught.value)


def stop_server(system: AgentMemorySystem) -> None:
    """Cut the system off from its server for good, as a network would."""
    channel = system._resources.connections.stm
    channel._disconnect_idle()
    channel.client.connection_pool.connection_kwargs["port"] = free_port()
    channel.client.connection_pool.reset()


@pytest.fixture
def remote(tcp_port: int, tmp_path: Path) -> dict[str, Any]:
    from tests.engines import PASSWORD  # noqa: PLC0415  # needed by these tests only

    part = {"host": "127.0.0.1", "port": tcp_port, "password": PASSWORD}
    return {
        "stm_config": {**part, "namespace": f"{tmp_path}:stm".replace("/", ".")},
        "im_config": {**part, "namespace": f"{tmp_path}:im".replace("/", ".")},
        "path": tmp_path,
    }


def test_an_outage_is_logged_once_and_answers_false(
    remote: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    system = AgentMemorySystem(remote | {"spool_max_bytes": 0})
    assert system.store_agent_state("ant", {}, 0)
    stop_server(system)
    agent = system.get_memory_agent("ant")
    assert [system.store_agent_state("ant", {}, step) for step in (1, 2)] == [False, False]
    assert agent.stm_store.get_recent() == []
    assert agent.stm_store.count() == 0
    assert agent.clear_memory() is False
    assert system.clear_all_memories() is False
    assert system.outages.failures == 6
    # A warning may be of what the server may lose by its settings.
    assert [one.levelname for one in caplog.records if one.levelname != "WARNING"] == ["ERROR"]
    with pytest.raises(InvalidEntry):
        system.store_agent_state("ant", {}, -1)
    with pytest.raises(StoreUnavailable):
        system.recall(Query(agent_id="ant"))
    system.close()


def test_an_outage_raises_when_so_configured(remote: dict[str, Any]) -> None:
    system = AgentMemorySystem(remote | {"on_store_error": "raise", "spool_max_bytes": 0})
    stop_server(system)
    with pytest.raises(StoreUnavailable, match="does not answer"):
        system.store_agent_state("ant", {}, 1)
    system.close()


def test_a_store_is_not_denied_because_a_lower_tier_is_away(
    system: AgentMemorySystem, caplog: pytest.LogCaptureFixture
) -> None:
    engine = system._resources.connections.sql_engine
    full = [True]

    @event.listens_for(engine, "checkout")
    def fill_disk(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {1 if full[0] else 2**30}")

    assert all(
        system.store_agent_state("ant", {"fill": os.urandom(20_000)}, step) for step in range(15)
    )
    assert [record.levelname for record in caplog.records if "full" in record.message] == ["ERROR"]
    full[0] = False
    assert steps_of(system, "ant") == list(range(15))
    system.maintain()
    assert [held.entries for held in system.statistics().values()] == [5, 5, 5]
