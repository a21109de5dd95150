"""The one way a question goes: asked of the tiers, answered once an entry, counted as a retrieval.

    a query, and what to be similar to -> recall or SimilaritySearch -> the tiers -> the access log

``temporal`` and ``attribute`` make queries; ``recall`` answers them in their own order,
``similarity`` by similarity; ``access_log`` counts what was found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from agent_memory.errors import EntryNotFound, InvalidEntry
from agent_memory.repositories.querying import agents_of
from agent_memory.retrieval import timeline
from agent_memory.retrieval.access_log import AccessLog
from agent_memory.retrieval.doubts import Doubts
from agent_memory.retrieval.explaining import explain
from agent_memory.retrieval.paging import page
from agent_memory.retrieval.ranking import checked_diversity, pool_of, ranked
from agent_memory.retrieval.ranking import diverse as choose_diverse
from agent_memory.retrieval.recall import count, fetch, recall
from agent_memory.retrieval.sampling import Draw, Sampler
from agent_memory.retrieval.similarity import SimilaritySearch
from agent_memory.tiers.expiry import TierReader
from agent_memory.values.checks import checked_flag
from agent_memory.values.conditions import exists
from agent_memory.values.entry import EntryKey
from agent_memory.values.explanation import Explanation
from agent_memory.values.ordering import DESCENDING, SORT_KEYS
from agent_memory.values.pages import Hits, place_of
from agent_memory.values.query import Hit, Order, Query, run_of
from agent_memory.values.rank import Rank, checked_rank
from agent_memory.values.sample import Sample
from agent_memory.values.stretch import Stretch
from agent_memory.values.timeline import History


class Retriever:
    """Answers questions across the tiers. Threads may share it.

    Args:
        tiers: The tiers as questions see them, richest first.
        similarity: Answers what is near something.
        access_log: Where retrievals are counted; None: nowhere, in a memory opened read-only.
        now: Gives the time in the unit of timestamps.
        decay: What recency is multiplied by, and for how many steps, where a rank names none.

    Attributes:
        sampler: Draws entries at random.
    """

    def __init__(
        self,
        tiers: Sequence[TierReader],
        similarity: SimilaritySearch,
        access_log: AccessLog | None,
        now: Callable[[], float],
        decay: tuple[float, float] = (0.95, 100.0),
    ) -> None:
        self._tiers = tiers
        self._similarity = similarity
        self._access_log = access_log
        self._now = now
        self._decay = decay
        self._doubts = Doubts(tiers)
        self.sampler = Sampler(tiers)

    def recall(
        self,
        query: Query,
        *,
        near: object = None,
        touch: bool = True,
        rank: object = None,
        diverse: object = None,
        after: object = None,
    ) -> Hits:
        """Answer a query; see ``AgentMemorySystem.recall``.

        Args:
            query: What is asked; it names its run.
            near: What to be similar to, see ``SimilaritySearch``; None: the query's order counts.
            touch: Whether this counts as a retrieval of what is found.
            rank: A ``Rank``, or the name of a preset; None: similarity or the order counts alone.
            diverse: How much diversity counts, from 0 to 1; None: not.
            after: The cursor of the page before; None: from the beginning.

        Raises:
            InvalidEntry: ``near``, ``rank``, ``diverse`` or ``after`` has no meaning.
            EntryNotFound: ``near`` is a memory id that no tier holds.
            StoreUnavailable: A tier does not answer.
        """
        weights = checked_rank(rank)
        if near is None and weights is None and diverse is None:
            return Hits(self._paged(query, after, touch), query)
        if after is not None:
            raise InvalidEntry(
                "after: pages are of a query's order; near, rank and diverse take a larger limit"
            )
        strength = None if diverse is None else checked_diversity(diverse, query)
        limit = query.limit
        more = limit if strength is None or limit is None else pool_of(limit)
        if weights is not None:
            # Doubts look at all that answers a condition.
            most = None if query.attributes else more
            hits = self._ranked(replace(query, limit=None), near, weights, most)
        else:
            wider = query if more == limit else replace(query, limit=more)
            hits = self._answered(wider, near)
        if query.attributes:
            self._doubts.tell(query, hits)
        if strength is not None and limit is not None:
            hits = choose_diverse(hits, strength, limit)
        return Hits(self._counted(hits if limit is None else hits[:limit], touch))

    def _paged(self, query: Query, after: object, touch: bool) -> list[Hit]:
        if after is None:
            hits = recall(self._tiers, query)
        else:
            hits = page(self._tiers, query, place_of(query, after))
        if query.attributes:
            self._doubts.tell(query, hits)
        return self._counted(hits, touch)

    def _answered(self, query: Query, near: object) -> list[Hit]:
        if near is None:
            return recall(self._tiers, query)
        return self._similarity.recall(self._tiers, query, near)

    def _ranked(self, query: Query, near: object, rank: Rank, most: int | None) -> list[Hit]:
        """What answers by a rank; the query's order, or newest first, decides among equals."""
        if near is None and rank.relevance:
            raise InvalidEntry("rank: relevance is similarity: say to what by near=")
        asked = query if query.order is not None else replace(query, order=Order.NEWEST)
        hits = self._answered(asked, near if rank.relevance else None)
        sort_key, down = SORT_KEYS[asked.sorting], asked.sorting in DESCENDING
        hits.sort(key=lambda hit: sort_key(hit.entry), reverse=down)
        return ranked(hits, rank, self._now(), self._decay, most)

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

    def explain(self, query: Query) -> Explanation:
        """How a query is answered, and what that reads; it counts as no retrieval."""
        return explain(self._tiers, query)

    def first_of_each(self, query: Query, *, touch: bool) -> list[Hit]:
        """The first entry, in a query's order, of each agent that it is about."""
        return self._counted(timeline.first_of_each(self._tiers, query), touch)

    def history(self, query: Query, path: str) -> History:
        """The values at a path in what answers a query, which counts as no retrieval."""
        found = timeline.history(self._tiers, query, path)
        if not len(found):
            self._doubts.tell(replace(query, attributes={path: exists()}), [])
        return found

    def sample(
        self, query: Query, count: int, draw: Draw, beta: float, rng: np.random.Generator
    ) -> Sample:
        """Draw entries of the agents of a query; see ``Sampler.sample``. It is no retrieval."""
        try:
            return self.sampler.sample(run_of(query), query.agents, count, draw, beta, rng)
        except InvalidEntry:
            if draw.path is not None:
                self._doubts.tell(replace(query, attributes={draw.path: exists()}), [])
            raise

    def sequences_like(self, query: Query, given: Sequence[object], *, warp: bool) -> list[Stretch]:
        """The stretches of agents' lives most similar to a given one; no retrieval."""
        return self._similarity.sequences_like(self._tiers, query, given, warp=warp)

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
        return agents_of(self._tiers, run_id)

    def _counted(self, hits: list[Hit], touch: bool) -> list[Hit]:
        if checked_flag("touch", touch) and self._access_log is not None:
            self._access_log.record(hits, self._now())
        return hits
