"""Wires the services of one run: each is given the parts of the opened memory that it uses."""

from __future__ import annotations

from pathlib import Path

from agent_memory.errors import InvalidEntry
from agent_memory.repositories.redis.worker_leases import WorkerLeases
from agent_memory.repositories.sql.runs import RunRecords
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.retrieval.access_log import AccessLog
from agent_memory.retrieval.retriever import Retriever
from agent_memory.system.backups.file import Backup
from agent_memory.system.backups.restoring import RestoreReceipt, Restoring
from agent_memory.system.backups.saving import BackupReceipt, save
from agent_memory.system.checking.whole import MemoryCheck
from agent_memory.system.forgetting import Forgetting
from agent_memory.system.learning.versions import Encoders
from agent_memory.system.maintenance import Maintenance
from agent_memory.system.maintenance_worker import MaintenanceWorker
from agent_memory.system.run_memory import RunMemory
from agent_memory.system.runs import Runs
from agent_memory.system.statistics import status
from agent_memory.tiers.forgetting import forget_run
from agent_memory.values.check_report import CheckReport
from agent_memory.values.checks import checked_number
from agent_memory.values.progress import Progress
from agent_memory.values.status import MemoryStatus


class Services:
    """What can be done with one run of an opened memory.

    Args:
        run: The run.

    Attributes:
        access_log: Counts retrievals.
        encoders: The versions of the encoder.
        retriever: Answers questions.
        forgetting: Forgets what is named.
        maintenance: Does the upkeep.
        runs: Begins and lists runs.
    """

    def __init__(self, run: RunMemory) -> None:
        opened = run.resources
        encoder, clock = opened.encoder, opened.clock
        self._run = run
        # Where times are steps, each run has its own.
        by_steps = opened.config.clock == "steps"
        self.access_log = AccessLog(opened.tiers, clock) if by_steps else opened.access_log
        self.encoders = Encoders(run.run_id, encoder, opened.tiers, opened.intake, clock)
        self.retriever = Retriever(
            opened.readers,
            opened.similarity,
            None if opened.read_only else self.access_log,
            run.now,
            (opened.config.memory_priority_decay, float(opened.config.cleanup_interval)),
        )
        records = RunRecords(Transactions(opened.connections.sql_engine), opened.models, clock)
        self.forgetting = Forgetting(
            *(run.run_id, opened.tiers, opened.intake, encoder.versions),
            *(opened.connections, clock, records),
        )
        self.runs = Runs(records, opened.tiers, opened.intake, self.forgetting)
        self.maintenance = Maintenance(run, self.access_log)

    def status(self) -> MemoryStatus:
        """How the stores are, as this process knows it."""
        opened = self._run.resources
        return status(opened.intake, opened.connections, opened.outages)

    def make_search_indexes(self) -> bool:
        """Make the indexes of the query engine; returns whether the server has one."""
        opened = self._run.resources
        if not opened.connections.redis_engine.has_query_engine:
            return False
        for search in opened.search.values():
            search.ensure()
        return True

    def maintenance_worker(self, lease_seconds: float) -> MaintenanceWorker:
        """One of several workers; see ``AgentMemorySystem.maintenance_worker``."""
        opened = self._run.resources
        seconds = checked_number("lease_seconds", lease_seconds)
        if seconds <= 0:
            raise InvalidEntry(f"lease_seconds: {seconds} is not above 0")
        leases = WorkerLeases(opened.connections.stm, opened.config.stm_config.namespace)
        return MaintenanceWorker(leases, self.maintenance.maintain, seconds)

    def clear_run(self) -> bool:
        """Forget the whole run in every tier; returns True."""
        opened = self._run.resources
        forget_run(opened.tiers, self._run.run_id, opened.clock)
        return True

    def check(self, *, repair: bool, progress: Progress | None) -> CheckReport:
        """Look at all that is stored; see ``AgentMemorySystem.check``."""
        opened = self._run.resources
        check = MemoryCheck(
            *(opened.config, opened.connections, opened.tiers, opened.encoder),
            *(opened.intake, opened.search, opened.clock),
        )
        return check.run(repair=repair, progress=progress)

    def backup(self, path: str | Path, progress: Progress | None) -> BackupReceipt:
        """Save the whole memory in a file; see ``AgentMemorySystem.backup``."""
        opened = self._run.resources
        if not opened.read_only:
            self.access_log.flush()
        codes = opened.encoder.codes
        return save(path, opened.config, opened.connections, codes, opened.clock, progress)

    def restore(
        self, backup: Backup, *, into_existing: bool, progress: Progress | None
    ) -> RestoreReceipt:
        """Restore a backup here; see ``AgentMemorySystem.restore``."""
        opened = self._run.resources
        restoring = Restoring(
            *(backup, opened.config, opened.connections, opened.tiers),
            *(opened.intake, opened.encoder, progress),
        )
        return restoring.run(into_existing=into_existing)
