"""The one way a question goes: asked of the tiers, answered once an entry, counted as a retrieval.

    a query, and what to be similar to -> recall or SimilaritySearch -> the tiers -> the access log

``temporal`` and ``attribute`` make queries; ``recall`` answers them in their own order,
``similarity`` by similarity; ``access_log`` counts what was found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from agent_memory.errors import EntryNotFound
from agent_memory.retrieval import timeline
from agent_memory.retrieval.access_log import AccessLog
from agent_memory.retrieval.doubts import Doubts
from agent_memory.retrieval.recall import count, fetch, recall
from agent_memory.retrieval.similarity import SimilaritySearch
from agent_memory.tiers.expiry import TierReader
from agent_memory.values.conditions import exists
from agent_memory.values.entry import EntryKey
from agent_memory.values.query import Hit, Query
from agent_memory.values.timeline import History


class Retriever:
    """Answers questions across the tiers. Threads may share it.

    Args:
        tiers: The tiers as questions see them, richest first.
        similarity: Answers what is near something.
        access_log: Where retrievals are counted; None: nowhere, in a memory opened read-only.
        now: Gives the time in the unit of timestamps.
    """

    def __init__(
        self,
        tiers: Sequence[TierReader],
        similarity: SimilaritySearch,
        access_log: AccessLog | None,
        now: Callable[[], float],
    ) -> None:
        self._tiers = tiers
        self._similarity = similarity
        self._access_log = access_log
        self._now = now
        self._doubts = Doubts(tiers)

    def recall(self, query: Query, *, near: object = None, touch: bool = True) -> list[Hit]:
        """Answer a query; see ``AgentMemorySystem.recall``.

        Args:
            query: What is asked; it names its run.
            near: What to be similar to, see ``SimilaritySearch``; None: the query's order counts.
            touch: Whether this counts as a retrieval of what is found.

        Raises:
            InvalidEntry: ``near`` is none of these.
            EntryNotFound: ``near`` is a memory id that no tier holds.
            StoreUnavailable: A tier does not answer.
        """
        if near is None:
            hits = recall(self._tiers, query)
        else:
            hits = self._similarity.recall(self._tiers, query, near)
        if query.attributes:
            self._doubts.tell(query, hits)
        return self._counted(hits, touch)

    def fetch(self, key: EntryKey, *, touch: bool = True) -> Hit | None:
        """Get one entry from whichever tier holds it, or None.

        Raises:
            StoreUnavailable: A tier does not answer.
        """
        hits = self._counted(fetch(self._tiers, [key]), touch)
        return hits[0] if hits else None

    def count(self, query: Query) -> int:
        """How many entries answer a query; see ``AgentMemorySystem.count``."""
        number = count(self._tiers, query)
        if query.attributes and not number:
            self._doubts.tell(query, [])
        return number

    def first_of_each(self, query: Query, *, touch: bool) -> list[Hit]:
        """The first entry, in a query's order, of each agent that it is about."""
        return self._counted(timeline.first_of_each(self._tiers, query), touch)

    def history(self, query: Query, path: str) -> History:
        """The values at a path in what answers a query, which counts as no retrieval."""
        found = timeline.history(self._tiers, query, path)
        if not len(found):
            self._doubts.tell(replace(query, attributes={path: exists()}), [])
        return found

    def window(
        self, keys: Sequence[EntryKey], before: int, after: int, *, touch: bool
    ) -> list[Hit]:
        """What stands around the first of some entries that is stored.

        Raises:
            EntryNotFound: None is.
        """
        found = fetch(self._tiers, keys)
        if not found:
            raise EntryNotFound(f"window: no tier holds entry {keys[0].memory_id if keys else ''}")
        hits = timeline.window(self._tiers, found[0].entry, before, after)
        return self._counted(hits, touch)

    def agents(self, run_id: str) -> list[str]:
        """The agents that have entries in a run, in any tier, sorted."""
        return sorted({agent for tier in self._tiers for agent in tier.agents(run_id)})

    def _counted(self, hits: list[Hit], touch: bool) -> list[Hit]:
        if touch and self._access_log is not None:
            self._access_log.record(hits, self._now())
        return hits
