"""Reads what a picture needs; counts no retrieval, writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

from agent_memory.errors import EntryNotFound
from agent_memory.retrieval.recall import fetch, recall
from agent_memory.retrieval.retriever import Retriever
from agent_memory.system.grouping import GroupStatistics, grouped
from agent_memory.system.pictures.numbers import (
    declared_position,
    guessed_position,
    lines_of,
    number_of,
    numeric_paths,
    place_in,
)
from agent_memory.system.pictures.occupancy import occupancy_of
from agent_memory.system.pictures.records import (
    MOST_ENTRIES,
    AgentSummary,
    Life,
    Lines,
    MomentDetail,
    Occupancy,
    Place,
    Position,
    RunSummary,
    Sampled,
    World,
)
from agent_memory.system.pictures.sampling import evenly
from agent_memory.tiers.expiry import TierReader
from agent_memory.tiers.forgetting import Tiers
from agent_memory.values.checks import checked_step
from agent_memory.values.entry import EntryKey, MemoryType, Tier
from agent_memory.values.identity import checked_agent_id, checked_memory_id
from agent_memory.values.ordering import SORT_KEYS
from agent_memory.values.paths import ABSENT, value_at
from agent_memory.values.query import Hit, Order, Query

_NEIGHBOURS = 6
_AROUND = 5


class Opened(Protocol):
    """What is open, as far as pictures read it."""

    @property
    def tiers(self) -> Tiers:
        """The repositories, richest tier first."""

    @property
    def readers(self) -> tuple[TierReader, TierReader, TierReader]:
        """The tiers as questions see them."""


class PictureData:
    """What pictures of one run are made of.

    Args:
        opened: What is open.
        run_id: The run.
        retriever: Answers questions.

    Attributes:
        run_id: The run.
    """

    def __init__(self, opened: Opened, run_id: str, retriever: Retriever) -> None:
        self._opened = opened
        self._retriever = retriever
        self.run_id: Final[str] = run_id

    def runs(self) -> tuple[RunSummary, ...]:
        """Every run of the memory, by name."""
        groups = grouped(self._opened.tiers, self.run_id, "run")
        return tuple(
            RunSummary(name, group.agents, *_numbers_of(group)) for name, group in groups.items()
        )

    def totals(self) -> tuple[int, int, int]:
        """How many entries each tier holds, of all runs; less work than ``runs``.

        Raises:
            StoreUnavailable: A tier does not answer.
        """
        stm, im, ltm = (sum(it.upkeep.entries_by_run().values()) for it in self._opened.tiers)
        return stm, im, ltm

    def agents(self) -> tuple[AgentSummary, ...]:
        """Every agent of the run, by name."""
        groups = grouped(self._opened.tiers, self.run_id, "agent")
        return tuple(AgentSummary(name, *_numbers_of(group)) for name, group in groups.items())

    def life(self, agent_id: str | int, most: int = MOST_ENTRIES) -> Life:
        """What an agent remembers, in the order of steps; of very much an even sample.

        Its first and its last entry are in the sample, and what is pinned, if that is not most.

        Args:
            agent_id: The agent.
            most: How many entries are read at most.

        Raises:
            EntryNotFound: The agent has no entries in the run.
            StoreUnavailable: A tier does not answer.
        """
        agent = checked_agent_id(agent_id)
        query = Query(run_id=self.run_id, agent_id=agent, order=Order.STEP)
        readers = self._opened.readers
        if sum(reader.count(self.run_id, agent) for reader in readers) <= most:
            hits = recall(readers, query)
            total = len(hits)
        else:
            # Ids begin with their time, or are evenly spread, so that these are evenly chosen.
            ids = self._ids(query)
            total = len(ids)
            kept = evenly(self._ids(replace(query, pinned=True)), most // 4)
            some = evenly(sorted(set(ids).difference(kept)), most - len(kept))
            hits = fetch(readers, [EntryKey(self.run_id, agent, each) for each in kept + some])
            hits.sort(key=lambda hit: SORT_KEYS[Order.STEP](hit.entry))
        if not hits:
            raise EntryNotFound(f"agent {agent!r} of run {self.run_id!r} has no entries")
        return Life(self.run_id, agent, tuple(hits), Sampled(len(hits), total))

    def _ids(self, query: Query) -> list[str]:
        """The ids of all that answers a query about one agent, sorted."""
        readers = self._opened.readers
        return sorted({key.memory_id for each in readers for key in each.keys_answering(query)})

    def lines(
        self, life: Life, paths: Sequence[str] | None = None, most_points: int = MOST_ENTRIES
    ) -> Lines:
        """How numbers of an agent went; see ``numbers.lines_of``."""
        return lines_of(life.agent_id, life.hits, paths, most_points)

    def occupancy(self, agent_id: str | int | None = None, most: int = MOST_ENTRIES) -> Occupancy:
        """Which tier holds the entries of which steps, of the run or of one agent.

        Of a run with more entries than ``most`` whole lives are counted, of evenly chosen agents.

        Raises:
            EntryNotFound: There are no entries.
            StoreUnavailable: A tier does not answer.
        """
        if agent_id is not None:
            life = self.life(agent_id, most)
            return occupancy_of(life.agent_id, life.hits, life.sampled, Sampled(1, 1, "agents"))
        totals = {agent.agent_id: agent.total for agent in self.agents()}
        if not totals:
            raise EntryNotFound(f"run {self.run_id!r} has no entries")
        chosen = _some_agents(totals, most)
        hits: Sequence[Hit]
        if len(chosen) == 1:
            hits = self.life(chosen[0], most).hits
        else:
            hits = recall(self._opened.readers, Query(run_id=self.run_id, agent_id=chosen))
        sampled = Sampled(len(hits), max(len(hits), sum(totals.values())))
        agents = Sampled(len(chosen), len(totals), "agents")
        return occupancy_of(self.run_id, hits, sampled, agents)

    def world(
        self,
        step: int,
        position: str | Sequence[str] | None = None,
        colour: str = "",
        most: int = MOST_ENTRIES,
    ) -> World:
        """The agents at a step, each by its latest state at that step or before it.

        Args:
            step: The step.
            position: The path of two numbers, or the paths of both; None: guessed by name.
            colour: The path of the attribute to colour by; empty: none.
            most: How many agents are shown at most.

        Raises:
            InvalidEntry: An argument has no meaning.
            StoreUnavailable: A tier does not answer.
        """
        at = checked_step(step)
        query = Query(
            run_id=self.run_id, steps=(None, at), memory_type=MemoryType.STATE,
            order=Order.LATEST_STEP,
        )  # fmt: skip
        hits = self._retriever.first_of_each(query, touch=False)
        contents = [hit.entry.contents for hit in hits]
        found = guessed_position(contents) if position is None else declared_position(position)
        places = [] if found is None else _places(hits, found, colour)
        shown = evenly(places, most)
        return World(
            at, tuple(shown), found, colour, numeric_paths(evenly(contents, 50)),
            Sampled(len(shown), len(places), "agents"),
        )  # fmt: skip

    def moment(self, agent_id: str | int, memory_id: str) -> MomentDetail:
        """A memory with what the agent remembers around it, and what is most similar to it.

        Raises:
            EntryNotFound: No tier holds it.
            StoreUnavailable: A tier does not answer.
        """
        agent = checked_agent_id(agent_id)
        key = EntryKey(self.run_id, agent, checked_memory_id(memory_id))
        hit = self._retriever.fetch(key, touch=False)
        if hit is None:
            raise EntryNotFound(f"agent {agent!r} of run {self.run_id!r} has no such memory")
        window = self._retriever.window([key], _AROUND, _AROUND, touch=False)
        query = Query(run_id=self.run_id, agent_id=agent, limit=_NEIGHBOURS + 1)
        near = self._retriever.recall(query, near=hit.entry, touch=False)
        neighbours = [each for each in near if each.entry.memory_id != key.memory_id]
        bounds = dict(hit.entry.error_bounds or {})
        return MomentDetail(hit, tuple(window), tuple(neighbours[:_NEIGHBOURS]), bounds)


def _numbers_of(group: GroupStatistics) -> tuple[tuple[int, int, int], int, int, float]:
    stm, im, ltm = (group.entries.get(tier, 0) for tier in Tier)
    return (stm, im, ltm), group.first_step, group.last_step, group.last_timestamp


def _some_agents(totals: Mapping[str, int], most: int) -> list[str]:
    """Evenly chosen agents that have no more entries than that together; one at least."""
    everyone = list(totals)
    count = len(everyone)
    while True:
        chosen = evenly(everyone, count)
        entries = sum(totals[agent] for agent in chosen)
        if entries <= most or count == 1:
            return chosen
        count = max(1, min(count - 1, count * most // entries))


def _places(hits: Sequence[Hit], position: Position, colour: str) -> list[Place]:
    places = []
    for hit in hits:
        entry = hit.entry
        at = place_in(entry.contents, position.x, position.y)
        if at is not None:
            value = value_at(entry.contents, colour) if colour else ABSENT
            number = None if value is ABSENT else number_of(value)
            places.append(
                Place(entry.agent_id, entry.memory_id, *at, entry.step_number, hit.tier, number)
            )
    return places
