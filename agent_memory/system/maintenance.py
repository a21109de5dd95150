"""Upkeep of a whole memory: entries that wait, broken moves, and what has to move down."""

from __future__ import annotations

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
        stm, im, _ = resources.tiers
        for run_id in sorted({*stm.runs(), *im.runs()}):
            step = self._present_step(run_id)
            moved += consolidation.consolidate(run_id, None, resources.clock(), step)
        return moved + self._run.keep_budget()

    def _present_step(self, run_id: str) -> int | None:
        """The simulation's step in a run, where any age is in steps."""
        resources = self._run.resources
        config = resources.config
        if config.stm_config.max_age_steps is None and config.im_config.max_age_steps is None:
            return None
        newest = (
            (agent_counts.newest, agent_counts.newest_step)
            for tier in resources.tiers[:2]
            for agent_counts in tier.upkeep.agent_counts(run_id).values()
        )
        resources.steps.found(run_id, newest, resources.clock())
        return resources.steps.of(run_id)
