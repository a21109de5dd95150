"""The memory of a simulation: all agents of a run, over all tiers."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agent_memory.config import MemoryConfig
from agent_memory.connections.folder_record import recorded_config
from agent_memory.connections.outages import Outages
from agent_memory.connections.redis.engine import RedisEngine
from agent_memory.connections.sql import SqlEngine
from agent_memory.embeddings.encoder import Reconstruction
from agent_memory.errors import ConfigError, EntryNotFound, InvalidEntry, StoreReadOnly
from agent_memory.models.system import SystemModels
from agent_memory.repositories.contract import LongTermMemory, MemoryRepository
from agent_memory.repositories.querying import run_of
from agent_memory.retrieval.access_log import AccessLog
from agent_memory.retrieval.recall import fetch, recall
from agent_memory.retrieval.similarity import SimilarityQuery, recall_similar
from agent_memory.system import resources as shared
from agent_memory.system.agent_stores import whole_config
from agent_memory.system.backups.file import Backup
from agent_memory.system.backups.restoring import RestoreReceipt, restore
from agent_memory.system.backups.saving import BackupReceipt, save
from agent_memory.system.checking.whole import check
from agent_memory.system.erasure import Erasure, ForgettingReceipt
from agent_memory.system.learning.versions import Encoders, TrainedEncoder
from agent_memory.system.memory_agent import MemoryAgent, RunMemory
from agent_memory.system.resources import Resources
from agent_memory.tiers.consolidation import Moves
from agent_memory.tiers.forgetting import forget_run
from agent_memory.values.check_report import CheckReport
from agent_memory.values.checks import checked_embedding
from agent_memory.values.contents import as_contents, pack
from agent_memory.values.deprecation import OldName
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.file_names import checked_path
from agent_memory.values.forking import after_fork
from agent_memory.values.identity import checked_agent_id, checked_memory_id, checked_run_id
from agent_memory.values.progress import Progress
from agent_memory.values.query import Hit, Query
from agent_memory.values.status import MemoryStatus


@dataclass(frozen=True, slots=True)
class TierStatistics:
    """What a tier holds.

    Attributes:
        entries: Entries of the run.
        stored_bytes: Bytes the engine uses for the tier, indexes and other runs included.
        all_entries: Entries of all runs.
    """

    entries: int
    stored_bytes: int
    all_entries: int

    @property
    def bytes_per_entry(self) -> float:
        """Bytes an entry takes, indexes included; 0 where there is none."""
        return self.stored_bytes / self.all_entries if self.all_entries else 0.0


class AgentMemorySystem:
    """The memory of all agents of a run. Use it as a context manager, or ``close`` it.

    One system serves many runs (``run``). Threads may share it, and after ``os.fork`` both
    sides may go on with it.

    Args:
        config: A ``MemoryConfig``, the dict of one, or None for the defaults: the embedded
            server in a folder.
        read_only: Open beside a live run: no upkeep, no counted retrievals, no writes.
        upkeep: False leaves moving entries down to others, at opening and closing too.
        clock: Gives the time in seconds since 1970; another one is for tests.

    Raises:
        ConfigError: The configuration cannot be used.
        StoreUnavailable: A server, file or folder does not answer.
        SchemaOutOfDate: Long-term memory needs a migration; the message names the command.
    """

    def __init__(
        self,
        config: MemoryConfig | Mapping[str, Any] | None = None,
        *,
        read_only: bool = False,
        upkeep: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = whole_config(config)
        self._resources = shared.acquire(self._config, read_only=read_only, clock=clock)
        # Whoever holds one of its agents holds the system, which would else close under them.
        self._run = RunMemory(self._resources, self._config.run_id, owner=self)
        self._accesses = AccessLog(self._resources.tiers)
        self._agents: dict[str, MemoryAgent] = {}
        self._runs: dict[str, AgentMemorySystem] = {}
        # Runs at exit too, so that a system nobody closed still writes what it counted.
        self._finalizer = weakref.finalize(self, _leave, self._resources, self._accesses)
        self._upkeep = upkeep and not read_only
        if self._upkeep:
            # Guarded, because a memory that cannot be tidied can still be stored to and read.
            self._resources.upkeep_outages.guard(None, self.maintain)

    # -- opening and closing ------------------------------------------------------------------

    @classmethod
    def get_instance(
        cls, config: MemoryConfig | Mapping[str, Any] | None = None
    ) -> AgentMemorySystem:
        """The one system of this process, opened on the first call.

        Args:
            config: Used by the first call; later ones may leave it out or repeat it.

        Raises:
            ConfigError: The system is open with another configuration.
        """
        return _instance.get(config)

    @classmethod
    def open(
        cls, path: str | Path, *, read_only: bool = False, upkeep: bool = True
    ) -> AgentMemorySystem:
        """Open the memory in a folder, with the embedded server, where and as it was made.

        Its limits and ages are the defaults: give a configuration where upkeep matters.

        Args:
            path: The folder.
            read_only: Open beside a live run: no upkeep, no counted retrievals, no writes.
            upkeep: False leaves moving entries down to others, at opening and closing too.
        """
        folder = checked_path(path).expanduser().absolute()
        config = MemoryConfig(path=folder, engine="embedded", **recorded_config(folder))
        return cls(config, read_only=read_only, upkeep=upkeep)

    def run(self, name: str) -> AgentMemorySystem:
        """The same memory, bound to a run; closed with this one."""
        name = checked_run_id(name)
        if name == self.config.run_id:
            return self
        if name not in self._runs:
            config = MemoryConfig(**{**dict(self.config), "run_id": name})
            # Upkeep, which is of all runs, is left to this system.
            self._runs[name] = AgentMemorySystem(
                config,
                read_only=self._resources.read_only,
                upkeep=False,
                clock=self._resources.clock,
            )
        return self._runs[name]

    def close(self) -> None:
        """Move down what has to leave, write what was counted, and close; idempotent."""
        for view in list(self._runs.values()):
            view.close()
        self._runs.clear()
        if self._finalizer.alive and self._upkeep:
            self._resources.upkeep_outages.guard(None, self.maintain)
        self._finalizer()
        _instance.drop(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what it is made of -------------------------------------------------------------------

    @property
    def config(self) -> MemoryConfig:
        """The configuration."""
        return self._config

    @property
    def agents(self) -> dict[str, MemoryAgent]:
        """The agents met so far, by id."""
        return self._agents

    @property
    def stm(self) -> MemoryRepository:
        """Short-term memory, of all agents and runs."""
        return self._resources.stm

    @property
    def im(self) -> MemoryRepository:
        """Intermediate memory, of all agents and runs."""
        return self._resources.im

    @property
    def ltm(self) -> LongTermMemory:
        """Long-term memory, of all agents and runs."""
        return self._resources.ltm

    @property
    def redis_engine(self) -> RedisEngine:
        """The server of short-term and intermediate memory, and what it can do.

        Raises:
            StoreUnavailable: It does not answer.
        """
        return self._resources.redis_engine

    engine = OldName("redis_engine")

    @property
    def models(self) -> SystemModels:
        """The models of this system: SQLAlchemy's of long-term memory, Redis-OM's of the others."""
        return self._resources.models

    @property
    def sql_engine(self) -> SqlEngine:
        """The SQLAlchemy engine of long-term memory, for ``system.models``; to read with.

        Of a memory that was opened read-only it refuses to write.
        """
        return self._resources.sql_engine

    def make_search_indexes(self) -> bool:
        """Make the indexes of the query engine now, and not when a model is first asked.

        So that those who open the memory read-only can ask its models.

        Returns:
            Whether the server has a query engine.

        Raises:
            SearchIndexError: An index cannot be made; the message says why.
            StoreReadOnly: The memory was opened read-only.
        """
        if self._resources.read_only:
            raise StoreReadOnly("the memory was opened read-only; no index was made")
        if not self.redis_engine.has_query_engine:
            return False
        for search in self._resources.search.values():
            search.ensure()
        return True

    @property
    def encoders(self) -> Encoders:
        """The versions of the encoder: train, activate, encode anew."""
        return Encoders(self._resources, self.config.run_id)

    @property
    def outages(self) -> Outages:
        """Counts and logs calls that found a store unreachable."""
        return self._resources.outages

    @property
    def status(self) -> MemoryStatus:
        """Which stores are up, and what waits for the others, as this process knows it.

        Raises:
            StoreUnavailable: The spool cannot be read.
        """
        return self._resources.status()

    @property
    def moves(self) -> Moves:
        """How many entries this object has moved so far."""
        return self._run.consolidation.moves

    def get_memory_agent(self, agent_id: str | int) -> MemoryAgent:
        """The agent's way into memory; the same object for the same id."""
        # An int finds nothing, and becomes text below.
        agent = self._agents.get(agent_id) if type(agent_id) is str else None
        if agent is None:
            agent = MemoryAgent(agent_id, run=self._run)
            agent = self._agents.setdefault(agent.agent_id, agent)
        return agent

    # -- storing ------------------------------------------------------------------------------

    def store_agent_state(
        self, agent_id: str | int, data: Mapping[str, Any], step_number: int, priority: float = 1.0
    ) -> bool:
        """Remember a state of an agent; see ``MemoryAgent.store_state``."""
        return self.get_memory_agent(agent_id).store_state(data, step_number, priority)

    def store_agent_interaction(
        self, agent_id: str | int, data: Mapping[str, Any], step_number: int, priority: float = 1.0
    ) -> bool:
        """Remember an interaction of an agent; see ``MemoryAgent.store_state``."""
        return self.get_memory_agent(agent_id).store_interaction(data, step_number, priority)

    def store_agent_action(
        self, agent_id: str | int, data: Mapping[str, Any], step_number: int, priority: float = 1.0
    ) -> bool:
        """Remember an action of an agent; see ``MemoryAgent.store_state``."""
        return self.get_memory_agent(agent_id).store_action(data, step_number, priority)

    # -- finding ------------------------------------------------------------------------------

    def recall(self, query: Query, *, near: object = None, touch: bool = True) -> list[Hit]:
        """Answer a query from all tiers: each entry once, from the richest tier that holds it.

        Args:
            query: What is asked; of this system's run unless it names one.
            near: Give the most alike first, with their scores, instead of the query's order:
                alike to a state (a dict, dataclass or pydantic model), to a memory (an entry,
                or a memory id of the query's agent), or to a vector of any tier's width.
            touch: Whether this counts as a retrieval of what is found.

        Raises:
            InvalidEntry: ``near`` is none of these.
            EntryNotFound: ``near`` is a memory id that no tier holds.
            StoreUnavailable: A tier does not answer.
        """
        asked = query.within(self.config.run_id)
        if near is None:
            hits = recall(self._resources.shown, asked)
        else:
            hits = recall_similar(
                self._resources.shown, asked, self._similarity(near, asked), self._resources.level
            )
        return self._counted(hits, touch)

    def _similarity(self, near: object, query: Query) -> SimilarityQuery:
        encoders = self._resources.encoders
        if isinstance(near, str):
            key = EntryKey(query.run_id or "", query.agent_id, checked_memory_id(near))
            found = fetch(self._resources.shown, [key])
            if not found:
                raise EntryNotFound(f"near: no tier holds entry {near} of {query.agent_id!r}")
            near = found[0].entry
        if isinstance(near, MemoryEntry):
            return SimilarityQuery.to_state(encoders, near.contents)
        if isinstance(near, (Sequence, np.ndarray)):
            return SimilarityQuery.to_vector(encoders, checked_embedding(near))
        state = as_contents(near)
        pack(
            state, max_bytes=self.config.max_entry_bytes
        )  # tells by its path what is no value of a state, and would be like nothing
        return SimilarityQuery.to_state(encoders, state)

    def fetch(self, agent_id: str | int, memory_id: str, *, touch: bool = True) -> Hit | None:
        """Get one entry from whichever tier holds it, or None.

        Raises:
            StoreUnavailable: A tier does not answer.
        """
        key = EntryKey(self.config.run_id, checked_agent_id(agent_id), checked_memory_id(memory_id))
        hits = self._counted(fetch(self._resources.shown, [key]), touch)
        return hits[0] if hits else None

    def _counted(self, hits: list[Hit], touch: bool) -> list[Hit]:
        if touch and not self._resources.read_only:
            self._accesses.record(hits, self._run.now())
        return hits

    # -- changing -----------------------------------------------------------------------------

    def set_importance(self, agent_id: str | int, memory_id: str, importance: float) -> MemoryEntry:
        """Set how important a memory is, in whichever tier it is.

        No change is lost, whoever else changes the same memory, moves it or counts retrievals:
        each call raises its revision by one. What was forgotten stays forgotten.

        Args:
            agent_id: Whose memory.
            memory_id: Which.
            importance: 0 to 1.

        Returns:
            The entry as stored.

        Raises:
            InvalidEntry: An argument has no meaning.
            EntryNotFound: No tier holds it, be it that it was forgotten.
            StoreReadOnly: The memory was opened read-only.
            StoreUnavailable: A tier does not answer; or the memory waits in the spool, where it
                cannot be changed before it is stored.
        """
        return self.get_memory_agent(agent_id).set_importance(memory_id, importance)

    def pin(self, agent_id: str | int, memory_id: str) -> MemoryEntry:
        """Keep a memory in the tier it is in, as exact as it is there, until it is unpinned.

        No limit, age or ``redis_max_bytes`` moves it down, and ``on_expiry="drop"`` does not drop
        it. It is recalled, changed and forgotten like any other; in long-term memory, which
        nothing leaves, it is a mark alone. Pinned entries count towards their tier's limit: others
        leave to make up for them. A tier with more pinned entries than its limit keeps them all.

        Args:
            agent_id: Whose memory.
            memory_id: Which.

        Returns:
            The entry as stored, in full. One that is pinned already is left as it is.

        Raises:
            InvalidEntry, EntryNotFound, StoreReadOnly, StoreUnavailable: As ``set_importance``.
        """
        return self.get_memory_agent(agent_id).pin(memory_id)

    def unpin(self, agent_id: str | int, memory_id: str) -> MemoryEntry:
        """Let a pinned memory move again, with the next upkeep if it is due; see ``pin``."""
        return self.get_memory_agent(agent_id).unpin(memory_id)

    # -- learning -----------------------------------------------------------------------------

    def train_encoder(
        self, states: Iterable[object] | None = None, **settings: Any
    ) -> TrainedEncoder:
        """Fit an encoder to what this run remembers, or to given states, and encode with it.

        Args:
            states: What to learn from, in the order of time; None: what is remembered.
            settings: See ``Encoders.train``.
        """
        return self.encoders.train(states, **settings)

    def reconstruct(self, given: MemoryEntry | Sequence[float] | NDArray[Any]) -> Reconstruction:
        """Decode the vector of a memory to a state; see ``Encoders.reconstruct``."""
        return self.encoders.reconstruct(given)

    # -- upkeep -------------------------------------------------------------------------------

    def maintain(self) -> Moves:
        """Heal moves that a crash cut short, and move down what has to leave, in every run.

        Entries of agents that are idle or gone move too. Notice is taken of a version of the
        encoder that another process has activated.

        Returns:
            How many entries moved.

        Raises:
            StoreUnavailable: A tier does not answer; nothing is lost.
            StoreReadOnly: The memory was opened read-only.
        """
        if self._resources.read_only:
            raise StoreReadOnly("the memory was opened read-only; upkeep is the writer's")
        self._resources.intake.replay()
        self._resources.refresh_encoder()
        self._accesses.flush()
        consolidation = self._run.consolidation
        moved = consolidation.settle()
        for run_id in sorted({*self.stm.runs(), *self.im.runs()}):
            step = self._present_step(run_id)
            moved += consolidation.consolidate(run_id, None, self._resources.clock(), step)
        return moved + self._run.keep_budget()

    def clear_all_memories(self) -> bool:
        """Forget the whole run in every tier, agents this process never met included.

        Returns:
            False if a store is unreachable; what was removed by then stays removed.

        Raises:
            StoreReadOnly: The memory was opened read-only.
        """
        if self._resources.read_only:
            raise StoreReadOnly("the memory was opened read-only; nothing was cleared")
        return self._resources.outages.guard(False, self._clear_all)

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

        What is stored afterwards, under the same ids too, is remembered: a run may be run again.

        Args:
            agent: All that this agent remembers in the run; with ``memory_id`` whose that is.
            run: The run; None: this system's. Without anything else: the whole run, also of
                agents this process never met.
            memory_id: This entry alone.
            query: What ``recall`` answers it with; alone, since it names agent and run.
            scrub: Have the files of long-term memory, of the server and of the spool written
                anew, which until then keep the bytes of what was removed. Takes as long as
                copying them.

        Returns:
            What was removed, where, and which versions of the encoder may have learned from it.

        Raises:
            InvalidEntry: Nothing is named, or ``query`` and something else; a name has no meaning.
            RunHasForks: Other runs were forked from the run.
            StoreReadOnly: The memory was opened read-only.
            StoreUnavailable: A store does not answer; what was removed by then stays removed, and
                the same call goes on with the rest.
        """
        if self._resources.read_only:
            raise StoreReadOnly("the memory was opened read-only; nothing was forgotten")
        receipt = self._forget(agent, run, memory_id, query)
        if not scrub:
            return receipt
        done, problems = Erasure(self._resources, receipt.run_id).scrub()
        return replace(receipt, rewritten=tuple(done), not_rewritten=problems)

    def _forget(
        self, agent: object, run: object, memory_id: object, query: Query | None
    ) -> ForgettingReceipt:
        named = agent is not None or run is not None or memory_id is not None
        if named == (query is not None):
            raise InvalidEntry(
                "forget: name an agent, a memory_id or a run, or give a query alone, which names "
                "agent and run itself"
            )
        if query is not None:
            asked = query.within(self.config.run_id)
            return Erasure(self._resources, run_of(asked)).answers(asked)
        run_id = self.config.run_id if run is None else checked_run_id(run)
        erasure = Erasure(self._resources, run_id)
        whose = None if agent is None else checked_agent_id(agent)
        if memory_id is not None:
            return erasure.memory(checked_memory_id(memory_id), whose)
        return erasure.run() if whose is None else erasure.agent(whose)

    def check(self, *, repair: bool = False, progress: Progress | None = None) -> CheckReport:
        """Look at all that is stored, beside a live run if need be; see ``docs/upkeep.md``.

        Args:
            repair: Mend what can be mended. Nothing is lost by it: what cannot be read is set
                aside with its bytes.
            progress: Told of each batch: what is looked at, and how many of it so far.

        Raises:
            StoreReadOnly: ``repair``, and the memory was opened read-only.
            StoreUnavailable: A store does not answer.
        """
        if repair and self._resources.read_only:
            raise StoreReadOnly("the memory was opened read-only; nothing was mended")
        return check(self._resources, repair=repair, progress=progress)

    def backup(self, path: str | Path, *, progress: Progress | None = None) -> BackupReceipt:
        """Save the whole memory, all runs, in one file, beside a live run.

        Every entry that was acknowledged when this is called is in it once, unless it is forgotten
        meanwhile. The file takes its name when it is whole and on disk.

        Args:
            path: The file; one that is there is replaced at that moment.
            progress: Told of each batch.

        Raises:
            StoreUnavailable: A store does not answer, or the file cannot be written.
        """
        if not self._resources.read_only:
            self._accesses.flush()
        return save(self._resources, path, progress)

    @classmethod
    def restore(
        cls,
        path: str | Path,
        config: MemoryConfig | Mapping[str, Any] | None = None,
        *,
        into_existing: bool = False,
        progress: Progress | None = None,
    ) -> RestoreReceipt:
        """Restore a backup into an empty memory, on whatever engines that lies.

        The file is read through and verified before anything is opened or written. A restore that
        was broken off is begun again by the same call.

        Args:
            path: The file.
            config: The memory to restore into; None for the defaults.
            into_existing: Add to what is there already; of two copies the newer stays.
            progress: Told of each batch.

        Raises:
            EncodingError: The file is no backup, is damaged, or was made by a newer version.
            EntryConflict: A version of the encoder is another one there.
            MemoryNotEmpty: Something is there already; nothing was written.
            StoreUnavailable: A store does not answer, or the file is not there.
        """
        with (
            closing(Backup(checked_path(path).expanduser())) as saved,
            cls(config, upkeep=False) as system,
        ):
            return restore(saved, system._resources, into_existing=into_existing, progress=progress)

    def statistics(self) -> dict[Tier, TierStatistics]:
        """What each tier holds, of this run and in all."""
        return {repository.tier: self._tier_statistics(repository) for repository in self._tiers}

    def _tier_statistics(self, repository: MemoryRepository) -> TierStatistics:
        return TierStatistics(
            repository.count(self.config.run_id),
            repository.upkeep.stored_bytes(),
            sum(repository.count(run_id) for run_id in repository.runs()),
        )

    @property
    def _tiers(self) -> tuple[MemoryRepository, ...]:
        return self._resources.tiers

    def _present_step(self, run_id: str) -> int | None:
        """The simulation's step in a run, where any age is in steps."""
        config = self.config
        if config.stm_config.max_age_steps is None and config.im_config.max_age_steps is None:
            return None
        steps = self._resources.steps
        newest = (
            (agent_counts.newest, agent_counts.newest_step)
            for tier in (self.stm, self.im)
            for agent_counts in tier.upkeep.agent_counts(run_id).values()
        )
        steps.found(run_id, newest, self._resources.clock())
        return steps.of(run_id)

    def _clear_all(self) -> bool:
        forget_run(self._resources.tiers, self.config.run_id, self._resources.clock)
        return True


def _leave(resources: Resources, accesses: AccessLog) -> None:
    resources.upkeep_outages.guard(None, accesses.flush)
    shared.release(resources)


class _Instance:
    """The system that ``get_instance`` gives."""

    def __init__(self) -> None:
        self._system: AgentMemorySystem | None = None
        self._unlock()
        after_fork(self._unlock)

    def get(self, config: MemoryConfig | Mapping[str, Any] | None) -> AgentMemorySystem:
        with self._lock:
            if self._system is None:
                self._system = AgentMemorySystem(config)
            elif config is not None and whole_config(config) != self._system.config:
                raise ConfigError(
                    "get_instance: the system is open with another configuration; close() it "
                    "first, or make a second one with AgentMemorySystem(config)"
                )
            return self._system

    def drop(self, system: AgentMemorySystem) -> None:
        with self._lock:
            if self._system is system:
                self._system = None

    def _unlock(self) -> None:
        self._lock = threading.RLock()


_instance = _Instance()
