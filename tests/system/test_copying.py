"""A memory is copied from a folder to servers and back: whole, verified, and beside a live run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
from typer.testing import CliRunner, Result

from agent_memory import AgentMemorySystem, MemoryConfig, Query
from agent_memory.cli.commands import app
from agent_memory.system.copying import MemoryPlace, copy_memory
from tests import engines
from tests.system.test_backups import AGENTS, LIMITS, fill, remembered

DECLARED: dict[str, Any] = {**LIMITS, "indexed_attributes": ("mood",)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "memory"


@pytest.fixture
def servers(tcp_port: int, postgresql_database: str) -> Iterator[str]:
    """An empty server and an empty database."""
    with engines.tcp_client(tcp_port) as client:
        client.flushall()
        password = quote(engines.PASSWORD, safe="")
        yield f"redis://:{password}@127.0.0.1:{tcp_port},{postgresql_database}"
        client.flushall()


def filled(folder: Path) -> AgentMemorySystem:
    config = MemoryConfig(path=folder, engine="embedded", search=False, **DECLARED)
    system = AgentMemorySystem(config)
    fill(system)
    system.forget(query=Query(agent_id=AGENTS[1], steps=(0, 3)))
    return system


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_memory_goes_to_servers_and_back_as_it_was(
    folder: Path, servers: str, tmp_path: Path
) -> None:
    with filled(folder) as system:
        before = remembered(system)
        # Beside the program that uses it.
        done = run("db", "copy", folder, servers, "--work", tmp_path)
    assert done.exit_code == 0, done.output
    assert "read again: all as it was" in done.output
    assert quote(engines.PASSWORD, safe="") not in done.output
    redis_url, _, ltm_url = servers.partition(",")
    config = MemoryConfig(redis_url=redis_url, ltm_url=ltm_url, path=tmp_path / "s", **DECLARED)
    with AgentMemorySystem(config, upkeep=False) as system:
        assert remembered(system) == before
        assert system.check().sound
    back = run("db", "copy", servers, tmp_path / "back", "--work", tmp_path, "--json")
    assert back.exit_code == 0, back.output
    with AgentMemorySystem.open(tmp_path / "back", upkeep=False) as system:
        assert remembered(system) == before
        assert system.config.stm_config.memory_limit == 6
        assert system.config.indexed_attributes == ("mood",)
        assert system.check().sound
    assert not [*tmp_path.glob("agent-memory-copy-*")]


def test_a_copy_that_was_broken_off_goes_on(folder: Path, servers: str, tmp_path: Path) -> None:
    class Ended(BaseException):
        pass

    def end(what: str, count: int) -> None:
        if what == "entries restored" and count > 20:
            raise Ended

    places = MemoryPlace(path=folder), MemoryPlace.of(servers)
    with filled(folder) as system:
        before = remembered(system)
        with pytest.raises(Ended):
            copy_memory(*places, tmp_path / "work", progress=end)
        assert system.store_agent_state("late", {"step": 1}, 1)
        receipt = copy_memory(*places, tmp_path / "work")
    assert receipt.resumed
    assert receipt.verified
    redis_url, _, ltm_url = servers.partition(",")
    config = MemoryConfig(redis_url=redis_url, ltm_url=ltm_url, path=tmp_path / "s", **DECLARED)
    with AgentMemorySystem(config, upkeep=False) as copy:
        assert remembered(copy) == before
    assert not (tmp_path / "work").exists()


def test_a_move_tells_what_changed_meanwhile(
    folder: Path, servers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis_url = servers.partition(",")[0]

    def move(number: int) -> Result:
        redis.Redis.from_url(redis_url).flushall()
        return run(
            *("move-to", "--redis", redis_url, "--ltm", f"sqlite:///{tmp_path}/{number}.db"),
            *("--path", folder, "--work", tmp_path),
        )

    with filled(folder) as system:
        restore = AgentMemorySystem.restore

        def restore_while_one_is_stored(*arguments: Any, **options: Any) -> Any:
            done = restore(*arguments, **options)
            assert system.store_agent_state("late", {"step": 1}, 1)
            return done

        monkeypatch.setattr(AgentMemorySystem, "restore", restore_while_one_is_stored)
        moved = move(1)
        monkeypatch.undo()
    assert moved.exit_code == 1, moved.output
    assert "1 entries changed in the original meanwhile" in moved.output
    moved = move(2)
    assert moved.exit_code == 0, moved.output
    assert "set $AGENT_MEMORY_REDIS_URL and $AGENT_MEMORY_LTM_URL" in moved.output


@pytest.mark.parametrize(
    "server", ["redis+cluster://:a,b@h:1,i:2,j:3", "rediss+sentinel://h:1,i:2/ants/0?db=1"]
)
def test_a_place_has_a_server_of_several(server: str) -> None:
    database = "postgresql+psycopg://u@/ants?host=a,b"
    place = MemoryPlace.of(f"{server},{database}")
    assert (place.redis_url, place.ltm_url) == (server, database)


def test_bad_places_are_refused_and_nothing_is_left(folder: Path, tmp_path: Path) -> None:
    for memory in (folder, tmp_path / "other"):
        with AgentMemorySystem(
            MemoryConfig(path=memory, engine="embedded", search=False)
        ) as system:
            assert system.store_agent_state("ant", {"food": 1}, 1)
    for places, reason in (
        ((folder, folder), "cannot be copied to where it is"),
        ((tmp_path / "none", tmp_path / "to"), "there is no memory in"),
        ((folder, "redis://h:1"), "two URLs with a comma"),
        ((folder, "cluster://h:1,sqlite:///a.db"), "write redis+cluster://"),
        ((folder, tmp_path / "other"), "holds something already"),
    ):
        done = run("db", "copy", *places, "--work", tmp_path / "work")
        assert done.exit_code == 2, done.output
        assert reason in done.output
        assert "--into-existing" not in done.output  # which restoring has, and copying has not
    assert not any((tmp_path / "work").glob("*"))
