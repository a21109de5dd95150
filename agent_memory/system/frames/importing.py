"""Stores the entries of exported files: first all are checked, then stored, then read again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from agent_memory.errors import EntryConflict, RunConflict
from agent_memory.repositories.contract import LongTermMemory, MemoryRepository
from agent_memory.repositories.sql.runs import RunRecords
from agent_memory.retrieval.recall import fetch
from agent_memory.system.encoder_in_use import CurrentEncoder
from agent_memory.system.frames.file_rows import FileRow, files_of, rows_of
from agent_memory.system.frames.receipts import ImportReceipt
from agent_memory.system.frames.run_cells import has_same_beginning
from agent_memory.values.contents import pack
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.progress import EntriesProgress
from agent_memory.values.quoting import quoted
from agent_memory.values.run import RUNNING, RunRecord
from agent_memory.values.vector import Vector

_AT_ONCE = 500
_COMPARED = ("agent_id", "step_number", "timestamp", "memory_type")


class Importing:
    """Imports one export.

    Args:
        tiers: The tiers, richest first.
        records: Where runs are recorded.
        encoder: Makes vectors where those of the export are of a version fitted elsewhere.
        force: Whether other entries under the same ids are replaced.
        progress: Called after each batch with how many entries are stored, of how many.
    """

    def __init__(
        self,
        tiers: tuple[MemoryRepository, MemoryRepository, LongTermMemory],
        records: RunRecords,
        encoder: CurrentEncoder,
        *,
        force: bool,
        progress: EntriesProgress | None,
    ) -> None:
        self._tiers = tiers
        self._records = records
        self._encoder = encoder
        self._force = force
        self._progress = progress

    def run(self, path: Path) -> ImportReceipt:
        """Import a file or folder; see ``AgentMemorySystem.import_``."""
        files = files_of(path)
        runs: dict[str, RunRecord] = {}
        total = sum(len(self._checked(rows, runs)) for rows in _batches(files))
        self._check_runs(runs)
        stored = present = forgotten = done = 0
        gone: set[EntryKey] = set()
        kept: set[str] = set()
        for rows in _batches(files):
            dropped = self._forgotten(rows)
            gone |= dropped
            fresh = [row for row in self._missing(rows) if row.entry.key not in dropped]
            self._store(fresh)
            kept |= {row.entry.run_id for row in rows if row.entry.key not in dropped}
            stored += len(fresh)
            forgotten += sum(row.entry.key in dropped for row in rows)
            present += len(rows) - len(fresh) - sum(row.entry.key in dropped for row in rows)
            done += len(rows)
            if self._progress is not None:
                self._progress(done, total)
        differing = [
            row.entry.key
            for rows in _batches(files)
            for row in self._missing(rows)
            if row.entry.key not in gone
        ]
        # Not of runs that were forgotten here.
        begun = [name for name, run in runs.items() if name in kept and self._begin(run)]
        return ImportReceipt(path, stored, present, forgotten, tuple(differing), tuple(begun))

    def _check_runs(self, runs: Mapping[str, RunRecord]) -> None:
        for name, run in runs.items():
            here = self._records.get(name)
            if here is None or here.parameters is None or self._force:
                continue
            if not has_same_beginning(here, run):
                raise RunConflict(
                    f"run {quoted(name)} is recorded with other parameters, another seed or parent "
                    "here; nothing was stored: force=True (--force) records the file's"
                )

    def _begin(self, run: RunRecord) -> bool:
        """Record a run as a file has it; gives whether it was recorded otherwise, or not at all."""
        here = self._records.get(run.run_id)
        is_there = here is not None and here.parameters is not None
        if here is not None and is_there and not has_same_beginning(here, run):
            self._records.forget(run.run_id)
            is_there = False
        if not is_there:
            self._records.begin(run)
        if run.status != RUNNING and not (is_there and here is not None and here.status != RUNNING):
            self._records.set_status(run.run_id, run.status)
        return not is_there

    def _checked(self, rows: Sequence[FileRow], runs: dict[str, RunRecord]) -> Sequence[FileRow]:
        """The same rows, none of which is another entry here; their runs are noted."""
        runs.update({row.run.run_id: row.run for row in rows if row.run is not None})
        found = self._found(rows)
        for row in rows:
            if row.space is not None:
                self._own(row)
            here = found.get(row.entry.key)
            if here is not None and not self._force and not _is_same(here, row.entry):
                raise EntryConflict(
                    f"{row.place}: another entry {row.entry.memory_id} of agent "
                    f"{row.entry.agent_id!r} is in run {row.entry.run_id!r}; nothing was stored: "
                    "force=True (--force) replaces it"
                )
        return rows

    def _missing(self, rows: Sequence[FileRow]) -> list[FileRow]:
        """Those rows that are not stored here as they are in the file."""
        found = self._found(rows)
        return [
            row
            for row in rows
            if row.entry.key not in found or not _is_same(found[row.entry.key], row.entry)
        ]

    def _found(self, rows: Sequence[FileRow]) -> dict[EntryKey, MemoryEntry]:
        hits = fetch(self._tiers, [row.entry.key for row in rows])
        return {hit.entry.key: hit.entry for hit in hits}

    def _forgotten(self, rows: Sequence[FileRow]) -> set[EntryKey]:
        marked = self._tiers[2].forgotten(row.entry.key for row in rows)
        return {key for key, released_at in marked.items() if released_at is None}

    def _store(self, rows: Sequence[FileRow]) -> None:
        if self._force:
            for tier in self._tiers:
                tier.remove_many(row.entry.key for row in rows)
        for tier in self._tiers:
            of_tier = [row for row in rows if row.tier is tier.tier]
            if of_tier:
                tier.add_many(self._with_vectors(of_tier))

    def _with_vectors(self, rows: Sequence[FileRow]) -> list[MemoryEntry]:
        """The entries; those with vectors of a version that was fitted get vectors from here.

        A version's number is given where it was fitted: the same number is another encoder in
        another memory. Vectors of the user's own are known by the name of their space.
        """
        entries = [row.entry if row.space is None else self._own(row) for row in rows]
        fitted = [row.entry for row in rows if row.entry.encoder_version and row.space is None]
        bare = [replace(entry, embedding=None, encoder_version=None) for entry in fitted]
        version = self._encoder.registry.current.version
        made = self._encoder.compression.embed(bare, version) if bare else []
        vectors = {entry.key: entry for entry in made}
        return [vectors.get(entry.key, entry) for entry in entries]

    def _own(self, row: FileRow) -> MemoryEntry:
        """The entry with the version that stands for its own vector here.

        Raises:
            InvalidEntry: Vectors under that name are of another width here.
        """
        vector = row.entry.embedding
        if vector is None:
            return row.entry
        own = self._encoder.spaces.given(Vector(vector, space=row.space))
        return replace(row.entry, encoder_version=own.version)


def _batches(files: list[Path]) -> Iterator[list[FileRow]]:
    rows = rows_of(files)
    while batch := list(islice(rows, _AT_ONCE)):
        yield batch


def _is_same(here: MemoryEntry, given: MemoryEntry) -> bool:
    """Whether a stored entry is one of a file, though it may have moved and been counted since."""
    if any(getattr(here, name) != getattr(given, name) for name in _COMPARED):
        return False
    # What a code has rounded since differs within its bounds.
    rounded = here.error_bounds is not None or given.error_bounds is not None
    return rounded or pack(here.contents) == pack(given.contents)
