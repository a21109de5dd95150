"""What questions see of a tier whose entries are dropped when they are over its age.

They are removed by the next upkeep; until then they stand there and nobody is shown them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from agent_memory.ageing import Ages, Moment
from agent_memory.entry import MAX_STEP, EntryKey, MemoryEntry, Order, Query, Tier
from agent_memory.repositories.base import MemoryRepository, Neighbour, OpenMove, Probe, run_of


class Shown(Protocol):
    """What questions ask of a tier: the part of a repository that reads."""

    @property
    def tier(self) -> Tier:
        """Which tier it is."""

    def get_many(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are there, in the order of the keys."""

    def find(self, query: Query) -> list[MemoryEntry]:
        """Return the entries that answer a query, in its order. The query names its run."""

    def nearest(self, query: Query, probe: Probe) -> list[Neighbour]:
        """The entries that answer a query and whose vectors are nearest to a probe."""

    def count(self, run_id: str, agent_id: str | None = None) -> int:
        """How many entries an agent has in a run."""

    def open_moves(self) -> list[OpenMove]:
        """The moves out of here that were begun and not finished."""


@dataclass(frozen=True)
class Unexpired:
    """A tier without the entries that are over its age.

    Attributes:
        repository: The tier.
        ages: How old entries may become there.
        moment: Gives the moment by which they are judged, of a run.
    """

    repository: MemoryRepository
    ages: Ages
    moment: Callable[[str], Moment]

    @property
    def tier(self) -> Tier:
        """Which tier it is."""
        return self.repository.tier

    def get_many(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are there, in the order of the keys."""
        moments = {run_id: self.moment(run_id) for run_id in {key.run_id for key in keys}}
        return [
            entry
            for entry in self.repository.get_many(keys)
            if entry.timestamp >= self.ages.first_time(moments[entry.run_id])
            and entry.step_number >= self.ages.first_step(moments[entry.run_id])
        ]

    def find(self, query: Query) -> list[MemoryEntry]:
        """Return the entries that answer a query, in its order. The query names its run."""
        return self.repository.find(self._narrowed(query))

    def nearest(self, query: Query, probe: Probe) -> list[Neighbour]:
        """The entries that answer a query and whose vectors are nearest to a probe."""
        return self.repository.nearest(self._narrowed(query), probe)

    def count(self, run_id: str, agent_id: str | None = None) -> int:
        """How many entries an agent has in a run; None for all agents together."""
        agents = self.repository.agents(run_id) if agent_id is None else [agent_id]
        queries = [
            self._narrowed(Query(run_id=run_id, agent_id=name, order=Order.STEP)) for name in agents
        ]
        return sum(map(len, self.repository.find_each(queries)))

    def open_moves(self) -> list[OpenMove]:
        """The moves out of here that were begun and not finished."""
        return self.repository.open_moves()

    def _narrowed(self, query: Query) -> Query:
        moment = self.moment(run_of(query))
        times, steps = query.times, query.steps
        first_time, first_step = self.ages.first_time(moment), self.ages.first_step(moment)
        if first_time > -math.inf:
            least, greatest = times or (-math.inf, math.inf)
            times = max(least, first_time), greatest
        if first_step > 0:
            first, last = steps or (0, MAX_STEP)
            steps = max(first, first_step), last
        return replace(query, times=times, steps=steps)
