"""Upkeep of a whole memory: entries that wait, broken moves, and what has to move down."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from agent_memory.errors import WritesRefused
from agent_memory.retrieval.access_log import AccessLog
from agent_memory.system.run_memory import RunMemory
from agent_memory.tiers.consolidation import Moves
from agent_memory.tiers.worker_share import WorkerShare

PATIENCE = 10.0
"""How long upkeep waits at most for keys that a cluster moves from server to server, in seconds."""


class Maintenance:
    """Does the upkeep of every run.

    Args:
        run: The memory, as one of its runs sees it.
        access_log: The retrievals that are not written yet.
    """

    def __init__(self, run: RunMemory, access_log: AccessLog) -> None:
        self._run = run
        self._access_log = access_log

    def maintain(self, share: WorkerShare | None = None) -> Moves:
        """Do all upkeep; see ``AgentMemorySystem.maintain``.

        Args:
            share: Whose agents alone move down; None: all agents do.
        """
        resources = self._run.resources
        resources.check_writable("upkeep is the writer's")
        with resources.connections.stm.patience(PATIENCE):
            return self._maintained(share)

    def _maintained(self, share: WorkerShare | None) -> Moves:
        resources = self._run.resources
        resources.identity.confirm()
        stored = self._store_waiting()
        resources.encoder.refresh()
        with suppress(WritesRefused):
            # What moves down makes room on a server that is too full to count retrievals.
            self._access_log.flush()
        moved = self._run.consolidation.settle()
        moved += self._move_down(share)
        if not stored:
            # For what waits too, if anything makes room for it.
            resources.intake.replay()
            moved += self._move_down(share)
        return moved

    def _store_waiting(self) -> bool:
        """Store what waits; gives whether the server takes it, which one that is full does not."""
        try:
            self._run.resources.intake.replay()
        except WritesRefused:
            return False
        return True

    def _move_down(self, share: WorkerShare | None) -> Moves:
        resources, consolidation = self._run.resources, self._run.consolidation
        self._run.merge_repeats()
        moved = consolidation.consolidate_all(resources.clock(), self._present_steps(), share)
        return moved + self._run.keep_budget()

    def _present_steps(self) -> Callable[[str, str], int | None]:
        """Gives the step by which entries of an agent of a run age, where any age is in steps."""
        resources = self._run.resources
        config = resources.config
        if config.stm_config.max_age_steps is None and config.im_config.max_age_steps is None:
            return lambda *_: None
        newest = [
            (agent, (counts.newest, counts.newest_step))
            for tier in resources.tiers[:2]
            for agent, counts in tier.upkeep.counts_of().items()
        ]
        resources.steps.found(newest, resources.clock())
        return resources.steps.of
