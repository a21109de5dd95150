"""The SQLite file of a spool: how it is opened, brought to its format and seen to change."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from agent_memory.connections.disk_space import (
    AMPLE,
    advice_for,
    is_full,
    is_full_database,
    space_of,
)
from agent_memory.connections.rewriting import rewrite_sqlite
from agent_memory.errors import StoreFull, StoreReplaced, StoreUnavailable
from agent_memory.tiers.spool_names import FormerNames
from agent_memory.tiers.waiting import owner_of
from agent_memory.values.files import FileId, file_id, make_private
from agent_memory.values.forking import ForkGate
from agent_memory.values.formats import beyond
from agent_memory.values.interruptions import raise_if_interrupted

BUSY_TIMEOUT = 10.0
"""How long to wait for another process that writes to the file, in seconds."""
PAGE = 4096
"""Bytes of a page of the file."""

FORMAT = 2
"""Of the file, in its ``user_version``.

1 had neither owners nor moments: such a file gets them when it is first opened for writing.
"""
# Refusing an entry makes its row longer, which must be possible in a file that is full.
_SPARE_PAGES = 64

_SCHEMA = (
    # Numbers never come again, so that whoever reads on after a number misses nothing.
    """CREATE TABLE IF NOT EXISTS waiting (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        store TEXT NOT NULL, spooled_at REAL NOT NULL, entry BLOB NOT NULL, refused TEXT,
        run_id TEXT, agent_id TEXT, moment REAL, is_sure INTEGER
    )""",
    # Counting reads this instead of the entries.
    "CREATE INDEX IF NOT EXISTS waiting_by_store ON waiting (store, number)",
)
_ADDED = ("run_id TEXT", "agent_id TEXT", "moment REAL", "is_sure INTEGER")
_BY_AGENT = (
    "CREATE INDEX IF NOT EXISTS waiting_by_agent ON waiting (store, run_id, agent_id, number)"
)

# SQLite keeps a number for applications in the file, and changes it within a transaction. It counts
# here how often entries that wait were changed, for those who keep them decoded.
_CHANGES = "application_id"
_MOST_CHANGES = 2**31 - 1

# Shows a file as it will be once it was opened for writing.
_AS_IF_SETTLED = """CREATE TEMP VIEW waiting AS SELECT
    number, store_now(store) AS store, spooled_at, entry, refused,
    owner(entry, 0) AS run_id, owner(entry, 1) AS agent_id, NULL AS moment, NULL AS is_sure
    FROM main.waiting"""


class Version(NamedTuple):
    """Of what is in a file: another one whenever that may have changed.

    Attributes:
        opening: How often this process has opened the file.
        by_others: What SQLite says of changes by other connections than this opening's.
        writes: How often this process has written to it.
        changes: How often an entry that waits was changed, by anybody.
    """

    opening: int
    by_others: int
    writes: int
    changes: int


class SpoolFile:
    """The file of a spool. Threads may share it, and both sides of a fork.

    Nothing is opened or made before it is used.

    Args:
        file: Where it lies.
        store: The store whose entries are worked on.
        max_bytes: How large the file may become; SQLite's log beside it adds some megabytes.
        former: What the store was called before it had an identity.
        read_only: Whether nothing is written, as in a folder of which only reading is allowed.
    """

    def __init__(
        self,
        file: Path,
        store: str,
        max_bytes: int,
        former: FormerNames | None,
        *,
        read_only: bool,
    ) -> None:
        self.file = file
        self.max_bytes = max_bytes
        self._store = store
        self._former = former
        self._read_only = read_only
        self._connection: sqlite3.Connection | None = None
        self._file_id: FileId | None = None
        self._folder_id = file_id(file.parent)
        self._openings = 0
        self._writes = 0
        self._format = FORMAT
        self.lock = threading.RLock()
        # SQLite's locks do not survive a fork: see ``connections.sql.not_forking``.
        self.gate = ForkGate(self._close, self._renew)

    def version(self) -> Version | None:
        """Tells what is in the file from what was there before; None: there is no file.

        Raises:
            StoreUnavailable: It cannot be read, or was replaced.
        """
        if self._connection is None and not _has_bytes(self.file):
            return None
        with self.lock, self.reading() as connection:
            if self._format == 0:
                # Whoever is making it has not come to its tables yet: to be looked at again.
                self._close()
                return None
            # What SQLite says of changes by others holds for one connection alone.
            others, changes = pragma(connection, "data_version"), pragma(connection, _CHANGES)
            return Version(self._openings, others, self._writes, changes)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read from it, beside those who write to it; within ``lock``."""
        with self.gate.passing(), self._translated():
            connection = self._opened_once()
            self._check_file()
            yield connection

    @contextmanager
    def working(self, spare_pages: int = _SPARE_PAGES) -> Iterator[sqlite3.Connection]:
        """A transaction, which waits its turn among processes; an error undoes it.

        It is to be within ``lock``. A signal's handler may raise as this is left, and what is not
        undone then is undone by the next one.
        """
        with self.gate.passing(), self._translated():
            connection = self._opened_once()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._check_file()
            pages = max(self.max_bytes // PAGE, 1) + spare_pages
            connection.execute(f"PRAGMA max_page_count={pages}")
            connection.execute("BEGIN IMMEDIATE")
            self._writes += 1
            begun = self._writes
            try:
                yield connection
                connection.execute("COMMIT")
                self._check_file()
            except BaseException:
                # A full disk ends the transaction by itself. And one that was interrupted as it was
                # left may come here late, when another is under way.
                if connection.in_transaction and self._writes == begun:
                    connection.execute("ROLLBACK")
                raise

    def rewrite(self) -> str | None:
        """Rewrite the file without the bytes of what was removed from it.

        Returns:
            None once it is done; else why it is not.
        """
        with self.lock, self.reading() as connection:
            return rewrite_sqlite(connection)

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        with self.lock:
            self._close()

    def unusable(self, error: Exception) -> StoreUnavailable:
        """What is raised where the file, or its folder, cannot be used."""
        return StoreUnavailable(
            f"the spool {self.file} cannot be used ({error}): check that its folder is there and "
            "may be written to"
        )

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _renew(self) -> None:
        self.lock = threading.RLock()

    # -- opening ------------------------------------------------------------------------------

    def _opened_once(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._opened()
            self._openings += 1
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
        if self._read_only:
            return self._opened_to_read()
        self._make_folder()
        connection = self._connected(str(make_private(self.file)))
        try:
            self._settle(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_folder(self) -> None:
        """Make the folder, unless it was there and is another one by now, or nowhere.

        What was put into a new one would not be found by those who open the memory where it is.
        """
        if self._folder_id is not None and file_id(self.file.parent) != self._folder_id:
            raise StoreReplaced(
                f"the folder of the spool {self.file} was deleted, moved or replaced while the "
                "memory was open: close it, put the folder back, and open it again"
            )
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder_id = file_id(self.file.parent)

    def _opened_to_read(self) -> sqlite3.Connection:
        """Open it where nothing may be written, if need be not even the files beside it."""
        place = self.file.absolute().as_uri()
        try:
            return self._looked_at(self._connected(f"{place}?mode=ro", uri=True))
        except sqlite3.OperationalError:
            if self.file.with_name(f"{self.file.name}-wal").exists():
                raise
            # Nobody has it open, so that nobody changes it while this connection reads it.
            return self._looked_at(self._connected(f"{place}?mode=ro&immutable=1", uri=True))

    def _connected(self, name: str, *, uri: bool = False) -> sqlite3.Connection:
        return sqlite3.connect(
            name, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False, uri=uri
        )

    def _looked_at(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        try:
            self._check_format(connection)
            self._format = pragma(connection, "user_version")
            former = self._former_names(connection) if self._format else []
            if former or self._format == 1:
                now = dict.fromkeys(former, self._store)
                connection.create_function("store_now", 1, lambda name: now.get(name, name))
                connection.create_function("owner", 2, _owner)
                connection.execute(_AS_IF_SETTLED)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_format(self, connection: sqlite3.Connection) -> None:
        found = pragma(connection, "user_version")
        if found > FORMAT:
            raise StoreUnavailable(f"the spool {self.file} has {beyond(found, FORMAT)}")

    def _settle(self, connection: sqlite3.Connection) -> None:
        self._check_format(connection)
        connection.execute("PRAGMA synchronous=FULL")
        # Both before there is a table: the file then gives back what is taken out of it.
        connection.execute(f"PRAGMA page_size={PAGE}")
        connection.execute("PRAGMA auto_vacuum=FULL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        # Another process may have brought it to the format, or beyond, meanwhile.
        self._check_format(connection)
        if pragma(connection, "user_version") == 1:
            _add_owners(connection)
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute(_BY_AGENT)
        for store in self._former_names(connection):
            # What waits for this store under a name that it had waits for it.
            connection.execute("UPDATE waiting SET store = ? WHERE store = ?", (self._store, store))
        connection.execute(f"PRAGMA user_version={FORMAT}")
        connection.execute("COMMIT")

    def _former_names(self, connection: sqlite3.Connection) -> list[str]:
        if self._former is None:
            return []
        names = [str(name) for (name,) in connection.execute("SELECT DISTINCT store FROM waiting")]
        return [name for name in names if name != self._store and self._former.include(name)]

    def _no_room(self, error: Exception) -> str:
        space = space_of(self.file)
        # SQLite says the same of its own bound and of the disk.
        bounded = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        if bounded and space is not None and space.free > AMPLE:
            why = f"it has all of spool_max_bytes ({self.max_bytes}): raise that"
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
            raise self.unusable(error) from error
        except OSError as error:
            raise_if_interrupted(error)
            if is_full(error):
                raise StoreFull(self._no_room(error)) from error
            raise self.unusable(error) from error


def _has_bytes(file: Path) -> bool:
    try:
        return os.stat(file).st_size > 0  # noqa: PTH116  # five times as quick, before each answer
    except OSError as error:
        raise_if_interrupted(error)
        return False


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """The whole number that SQLite says of its file under a name."""
    rows: Sequence[tuple[int]] = connection.execute(f"PRAGMA {name}").fetchall()
    return rows[0][0]


def note_change(connection: sqlite3.Connection) -> None:
    """Note within a transaction that entries are changed which wait."""
    count = pragma(connection, _CHANGES) % _MOST_CHANGES + 1
    connection.execute(f"PRAGMA {_CHANGES}={count}")


def _add_owners(connection: sqlite3.Connection) -> None:
    """Bring a file of format 1 to this one; what cannot be read stays nobody's."""
    for column in _ADDED:
        connection.execute(f"ALTER TABLE waiting ADD COLUMN {column}")
    for number, entry in connection.execute("SELECT number, entry FROM waiting").fetchall():
        owner = owner_of(entry)
        if owner is not None:
            connection.execute(
                "UPDATE waiting SET run_id = ?, agent_id = ? WHERE number = ?", (*owner, number)
            )


def _owner(entry: bytes, place: int) -> str | None:
    owner = owner_of(entry)
    return None if owner is None else owner[place]
