"""Upkeep of a whole memory: entries that wait, broken moves, and what has to move down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from agent_memory.retrieval.access_log import AccessLog
from agent_memory.system.run_memory import RunMemory
from agent_memory.tiers.consolidation import Moves


class Maintenance:
    """Does the upkeep of every run.

    Args:
        run: The memory, as one of its runs sees it.
        access_log: The retrievals that are not written yet.
    """

    def __init__(self, run: RunMemory, access_log: AccessLog) -> None:
        self._run = run
        self._access_log = access_log

    def maintain(self) -> Moves:
        """Do all upkeep; see ``AgentMemorySystem.maintain``."""
        resources, consolidation = self._run.resources, self._run.consolidation
        resources.check_writable("upkeep is the writer's")
        resources.intake.replay()
        resources.encoder.refresh()
        self._access_log.flush()
        moved = consolidation.settle()
        self._run.merge_repeats()
        moved += consolidation.consolidate_all(resources.clock(), self._present_steps())
        return moved + self._run.keep_budget()

    def _present_steps(self) -> Callable[[str], int | None]:
        """Gives the simulation's step in a run, where any age is in steps."""
        resources = self._run.resources
        config = resources.config
        if config.stm_config.max_age_steps is None and config.im_config.max_age_steps is None:
            return lambda _: None
        newest: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
        for tier in resources.tiers[:2]:
            for (run_id, _), counts in tier.upkeep.counts_of().items():
                newest[run_id].append((counts.newest, counts.newest_step))
        now = resources.clock()
        for run_id, found in newest.items():
            resources.steps.found(run_id, found, now)
        return resources.steps.of
