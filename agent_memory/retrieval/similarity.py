"""Finds entries by similarity across the tiers, each once, the most alike first.

Vectors of different versions or widths share no space, and their numbers do not compare. So each
tier proposes candidates of each version by the cosine of its own vectors, and the candidates of
all tiers are ranked together on something they share: the features of their contents where a
state is asked for, which is exact; the narrowest vectors where only a vector is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.ranking import with_bias
from agent_memory.embeddings.registry import EncoderRegistry
from agent_memory.retrieval.recall import left_behind
from agent_memory.tiers.expiry import TierReader
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.query import Hit, Query

# Vectors order near neighbours less surely than the features do, the narrower the less: so more
# candidates than are asked for make the best of them almost surely be among them. How many times
# as many by the level of the tier, which says how wide its vectors are, and at least
# (docs/encoder.md says what is missed):
_CANDIDATES = {0: (4, 40), 1: (8, 80), 2: (16, 160)}


class SimilarityQuery:
    """What to be alike to, and how that is measured; the ``Probe`` of repositories.

    Make one with ``to_state`` or ``to_vector``, and use it for one question.

    Args:
        encoders: The versions there are; similarity is measured by the current one.
        state: The state to be alike to, or None where only a vector is known.
        vectors: The vector to be alike to, by version; float32, as wide as some tier's.
    """

    def __init__(
        self,
        encoders: EncoderRegistry,
        state: Mapping[str, Any] | None,
        vectors: dict[int, NDArray[np.float32]],
    ) -> None:
        self._encoders = encoders
        self._current = encoders.current
        self._state = state
        self._vectors = vectors

    @classmethod
    def to_state(cls, encoders: EncoderRegistry, state: Mapping[str, Any]) -> SimilarityQuery:
        """SimilarityQuery to a state.

        Raises:
            InvalidEntry: It is none.
        """
        current = encoders.current
        return cls(encoders, state, {current.version: current.encoder.encode_one(state)})

    @classmethod
    def to_vector(cls, encoders: EncoderRegistry, vector: NDArray[np.float32]) -> SimilarityQuery:
        """SimilarityQuery to a vector of any tier, made by the current version.

        Raises:
            InvalidEntry: No tier has vectors of that width.
        """
        current = encoders.current
        current.encoder.widths.level(len(vector))
        return cls(encoders, None, {current.version: vector})

    def at(self, version: int | None, width: int) -> NDArray[np.float32] | None:
        """The vector to compare those of a version and width with; None if they do not compare."""
        encoder = self._encoders.encoder(version)
        if version is None or encoder is None or width not in (*encoder.widths,):
            return None
        if version not in self._vectors and self._state is not None:
            self._vectors[version] = encoder.encode_one(self._state)
        vector = self._vectors.get(version)
        if vector is None or width > len(vector):
            return None
        return encoder.carry(vector, width)

    def bias(self, version: int | None, width: int) -> float:
        """The number that stands before vectors of a version and width when they are compared."""
        encoder = self._encoders.encoder(version)
        return 0.0 if encoder is None else encoder.bias(width)

    def scores(self, contents: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
        """How alike states are, from -1 to 1, of shape (n,)."""
        encoder = self._current.encoder
        if self._state is not None:
            return encoder.similarity(self._state, contents)
        narrowest = encoder.widths.ltm
        asked = encoder.carry(self._vectors[self._current.version], narrowest)
        vectors = np.vstack([asked, encoder.carry(encoder.encode(contents), narrowest)])
        compared = with_bias(vectors, encoder.bias(narrowest))
        return cosines(compared[1:], compared[0])


def recall_similar(
    tiers: Sequence[TierReader],
    query: Query,
    similarity: SimilarityQuery,
    level: Callable[[Tier], int],
) -> list[Hit]:
    """Answer a query by similarity.

    Args:
        tiers: The tiers, richest first.
        query: Which entries are asked for; it names its run. Its order is not looked at, and
            its limit keeps the most alike.
        similarity: What to be alike to.
        level: Gives the compression level of a tier.

    Returns:
        The entries with their scores, cosines from -1 to 1, best first; ties by memory id.
    """
    if query.limit == 0:
        return []
    found: dict[EntryKey, tuple[MemoryEntry, Tier]] = {}
    for repository in tiers:
        times, least = _CANDIDATES[level(repository.tier)]
        # Where contents are asked about, all that answer are read anyway: so all are ranked.
        narrowed = query.limit is not None and not query.attributes
        limit = max((query.limit or 0) * times, least) if narrowed else None
        for entry, _ in repository.nearest(replace(query, limit=limit), similarity):
            # Tiers are read from the top down, as entries move: the richer copy is met first.
            found.setdefault(entry.key, (entry, repository.tier))
    for key in left_behind(tiers, query, {key: tier for key, (_, tier) in found.items()}):
        del found[key]
    if not found:
        return []
    scores = similarity.scores([entry.contents for entry, _ in found.values()])
    hits = [
        Hit(entry, tier, float(score))
        for (entry, tier), score in zip(found.values(), scores, strict=True)
    ]
    hits.sort(key=lambda hit: (-(hit.score or 0.0), hit.entry.memory_id))
    return hits[: query.limit]


def cosines(matrix: NDArray[np.float32], vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """The cosine of each row, of shape (n, dim), and a vector; 0 where one of them is nothing."""
    lengths = np.linalg.norm(matrix, axis=1) * np.linalg.norm(vector)
    products: NDArray[np.float32] = matrix @ vector
    np.divide(products, lengths, out=products, where=lengths > 0)
    return products
