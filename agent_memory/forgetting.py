"""Removes what an agent remembers from every tier, so that nothing brings it back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent_memory.repositories.base import LongTermMemory, MemoryRepository


def forget_agents(
    stm: MemoryRepository,
    im: MemoryRepository,
    ltm: LongTermMemory,
    run_id: str,
    agents: Iterable[str],
    clock: Callable[[], float],
) -> int:
    """Forget all that some agents of a run remember at this moment.

    What may be on its way down is marked as forgotten in long-term memory first, so that a
    move in flight is refused there; only then it is removed above. What is stored after the
    call began may stay.

    Args:
        stm: Short-term memory.
        im: Intermediate memory.
        ltm: Long-term memory.
        run_id: The run.
        agents: Whose memories.
        clock: Gives the time in seconds since 1970.

    Returns:
        How many entries were removed from all tiers.
    """
    removed = 0
    for agent_id in agents:
        # Read from the top down: an entry that moves meanwhile is seen at least once.
        keys = list(dict.fromkeys([*stm.keys(run_id, agent_id), *im.keys(run_id, agent_id)]))
        removed += ltm.forget(keys, clock())
        removed += ltm.clear_agent(run_id, agent_id)
        removed += stm.remove_many(keys)
        removed += im.remove_many(keys)
        # The same keys may come again, as when a reproducible run is run again; only what was
        # read before this moment stays refused.
        ltm.release(keys, clock())
    return removed
