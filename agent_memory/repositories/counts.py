"""What each of many agents has in a tier, in a few numbers.

By these numbers upkeep tells who has anything to move, without a question for each agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agent_memory.values.entry import MemoryEntry


class Ahead(NamedTuple):
    """A note that an agent has entries beyond a horizon: of a time that is far from come.

    So it is after a clock was set back. By their timestamps such entries would come of age late
    or never; they do by this note.
    """

    since: float
    """The horizon when that was noticed."""
    until: float
    """The latest timestamp there was then: the note speaks of no later one."""


class AgentCounts(NamedTuple):
    """What an agent has in a tier."""

    entries: int
    """How many there are: one or more."""
    oldest: float
    """The earliest timestamp of those that are not pinned; of all, if all are."""
    newest: float
    """The latest timestamp."""
    first_step: int
    """The lowest step of those that are not pinned; of all, if all are."""
    newest_step: int
    """The step of the entry with the latest timestamp; of equals, the last by memory id."""
    last_step: int
    """The highest step."""
    ahead: Ahead | None = None
    """Since when there have been entries beyond the horizon; None if there are none."""
    pinned: int = 0
    """How many of them are pinned."""

    @classmethod
    def of(cls, entries: Sequence[MemoryEntry]) -> AgentCounts:
        """Count some entries, one or more, in the order of their timestamps."""
        free = [entry for entry in entries if not entry.pinned]
        may_leave = free or entries
        return cls(
            len(entries),
            may_leave[0].timestamp,
            entries[-1].timestamp,
            min(entry.step_number for entry in may_leave),
            entries[-1].step_number,
            max(entry.step_number for entry in entries),
            pinned=len(entries) - len(free),
        )


def still_ahead(known: Ahead | None, timestamps: Sequence[float], horizon: float) -> Ahead | None:
    """What is to be noted of an agent's entries beyond a horizon.

    A note holds until the last entry that it speaks of is gone or no longer beyond the horizon;
    what is beyond it then gets a new note.

    Args:
        known: What was noted before.
        timestamps: Those of the agent's entries, one or more.
        horizon: The horizon.
    """
    newest = max(timestamps)
    if newest <= horizon:
        return None
    if (
        known is not None
        and known.since <= horizon
        and any(horizon < timestamp <= known.until for timestamp in timestamps)
    ):
        return known
    return Ahead(horizon, newest)
