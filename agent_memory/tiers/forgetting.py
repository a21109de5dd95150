"""Removes memories of agents from every tier, so that nothing brings them back.

What may be on its way down is marked as forgotten in long-term memory first, so that a move in
flight is refused there; only then it is removed above. What is stored after the call began may
stay. The same keys may come again after it, as when a reproducible run is run again: the marks
are released then, and refuse only what was read before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from agent_memory.repositories.clearing import clearing_marks
from agent_memory.repositories.contract import LongTermMemory, MemoryRepository
from agent_memory.repositories.querying import agents_of
from agent_memory.values.entry import EntryKey

LEASE = 120.0
"""For how long keys stay refused whose forgetting was killed before it released them, in seconds.

Without it entries that are stored under them later would be refused for ever.
"""
AGENTS_AT_ONCE = 100
"""How many agents are cleared in one transaction of long-term memory."""

Tiers = tuple[MemoryRepository, MemoryRepository, LongTermMemory]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Removed:
    """What a forgetting has removed.

    Attributes:
        entries: How many memories; one that was on its way between two tiers is one.
        stm: Copies in short-term memory.
        im: Copies in intermediate memory.
        ltm: Copies in long-term memory.
    """

    entries: int = 0
    stm: int = 0
    im: int = 0
    ltm: int = 0

    def __add__(self, other: Removed) -> Removed:
        return Removed(
            self.entries + other.entries,
            self.stm + other.stm,
            self.im + other.im,
            self.ltm + other.ltm,
        )


def forget_agents(tiers: Tiers, run_id: str, agents: Iterable[str], clock: Clock) -> Removed:
    """Forget all that some agents of a run have stored by now.

    Args:
        tiers: Short-term, intermediate and long-term memory.
        run_id: The run.
        agents: Whose memories.
        clock: Gives the time in seconds since 1970.
    """
    waiting = iter(agents)
    removed = Removed()
    while batch := list(islice(waiting, AGENTS_AT_ONCE)):
        note_clearing(tiers[2], run_id, batch, clock)
        removed += _forget_batch(tiers, run_id, batch, clock)
    return removed


def forget_run(tiers: Tiers, run_id: str, clock: Clock) -> Removed:
    """Forget all that a run has stored by now; see ``forget_agents``.

    What waits in a spool somewhere is older than the clearing, and is dropped, also of agents
    that no tier has heard of.
    """
    note_clearing(tiers[2], run_id, None, clock)
    return forget_agents(tiers, run_id, agents_of(tiers, run_id), clock)


def forget_keys(
    tiers: Tiers, keys: Sequence[EntryKey], clock: Clock, closed: Sequence[EntryKey] = ()
) -> Removed:
    """Forget some entries, wherever they are.

    Args:
        tiers: Short-term, intermediate and long-term memory.
        keys: The entries.
        clock: Gives the time in seconds since 1970.
        closed: What long-term memory refuses and removes, if not the keys themselves: one that
            stands for all of theirs, such as the key of every agent.
    """
    return _forget_keys(tiers, list(dict.fromkeys(keys)), clock, lambda: 0, list(closed))


def _forget_batch(tiers: Tiers, run_id: str, agents: Sequence[str], clock: Clock) -> Removed:
    stm, im, ltm = tiers
    # Read from the top down: an entry that moves meanwhile is seen at least once.
    keys = dict.fromkeys([*stm.keys(run_id, *agents), *im.keys(run_id, *agents)])
    return _forget_keys(tiers, list(keys), clock, lambda: ltm.clear_agents(run_id, agents))


def _forget_keys(
    tiers: Tiers,
    keys: list[EntryKey],
    clock: Clock,
    clear_below: Callable[[], int],
    closed: Sequence[EntryKey] = (),
) -> Removed:
    stm, im, ltm = tiers
    closed = closed or keys
    if not closed:
        resting = clear_below()
        return Removed(resting, ltm=resting)
    begun = clock()
    copied = ltm.forget(closed, begun, begun + LEASE)
    resting = clear_below()
    # From the top down once more: whoever moves between the two is met in the second.
    above = stm.remove_many(keys), im.remove_many(keys)
    # If the lease has run out meanwhile, a move may have passed.
    copied += ltm.release(closed, clock())
    # Those on their way down had two copies.
    entries = resting + min(len(keys), sum(above) + copied)
    return Removed(entries, *above, copied + resting)


def note_clearing(
    ltm: LongTermMemory, run_id: str, agents: Sequence[str] | None, clock: Clock
) -> None:
    """Note that agents, or a whole run, are cleared, before anything is looked for.

    What was spooled before is not stored any more: see ``intake``.
    """
    now = clock()
    ltm.forget(clearing_marks(run_id, agents), now, now)
