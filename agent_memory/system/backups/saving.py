"""Saves a whole memory in one file, beside a live run.

The tiers are read from the top down, the spool first: an entry that moves meanwhile is met at least
once, and of two copies the first, which is the richer, is saved. Long-term memory is read at one
moment at the end, so that every entry that was acknowledged before is in the file, whatever moved.
What was forgotten since it was read is taken out again.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

from agent_memory.compression.codes import Codes
from agent_memory.compression.levels import ContentsCodec
from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import file_beside
from agent_memory.errors import EncodingError
from agent_memory.models.ltm import ltm_models
from agent_memory.models.ltm_types import agent_hash
from agent_memory.models.redis import hash_to_entry, step_of
from agent_memory.repositories.clearing import clearing_marks
from agent_memory.repositories.redis.attributes import DeclaredAttributes
from agent_memory.repositories.redis.inspection import Examined, Owner, TierInspection
from agent_memory.repositories.sql.inspection import LongTermInspection, StoredRow
from agent_memory.repositories.sql.tables import LongTermTables
from agent_memory.system.backups.file import (
    SPOOL,
    Backup,
    SavedEntry,
    being_written,
    fields_of,
    put_entries,
)
from agent_memory.system.beneath import Connections, inspections
from agent_memory.system.identity import recorded_identity
from agent_memory.tiers.quarantine import Quarantine
from agent_memory.tiers.spool import spool_of
from agent_memory.tiers.waiting import LastMoment, decoded, is_older
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.file_names import whole_path
from agent_memory.values.progress import Progress
from agent_memory.values.quoting import short_repr

PLACES = {SPOOL: "spool", 0: "stm", 1: "im", 2: "ltm"}
"""What the places of entries are called in receipts."""
_AT_ONCE = 500
# Entries of the tiers above, and such as waited, whose key, agent or run was ever forgotten.
_SUSPECTS = """
    SELECT number, entries.run, agent, entries.memory_id, tier, spooled_at, moment, is_sure,
        forgotten_at, released_at, 1
    FROM entries JOIN tombstones USING (run, memory_id)
    LEFT JOIN last_moments USING (number)
    WHERE tier < 2 AND agent_hash IN (0, hash_of_agent(agent))
    UNION ALL
    SELECT number, entries.run, entries.agent, entries.memory_id, tier, spooled_at, moment, is_sure,
        forgotten_at, released_at, 0
    FROM marks JOIN tombstones USING (run, memory_id)
    JOIN entries ON entries.run = marks.run AND entries.agent = marks.agent
    LEFT JOIN last_moments USING (number)
    WHERE tier < 2 AND agent_hash = 0
"""
# What was known when an entry that waits was acknowledged, by its number in the file.
_LAST_MOMENTS = """
    CREATE TEMP TABLE last_moments (number INTEGER PRIMARY KEY, moment REAL, is_sure INTEGER)
"""
_NOTE_LAST = """
    INSERT OR REPLACE INTO last_moments SELECT number, ?, ? FROM entries
    WHERE run = ? AND agent = ? AND memory_id = ?
"""


@dataclass(frozen=True, slots=True)
class BackupReceipt:
    """What a backup holds.

    Attributes:
        file: Where it is.
        entries: How many entries, by where they were: "spool", "stm", "im", "ltm".
        unreadable: How many entries cannot be read; the file holds their bytes all the same.
        versions: The versions of the encoder in it.
        forgotten: How many were forgotten while it was made, and are not in it.
        stored_bytes: The size of the file.
        digest: SHA-256 of what it holds, in hexadecimal digits.
        begun_at: When it was begun, in seconds since 1970: what was acknowledged before is in it.

    Examples:
        >>> receipt = memory.backup("ants.backup")
        >>> receipt.entries["stm"]
        10
    """

    __repr__ = short_repr()

    file: Path
    entries: Mapping[str, int]
    unreadable: int
    versions: tuple[int, ...]
    forgotten: int
    stored_bytes: int
    digest: str
    begun_at: float


def save(
    path: str | Path,
    config: MemoryConfig,
    connections: Connections,
    codes: Codes,
    clock: Callable[[], float],
    progress: Progress | None = None,
) -> BackupReceipt:
    """Save a memory in a file; see ``AgentMemorySystem.backup``.

    Args:
        path: The file.
        config: The configuration.
        connections: The servers, beneath the repositories.
        codes: Read contents that a code has made.
        clock: Gives the time in seconds since 1970.
        progress: Called with each batch.
    """
    file = whole_path(path)
    begun = clock()
    with being_written(file) as connection:
        saving = _Saving(connection, config, connections, codes, clock, progress)
        saving.head(begun)
        saving.spool()
        saving.redis_tiers()
        versions = saving.long_term()
        saving.quarantine()
        forgotten = saving.without_forgotten()
    with closing(Backup(file)) as whole:
        return BackupReceipt(
            file,
            {name: whole.count(place) for place, name in PLACES.items()},
            saving.unreadable,
            versions,
            forgotten,
            file.stat().st_size,
            whole.digest,
            begun,
        )


class _Saving:
    """One backup under way."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        config: MemoryConfig,
        connections: Connections,
        codes: Codes,
        clock: Callable[[], float],
        progress: Progress | None,
    ) -> None:
        self._connection = connection
        self._config = config
        self._where = connections.deployment
        self._sql_engine = connections.sql_engine
        self._clock = clock
        self._progress = progress
        self._codec = ContentsCodec(codes=codes, most_read=config.max_entry_bytes)
        self._above = inspections(connections, config)
        models = ltm_models(config.ltm_config.table_prefix)
        self._below = LongTermInspection(connections.sql_engine, models)
        self._tables = LongTermTables(connections.sql_engine, models)
        self._done = 0
        self.unreadable = 0
        connection.execute(_LAST_MOMENTS)

    def head(self, begun: float) -> None:
        """Save what the file is."""
        head = {"made_of": "agent-memory", "begun_at": begun}
        self._connection.executemany("INSERT INTO head VALUES (?, ?)", head.items())

    def spool(self) -> None:
        """Save what waits."""
        prefix = self._config.ltm_config.table_prefix
        identity = recorded_identity(self._sql_engine, prefix)
        spool = spool_of(self._config, self._where, identity)
        if spool is None or not spool.exists:
            return
        with closing(spool):
            for waiting in spool.all_waiting():
                try:
                    entry = decoded(waiting)
                except EncodingError as error:
                    self._keep(f"{spool.file}, entry {waiting.number}", str(error),
                               {"entry": waiting.coded})  # fmt: skip
                    continue
                self._put(
                    [self._saved(SPOOL, entry, self._codec.encode(entry), waiting.spooled_at)]
                )
                if waiting.last is not None:
                    self._connection.execute(_NOTE_LAST, (*waiting.last, *entry.key))

    def redis_tiers(self) -> None:
        """Save short-term and intermediate memory, from the top down."""
        for inspection, tier in zip(self._above, (Tier.STM, Tier.IM), strict=True):
            self._save_tier(inspection, tier)

    def long_term(self) -> tuple[int, ...]:
        """Save long-term memory as it is at one moment; gives the versions of the encoder."""
        execute = self._connection.execute
        with self._tables.at_one_moment() as connection:
            for rows in self._below.snapshot(connection):
                self._put([saved for row in rows for saved in self._of_row(row)])
            versions = self._tables.versions(connection)
            for table, found in (("runs", self._tables.runs(connection)), ("versions", versions)):
                for row in found:
                    names = ", ".join(row)
                    marks = ", ".join(f":{name}" for name in row)
                    execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", row)  # noqa: S608 - named by code
            self._connection.executemany(
                "INSERT INTO tombstones"
                " VALUES (:run, :memory_id, :agent_hash, :forgotten_at, :released_at)",
                self._tables.tombstones(connection),
            )
            self._put_attributes(self._tables.attributes(connection))
        return tuple(row["id"] for row in versions if row["weights"] is not None)

    def quarantine(self) -> None:
        """Save what is in quarantine."""
        file = file_beside(self._where, "aside")
        for kept in () if file is None else Quarantine(file):
            self._keep(kept.place, kept.why, kept.stored, kept.at)

    def without_forgotten(self) -> int:
        """Take out what was forgotten since it was read; gives how many that were."""
        self._note_marks()
        self._connection.create_function("hash_of_agent", 1, agent_hash, deterministic=True)
        suspects = self._connection.execute(_SUSPECTS)
        doomed: set[int] = set()
        while rows := suspects.fetchmany(_AT_ONCE):
            read = {row[0]: EntryKey(*row[1:4]) for row in rows if row[4] != SPOOL}
            there = self._there(list(read.values()))
            doomed |= {number for number, key in read.items() if key not in there}
            doomed |= {row[0] for row in rows if row[4] == SPOOL and _is_stale(*row[5:])}
        self._connection.executemany(
            "DELETE FROM entries WHERE number = ?", [(number,) for number in doomed]
        )
        return len(doomed)

    def _save_tier(self, inspection: TierInspection, tier: Tier) -> None:
        """Save all hashes of entries, whether they are in an index or not."""
        for batch in inspection.scan():
            found: defaultdict[Owner, list[str]] = defaultdict(list)
            for key in batch:
                if key.owner is not None and key.expected == key.kind == "hash":
                    found[key.owner].append(key.rest)
            for owner, ids in found.items():
                self._put(
                    [
                        saved
                        for one in inspection.examine(owner, ids)
                        for saved in self._of_hash(one, tier)
                    ]
                )
        declared = DeclaredAttributes(inspection.channel, inspection.key_space, ())
        self._put_attributes(declared.all_paths())

    def _note_marks(self) -> None:
        """Note what the clearing of each agent, and of its run, would be noted under."""
        execute = self._connection.execute
        execute("CREATE TEMP TABLE marks (run TEXT, agent TEXT, memory_id TEXT)")
        owners = execute("SELECT DISTINCT run, agent FROM entries WHERE tier < 2").fetchall()
        for run, agent in owners:
            for mark in (*clearing_marks(run), *clearing_marks(run, [agent])):
                execute("INSERT INTO marks VALUES (?, ?, ?)", (run, agent, mark.memory_id))

    # -- what is in the file ------------------------------------------------------------------

    def _there(self, keys: Sequence[EntryKey]) -> set[EntryKey]:
        """Those that are in a tier now; asked from the top down, so that none is missed."""
        there: set[EntryKey] = set()
        for inspection in self._above:
            owners = [
                (Owner(*key[:2], inspection.key_space.prefix(*key[:2])), key.memory_id)
                for key in keys
            ]
            ages = inspection.ages(owners)
            there |= {key for key, age in zip(keys, ages, strict=True) if age is not None}
        found = self._below.ages([(key.run_id, key.agent_id, key.memory_id) for key in keys])
        return there | {EntryKey(*key) for key in found}

    def _of_hash(self, one: Examined, tier: Tier) -> Iterator[SavedEntry]:
        place = (
            f"{tier.name}, run {one.owner.run_id!r}, agent {one.owner.agent_id!r}, "
            f"entry {one.memory_id}"
        )
        try:
            stored = one.fields.get(b"contents", b"")
            entry = hash_to_entry(one.fields, self._codec.decode(stored, step_of(one.fields)))
        except EncodingError as error:
            fields = {
                name.decode("utf-8", "backslashreplace"): value
                for name, value in one.fields.items()
            }
            self._keep(place, str(error), fields)
            return
        yield self._saved(tier, entry, stored)

    def _of_row(self, row: StoredRow) -> Iterator[SavedEntry]:
        try:
            entry = row.entry(self._codec)
        except EncodingError as error:
            place = f"LTM, run {row.run_id!r}, agent {row.agent_id!r}, entry {row.memory_id}"
            named = {"run_id": row.run_id, "agent_id": row.agent_id, "type": row.memory_type}
            self._keep(place, str(error), dict(row.columns) | named)
            return
        yield self._saved(Tier.LTM, entry, row.columns["contents"])

    @staticmethod
    def _saved(
        tier: int, entry: MemoryEntry, contents: bytes, spooled_at: float | None = None
    ) -> SavedEntry:
        fields = fields_of(entry, contents)
        return SavedEntry(
            int(tier), entry.run_id, entry.agent_id, entry.memory_id, fields, spooled_at
        )

    def _put(self, entries: Sequence[SavedEntry]) -> None:
        put_entries(self._connection, entries)
        self._done += len(entries)
        if self._progress is not None and entries:
            self._progress("entries saved", self._done)

    def _put_attributes(self, paths: Sequence[str]) -> None:
        self._connection.executemany(
            "INSERT OR IGNORE INTO attributes VALUES (?)", [(path,) for path in paths]
        )

    def _keep(
        self, place: str, why: str, stored: Mapping[str, Any], at: float | None = None
    ) -> None:
        self.unreadable += at is None
        kept = msgpack.packb(dict(stored), use_bin_type=True)
        when = self._clock() if at is None else at
        self._connection.execute(
            "INSERT INTO unreadable VALUES (?, ?, ?, ?)", (place, why, when, kept)
        )


def _is_stale(
    spooled_at: float,
    moment: float | None,
    is_sure: int | None,
    forgotten_at: float,
    released_at: float | None,
    by_key: int,
) -> bool:
    """Whether what waited was forgotten after that, as a replay judges it."""
    if released_at is None:
        # Such a mark is that of a clearing which was killed before it began.
        return bool(by_key)
    last = None if moment is None else LastMoment(moment, bool(is_sure))
    return is_older(spooled_at, last, forgotten_at, released_at)
