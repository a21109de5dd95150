"""A check of a whole memory, from its folder to the last row."""

from __future__ import annotations

from agent_memory.connections.deployment import file_beside
from agent_memory.models.ltm import ltm_models
from agent_memory.repositories.redis.inspection import TierInspection
from agent_memory.repositories.sql.inspection import LongTermInspection
from agent_memory.system.checking.cross_tier import CrossTierChecks
from agent_memory.system.checking.job import Job
from agent_memory.system.checking.long_term import LongTermCheck
from agent_memory.system.checking.quarantine import Quarantine
from agent_memory.system.checking.surroundings import (
    check_folder_records,
    check_search,
    check_spool,
    check_versions,
)
from agent_memory.system.checking.tiers import TierCheck
from agent_memory.system.checking.validation import Validator
from agent_memory.system.resources import Resources
from agent_memory.tiers.demotion import demotions
from agent_memory.values.check_report import CheckReport
from agent_memory.values.entry import Tier
from agent_memory.values.progress import Progress


def check(
    resources: Resources, *, repair: bool = False, progress: Progress | None = None
) -> CheckReport:
    """Look at all of a memory; see ``AgentMemorySystem.check``.

    Args:
        resources: What is open.
        repair: Whether to mend what is found.
        progress: Told of each batch.
    """
    file = file_beside(resources.deployment, "aside")
    job = Job(resources, repair, None if file is None else Quarantine(file), progress)
    validator = Validator(resources)
    above = inspections(resources)
    below = LongTermInspection(
        resources.sql_engine, ltm_models(resources.config.ltm_config.table_prefix)
    )
    ways = demotions(*resources.tiers, resources.compression, resources.config, resources.clock)
    cross_tier_checks = CrossTierChecks(job, above, below, ways)
    check_folder_records(job)
    # What waits is stored first, so that it is looked at where it is then.
    check_spool(job)
    cross_tier_checks.look_at_tombstones()
    cross_tier_checks.look_at_moves()
    for repository, inspection in zip(resources.tiers[:2], above, strict=True):
        TierCheck(job, validator, cross_tier_checks, repository, inspection).run()
    LongTermCheck(job, validator, below).run()
    cross_tier_checks.look_at_forgotten_rows()
    # When what cannot be read is out of the way: of two copies the sound one is to stay.
    cross_tier_checks.settle()
    check_versions(job, validator)
    check_search(job, {tier: one.namespace for tier, one in zip(Tier, above, strict=False)})
    if job.quarantine is not None:
        job.looked("set aside", len(job.quarantine))
    return job.findings.report()


def inspections(resources: Resources) -> tuple[TierInspection, TierInspection]:
    """Short-term and intermediate memory, beneath their repositories."""
    config = resources.config
    names = (config.stm_config.namespace, config.im_config.namespace)
    stm, im = resources.channels[0], resources.channels[-1]
    return TierInspection(stm, names[0], names), TierInspection(im, names[1], names)
