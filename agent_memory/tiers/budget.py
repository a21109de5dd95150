"""Keeps the Redis tiers within a bound of bytes, by moving entries down and losing none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agent_memory.repositories.moves import Agent
from agent_memory.tiers import moving
from agent_memory.tiers.consolidation import Moves
from agent_memory.tiers.demotion import Demotion

STORES_BETWEEN_LOOKS = 100
"""How many entries a process stores before it asks the server again how much it holds."""

MOST_WHILE_STORING = 1_000
"""About how many entries one store moves at most, so that its caller does not wait for seconds."""

_GOAL = 0.9  # of the bound: how far it goes down, so that not every look finds it passed again
_PORTION = 500  # entries of a tier that move before the server is asked again
_PASSES = 3  # over all agents: each takes every entry down by one tier
_logger = logging.getLogger("agent_memory")


class _Share(NamedTuple):
    """What an agent gives next: its oldest entries."""

    agent: Agent
    counts: tuple[int, int]
    """How many of short-term and of intermediate memory."""


@dataclass
class Budget:
    """Moves the entries of the agents that were quiet the longest, until enough room is made.

    Attributes:
        bound: How many bytes the server may hold.
        used: Tells how many it holds.
        ways: From short-term to intermediate, and from there to long-term memory.
        is_short: Whether the bound was passed and enough room has not been made since.
    """

    bound: int
    used: Callable[[], int]
    ways: tuple[Demotion, Demotion]
    is_short: bool = False
    _warned: bool = False

    def keep(self, most: int | None = None) -> Moves:
        """Make room if the bound is passed, until nine tenths of it are used.

        The oldest entries of the agent whose newest entry is the oldest go down by a tier, then
        those of the next; when that was done for all agents and is not enough, once more.

        Args:
            most: How many entries to move about at most; None: as many as it takes.

        Returns:
            How many entries moved.

        Raises:
            StoreUnavailable: A tier does not answer; what has not moved stays where it is.
        """
        moved = Moves()
        if self._has_room():
            return moved
        for _ in range(_PASSES):
            before = moved
            for portion in self._portions():
                moved += self._give(portion)
                if self._has_room() or (most is not None and _total(moved) >= most):
                    return moved
            if moved == before:
                break
        self._warn()
        return moved

    def _has_room(self) -> bool:
        used = self.used()
        self.is_short = used > self.bound * (_GOAL if self.is_short else 1)
        self._warned = self._warned and self.is_short
        return not self.is_short

    def _give(self, portion: Sequence[_Share]) -> Moves:
        # Short-term memory first, so that there is some room even while long-term memory is away.
        # What comes down there is newer than what goes on from there.
        return Moves(*(self._descend(tier, portion) for tier in (0, 1)))

    def _descend(self, tier: int, portion: Sequence[_Share]) -> int:
        way = self.ways[tier]
        counts = {share.agent: share.counts[tier] for share in portion if share.counts[tier]}
        if not counts:
            return 0
        moment = moving.moment_of(way.destination)
        return way.move(way.first(counts), moment).moved

    def _portions(self) -> Iterator[list[_Share]]:
        """What the agents have to give, those that were quiet the longest first."""
        portion: list[_Share] = []
        room = _PORTION
        for share in self._shares():
            if portion and max(share.counts) > room:
                yield portion
                portion, room = [], _PORTION
            portion.append(share)
            room -= max(share.counts)
        if portion:
            yield portion

    def _shares(self) -> Iterator[_Share]:
        for _, agent, above, below in sorted(self._agents()):
            for given in range(0, max(above, below), _PORTION):
                counts = (
                    min(max(above - given, 0), _PORTION),
                    min(max(below - given, 0), _PORTION),
                )
                yield _Share(agent, counts)

    def _agents(self) -> Iterator[tuple[float, Agent, int, int]]:
        """The newest timestamp of each agent, who it is, and what it has in either tier."""
        above, below = (way.source.upkeep.counts_of() for way in self.ways)
        for agent in above.keys() | below.keys():
            either = [found.get(agent) for found in (above, below)]
            newest = max(agent_counts.newest for agent_counts in either if agent_counts is not None)
            # What is pinned stays.
            first, second = (
                0 if agent_counts is None else agent_counts.entries - agent_counts.pinned
                for agent_counts in either
            )
            yield newest, agent, first, second

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            _logger.warning(
                "redis_max_bytes=%d cannot be kept: the server holds %d bytes, and no entry is "
                "left that could move down; raise it, or look at what else is on the server",
                self.bound,
                self.used(),
            )


def _total(moved: Moves) -> int:
    return moved.stm_to_im + moved.im_to_ltm
