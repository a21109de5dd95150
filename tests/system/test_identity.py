"""The server and the database of a memory know each other, by whatever names they are opened."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

from agent_memory import AgentMemorySystem, ConfigError, MemoryConfig, Query, Tier
from agent_memory.cli.commands import app
from agent_memory.connections.deployment import (
    LTM_URL_VARIABLE,
    REDIS_URL_VARIABLE,
    deployment,
)
from agent_memory.testing.samples import a_memory_id, an_entry
from agent_memory.tiers.spool import spool_of
from tests import engines
from tests.memories import Opener

SMALL = {"memory_limit": 5}
PASSWORD = quote(engines.PASSWORD, safe="")


@pytest.fixture
def url(tcp_port: int) -> Iterator[str]:
    """A server of one's own, empty."""
    with contextlib.closing(engines.tcp_client(tcp_port)) as client:
        client.flushall()
        yield f"redis://:{PASSWORD}@127.0.0.1:{tcp_port}"
        client.flushall()


def config(url: str, folder: Path, **more: Any) -> MemoryConfig:
    return MemoryConfig(
        **{"redis_url": url, "path": folder, "stm_config": SMALL, "im_config": SMALL, **more}
    )


def fill(config: MemoryConfig, first: int = 0) -> None:
    with AgentMemorySystem(config) as memory:
        for step in range(first, first + 20):
            assert memory.store_agent_state("ant", {"food": step}, step)


def test_two_folders_of_one_server_are_told_apart(url: str, tmp_path: Path) -> None:
    fill(config(url, tmp_path / "monday"))
    for read_only in (False, True):
        with pytest.raises(ConfigError, match=r"monday.*agent-memory rebind"):
            AgentMemorySystem(config(url, tmp_path / "tuesday"), read_only=read_only)
    with AgentMemorySystem(config(url, tmp_path / "monday")) as memory:
        assert len(memory.recall(Query(agent_id="ant"))) == 20
        assert memory.check().sound


def test_two_that_open_an_empty_server_at_once_are_told_apart(url: str, tmp_path: Path) -> None:
    with (
        AgentMemorySystem(config(url, tmp_path / "monday")),
        pytest.raises(ConfigError, match="monday"),
    ):
        AgentMemorySystem(config(url, tmp_path / "tuesday"))


def test_a_database_within_the_process_is_no_place_for_entries_of_another(
    url: str, tmp_path: Path
) -> None:
    fill(config(url, tmp_path))
    with pytest.raises(ConfigError, match="would hold a part"):
        AgentMemorySystem(config(url, tmp_path, ltm_url="sqlite:///:memory:"))


@pytest.mark.parametrize(
    "other",
    [
        {"ltm_config": {"table_prefix": "bees"}},
        {"stm_config": {"namespace": "bees:stm"}},
        {"im_config": {"namespace": "bees:im"}},
        {"stm_config": {"db": 1}},
        {"im_config": {"db": 2}},
    ],
)
def test_other_names_are_refused_by_name(url: str, tmp_path: Path, other: dict[str, Any]) -> None:
    fill(config(url, tmp_path))
    ((part, keys),) = other.items()
    named = "tables bees" if part == "ltm_config" else f"{part}.{next(iter(keys))}"
    with pytest.raises(ConfigError, match=named):
        AgentMemorySystem(config(url, tmp_path, **other))


@engines.usually_on("embedded", "tcp and postgresql")
def test_a_memory_is_itself_on_every_engine(open_memory: Opener) -> None:
    memory = open_memory()
    assert memory.store_agent_state("ant", {"food": 1}, 0)
    memory.maintain()
    if memory.config.engine == "fake":
        return
    assert open_memory(cleanup_interval=7)._resources.identity.id == memory._resources.identity.id
    with pytest.raises(ConfigError):
        open_memory(stm_config={"namespace": "elsewhere"})
    assert memory.check().sound


def test_a_server_by_another_name_and_a_moved_database_are_the_same_memory(
    url: str, tmp_path: Path
) -> None:
    fill(config(url, tmp_path / "here"))
    shutil.move(tmp_path / "here", tmp_path / "there")
    by_another_name = url.replace("127.0.0.1", "localhost") + "/0"
    with AgentMemorySystem(config(by_another_name, tmp_path / "there")) as memory:
        assert len(memory.recall(Query(agent_id="ant"))) == 20
        assert memory.check().sound


@pytest.mark.parametrize("with_identity", [True, False])
def test_what_waits_for_a_server_is_stored_whatever_that_is_called(
    url: str, tmp_path: Path, with_identity: bool
) -> None:
    made = config(url, tmp_path)
    with AgentMemorySystem(made) as memory:
        identity = memory._resources.identity.id if with_identity else None
    spool = spool_of(made, deployment(made), identity)
    assert spool is not None
    with contextlib.closing(spool):
        spool.put(an_entry(memory_id=a_memory_id(1), run_id="default"), time.time())
    by_another_name = config(
        url.replace("127.0.0.1", "localhost") + "/0?socket_timeout=9", tmp_path
    )
    with AgentMemorySystem(by_another_name) as memory:
        held = memory.status.spool
        assert held is not None
        assert (held.entries, held.elsewhere) == (0, 0)
        assert memory.fetch("ant", a_memory_id(1)) is not None


def test_a_copied_database_is_told_from_its_original(url: str, tmp_path: Path) -> None:
    fill(config(url, tmp_path / "here"))
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    with pytest.raises(ConfigError, match=r"there.*is a copy of .*here"):
        AgentMemorySystem(config(url, tmp_path / "there"))
    shutil.rmtree(tmp_path / "here")
    fill(config(url, tmp_path / "there"), first=20)


def test_a_copied_folder_is_a_memory_of_its_own(tmp_path: Path) -> None:
    here = MemoryConfig(path=tmp_path / "here", search=False)
    with AgentMemorySystem(here) as memory:
        memory.store_agent_state("ant", {"food": 1}, 0)
    shutil.copytree(here.path or "", tmp_path / "there", ignore=shutil.ignore_patterns("*lock*"))
    with AgentMemorySystem.open(tmp_path / "there") as memory:
        assert len(memory.recall(Query(agent_id="ant"))) == 1


def test_a_memory_that_was_made_before_there_were_identities_takes_one(
    url: str, tcp_port: int, tmp_path: Path
) -> None:
    fill(config(url, tmp_path))
    with (
        AgentMemorySystem(config(url, tmp_path)) as memory,
        memory.sql_engine.begin() as connection,
    ):
        connection.exec_driver_sql("DROP TABLE agent_ltm_memory")
    with contextlib.closing(engines.tcp_client(tcp_port)) as client:
        client.delete("agent_memory:stm:memory", "agent_memory:im:memory")
    with AgentMemorySystem(config(url, tmp_path), read_only=True) as memory:
        assert len(memory.recall(Query(agent_id="ant"))) == 20
    fill(config(url, tmp_path), first=20)
    with pytest.raises(ConfigError, match="belongs to"):
        AgentMemorySystem(config(url, tmp_path / "elsewhere"))


def test_a_server_that_another_took_over_meanwhile_is_noticed_by_upkeep(
    url: str, tcp_port: int, tmp_path: Path
) -> None:
    with AgentMemorySystem(config(url, tmp_path / "monday"), upkeep=False) as memory:
        with contextlib.closing(engines.tcp_client(tcp_port)) as client:
            client.flushall()
        fill(config(url, tmp_path / "tuesday"))
        with pytest.raises(ConfigError, match="tuesday"):
            memory.maintain()
        assert memory.ltm.runs() == []


def test_rebind_gives_a_server_another_database(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(config(url, tmp_path / "gone"))
    shutil.rmtree(tmp_path / "gone")
    monkeypatch.setenv(REDIS_URL_VARIABLE, url)
    command = ["rebind", "--path", str(tmp_path / "fresh")]
    asked = CliRunner().invoke(app, command)
    assert (asked.exit_code, "add --yes" in asked.stderr) == (2, True)
    done = CliRunner().invoke(app, [*command, "--yes"])
    assert (done.exit_code, engines.PASSWORD in done.output) == (0, False)
    with AgentMemorySystem(config(url, tmp_path / "fresh")) as memory:
        assert len(memory.recall(Query(agent_id="ant"))) == 10


def test_commands_go_by_the_settings_that_a_server_was_last_opened_with(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"namespace": "ants:stm", "memory_limit": 3, "db": 1}
    made = config(url, tmp_path, stm_config=names, im_config=SMALL | {"db": 1})
    with AgentMemorySystem(made, upkeep=False) as memory:
        for step in range(20):
            assert memory.run("r").store_agent_state("ant", {"food": step}, step)
    monkeypatch.setenv(REDIS_URL_VARIABLE, url)
    monkeypatch.setenv(LTM_URL_VARIABLE, f"sqlite:///{tmp_path}/agent_memory.db")
    done = CliRunner().invoke(app, ["maintain"])
    assert done.exit_code == 0, done.output
    with AgentMemorySystem(made, upkeep=False) as memory:
        assert memory.statistics()[Tier.STM].all_entries == 3


@pytest.fixture
def url_with_query_engine(redis_port_with_modules: int) -> Iterator[str]:
    """A genuine Redis with a query engine, empty."""
    with contextlib.closing(engines.tcp_client(redis_port_with_modules)) as client:
        client.flushall()
        yield f"redis://:{PASSWORD}@127.0.0.1:{redis_port_with_modules}"
        client.flushall()


def test_another_database_of_a_query_engine_shares_no_index(
    url_with_query_engine: str, tmp_path: Path
) -> None:
    url = url_with_query_engine
    fill(config(url, tmp_path / "ants"))
    for second in (config(url + "/1", tmp_path / "bees"), _second(url, tmp_path / "bees")):
        with pytest.raises(ConfigError, match=r"database 0.*Name another namespace"):
            AgentMemorySystem(second)
        with AgentMemorySystem(second, read_only=True) as memory:
            assert memory.stm.runs() == []
    apart = {"namespace": "bees:stm", "db": 1}, {"namespace": "bees:im", "db": 1}
    bees = config(url, tmp_path / "hive", stm_config=apart[0], im_config=apart[1])
    with (
        AgentMemorySystem(bees) as memory,
        AgentMemorySystem(config(url, tmp_path / "ants")) as ants,
    ):
        assert memory.store_agent_state("ant", {"food": 0.5}, 3)
        ants.maintain()
        assert ants.models.StmEntry.find().count() == ants.stm.count("default")
        assert memory.check().sound
        assert ants.check().sound


def test_an_index_takes_in_no_memory_that_was_in_another_database_before(
    url_with_query_engine: str, tmp_path: Path
) -> None:
    fill(_second(url_with_query_engine, tmp_path / "bees"))
    fill(_second(url_with_query_engine, tmp_path / "bees"), first=20)
    with pytest.raises(ConfigError, match="HDEL agent_memory:stm:memory 'db 1'"):
        AgentMemorySystem(config(url_with_query_engine, tmp_path / "ants"))


def _second(url: str, folder: Path) -> MemoryConfig:
    return config(url, folder, stm_config=SMALL | {"db": 1}, im_config=SMALL | {"db": 1})
