"""What becomes of entries that a repository is given."""

from __future__ import annotations

from enum import IntEnum


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


class Gone(IntEnum):
    """What became of an entry that was to be removed once it was copied; true where it is gone."""

    CHANGED = 0
    """It changed since it was read, and stays."""
    REMOVED = 1
    """It was removed by this call."""
    ABSENT = 2
    """It was not there any more: another process was faster."""
