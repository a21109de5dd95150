"""Writes that every repository has by its ``add_many``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from agent_memory.repositories.outcomes import Added
from agent_memory.values.entry import MemoryEntry


class OtherWrites(ABC):
    """What stores entries and is no other promise than that of ``add_many``."""

    @abstractmethod
    def add_many(self, entries: Sequence[MemoryEntry]) -> list[Added]:
        """Store entries; see ``MemoryRepository.add_many``."""

    def add(self, entry: MemoryEntry) -> Added:
        """Store one entry; see ``add_many``."""
        return self.add_many([entry])[0]

    def add_new(
        self,
        entries: Sequence[MemoryEntry],
        packed: Sequence[bytes] | None = None,  # noqa: ARG002 - as the tiers that store bytes take
    ) -> list[Added]:
        """Store entries under random ids that were made for this call: none of them is there.

        Who stores them again, after an error, takes ``add_many``.

        Args:
            entries: The entries, at level 0.
            packed: What ``contents.pack`` made of the contents of each, where that is done already.
        """
        return self.add_many(entries)
