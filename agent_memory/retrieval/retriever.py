"""The one way a question goes: asked of the tiers, answered once an entry, counted as a retrieval.

    a query, and what to be similar to -> recall or recall_similar -> the tiers -> the access log

``temporal`` and ``attribute`` make queries; ``recall`` answers them in their own order,
``similarity`` by similarity; ``access_log`` counts what was found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from agent_memory.embeddings.registry import EncoderRegistry
from agent_memory.errors import EntryNotFound
from agent_memory.retrieval.access_log import AccessLog
from agent_memory.retrieval.recall import fetch, recall
from agent_memory.retrieval.similarity import SimilarityQuery, recall_similar
from agent_memory.tiers.expiry import TierReader
from agent_memory.values.checks import checked_embedding
from agent_memory.values.contents import as_contents, pack
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.identity import checked_memory_id
from agent_memory.values.query import Hit, Query


class Retriever:
    """Answers questions across the tiers. Threads may share it.

    Args:
        tiers: The tiers as questions see them, richest first.
        encoders: Make and compare vectors.
        level: Gives the compression level of a tier.
        max_bytes: How large the contents of a state may be.
        access_log: Where retrievals are counted; None: nowhere, in a memory opened read-only.
        now: Gives the time in the unit of timestamps.
    """

    def __init__(
        self,
        tiers: Sequence[TierReader],
        encoders: EncoderRegistry,
        level: Callable[[Tier], int],
        max_bytes: int,
        access_log: AccessLog | None,
        now: Callable[[], float],
    ) -> None:
        self._tiers = tiers
        self._encoders = encoders
        self._level = level
        self._max_bytes = max_bytes
        self._access_log = access_log
        self._now = now

    def recall(self, query: Query, *, near: object = None, touch: bool = True) -> list[Hit]:
        """Answer a query; see ``AgentMemorySystem.recall``.

        Args:
            query: What is asked; it names its run.
            near: What to be similar to: a state, an entry, a memory id of the query's agent or a
                vector; None: the query's order counts.
            touch: Whether this counts as a retrieval of what is found.

        Raises:
            InvalidEntry: ``near`` is none of these.
            EntryNotFound: ``near`` is a memory id that no tier holds.
            StoreUnavailable: A tier does not answer.
        """
        if near is None:
            hits = recall(self._tiers, query)
        else:
            hits = recall_similar(self._tiers, query, self._similarity(near, query), self._level)
        return self._counted(hits, touch)

    def fetch(self, key: EntryKey, *, touch: bool = True) -> Hit | None:
        """Get one entry from whichever tier holds it, or None.

        Raises:
            StoreUnavailable: A tier does not answer.
        """
        hits = self._counted(fetch(self._tiers, [key]), touch)
        return hits[0] if hits else None

    def _similarity(self, near: object, query: Query) -> SimilarityQuery:
        if isinstance(near, str):
            key = EntryKey(query.run_id or "", query.agent_id, checked_memory_id(near))
            found = fetch(self._tiers, [key])
            if not found:
                raise EntryNotFound(f"near: no tier holds entry {near} of {query.agent_id!r}")
            near = found[0].entry
        if isinstance(near, MemoryEntry):
            return SimilarityQuery.to_state(self._encoders, near.contents)
        if isinstance(near, (Sequence, np.ndarray)):
            return SimilarityQuery.to_vector(self._encoders, checked_embedding(near))
        state: Mapping[str, object] = as_contents(near)
        # Names the path of a value that cannot be part of a state, and would be similar to nothing.
        pack(state, max_bytes=self._max_bytes)
        return SimilarityQuery.to_state(self._encoders, state)

    def _counted(self, hits: list[Hit], touch: bool) -> list[Hit]:
        if touch and self._access_log is not None:
            self._access_log.record(hits, self._now())
        return hits
