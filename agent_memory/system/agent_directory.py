"""The agents of a run by their ids, and what can be asked of an agent by naming it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent_memory.system.batches import MOST_ENTRIES, MOST_SECONDS, Batch
from agent_memory.system.bulk_storing import BulkStoring
from agent_memory.system.memory_agent import MemoryAgent
from agent_memory.system.run_memory import RunMemory
from agent_memory.values.entry import MemoryEntry, MemoryType
from agent_memory.values.stored import Stored
from agent_memory.values.vector import VectorLike


class AgentDirectory:
    """Finds agents by id, and passes calls on to them.

    Args:
        run: What the agents share.

    Attributes:
        agents: The agents met so far, by id.
    """

    def __init__(self, run: RunMemory) -> None:
        self._run = run
        self.agents: dict[str, MemoryAgent] = {}

    def get_memory_agent(self, agent_id: str | int) -> MemoryAgent:
        """The agent's way into memory; the same object for the same id.

        Raises:
            InvalidEntry: The id has no meaning.

        Examples:
            >>> memory.get_memory_agent("ant-1").store_state({"food": 5.0}, 10)
            True
        """
        # An int finds nothing, and becomes text below.
        agent = self.agents.get(agent_id) if type(agent_id) is str else None
        if agent is None:
            agent = MemoryAgent(agent_id, run=self._run)
            agent = self.agents.setdefault(agent.agent_id, agent)
        return agent

    def store_agent_state(
        self,
        agent_id: str | int,
        data: Mapping[str, Any],
        step_number: int,
        priority: float = 1.0,
        *,
        vector: VectorLike | None = None,
    ) -> bool:
        """Remember a state of an agent; see ``MemoryAgent.store_state``.

        Examples:
            >>> memory.store_agent_state("ant-1", {"food": 5.5, "at": (1, 3)}, 11)
            True
        """
        agent = self.get_memory_agent(agent_id)
        return agent.store_state(data, step_number, priority, vector=vector)

    def store_agent_interaction(
        self,
        agent_id: str | int,
        data: Mapping[str, Any],
        step_number: int,
        priority: float = 1.0,
        *,
        vector: VectorLike | None = None,
    ) -> bool:
        """Remember an interaction of an agent; see ``MemoryAgent.store_state``."""
        agent = self.get_memory_agent(agent_id)
        return agent.store_interaction(data, step_number, priority, vector=vector)

    def store_agent_action(
        self,
        agent_id: str | int,
        data: Mapping[str, Any],
        step_number: int,
        priority: float = 1.0,
        *,
        vector: VectorLike | None = None,
    ) -> bool:
        """Remember an action of an agent; see ``MemoryAgent.store_state``."""
        agent = self.get_memory_agent(agent_id)
        return agent.store_action(data, step_number, priority, vector=vector)

    def store_step(
        self,
        step_number: int,
        data: Mapping[str, Any] | Mapping[int, Any],
        type: MemoryType | str = MemoryType.STATE,  # noqa: A002 - the word a caller knows it by
        priority: float | Mapping[str, float] | Mapping[int, float] = 1.0,
        *,
        vector: Mapping[str, VectorLike] | Mapping[int, VectorLike] | None = None,
    ) -> Stored:
        """Remember what many agents see, do or meet in one step, together.

        It is one call of the encoder and one request to the server for 1,000 agents. Data that
        cannot be stored is refused by its agent, and keeps no other agent's out. While short-term
        memory is away, all wait in the spool by one transaction.

        Args:
            step_number: The simulation step, 0 or more.
            data: By agent, a dict, dataclass or pydantic model. One interaction of two agents is
                the same data under both, with ``type="interaction"``.
            type: What kind of memories they are: "state", "interaction" or "action".
            priority: How important they are, 0 to 1; or that by agent.
            vector: By agent, vectors of your own model; see ``MemoryAgent.store_state``.

        Returns:
            The keys of what was stored, and by agent why the rest was not.

        Raises:
            InvalidEntry: Step, type, an agent id or ``priority`` has no meaning, or two keys mean
                one agent, or there is a vector for an agent without data; nothing is stored.
            EmbedderError: The embedder fails; nothing is stored.
            StoreUnavailable: ``on_store_error`` is "raise", and nothing is acknowledged.

        Examples:
            >>> memory.store_step(16, {"ant-1": {"food": 4.0}, "ant-2": {"food": 2.5}})
            Stored(2 accepted, 0 refused)
        """
        return self._bulk.store_step(step_number, data, type, priority, vector)

    def store_many(
        self,
        entries: Iterable[MemoryEntry | Mapping[str, Any]],
        *,
        vector: Iterable[VectorLike | None] | None = None,
    ) -> Stored:
        """Store entries of this run as they are, such as those of another memory, together.

        Args:
            entries: Entries, or their dicts (``MemoryEntry.to_dict``) of which run, memory id and
                timestamp may be left out. They are taken 1,000 at a time.
            vector: One for each entry, of your own model, in place of that of the entry; None
                leaves that as it is. The embedder is not asked.

        Returns:
            The keys of what was stored, and by place why the rest was not. An entry whose key is
            stored already is accepted, and stays as the newer of the two copies. Where other
            contents are stored under its key it is refused as ``EntryConflict``, unless the run
            was begun with ``exists="replace"``: then it takes their place.

        Raises:
            InvalidEntry: There are more or fewer vectors than entries; nothing is stored.
            StoreUnavailable: ``on_store_error`` is "raise", and nothing is acknowledged.

        Examples:
            >>> entries = [hit.entry for hit in memory.recall(Query(agent_id="ant-1"))]
            >>> bool(memory.store_many(entries))
            True
        """
        return self._bulk.store_many(entries, vector)

    def batch(self, max_entries: int = MOST_ENTRIES, max_seconds: float = MOST_SECONDS) -> Batch:
        """Gather single stores of this run, of any agent and thread, and store them together.

        In the block ``store_agent_state`` and the like check what they are given, take it as it is
        now, and answer True: it is gathered. It is stored when there is enough of it, when the
        first of it is old enough (which each store looks at), before this process asks the server
        of short-term memory anything else (so that ``recall`` finds it), by ``flush()``, and on
        leaving the block, also by an exception. A kill of the process costs what is gathered, and
        nothing of it after ``flush()``. A batch that is left open is stored by ``close()``.

        Args:
            max_entries: How many entries are gathered at most.
            max_seconds: For how long.

        Returns:
            What to enter; its length is what is gathered, and ``flush()`` stores it.

        Raises:
            InvalidEntry: A number has no meaning.
            StoreReadOnly: The memory was opened read-only.
            NotAllStored: By what is stored in the block, by ``flush()`` and on leaving: some of
                what was gathered cannot be stored. Its ``refused`` says which, and why.

        Examples:
            >>> with memory.batch() as batch:
            ...     for step in range(17, 20):
            ...         stored = memory.store_agent_state("ant-1", {"food": 3.0}, step)
            ...     len(batch)
            3
            >>> len(memory.recall(Query(agent_id="ant-1", steps=(17, 19))))
            3
        """
        self._run.resources.check_writable("nothing was gathered")
        return Batch(self._run, self._bulk, max_entries, max_seconds)

    @property
    def open_batch(self) -> Batch | None:
        """The batch that gathers what is stored of this run; None: nothing is gathered.

        Examples:
            >>> memory.open_batch is None
            True
        """
        batch = self._run.open_batch.batch
        return batch if isinstance(batch, Batch) else None

    @property
    def _bulk(self) -> BulkStoring:
        return BulkStoring(self._run, lambda agent_id: self.get_memory_agent(agent_id).is_due())

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
            EntryNotFound: No tier holds it; it may have been forgotten.
            StoreReadOnly: The memory was opened read-only.
            StoreUnavailable: A tier does not answer, and the memory does not wait in the spool,
                where it would be changed.

        Examples:
            >>> entry = memory.recall(Query(agent_id="ant-1", steps=(1, 1)))[0].entry
            >>> memory.set_importance("ant-1", entry.memory_id, 0.25).importance_score
            0.25
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

        Examples:
            >>> entry = memory.recall(Query(agent_id="ant-1", steps=(0, 0)))[0].entry
            >>> memory.pin("ant-1", entry.memory_id).pinned
            True
        """
        return self.get_memory_agent(agent_id).pin(memory_id)

    def unpin(self, agent_id: str | int, memory_id: str) -> MemoryEntry:
        """Let a pinned memory move again, with the next upkeep if it is due; see ``pin``.

        Examples:
            >>> memory.unpin("ant-1", entry.memory_id).pinned
            False
        """
        return self.get_memory_agent(agent_id).unpin(memory_id)
