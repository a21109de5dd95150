"""Moves entries down the tiers: short-term to intermediate to long-term memory.

An entry leaves a tier when the tier holds more of its agent's entries than its limit, or when
the entry is over its age, in seconds or in steps. The oldest leave first, or the least
important after decay. ``MemoryRepository.move_to`` is what keeps a move safe; this module says
which entries move, in batches over many agents.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from agent_memory.compression import CompressionEngine
from agent_memory.config import MemoryConfig
from agent_memory.entry import MemoryEntry, Order, Query
from agent_memory.errors import EncodingError
from agent_memory.repositories.base import MemoryRepository

_BATCH = 500  # entries a round trip between the Redis tiers
_logger = logging.getLogger("agent_memory")

T = TypeVar("T")

_ROUNDS = 3  # how often an entry that changes while it moves is copied again


@dataclass(frozen=True, slots=True)
class Moves:
    """How many entries moved.

    Attributes:
        stm_to_im: From short-term to intermediate memory.
        im_to_ltm: From intermediate to long-term memory.
    """

    stm_to_im: int = 0
    im_to_ltm: int = 0

    def __add__(self, other: Moves) -> Moves:
        return Moves(self.stm_to_im + other.stm_to_im, self.im_to_ltm + other.im_to_ltm)


@dataclass(frozen=True, slots=True)
class _Passage:
    """One way down: from where, to where, and who has to leave."""

    source: MemoryRepository
    destination: MemoryRepository
    level: int
    memory_limit: int
    max_age: float | None
    max_age_steps: int | None
    batch: int


class Consolidation:
    """Decides which entries move down, and moves them; threads may share it.

    Args:
        stm: Short-term memory.
        im: Intermediate memory.
        ltm: Long-term memory.
        engine: Brings entries to the level of the tier they go to.
        config: Limits, ages, who leaves first, and how many move at once.
        clock: Gives the time in seconds since 1970.
    """

    def __init__(
        self,
        stm: MemoryRepository,
        im: MemoryRepository,
        ltm: MemoryRepository,
        engine: CompressionEngine,
        config: MemoryConfig,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._config = config
        # Where times are steps, an age in seconds has no meaning.
        by_seconds = config.clock == "wall"
        self._passages = (
            _Passage(
                stm,
                im,
                config.im_config.compression_level,
                config.stm_config.memory_limit,
                config.stm_config.ttl if by_seconds else None,
                config.stm_config.max_age_steps,
                _BATCH,
            ),
            _Passage(
                im,
                ltm,
                config.ltm_config.compression_level,
                config.im_config.memory_limit,
                config.im_config.ttl if by_seconds else None,
                config.im_config.max_age_steps,
                config.ltm_config.batch_size,
            ),
        )
        self._lock = threading.Lock()
        self._moved = [0, 0]

    @property
    def moves(self) -> Moves:
        """How many entries this object has moved so far."""
        return Moves(*self._moved)

    def consolidate(
        self, run_id: str, agents: Iterable[str], now: float, step: int | None
    ) -> Moves:
        """Move down what has to leave, of some agents of a run.

        Args:
            run_id: The run.
            agents: The agents.
            now: The time, in the unit of timestamps.
            step: The simulation's step; None: no entry leaves for its age in steps.

        Returns:
            How many entries moved.
        """
        agents = list(agents)
        counts = [self._descend(way, run_id, agents, now, step) for way in self._passages]
        with self._lock:
            self._moved = [old + new for old, new in zip(self._moved, counts, strict=True)]
        return Moves(*counts)

    def settle(self) -> None:
        """Finish the moves that a crash cut short, so that each entry is in one tier only."""
        for way in self._passages:
            moves = way.source.open_moves()
            # Once each: an outage may have left an agent in many of them.
            for run_id, agent_id in sorted({agent for move in moves for agent in move.agents}):
                self._settle_agent(way, run_id, agent_id)
            for move in moves:
                way.source.close_move(move)

    @staticmethod
    def _settle_agent(way: _Passage, run_id: str, agent_id: str) -> None:
        for keys in _batches(way.source.keys(run_id, agent_id), way.batch):
            copied = way.destination.get_many(keys)
            if copied:
                # Only what stands here as it was copied is removed.
                way.source.remove_copied(copied)

    def _descend(
        self, way: _Passage, run_id: str, agents: Sequence[str], now: float, step: int | None
    ) -> int:
        moved = 0
        waiting = agents
        for _ in range(_ROUNDS):
            read_at = self._clock()
            leaving = (
                entry
                for agent_id in waiting
                for entry in self._readable(way, run_id, agent_id, now, step)
            )
            changed: set[str] = set()
            for batch in _batches(leaving, way.batch):
                copies = [self._engine.compress(entry, way.level) for entry in batch]
                gone = way.source.move_to(way.destination, copies, read_at)
                moved += sum(gone)
                changed.update(
                    entry.agent_id for entry, left in zip(batch, gone, strict=True) if not left
                )
            if not changed:
                break
            waiting = sorted(changed)
        return moved

    def _readable(
        self, way: _Passage, run_id: str, agent_id: str, now: float, step: int | None
    ) -> list[MemoryEntry]:
        """The entries that have to leave; none of an agent that has an unreadable one."""
        try:
            return self._leaving(way, run_id, agent_id, now, step)
        except EncodingError as error:
            # It stays where it is, and the other agents' entries move.
            # Its traceback would add nothing to its message.
            _logger.error(  # noqa: TRY400
                "no entry of agent %r in run %r moves down: %s", agent_id, run_id, error
            )
            return []

    def _leaving(
        self, way: _Passage, run_id: str, agent_id: str, now: float, step: int | None
    ) -> list[MemoryEntry]:
        aged: dict[str, MemoryEntry] = {}
        for query in self._over_age(way, run_id, agent_id, now, step):
            aged |= {entry.memory_id: entry for entry in way.source.find(query)}
        excess = way.source.count(run_id, agent_id) - way.memory_limit - len(aged)
        if excess <= 0:
            return list(aged.values())
        first = self._first_to_leave(way.source, run_id, agent_id, excess + len(aged))
        others = [entry for entry in first if entry.memory_id not in aged]
        return [*aged.values(), *others[:excess]]

    @staticmethod
    def _over_age(
        way: _Passage, run_id: str, agent_id: str, now: float, step: int | None
    ) -> Iterator[Query]:
        if way.max_age is not None:
            # An entry leaves when it is over its age, not when it has just reached it.
            oldest = math.nextafter(now - way.max_age, -math.inf)
            yield Query(run_id=run_id, agent_id=agent_id, times=(-math.inf, oldest))
        if way.max_age_steps is not None and step is not None:
            first_kept = step - way.max_age_steps
            yield Query(
                run_id=run_id, agent_id=agent_id, steps=(0, first_kept - 1), order=Order.STEP
            )

    def _first_to_leave(
        self, source: MemoryRepository, run_id: str, agent_id: str, count: int
    ) -> list[MemoryEntry]:
        if self._config.demote_first == "oldest":
            return source.oldest(run_id, agent_id, count)
        ranked = sorted(
            (self._worth(newer, importance), -newer, key)
            for newer, (key, importance) in enumerate(source.importances(run_id, agent_id))
        )
        return source.get_many([key for _, _, key in ranked[:count]])

    def _worth(self, newer: int, importance: float) -> float:
        """Importance after decay: once for every ``cleanup_interval`` newer entries."""
        intervals = newer // self._config.cleanup_interval
        return importance * self._config.memory_priority_decay**intervals


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
