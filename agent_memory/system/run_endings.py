"""Runs that have finished once an object of this process is gone, such as a model's collector."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agent_memory.connections.sql import SqlEngine
from agent_memory.errors import MemoryStoreError
from agent_memory.models.ltm import ltm_models
from agent_memory.repositories.sql.runs import RunRecords
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.values.forking import after_fork
from agent_memory.values.run import FAILED, FINISHED, Ending


@dataclass(frozen=True, eq=False, slots=True)
class _Owner:
    """Stands for what a run ends with.

    Attributes:
        process: The process that it is in: a fork has a copy, and does not end the run.
    """

    process: int


class RunEndings:
    """Which runs end with an object, and which of those ends are to be recorded still.

    An object may be collected as garbage in any thread, in the middle of a transaction too. So its
    end is noted, and recorded when a run begins, when runs are listed, or when the memory closes.

    Args:
        sql_engine: The database of long-term memory, where runs are recorded.
        table_prefix: What the tables' names begin with.
        clock: Gives the time in seconds since 1970.
    """

    def __init__(
        self, sql_engine: SqlEngine, table_prefix: str, clock: Callable[[], float]
    ) -> None:
        self._records = RunRecords(Transactions(sql_engine), ltm_models(table_prefix), clock)
        self._owners: dict[str, _Owner] = {}
        self._over: deque[tuple[str, _Owner, Ending]] = deque()
        self._unlock()
        after_fork(self._unlock)

    def end_with(self, run_id: str, owner: object) -> None:
        """Note that a run has finished once an object is gone, and no longer with another one."""
        token = self._owners[run_id] = _Owner(os.getpid())
        weakref.finalize(owner, self._note, run_id, token, None)

    def end(self, run_ids: Iterable[str], how: Ending) -> None:
        """Note how those of some runs end that end with an object; what was noted first holds."""
        for run_id in run_ids:
            token = self._owners.get(run_id)
            if token is not None:
                self._note(run_id, token, how)

    def forget(self, run_id: str) -> None:
        """Note that somebody else says how a run ends."""
        self._owners.pop(run_id, None)

    def record(self) -> None:
        """Record the ends that were noted.

        Raises:
            StoreUnavailable: Long-term memory does not answer; they are recorded the next time.
        """
        # Two that record would drop each other's; whoever notes an end takes no lock.
        with self._recording:
            while self._over:
                run_id, token, how = noted = self._over.popleft()
                if self._owners.get(run_id) is not token:
                    continue
                try:
                    self._records.set_status(run_id, how)
                except BaseException:
                    self._over.appendleft(noted)
                    raise
                self._owners.pop(run_id, None)

    def close(self) -> None:
        """Record how all of them end; nothing is raised."""
        self.end([*self._owners], _how_the_program_ends())
        try:
            self.record()
        except MemoryStoreError:
            return  # what does not answer now was logged when it was closed

    def _unlock(self) -> None:
        self._recording = threading.RLock()

    def _note(self, run_id: str, token: _Owner, how: Ending | None) -> None:
        if token.process == os.getpid():
            self._over.append((run_id, token, how or _how_the_program_ends()))


def _how_the_program_ends() -> Ending:
    """How a run ends whose program says nothing of it: failed, if an error ends the program."""
    # Python sets it as it writes the traceback; at a prompt and in a notebook each error does.
    failed = getattr(sys, "last_value", None) is not None
    is_at_a_prompt = hasattr(sys, "ps1") or "IPython" in sys.modules
    return FAILED if failed and not is_at_a_prompt else FINISHED
