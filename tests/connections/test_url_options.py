"""Options in the URLs of servers and databases serve a memory, or are refused by their names."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.cache import CacheConfig
from redis.connection import SSLConnection
from sqlalchemy import Engine, make_url, text

from agent_memory import AgentMemory, AgentMemorySystem, ConfigError, MemoryConfig, Query
from agent_memory.connections.redis.clients import open_redis
from agent_memory.connections.redis.url_options import check_options
from agent_memory.connections.sql import open_engine
from agent_memory.connections.sql_options import driver_arguments
from tests import engines

SERVED = [
    *("db=2", "socket_timeout=5", "socket_connect_timeout=1.5", "socket_read_size=100"),
    *("socket_keepalive=True", "health_check_interval=1", "client_name=ants", "protocol=2"),
    "health_check_interval=0&socket_timeout=9&socket_keepalive=no",
]
REFUSED = [
    *("protocol=3", "decode_responses=True", "decode_responses=False", "encoding=utf-16"),
    *("encoding_errors=ignore", "max_connections=1", "timeout=3", "retry_on_timeout=True"),
    *("retry_on_error=x", "retry=3", "legacy_responses=False", "parser_class=x", "host=other"),
    *("port=1", "path=/tmp/x", "lib_name=x", "credential_provider=x", "redis_connect_func=x"),
    *("socket_timeout=0", "socket_timeout=nan", "socket_timeout=soon", "socket_read_size=0"),
    *("socket_keepalive=maybe", "health_check_interval=-1", "client_name=a%20b", "db=first"),
    *("db=-1", "db=1&db=2", "protocol=", "moon=full", "Protocol=2", "ssl_keyfile=x"),
]  # fmt: skip

TLS_WITH_A_MEANING = {
    *("ssl_cert_reqs", "ssl_check_hostname", "ssl_min_version", "ssl_include_verify_flags"),
    *("ssl_exclude_verify_flags", "ssl_validate_ocsp", "ssl_validate_ocsp_stapled"),
    *("ssl_ocsp_context", "ssl_ocsp_expected_cert"),
}
"""Options of TLS whose value may not be just any text."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with engines.StoppableServer(tmp_path_factory.mktemp("s")) as started:
        yield started.url


@pytest.mark.parametrize("options", SERVED)
def test_a_memory_is_served_with_an_option(server: str, options: str, tmp_path: Path) -> None:
    with closing(open_redis(server)) as client:
        client.flushall()  # another test's folder is another memory
    config = MemoryConfig(redis_url=f"{server}?{options}", path=tmp_path, on_store_error="raise")
    with AgentMemorySystem(config) as memory:
        memory.store_agent_state("ant", {"food": "é"}, 0)
        memory.maintain()
        (hit,) = memory.recall(Query(agent_id="ant"), near={"food": "é"})
        assert hit.entry.contents == {"food": "é"}
        memory.clear_all_memories()


@pytest.mark.parametrize("options", REFUSED)
def test_an_option_that_does_not_serve_is_refused_by_name(options: str, tmp_path: Path) -> None:
    name = options.partition("=")[0]
    config = MemoryConfig(redis_url=f"redis://nobody:geheim@127.0.0.1:1?{options}", path=tmp_path)
    with pytest.raises(ConfigError, match=rf"redis_url: {name} in ") as refusal:
        AgentMemorySystem(config)
    assert "geheim" not in str(refusal.value)


def test_every_option_of_redis_py_is_served_or_refused_by_name() -> None:
    kinds = (
        redis.Redis,
        redis.ConnectionPool,
        redis.BlockingConnectionPool,
        *SSLConnection.__mro__,
    )
    names = {
        name
        for kind in kinds
        for name in inspect.signature(kind.__init__).parameters
        if name not in ("self", "args", "kwargs")
    }
    assert {"protocol", "ssl_keyfile", "max_connections"} <= names
    served = {"username", "password", "client_name"}
    served |= {name for name in names if name.startswith("ssl_")} - TLS_WITH_A_MEANING
    refused = set()
    for name in names:
        with suppress(ConfigError), closing(open_redis(f"rediss://127.0.0.1:1?{name}=x")):
            continue
        refused.add(name)
    assert names - refused <= served
    for name in refused:
        with pytest.raises(ConfigError, match=f"redis_url: {name} in"):
            open_redis(f"rediss://127.0.0.1:1?{name}=x")


@pytest.mark.parametrize(
    "url", ["redis://h/first", "redis://h/0/1", "redis://h/1?db=2", "rediss://u:p@h/1.5"]
)
def test_a_database_that_is_no_number_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="redis_url: db in"):
        open_redis(url)


def test_options_of_tls_need_tls(tmp_path: Path) -> None:
    options = "ssl_cert_reqs=none&ssl_check_hostname=False&ssl_min_version=772"
    options += f"&ssl_ca_path={tmp_path}&ssl_include_verify_flags=VERIFY_X509_STRICT"
    check_options(f"rediss://h:1/0?{options}")
    with pytest.raises(ConfigError, match=r"ssl_cert_reqs .* needs a URL that begins with rediss"):
        check_options(f"redis://h:1/0?{options}")
    for wrong in ("ssl_cert_reqs=maybe", "ssl_min_version=3", "ssl_exclude_verify_flags=NONE"):
        with pytest.raises(ConfigError, match=wrong.partition("=")[0]):
            check_options(f"rediss://h?{wrong}")


@pytest.mark.parametrize(
    "options",
    [
        {"protocol": 3},
        {"protocol": 3, "decode_responses": True, "cache_config": CacheConfig()},
        {"encoding": "utf-16", "decode_responses": True, "encoding_errors": "ignore"},
        {"max_connections": 1, "single_connection_client": True, "health_check_interval": 1},
        {"legacy_responses": False, "socket_read_size": 1, "client_name": "ants"},
        {"retry_on_timeout": True, "retry_on_error": [redis.ConnectionError]},
        {"redis_connect_func": lambda connection: connection.on_connect()},
    ],
)
def test_a_client_is_taken_with_any_option(server: str, options: dict[str, Any]) -> None:
    client: Any = redis.Redis.from_url(server, **options)
    ant = AgentMemory("änt", redis_client=client)
    assert ant.remember_state(1, {"food": "é"}, priority=0.5)
    found = ant.retrieve_state(1)
    assert found is not None
    assert found["state"] == {"food": "é"}
    assert ant.clear_memory()
    client.close()


def write(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (a INTEGER)"))
    engine.dispose()


def test_options_of_sqlite_serve(tmp_path: Path) -> None:
    write(open_engine(f"sqlite:///{tmp_path}/a.db?timeout=3&cached_statements=10"))
    write(open_engine(f"sqlite:///file:{tmp_path}/b.db?mode=rwc&uri=true"))
    write(open_engine(f"sqlite+pysqlite:///file:{tmp_path}/c.db"))
    write(open_engine("sqlite:///file:ants?mode=memory&cache=shared&uri=true"))
    open_engine(f"sqlite:///file:{tmp_path}/c.db?mode=ro", read_only=True).dispose()
    assert {file.name for file in tmp_path.iterdir()} == {"a.db", "b.db", "c.db"}
    engine = open_engine(f"sqlite:///{tmp_path}/a.db?timeout=3")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 3000
    engine.dispose()


@pytest.mark.parametrize(
    "options",
    [
        *("isolation_level=IMMEDIATE", "detect_types=1", "check_same_thread=True", "factory=x"),
        *("nolock=1", "immutable=1", "vfs=unix-none", "moon=full", "timeout=soon", "timeout=-1"),
        *(
            "timeout=nan",
            "cached_statements=many",
            "mode=ro",
            "mode=x",
            "cache=shared",
            "uri=false",
        ),
        *("timeout=1&timeout=2", "plugin=x"),
    ],
)
def test_an_option_of_sqlite_that_does_not_serve_is_refused(options: str, tmp_path: Path) -> None:
    name = options.partition("=")[0]
    with pytest.raises(ConfigError, match=f"ltm_url: {name} in "):
        open_engine(f"sqlite:///file:{tmp_path}/a.db?{options}")
    with pytest.raises(ConfigError, match=f"ltm_url: {name} in "):
        AgentMemorySystem(
            MemoryConfig(engine="fake", ltm_url=f"sqlite:///file:{tmp_path}/a.db?{options}")
        )
    assert not any(tmp_path.iterdir())


def test_options_of_a_uri_need_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ltm_url: mode in .*begins with file:"):
        open_engine(f"sqlite:///{tmp_path}/a.db?mode=rwc")


@pytest.mark.parametrize(
    "options",
    [
        *(
            "autocommit=true",
            "row_factory=x",
            "prepare_threshold=-1",
            "cursor_factory=x",
            "moon=full",
        ),
        *("client_encoding=latin1", "replication=database", "sslmode=prefer&sslmode=allow"),
        *("user=b", "password=b", "dbname=b", "plugin=x", "context=x"),
    ],
)
def test_an_option_of_postgresql_that_does_not_serve_is_refused(options: str) -> None:
    pytest.importorskip("psycopg")
    name = options.partition("=")[0]
    with pytest.raises(ConfigError, match=f"ltm_url: {name} in ") as refusal:
        open_engine(f"postgresql+psycopg://a:geheim@127.0.0.1:1/a?{options}")
    assert "geheim" not in str(refusal.value)


def test_how_often_statements_are_prepared_is_said_in_the_url() -> None:
    psycopg = pytest.importorskip("psycopg")
    for said, made in (("none", None), ("3", 3)):
        url, arguments = driver_arguments(
            make_url(f"postgresql+psycopg:///a?prepare_threshold={said}")
        )
        assert not url.query
        assert arguments["prepare_threshold"] == made
    for wrong in ("None", "-1"):
        with pytest.raises(ConfigError, match="a whole number, or none"):
            open_engine(f"postgresql+psycopg:///a?prepare_threshold={wrong}")
    assert "prepare_threshold" in inspect.signature(psycopg.connect).parameters


def test_options_of_libpq_serve() -> None:
    pytest.importorskip("psycopg")
    options = "application_name=ants&connect_timeout=3&sslmode=prefer&options=-c%20geqo%3Doff"
    open_engine(f"postgresql+psycopg://a:b@/a?host=/tmp&{options}").dispose()


def test_drivers_that_are_asynchronous_are_refused() -> None:
    for url in ("sqlite+aiosqlite:///a.db", "postgresql+asyncpg://a@h/a"):
        with pytest.raises(ConfigError, match=url.partition("+")[2].partition(":")[0]):
            open_engine(url)
