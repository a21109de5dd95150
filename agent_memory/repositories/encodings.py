"""The vectors and codes of a tier's entries, and which versions of the encoder made them.

Learning asks for these: what to encode again, and which versions are still needed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from agent_memory.repositories.nearest import Vectors, grouped_vectors
from agent_memory.repositories.reading import EntryReader
from agent_memory.values.coded import CodedContents
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.query import Order, Query, agent_of


class Encodings(ABC):
    """How the entries of a tier are encoded. What an engine has no quicker way for, it reads.

    Args:
        reader: Reads the tier.
    """

    def __init__(self, reader: EntryReader) -> None:
        self._reader = reader

    @abstractmethod
    def reembed(
        self, entries: Sequence[MemoryEntry], read: Sequence[MemoryEntry] | None = None
    ) -> list[bool]:
        """Store entries' vectors and encoder versions in place of those they had.

        Nothing else of them changes, the revision neither: the same contents are said by other
        numbers.

        Args:
            entries: As they were read, with another vector.
            read: The same as they were read: only the vector that one had is replaced, so that
                an entry that was stored again meanwhile under its id, as after a clear, keeps its
                own. None: whatever vector there is.

        Returns:
            For each, whether it was stored: False when it is not here, or has another revision.
        """

    def recode(self, entries: Sequence[MemoryEntry]) -> list[bool]:
        """Code the contents of entries again, as those that come are coded now.

        So what has been exact may be within the bounds of a code that was fitted since. Contents
        that lie on lattices which that code has not stay as they are.

        Args:
            entries: As they were read.

        Returns:
            For each, whether it was stored: False when it is not here, or has changed.
        """
        return [False] * len(entries)

    def vectors(self, query: Query) -> list[Vectors]:
        """The vectors of the entries that answer a query, whatever its order and limit.

        Raises:
            InvalidEntry: The query names not one agent.

        Returns:
            A group for each encoder version and width; entries without a vector have width 0.
        """
        agent_of(query)
        return grouped_vectors(
            (entry.memory_id, entry.encoder_version, entry.embedding)
            for entry in self._reader.find(replace(query, limit=None))
        )

    def outdated(self, run_id: str, agent_id: str, *versions: int) -> list[EntryKey]:
        """The keys of an agent's entries whose vector no such version made, or that have none."""
        query = Query(run_id=run_id, agent_id=agent_id, order=Order.STEP)
        return [
            entry.key for entry in self._reader.find(query) if entry.encoder_version not in versions
        ]

    def versions(self) -> dict[int, int]:
        """How many entries of every run name each version of the encoder. Looks at all of them."""
        counts = Counter(entry.encoder_version for entry in self._all())
        return {version: count for version, count in counts.items() if version is not None}

    def code_versions(self) -> dict[int, int]:
        """How many entries have contents coded by the code of each version. Looks at all."""
        return Counter(
            entry.contents.version
            for entry in self._all()
            if isinstance(entry.contents, CodedContents)
        )

    def _all(self) -> Iterator[MemoryEntry]:
        for run_id in self._reader.runs():
            for agent_id in self._reader.agents(run_id):
                yield from self._reader.find(Query(run_id=run_id, agent_id=agent_id))
