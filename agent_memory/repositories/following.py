"""What has changed in a tier since somebody looked: so that what is kept of it stays right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.values.entry import MemoryEntry
from agent_memory.values.query import CATEGORIES, FLAGS, RANGES

FILTERED = (*RANGES.values(), *CATEGORIES, *FLAGS)
"""The fields of an entry that queries filter by."""


class Stored(NamedTuple):
    """An entry as questions look at it.

    Attributes:
        memory_id: Which it is.
        revision: How often it was changed.
        fields: Those of ``FILTERED``, by name: numbers, texts of categories, and truths.
        contents: None where they cannot be read; reading the entry says why.
        vector: The vector that they were coded beside, of shape (dim,), where it is at hand.
    """

    memory_id: str
    revision: int
    fields: Mapping[str, Any]
    contents: Mapping[str, Any] | None
    vector: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, entry: MemoryEntry) -> Stored:
        """What there is of an entry."""
        fields = {name: getattr(entry, name) for name in FILTERED}
        return cls(entry.memory_id, entry.revision, fields, entry.contents, entry.embedding)


class View(NamedTuple):
    """What somebody has seen of an agent's entries in a tier, and wants to read of them.

    Attributes:
        seen: Up to where; see ``Changes``.
        is_empty: Whether there was no entry.
        names: The ids of the entries to be read.
    """

    seen: object
    is_empty: bool
    names: list[str]


class Changes(NamedTuple):
    """What has changed of an agent's entries in a tier.

    Attributes:
        seen: Up to where; to be given when asking again.
        whole: Whether these are all entries there are: whatever was known before is gone.
        stored: Those that came or changed.
        gone: The ids of those that are not there any more.
    """

    seen: object
    whole: bool
    stored: list[Stored]
    gone: list[str]
