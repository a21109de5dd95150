"""Sees that a SQLite file from elsewhere has plain tables, which end.

A view, a calculated column or pages that lead to one another may keep SQLite busy for ever, and it
answers no signal meanwhile.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from agent_memory.errors import EncodingError

_EVERY: Final = 10_000  # instructions of SQLite between two looks at how many there were
_TO_READ_NAMES: Final = 20_000_000  # instructions; a backup takes hundreds
_PER_BYTE: Final = 50  # instructions for looking at all pages, of which a row takes some
_MOST_TABLES: Final = 100


def check_structure(connection: sqlite3.Connection, size: int) -> None:
    """See that all there is are tables, of columns that are stored, on pages of their own.

    Args:
        connection: To the file, read by nobody yet.
        size: Of the file, in bytes.

    Raises:
        EncodingError: There is something else, or it takes too long to look.
        sqlite3.Error: The file is damaged.
    """
    # No value is longer than the file, whatever it says of itself.
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, size)
    connection.execute("PRAGMA trusted_schema=OFF")
    asked = "SELECT type, name, sql FROM sqlite_master LIMIT ?"
    found = _bounded(connection, _TO_READ_NAMES, asked, _MOST_TABLES)
    for kind, name, sql in found:
        # SQLite's own indexes have no text.
        if kind != "table" and not (kind == "index" and sql is None):
            raise EncodingError(f"{name!r:.80} is no table but a {kind!r:.20}")
        asked = "SELECT name FROM pragma_table_xinfo(?) WHERE hidden"
        if str(sql).upper().startswith("CREATE VIRTUAL") or _bounded(
            connection, _TO_READ_NAMES, asked, name
        ):
            raise EncodingError(f"table {name!r:.80} has columns that are no stored values")
    told = _bounded(connection, _TO_READ_NAMES + size * _PER_BYTE, "PRAGMA quick_check(1)")
    if told != [("ok",)]:
        raise EncodingError(f"its pages are damaged ({told!r:.200})")


def _bounded(connection: sqlite3.Connection, most: int, asked: str, *values: object) -> list[Any]:
    """What is answered within so many instructions of SQLite.

    Raises:
        EncodingError: It would take more.
    """
    calls = 0

    def count() -> bool:
        nonlocal calls
        calls += 1
        return calls * _EVERY > most

    connection.set_progress_handler(count, _EVERY)
    try:
        return connection.execute(asked, values).fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise EncodingError("its tables would take for ever to read") from error
        raise
    finally:
        connection.set_progress_handler(None, 0)
