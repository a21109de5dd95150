from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent_memory import AgentMemorySystem
from agent_memory.cli.commands import app


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    with AgentMemorySystem({"engine": "embedded", "path": tmp_path / "memory"}) as system:
        for step in range(4):
            system.store_agent_state("ant", {"step": step}, step)
    return tmp_path / "memory"


def test_check_tells_by_its_status_whether_a_memory_is_sound(memory: Path) -> None:
    code, reported = call("check", "--path", memory)
    assert (code, reported.splitlines()[-1]) == (0, "sound: nothing is wrong")
    assert "looked at 4 STM entries" in reported
    with AgentMemorySystem.open(memory, upkeep=False) as system:
        client = system._resources.connections.stm.client
        client.delete("agent_memory:stm:{default/ant}:times")
    code, reported = call("check", "--path", memory)
    assert (code, reported.splitlines()[-1]) == (1, "4 findings, 0 mended, 4 left")
    assert "FOUND index: STM, run 'default', agent 'ant'" in reported
    code, reported = call("check", "--path", memory, "--repair")
    assert (code, reported.splitlines()[-1]) == (0, "4 findings, 4 mended, 0 left")
    assert call("check", "--path", memory)[0] == 0
    assert call("check", "--path", memory / "nowhere")[0] == 2


def test_backup_and_restore_tell_what_they_saved_and_restored(memory: Path, tmp_path: Path) -> None:
    code, reported = call("backup", tmp_path / "file", "--path", memory)
    assert code == 0
    assert "saved 4 entries (0 spool, 4 stm, 0 im, 0 ltm)" in reported
    code, reported = call("restore", tmp_path / "file", "--path", tmp_path / "other")
    assert code == 0
    assert reported.splitlines()[-1] == "read again: all as it was saved"
    code, reported = call("restore", tmp_path / "file", "--path", tmp_path / "other")
    assert code == 2
    assert "--into-existing" in reported
    assert (
        call("restore", tmp_path / "file", "--path", tmp_path / "other", "--into-existing")[0] == 0
    )
    assert call("check", "--path", tmp_path / "other")[0] == 0
    (tmp_path / "file").write_bytes(b"no backup")
    assert call("restore", tmp_path / "file", "--path", tmp_path / "third")[0] == 2
    assert not (tmp_path / "third").exists()


def test_a_run_is_rolled_back(memory: Path) -> None:
    code, reported = call("forget", "--path", memory, "--after", 1, "--yes")
    assert code == 0
    assert "forgot what run 'default' stored after step 1: 2 memories" in reported
    with AgentMemorySystem.open(memory) as system:
        assert system.stm.count("default") == 2
    assert call("forget", "--path", memory, "--after", 1, "--agent", "ant", "--yes")[0] == 2
    assert call("forget", "--path", memory, "--after", -1, "--yes")[0] == 2
