"""How old entries may become in a tier, and which of them are older."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from agent_memory.config import MemoryConfig
from agent_memory.repositories.counts import AgentCounts
from agent_memory.values.query import Order, Query


@dataclass(frozen=True, slots=True)
class Moment:
    """When ages are compared.

    Attributes:
        now: The time, in the unit of timestamps.
        step: The simulation's step; None: nothing is too old by steps.
    """

    now: float
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Moments:
    """When ages are compared, run by run.

    Attributes:
        now: The time, in the unit of timestamps.
        step_of: Gives the simulation's step in a run; None: nothing is too old by steps there.
    """

    now: float
    step_of: Callable[[str], int | None]

    def of(self, run_id: str) -> Moment:
        """That of a run."""
        return Moment(self.now, self.step_of(run_id))


class PresentSteps:
    """The step at which each run is: that of its newest entry, as far as this process knows.

    Not the highest there ever was, because a simulation that begins anew counts its steps anew.
    Threads may share it.

    Args:
        by_steps: Whether timestamps are steps. Then the newest entry is the one of the highest
            step, and only what this process stored tells that a simulation has begun anew.
    """

    def __init__(self, *, by_steps: bool) -> None:
        self._by_steps = by_steps
        self._stored: dict[str, tuple[float, int]] = {}
        self._found: dict[str, tuple[float, int]] = {}

    def stored(self, run_id: str, timestamp: float, step: int) -> None:
        """Note that this process stored an entry."""
        self._stored[run_id] = timestamp, step

    def found(self, run_id: str, newest: Iterable[tuple[float, int]], now: float) -> None:
        """Note what stands in the tiers: timestamp and step of the newest of each agent."""
        known = list(newest)
        if not self._by_steps:
            # Those of a time to come were stored before the clock was set back.
            known = [each for each in known if each[0] <= now] or known
        if known:
            self._found[run_id] = max(known)

    def of(self, run_id: str) -> int | None:
        """The step of a run; None if nothing is known of it."""
        stored, found = self._stored.get(run_id), self._found.get(run_id)
        if stored is None:
            return None if found is None else found[1]
        if found is None or self._by_steps or stored[0] >= found[0]:
            return stored[1]
        return found[1]


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

    def horizon(self, now: float) -> float | None:
        """The timestamp beyond which entries are noted, see ``Ahead``; None: none are.

        Clocks that differ by less than an age are left to differ: their entries come of age by
        their timestamps, an age late at most.
        """
        return None if self.seconds is None else now + self.seconds

    def overdue(
        self, run_id: str, agent_id: str, told: AgentCounts, moment: Moment
    ) -> Iterator[Query]:
        """Queries for an agent's entries that are too old, some of them perhaps in several.

        Pinned entries may be of any age.

        Args:
            run_id: The run.
            agent_id: The agent.
            told: What the agent has, its note of what is ahead included.
            moment: When they are compared.
        """
        if told.pinned == told.entries:
            return
        asked = Query(run_id=run_id, agent_id=agent_id, pinned=False)
        first = self.first_time(moment)
        if told.oldest < first:
            before = math.nextafter(first, -math.inf)
            yield replace(asked, times=(-math.inf, before))
        ahead, horizon = told.ahead, self.horizon(moment.now)
        if ahead is not None and horizon is not None and ahead.since < moment.now:
            # They were beyond it an age ago, and so they have been here for an age at least.
            after = math.nextafter(horizon, math.inf)
            yield replace(asked, times=(after, ahead.until))
        first_step = self.first_step(moment)
        if told.first_step < first_step:
            yield replace(asked, steps=(0, first_step - 1), order=Order.STEP)
