"""The ways down from tier to tier: which entries have to leave, and moving them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from agent_memory.compression.levels import CompressionEngine
from agent_memory.config import MemoryConfig
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.counts import AgentCounts
from agent_memory.repositories.moves import Agent
from agent_memory.repositories.outcomes import Gone
from agent_memory.tiers import moving
from agent_memory.tiers.ageing import Ages, Moments
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.interruptions import raise_if_interrupted
from agent_memory.values.query import Query

_BATCH = 500  # entries a round trip between the Redis tiers
_AT_ONCE = 2_000  # entries that are read before they move, unless one agent has more to move
_MOST_REPORTED = 1_000  # entries that are remembered so that each is logged once
# What storing raises for something in an entry, and never for the store; ``InvalidEntry`` and
# ``EncodingError`` are among them.
_OF_AN_ENTRY = (ValueError, TypeError, ArithmeticError, RecursionError)

_logger = logging.getLogger(__name__)

T = TypeVar("T")

Counts = Mapping[Agent, AgentCounts]


class Moved(NamedTuple):
    """What came of moving entries down.

    Attributes:
        moved: How many have moved by this, and not by another process at the same time.
        changed: The agents of those that changed meanwhile.
        refused: Those that the tier below cannot store; they stay where they are.
    """

    moved: int = 0
    changed: frozenset[Agent] = frozenset()
    refused: frozenset[EntryKey] = frozenset()

    def and_also(self, other: Moved) -> Moved:
        """What came of both."""
        return Moved(
            self.moved + other.moved, self.changed | other.changed, self.refused | other.refused
        )


@dataclass(frozen=True, slots=True)
class Demotion:
    """One way down: from where, to where, and who has to leave.

    Attributes:
        source: The tier they leave.
        destination: The tier they go to.
        level: The compression level of that tier.
        memory_limit: How many entries an agent may have in the source.
        ages: How old they may become there.
        batch: How many move at once.
        demote_first: Who leaves an overfull tier: "oldest" or "least_important".
        worth: Importance after decay, of how many newer entries there are and the importance.
        engine: Brings entries to a level.
        reported: Those that were logged because the tier below cannot store them.
    """

    source: MemoryRepository
    destination: MemoryRepository
    level: int
    memory_limit: int
    ages: Ages
    batch: int
    demote_first: str
    worth: Callable[[int, float], float]
    engine: CompressionEngine
    reported: set[EntryKey] = field(default_factory=set)

    def agent_counts(self, agents: Iterable[Agent] | None, now: float) -> dict[Agent, AgentCounts]:
        """Count what the source holds, and note agents that are far ahead of the time."""
        return self.source.upkeep.counts_of(agents, self.ages.horizon(now))

    def overdue(self, counts: Counts, moments: Moments) -> dict[Agent, list[Query]]:
        """Queries for what is too old, by agent; those that have nothing are left out."""
        found = {
            agent: list(self.ages.overdue(*agent, agent_counts, moments.of(*agent)))
            for agent, agent_counts in counts.items()
        }
        return {agent: queries for agent, queries in found.items() if queries}

    def is_due(self, counts: Counts, overdue: Mapping[Agent, Sequence[Query]]) -> bool:
        """Whether any entry has to leave."""
        return bool(overdue) or any(
            one.entries > self.memory_limit and one.entries > one.pinned for one in counts.values()
        )

    def leaving(
        self, counts: Counts, overdue: Mapping[Agent, Sequence[Query]], now: float
    ) -> Iterator[MemoryEntry]:
        """Read the entries that have to leave, of some agents at a time."""
        crowded = {agent: self._excess(held) for agent, held in counts.items()}
        crowded = {
            agent: excess for agent, excess in crowded.items() if agent in overdue or excess > 0
        }
        expected = (
            (agent, counts[agent].entries if agent in overdue else excess)
            for agent, excess in crowded.items()
        )
        for number, agents in enumerate(_portions(expected, _AT_ONCE)):
            some = {agent: crowded[agent] for agent in agents}
            if number:
                some = self._still_crowded(some, now)
            yield from self._readable(some, {agent: overdue.get(agent, []) for agent in some})

    def _excess(self, held: AgentCounts) -> int:
        """How many entries of an agent are over the limit, and may leave."""
        # Pinned entries take their places within the limit, and leave for none of them.
        return min(held.entries - self.memory_limit, held.entries - held.pinned)

    def _still_crowded(self, crowded: Mapping[Agent, int], now: float) -> dict[Agent, int]:
        """Count again: while portions before moved, others may have moved entries of these."""
        held = self.agent_counts(crowded, now)
        return {
            agent: min(over, self._excess(held[agent]))
            for agent, over in crowded.items()
            if agent in held
        }

    def first(self, counts: Mapping[Agent, int]) -> list[MemoryEntry]:
        """Read those entries of some agents that leave first, so many of each."""
        return self._readable(counts, dict.fromkeys(counts, ()))

    def move(self, entries: Iterable[MemoryEntry], moment: float) -> Moved:
        """Move entries down.

        One that the tier below cannot store is logged, and stays: it keeps no other from moving.

        Args:
            entries: As they stand in the source, of any runs.
            moment: What ``moving.moment_of`` the destination gave before they were read.
        """
        done = Moved()
        for batch in moving.batches(entries, self.batch):
            done = done.and_also(self._move_batch(batch, moment))
        return done

    def _move_batch(self, batch: Sequence[MemoryEntry], moment: float) -> Moved:
        try:
            copies = self.engine.lowered_many(batch, self.level)
            gone = moving.move(self.source, self.destination, copies, moment)
        except _OF_AN_ENTRY as error:
            raise_if_interrupted(error)
            if len(batch) > 1:
                middle = len(batch) // 2
                first = self._move_batch(batch[:middle], moment)
                return first.and_also(self._move_batch(batch[middle:], moment))
            self._report(batch[0], error)
            return Moved(refused=frozenset([batch[0].key]))
        changed = (entry.key[:2] for entry, left in zip(batch, gone, strict=True) if not left)
        return Moved(gone.count(Gone.REMOVED), frozenset(changed))

    def refusals(self, entries: Sequence[MemoryEntry]) -> list[tuple[EntryKey, Exception]]:
        """Why the tier below could not store entries; nothing moves.

        Args:
            entries: As they stand in the source.

        Returns:
            Those that it could not store, each with the reason.
        """
        if not entries:
            return []
        try:
            copies = self.engine.lowered_many(entries, self.level)
            self.destination.upkeep.check_storable(copies)
        except _OF_AN_ENTRY as error:
            if len(entries) == 1:
                return [(entries[0].key, error)]
            middle = len(entries) // 2
            return self.refusals(entries[:middle]) + self.refusals(entries[middle:])
        return []

    def _report(self, entry: MemoryEntry, error: Exception) -> None:
        if entry.key in self.reported:
            return
        if len(self.reported) >= _MOST_REPORTED:
            self.reported.clear()
        self.reported.add(entry.key)
        _logger.error(
            "entry %s of agent %r in run %r stays in %s, since %s cannot store it: %s",
            *(entry.memory_id, entry.agent_id, entry.run_id),
            *(self.source.tier.name, self.destination.tier.name, error),
        )

    def settle(self) -> int:
        """Finish the moves that a crash cut short, so that each entry is in one tier only.

        Returns:
            How many have moved by this: also of a move that was only slow, whose mover then does
            not count them.
        """
        return moving.settle(self.source, self.destination, self.batch)

    def _readable(
        self, crowded: Mapping[Agent, int], overdue: Mapping[Agent, Sequence[Query]]
    ) -> list[MemoryEntry]:
        """The entries that have to leave; one that cannot be read is logged, and stays."""
        owners = [agent for agent, queries in overdue.items() for _ in queries]
        queries = [query for asked in overdue.values() for query in asked]
        aged: dict[Agent, dict[str, MemoryEntry]] = {agent: {} for agent in crowded}
        for agent, found in zip(owners, self.source.upkeep.find_readable(queries), strict=True):
            aged[agent] |= {entry.memory_id: entry for entry in found}
        excess = {agent: over - len(aged[agent]) for agent, over in crowded.items()}
        excess = {agent: over for agent, over in excess.items() if over > 0}
        # So many that enough are left when those over age are taken out.
        counts = {agent: over + len(aged[agent]) for agent, over in excess.items()}
        leaving = [entry for found in aged.values() for entry in found.values()]
        for agent, first in self._first_to_leave(counts).items():
            others = [entry for entry in first if entry.memory_id not in aged[agent]]
            leaving += others[: excess[agent]]
        return leaving

    def _first_to_leave(self, counts: Mapping[Agent, int]) -> dict[Agent, list[MemoryEntry]]:
        if self.demote_first == "oldest":
            queries = [
                Query(run_id=run_id, agent_id=agent_id, limit=count, pinned=False)
                for (run_id, agent_id), count in counts.items()
            ]
            return dict(zip(counts, self.source.upkeep.find_readable(queries), strict=True))
        return self._least_worth(counts)

    def _least_worth(self, counts: Mapping[Agent, int]) -> dict[Agent, list[MemoryEntry]]:
        keys: list[EntryKey] = []
        for agent, importances in self.source.upkeep.importances_of(counts).items():
            ranked = sorted(
                (self.worth(newer, importance), -newer, key)
                for newer, (key, importance) in enumerate(importances)
            )
            keys += [key for _, _, key in ranked[: counts[agent]]]
        found: dict[Agent, list[MemoryEntry]] = {agent: [] for agent in counts}
        for entry in self.source.upkeep.get_readable(keys):
            found[entry.key[:2]].append(entry)
        return found


def demotions(
    stm: MemoryRepository,
    im: MemoryRepository,
    ltm: MemoryRepository,
    engine: CompressionEngine,
    config: MemoryConfig,
) -> tuple[Demotion, Demotion]:
    """The ways from short-term to intermediate, and from there to long-term memory."""
    above, below = Ages.of(config)

    def worth(newer: int, importance: float) -> float:
        # Once for every so many newer entries.
        intervals = newer // config.cleanup_interval
        return importance * config.memory_priority_decay**intervals

    def demotion(
        source: MemoryRepository,
        destination: MemoryRepository,
        level: int,
        limit: int,
        ages: Ages,
        batch: int,
    ) -> Demotion:
        return Demotion(
            *(source, destination, level, limit, ages, batch),
            *(config.demote_first, worth, engine),
        )

    limits = config.stm_config.memory_limit, config.im_config.memory_limit
    levels = config.im_config.compression_level, config.ltm_config.compression_level
    return (
        demotion(stm, im, levels[0], limits[0], above, _BATCH),
        demotion(im, ltm, levels[1], limits[1], below, config.ltm_config.batch_size),
    )


def _portions(sized: Iterable[tuple[T, int]], most: int) -> Iterator[Sequence[T]]:
    """The items in their order, as many at a time as are that large together, or one."""
    portion: list[T] = []
    total = 0
    for item, size in sized:
        if portion and total + size > most:
            yield portion
            portion, total = [], 0
        portion.append(item)
        total += size
    if portion:
        yield portion
