"""The features of an agent's entries in all tiers, kept and checked on every use.

Reading and decoding contents takes some 50 us each, comparing them here a hundredth of that. So
their features are kept, and each question asks every tier what has changed since.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.codes import Codes
from agent_memory.embeddings.comparable import Comparable, Value
from agent_memory.embeddings.distance import distances, nearest
from agent_memory.embeddings.feature_table import FeatureTable
from agent_memory.embeddings.joint_scales import joint_scales
from agent_memory.embeddings.scales import Scales, scales_of
from agent_memory.repositories.following import FILTERED, Changes, Stored, View
from agent_memory.retrieval.comparing import compared
from agent_memory.retrieval.near_candidates import Candidate, Far, Meets, Rounded, Rounding
from agent_memory.tiers.expiry import TierReader
from agent_memory.values.coded import CodedContents
from agent_memory.values.entry import Tier
from agent_memory.values.query import CATEGORIES, FLAGS, RANGES, Query

_BARE = 2_000  # bytes that an agent without entries takes
_ENTRY_BYTES = 300  # of an entry besides its features, about
_UNKNOWN = -1  # a category that no entry has
_NOWHERE = -1  # the tier of a row that was removed
_EXACT = 0  # the number of the rounding of what was not rounded


class AgentFeatures:
    """The features of one agent's entries, as of when each tier was asked last.

    Args:
        run_id: The run.
        agent_id: The agent.
        codes: Those that have rounded contents.
    """

    def __init__(self, run_id: str, agent_id: str, codes: Codes) -> None:
        self._run_id = run_id
        self._agent_id = agent_id
        self._contents_codes = codes
        self._begin()

    def _begin(self) -> None:
        self.size = _BARE
        self._is_whole = True  # but while it is brought up to date
        self._table = FeatureTable()
        self._scales: Scales | None = None  # of the table as it is
        self._seen: dict[Tier, object] = {}
        self._places: dict[Tier, dict[str, int]] = {}
        self._stored: list[Stored] = []  # by row, as what follows
        # Of rows that a higher tier has too, which are not in the table: their tier and features.
        self._copies: dict[int, tuple[Tier, dict[str, Value]]] = {}
        self._tier = np.zeros(0, np.int8)
        self._rounding = np.zeros(0, np.int16)
        self._roundings: dict[Rounding, int] = {}  # their numbers, from 1
        self._bounded: list[set[str]] = [set()]  # by number the paths whose numbers may be off
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
        if not self._is_whole:
            self._begin()  # what a failure or an interruption has left half read is read again
        self._is_whole = False
        for tier in tiers:
            self._refresh(tier)
        if self._scales is None:
            self._leave_copies_out()
        self.size = _BARE + self._table.size + _ENTRY_BYTES * len(self._stored)
        self._is_whole = True

    def _refresh(self, tier: TierReader) -> None:
        places = self._places.setdefault(tier.tier, {})
        seen = self._seen.get(tier.tier)
        changes = tier.changes(self._run_id, self._agent_id, seen, places.keys())
        # An empty tier says each time that there is nothing, and that this is all.
        if changes.stored or changes.gone or (changes.whole and places):
            self._scales = None
            self._take(tier.tier, places, changes)
        self._seen[tier.tier] = changes.seen

    def views(self, tiers: Sequence[TierReader], chosen: Sequence[Candidate]) -> list[View] | None:
        """What was seen of each tier, and which entries of it are to be read.

        Args:
            tiers: The tiers.
            chosen: The entries to be read.

        Returns:
            None where a tier was not seen yet, or cannot say whether something has changed.
        """
        seen = [self._seen.get(tier.tier) for tier in tiers]
        if not self._is_whole or any(one is None for one in seen):
            return None
        return [
            View(
                one,
                not self._places.get(tier.tier),
                [each.stored.memory_id for each in chosen if each.tier is tier.tier],
            )
            for tier, one in zip(tiers, seen, strict=True)
        ]

    def nearest(
        self,
        queries: Mapping[Tier, Sequence[Query]],
        asked: Comparable,
        limit: int | None,
        among: Mapping[Tier, Collection[str]] | None,
        rounded: Rounded,
        scales: Scales | None = None,
    ) -> list[Candidate]:
        """The entries nearest to a state.

        Contents that a code has rounded are the same as the state if it would round the state to
        them: it is what the entry that was stored of the state is found by.

        Args:
            queries: What is asked of each tier; an entry is to answer one of its tier's.
            asked: The state.
            limit: How many at most, but that those are given too which are as far as the last,
                and those that are the same as far as rounding tells.
            among: Only these, by the ids of each tier's; None: all.
            rounded: Rounds the state.
            scales: The units of numbers; None: those that this agent's entries have alone.

        Returns:
            Not sorted. Of an entry in several tiers the richest tier's copy.
        """
        units = self.scales if scales is None else scales
        meets = partial(self._answering, queries, among)
        found = self._nearest(units, asked, limit, meets)
        same: dict[int, Far] = {}
        for one in self._roundings_here(asked):
            its = partial(self._of_rounding, self._roundings[one], meets)
            same |= self._nearest(units, rounded(one, asked), 1, its, as_rounded=True)
        for place, far in same.items():
            if far.distance == 0.0:
                known = found[place].distance if place in found else math.inf
                found[place] = Far(0.0, is_rounded=True, besides=far.besides, known=known)
        return [
            Candidate(self._stored[place], Tier(int(self._tier[place])), far)
            for place, far in found.items()
        ]

    def _nearest(
        self,
        scales: Scales,
        asked: Comparable,
        limit: int | None,
        meets: Meets,
        *,
        as_rounded: bool = False,
    ) -> dict[int, Far]:
        """How far the nearest rows are that meet something, and all as far as the last of them."""
        if limit is not None:
            near = nearest(self._table, scales, asked, limit, meets, as_rounded=as_rounded)
            if near is not None:
                return self._far(asked, *near)
        found = distances(self._table, scales, asked, as_rounded=as_rounded)
        places = np.flatnonzero(meets(np.arange(len(self._table))))
        if limit is not None and len(places) > limit:
            far = found.distance[places]
            places = places[far <= np.partition(far, limit - 1)[limit - 1]]
        return self._far(asked, places, found.distance[places], found.besides[places])

    def _far(self, asked: Comparable, *found: NDArray[Any]) -> dict[int, Far]:
        places, distances_, besides = (column.tolist() for column in found)
        is_rounded = self._are_rounded(asked)[self._rounding[found[0]]].tolist()
        return {
            place: Far(distance, rounded and distance == 0.0, more)
            for place, distance, more, rounded in zip(
                places, distances_, besides, is_rounded, strict=True
            )
        }

    def _of_rounding(self, number: int, meets: Meets, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of some rows meet something and have a rounding, of shape (rows,)."""
        of_it: NDArray[np.bool_] = self._rounding[rows] == number
        of_it[of_it] = meets(rows[of_it])
        return of_it

    def _are_rounded(self, asked: Comparable) -> NDArray[np.bool_]:
        """By the number of a rounding, whether it has moved any number that is asked about."""
        paths = asked.values.keys()
        return np.array([not paths.isdisjoint(some) for some in self._bounded])

    def _roundings_here(self, asked: Comparable) -> list[Rounding]:
        """How numbers that are asked about were rounded in entries that are here."""
        moved = self._are_rounded(asked)
        if not moved.any():
            return []
        rows = len(self._stored)
        here = self._rounding[:rows][self._tier[:rows] != _NOWHERE]
        counts = np.bincount(here, minlength=len(self._roundings) + 1)
        return [one for one, number in self._roundings.items() if counts[number] and moved[number]]

    def similarities(
        self,
        queries: Mapping[Tier, Sequence[Query]],
        asked: Sequence[Comparable],
        scales: Scales,
    ) -> tuple[list[str], NDArray[np.float64]]:
        """How similar each entry that answers is to each of some states.

        Args:
            queries: What is asked of each tier.
            asked: The states.
            scales: The units of numbers.

        Returns:
            The ids of the entries by step, and the similarities of shape (states, entries).
        """
        answering = self._answering(queries, None, np.arange(len(self._table)))
        places = np.flatnonzero(answering)
        steps = self._fields["step_number"][places]
        ids = [self._stored[place].memory_id for place in places.tolist()]
        order = np.lexsort((np.array(ids, "U32"), steps))
        similar = np.zeros((len(asked), len(places)))
        for state, one in enumerate(asked):
            found = distances(self._table, scales, one)
            similar[state] = found.scores[places[order]]
        return [ids[place] for place in order.tolist()], similar

    @property
    def scales(self) -> Scales:
        """The units of numbers that the agent's entries have."""
        if self._scales is None:
            self._scales = scales_of(self._table)
        return self._scales

    @staticmethod
    def joint_scales(agents: Sequence[AgentFeatures]) -> list[Scales]:
        """The units that the entries of several agents have together, for each of them."""
        if len(agents) <= 1:
            return [agent.scales for agent in agents]
        return joint_scales([agent._table for agent in agents])  # noqa: SLF001 - its own class

    def lists_of(self, length: int) -> list[str]:
        """The paths under which entries hold lists of so many elements."""
        return self._table.paths_of(float(length), "[]")

    def _named(self, among: Mapping[Tier, Collection[str]]) -> NDArray[np.bool_]:
        named = np.zeros(len(self._table), bool)
        for tier, names in among.items():
            places = self._places.get(tier, {})
            named[[places[name] for name in names if name in places]] = True
        return named

    def _answering(
        self,
        queries: Mapping[Tier, Sequence[Query]],
        among: Mapping[Tier, Collection[str]] | None,
        rows: NDArray[np.intp],
    ) -> NDArray[np.bool_]:
        """Which of some rows answer, each entry once, of shape (rows,)."""
        chosen = np.zeros(len(rows), bool)
        tiers = self._tier[rows]
        for tier, asked in queries.items():
            of_tier = tiers == int(tier)
            for query in asked:
                chosen |= of_tier & self._meets(query, rows)
        if among is not None:
            chosen &= self._named(among)[rows]
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

    def _leave_copies_out(self) -> None:
        """Keep out of the table what a higher tier has too: one entry counts once in the units."""
        copies: set[int] = set()
        above: list[dict[str, int]] = []
        for tier in Tier:
            places = self._places.get(tier, {})
            for higher in above:
                copies |= {places[name] for name in higher.keys() & places.keys()}
            above.append(places)
        for place in self._copies.keys() - copies:
            self._put_back(place)
        if self._table.is_sparse:
            for place in [*self._copies]:
                copies.add(self._put_back(place))
            copies = self._gather(copies)
        for place in copies - self._copies.keys():
            self._copies[place] = Tier(int(self._tier[place])), self._table.state(place)
            self._remove(place)

    def _put_back(self, place: int) -> int:
        """Put a row that was left out into the table again; gives its new place."""
        tier, state = self._copies.pop(place)
        stored = self._stored[place]
        (new,) = self._table.add([state])
        self._make_room(new + 1)
        self._stored.append(stored)
        self._places[tier][stored.memory_id] = new
        self._tier[new], self._rounding[new] = int(tier), self._rounding[place]
        for column in self._fields.values():
            column[new] = column[place]
        return new

    def _remove(self, place: int) -> None:
        self._table.remove(place)
        self._tier[place] = _NOWHERE

    def _take(self, tier: Tier, places: dict[str, int], changes: Changes) -> None:
        came = (it.memory_id for it in changes.stored)
        for name in [*places] if changes.whole else [*changes.gone, *came]:
            place = places.pop(name, None)
            if place is not None:
                self._copies.pop(place, None)
                self._remove(place)
        added = self._table.add(compared(self._contents_codes, changes.stored))
        self._make_room(added.stop)
        roundings = [self._number_of(it.contents) for it in changes.stored]
        for place, it, rounding in zip(added, changes.stored, roundings, strict=True):
            places[it.memory_id] = place
            self._stored.append(it._replace(contents=None, vector=None))
            self._tier[place] = int(tier)
            self._rounding[place] = rounding
            for name, column in self._fields.items():
                value = it.fields[name]
                column[place] = self._code(value) if name in CATEGORIES else value

    def _number_of(self, contents: object) -> int:
        """The number of the rounding of contents."""
        if not isinstance(contents, CodedContents) or not contents.bounds:
            return _EXACT
        how = Rounding(contents.version, contents.level)
        number = self._roundings.get(how)
        if number is None:
            number = self._roundings[how] = len(self._bounded)
            self._bounded.append(set())
        self._bounded[number] |= contents.bounds.keys()
        return number

    def _code(self, category: object) -> int:
        return self._codes.setdefault(str(category), len(self._codes))

    def _gather(self, marked: set[int]) -> set[int]:
        """Take rows that were removed out of what is kept; gives the new places of some others."""
        self._table, kept = self._table.gathered()
        renamed = {old: new for new, old in enumerate(kept.tolist())}
        self._stored = [self._stored[place] for place in kept.tolist()]
        self._tier = self._tier[kept]
        self._rounding = self._rounding[kept]
        self._fields = {name: column[kept] for name, column in self._fields.items()}
        for places in self._places.values():
            for name, place in places.items():
                places[name] = renamed[place]
        return {renamed[place] for place in marked if place in renamed}

    def _make_room(self, rows: int) -> None:
        room = len(self._tier)
        if rows > room:
            more = max(rows, 2 * room)
            self._tier = _grown(self._tier, more)
            self._rounding = _grown(self._rounding, more)
            self._fields = {name: _grown(column, more) for name, column in self._fields.items()}


def _grown(array: NDArray[Any], rows: int) -> NDArray[Any]:
    grown = np.zeros((rows, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
