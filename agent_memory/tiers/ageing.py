"""How old entries may become in a tier, and which of them are older."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from agent_memory.config import MemoryConfig
from agent_memory.repositories.counts import AgentCounts
from agent_memory.values.entry import MemoryEntry
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
    """When ages are compared, agent by agent.

    Attributes:
        now: The time, in the unit of timestamps.
        step_of: Gives the step by which entries of an agent of a run age; None: nothing of it is
            too old by steps.
    """

    now: float
    step_of: Callable[[str, str], int | None]

    def of(self, run_id: str, agent_id: str) -> Moment:
        """That of an agent of a run."""
        return Moment(self.now, self.step_of(run_id, agent_id))


class PresentSteps:
    """The step at which each run, or each agent, is: that of its newest entry known here.

    Not the highest there ever was, because a simulation that starts again counts its steps from 0.
    Threads may share it.

    Args:
        by_steps: Whether timestamps are steps. Then what this process stored last is the newest.
        of_agents: Whether each agent is at a step of its own.
    """

    def __init__(self, *, by_steps: bool, of_agents: bool) -> None:
        self._by_steps = by_steps
        self._of_agents = of_agents
        self._stored: dict[tuple[str, str], tuple[float, int]] = {}
        self._found: dict[tuple[str, str], tuple[float, int]] = {}

    def stored(self, entries: Iterable[MemoryEntry]) -> None:
        """Note that this process stored entries, in this order."""
        if self._of_agents:
            last = {(entry.run_id, entry.agent_id): entry for entry in entries}
        else:
            last = {(entry.run_id, ""): entry for entry in entries}
        for whose, entry in last.items():
            self._stored[whose] = entry.timestamp, entry.step_number

    def found(
        self, newest: Iterable[tuple[tuple[str, str], tuple[float, int]]], now: float
    ) -> None:
        """Note what stands in the tiers.

        Args:
            newest: Run and agent, and timestamp and step of its newest entry in a tier.
            now: The time, in seconds since 1970.
        """
        known: dict[tuple[str, str], list[tuple[float, int]]] = {}
        for agent, entry in newest:
            known.setdefault(self._whose(*agent), []).append(entry)
        for whose, entries in known.items():
            # Those of a time to come were stored before the clock was set back.
            past = [] if self._by_steps else [entry for entry in entries if entry[0] <= now]
            self._found[whose] = max(past or entries)

    def of(self, run_id: str, agent_id: str) -> int | None:
        """The step by which an agent's entries age; None if nothing is known of it."""
        whose = self._whose(run_id, agent_id)
        stored, found = self._stored.get(whose), self._found.get(whose)
        if stored is None:
            return None if found is None else found[1]
        if found is None or self._by_steps or stored[0] >= found[0]:
            return stored[1]
        return found[1]

    def forget(self, run_id: str) -> None:
        """Know nothing of a run any more, as after some of it was forgotten."""
        for known in (self._stored, self._found):
            for whose in [whose for whose in [*known] if whose[0] == run_id]:
                known.pop(whose, None)

    def _whose(self, run_id: str, agent_id: str) -> tuple[str, str]:
        return run_id, agent_id if self._of_agents else ""


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
        self, run_id: str, agent_id: str, counts: AgentCounts, moment: Moment
    ) -> Iterator[Query]:
        """Queries for an agent's entries that are too old, some of them perhaps in several.

        Pinned entries may be of any age.

        Args:
            run_id: The run.
            agent_id: The agent.
            counts: What the agent has, its note of what is ahead included.
            moment: When they are compared.
        """
        if counts.pinned == counts.entries:
            return
        asked = Query(run_id=run_id, agent_id=agent_id, pinned=False)
        first = self.first_time(moment)
        if counts.oldest < first:
            before = math.nextafter(first, -math.inf)
            yield replace(asked, times=(-math.inf, before))
        ahead, horizon = counts.ahead, self.horizon(moment.now)
        if ahead is not None and horizon is not None and ahead.since < moment.now:
            # They were beyond it an age ago, and so they have been here for an age at least.
            after = math.nextafter(horizon, math.inf)
            yield replace(asked, times=(after, ahead.until))
        first_step = self.first_step(moment)
        if counts.first_step < first_step:
            yield replace(asked, steps=(0, first_step - 1), order=Order.STEP)
