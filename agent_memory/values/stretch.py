"""A stretch of an agent's life, and how similar it is to another."""

from __future__ import annotations

from dataclasses import dataclass

from agent_memory.values.query import Hit


@dataclass(frozen=True, slots=True)
class Stretch:
    """Entries of an agent that follow each other, and how similar they are to those asked about.

    Attributes:
        hits: The entries, by step.
        score: From 0 for nothing in common to 1 for the same: the mean of the similarities of the
            entries that correspond.

    Examples:
        >>> given = memory.recall(agent_id="ant-1", steps=(2, 3))
        >>> stretch = memory.sequences_like(given, k=1)[0]
        >>> [hit.entry.step_number for hit in stretch.hits]
        [0, 1]
    """

    hits: tuple[Hit, ...]
    score: float

    def __len__(self) -> int:
        return len(self.hits)

    def __repr__(self) -> str:
        entries = [hit.entry for hit in self.hits]
        if not entries:
            return "Stretch(0 entries)"
        span = f"steps {entries[0].step_number} to {entries[-1].step_number}"
        return (
            f"Stretch({len(self)} entries of {entries[0].agent_id!r:.80}, {span}, {self.score:.4g})"
        )
