"""Keeps what cannot be read any more, with its bytes, out of the way of what can.

A SQLite file beside long-term memory, made when the first thing is put in quarantine. Nothing but
forgetting takes anything out of it: whoever knows how to read an entry all the same finds all that
was stored of it. The file, its table and its columns have the names of earlier versions
(``aside``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

from agent_memory.connections.disk_space import unwritable
from agent_memory.connections.rewriting import rewrite_sqlite
from agent_memory.errors import StoreUnavailable
from agent_memory.tiers.quarantined import Owners, owners_of
from agent_memory.values.files import make_private
from agent_memory.values.formats import beyond
from agent_memory.values.interruptions import raise_if_interrupted

_SCHEMA = """CREATE TABLE IF NOT EXISTS aside (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    place TEXT NOT NULL, why TEXT NOT NULL, set_aside_at REAL NOT NULL, stored BLOB NOT NULL,
    UNIQUE (place, stored)
)"""
_BUSY_TIMEOUT = 10.0  # seconds

FORMAT = 1
"""Of the file, in its ``user_version``; earlier versions left 0 there, and wrote the same."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Something that was quarantined.

    Attributes:
        place: Where it was: tier, run, agent and entry, or key.
        why: What is wrong with it.
        at: When it was quarantined, in seconds since 1970.
        stored: All that was stored of it, by the names of its fields or columns.
    """

    place: str
    why: str
    at: float
    stored: Mapping[str, Any]


class Quarantine:
    """What was quarantined of one memory. Nothing is opened or made before it is needed.

    Args:
        file: Where it lies.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def put(self, kept: Quarantined) -> None:
        """Keep something; it is on disk when this returns. The same thing is kept once.

        Raises:
            StoreUnavailable: The file cannot be written.
        """
        stored = msgpack.packb(dict(kept.stored), use_bin_type=True)
        with self._working() as connection, connection:
            connection.execute(
                "INSERT OR IGNORE INTO aside (place, why, set_aside_at, stored)"
                " VALUES (?, ?, ?, ?)",
                (kept.place, kept.why, kept.at, stored),
            )

    def __iter__(self) -> Iterator[Quarantined]:
        """All that was quarantined, in that order.

        Raises:
            StoreUnavailable: The file cannot be read.
        """
        if not self.file.is_file():
            return
        with self._working() as connection:
            rows = connection.execute(
                "SELECT place, why, set_aside_at, stored FROM aside ORDER BY number"
            )
            for place, why, at, stored in rows:
                yield Quarantined(place, why, at, msgpack.unpackb(stored))

    def __len__(self) -> int:
        if not self.file.is_file():
            return 0
        with self._working() as connection:
            (count,) = connection.execute("SELECT COUNT(*) FROM aside").fetchone()
        return int(count)

    def forget(self, doomed: Callable[[Owners], bool]) -> int:
        """Remove what was quarantined of some agents or entries; gives how much that was.

        Args:
            doomed: Says of what something may have belonged to whether it goes.

        Raises:
            StoreUnavailable: The file cannot be written.
        """
        if not self.file.is_file():
            return 0
        with self._working() as connection, connection:
            connection.execute("PRAGMA secure_delete=ON")
            numbers = [
                (number,)
                for number, place, stored in connection.execute(
                    "SELECT number, place, stored FROM aside"
                ).fetchall()
                if doomed(owners_of(place, _unpacked(stored)))
            ]
            connection.executemany("DELETE FROM aside WHERE number = ?", numbers)
        return len(numbers)

    def unattributed(self) -> int:
        """How much there is of which nothing tells whose it is."""
        if not self.file.is_file():
            return 0
        with self._working() as connection:
            rows = connection.execute("SELECT place, stored FROM aside").fetchall()
        return sum(owners_of(place, _unpacked(stored)).are_unknown for place, stored in rows)

    def rewrite_file(self) -> str | None:
        """Rewrite the file; None once it is done, else why it is not.

        Raises:
            StoreUnavailable: The file cannot be written.
        """
        with self._working() as connection:
            return rewrite_sqlite(connection)

    def _settle(self, connection: sqlite3.Connection) -> None:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found > FORMAT:
            raise StoreUnavailable(f"the quarantine {self.file} has {beyond(found, FORMAT)}")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(_SCHEMA)
        if found < FORMAT:
            connection.execute(f"PRAGMA user_version={FORMAT}")

    @contextmanager
    def _working(self) -> Iterator[sqlite3.Connection]:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            file = make_private(self.file)
            with closing(sqlite3.connect(file, timeout=_BUSY_TIMEOUT)) as connection:
                self._settle(connection)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise_if_interrupted(error)
            what = f"the quarantine {self.file}"
            otherwise = "check that its folder is there and may be written to"
            raise unwritable(what, self.file, error, otherwise) from error


def _unpacked(stored: bytes) -> Mapping[str, Any]:
    """What was stored, by its names; nothing of what is damaged here too."""
    try:
        named = msgpack.unpackb(stored)
    except (ValueError, TypeError, msgpack.UnpackException):
        return {}
    return named if isinstance(named, dict) else {}
