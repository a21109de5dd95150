"""Finds entries by likeness across the tiers, each once, the most alike first.

Each tier's vectors have a width of their own, and numbers of different widths do not compare. So
each tier proposes candidates by the cosine of its own vectors, and the candidates of all tiers
are ranked together on something they share: the features of their contents where a state is
asked for, which is exact; the narrowest vectors where only a vector is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.encoder import Encoder
from agent_memory.entry import EntryKey, Hit, Query
from agent_memory.repositories.base import MemoryRepository, Vectors
from agent_memory.retrieval.temporal import fetch

# The narrow vectors of lower tiers order near neighbours less surely than the features do: so
# many more candidates than are asked for make the best of them almost surely be among them.
_CANDIDATES = 8
_AT_LEAST = 64


@dataclass(frozen=True)
class Likeness:
    """What to be alike to, and how that is measured.

    Attributes:
        encoder: The encoder that made the stored vectors.
        version: Which version it is; vectors of others are not compared with its own.
        state: The state to be alike to, or None where only a vector is known.
        vector: The vector to be alike to, float32, as wide as some tier's.
    """

    encoder: Encoder
    version: int
    state: Mapping[str, Any] | None
    vector: NDArray[np.float32]

    @classmethod
    def to_state(cls, encoder: Encoder, version: int, state: Mapping[str, Any]) -> Likeness:
        """Likeness to a state."""
        return cls(encoder, version, state, encoder.encode_one(state))

    @classmethod
    def to_vector(cls, encoder: Encoder, version: int, vector: NDArray[np.float32]) -> Likeness:
        """Likeness to a vector of any tier.

        Raises:
            InvalidEntry: No tier has vectors of that width.
        """
        encoder.widths.level(len(vector))
        return cls(encoder, version, None, vector)


def recall_alike(tiers: Sequence[MemoryRepository], query: Query, likeness: Likeness) -> list[Hit]:
    """Answer a query by likeness.

    Args:
        tiers: The repositories, richest first.
        query: Which entries are asked for; it names its run. Its order is not looked at, and
            its limit keeps the most alike.
        likeness: What to be alike to.

    Returns:
        The entries with their scores, cosines from -1 to 1, best first; ties by memory id.
    """
    if query.limit == 0:
        return []
    wanted = None if query.limit is None else max(query.limit * _CANDIDATES, _AT_LEAST)
    keys = dict.fromkeys(
        key for tier in tiers for key in _candidates(tier.vectors(query), likeness, wanted)
    )
    hits = _scored(fetch(tiers, list(keys)), likeness)
    hits.sort(key=lambda hit: (-(hit.score or 0.0), hit.entry.memory_id))
    return hits if query.limit is None else hits[: query.limit]


def _candidates(
    groups: Sequence[Vectors], likeness: Likeness, wanted: int | None
) -> list[EntryKey]:
    """The entries of a tier that may be among the most alike; all whose vectors do not compare."""
    found: list[EntryKey] = []
    for group in groups:
        if wanted is None or len(group.keys) <= wanted or not _compares(group, likeness):
            found += group.keys
            continue
        asked = likeness.encoder.carry(likeness.vector, group.matrix.shape[1])
        order = np.argpartition(-cosines(group.matrix, asked), wanted)[:wanted]
        found += [group.keys[place] for place in order]
    return found


def _compares(group: Vectors, likeness: Likeness) -> bool:
    width = group.matrix.shape[1]
    return group.version == likeness.version and width in (*likeness.encoder.widths,) and (
        width <= len(likeness.vector)
    )  # fmt: skip


def _scored(hits: Sequence[Hit], likeness: Likeness) -> list[Hit]:
    if not hits:
        return []
    encoder = likeness.encoder
    contents = [hit.entry.contents for hit in hits]
    if likeness.state is not None:
        scores = encoder.likeness(likeness.state, contents)
    else:
        narrowest = encoder.widths.ltm
        vectors = encoder.carry(encoder.encode(contents), narrowest)
        scores = cosines(vectors, encoder.carry(likeness.vector, narrowest))
    return [Hit(hit.entry, hit.tier, float(score)) for hit, score in zip(hits, scores, strict=True)]


def cosines(matrix: NDArray[np.float32], vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """The cosine of each row, of shape (n, dim), and a vector; 0 where one of them is nothing."""
    lengths = np.linalg.norm(matrix, axis=1) * np.linalg.norm(vector)
    products: NDArray[np.float32] = matrix @ vector
    np.divide(products, lengths, out=products, where=lengths > 0)
    return products
