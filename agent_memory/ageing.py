"""How old entries may become in a tier, and which of them are older."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from agent_memory.config import MemoryConfig
from agent_memory.entry import Order, Query
from agent_memory.repositories.census import Census


@dataclass(frozen=True, slots=True)
class Moment:
    """When ages are judged.

    Attributes:
        now: The time, in the unit of timestamps.
        step: The simulation's step; None: nothing is too old by steps.
    """

    now: float
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Ages:
    """The ages past which entries leave a tier.

    Attributes:
        seconds: By the time since their timestamp; None: by no time.
        steps: By the steps since theirs; None: by no steps.
    """

    seconds: float | None
    steps: int | None

    @classmethod
    def of(cls, config: MemoryConfig) -> tuple[Ages, Ages]:
        """Those of short-term and of intermediate memory."""
        # Where times are steps, an age in seconds has no meaning.
        by_seconds = config.clock == "wall"
        parts = config.stm_config, config.im_config
        stm, im = (cls(part.ttl if by_seconds else None, part.max_age_steps) for part in parts)
        return stm, im

    def first_time(self, moment: Moment) -> float:
        """The earliest timestamp that is not too old: an entry may be as old as its age."""
        return -math.inf if self.seconds is None else moment.now - self.seconds

    def first_step(self, moment: Moment) -> int:
        """The lowest step that is not too old."""
        if self.steps is None or moment.step is None:
            return 0
        return max(moment.step - self.steps, 0)

    def overdue(self, run_id: str, agent_id: str, told: Census, moment: Moment) -> Iterator[Query]:
        """Queries for an agent's entries that are too old, some of them perhaps in several.

        Args:
            run_id: The run.
            agent_id: The agent.
            told: What the agent has, its note of what is ahead included.
            moment: When they are judged.
        """
        first = self.first_time(moment)
        if told.oldest < first:
            before = math.nextafter(first, -math.inf)
            yield Query(run_id=run_id, agent_id=agent_id, times=(-math.inf, before))
        ahead = told.ahead
        if ahead is not None and self.seconds is not None and ahead.since < first:
            # A clock that was set back has left them with times to come: they have been here at
            # least since that was noticed.
            after = math.nextafter(moment.now, math.inf)
            yield Query(run_id=run_id, agent_id=agent_id, times=(after, ahead.until))
        first_step = self.first_step(moment)
        if told.first_step < first_step:
            yield Query(
                run_id=run_id, agent_id=agent_id, steps=(0, first_step - 1), order=Order.STEP
            )
