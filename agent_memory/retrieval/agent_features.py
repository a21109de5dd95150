"""The features of an agent's entries in all tiers, kept and checked on every use.

Reading and decoding contents takes some 50 us each, comparing them here a hundredth of that. So
their features are kept, and each question asks every tier what has changed since.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.comparable import Comparable, comparable
from agent_memory.embeddings.distance import distances, nearest
from agent_memory.embeddings.feature_table import FeatureTable
from agent_memory.embeddings.scales import Scales, scales_of
from agent_memory.repositories.following import FILTERED, Changes, Stored
from agent_memory.tiers.expiry import TierReader
from agent_memory.values.entry import Tier
from agent_memory.values.query import CATEGORIES, FLAGS, RANGES, Query
from agent_memory.values.recently_used import RecentlyUsed

MAX_BYTES = 256 * 1024**2
"""How many bytes of features a process keeps."""

_BARE = 2_000  # bytes that an agent without entries takes
_ENTRY_BYTES = 300  # of an entry besides its features, about
_UNKNOWN = -1  # a category that no entry has
_NOWHERE = -1  # the tier of a row that was removed


class FeatureCache(RecentlyUsed[tuple[str, str], "AgentFeatures"]):
    """Keeps the features of the agents that were asked about last. Threads may share it.

    An agent's are to be used with their lock held.

    Args:
        max_bytes: How many bytes to keep; the features of one agent are kept at any rate.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(lambda agent: AgentFeatures(*agent), max_bytes)


class Candidate(NamedTuple):
    """An entry that answers, and how far it is.

    Attributes:
        rank: What it is sorted by, the first is the best: the distance, and how much it says
            besides what was asked about.
    """

    stored: Stored
    tier: Tier
    rank: tuple[float, float]


class AgentFeatures:
    """The features of one agent's entries, as of when each tier was asked last.

    Args:
        run_id: The run.
        agent_id: The agent.
    """

    def __init__(self, run_id: str, agent_id: str) -> None:
        self.lock = threading.Lock()
        self._run_id = run_id
        self._agent_id = agent_id
        self.size = _BARE
        self._table = FeatureTable()
        self._scales: Scales | None = None  # of the table as it is
        self._seen: dict[Tier, object] = {}
        self._places: dict[Tier, dict[str, int]] = {}
        self._stored: list[Stored] = []  # by row, as what follows
        self._tier = np.zeros(0, np.int8)
        # Steps are whole numbers that a double tells apart, as all other numbers are.
        self._fields = {name: np.zeros(0) for name in FILTERED}
        self._codes: dict[str, int] = {}  # the numbers of categories

    def refresh(self, tiers: Sequence[TierReader]) -> None:
        """Bring the features up to date.

        Args:
            tiers: From the top down, as entries move: so that each is seen at least once.

        Raises:
            StoreUnavailable: A tier does not answer.
        """
        for tier in tiers:
            places = self._places.setdefault(tier.tier, {})
            seen = self._seen.pop(tier.tier, None)
            try:
                changes = tier.changes(self._run_id, self._agent_id, seen, places.keys())
                # An empty tier says each time that there is nothing, and that this is all.
                if not (changes.stored or changes.gone or (changes.whole and places)):
                    self._seen[tier.tier] = changes.seen
                    continue
                self._scales = None
                self._take(tier.tier, places, changes)
                self._seen[tier.tier] = changes.seen
            except BaseException:
                # What was half read is not right; the next question reads all of it again.
                self._table, self._stored = FeatureTable(), []
                self._seen, self._places = {}, {}
                raise
        if self._table.is_sparse:
            self._gather()
        self.size = _BARE + self._table.size + _ENTRY_BYTES * len(self._stored)

    def nearest(
        self,
        queries: Mapping[Tier, Sequence[Query]],
        asked: Comparable,
        limit: int | None,
        among: Mapping[Tier, Collection[str]] | None = None,
    ) -> list[Candidate]:
        """The entries nearest to a state.

        Args:
            queries: What is asked of each tier; an entry is to answer one of its tier's.
            asked: The state.
            limit: How many at most, but that those are given too which are as far as the last.
            among: Only these, by the ids of each tier's.

        Returns:
            Not sorted. Of an entry in several tiers the richest tier's copy.
        """
        if self._scales is None:
            self._scales = scales_of(self._table)
        if limit is not None and among is None:
            meets = partial(self._answering, queries, self._copies())
            near = nearest(self._table, self._scales, asked, limit, meets)
            if near is not None:
                return [*map(self._candidate, *(column.tolist() for column in near))]
        found = distances(self._table, self._scales, asked)
        rows = np.arange(len(self._table))
        answering = self._answering(queries, self._copies(), rows)
        if among is not None:
            answering &= self._named(among)
        places = np.flatnonzero(answering)
        if limit is not None and len(places) > limit:
            far = found.distance[places]
            places = places[far <= np.partition(far, limit - 1)[limit - 1]]
        chosen = (places, found.distance[places], found.besides[places])
        return [*map(self._candidate, *(column.tolist() for column in chosen))]

    def lists_of(self, length: int) -> list[str]:
        """The paths under which entries hold lists of so many elements."""
        return self._table.paths_of(float(length), "[]")

    def _named(self, among: Mapping[Tier, Collection[str]]) -> NDArray[np.bool_]:
        named = np.zeros(len(self._table), bool)
        for tier, names in among.items():
            places = self._places.get(tier, {})
            named[[places[name] for name in names if name in places]] = True
        return named

    def _candidate(self, place: int, distance: float, besides: float) -> Candidate:
        return Candidate(self._stored[place], Tier(int(self._tier[place])), (distance, besides))

    def _answering(
        self,
        queries: Mapping[Tier, Sequence[Query]],
        copies: Sequence[int],
        rows: NDArray[np.intp],
    ) -> NDArray[np.bool_]:
        """Which of some rows answer, each entry once, of shape (rows,)."""
        chosen = np.zeros(len(rows), bool)
        tiers = self._tier[rows]
        for tier, asked in queries.items():
            of_tier = tiers == int(tier)
            for query in asked:
                chosen |= of_tier & self._meets(query, rows)
        if copies:
            chosen &= ~np.isin(rows, copies)
        return chosen

    def _meets(self, query: Query, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        meets = np.ones(len(rows), bool)
        for name, field in RANGES.items():
            bounds = getattr(query, name)
            if bounds is not None:
                values = self._fields[field][rows]
                meets &= (values >= bounds[0]) & (values <= bounds[1])
        for name in CATEGORIES:
            wanted = getattr(query, name)
            if wanted is not None:
                meets &= self._fields[name][rows] == self._codes.get(str(wanted), _UNKNOWN)
        for name in FLAGS:
            wanted = getattr(query, name)
            if wanted is not None:
                meets &= self._fields[name][rows] == wanted
        return meets

    def _copies(self) -> list[int]:
        """The rows of entries that a higher tier has too."""
        copies: list[int] = []
        above: list[dict[str, int]] = []
        for tier in Tier:
            places = self._places.get(tier, {})
            for higher in above:
                copies += [places[name] for name in higher.keys() & places.keys()]
            above.append(places)
        return copies

    def _take(self, tier: Tier, places: dict[str, int], changes: Changes) -> None:
        came = (it.memory_id for it in changes.stored)
        for name in [*places] if changes.whole else [*changes.gone, *came]:
            place = places.pop(name, None)
            if place is not None:
                self._table.remove(place)
                self._tier[place] = _NOWHERE
        added = self._table.add(
            [{} if it.contents is None else comparable(it.contents).values for it in changes.stored]
        )
        self._make_room(added.stop)
        for place, it in zip(added, changes.stored, strict=True):
            places[it.memory_id] = place
            self._stored.append(it._replace(contents=None))
            self._tier[place] = int(tier)
            for name, column in self._fields.items():
                value = it.fields[name]
                column[place] = self._code(value) if name in CATEGORIES else value

    def _code(self, category: object) -> int:
        return self._codes.setdefault(str(category), len(self._codes))

    def _gather(self) -> None:
        self._table, kept = self._table.gathered()
        renamed = {old: new for new, old in enumerate(kept.tolist())}
        self._stored = [self._stored[place] for place in kept.tolist()]
        self._tier = self._tier[kept]
        self._fields = {name: column[kept] for name, column in self._fields.items()}
        for places in self._places.values():
            for name, place in places.items():
                places[name] = renamed[place]
        self._scales = None

    def _make_room(self, rows: int) -> None:
        room = len(self._tier)
        if rows > room:
            more = max(rows, 2 * room)
            self._tier = _grown(self._tier, more)
            self._fields = {name: _grown(column, more) for name, column in self._fields.items()}


def _grown(array: NDArray[Any], rows: int) -> NDArray[Any]:
    grown = np.zeros((rows, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
