"""Has stores rewrite their files, without the bytes of what was removed from them.

A database keeps the bytes of a removed row in pages that it will use again, and a server's log
keeps the command that stored an entry, until they are rewritten.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import Any

from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.connections.sql import (
    SqlEngine,
    not_forking,
    place_of,
    translating_sql_errors,
)
from agent_memory.errors import CommandRefused

PATIENCE = 600.0
"""How long a server may take to rewrite its files, in seconds."""

READERS_PATIENCE = 3.0
"""How long to wait for others that write to a SQLite file, or read from it, in seconds."""

_LOOK_EVERY = 0.05  # seconds


def rewrite_database(engine: SqlEngine) -> str | None:
    """Rewrite a SQLite file.

    Args:
        engine: Its engine, from ``open_engine``.

    Returns:
        None once it is done; else why it is not.

    Raises:
        StoreUnavailable: The database does not answer.
    """
    if engine.dialect.name != "sqlite":
        return "only its administrator can rewrite its files (VACUUM FULL)"
    with translating_sql_errors(place_of(engine)), not_forking(engine):
        opened = engine.raw_connection()
        try:
            connection: Any = opened.driver_connection
            return rewrite_sqlite(connection)
        finally:
            opened.close()


def rewrite_sqlite(connection: sqlite3.Connection) -> str | None:
    """Rewrite a SQLite file, within a few seconds if others are reading from it.

    Args:
        connection: To the file, outside of any transaction.

    Returns:
        None once it is done; else why it is not, and what is left.

    Raises:
        sqlite3.Error: The file cannot be used.
    """
    [(before,)] = connection.execute("PRAGMA busy_timeout").fetchall()
    connection.execute(f"PRAGMA busy_timeout={int(READERS_PATIENCE * 1000)}")
    try:
        connection.execute("VACUUM")
        [(others_read, *_)] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            return "there is no room on the disk to write it once more; free some, and call again"
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise
        return "another process writes to it; the bytes of what was removed are left: call again"
    finally:
        connection.execute(f"PRAGMA busy_timeout={before}")
    if others_read:
        return (
            "another process reads from it, and is left what it sees: the bytes of what was "
            "removed go when it has ended its transaction and this is called again"
        )
    return None


def rewrite_server(
    channel: RedisChannel, ticks: Callable[[], float] = time.monotonic
) -> str | None:
    """Have a server rewrite its log and its snapshot, if it keeps them, and wait for it.

    Args:
        channel: The server.
        ticks: Gives seconds that never go backwards.

    Returns:
        None once it is done, or if the server keeps neither; else why it is not.

    Raises:
        StoreUnavailable: The server does not answer.
    """
    until = ticks() + PATIENCE
    try:
        if _persistence(channel).get("aof_enabled") == "1":
            _order(channel, "BGREWRITEAOF")
            problem = _finished(channel, "aof_rewrite", "aof_last_bgrewrite_status", until, ticks)
            if problem is not None:
                return problem
        if _keeps_snapshots(channel):
            _order(channel, "BGSAVE")
            return _finished(channel, "rdb_bgsave", "rdb_last_bgsave_status", until, ticks)
    except CommandRefused as error:
        return str(error)
    return None


def _order(channel: RedisChannel, command: str) -> None:
    try:
        channel.call(command)
    except CommandRefused as error:
        # One that is under way may have read the entry: it is waited for, and then ordered again.
        if "in progress" not in str(error):
            raise
        time.sleep(_LOOK_EVERY)
        _wait_for_children(channel)
        channel.call(command)


def _wait_for_children(channel: RedisChannel) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and _is_writing(_persistence(channel)):
        time.sleep(_LOOK_EVERY)


def _finished(
    channel: RedisChannel, job: str, outcome: str, until: float, ticks: Callable[[], float]
) -> str | None:
    while _is_writing(found := _persistence(channel)):
        if ticks() > until:
            return f"{channel.where} is still rewriting its files ({job})"
        time.sleep(_LOOK_EVERY)
    if found.get(outcome) != "ok":
        return f"{channel.where} could not rewrite its files ({job}): see its log"
    return None


def _is_writing(persistence: Mapping[str, str]) -> bool:
    marks = ("aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress")
    return any(persistence.get(mark, "0") != "0" for mark in marks)


def _keeps_snapshots(channel: RedisChannel) -> bool:
    answer = channel.call("CONFIG", "GET", "save")
    return bool(len(answer) > 1 and answer[1])


def _persistence(channel: RedisChannel) -> dict[str, str]:
    reply = channel.call("INFO", "persistence")
    text = reply.decode() if isinstance(reply, bytes) else str(reply)
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
