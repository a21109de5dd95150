"""Changes entries where they wait, in the spool, and carries such changes into the tiers.

A change is part of the entry from then on: it is stored with it. But a tier may have the entry all
the same, when its first store was answered too late. So a row says which of its fields were changed
while it waited, and a replay that finds the entry in a tier changes it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from agent_memory.errors import EncodingError, EntryConflict, EntryNotFound
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.tiers.spool import Spool
from agent_memory.tiers.waiting import (
    CHANGEABLE,
    Waiting,
    changed_fields,
    coded_again,
    decoded,
    memory_id_of,
)
from agent_memory.values.entry import EntryKey, MemoryEntry

Change = Callable[[MemoryEntry], MemoryEntry | None]
"""Gives an entry as it is to be, or None to leave it as it is."""

Batch = Mapping[int, tuple[Waiting, MemoryEntry]]
"""Entries that wait, by their places in the queue."""

_ATTEMPTS = 1_000  # each of which another change of the same entry has won


def change_waiting(
    spool: Spool, wanted: Mapping[EntryKey, Change], due: Callable[[Batch], Batch]
) -> dict[EntryKey, MemoryEntry]:
    """Change entries that wait, all in one transaction. Nobody may replay them meanwhile.

    Args:
        spool: Where they wait.
        wanted: What to make of each.
        due: Gives those that are still to be stored.

    Returns:
        Those that wait, as they are now.

    Raises:
        StoreUnavailable: The spool cannot be written, or is full.
    """
    waiting = {row.number: (row, entry) for row, entry in rows_of(spool, wanted)}
    changed: dict[EntryKey, MemoryEntry] = {}
    rows: dict[int, bytes] = {}
    for row, entry in _that_count(due(waiting)):
        new = wanted[entry.key](entry)
        changed[entry.key] = entry
        if new is not None:
            fields = {it for it in CHANGEABLE if getattr(new, it) != getattr(entry, it)}
            new = replace(new, revision=entry.revision + 1)
            rows[row.number] = coded_again(row, new, fields | changed_fields(row))
            changed[entry.key] = new
    if rows:
        spool.rewrite_rows(rows)
    return changed


def _that_count(batch: Batch) -> Iterable[tuple[Waiting, MemoryEntry]]:
    """Of several with one key the one that a tier keeps: of the highest revision the first."""
    counting: dict[EntryKey, tuple[Waiting, MemoryEntry]] = {}
    for row, entry in batch.values():
        if entry.key not in counting or entry.revision > counting[entry.key][1].revision:
            counting[entry.key] = row, entry
    return counting.values()


def rows_of(spool: Spool, keys: Iterable[EntryKey]) -> list[tuple[Waiting, MemoryEntry]]:
    """Those of some entries that wait, in their order.

    Raises:
        StoreUnavailable: The spool cannot be read.
    """
    wanted, found = {*keys}, []
    for owner in {key[:2] for key in wanted}:
        for row in spool.read(spool.numbers(*owner)):
            if (*owner, memory_id_of(row.coded)) not in wanted:
                continue  # as most are, which need not be decoded
            try:
                entry = decoded(row)
            except EncodingError:
                continue  # it is reported and refused when it is its turn to be stored
            found.append((row, entry))
    return found


def forget_changes(spool: Spool, batch: Batch) -> None:
    """Note that entries are stored with their changes from now on.

    Else a replay that was killed after it had stored them, or had made the changes in their tiers,
    would make the changes once more, when others may have come on top of them.
    """
    changed = [(row, entry) for row, entry in batch.values() if changed_fields(row)]
    if changed:
        spool.rewrite_rows({row.number: coded_again(row, entry, ()) for row, entry in changed})


def change_in_tiers(tiers: Sequence[MemoryRepository], batch: Batch) -> None:
    """Make in the tiers that have them what was changed of entries while they waited.

    Raises:
        StoreUnavailable: A tier does not answer.
    """
    for row, entry in batch.values():
        fields = {name: getattr(entry, name) for name in changed_fields(row)}
        if fields:
            _change(tiers, entry.key, fields)


def _change(tiers: Sequence[MemoryRepository], key: EntryKey, fields: Mapping[str, object]) -> None:
    for _ in range(_ATTEMPTS):
        # From the top down, as entries move.
        holding = ((tier, entry) for tier in tiers for entry in tier.get_many([key]))
        tier, entry = next(holding, (None, None))
        if tier is None or entry is None:
            return  # it was forgotten meanwhile
        if all(getattr(entry, name) == value for name, value in fields.items()):
            return
        try:
            tier.replace(replace(entry, **fields))  # type: ignore[arg-type]  # of the same names
        except (EntryConflict, EntryNotFound):
            continue  # another change was faster, or it moved
        return
