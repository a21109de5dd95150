"""Restores a backup into a memory, whose engines may be others than those it was made of.

Everything is added under its own key, so that a restore that was killed is begun again and ends
the same: a note beside long-term memory says that the memory is half restored, and from what.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgpack

from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import file_beside
from agent_memory.connections.disk_space import unwritable
from agent_memory.errors import MemoryNotEmpty
from agent_memory.models.ltm import ltm_models
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.redis.attributes import DeclaredAttributes
from agent_memory.repositories.sql.encoders import ACTIVE
from agent_memory.repositories.sql.tables import LongTermTables, refuse_conflicts
from agent_memory.system.backups.coded import codec_of
from agent_memory.system.backups.file import SPOOL, Backup, SavedEntry, entry_of
from agent_memory.system.backups.saving import PLACES
from agent_memory.system.beneath import Connections, inspections
from agent_memory.system.encoder_in_use import CurrentEncoder
from agent_memory.tiers.forgetting import Tiers
from agent_memory.tiers.intake import Intake
from agent_memory.tiers.quarantine import Quarantine, Quarantined
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.files import make_private
from agent_memory.values.interruptions import raise_if_interrupted
from agent_memory.values.progress import Progress
from agent_memory.values.quoting import short_repr

_ORDER = (2, 1, 0, SPOOL)
# What waited is restored into short-term memory, where it was to go.
_TIER_OF = {2: 2, 1: 1, 0: 0, SPOOL: 0}


@dataclass(frozen=True, slots=True)
class RestoreReceipt:
    """What was restored.

    Attributes:
        file: The backup.
        entries: How many entries, by where they were: "spool", "stm", "im", "ltm".
        unreadable: How many things could not be read when the backup was made; their bytes were
            quarantined again, where there is a place for them.
        versions: The versions of the encoder that it brought.
        differing: Entries that were read again afterwards and are not as they were saved: they
            were forgotten here, a newer copy was here, or they are gone. Empty: verified.

    Examples:
        >>> from agent_memory import AgentMemorySystem, MemoryConfig
        >>> _ = memory.backup("to_restore.backup")
        >>> restored = MemoryConfig(engine="fake", path="restored", ltm_url="sqlite:///restored.db")
        >>> AgentMemorySystem.restore("to_restore.backup", restored).verified
        True
    """

    __repr__ = short_repr()

    file: Path
    entries: Mapping[str, int]
    unreadable: int
    versions: tuple[int, ...]
    differing: tuple[EntryKey, ...] = ()

    @property
    def verified(self) -> bool:
        """Whether every entry was read again and is as it was saved."""
        return not self.differing


class Restoring:
    """Restores one backup that was verified, into one memory.

    Args:
        backup: The backup.
        config: The configuration of the memory.
        connections: Its servers, beneath the repositories.
        tiers: Its repositories, richest tier first.
        intake: Its way into short-term memory.
        encoder: The encoder it uses.
        progress: Called with each batch.
    """

    def __init__(
        self,
        backup: Backup,
        config: MemoryConfig,
        connections: Connections,
        tiers: Tiers,
        intake: Intake,
        encoder: CurrentEncoder,
        progress: Progress | None = None,
    ) -> None:
        self._backup = backup
        self._config = config
        self._connections = connections
        self._where = connections.deployment
        self._tiers = tiers
        self._intake = intake
        self._encoder = encoder
        self._progress = progress
        self._tables = LongTermTables(
            connections.sql_engine, ltm_models(config.ltm_config.table_prefix)
        )
        self._done = 0
        self._versions = backup.table("versions")
        self._codec = codec_of(backup, self._versions, config.max_entry_bytes)

    def run(self, *, into_existing: bool = False) -> RestoreReceipt:
        """Restore all of it; see ``AgentMemorySystem.restore``."""
        note = _Note(file_beside(self._where, "restoring"), self._backup)
        if not note.resumes() and not into_existing and not self._target_is_empty():
            raise MemoryNotEmpty(
                f"the memory of {self._where.path} and its server holds something already: "
                "restore into an empty one, or say that the backup is to be added to it "
                "(into_existing=True, --into-existing)"
            )
        # No other version may have the number of one that is to come.
        refuse_conflicts(self._tables.conflicts(self._versions))
        note.write()
        receipt = self._restore()
        note.remove()
        return receipt

    def _target_is_empty(self) -> bool:
        """Whether nothing is in the memory."""
        entries = any(tier.runs() for tier in self._tiers)
        _, spool = self._intake.status()
        waiting = spool is not None and spool.entries > 0
        return not entries and not waiting and self._tables.is_empty

    def _restore(self) -> RestoreReceipt:
        attributes = [row["path"] for row in self._backup.table("attributes")]
        self._tables.restore(
            self._backup.table("runs"),
            self._versions,
            self._backup.table("tombstones"),
            attributes,
        )
        self._declare(attributes)
        # What is exact stays exact, also once there is a code that would take some of it.
        self._encoder.codes.use_none()
        differing = [key for place in _ORDER for key in self._restore_entries(place)]
        unreadable = self._quarantine_unreadable()
        for row in self._versions:
            if row["status"] == ACTIVE:
                self._tables.activate(row["id"])
        for row in self._versions:
            if row["dictionary"] is not None:
                self._encoder.use_code(row["id"])  # which keeps a copy beside the entries
        self._encoder.refresh()
        self._encoder.use_code(self._encoder.registry.current.version)
        return RestoreReceipt(
            self._backup.path,
            {name: self._backup.count(place) for place, name in PLACES.items()},
            unreadable,
            tuple(row["id"] for row in self._versions if row["weights"] is not None),
            tuple(differing),
        )

    def _declare(self, attributes: Sequence[str]) -> None:
        for inspection in inspections(self._connections, self._config):
            declared = DeclaredAttributes(inspection.channel, inspection.key_space, attributes)
            declared.announce()
        for tier in self._tiers:
            tier.upkeep.declare_attributes()

    def _restore_entries(self, place: int) -> Iterator[EntryKey]:
        """Restore the entries of a place; gives the keys of those that are not as they were."""
        repository = self._tiers[_TIER_OF[place]]
        for batch in self._backup.entries(place):
            entries = list(self._decoded(batch))
            repository.add_many(entries)
            yield from self._differing(repository, entries)
            self._done += len(entries)
            if self._progress is not None:
                self._progress("entries restored", self._done)

    def _decoded(self, batch: Sequence[SavedEntry]) -> Iterator[MemoryEntry]:
        for saved in batch:
            yield entry_of(saved, self._codec)

    @staticmethod
    def _differing(
        repository: MemoryRepository, entries: Sequence[MemoryEntry]
    ) -> Iterator[EntryKey]:
        keys = [entry.key for entry in entries]
        stored = {entry.key: entry for entry in repository.upkeep.get_readable(keys)}
        for entry in entries:
            if stored.get(entry.key) != entry:
                yield entry.key

    def _quarantine_unreadable(self) -> int:
        kept = self._backup.table("unreadable")
        file = file_beside(self._where, "aside")
        if file is not None:
            quarantine = Quarantine(file)
            for row in kept:
                stored = msgpack.unpackb(row["stored"])
                quarantine.put(Quarantined(row["place"], row["why"], row["at"], stored))
        return len(kept)


class _Note:
    """Tells that a memory is half restored, and from which backup.

    Args:
        file: Where it lies; None: nowhere, where a memory ends with its process.
        backup: The backup.
    """

    def __init__(self, file: Path | None, backup: Backup) -> None:
        self._file = file
        self._backup = backup

    def resumes(self) -> bool:
        """Whether a restore of the same backup was broken off here.

        Raises:
            MemoryNotEmpty: One of another was.
        """
        if self._file is None or not self._file.is_file():
            return False
        found = self._file.read_text().strip()
        if found not in ("", self._backup.digest):
            raise MemoryNotEmpty(
                f"the restore of another backup was broken off here ({self._file}): restore that "
                "one to its end, or begin with an empty memory"
            )
        return True

    def write(self) -> None:
        """Note it, on disk when this returns."""
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with make_private(self._file).open("w") as file:
                file.write(self._backup.digest)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise_if_interrupted(error)
            raise unwritable(str(self._file), self._file, error) from error

    def remove(self) -> None:
        """Take the note back."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)
