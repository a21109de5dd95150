"""Opens engines for long-term memory, and translates what goes wrong with them."""

from __future__ import annotations

import re
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeAlias
from urllib.parse import unquote

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    ExceptionContext,
    create_engine,
    event,
    exc,
    make_url,
)
from sqlalchemy.pool import Pool

from agent_memory.connections.deployment import database_file
from agent_memory.connections.disk_space import full_database
from agent_memory.connections.sql_alive import look_before_use
from agent_memory.connections.sql_commits import forget_note, keep_notes
from agent_memory.connections.sql_copying import serve_copies
from agent_memory.connections.sql_failures import leave_standbys
from agent_memory.connections.sql_files import file_of, file_url, remove_copy_with
from agent_memory.connections.sql_options import check_server, check_sqlite, driver_arguments
from agent_memory.connections.sql_pool import InterruptiblePool
from agent_memory.connections.sql_remedies import remedy_of
from agent_memory.connections.sqlite_file import LastingConnection, watch_file
from agent_memory.errors import (
    ConfigError,
    EntryConflict,
    InvalidEntry,
    MemoryStoreError,
    SchemaOutOfDate,
    StoreUnavailable,
)
from agent_memory.values.forking import ForkGate
from agent_memory.values.interruptions import raise_if_interrupted
from agent_memory.values.urls import without_password

# -- SQL --------------------------------------------------------------------------------------

SqlEngine: TypeAlias = Engine
"""What ``open_engine`` gives, for those who hand it on and know nothing else of SQL."""

BUSY_TIMEOUT = 30.0
"""How long to wait for another process's lock on the database, in seconds."""

_READ_ONLY = "agent_memory_read_only"
_WRITES = "agent_memory_writes"
_GATE = "agent_memory_fork_gate"
_IN_USE = "agent_memory_in_use"
_HELD = "agent_memory_held"


def open_engine(url: str, *, read_only: bool = False) -> Engine:
    """Open an engine for long-term memory; the first statement connects.

    SQLite gets a write-ahead log, foreign keys, and a commit that is on disk when it returns: a
    move deletes its source on that word (``synchronous=NORMAL`` could lose the last commits to a
    power cut, and measured no faster). ``sqlite:///:memory:`` is one database for all threads,
    which take turns.

    Args:
        url: SQLAlchemy URL. A SQLite file's folder is made if it is missing.
        read_only: Refuse every write.

    Raises:
        ConfigError: The URL cannot be read, or its driver is not installed, or one of its options
            is none that long-term memory is served with.
        StoreUnavailable: The folder cannot be made, or the file to be read is not there.
    """
    try:
        parsed = make_url(url)
        if "@" in (parsed.host or ""):
            raise ValueError("an '@' in the password is not encoded")  # noqa: TRY301  # as the others
        if parsed.get_backend_name() == "sqlite":
            return _with_gate(_open_sqlite(parsed, read_only))
        check_server(parsed, parsed.get_dialect())
        parsed, arguments = driver_arguments(parsed)
        options = {_READ_ONLY: read_only}
        if read_only:
            # Not False otherwise, which a standby refuses for every statement, and which overrides
            # what the server's operator has set.
            options["postgresql_readonly"] = True
        engine = create_engine(
            parsed,
            poolclass=InterruptiblePool,
            hide_parameters=True,
            connect_args=arguments,
            pool_pre_ping=parsed.get_driver_name() != "psycopg",
            execution_options=options,
        )
    except ConfigError:
        raise
    except (exc.ArgumentError, exc.NoSuchModuleError, ImportError, ValueError) as error:
        complaint = f"({type(error).__name__}); {_url_remedy(error)}"
    else:
        serve_copies(engine)
        leave_standbys(engine)
        if engine.dialect.driver == "psycopg":
            look_before_use(engine)
        return _with_gate(engine)
    # Not chained, and not raised where the error is at hand: what is said of a URL that cannot be
    # read may quote the password.
    raise ConfigError(f"ltm_url: {without_password(url)!r} cannot be opened {complaint}")


def _url_remedy(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = "'agent-memory[postgresql]'" if error.name == "psycopg" else error.name
        return f"its driver is missing: pip install {package}"
    return (
        "it must be a SQLAlchemy URL whose driver is installed, such as "
        "sqlite:////folder/file.db or postgresql+psycopg://user@host/database"
    )


def is_read_only(engine: Engine) -> bool:
    """Whether an engine was opened with ``read_only=True``."""
    return bool(engine.get_execution_options().get(_READ_ONLY))


def writing(engine: Engine) -> Engine:
    """The same engine, whose transactions take SQLite's write lock when they begin.

    A transaction that reads first and then asks for the lock is refused at once when another
    has written in between, however long the busy timeout is.
    """
    return engine.execution_options(**{_WRITES: True})


def place_of(engine: Engine) -> str:
    """Where an engine's database is, for messages: its URL without the password."""
    file = engine.url.database or ""
    if file.startswith("file:"):
        # As the file that is read-only here can be named to someone who may write to it.
        return f"sqlite:///{unquote(file.removeprefix('file:'))}"
    return without_password(engine.url.render_as_string(hide_password=True))


@contextmanager
def not_forking(engine: Engine) -> Iterator[None]:
    """Hold off ``os.fork`` while the block works with an engine, and wait for one under way.

    SQLite's locks belong to a process, and its notes on them are copied by a fork: a child that
    opens a file which the parent has open believes to hold the parent's locks. Whichever of
    the two closes first then removes the write-ahead log from under the other, and what that
    one commits is lost. So files are closed before a fork, and opened again on both sides.
    """
    gate: ForkGate | None = engine.get_execution_options().get(_GATE)
    with gate.passing() if gate is not None else nullcontext():
        yield


def takings_in_use(engine: Engine) -> dict[int, Sequence[object]]:
    """What each thread has taken of the pool, by the thread; to be changed by who connects."""
    in_use: dict[int, Sequence[object]] = engine.get_execution_options().get(_IN_USE, {})
    return in_use


def connections_held(engine: Engine) -> dict[int, Connection]:
    """The connection that each thread works with, by the thread; to be changed by who connects."""
    held: dict[int, Connection] = engine.get_execution_options().get(_HELD, {})
    return held


def forget_connections(engine: Engine) -> None:
    """Leave an engine's connections to the process this one was forked from.

    Called in the child after ``os.fork``. A SQLite database in memory was copied by the fork,
    and its connection stays.
    """
    if is_in_memory(engine.url):
        return
    # Closing them here, or having them collected, would speak to the parent's server, and let
    # go of locks on the parent's file. So they are kept, untouched.
    _abandoned.append(engine.pool)
    engine.dispose(close=False)


_abandoned: list[Pool] = []


def watch(
    engine: Engine, failed: Callable[[MemoryStoreError], object], worked: Callable[[], object]
) -> None:
    """Report when the database does not answer, and when a transaction is committed.

    Args:
        engine: Its engine.
        failed: Called with what a repository is about to raise.
        worked: Called after a commit.
    """

    @event.listens_for(engine, "handle_error")
    def tell_failure(context: ExceptionContext) -> None:
        error = context.sqlalchemy_exception
        if isinstance(error, exc.DBAPIError) and not isinstance(error, exc.IntegrityError):
            failure = _translated(error.orig, place_of(engine))
            if isinstance(failure, StoreUnavailable):
                failed(failure)

    @event.listens_for(engine, "commit")
    def tell_success(_connection: Connection) -> None:
        worked()


def _with_gate(engine: Engine) -> Engine:
    known = weakref.ref(engine)

    def close_files() -> None:
        # Other servers' connections need not be closed: they can be left to the parent.
        found = known()
        if found is not None and found.dialect.name == "sqlite" and not is_in_memory(found.url):
            found.dispose()

    def leave_connections() -> None:
        found = known()
        if found is not None:
            forget_connections(found)

    engine.update_execution_options(
        **{_GATE: ForkGate(close_files, leave_connections), _IN_USE: {}, _HELD: {}}
    )
    return engine


@contextmanager
def translating_sql_errors(where: str) -> Iterator[None]:
    """Raise this package's errors for SQLAlchemy's, chained.

    Args:
        where: The database's URL, or a description; passwords are left out.

    Raises:
        EntryConflict: A constraint was violated.
        InvalidEntry: A text has no encoding, or is too long for an index.
        SchemaOutOfDate: A table or column is missing.
        StoreFull: There is no room for what was to be written.
        StoreUnavailable: Anything else the database or its driver complains about.
    """
    try:
        yield
    except exc.IntegrityError as error:
        raise EntryConflict(
            f"{without_password(where)}: {error.orig}; another process changed the same rows: "
            "try again"
        ) from error
    except exc.TimeoutError as error:
        raise StoreUnavailable(
            f"{without_password(where)}: no connection became free; "
            "close sessions and transactions that are left open"
        ) from error
    except exc.DBAPIError as error:
        raise_if_interrupted(error)
        if "index row size" in str(error.orig):
            raise InvalidEntry(
                f"{without_password(where)}: a name of some thousand bytes is too long for the "
                "indexes of PostgreSQL; shorten the id of the run or agent, or the path"
            ) from error
        raise _translated(error.orig, without_password(where)) from error
    except exc.StatementError as error:
        # What a signal's handler raises while a statement is prepared is put into one of these.
        if error.orig is None or isinstance(error.orig, UnicodeEncodeError):
            raise
        raise error.orig from None
    except UnicodeEncodeError as error:
        raise InvalidEntry(f"{error.object!r:.80} has a lone surrogate in it") from error


_MISSING = re.compile(
    "no such table|no such column|has no column|(relation|column) .* does not exist"
)


def _translated(error: BaseException | None, where: str) -> MemoryStoreError:
    complaint = str(error)
    if full := full_database(error, where, database_file(where)[1]):
        return full
    if _MISSING.search(complaint):
        return SchemaOutOfDate(
            f"{where}: {complaint}; its schema is not the one this version works with; see what "
            "differs with: agent-memory db check, and mend it with: agent-memory db upgrade"
        )
    remedy = remedy_of(complaint)
    return StoreUnavailable(f"{where}: {complaint}" + (f"; {remedy}" if remedy else ""))


def is_in_memory(url: URL) -> bool:
    """Whether a URL is that of a SQLite database in memory."""
    if url.get_backend_name() != "sqlite":
        return False
    database = url.database or ":memory:"
    return ":memory:" in database or url.query.get("mode") == "memory"


def _open_sqlite(url: URL, read_only: bool) -> Engine:
    check_sqlite(url, in_memory=is_in_memory(url), read_only=read_only)
    timeout = float(str(url.query.get("timeout", BUSY_TIMEOUT)))
    if (url.database or "").startswith("file:"):
        url = url.update_query_dict({"uri": "true"})  # else a file of that name would be made
    if is_in_memory(url):
        # One connection, because each new one would open a database of its own.
        pool: dict[str, Any] = {"pool_size": 1, "pool_timeout": BUSY_TIMEOUT}
        made_by: dict[str, Any] = {"factory": LastingConnection}
    else:
        pool = made_by = {}
        url = file_url(url, read_only=read_only)
    engine = create_engine(
        url,
        poolclass=InterruptiblePool,
        hide_parameters=True,
        connect_args={"timeout": timeout, "check_same_thread": False, **made_by},
        execution_options={_READ_ONLY: read_only},
        **pool,
    )
    in_memory = is_in_memory(url)

    @event.listens_for(engine, "connect")
    def settle(connection: sqlite3.Connection, _record: object) -> None:
        _settle_sqlite(connection, read_only=read_only, logged=not in_memory)
        if in_memory:
            engine.pool.only = connection  # type: ignore[attr-defined]  # of the class above

    if in_memory:
        # Another connection would be to another database.
        event.listen(engine, "do_connect", lambda *_: engine.pool.only)  # type: ignore[attr-defined]
    else:
        file = file_of(url)
        # A URL that begins with "file:" says itself whether the file is made.
        is_made = not read_only and not (url.database or "").startswith("file:")
        watch_file(engine, file, place_of(engine), is_made=is_made)
        remove_copy_with(engine, file)
    event.listen(engine, "begin", _begin_sqlite)
    keep_notes(engine)
    return engine


def _settle_sqlite(connection: sqlite3.Connection, *, read_only: bool, logged: bool) -> None:
    # The driver then begins no transaction by itself, and leaves that to `_begin_sqlite`.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=FULL")
    if read_only:
        connection.execute("PRAGMA query_only=ON")
    elif logged:
        _use_write_ahead_log(connection)


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    # Changing the mode does not wait for locks: several processes that open a new file at once
    # would meet "database is locked" in the first second.
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    forget_note(connection)
    if connection.get_execution_options().get(_WRITES):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    driver: Any = connection.connection.driver_connection
    try:
        # Takes no lock; by SQLAlchemy it takes as long as the question that comes.
        driver.execute("BEGIN")
    except sqlite3.Error:
        connection.exec_driver_sql("BEGIN")  # which says what is wrong
