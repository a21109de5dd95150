"""A check of a whole memory, from its folder to the last row."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import file_beside
from agent_memory.models.ltm import ltm_models
from agent_memory.repositories.redis.tier_search import TierSearch
from agent_memory.repositories.sql.inspection import LongTermInspection
from agent_memory.system.beneath import Connections, inspections
from agent_memory.system.checking.cross_tier import CrossTierChecks
from agent_memory.system.checking.job import Job
from agent_memory.system.checking.long_term import LongTermCheck
from agent_memory.system.checking.surroundings import (
    check_folder_records,
    check_search,
    check_spool,
    check_versions,
)
from agent_memory.system.checking.tiers import TierCheck
from agent_memory.system.checking.validation import Validator
from agent_memory.system.encoder_in_use import CurrentEncoder
from agent_memory.system.identity import recorded_identity
from agent_memory.tiers.demotion import demotions
from agent_memory.tiers.forgetting import Tiers
from agent_memory.tiers.intake import Intake
from agent_memory.tiers.quarantine import Quarantine
from agent_memory.tiers.spool import spool_of
from agent_memory.values.check_report import CheckReport
from agent_memory.values.entry import Tier
from agent_memory.values.progress import Progress


class MemoryCheck:
    """Checks all of a memory.

    Args:
        config: The configuration.
        connections: The servers, beneath the repositories.
        tiers: The repositories, richest tier first.
        encoder: The versions of the encoder and their codes.
        intake: The way into short-term memory.
        search: The query engine's view of the Redis tiers.
        clock: Gives the time in seconds since 1970.
    """

    def __init__(
        self,
        config: MemoryConfig,
        connections: Connections,
        tiers: Tiers,
        encoder: CurrentEncoder,
        intake: Intake,
        search: Mapping[Tier, TierSearch],
        clock: Callable[[], float],
    ) -> None:
        self._config = config
        self._connections = connections
        self._tiers = tiers
        self._encoder = encoder
        self._intake = intake
        self._search = search
        self._clock = clock

    def run(self, *, repair: bool = False, progress: Progress | None = None) -> CheckReport:
        """Look at all of it; see ``AgentMemorySystem.check``.

        Args:
            repair: Whether to mend what is found.
            progress: Called with each batch.
        """
        config, where = self._config, self._connections.deployment
        file = file_beside(where, "aside")
        quarantine = None if file is None else Quarantine(file)
        job = Job(self._tiers, self._clock, repair, quarantine, progress)
        validator = Validator(self._encoder, config.max_entry_bytes)
        above = inspections(self._connections, config)
        sql_engine, prefix = self._connections.sql_engine, config.ltm_config.table_prefix
        below = LongTermInspection(sql_engine, ltm_models(prefix))
        ways = demotions(*self._tiers, self._encoder.compression, config)
        identity = recorded_identity(sql_engine, prefix)
        cross_tier_checks = CrossTierChecks(job, above, below, ways)
        check_folder_records(job, config, where)
        # What waits is stored first, so that it is looked at where it is then.
        check_spool(job, self._intake, spool_of(config, where, identity))
        cross_tier_checks.look_at_tombstones()
        cross_tier_checks.look_at_moves()
        for repository, inspection in zip(self._tiers[:2], above, strict=True):
            TierCheck(job, validator, cross_tier_checks, repository, inspection).run()
        LongTermCheck(job, validator, below, sql_engine, prefix).run()
        cross_tier_checks.look_at_forgotten_rows()
        # When what cannot be read is out of the way: of two copies the intact one is to stay.
        cross_tier_checks.settle()
        check_versions(job, validator, self._encoder.versions)
        if self._connections.redis_engine.has_query_engine:
            check_search(job, self._search)
        if quarantine is not None:
            job.looked("quarantined", len(quarantine))
        return job.findings.report()
