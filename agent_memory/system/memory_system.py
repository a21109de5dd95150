"""The memory of a simulation: all agents of a run, over all tiers."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Never, Self

from numpy.typing import NDArray

from agent_memory.config import MemoryConfig
from agent_memory.connections.folder_record import recorded_config
from agent_memory.connections.outages import Outages
from agent_memory.connections.redis.engine import RedisEngine
from agent_memory.connections.sql import SqlEngine
from agent_memory.embeddings.encoder import Reconstruction
from agent_memory.models.system import SystemModels
from agent_memory.repositories.contract import LongTermMemory, MemoryRepository
from agent_memory.system.agent_directory import AgentDirectory
from agent_memory.system.backups.file import Backup
from agent_memory.system.backups.restoring import RestoreReceipt
from agent_memory.system.backups.validation import validate
from agent_memory.system.closed import CLOSED
from agent_memory.system.instance import ProcessInstance
from agent_memory.system.learning.training import TrainedEncoder
from agent_memory.system.learning.versions import Encoders
from agent_memory.system.leaving import collected, leave
from agent_memory.system.memory_learning import MemoryLearning
from agent_memory.system.memory_questions import MemoryQuestions
from agent_memory.system.memory_runs import MemoryRuns
from agent_memory.system.pictures.memory_pictures import MemoryPictures
from agent_memory.system.reopening import check_reopens
from agent_memory.system.run_memory import RunMemory
from agent_memory.system.services import Services
from agent_memory.system.sharing import Holder, acquire
from agent_memory.system.upkeep import MemoryUpkeep
from agent_memory.system.whole_config import AnyConfig, whole_config
from agent_memory.values.calls import explains_calls
from agent_memory.values.deprecation import OldName
from agent_memory.values.embedder import Embedder, Model
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.file_names import whole_path
from agent_memory.values.identity import checked_agent_id, checked_memory_id
from agent_memory.values.pages import Hits
from agent_memory.values.progress import Progress
from agent_memory.values.query import Hit, Query, query_of
from agent_memory.values.rank import Rank
from agent_memory.values.run import Ending


@explains_calls()
class AgentMemorySystem(
    AgentDirectory,
    MemoryQuestions,
    MemoryLearning,
    MemoryUpkeep,
    MemoryRuns,
    MemoryPictures,
):
    """The memory of all agents of a run. Use it as a context manager, or ``close`` it.

    One system serves many runs (``run``). Threads may share it, and after ``os.fork`` both
    sides may go on with it.

    Args:
        config: A ``MemoryConfig``, the dict of one, or None for the defaults: the embedded
            server in a folder.
        read_only: Open beside a live run: no upkeep, no counted retrievals, no writes.
        upkeep: False leaves moving entries down to others, at opening and closing too.
        clock: Gives the time in seconds since 1970; another one is for tests.

    Attributes:
        config: The configuration.
        agents: The agents met so far, by id.
        stm: Short-term memory, of all agents and runs.
        im: Intermediate memory, of all agents and runs.
        ltm: Long-term memory, of all agents and runs.
        models: SQLAlchemy's models of long-term memory, Redis-OM's of the other tiers.
        sql_engine: The SQLAlchemy engine of long-term memory, for ``models``; to read with. Of a
            memory that was opened read-only it refuses to write.
        encoders: The versions of the encoder: train, activate, re-encode.
        outages: Counts and logs calls that found a store unreachable.

    Raises:
        ConfigError: The configuration cannot be used.
        StoreUnavailable: A server, file or folder does not answer.
        SchemaOutOfDate: Long-term memory needs a migration; the message names the command.

    Examples:
        >>> from agent_memory import AgentMemorySystem, Query
        >>> with AgentMemorySystem({"engine": "fake"}) as system:
        ...     stored = system.store_agent_state("ant-1", {"food": 1.0}, 0)
        ...     hits = system.recall(Query(agent_id="ant-1"))
        >>> stored, hits[0].entry.contents
        (True, {'food': 1.0})
    """

    def __init__(
        self,
        config: AnyConfig = None,
        *,
        read_only: bool = False,
        upkeep: bool = True,
        clock: Callable[[], float] = time.time,
        **settings: Never,
    ) -> None:
        whole, holder = whole_config(config, settings), Holder(self)
        opened = acquire(whole, holder, read_only=read_only, clock=clock)
        # Whoever holds one of its agents holds the system, which would else close under them.
        run = RunMemory(opened, whole.run_id, owner=self)
        services = Services(run)
        AgentDirectory.__init__(self, run)
        MemoryQuestions.__init__(self, run, services)
        MemoryLearning.__init__(self, run, services)
        MemoryUpkeep.__init__(self, run, services)
        MemoryRuns.__init__(self, run, services)
        MemoryPictures.__init__(self, run, services)
        # Runs at exit too, so that a system nobody closed still writes what it counted.
        self._finalizer = weakref.finalize(
            self, collected, holder, opened, services.access_log, run.open_batch
        )
        self._runs: dict[str, Self] = {}
        self.config: Final[MemoryConfig] = whole
        self.stm: Final[MemoryRepository] = opened.tiers[0]
        self.im: Final[MemoryRepository] = opened.tiers[1]
        self.ltm: Final[LongTermMemory] = opened.tiers[2]
        self.models: Final[SystemModels] = opened.models
        self.sql_engine: Final[SqlEngine] = opened.connections.sql_engine
        self.outages: Final[Outages] = opened.outages
        self.encoders: Final[Encoders] = services.encoders
        self._upkeep = upkeep and not read_only
        if self._upkeep:
            # Guarded, because a memory that cannot be tidied can still be stored to and read.
            opened.upkeep.attempt(self.maintain)

    # -- opening and closing ------------------------------------------------------------------

    @classmethod
    def get_instance(cls, config: AnyConfig = None) -> AgentMemorySystem:
        """The one system of this process, opened on the first call.

        Args:
            config: Used by the first call; later ones may leave it out or repeat it.

        Raises:
            ConfigError: The system is open with another configuration.
        """
        return _instance.get(config)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        read_only: bool = False,
        upkeep: bool = True,
        embedder: Embedder | Model | None = None,
    ) -> AgentMemorySystem:
        """Open the memory in a folder, with the embedded server, where and as it was made.

        Its limits and ages are those that it was last opened with by a configuration.

        Args:
            path: The folder.
            read_only: Open beside a live run: no upkeep, no counted retrievals, no writes.
            upkeep: False leaves moving entries down to others, at opening and closing too.
            embedder: See ``MemoryConfig``; a model is no part of the memory.
        """
        folder = whole_path(path)
        config = MemoryConfig(
            path=folder, engine="embedded", embedder=embedder, **recorded_config(folder)
        )
        return cls(config, read_only=read_only, upkeep=upkeep)

    def _bound_to(self, name: str) -> Self:
        opened = self._resources
        if name == self.config.run_id:
            return self
        bound = self._runs.get(name)
        if bound is None or bound._resources is CLOSED:  # noqa: SLF001  # of the same class
            config = MemoryConfig(**{**dict(self.config), "run_id": name})
            # Upkeep, which is of all runs, is left to this system.
            bound = type(self)(config, read_only=opened.read_only, upkeep=False, clock=opened.clock)
            self._runs[name] = bound
        return bound

    def close(self) -> None:
        """Move down what has to leave, write what was counted, and close; idempotent.

        Raises:
            NotAllStored: A batch was left open, and some of what it had gathered cannot be stored.
        """
        if self._resources is not CLOSED:
            try:
                self._run.open_batch.leave()
            finally:
                self._close()
        self._leave()

    def _close(self) -> None:
        self._resources.endings.end([self._run.run_id], "finished")
        self._resources.upkeep.attempt(self._resources.endings.record)
        for view in list(self._runs.values()):
            view.close()
        self._runs.clear()
        if self._finalizer.alive and self._upkeep:
            self._resources.upkeep.attempt(self.maintain)
        _instance.drop(self)
        # Whoever goes on with it, or with one of its agents, gets an error that says so.
        self._run.resources = self._run = self._resources = self._services = CLOSED

    def _leave(self) -> None:
        if alive := self._finalizer.peek():  # not called: it would be gone if this were interrupted
            leave(*alive[2])
            self._finalizer.detach()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the configuration, passwords included; the copy opens the memory again.

        Raises:
            ConfigError: The memory is in this process alone.
            MemoryClosed: It is closed.
        """
        check_reopens(self.config, "AgentMemorySystem")
        opened = self._resources
        return (_reopened, (type(self), self.config, opened.read_only, self._upkeep, opened.clock))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        """The same object: a copied model goes on with the memory of its original."""
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._resources is not CLOSED:
            how: Ending = "finished" if error is None else "failed"
            self._resources.endings.end(self._runs, how)
            if self._run.is_recorded:
                self._resources.upkeep.attempt(lambda: self.end_run(how))
        self.close()

    # -- what it is made of -------------------------------------------------------------------

    @property
    def redis_engine(self) -> RedisEngine:
        """The server of short-term and intermediate memory, and what it can do.

        Raises:
            StoreUnavailable: It does not answer.
        """
        return self._resources.connections.redis_engine

    engine = OldName("redis_engine")

    def make_search_indexes(self) -> bool:
        """Make the query engine's indexes now, so that a read-only memory's models can be asked.

        Returns:
            Whether the server has a query engine.

        Raises:
            SearchIndexError: An index cannot be made; the message says why.
            StoreReadOnly: The memory was opened read-only.
        """
        self._resources.check_writable("no index was made")
        return self._services.make_search_indexes()

    # -- finding and learning -----------------------------------------------------------------

    def recall(
        self,
        query: Query | None = None,
        *,
        near: object = None,
        touch: bool = True,
        rank: Rank | str | None = None,
        diverse: float | None = None,
        after: str | None = None,
        **asked: Any,
    ) -> Hits:
        """Answer a query from all tiers: each entry once, from the richest tier that holds it.

        Args:
            query: What is asked; of this system's run unless it names others.
            near: Give the most similar first, with their scores; the query's order decides among
                equals, which without one are newest first. Similar to a state (a dict, dataclass
                or pydantic model), to a list or array of numbers that states hold under some
                path, to a memory (a hit, an entry, or the id of one of the query's agent), to a
                text, of which the embedder makes a vector, or to a ``Vector``.
            touch: Whether this counts as a retrieval of what is found.
            rank: What matters most first, by relevance, recency and importance: a ``Rank``,
                "generative_agents" or "freshness".
            diverse: From 0 to 1: how much an entry counts less, the more similar it is to those
                before it, so that one moment does not fill the answer; needs a limit.
            after: The cursor ``next`` of the page before: what lies behind it is given, up to the
                limit, whatever was stored, moved or forgotten meanwhile.
            asked: The fields of a ``Query``, in place of one.

        Raises:
            InvalidEntry: ``query`` is no query, ``near`` is none of these, or ``after`` is the
                cursor of another query.
            EmbedderError: The embedder fails for a text.
            EntryNotFound: ``near`` is a memory id that no tier holds.
            StoreUnavailable: A tier does not answer.

        Examples:
            >>> now = {"food": 2.0, "at": (4, 3)}
            >>> hits = memory.recall(Query(agent_id="ant-1", limit=1), near=now)
            >>> hits[0].entry.step_number
            4
            >>> len(memory.recall(agent_id="ant-1", steps=(5, None)))
            5
        """
        question = query_of(query, asked).within(self.config.run_id)
        return self._services.retriever.recall(
            question, near=near, touch=touch, rank=rank, diverse=diverse, after=after
        )

    def fetch(self, agent_id: str | int, memory_id: str, *, touch: bool = True) -> Hit | None:
        """Get one entry from whichever tier holds it, or None.

        Raises:
            StoreUnavailable: A tier does not answer.

        Examples:
            >>> hit = memory.recall(Query(agent_id="ant-1", steps=(3, 3)))[0]
            >>> memory.fetch("ant-1", hit.entry.memory_id).entry == hit.entry
            True
        """
        key = EntryKey(self.config.run_id, checked_agent_id(agent_id), checked_memory_id(memory_id))
        return self._services.retriever.fetch(key, touch=touch)

    def train_encoder(
        self, states: Iterable[object] | None = None, **settings: Any
    ) -> TrainedEncoder:
        """Fit an encoder to this run's stored entries, or to given states, and encode with it.

        Args:
            states: What to learn from, in the order of time; None: the run's stored entries.
            settings: See ``Encoders.train``.
        """
        return self.encoders.train(states, **settings)

    def reconstruct(self, given: MemoryEntry | Sequence[float] | NDArray[Any]) -> Reconstruction:
        """Decode the vector of a memory to a state; see ``Encoders.reconstruct``."""
        return self.encoders.reconstruct(given)

    @classmethod
    def restore(
        cls,
        path: str | Path,
        config: AnyConfig = None,
        *,
        into_existing: bool = False,
        progress: Progress | None = None,
    ) -> RestoreReceipt:
        """Restore a backup into an empty memory, whatever its engines are.

        The file is read through and verified before anything is opened or written. If a restore
        was interrupted, the same call begins it again.

        Args:
            path: The file.
            config: The memory to restore into; None for the defaults.
            into_existing: Add to what is there already; of two copies the newer stays.
            progress: Called with each batch.

        Raises:
            EncodingError: The file is no backup, is damaged, or was made by a newer version.
            EntryConflict: A version of the encoder is another one there.
            MemoryNotEmpty: Something is there already; nothing was written.
            StoreUnavailable: A store does not answer, or the file is not there.
        """
        with closing(Backup(whole_path(path))) as saved:
            validate(saved, whole_config(config).max_entry_bytes)
            with cls(config, upkeep=False) as system:
                services = system._services
                return services.restore(saved, into_existing=into_existing, progress=progress)


def _reopened(
    system: type[AgentMemorySystem],
    config: MemoryConfig,
    read_only: bool,
    upkeep: bool,
    clock: Callable[[], float],
) -> AgentMemorySystem:
    return system(config, read_only=read_only, upkeep=upkeep, clock=clock)


_instance = ProcessInstance(AgentMemorySystem)
