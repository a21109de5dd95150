"""What became of entries that were given to be stored together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from agent_memory.errors import MemoryStoreError
from agent_memory.values.entry import EntryKey


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of many entries: which are stored, and why the others are not.

    It is true if all were stored, as the answer to a single store is.

    Attributes:
        accepted: The keys of the stored entries, in the order they were given.
        refused: Why an entry was not stored: by agent of ``store_step``, by place in the sequence
            of ``store_many``.

    Examples:
        >>> stored = memory.store_step(20, {"ant-1": {"food": 2.0}, "ant-2": {"food": 1.0}})
        >>> bool(stored), len(stored.accepted), dict(stored.refused)
        (True, 2, {})
    """

    accepted: tuple[EntryKey, ...] = ()
    refused: Mapping[str | int, MemoryStoreError] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Keep what was refused as it is now."""
        object.__setattr__(self, "refused", MappingProxyType(dict(self.refused)))

    def __bool__(self) -> bool:
        """Whether all were stored."""
        return not self.refused

    def __repr__(self) -> str:
        """In a few characters."""
        return f"Stored({len(self.accepted)} accepted, {len(self.refused)} refused)"
