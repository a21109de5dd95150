"""How many entries a memory holds by run, by agent and by type."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from agent_memory.errors import InvalidEntry
from agent_memory.repositories.counts import AgentCounts
from agent_memory.repositories.querying import agents_of
from agent_memory.retrieval.recall import recall
from agent_memory.tiers.forgetting import Tiers
from agent_memory.values.entry import MemoryEntry, Tier
from agent_memory.values.query import Query
from agent_memory.values.quoting import quoted

By = Literal["run", "agent", "type"]


@dataclass(frozen=True, slots=True)
class GroupStatistics:
    """What a memory holds of a run, of an agent or of one type of memories.

    Attributes:
        entries: How many entries by tier; a tier that holds none is left out.
        agents: How many agents they belong to.
        first_step: The lowest step, of a run or agent without the steps of pinned entries unless
            all are pinned.
        last_step: The highest step.
        last_timestamp: The timestamp of the latest entry, in the unit of the memory's clock.

    Examples:
        >>> ants = memory.statistics(by="agent")
        >>> ants["ant-1"].total, ants["ant-1"].last_step
        (10, 9)
    """

    entries: Mapping[Tier, int]
    agents: int
    first_step: int
    last_step: int
    last_timestamp: float

    @property
    def total(self) -> int:
        """How many entries there are in all tiers together.

        Examples:
            >>> memory.statistics(by="run")["default"].total
            10
        """
        return sum(self.entries.values())


def grouped(tiers: Tiers, run_id: str, by: By) -> dict[str, GroupStatistics]:
    """What the tiers hold by run, or of a run by agent or type.

    Args:
        tiers: The tiers.
        run_id: Whose agents and types; counts of runs do not depend on it.
        by: What makes a group.

    Returns:
        By name of the group, sorted.

    Raises:
        InvalidEntry: ``by`` is none of these.
        StoreUnavailable: A tier does not answer.
    """
    if by == "type":
        return _by_type(tiers, run_id)
    if by not in ("run", "agent"):
        raise InvalidEntry(f'by: "run", "agent" or "type" is needed, not {quoted(by)}')
    groups: defaultdict[str, _Group] = defaultdict(_Group)
    for repository in tiers:
        for (run, agent), counts in repository.upkeep.counts_of(_owners(tiers, run_id, by)).items():
            groups[run if by == "run" else agent].add(repository.tier, agent, counts)
    return {name: groups[name].statistics() for name in sorted(groups)}


def _owners(tiers: Tiers, run_id: str, by: By) -> list[tuple[str, str]] | None:
    if by == "run":
        return None
    return [(run_id, agent) for agent in agents_of(tiers, run_id)]


def _by_type(tiers: Tiers, run_id: str) -> dict[str, GroupStatistics]:
    """Types are counted nowhere, so every entry of the run is read, agent by agent."""
    groups: defaultdict[str, _Group] = defaultdict(_Group)
    for _, agent in _owners(tiers, run_id, "type") or ():
        for tier, entry in _entries(tiers, run_id, agent):
            groups[entry.memory_type.value].add(tier, agent, AgentCounts.of([entry]))
    return {name: groups[name].statistics() for name in sorted(groups)}


def _entries(tiers: Tiers, run_id: str, agent: str) -> Iterator[tuple[Tier, MemoryEntry]]:
    for hit in recall(tiers, Query(run_id=run_id, agent_id=agent)):
        yield hit.tier, hit.entry


@dataclass(slots=True)
class _Group:
    """A group that is being counted."""

    entries: Counter[Tier] = field(default_factory=Counter)
    agents: set[str] = field(default_factory=set)
    first_step: int | None = None
    last_step: int = 0
    last_timestamp: float = -math.inf

    def add(self, tier: Tier, agent: str, counts: AgentCounts) -> None:
        self.entries[tier] += counts.entries
        self.agents.add(agent)
        first = counts.first_step if self.first_step is None else self.first_step
        self.first_step = min(first, counts.first_step)
        self.last_step = max(self.last_step, counts.last_step)
        self.last_timestamp = max(self.last_timestamp, counts.newest)

    def statistics(self) -> GroupStatistics:
        return GroupStatistics(
            dict(sorted(self.entries.items())),
            len(self.agents),
            self.first_step or 0,
            self.last_step,
            self.last_timestamp,
        )
