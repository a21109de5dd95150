"""The vectors and codes of long-term memory: counted by version, and replaced after a training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from agent_memory.models.ltm import LtmModels
from agent_memory.repositories.codec import Codec
from agent_memory.repositories.encodings import Encodings
from agent_memory.repositories.nearest import Vectors
from agent_memory.repositories.reading import EntryReader
from agent_memory.repositories.sql.questions import vectors_answering
from agent_memory.repositories.sql.statements import (
    numbers_by_mark,
    numbers_by_version,
    outdated_memory_ids,
)
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.repositories.sql.vectors import vectors_of
from agent_memory.repositories.sql.writing import Writer
from agent_memory.values.coded import CodedContents, code_named_by
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.query import Query


class LtmEncodings(Encodings):
    """How the entries of long-term memory are encoded.

    Args:
        reader: Reads the tier.
        transactions: The database.
        models: The models of the tables.
        codec: Codes contents.
        writer: Commits changes.
    """

    def __init__(
        self,
        reader: EntryReader,
        transactions: Transactions,
        models: LtmModels,
        codec: Codec,
        writer: Writer,
    ) -> None:
        super().__init__(reader)
        self._transactions = transactions
        self._models = models
        self._codec = codec
        self._writer = writer

    def reembed(
        self, entries: Sequence[MemoryEntry], read: Sequence[MemoryEntry] | None = None
    ) -> list[bool]:
        """Store entries' vectors and encoder versions in place of those they had.

        Contents that a fitted code has coded are coded again beside the new vector, with the
        numbers that they have.
        """
        coded = iter(self._codec.encode_many([one for one in entries if _may_need_vector(one)]))
        contents = [next(coded) if _may_need_vector(one) else None for one in entries]
        return self._writer.run(lambda work: work.reembed(entries, read, contents))

    def recode(self, entries: Sequence[MemoryEntry]) -> list[bool]:
        """Code the contents of entries again, as those that come are coded now."""
        contents = self._codec.encode_many(entries)
        return self._writer.run(lambda work: work.reembed(entries, entries, contents))

    def vectors(self, query: Query) -> list[Vectors]:
        """The vectors of the entries that answer a query, whatever its order and limit."""
        if query.attributes:
            return super().vectors(query)
        statement, asked = vectors_answering(self._models, query)
        with self._transactions.reading() as connection:
            rows = connection.execute(statement, asked).all()
        return vectors_of(rows)

    def outdated(self, run_id: str, agent_id: str, *versions: int) -> list[EntryKey]:
        """The keys of an agent's entries whose vector no such version made, or that have none."""
        with self._transactions.reading() as connection:
            ids = connection.scalars(outdated_memory_ids(self._models, run_id, agent_id, versions))
            return [EntryKey(run_id, agent_id, memory_id) for memory_id in ids]

    def versions(self) -> dict[int, int]:
        """How many entries of every run name each version of the encoder."""
        with self._transactions.reading() as connection:
            rows = connection.execute(numbers_by_version(self._models))
            return {row.version: row.number for row in rows}

    def code_versions(self) -> dict[int, int]:
        """How many entries have contents coded by the code of each version."""
        with self._transactions.reading() as connection:
            rows = connection.execute(numbers_by_mark(self._models))
            counts = Counter[int | None]()
            for row in rows:
                counts[code_named_by(bytes(row.mark))] += row.number
        return {version: number for version, number in counts.items() if version is not None}


def _may_need_vector(entry: MemoryEntry) -> bool:
    """Whether contents may have been coded beside the vector, and cannot be read without it."""
    return isinstance(entry.contents, CodedContents)
