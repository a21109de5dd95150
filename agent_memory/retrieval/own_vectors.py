"""Answers what is near a vector of a model of the user's own.

Vectors of one space alone are compared, in the width that they have in every tier. What answers the
query and has none of them comes behind, without a score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.own_spaces import OwnSpaces
from agent_memory.embeddings.ranking import as_unit, as_units
from agent_memory.embeddings.registry import EncoderRegistry
from agent_memory.errors import InvalidEntry
from agent_memory.repositories.nearest import LEFT_OUT
from agent_memory.retrieval.candidates import best, candidates
from agent_memory.retrieval.recall import recall
from agent_memory.tiers.expiry import TierReader
from agent_memory.values.embedder import ENCODER
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.query import Hit, Order, Query
from agent_memory.values.vector import Vector


class OwnVectorQuery:
    """A vector of a space; the ``Probe`` of repositories.

    Args:
        encoders: The versions there are, of which each keeps its bias.
        version: The version that stands for the space; None: nothing is stored of it.
        vector: Float32 of shape (dim,).
    """

    def __init__(
        self, encoders: EncoderRegistry, version: int | None, vector: NDArray[np.float32]
    ) -> None:
        self._encoders = encoders
        self._version = version
        self._vector = vector

    def at(self, version: int | None, width: int) -> NDArray[np.float32]:
        """The vector for those of its space; others are left out."""
        is_asked = self._version is not None and version == self._version
        return self._vector if is_asked and width == len(self._vector) else LEFT_OUT

    def bias(self, version: int | None, width: int) -> float:
        """The number that stands before vectors of a version when others are compared with them."""
        encoder = self._encoders.encoder(version)
        return 0.0 if encoder is None else encoder.bias(width)

    def scored(self, found: Sequence[tuple[MemoryEntry, Tier]]) -> list[Hit]:
        """Entries of its space with their cosines, from -1 to 1; others are left out."""
        mine = [
            (entry, tier, entry.embedding)
            for entry, tier in found
            if entry.encoder_version == self._version
            and entry.embedding is not None
            and len(entry.embedding) == len(self._vector)
        ]
        if not mine:
            return []
        units = as_units(np.stack([numbers for _, _, numbers in mine])).astype(np.float64)
        cosines = (units * as_unit(self._vector).astype(np.float64)).sum(axis=1).clip(-1.0, 1.0)
        return [
            Hit(entry, tier, float(cosine))
            for (entry, tier, _), cosine in zip(mine, cosines, strict=True)
        ]


def own_query(
    vector: Vector, spaces: OwnSpaces, encoders: EncoderRegistry
) -> OwnVectorQuery | None:
    """What is near a vector of the user's own; None of one that is the encoder's.

    Raises:
        InvalidEntry: No space has its name, or such vectors; or several may have made it.
    """
    if vector.space == ENCODER:
        return None
    name = spaces.name if vector.space is None else vector.space
    found = spaces.find(name)
    if vector.space is None:
        if found is None or found[1].dim != len(vector):
            return None
        if len(vector) in (*encoders.current.encoder.widths,):
            raise InvalidEntry(
                f"near: a vector of {len(vector)} numbers may be of the encoder or of {name!r}: "
                f'say which, Vector(numbers, space="encoder") or Vector(numbers, space="{name}")'
            )
    elif found is None and name != spaces.name:
        raise InvalidEntry(f"near: this memory holds no vectors of {name!r:.80}")
    elif found is not None and found[1].dim != len(vector):
        raise InvalidEntry(
            f"near: {len(vector)} numbers; the vectors of {name!r:.80} have {found[1].dim}"
        )
    return OwnVectorQuery(encoders, None if found is None else found[0], vector.numbers)


def near_own(
    tiers: Sequence[TierReader],
    query: Query,
    probe: OwnVectorQuery,
    level: Callable[[Tier], int],
) -> list[Hit]:
    """Answer a query by the similarity of own vectors.

    Args:
        tiers: The tiers, richest first.
        query: Which entries are asked for.
        probe: The vector that is asked about.
        level: Gives the compression level of a tier.

    Returns:
        The entries with vectors of that space and their cosines, the greatest first; then, up to
        the limit, those without one, whose score is None.
    """
    if query.limit == 0:
        return []
    hits = best(probe.scored(candidates(tiers, query, probe, level)), query)
    room = None if query.limit is None else query.limit - len(hits)
    if room == 0:
        return hits
    keys: set[EntryKey] = {hit.entry.key for hit in hits}
    more = None if room is None else room + len(hits)
    rest = recall(tiers, replace(query, limit=more, order=query.order or Order.NEWEST))
    return [*hits, *[hit for hit in rest if hit.entry.key not in keys][:room]]
