"""A password shows in no log, repr, error, file, command line or output of the command."""

from __future__ import annotations

import copy
import gc
import json
import logging
import os
import pickle
import stat
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent_memory import AgentMemorySystem, MemoryConfig, Query
from agent_memory.cli.commands import app
from agent_memory.connections.deployment import LTM_URL_VARIABLE, REDIS_URL_VARIABLE, deployment
from agent_memory.connections.folder_record import FILE_NAME, check_folder, record_folder
from agent_memory.errors import ConfigError, MemoryStoreError
from agent_memory.values.urls import without_password
from tests.engines import free_port

SECRET = "Xs3cr3tX"
MARK = "s3cr3t"


def reported(error: BaseException) -> str:
    """All that an error says, with all that it hangs on."""
    found = "".join(traceback.format_exception(error))
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in seen:
        seen.append(one)
        found += repr(one) + str(one) + repr(one.args)
        one = one.__cause__ or one.__context__
    return found


REDIS_URLS = [
    f"redis://:{SECRET}@localhost:1/0",
    f"redis://user:{SECRET}@localhost:1",
    f"redis://:{SECRET}",
    f"redis:/u:{SECRET}@h",
    f"redis//u:{SECRET}@h",
    f"u:{SECRET}@h",
    f"redis://u:1{SECRET}/x@localhost:1/0",
    f"redis://u:1/{SECRET}@localhost:1",
    f"redis://localhost:1/0?password={SECRET}",
    f"redis://localhost:1/0?PASSWORD={SECRET}",
    f"redis://u:1?{SECRET}@localhost:1",
    f"redis://u:1#{SECRET}@localhost:1",
    f"redis://u:{SECRET}@[::1",
    f"redis://u:{SECRET}@h:99999999",
    f"http://u:{SECRET}@h/",
    f"redis://u:p@{SECRET}@localhost:1",
    f"unix://u:{SECRET}@/nonexistent.sock",
    f"rediss://u:{SECRET}@localhost:1",
    f"redis://localhost:1/0?password=p@{SECRET}",
    f"unix:///nonexistent.sock?password=p@{SECRET}",
    f"redis+sentinel://u:{SECRET}@localhost:1/ants?sentinel_password={SECRET}",
    f"redis+sentinel://localhost:1/ants?sentinel_password=p@{SECRET}",
    f"redis+cluster://u:{SECRET}@localhost:1,localhost:2",
]
LTM_URLS = [
    f"postgresql+psycopg://u:{SECRET}@localhost:1/x",
    f"postgresql+psycopg://u:a@{SECRET}@localhost:1/x",
    f"postgresql+psycopg://localhost:1/x?sslpassword={SECRET}",
    f"postgresql+psycopg://u:{SECRET}@localhost:notaport/x",
    f"postgresql:/u:{SECRET}@h",
    f"unknown://u:{SECRET}@h",
    f"u:{SECRET}@h",
    f"mssql+pyodbc:///?odbc_connect=PWD%3D{SECRET}",
    f"sqlite+pysqlcipher://:{SECRET}@/x.db",
]


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    caplog.set_level(logging.DEBUG)
    yield caplog
    assert MARK not in caplog.text


@pytest.mark.usefixtures("logged")
@pytest.mark.parametrize("given", [*(("redis_url", url) for url in REDIS_URLS),
                                   *(("ltm_url", url) for url in LTM_URLS)])  # fmt: skip
@pytest.mark.parametrize("by_environment", [False, True])
def test_a_url_that_fails_shows_no_secret(
    given: tuple[str, str],
    by_environment: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    name, url = given
    settings: dict[str, Any] = {"path": tmp_path, "on_store_error": "raise"}
    if name == "ltm_url":
        settings["engine"] = "fake"
    if by_environment:
        variable = REDIS_URL_VARIABLE if name == "redis_url" else LTM_URL_VARIABLE
        monkeypatch.setenv(variable, url)
    else:
        settings[name] = url
    with pytest.raises(MemoryStoreError) as caught:
        AgentMemorySystem(MemoryConfig(**settings))
    assert MARK not in reported(caught.value)
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or MARK.encode() not in file.read_bytes()


@pytest.mark.usefixtures("logged")
def test_a_password_of_the_configuration_shows_nowhere(tmp_path: Path) -> None:
    part = {"host": "127.0.0.1", "port": free_port(), "password": SECRET}
    config = MemoryConfig(path=tmp_path, stm_config=part, im_config=part)
    shown = [repr(config), str(config), repr(config.stm_config), repr(deployment(config))]
    assert MARK not in "".join(shown)
    with pytest.raises(MemoryStoreError) as caught:
        AgentMemorySystem(config)
    assert MARK not in reported(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {name: {"password": SECRET} for name in ("stm_config", "im_config")},
        {"redis_url": f"redis://u:{SECRET}@localhost/0"},
        {"ltm_url": f"postgresql+psycopg://u:{SECRET}@localhost/x?sslpassword={SECRET}"},
    ],
    ids=["password", "redis_url", "ltm_url"],
)
def test_a_dumped_configuration_shows_no_password_and_is_taken_back(
    settings: dict[str, Any],
) -> None:
    config = MemoryConfig(**settings)
    dumped = config.model_dump()
    assert MARK not in f"{dumped} {config.model_dump_json()} {config.model_dump(mode='json')}"
    assert "localhost" in str(dumped)
    for again in (
        MemoryConfig(**dumped),
        MemoryConfig(**dict(config)),
        config.model_copy(),
        copy.deepcopy(config),
        pickle.loads(pickle.dumps(config)),  # noqa: S301  # made right here
    ):
        assert again == config
        assert deployment(again) == deployment(config)
    # Stars would be sent as a password.
    with pytest.raises(ConfigError, match=r"left out.*give it again"):
        MemoryConfig(**config.model_dump(mode="json"))


@pytest.mark.usefixtures("logged")
def test_a_memory_that_runs_shows_its_password_nowhere(tmp_path: Path) -> None:
    from tests.engines import StoppableServer  # noqa: PLC0415  # beside what it is used for

    with StoppableServer(tmp_path) as server:
        folder = tmp_path / "memory"
        wrong = server.url.replace("p%40ss", SECRET)
        with pytest.raises(MemoryStoreError) as caught:
            AgentMemorySystem(MemoryConfig(path=folder, redis_url=wrong))
        assert MARK not in reported(caught.value)
        with AgentMemorySystem(MemoryConfig(path=folder, redis_url=server.url)) as system:
            system.store_agent_state("a", {"v": 1}, 1)
            server.kill()
            system.store_agent_state("a", {"v": 2}, 2)
            opened = system._resources
            about = [system, system.config, system.status, opened, opened.connections,
                     opened.connections.stm.client, opened.connections.deployment,
                     system.stm, system.sql_engine, system.outages, system.models]  # fmt: skip
            text = "".join(repr(one) + str(one) for one in about)
            assert "p%40ss" not in text
            assert "p@ss" not in text
            server.start()
    for file in folder.rglob("*"):
        held = file.read_bytes() if file.is_file() else b""
        assert b"p%40ss" not in held
        assert b"p@ss:w/ord%" not in held
    gc.collect()


COMMANDS = [
    ["status"], ["maintain"], ["doctor"], ["forget", "--agent", "a", "--yes"], ["db", "current"],
    ["db", "check"], ["db", "upgrade"], ["db", "history"], ["encoder", "list"], ["version"],
]  # fmt: skip


@pytest.mark.parametrize(
    ("redis_url", "ltm_url"),
    [
        (f"redis://:{SECRET}@127.0.0.1:1", f"postgresql+psycopg://u:{SECRET}@127.0.0.1:1/x"),
        (f"redis:/u:{SECRET}@h", f"postgresql:/u:{SECRET}@h"),
    ],
    ids=["away", "no url"],
)
def test_the_commands_print_no_secret(
    redis_url: str, ltm_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(REDIS_URL_VARIABLE, redis_url)
    monkeypatch.setenv(LTM_URL_VARIABLE, ltm_url)
    monkeypatch.setenv("AGENT_MEMORY_PATH", str(tmp_path))
    for command in COMMANDS:
        done = CliRunner().invoke(app, command)
        assert MARK not in done.output
        assert done.exception is None or isinstance(done.exception, SystemExit), command


def test_processes_that_are_started_carry_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AGENT_MEMORY_PASSWORD", SECRET)
    folder = tmp_path / "memory"
    with AgentMemorySystem(MemoryConfig(path=folder, engine="embedded", search=False)) as system:
        assert system.store_agent_state("a", {"v": 1}, 1)
        lines = [
            file.read_bytes()
            for file in Path("/proc").glob("[0-9]*/cmdline")
            if str(folder).encode() in file.read_bytes()
        ]
        assert all(MARK.encode() not in line for line in lines)
        assert lines
    # All within the folder is its user's alone.
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_every_file_that_a_memory_makes_is_its_users_alone_whatever_the_umask(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "open"
    before = os.umask(0)
    try:
        folder.mkdir()  # as somebody who shares it would
        config = MemoryConfig(path=folder, engine="embedded", search=False)
        with AgentMemorySystem(config) as system:
            assert system.store_agent_state("a", {"v": 1}, 1)
            spool = system._resources.intake._spool
            assert spool is not None
            spool.put(system.recall(Query(agent_id="a"))[0].entry, 1.0)
            key = system.stm.keys("default", "a")[0].memory_id
            client = system._resources.connections.stm.client
            client.hset(f"agent_memory:stm:{{default/a}}:{key}", "contents", b"damaged")
            system.check(repair=True)
            system.backup(folder / "saved")
            made = {file: file.lstat().st_mode for file in folder.rglob("*")}
    finally:
        os.umask(before)
    open_to_others = {str(file): oct(mode) for file, mode in made.items() if mode & 0o077}
    assert open_to_others == {}
    names = {file.name for file in made}
    assert names >= {
        *("agent_memory.db", "agent_memory.db-wal", "agent_memory.db-spool", "memory.json"),
        *("agent_memory.db-aside", "embedded.json", "embedded.log", "saved", "server.socket"),
    }


@pytest.mark.parametrize(
    "plain",
    ["redis://localhost:6379/0", "unix:///tmp/a.sock", "sqlite:////tmp/a@b.db",
     "redis://[::1]:6379", "the embedded server in /tmp/a@b"],
)  # fmt: skip
def test_what_has_no_secret_is_shown_as_it_is(plain: str) -> None:
    assert without_password(plain) == plain


def test_a_record_that_shows_a_part_of_a_secret_is_known_and_written_again(tmp_path: Path) -> None:
    url = "postgresql+psycopg://there/db?password=a@secret"
    config = MemoryConfig(path=tmp_path, ltm_url=url)
    record = tmp_path / FILE_NAME
    # As earlier versions wrote it.
    record.write_text(json.dumps({"ltm_url": "postgresql+psycopg://:***@secret"}))
    for _ in range(2):
        check_folder(config, deployment(config))
        record_folder(config, deployment(config))
        assert "secret" not in record.read_text()
    other = config.model_copy(update={"ltm_url": url.replace("psycopg", "pg8000")})
    with pytest.raises(ConfigError, match="was made with"):
        check_folder(other, deployment(other))
