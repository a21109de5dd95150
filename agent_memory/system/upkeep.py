"""What keeps a memory in order: upkeep, forgetting, checks, backups, and numbers about it."""

from __future__ import annotations

from pathlib import Path
from typing import overload

from agent_memory.system.backups.saving import BackupReceipt
from agent_memory.system.closed import CLOSED
from agent_memory.system.erasure import ForgettingReceipt
from agent_memory.system.grouping import By, GroupStatistics, grouped
from agent_memory.system.maintenance_worker import MaintenanceWorker
from agent_memory.system.run_memory import RunMemory
from agent_memory.system.services import Services
from agent_memory.system.statistics import StatisticsByName, TierStatistics, statistics
from agent_memory.tiers.adoption import AdoptedSpool
from agent_memory.tiers.consolidation import Moves
from agent_memory.values.check_report import CheckReport
from agent_memory.values.checks import checked_step
from agent_memory.values.entry import Tier
from agent_memory.values.file_names import whole_path
from agent_memory.values.identity import checked_run_id
from agent_memory.values.progress import Progress
from agent_memory.values.query import Query
from agent_memory.values.quoting import quoted
from agent_memory.values.status import MemoryStatus


class MemoryUpkeep:
    """Keeps one run's memory in order, or that of all runs where a method says so.

    Args:
        run: The run.
        services: What does the work.
    """

    def __init__(self, run: RunMemory, services: Services) -> None:
        self._run = run
        self._resources = run.resources
        self._consolidation = run.consolidation
        self._services = services

    def __repr__(self) -> str:
        name, opened = type(self).__name__, self._resources
        if opened is CLOSED:
            return f"{name}(closed)"
        return f"{name}(run={quoted(self._run.run_id)}, in {opened.connections.stm.where:.200})"

    @property
    def status(self) -> MemoryStatus:
        """Which stores are up, and what waits for the others, as this process knows it.

        Raises:
            StoreUnavailable: The spool cannot be read.

        Examples:
            >>> memory.status.short_term.up
            True
        """
        return self._services.status()

    @property
    def moves(self) -> Moves:
        """How many entries this object has moved so far; a closed one says it too."""
        return self._consolidation.moves

    @overload
    def statistics(self, *, by: None = None) -> dict[Tier, TierStatistics]: ...
    @overload
    def statistics(self, *, by: By) -> dict[str, GroupStatistics]: ...
    def statistics(
        self, *, by: By | None = None
    ) -> dict[Tier, TierStatistics] | dict[str, GroupStatistics]:
        """What each tier holds, of this run and in all; or how many entries each group has.

        Args:
            by: "agent" for the agents of this run, "run" for every run of the memory, "type" for
                the types of this run's entries, which reads all of them. None: by tier.

        Raises:
            InvalidEntry: ``by`` is none of these.
            StoreUnavailable: A tier does not answer.

        Examples:
            >>> {tier.name: held.entries for tier, held in memory.statistics().items()}["LTM"]
            0
            >>> {name: group.total for name, group in memory.statistics(by="type").items()}
            {'state': 10}
        """
        tiers, run_id = self._resources.tiers, self._run.run_id
        if by is None:
            return StatisticsByName(statistics(tiers, run_id))
        return StatisticsByName(grouped(tiers, run_id, by))

    def maintain(self) -> Moves:
        """Heal moves that a crash cut short, and move down what has to leave, in every run.

        Entries of agents that are idle or gone move too. A version of the encoder that another
        process has activated is used from then on.

        Returns:
            How many entries moved.

        Raises:
            StoreUnavailable: A tier does not answer; nothing is lost.
            StoreReadOnly: The memory was opened read-only.

        Examples:
            >>> memory.maintain()
            Moves(stm_to_im=0, im_to_ltm=0, dropped=0)
        """
        return self._services.maintenance.maintain()

    def maintenance_worker(self, lease_seconds: float = 60.0) -> MaintenanceWorker:
        """One of any number of workers that divide the agents of all runs among themselves.

        Args:
            lease_seconds: After how many seconds of silence its agents go to the others; longer
                than one of its rounds and the pause after it.

        Raises:
            InvalidEntry: No number above 0 is given.
            StoreReadOnly: The memory was opened read-only.
        """
        self._resources.check_writable("upkeep is the writer's")
        return self._services.maintenance_worker(lease_seconds)

    def adopt_spool(self, file: str | Path) -> AdoptedSpool:
        """Take over what waits in the spool of another machine that is gone, and store it.

        Args:
            file: The other machine's, whose name ends in ``-spool``; no process may use it.

        Raises:
            ConfigError: The file is the spool of this machine, or the memory has none here.
            NewerFormat: A newer version made the file.
            StoreReadOnly: The memory was opened read-only.
            StoreUnavailable: The file cannot be used; or the server takes nothing, and what was
                taken over waits here.
        """
        self._resources.check_writable("what waits elsewhere stays there")
        return self._resources.intake.adopt(whole_path(file))

    def clear_all_memories(self) -> bool:
        """Forget the whole run in every tier, agents this process never met included.

        Returns:
            False if a store is unreachable; what was removed by then stays removed.

        Raises:
            StoreReadOnly: The memory was opened read-only.

        Examples:
            >>> memory.run("rehearsal").clear_all_memories()
            True
        """
        self._resources.check_writable("nothing was cleared")
        try:
            return self._resources.outages.guard(False, self._services.clear_run)
        finally:
            self._run.begin_again()

    def forget(
        self,
        agent: str | int | None = None,
        *,
        run: str | None = None,
        memory_id: str | None = None,
        query: Query | None = None,
        scrub: bool = False,
    ) -> ForgettingReceipt:
        """Forget for good, in every tier and in the spool, and look whether it is gone.

        What is stored afterwards, under the same ids too, stays: a run may be run again.

        Args:
            agent: All memories of this agent in the run; with ``memory_id``, whose that is.
                Another agent's entry of that id stays.
            run: The run; None: this system's. Without anything else: the whole run, also of
                agents this process never met.
            memory_id: This entry alone; without ``agent``, that of each agent which has the id.
            query: What ``recall`` answers it with; alone, since it names agent and run.
            scrub: Rewrite the files of long-term memory, of the server and of the spool, which
                until then keep the bytes of what was removed. Takes as long as copying them.

        Returns:
            What was removed, where, and which versions of the encoder may have learned from it.

        Raises:
            InvalidEntry: Nothing is named, or ``query`` and something else; a name has no meaning.
            RunHasForks: Other runs were forked from the run.
            StoreReadOnly: The memory was opened read-only.
            StoreUnavailable: A store does not answer; what was removed by then stays removed, and
                the same call goes on with the rest.

        Examples:
            >>> receipt = memory.forget(query=Query(agent_id="ant-1", steps=(9, 9)))
            >>> receipt.entries, receipt.verified
            (1, True)
        """
        self._resources.check_writable("nothing was forgotten")
        whose = None if run is None else checked_run_id(run)
        try:
            return self._services.forgetting.forget(agent, run, memory_id, query, scrub=scrub)
        finally:
            self._run.begin_again(whose, self._run.latest_step)

    def forget_after(self, step: int) -> ForgettingReceipt:
        """Roll the run back: forget what it stored of later steps, in every tier and in the spool.

        What is stored then, of these steps too, goes on from there: it is the latest, and with
        ``clock="steps"`` the same life lived again leaves the same rows. Entries that wait in the
        spool of another machine are not reached.

        Args:
            step: The last step that stays, of all agents of the run.

        Returns:
            What was removed, and where.

        Raises:
            InvalidEntry: The step has no meaning.
            RunHasForks: Other runs were forked from the run after that step.
            StoreReadOnly: The memory was opened read-only.
            StoreUnavailable: A store does not answer; what was removed by then stays removed, and
                the same call goes on with the rest.

        Examples:
            >>> rehearsal = memory.run("rehearsal")
            >>> _ = [rehearsal.store_agent_state("ant-1", {"food": 1}, step) for step in range(4)]
            >>> rehearsal.forget_after(1).entries
            2
            >>> rehearsal.clear_all_memories()
            True
        """
        self._resources.check_writable("nothing was forgotten")
        last = checked_step(step)
        try:
            return self._services.forgetting.forget_after(last)
        finally:
            self._run.begin_again(latest_step=last)

    def check(self, *, repair: bool = False, progress: Progress | None = None) -> CheckReport:
        """Look at all that is stored, beside a live run if need be; see ``docs/upkeep.md``.

        Args:
            repair: Mend what can be mended. Nothing is lost by it: what cannot be read goes into
                quarantine with its bytes.
            progress: Called with each batch: what is looked at, and how many of it so far.

        Raises:
            StoreReadOnly: ``repair``, and the memory was opened read-only.
            StoreUnavailable: A store does not answer.

        Examples:
            >>> memory.check().sound
            True
        """
        if repair:
            self._resources.check_writable("nothing was mended")
        return self._services.check(repair=repair, progress=progress)

    def backup(self, path: str | Path, *, progress: Progress | None = None) -> BackupReceipt:
        """Save the whole memory, all runs, in one file, beside a live run.

        Every entry that was acknowledged when this is called is in it once, unless it is forgotten
        meanwhile. The file takes its name when it is whole and on disk.

        Args:
            path: The file; one that is there is replaced at that moment.
            progress: Called with each batch.

        Raises:
            StoreUnavailable: A store does not answer, or the file cannot be written.
        """
        return self._services.backup(path, progress)
