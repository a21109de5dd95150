"""A durable queue of entries on this machine's disk, for as long as short-term memory is away.

One SQLite file belongs to one memory; a row is an entry that was acknowledged and not stored yet.
Any number of processes append to it and take from it. What ``put`` has returned from is on disk
(``synchronous=FULL``) and stays there until ``done``. SQLite itself keeps the file within its
bound, so that the bound is that of the disk and not of a sum that might drift from it.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import Deployment, database_file, file_beside
from agent_memory.errors import StoreUnavailable
from agent_memory.tiers.spool_file import (
    BUSY_TIMEOUT,
    FORMAT,
    PAGE,
    SpoolFile,
    Version,
    note_change,
    pragma,
)
from agent_memory.tiers.spool_names import FormerNames, name_of
from agent_memory.tiers.waiting import LastMoment, Waiting, coded, waiting_of
from agent_memory.values.entry import MemoryEntry
from agent_memory.values.files import make_private
from agent_memory.values.interruptions import raise_if_interrupted
from agent_memory.values.status import SpoolStatus

__all__ = ["FORMAT", "LEAST_BYTES", "Spool", "spool_of"]

_SELECT = "SELECT number, spooled_at, entry, moment, is_sure FROM waiting"
_READ_AT_ONCE = 200  # entries
_RETRY_EVERY = 0.005  # seconds
# A bound below this leaves no room for the tables themselves.
LEAST_BYTES = 16 * PAGE
"""The smallest bound that makes sense, in bytes."""


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
        read_only: Whether it is only looked at, also where nothing may be written.
    """

    def __init__(
        self,
        file: Path,
        store: str,
        max_bytes: int,
        max_entry_bytes: int | None = None,
        *,
        former: FormerNames | None = None,
        read_only: bool = False,
    ) -> None:
        self.file = file
        self._store = store
        self._max_entry_bytes = max_entry_bytes
        self._former = former
        self._held = SpoolFile(file, store, max_bytes, former, read_only=read_only)

    def of_file(self, file: Path) -> Spool:
        """What waits for the same store in another file, such as that of a machine that is gone."""
        most = self._held.max_bytes
        return Spool(file, self._store, most, self._max_entry_bytes, former=self._former)

    @property
    def exists(self) -> bool:
        """Whether anything was ever put here."""
        try:
            # Empty where there was no room for as much as its tables.
            return self.file.stat().st_size > 0
        except OSError as error:
            raise_if_interrupted(error)
            return False

    def version(self) -> Version | None:
        """Tells what waits from what waited before; None: nothing was ever put here.

        Raises:
            StoreUnavailable: The file cannot be read.
        """
        return self._held.version()

    # -- putting and taking -------------------------------------------------------------------

    def put(self, entry: MemoryEntry, at: float, last: LastMoment | None = None) -> None:
        """Append an entry; see ``put_many``."""
        self.put_many([entry], at, last)

    def put_many(
        self, entries: Iterable[MemoryEntry], at: float, last: LastMoment | None = None
    ) -> None:
        """Append entries, all or none; they are on disk when this returns.

        Args:
            entries: The entries.
            at: The time, in seconds since 1970.
            last: The last moment of long-term memory before them; None: it is not known.

        Raises:
            InvalidEntry: The contents of one cannot be stored.
            StoreUnavailable: The file is full or cannot be written.
        """
        known = (None, None) if last is None else (last.moment, int(last.is_sure))
        rows = [
            (self._store, at, coded(entry, self._max_entry_bytes), *entry.key[:2], *known)
            for entry in entries
        ]
        with self._held.lock, self._held.working(spare_pages=0) as connection:
            connection.executemany(
                "INSERT INTO waiting (store, spooled_at, entry, run_id, agent_id, moment, is_sure)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )

    def done(self, numbers: Iterable[int]) -> None:
        """Remove what has been stored, or was forgotten meanwhile."""
        with self._held.lock, self._held.working() as connection:
            connection.executemany(
                "DELETE FROM waiting WHERE number = ?", [(number,) for number in numbers]
            )

    def refuse(self, number: int, reason: str) -> None:
        """Mark an entry that the store will not take, so that the others go on."""
        with self._held.lock, self._held.working() as connection:
            connection.execute("UPDATE waiting SET refused = ? WHERE number = ?", (reason, number))

    def rewrite_rows(self, rows: Mapping[int, bytes]) -> None:
        """Put other bytes in the place of those of entries that wait, of all or of none.

        Args:
            rows: The bytes by the numbers of the entries; those that are gone stay gone.

        Raises:
            StoreUnavailable: The file is full or cannot be written.
        """
        with self._held.lock, self._held.working() as connection:
            connection.executemany(
                "UPDATE waiting SET entry = ? WHERE number = ?",
                [(coded, number) for number, coded in rows.items()],
            )
            note_change(connection)

    def retry(self) -> None:
        """Let what was refused be tried again."""
        with self._held.lock, self._held.working() as connection:
            connection.execute(
                "UPDATE waiting SET refused = NULL WHERE store = ? AND refused IS NOT NULL",
                (self._store,),
            )

    # -- looking ------------------------------------------------------------------------------

    def waiting(self, limit: int) -> list[Waiting]:
        """The first of what waits and was not refused, in the order it was put."""
        with self._held.lock, self._held.reading() as connection:
            rows = connection.execute(
                f"{_SELECT} WHERE store = ? AND refused IS NULL ORDER BY number LIMIT ?",
                (self._store, limit),
            )
            return [waiting_of(*row) for row in rows]

    def all_waiting(self) -> Iterator[Waiting]:
        """All that waits, refused or not, in the order it was put."""
        last = -1
        while True:
            with self._held.lock, self._held.reading() as connection:
                rows = connection.execute(
                    f"{_SELECT} WHERE store = ? AND number > ? ORDER BY number LIMIT ?",
                    (self._store, last, _READ_AT_ONCE),
                ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield from (waiting_of(*row) for row in rows)

    def is_empty(self) -> bool:
        """Whether nothing waits."""
        with self._held.lock, self._held.reading() as connection:
            found = connection.execute(
                "SELECT 1 FROM waiting WHERE store = ? LIMIT 1", (self._store,)
            ).fetchall()
        return not found

    def owners(self) -> set[tuple[str, str]]:
        """The runs and agents of what waits and can be read."""
        with self._held.lock, self._held.reading() as connection:
            found = connection.execute(
                "SELECT DISTINCT run_id, agent_id FROM waiting"
                " WHERE store = ? AND run_id IS NOT NULL",
                (self._store,),
            )
            return {(str(run_id), str(agent_id)) for run_id, agent_id in found}

    def numbers(self, run_id: str, agent_id: str) -> list[int]:
        """The places in the queue of what waits of an agent of a run, in their order."""
        with self._held.lock, self._held.reading() as connection:
            found = connection.execute(
                "SELECT number FROM waiting"
                " WHERE store = ? AND run_id = ? AND agent_id = ? ORDER BY number",
                (self._store, run_id, agent_id),
            )
            return [number for (number,) in found]

    def read(self, numbers: Iterable[int]) -> list[Waiting]:
        """What waits at some places in the queue, in their order; what is gone is left out."""
        with self._held.lock, self._held.reading() as connection:
            rows = connection.execute(
                "SELECT number, spooled_at, entry, moment, is_sure FROM waiting"
                " WHERE store = ? AND number IN (SELECT value FROM json_each(?))",
                (self._store, json.dumps(list(numbers))),
            )
            return sorted(waiting_of(*row) for row in rows)

    def status(self) -> SpoolStatus:
        """What waits here."""
        empty = SpoolStatus(self.file, 0, 0, self._held.max_bytes)
        if not self.exists:
            return empty
        with self._held.lock, self._held.reading() as connection:
            held, oldest, refused = connection.execute(
                "SELECT COUNT(*), MIN(number), COUNT(refused) FROM waiting WHERE store = ?",
                (self._store,),
            ).fetchone()
            (all_held,) = connection.execute("SELECT COUNT(*) FROM waiting").fetchone()
            since = connection.execute(
                "SELECT spooled_at FROM waiting WHERE number = ?", (oldest,)
            ).fetchone()
            used = pragma(connection, "page_count") - pragma(connection, "freelist_count")
        return SpoolStatus(
            self.file,
            held,
            used * PAGE if all_held else 0,
            self._held.max_bytes,
            waiting_since=since[0] if since else None,
            refused=refused,
            elsewhere=all_held - held,
        )

    @contextmanager
    def replaying(self) -> Iterator[bool]:
        """Be the one process that replays, for the block; gives whether this one is.

        Two at once would put back into short-term memory what the other has stored and a third
        has moved down since.
        """
        with self._held.gate.passing():
            try:
                lock = make_private(self.file.with_name(f"{self.file.name}-replay")).open("ab")
            except OSError as error:
                raise_if_interrupted(error)
                raise self._held.unusable(error) from error
            with lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield False
                    return
                yield True

    @contextmanager
    def held_still(self) -> Iterator[None]:
        """Keep others from replaying for the block, once they have come to the end of a slice.

        Raises:
            StoreUnavailable: Another process replays for longer than ``BUSY_TIMEOUT``.
        """
        until = time.monotonic() + BUSY_TIMEOUT
        while True:
            with self.replaying() as mine:
                if mine:
                    yield
                    return
            if time.monotonic() > until:
                raise StoreUnavailable(
                    f"another process stores what waits in the spool {self.file}, for more than "
                    f"{BUSY_TIMEOUT:g} s: call again"
                )
            time.sleep(_RETRY_EVERY)

    def rewrite_file(self) -> str | None:
        """Rewrite the file without the bytes of what was removed from it.

        Returns:
            None once it is done; else why it is not.
        """
        return self._held.rewrite()

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        self._held.close()


def spool_of(
    config: MemoryConfig, where: Deployment, identity: str | None, *, read_only: bool = False
) -> Spool | None:
    """The spool of a memory.

    It lies beside long-term memory, where that is a SQLite file, else in the memory's folder.

    Args:
        config: The configuration.
        where: Where that says the memory lives.
        identity: The memory's, by which its entries are distinguished from those of others in
            the same file, however its server is called; None: the names of its server and database
            are.
        read_only: Whether it is only looked at.

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
        read_only=read_only,
    )
