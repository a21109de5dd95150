"""Removes what an agent remembers from every tier, so that nothing brings it back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent_memory.repositories.base import LongTermMemory, MemoryRepository, clearing_marks


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
    agents = list(agents)
    _note(ltm, run_id, agents, clock)
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


def forget_run(
    stm: MemoryRepository,
    im: MemoryRepository,
    ltm: LongTermMemory,
    run_id: str,
    clock: Callable[[], float],
) -> int:
    """Forget all that a run remembers at this moment; see ``forget_agents``.

    What waits in a spool somewhere is older than the clearing, and is dropped, also of agents
    that no tier has heard of.
    """
    _note(ltm, run_id, None, clock)
    agents = {agent for tier in (stm, im, ltm) for agent in tier.agents(run_id)}
    return forget_agents(stm, im, ltm, run_id, sorted(agents), clock)


def _note(
    ltm: LongTermMemory, run_id: str, agents: list[str] | None, clock: Callable[[], float]
) -> None:
    """Note the clearing, before anything is looked for: see ``intake``."""
    marks = clearing_marks(run_id, agents)
    ltm.forget(marks, clock())
    ltm.release(marks, clock())
