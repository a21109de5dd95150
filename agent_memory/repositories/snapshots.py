"""Entries as they were when they were stored, for a repository within the process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from agent_memory.values.contents import pack, unpack
from agent_memory.values.entry import MemoryEntry


class Snapshot(NamedTuple):
    """An entry as it was when it was stored, sharing nothing with whoever gave it."""

    fields: MemoryEntry
    """The entry with empty contents."""
    packed: bytes
    """Its contents."""

    @classmethod
    def of(cls, entry: MemoryEntry) -> Snapshot:
        """An entry as it is now."""
        return cls(_own(entry, {}), pack(entry.contents))

    def changed(self, **changes: Any) -> Snapshot:
        """The same with other fields."""
        return self._replace(fields=replace(self.fields, **changes))

    def entry(self) -> MemoryEntry:
        """A copy of the entry."""
        return _own(self.fields, unpack(self.packed))


def _own(entry: MemoryEntry, contents: dict[str, Any]) -> MemoryEntry:
    embedding, bounds = entry.embedding, entry.error_bounds
    return replace(
        entry,
        contents=contents,
        embedding=None if embedding is None else embedding.copy(),
        error_bounds=None if bounds is None else dict(bounds),
    )
