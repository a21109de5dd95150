"""The file of a backup: a SQLite database, and behind it a checksum over all of it.

    the database | "agent-memory backup " | SHA-256, 32 bytes

SQLite opens it as it is. Its tables are those of ``_SCHEMA``; an entry is a row with its place and
its fields in MessagePack, contents and vector as the tiers code them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgpack

from agent_memory.compression.rows import Stored
from agent_memory.connections.disk_space import unwritable
from agent_memory.errors import EncodingError, InvalidEntry, StoreUnavailable
from agent_memory.models.ltm_vectors import code_vector, decode_vector
from agent_memory.repositories.codec import Codec
from agent_memory.system.backups.structure import check_structure
from agent_memory.values.coded import bounds_of, is_coded
from agent_memory.values.entry import MemoryEntry
from agent_memory.values.files import make_private
from agent_memory.values.formats import at, newer
from agent_memory.values.interruptions import raise_if_interrupted

FORMAT = 3
"""Of the file, in its ``user_version``.

1 knew entries and forgotten keys by run and id; 2 knows them by their agents too; 3 knows the
parameters of runs.
"""
SPOOL = -1
"""Stands for the tier of what waited in the spool."""

_MAGIC = b"agent-memory backup "
_DIGEST = 32
_READ_AT_ONCE = 1 << 20  # bytes
_ROWS_AT_ONCE = 500
_SCHEMA = (
    "CREATE TABLE head (name TEXT PRIMARY KEY, value)",
    """CREATE TABLE entries (
        number INTEGER PRIMARY KEY, tier INTEGER NOT NULL, run TEXT NOT NULL, agent TEXT NOT NULL,
        memory_id TEXT NOT NULL, spooled_at REAL, fields BLOB NOT NULL,
        UNIQUE (run, agent, memory_id)
    )""",
    "CREATE TABLE unreadable (place TEXT, why TEXT, at REAL, stored BLOB)",
    """CREATE TABLE runs (
        name TEXT PRIMARY KEY, parent TEXT, fork_step INTEGER, seed TEXT, status TEXT,
        created_at REAL, parameters TEXT
    )""",
    """CREATE TABLE versions (
        id INTEGER PRIMARY KEY, name TEXT, kind TEXT, status TEXT, format INTEGER,
        created_at REAL, parent_id INTEGER, tolerances TEXT, metrics TEXT, feature_schema BLOB,
        dictionary BLOB, weights BLOB
    )""",
    """CREATE TABLE tombstones (
        run TEXT, memory_id TEXT, agent_hash INTEGER, forgotten_at REAL, released_at REAL,
        PRIMARY KEY (run, memory_id, agent_hash)
    )""",
    "CREATE TABLE attributes (path TEXT PRIMARY KEY)",
)


# The fields of an entry that stand in a row of their own or in the list of the others. Those that
# entries were given later are saved by name, where they are not what they are by default.
_LISTED = {
    *("run_id", "agent_id", "memory_id", "step_number", "timestamp", "memory_type"),
    *("importance_score", "compression_level", "retrieval_count", "creation_time"),
    *("last_access_time", "revision", "encoder_version", "embedding", "contents"),
    *("error_bounds", "pinned"),
}
# What msgpack and fields of a wrong type end in.
_UNREADABLE = (
    *(ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError),
    *(MemoryError, msgpack.UnpackException),
)
_CONTENTS = 12  # their place among the fields
_LATER = [field for field in fields(MemoryEntry) if field.name not in _LISTED]


class SavedEntry(NamedTuple):
    """An entry in a backup.

    Attributes:
        tier: The tier it was in, 0 to 2; ``SPOOL`` if it waited.
        run: Its run.
        agent: Its agent.
        memory_id: Its id.
        fields: All else; see ``fields_of``.
        spooled_at: When it was acknowledged, if it waited, in seconds since 1970.
    """

    tier: int
    run: str
    agent: str
    memory_id: str
    fields: bytes
    spooled_at: float | None = None


def fields_of(entry: MemoryEntry, contents: bytes) -> bytes:
    """All of an entry but its key.

    Args:
        entry: The entry.
        contents: Its contents as its tier codes them.
    """
    vector = (None, None) if entry.embedding is None else code_vector(entry.embedding)
    # Coded contents know their bounds themselves.
    coded = is_coded(contents) or entry.error_bounds is None
    bounds = None if coded else dict(entry.error_bounds or {})
    later = {
        field.name: getattr(entry, field.name)
        for field in _LATER
        if getattr(entry, field.name) != field.default
    }
    packed: bytes = msgpack.packb(
        [
            *(entry.step_number, entry.timestamp, entry.memory_type.value, entry.importance_score),
            *(entry.compression_level, entry.retrieval_count, entry.creation_time),
            *(entry.last_access_time, entry.revision, entry.encoder_version, *vector, contents),
            *(bounds, entry.pinned),
            *([later] if later else []),
        ]
    )
    return packed


def entry_of(saved: SavedEntry, codec: Codec) -> MemoryEntry:
    """The entry that was saved.

    Raises:
        EncodingError: Its code is not there, or it is damaged.
        NewerFormat: It was stored by a newer version.
    """
    try:
        saved_fields = msgpack.unpackb(saved.fields)
        head, tail = saved_fields[:8], saved_fields[8:]
        step, timestamp, kind, importance, level, count, created, accessed = head
        revision, version, coding, coded, stored, bounds, pinned, *later = tail
        if not isinstance(stored, bytes) or type(step) is not int:
            raise TypeError("contents are no bytes, or the step is no integer")
        vector = None if coded is None else decode_vector(coding, coded)
        contents = codec.decode(stored, step, vector)
        return MemoryEntry(
            memory_id=saved.memory_id,
            run_id=saved.run,
            agent_id=saved.agent,
            step_number=step,
            timestamp=timestamp,
            memory_type=kind,
            contents=contents,
            importance_score=importance,
            compression_level=level,
            retrieval_count=count,
            creation_time=created,
            last_access_time=accessed,
            embedding=vector,
            encoder_version=version,
            revision=revision,
            error_bounds=bounds_of(contents, bounds),
            pinned=pinned,
            **(later[0] if later else {}),
        )
    except EncodingError as error:
        raise at(f"entry {saved.memory_id} of the backup", error) from error
    except (*_UNREADABLE, InvalidEntry) as error:
        raise EncodingError(
            f"entry {saved.memory_id} of the backup cannot be read ({error!r:.200})"
        ) from error


def _called(path: Path) -> str:
    """What a message calls a backup that could not be written."""
    return f"the backup {path}{' (as it was before)' if path.exists() else ''}"


def contents_of(saved: SavedEntry) -> bytes:
    """The contents of an entry that ``entry_of`` can read, as they are stored."""
    stored: bytes = msgpack.unpackb(saved.fields)[_CONTENTS]
    return stored


def stored_of(saved: SavedEntry) -> Stored | None:
    """The contents of an entry with what they are read with; None where they are damaged."""
    try:
        found = msgpack.unpackb(saved.fields)
        coding, coded = found[_CONTENTS - 2 : _CONTENTS]
        vector = None if coded is None else decode_vector(coding, coded)
        return Stored(found[_CONTENTS], found[0], vector)
    except (*_UNREADABLE, EncodingError):
        return None


# -- writing ----------------------------------------------------------------------------------


@contextmanager
def being_written(path: Path) -> Iterator[sqlite3.Connection]:
    """Write a backup: it takes its name when the block ends, whole and on disk, or never.

    Args:
        path: The file; one that is there is replaced at that moment.

    Raises:
        StoreUnavailable: It cannot be written, or another process is writing it.
    """
    draft = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with make_private(draft).open("ab") as lock:
            _lock(lock.fileno(), path)
            # What a backup that was killed has left.
            os.truncate(draft, 0)
            try:
                with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
                    _begin(connection)
                    yield connection
                    connection.execute("COMMIT")
                _seal(draft)
                draft.replace(path)
                _sync_folder(path.parent)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
    except (OSError, sqlite3.Error) as error:
        raise_if_interrupted(error)
        raise unwritable(_called(path), path, error) from error


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StoreUnavailable(f"another process is writing the backup {path}") from error


def _begin(connection: sqlite3.Connection) -> None:
    # Nobody sees the file before it is whole, and is synced as a whole then.
    connection.execute("PRAGMA journal_mode=OFF")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute(f"PRAGMA user_version={FORMAT}")
    connection.execute("BEGIN")
    for statement in _SCHEMA:
        connection.execute(statement)


def _seal(draft: Path) -> None:
    digest = _digest_of(draft, draft.stat().st_size)
    with draft.open("ab") as file:
        file.write(_MAGIC + digest)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_entries(connection: sqlite3.Connection, entries: Sequence[SavedEntry]) -> None:
    """Save entries; one that is saved already stays as it is, unless it was met in the spool."""
    connection.executemany(
        "INSERT INTO entries (tier, run, agent, memory_id, fields, spooled_at)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (run, agent, memory_id) DO UPDATE SET"
        " tier = excluded.tier, fields = excluded.fields,"
        " spooled_at = excluded.spooled_at WHERE entries.tier = -1",
        entries,
    )


# -- reading ----------------------------------------------------------------------------------


class Backup:
    """A backup that was read through from end to end and is whole.

    Args:
        path: The file.

    Raises:
        EncodingError: It is no backup, is damaged or cut off.
        NewerFormat: It was made by a newer version.
        StoreUnavailable: It is not there, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.digest = _verified(path).hex()
            # It is never written to, and its last bytes are not SQLite's.
            self._connection = sqlite3.connect(
                f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1", uri=True
            )
        except (OSError, sqlite3.Error) as error:
            raise_if_interrupted(error)
            raise StoreUnavailable(f"the backup {path} cannot be read ({error})") from error
        try:
            self._check_format()
        except BaseException:
            self.close()
            raise

    def check_structure(self) -> None:
        """See that the tables are what a backup has, and can be read in bounded time.

        Raises:
            EncodingError: They are not.
        """
        with self._translated():
            check_structure(self._connection, self.path.stat().st_size)

    def entries(self, tier: int) -> Iterator[list[SavedEntry]]:
        """The entries of a tier, some at a time."""
        asked = (
            "SELECT number, tier, run, agent, memory_id, fields, spooled_at FROM entries"
            " WHERE tier = ? AND typeof(number) = 'integer' AND number > ?"
            " ORDER BY number LIMIT ?"
        )
        last = -1
        while rows := self._rows(asked, tier, last, _ROWS_AT_ONCE):
            last = rows[-1][0]
            yield [SavedEntry(*row[1:]) for row in rows]

    def count(self, tier: int | None = None) -> int:
        """How many entries of a tier there are; None: of all, and of none."""
        asked = "SELECT COUNT(*) FROM entries WHERE ?1 IS NULL OR tier = ?1"
        [(count,)] = self._rows(asked, tier)
        return int(count)

    def table(self, name: str) -> list[dict[str, Any]]:
        """The rows of one of the small tables."""
        with self._translated():
            found = self._connection.execute(f"SELECT * FROM {name}")  # noqa: S608 - named by code
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _check_format(self) -> None:
        try:
            (made_by,) = self._connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the backup {self.path} cannot be read ({error})") from error
        if made_by > FORMAT:
            raise newer(f"the backup {self.path}", made_by, FORMAT)

    def _rows(self, asked: str, *values: object) -> list[Any]:
        with self._translated():
            return self._connection.execute(asked, values).fetchall()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OverflowError) as error:
            raise EncodingError(f"the tables of {self.path} cannot be read ({error})") from error


def _verified(path: Path) -> bytes:
    end = len(_MAGIC) + _DIGEST
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - end, 0))
        tail = file.read()
    if size <= end or not tail.startswith(_MAGIC):
        raise EncodingError(f"{path} is no backup of a memory, or the end of it is missing")
    digest = _digest_of(path, size - end)
    if digest != tail[len(_MAGIC) :]:
        raise EncodingError(f"the backup {path} is damaged (its checksum differs): use another")
    return digest


def _digest_of(path: Path, size: int) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (part := file.read(min(_READ_AT_ONCE, size))):
            digest.update(part)
            size -= len(part)
    return digest.digest()
