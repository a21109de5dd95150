"""What stands in a tier of each of many agents, in a few numbers.

By these numbers upkeep tells who has anything to move, without a question for each agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agent_memory.entry import MemoryEntry


class Ahead(NamedTuple):
    """A note that an agent has entries of a time that is yet to come.

    So it is after a clock has jumped back. By their timestamps such entries would never come of
    age; they do by this note.
    """

    since: float
    """When it was noticed, in the unit of timestamps."""
    until: float
    """The latest timestamp there was then: the note speaks of no later one."""


class Census(NamedTuple):
    """What an agent has in a tier."""

    entries: int
    """How many there are: one or more."""
    oldest: float
    """The earliest timestamp."""
    newest: float
    """The latest timestamp."""
    first_step: int
    """The lowest step."""
    newest_step: int
    """The step of the entry with the latest timestamp; of equals, the last by memory id."""
    ahead: Ahead | None = None
    """Since when there have been entries of a later time than it is; None if there are none."""

    @classmethod
    def of(cls, entries: Sequence[MemoryEntry]) -> Census:
        """Count some entries, one or more, in the order of their timestamps."""
        return cls(
            len(entries),
            entries[0].timestamp,
            entries[-1].timestamp,
            min(entry.step_number for entry in entries),
            entries[-1].step_number,
        )


def still_ahead(known: Ahead | None, timestamps: Sequence[float], now: float) -> Ahead | None:
    """What is to be noted of an agent's entries that are ahead of the time.

    A note holds until the last entry it speaks of is gone, or its time has come; what is ahead
    then is noted anew. So an entry that was stored after the note is no older than it is.

    Args:
        known: What was noted before.
        timestamps: Those of the agent's entries, one or more.
        now: The time.
    """
    newest = max(timestamps)
    if newest <= now:
        return None
    if (
        known is not None
        and known.since <= now
        and any(now < timestamp <= known.until for timestamp in timestamps)
    ):
        return known
    return Ahead(now, newest)
