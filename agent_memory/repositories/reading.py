"""The part of a repository that its other parts read by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.query import Query


class EntryReader(Protocol):
    """Reads the entries of a tier; see ``MemoryRepository`` for what each method promises."""

    def get_many(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are stored here, in the order of the keys."""

    def find(self, query: Query) -> list[MemoryEntry]:
        """Return the entries that answer a query, in its order."""

    def find_each(self, queries: Sequence[Query]) -> list[list[MemoryEntry]]:
        """Return what answers each of some queries."""

    def agents(self, run_id: str) -> list[str]:
        """The agents that have entries in a run, sorted."""

    def runs(self) -> list[str]:
        """The runs that have entries, sorted."""
