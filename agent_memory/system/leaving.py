"""What is done when a system is closed, or collected as garbage without being closed."""

from __future__ import annotations

from agent_memory.retrieval.access_log import AccessLog
from agent_memory.system.open_batches import BatchOfRun
from agent_memory.system.resources import Resources
from agent_memory.system.sharing import Holder, abandon, release


def leave(holder: Holder, resources: Resources, access_log: AccessLog, batch: BatchOfRun) -> None:
    """Store what was gathered and counted, and give back what is shared."""
    _store_what_waits(resources, access_log, batch)
    release(holder)


def collected(
    holder: Holder, resources: Resources, access_log: AccessLog, batch: BatchOfRun
) -> None:
    """The same in whatever thread the collector runs, which may be what an opening waits for."""
    _store_what_waits(resources, access_log, batch)
    abandon(holder)


def _store_what_waits(resources: Resources, access_log: AccessLog, batch: BatchOfRun) -> None:
    resources.upkeep.attempt(batch.leave)
    resources.upkeep.attempt(access_log.flush)
