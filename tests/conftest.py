"""Fixtures of engines: each is started once in a session, when first asked for, and emptied."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import hypothesis
import pytest
import redis
from sqlalchemy import Engine

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.connections.embedded.server import EmbeddedServer
from agent_memory.repositories.sql.partitions import partition
from tests import engines
from tests.fuzzing import EXAMPLES
from tests.memories import AGES, Clock, Opener

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    max_examples=EXAMPLES,
)
hypothesis.settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    # pytest-alembic 0.13 binds its built-in tests to tests/conftest.py even when none are asked
    # for, in a way that ends pytest 9.2's collection: send it to a file that is not there.
    if not config.option.pytest_alembic_tests_path:
        config.option.pytest_alembic_tests_path = "tests/no-such-file.py"


@pytest.fixture(scope="session")
def embedded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The embedded server of a folder of this session; shared, so leave it running."""
    with EmbeddedServer.open(tmp_path_factory.mktemp("embedded"), search=False) as server:
        yield server


@pytest.fixture(scope="session")
def embedded_server_with_modules(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[EmbeddedServer]:
    """The same with the query engine of the extra `search`."""
    engines.require_modules()
    with EmbeddedServer.open(tmp_path_factory.mktemp("embedded"), search=True) as server:
        yield server


@pytest.fixture(scope="session")
def redis_port_with_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a genuine Redis server with the same modules, as ``tcp_port``."""
    program, modules = engines.genuine_redis(), engines.require_modules()
    with engines.tcp_server(tmp_path_factory.mktemp("redis"), program, modules) as port:
        yield port


@pytest.fixture(scope="session")
def tcp_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a plain Valkey server on 127.0.0.1 that asks for ``engines.PASSWORD``."""
    with engines.tcp_server(tmp_path_factory.mktemp("tcp")) as port:
        yield port


@pytest.fixture(params=engines.parameters(engines.REDIS_ENGINES, engines.USUAL_REDIS))
def redis_client(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """A binary client of each engine for short-term and intermediate memory, empty."""
    client = _client_of(request.param, request)
    client.flushall()
    yield client
    client.close()


def _client_of(engine: str, request: pytest.FixtureRequest) -> redis.Redis:
    started = {
        "embedded": "embedded_server",
        "tcp": "tcp_port",
        "embedded+modules": "embedded_server_with_modules",
        "redis+modules": "redis_port_with_modules",
    }
    if engine not in started:
        return engines.fake_client()
    server = request.getfixturevalue(started[engine])
    if isinstance(server, EmbeddedServer):
        return engines.embedded_client(server)
    return engines.tcp_client(server)


@pytest.fixture(scope="session")
def sqlite_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SQLite file that tests share."""
    return tmp_path_factory.mktemp("sqlite") / "ltm.db"


@pytest.fixture(scope="session")
def sqlite_file(sqlite_path: Path) -> Iterator[engines.SqlDatabase]:
    """Long-term memory in a file."""
    with engines.SqlDatabase(f"sqlite:///{sqlite_path}") as database:
        yield database


@pytest.fixture(scope="session")
def sqlite_memory() -> Iterator[engines.SqlDatabase]:
    """Long-term memory in this process."""
    with engines.SqlDatabase("sqlite:///:memory:") as database:
        yield database


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A database of a PostgreSQL server that tests share.

    Of the one that $AGENT_MEMORY_TEST_PG_URL names, by a user who may create databases; else out
    of its wheel.
    """
    named = os.environ.get("AGENT_MEMORY_TEST_PG_URL")
    if named:
        with engines.new_database(named) as url:
            yield url
        return
    # Not beneath pytest's folder, which the next session of root closes to all others: PostgreSQL
    # never runs as root.
    with (
        TemporaryDirectory(prefix="agent-memory-pg-") as folder,
        engines.postgresql_server(Path(folder)) as url,
    ):
        yield url


@pytest.fixture
def postgresql_database(postgresql_url: str) -> Iterator[str]:
    """A database of its own on that server, without any table; gives its URL."""
    with engines.new_database(postgresql_url) as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_template(postgresql_url: str) -> Iterator[str]:
    """A database with the schema of long-term memory, to be copied; gives its name."""
    with engines.new_database(postgresql_url) as url:
        with engines.SqlDatabase(url) as database:
            name = database.engine.url.database or ""
        yield name


@pytest.fixture
def postgresql_memory(postgresql_url: str, postgresql_template: str) -> Iterator[str]:
    """A database of its own with the schema, which takes a third of the time; gives its URL."""
    with engines.new_database(postgresql_url, postgresql_template) as url:
        yield url


@pytest.fixture(scope="session")
def postgresql(postgresql_url: str) -> Iterator[engines.SqlDatabase]:
    """Long-term memory on a server."""
    with engines.SqlDatabase(postgresql_url) as database:
        yield database


@pytest.fixture(scope="session")
def postgresql_in_partitions(postgresql_url: str) -> Iterator[engines.SqlDatabase]:
    """Long-term memory on a server, entries in partitions by agent."""
    with (
        engines.new_database(postgresql_url) as url,
        engines.SqlDatabase(url) as database,
    ):
        partition(database.engine, 3)
        yield database


@pytest.fixture(params=engines.parameters(engines.SQL_ENGINES, engines.USUAL_SQL))
def ltm_engine(request: pytest.FixtureRequest) -> Engine:
    """An engine over each database for long-term memory, empty."""
    database: engines.SqlDatabase = request.getfixturevalue(request.param)
    database.empty()
    return database.engine


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=engines.parameters(engines.MEMORY_ENGINES, engines.USUAL_MEMORY))
def memory_config(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The configuration of a memory on each engine, empty."""
    match request.param:
        case "fakeredis":
            return {"engine": "fake", "path": tmp_path}
        case "embedded" | "embedded+modules":
            search = request.param == "embedded+modules"
            if search:
                engines.require_modules()
            return {"engine": "embedded", "path": tmp_path / "memory", "search": search}
    port = request.getfixturevalue(
        "redis_port_with_modules" if request.param == "redis+modules" else "tcp_port"
    )
    engines.tcp_client(port).flushall()
    password = quote(engines.PASSWORD, safe="")
    config = {"redis_url": f"redis://:{password}@127.0.0.1:{port}", "path": tmp_path}
    if request.param == "tcp and postgresql":
        config["ltm_url"] = request.getfixturevalue("postgresql_memory")
    return config


@pytest.fixture
def open_memory(memory_config: dict[str, Any], clock: Clock) -> Iterator[Opener]:
    """What opens the memory, any number of times; closed at the end."""
    systems: list[AgentMemorySystem] = []

    def open_with(**config: Any) -> AgentMemorySystem:
        systems.append(
            AgentMemorySystem(MemoryConfig(**memory_config, **(AGES | config)), clock=clock)
        )
        return systems[-1]

    yield open_with
    for system in systems:
        system.close()
