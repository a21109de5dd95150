"""What becomes of entries that a repository is given."""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from typing import NamedTuple

from agent_memory.values.entry import MemoryEntry

Age = tuple[int, int]
"""The revision of an entry, and how often it was retrieved."""


def age_of(entry: MemoryEntry) -> Age:
    """What says which of two copies of an entry is the newer."""
    return entry.revision, entry.retrieval_count


class Added(IntEnum):
    """What became of an entry that was given to ``add``."""

    STORED = 1
    """It is stored now and was not before."""
    PRESENT = 2
    """Its key was stored already; the newer of the two copies is what is stored now."""
    FORGOTTEN = 3
    """It was forgotten (see ``LongTermMemory.forget``) and was not stored."""
    STALE = 4
    """It was read before it was forgotten and released, and was not stored."""


class Arrival(NamedTuple):
    """What became of an entry that was given to ``arrive``, and the timestamp it is stored with."""

    added: Added
    timestamp: float


class Gone(IntEnum):
    """What became of an entry that was to be removed once it was copied; true where it is gone."""

    CHANGED = 0
    """It changed since it was read, and stays."""
    REMOVED = 1
    """It was removed by this call."""
    ABSENT = 2
    """It was not there any more: another process was faster."""


def arrival_time(entry: MemoryEntry, after: float, latest: tuple[float, int] | None) -> float:
    """The timestamp that an entry is stored with by ``arrive``.

    Args:
        entry: The entry; its timestamp is its step.
        after: The latest timestamp of the agent's entries elsewhere.
        latest: Timestamp and step of the latest of the agent's entries here; None: there is none.
    """
    newest, step = latest if latest is not None and latest[0] >= after else (after, None)
    if entry.timestamp > newest:
        return entry.timestamp
    return newest if step == entry.step_number else newest + 1.0


def at_time(entry: MemoryEntry, timestamp: float) -> MemoryEntry:
    """A new entry with another timestamp."""
    if timestamp == entry.timestamp:
        return entry
    return replace(entry, timestamp=timestamp, creation_time=timestamp, last_access_time=timestamp)
