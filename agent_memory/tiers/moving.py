"""The move protocol: entries go from one tier to the next, and none is lost or doubled.

Where both tiers share a transaction, the store moves an entry in one step. Elsewhere:

1. **Note** in the source whose entries are on the move; the note outlives a crash.
2. **Write** the copies to the destination, which acknowledges them. Long-term memory refuses
   what was forgotten, in the transaction of its insert.
3. **Remove** from the source what was copied, if its revision and retrieval count are still
   those of the copy. What changed stays, and is copied again by the next move.
4. **Withdraw** the copies of what stays because it changed: the source is right.
5. Take the note away.

So at every moment an entry is in at least one of the two. A crash between two steps leaves it in
both with a note, and ``settle`` takes up from step 3. Readers look from the top down, and give
the upper copy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from agent_memory.repositories.contract import LongTermMemory, MemoryRepository
from agent_memory.repositories.outcomes import Added, Gone, age_of
from agent_memory.values.entry import MemoryEntry

_AGENTS_AT_ONCE = 100  # whose keys are read together: each may have thousands

T = TypeVar("T")


def moment_of(destination: MemoryRepository) -> float:
    """The moment that ``move`` is to know, asked before the entries are read.

    Args:
        destination: The tier they are to go to; one without tombstones has but one moment.

    Raises:
        StoreUnavailable: It does not answer.
    """
    return destination.moment() if isinstance(destination, LongTermMemory) else 0.0


def move(
    source: MemoryRepository,
    destination: MemoryRepository,
    copies: Sequence[MemoryEntry],
    moment: float = -math.inf,
) -> list[Gone]:
    """Move entries to another tier: write there, have it acknowledged, then remove here.

    Whatever happens in between, each entry is in at least one of the two. One that a crash left
    in both is moved by the same call, made again.

    Args:
        source: The tier they leave.
        destination: The tier they go to.
        copies: The entries as read from the source, at the destination's level.
        moment: What ``moment_of`` the destination gave before they were read: a copy that is older
            than the forgetting of its key is not stored.

    Returns:
        For each, whether it is gone from the source, and by this call: of several that move the
        same entry at once one has removed it, and to the others it was absent.

    Raises:
        StoreUnavailable: A store did not answer; any part may have moved. ``settle`` ends it.
    """
    if not copies:
        return []
    gone = source.move_within(destination, copies)
    if gone is None:
        with source.moves.noted({copy.key[:2] for copy in copies}):
            gone = _copy_and_remove(source, destination, copies, moment)
            withdraw(source, destination, _staying(copies, gone))
    return gone


def withdraw(
    source: MemoryRepository, destination: MemoryRepository, copies: Sequence[MemoryEntry]
) -> None:
    """Remove copies from the destination whose entries were changed in the source since.

    Such an entry need not move again soon: it may be pinned now, or others have made room. A
    retrieval is a change, too.

    Args:
        source: The tier they were copied from.
        destination: The tier they were copied to.
        copies: As they stand there; what is newer there stays.
    """
    if not copies:
        return
    # A change in the source cannot have been undone: what is older below is nobody's only copy.
    ages = {
        entry.key: age_of(entry)
        for entry in source.upkeep.get_readable([copy.key for copy in copies])
    }
    destination.remove_copied(
        [copy for copy in copies if copy.key in ages and age_of(copy) < ages[copy.key]]
    )


def settle(source: MemoryRepository, destination: MemoryRepository, at_once: int) -> int:
    """Finish the moves that a crash cut short, so that each entry is in one tier only.

    Args:
        source: The tier that entries were leaving.
        destination: The tier they were going to.
        at_once: How many entries are looked at together.

    Returns:
        How many have moved by this: also of a move that was only slow, whose mover then does
        not count them.
    """
    moves, moved = source.moves.open(), 0
    # Once each: an outage may have left an agent in many of them.
    agents = sorted({agent for move in moves for agent in move.agents})
    for some in batches(agents, _AGENTS_AT_ONCE):
        for keys in batches(source.upkeep.keys_of(some), at_once):
            copied = destination.upkeep.get_readable(keys)
            if copied:
                # An entry goes from the source if it is as it was copied; else its copy goes.
                gone = source.remove_copied(copied)
                moved += gone.count(Gone.REMOVED)
                withdraw(source, destination, _staying(copied, gone))
    for open_move in moves:
        source.moves.close(open_move)
    return moved


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in their order, so many at a time."""
    waiting = iter(items)
    while batch := list(islice(waiting, size)):
        yield batch


def _copy_and_remove(
    source: MemoryRepository,
    destination: MemoryRepository,
    copies: Sequence[MemoryEntry],
    moment: float,
) -> list[Gone]:
    outcome = destination.take_over(copies, moment)
    # Whoever forgot an entry that was refused as stale has removed it from the source. What the
    # source has under its key now was stored after that, and stays.
    taken = [copy for copy, added in zip(copies, outcome, strict=True) if added is not Added.STALE]
    gone = iter(source.remove_copied(taken))
    return [Gone.ABSENT if added is Added.STALE else next(gone) for added in outcome]


def _staying(copies: Sequence[MemoryEntry], gone: Sequence[Gone]) -> list[MemoryEntry]:
    """The copies whose entries changed in the source, and stay there."""
    return [copy for copy, left in zip(copies, gone, strict=True) if not left]
