"""The runs of a memory: begun, ended, listed and compared."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from agent_memory.system.frames.extras import need
from agent_memory.system.frames.memory_files import MemoryFiles
from agent_memory.system.run_memory import RunMemory
from agent_memory.system.runs import beginning
from agent_memory.system.services import Services
from agent_memory.values.identity import checked_run_id
from agent_memory.values.run import Ending, Existing, RunSummary
from agent_memory.values.tried import tried_with

if TYPE_CHECKING:
    import pandas as pd


class MemoryRuns(MemoryFiles):
    """Binds a memory to runs, and says what is known of them.

    Args:
        run: The run.
        services: What does the work.
    """

    def __init__(self, run: RunMemory, services: Services) -> None:
        super().__init__(run)
        self._services = services

    @abstractmethod
    def _bound_to(self, name: str) -> Self:
        """The same memory, bound to a run."""

    def run(
        self,
        name: str,
        *,
        parameters: Mapping[str, Any] | None = None,
        seed: int | None = None,
        parent: str | None = None,
        fork_step: int | None = None,
        exists: Existing | None = None,
    ) -> Self:
        """The same memory, bound to a run; closed with this one.

        With a name alone nothing is recorded. With anything else it is recorded what the run is
        begun with, and ``with memory.run(...)`` records how it ended; see ``runs``.

        Args:
            name: The run.
            parameters: What it is begun with, by name; of what contents may hold.
            seed: Its random seed, an int of any size.
            parent: The run it goes on from, which cannot be forgotten before it.
            fork_step: At which step of its parent it begins.
            exists: What becomes of the run if it is there: "resume" goes on with it, if it was
                begun with the same, and records a seed where none is; "refuse" raises; "replace"
                forgets it, and what is stored then under the id of another entry takes its place.
                None: "resume".

        Raises:
            InvalidEntry: An argument has no meaning, or there is no such parent.
            RunConflict: The run is there and is to be refused, or was begun with another seed or
                other parameters.
            RunHasForks: It is to be replaced, and other runs were forked from it.
            StoreReadOnly: It is to be recorded, and the memory was opened read-only.
            StoreUnavailable: It is to be recorded, and a store does not answer.

        Examples:
            >>> with memory.run("episode-1", parameters={"ants": 1}, seed=42) as episode:
            ...     stored = episode.store_agent_state("ant-1", {"food": 2.0}, 0)
            ...     len(episode.recall(Query(agent_id="ant-1")))
            1
            >>> memory.runs()[-1].status
            'finished'
        """
        name = checked_run_id(name)
        most = self._resources.config.max_entry_bytes
        wanted = beginning(name, parameters, seed, parent, fork_step, exists, most)
        if wanted is None:
            return self._bound_to(name)
        self._resources.check_writable("no run was begun")
        self._resources.endings.record()
        bound = self._bound_to(name)
        try:
            bound._services.runs.begin(wanted)  # noqa: SLF001  # of the same class
        finally:
            if wanted.exists == "replace":
                # What the former run ended with does not end this one.
                self._resources.endings.forget(name)
                bound._run.begin_again()  # noqa: SLF001  # as above
        bound._run.is_recorded = True  # noqa: SLF001  # as above
        bound._run.replaces = wanted.exists == "replace"  # noqa: SLF001  # as above
        return bound

    @property
    def is_recorded(self) -> bool:
        """Whether this object has begun its run with a record.

        Examples:
            >>> memory.is_recorded
            False
        """
        return self._run.is_recorded

    def end_run(self, status: Ending = "finished") -> None:
        """Record how this run ended.

        Args:
            status: "finished" or "failed".

        Raises:
            InvalidEntry: It is neither, or the run was begun without a record.
            StoreReadOnly: The memory was opened read-only.
            StoreUnavailable: Long-term memory does not answer.

        Examples:
            >>> walk = memory.run("walk-2", parameters={"ants": 20})
            >>> walk.end_run("failed")
            >>> memory.runs()[-1].status
            'failed'
        """
        self._resources.check_writable("no end was recorded")
        self._resources.endings.forget(self._run.run_id)
        self._services.runs.end(self._run.run_id, status)

    def end_run_with(self, owner: object) -> None:
        """Record that this run has finished once an object is gone, or the memory is closed.

        It has failed if an error ends the memory's block, or the program. The last object that is
        named for a run counts, and ``end_run`` says it at once.

        Args:
            owner: What the run ends with, such as a simulation; it is not kept alive.

        Raises:
            StoreReadOnly: The memory was opened read-only.

        Examples:
            >>> class Simulation: ...
            >>> simulation = Simulation()
            >>> memory.run("walk-3", seed=1).end_run_with(simulation)
            >>> del simulation
            >>> memory.runs()[-1].status
            'finished'
        """
        self._resources.check_writable("no end was recorded")
        self._resources.endings.end_with(self._run.run_id, owner)

    def runs(self) -> list[RunSummary]:
        """All runs of the memory: what they were begun with, how they stand, what they hold.

        They are those that have entries, or were begun with a record; by name.

        Raises:
            StoreUnavailable: A tier does not answer.

        Examples:
            >>> {run.run_id: run.total for run in memory.runs()}["default"]
            10
        """
        if not self._resources.read_only:
            self._resources.endings.record()
        return self._services.runs.summaries()

    @tried_with("pandas", "pyarrow")
    def compare_runs(self, one: str, other: str, *, only_differing: bool = False) -> pd.DataFrame:
        """Two runs side by side, a row for each entry of the same agent, step and type.

        Contents are columns as in ``to_pandas``, of each run: ``a.contents.food``,
        ``b.contents.food`` and, of numbers, ``difference.contents.food``, which is b less a. ``in``
        says whether the entry is in "both", "a" or "b", and ``differs`` whether any of its contents
        do. ``occurrence`` counts several entries of an agent, step and type from 0.

        Args:
            one: A run, a.
            other: The run to compare it with, b.
            only_differing: Leave out what is the same in both.

        Raises:
            ConfigError: pandas or pyarrow is not installed; the message names the extra.
            InvalidEntry: A name has no meaning.
            StoreUnavailable: A tier does not answer.

        Examples:
            >>> for name, food in (("dry", 1), ("wet", 3)):
            ...     _ = memory.run(name).store_agent_state("ant-1", {"food": food}, 0)
            >>> memory.compare_runs("dry", "wet")["difference.contents.food"].tolist()
            [2]
        """
        need("pandas", "pyarrow")
        from agent_memory.system.frames.comparison import compared  # noqa: PLC0415  # needs pandas

        frames = [self.to_pandas(runs=[checked_run_id(name)]) for name in (one, other)]
        return compared(*frames, only_differing=only_differing)
