"""Moves entries down the tiers: short-term to intermediate to long-term memory.

An entry leaves a tier when the tier holds more of its agent's entries than its limit, or when
the entry is over its age, in seconds or in steps. The oldest leave first, or the least
important after decay. With ``on_expiry="drop"`` those over their age are removed instead.
``moving`` keeps a move safe; ``demotion`` says which entries move, in batches over many agents;
this module, when and how often it is tried.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from agent_memory.compression.levels import CompressionEngine
from agent_memory.config import MemoryConfig
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.repositories.moves import Agent
from agent_memory.tiers import moving
from agent_memory.tiers.ageing import Moments
from agent_memory.tiers.demotion import Demotion, demotions
from agent_memory.tiers.worker_share import WorkerShare
from agent_memory.values.entry import EntryKey

_ROUNDS = 3  # how often an entry that changes while it moves is copied again


@dataclass(frozen=True, slots=True)
class Moves:
    """How many entries moved.

    Attributes:
        stm_to_im: From short-term to intermediate memory.
        im_to_ltm: From intermediate to long-term memory.
        dropped: Nowhere: they were over their age, and ``on_expiry`` is "drop".
        refused: Nowhere: the tier below cannot store them, as the log says of each. They stay
            where they are, answer as before, and are tried again each time.

    Examples:
        >>> moves = memory.maintain()
        >>> moves.stm_to_im, moves.dropped
        (0, 0)
    """

    stm_to_im: int = 0
    im_to_ltm: int = 0
    dropped: int = 0
    refused: int = field(default=0, repr=False)

    def __add__(self, other: Moves) -> Moves:
        return Moves(
            self.stm_to_im + other.stm_to_im,
            self.im_to_ltm + other.im_to_ltm,
            self.dropped + other.dropped,
            self.refused + other.refused,
        )


class Consolidation:
    """Decides which entries move down, and moves them; threads may share it.

    Args:
        stm: Short-term memory.
        im: Intermediate memory.
        ltm: Long-term memory.
        engine: Brings entries to the level of the tier they go to.
        config: Limits, ages, who leaves first, and how many move at once.
    """

    def __init__(
        self,
        stm: MemoryRepository,
        im: MemoryRepository,
        ltm: MemoryRepository,
        engine: CompressionEngine,
        config: MemoryConfig,
    ) -> None:
        self._drops = config.on_expiry == "drop"
        self._demotions = demotions(stm, im, ltm, engine, config)
        self._lock = threading.Lock()
        self._moved = Moves()

    @property
    def demotions(self) -> tuple[Demotion, Demotion]:
        """The ways down: to intermediate, and to long-term memory."""
        return self._demotions

    @property
    def moves(self) -> Moves:
        """How many entries this object has moved so far."""
        return self._moved

    def consolidate(
        self, run_id: str, agents: Sequence[str] | None, now: float, step: int | None
    ) -> Moves:
        """Move down what has to leave, of some agents of a run.

        Args:
            run_id: The run.
            agents: The agents; None for all.
            now: The time, in the unit of timestamps.
            step: The simulation's step; None: no entry leaves for its age in steps.

        Returns:
            How many entries moved.
        """

        def owners(source: MemoryRepository) -> Iterable[Agent]:
            named = source.agents(run_id) if agents is None else agents
            return [(run_id, agent_id) for agent_id in named]

        return self._consolidate(owners, Moments(now, lambda *_: step))

    def consolidate_all(
        self,
        now: float,
        step_of: Callable[[str, str], int | None],
        share: WorkerShare | None = None,
    ) -> Moves:
        """Move down what has to leave, of every agent of every run.

        Many runs need no more requests than many agents of one run.

        Args:
            now: The time, in the unit of timestamps.
            step_of: Gives the step by which entries of an agent of a run age; None: none of
                them leaves for its age in steps.
            share: Whose agents alone are looked at; None: all agents are.

        Returns:
            How many entries moved.
        """
        return self._consolidate(lambda _: None, Moments(now, step_of), share)

    def count(self, moved: Moves) -> None:
        """Count entries that were moved."""
        with self._lock:
            self._moved += moved

    def settle(self) -> Moves:
        """Finish the moves that a crash cut short, so that each entry is in one tier only.

        Returns:
            How many entries moved by this.
        """
        above, below = (way.settle() for way in self._demotions)
        moved = Moves(above, below)
        self.count(moved)
        return moved

    def _consolidate(
        self,
        owners_in: Callable[[MemoryRepository], Iterable[Agent] | None],
        moments: Moments,
        share: WorkerShare | None = None,
    ) -> Moves:
        above, below = (
            self._descend(way, owners_in(way.source), moments, share) for way in self._demotions
        )
        moved = Moves(above[0], below[0], above[1] + below[1], above[2] + below[2])
        self.count(moved)
        return moved

    def _descend(
        self,
        way: Demotion,
        agents: Iterable[Agent] | None,
        moments: Moments,
        share: WorkerShare | None,
    ) -> tuple[int, int, int]:
        """How many entries moved down this way, were dropped, and were refused below."""
        moved = dropped = 0
        refused: set[EntryKey] = set()
        for _ in range(_ROUNDS):
            counts = way.agent_counts(agents, moments.now)
            if share is not None:
                counts = {agent: held for agent, held in counts.items() if share.owns(*agent)}
            overdue = way.overdue(counts, moments)
            if self._drops and overdue:
                queries = [query for asked in overdue.values() for query in asked]
                dropped += way.source.remove_answering(queries)
                # What is left of them may still be more than the limit.
                counts = way.agent_counts(counts, moments.now)
                overdue = {}
            if not way.is_due(counts, overdue):
                break
            moment = moving.moment_of(way.destination)
            gone, changed, stay = way.move(way.leaving(counts, overdue, moments.now), moment)
            moved += gone
            refused |= stay
            if not changed:
                break
            agents = sorted(changed)
        return moved, dropped, len(refused)
