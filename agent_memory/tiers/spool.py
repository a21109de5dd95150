"""A durable queue of entries on this machine's disk, for as long as short-term memory is away.

One SQLite file belongs to one memory; a row is an entry that was acknowledged and not stored yet.
Any number of processes append to it and take from it. What ``put`` has returned from is on disk
(``synchronous=FULL``) and stays there until ``done``. SQLite itself keeps the file within its
bound, so that the bound is that of the disk and not of a sum that might drift from it.
"""

from __future__ import annotations

import fcntl
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import Deployment, database_file, file_beside
from agent_memory.connections.disk_space import (
    AMPLE,
    advice_for,
    is_full,
    is_full_database,
    space_of,
)
from agent_memory.connections.rewriting import rewrite_sqlite
from agent_memory.errors import StoreFull, StoreReplaced, StoreUnavailable
from agent_memory.tiers.spool_names import FormerNames, name_of
from agent_memory.tiers.waiting import Waiting, coded, waiting_of
from agent_memory.values.entry import MemoryEntry
from agent_memory.values.files import FileId, file_id
from agent_memory.values.forking import ForkGate
from agent_memory.values.formats import beyond
from agent_memory.values.status import SpoolStatus

BUSY_TIMEOUT = 10.0
"""How long to wait for another process that writes to the file, in seconds."""

FORMAT = 1
"""Of the file, in its ``user_version``."""
_PAGE = 4096  # bytes
# Refusing an entry makes its row longer, which must be possible in a file that is full.
_SPARE_PAGES = 64
_READ_AT_ONCE = 200  # entries
# A bound below this leaves no room for the tables themselves.
LEAST_BYTES = 16 * _PAGE
"""The smallest bound that makes sense, in bytes."""

_SCHEMA = (
    # Numbers never come again, so that whoever reads on after a number misses nothing.
    """CREATE TABLE IF NOT EXISTS waiting (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        store TEXT NOT NULL, spooled_at REAL NOT NULL, entry BLOB NOT NULL, refused TEXT
    )""",
    # Counting reads this instead of the entries.
    "CREATE INDEX IF NOT EXISTS waiting_by_store ON waiting (store, number)",
)


class Spool:
    """The queue of one store of one memory. Threads may share it, and both sides of a fork.

    Nothing is opened or made before the first ``put``.

    Args:
        file: Where it lies.
        store: The store that the entries are for; others in the same file are left alone.
        max_bytes: How large the file may become; SQLite's log beside it adds some megabytes.
        max_entry_bytes: Contents that need more bytes are refused.
        former: What the store was called before it had an identity: what waits under such a
            name waits for it.
    """

    def __init__(
        self,
        file: Path,
        store: str,
        max_bytes: int,
        max_entry_bytes: int | None = None,
        *,
        former: FormerNames | None = None,
    ) -> None:
        self.file = file
        self._former = former
        self._store = store
        self._max_bytes = max_bytes
        self._max_entry_bytes = max_entry_bytes
        self._connection: sqlite3.Connection | None = None
        self._file_id: FileId | None = None
        self._lock = threading.RLock()
        # SQLite's locks do not survive a fork: see ``connections.sql.not_forking``.
        self._gate = ForkGate(self._close, self._renew)

    @property
    def exists(self) -> bool:
        """Whether anything was ever put here."""
        try:
            # Empty where there was no room for as much as its tables.
            return self.file.stat().st_size > 0
        except OSError:
            return False

    def put(self, entry: MemoryEntry, at: float) -> None:
        """Append an entry; see ``put_many``."""
        self.put_many([entry], at)

    def put_many(self, entries: Iterable[MemoryEntry], at: float) -> None:
        """Append entries, all or none; they are on disk when this returns.

        Args:
            entries: The entries.
            at: The time, in seconds since 1970.

        Raises:
            InvalidEntry: The contents of one cannot be stored.
            StoreUnavailable: The file is full or cannot be written.
        """
        rows = [(self._store, at, coded(entry, self._max_entry_bytes)) for entry in entries]
        with self._working(spare_pages=0) as connection:
            connection.executemany(
                "INSERT INTO waiting (store, spooled_at, entry) VALUES (?, ?, ?)", rows
            )

    def waiting(self, limit: int) -> list[Waiting]:
        """The first of what waits and was not refused, in the order it was put."""
        with self._working() as connection:
            rows = connection.execute(
                "SELECT number, spooled_at, entry FROM waiting"
                " WHERE store = ? AND refused IS NULL ORDER BY number LIMIT ?",
                (self._store, limit),
            )
            return [waiting_of(*row) for row in rows]

    def done(self, numbers: Iterable[int]) -> None:
        """Remove what has been stored, or was forgotten meanwhile."""
        with self._working() as connection:
            connection.executemany(
                "DELETE FROM waiting WHERE number = ?", [(number,) for number in numbers]
            )

    def all_waiting(self) -> Iterator[Waiting]:
        """All that waits, refused or not, in the order it was put."""
        last = -1
        while True:
            with self._working() as connection:
                rows = connection.execute(
                    "SELECT number, spooled_at, entry FROM waiting"
                    " WHERE store = ? AND number > ? ORDER BY number LIMIT ?",
                    (self._store, last, _READ_AT_ONCE),
                ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield from (waiting_of(*row) for row in rows)

    def rewrite_file(self) -> str | None:
        """Rewrite the file without the bytes of what was removed from it.

        Returns:
            None once it is done; else why it is not.
        """
        with self._gate.passing(), self._lock, self._translated():
            connection = self._opened_once()
            self._check_file()
            return rewrite_sqlite(connection)

    def refuse(self, number: int, reason: str) -> None:
        """Mark an entry that the store will not take, so that the others go on."""
        with self._working() as connection:
            connection.execute("UPDATE waiting SET refused = ? WHERE number = ?", (reason, number))

    def retry(self) -> None:
        """Let what was refused be tried again."""
        with self._working() as connection:
            connection.execute(
                "UPDATE waiting SET refused = NULL WHERE store = ? AND refused IS NOT NULL",
                (self._store,),
            )

    def status(self) -> SpoolStatus:
        """What waits here."""
        empty = SpoolStatus(self.file, 0, 0, self._max_bytes)
        if not self.exists:
            return empty
        with self._working() as connection:
            held = connection.execute(
                "SELECT COUNT(*), MIN(number) FROM waiting WHERE store = ?", (self._store,)
            ).fetchone()
            (all_held,) = connection.execute("SELECT COUNT(*) FROM waiting").fetchone()
            (refused,) = connection.execute(
                "SELECT COUNT(*) FROM waiting WHERE store = ? AND refused IS NOT NULL",
                (self._store,),
            ).fetchone()
            oldest = connection.execute(
                "SELECT spooled_at FROM waiting WHERE number = ?", held[1:]
            ).fetchone()
            used = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
        return SpoolStatus(
            self.file,
            held[0],
            used * _PAGE if all_held else 0,
            self._max_bytes,
            waiting_since=oldest[0] if oldest else None,
            refused=refused,
            elsewhere=all_held - held[0],
        )

    @contextmanager
    def replaying(self) -> Iterator[bool]:
        """Be the one process that replays, for the block; gives whether this one is.

        Two at once would put back into short-term memory what the other has stored and a third
        has moved down since.
        """
        with self._gate.passing():
            try:
                lock = self.file.with_name(f"{self.file.name}-replay").open("ab")
            except OSError as error:
                raise StoreUnavailable(_unusable(self.file, error)) from error
            with lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield False
                    return
                yield True

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _renew(self) -> None:
        self._lock = threading.RLock()

    @contextmanager
    def _working(self, spare_pages: int = _SPARE_PAGES) -> Iterator[sqlite3.Connection]:
        """A transaction, which waits its turn among processes; an error undoes it."""
        with self._gate.passing(), self._lock, self._translated():
            connection = self._opened_once()
            self._check_file()
            pages = max(self._max_bytes // _PAGE, 1) + spare_pages
            connection.execute(f"PRAGMA max_page_count={pages}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
                self._check_file()
            except BaseException:
                # A full disk ends the transaction by itself.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _opened_once(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._opened()
            self._file_id = file_id(self.file)
        return self._connection

    def _check_file(self) -> None:
        """See that what is written gets into the file that the next one to open finds."""
        if file_id(self.file) != self._file_id:
            self._close()
            raise StoreReplaced(
                f"the spool {self.file} was deleted, moved or replaced while it was open: what "
                "waited in it is gone with it; put it back, if it is there, and call again"
            )

    def _opened(self) -> sqlite3.Connection:
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self.file, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        try:
            self._settle(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _settle(self, connection: sqlite3.Connection) -> None:
        found = _pragma(connection, "user_version")
        if found > FORMAT:
            raise StoreUnavailable(f"the spool {self.file} has {beyond(found, FORMAT)}")
        connection.execute("PRAGMA synchronous=FULL")
        # Both before there is a table: the file then gives back what is taken out of it.
        connection.execute(f"PRAGMA page_size={_PAGE}")
        connection.execute("PRAGMA auto_vacuum=FULL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            connection.execute(statement)
        if self._former is not None:
            self._adopt(connection, self._former)
        connection.execute(f"PRAGMA user_version={FORMAT}")
        connection.execute("COMMIT")

    def _adopt(self, connection: sqlite3.Connection, former: FormerNames) -> None:
        """Take over what waits for this store under a name that it had."""
        for (store,) in connection.execute("SELECT DISTINCT store FROM waiting").fetchall():
            if store != self._store and former.include(str(store)):
                connection.execute(
                    "UPDATE waiting SET store = ? WHERE store = ?", (self._store, store)
                )

    def _no_room(self, error: Exception) -> str:
        space = space_of(self.file)
        # SQLite says the same of its own bound and of the disk.
        bounded = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        if bounded and space is not None and space.free > AMPLE:
            why = f"it has all of spool_max_bytes ({self._max_bytes}): raise that"
        else:
            why = f"{error}; {advice_for(self.file)}"
        return f"the spool {self.file} is full: entries are refused until the store is back; {why}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if is_full_database(error, self.file):
                raise StoreFull(self._no_room(error)) from error
            raise StoreUnavailable(_unusable(self.file, error)) from error
        except OSError as error:
            if is_full(error):
                raise StoreFull(self._no_room(error)) from error
            raise StoreUnavailable(_unusable(self.file, error)) from error


def spool_of(config: MemoryConfig, where: Deployment, identity: str | None) -> Spool | None:
    """The spool of a memory.

    It lies beside long-term memory, where that is a SQLite file, else in the memory's folder.

    Args:
        config: The configuration.
        where: Where that says the memory lives.
        identity: The memory's, by which its entries are distinguished from those of others in
            the same file, however its server is called; None: the names of its server and database
            are.

    Returns:
        None where there is none: it is switched off, or what it would outlast is in a process.
    """
    file = file_beside(where, "spool")
    if not config.spool_max_bytes or file is None:
        return None
    in_file, _ = database_file(where.ltm_url)
    names = FormerNames.of(config, where, named_by_file=in_file)
    return Spool(
        file,
        names.own if identity is None else name_of(identity),
        config.spool_max_bytes,
        config.max_entry_bytes,
        former=None if identity is None else names,
    )


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    rows: Sequence[tuple[int]] = connection.execute(f"PRAGMA {name}").fetchall()
    return rows[0][0]


def _unusable(file: Path, error: Exception) -> str:
    return (
        f"the spool {file} cannot be used ({error}): check that its folder is there and may be "
        "written to"
    )
