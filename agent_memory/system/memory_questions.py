"""Questions to a memory beyond ``recall``: about time, and how many answer."""

from __future__ import annotations

from collections.abc import KeysView, Mapping, Sequence, ValuesView
from typing import Any, overload

from numpy.typing import NDArray

from agent_memory.errors import InvalidEntry
from agent_memory.retrieval.timeline import difference
from agent_memory.system.run_memory import RunMemory
from agent_memory.system.services import Services
from agent_memory.values.attributes import checked_path
from agent_memory.values.checks import checked_count, checked_flag
from agent_memory.values.entry import EntryKey, MemoryEntry, MemoryType
from agent_memory.values.explanation import Explanation
from agent_memory.values.identity import checked_agent_id, checked_memory_id
from agent_memory.values.query import (
    Hit,
    Order,
    Query,
    agent_of,
    names_several,
    query_of,
    run_of,
)
from agent_memory.values.quoting import quoted
from agent_memory.values.stretch import Stretch
from agent_memory.values.timeline import Difference, History

MOST_ASKED = 1_000
"""How many entries a stretch has at most that others are compared with."""

_Several = (
    list[Any] | tuple[Any, ...] | set[Any] | frozenset[Any] | range
    | KeysView[Any] | ValuesView[Any] | NDArray[Any] | None
)  # fmt: skip


class MemoryQuestions:
    """Answers questions about a run, over all tiers.

    Args:
        run: The run.
        services: What does the work.
    """

    def __init__(self, run: RunMemory, services: Services) -> None:
        self._run = run
        self._services = services

    def count(self, query: Query | None = None, **asked: Any) -> int:
        """How many entries answer a query, each once; without conditions on contents none is read.

        Args:
            query: What is asked; of this system's run unless it names others.
            asked: The fields of a ``Query``, in place of one.

        Raises:
            InvalidEntry: ``query`` is no query.
            StoreUnavailable: A tier does not answer.

        Examples:
            >>> memory.count(agent_id="ant-1", steps=(5, 9))
            5
        """
        return self._services.retriever.count(query_of(query, asked).within(self._run.run_id))

    def explain(self, query: Query | None = None, **asked: Any) -> Explanation:
        """How a query is answered: tier by tier by which index, and how much that reads.

        The query is answered for it, which counts as no retrieval.

        Args:
            query: What is asked; of this system's run unless it names others.
            asked: The fields of a ``Query``, in place of one.

        Raises:
            InvalidEntry: ``query`` is no query.
            StoreUnavailable: A tier does not answer.

        Examples:
            >>> print(memory.explain(agent_id="ant-1", steps=(5, 9)))  # doctest: +ELLIPSIS
            5 entries answer
            STM         5 expected        5 read        5 found  sorted sets steps 5.0 to 9.0
            ...
        """
        return self._services.retriever.explain(query_of(query, asked).within(self._run.run_id))

    @overload
    def state_at(
        self,
        agent_id: str | int,
        step: int,
        *,
        run_id: str | None = None,
        memory_type: MemoryType | str | None = MemoryType.STATE,
        touch: bool = True,
    ) -> Hit | None: ...
    @overload
    def state_at(
        self,
        agent_id: _Several,
        step: int,
        *,
        run_id: str | None = None,
        memory_type: MemoryType | str | None = MemoryType.STATE,
        touch: bool = True,
    ) -> dict[str, Hit]: ...
    def state_at(
        self,
        agent_id: Any,
        step: int,
        *,
        run_id: str | None = None,
        memory_type: MemoryType | str | None = MemoryType.STATE,
        touch: bool = True,
    ) -> Hit | dict[str, Hit] | None:
        """The latest state at a step or before it: of one agent, of several, or of all.

        Of several it is a snapshot of the world, in as many requests as of two.

        Args:
            agent_id: An agent; or a list of agents, or None for all.
            step: The step.
            run_id: Of which run; None: this system's.
            memory_type: Of which type; None: of any.
            touch: Whether this counts as a retrieval.

        Returns:
            The entry of the latest step, of one step the latest by id; None where there is none.
            Of several agents by agent, without those that have none.

        Raises:
            InvalidEntry: An argument has no meaning.
            StoreUnavailable: A tier does not answer.

        Examples:
            >>> memory.state_at("ant-1", 4).entry.contents["food"]
            2.0
            >>> memory.state_at(None, 4).keys()
            dict_keys(['ant-1'])
        """
        given: Any = step
        if given is None:  # an open end to a query
            raise InvalidEntry("step: an integer is needed, not None")
        query = self._query(
            agent_id=agent_id, run_id=run_id, steps=(None, step), memory_type=memory_type,
            order=Order.LATEST_STEP,
        )  # fmt: skip
        run_of(query)
        hits = self._services.retriever.first_of_each(query, touch=touch)
        if agent_id is None or names_several(agent_id):
            return {hit.entry.agent_id: hit for hit in hits}
        agent_of(query)
        return hits[0] if hits else None

    def history(
        self,
        agent_id: str | int,
        path: str,
        *,
        steps: tuple[int | None, int | None] | None = None,
        run_id: str | None = None,
        memory_type: MemoryType | str | None = MemoryType.STATE,
    ) -> History:
        """How the value at a path went over the steps of an agent, over all tiers.

        It counts as no retrieval.

        Args:
            agent_id: The agent.
            path: As in conditions: ``food``, ``home.at[0]``.
            steps: First and last step, both included; None: an open end, or all.
            run_id: Of which run; None: this system's.
            memory_type: Of which type; None: of any.

        Raises:
            InvalidEntry: An argument has no meaning.
            StoreUnavailable: A tier does not answer.

        Examples:
            >>> memory.history("ant-1", "at[0]", steps=(7, None)).values
            array([7, 8, 9])
        """
        query = self._query(
            agent_id=agent_id, run_id=run_id, steps=steps, memory_type=memory_type,
            order=Order.STEP,
        )  # fmt: skip
        run_of(query), agent_of(query)
        return self._services.retriever.history(query, checked_path(path))

    def difference(
        self, agent_id: str | int, step_a: int, step_b: int, *, run_id: str | None = None
    ) -> Difference:
        """What changed in an agent's state from one step to another, by path; see ``state_at``.

        It counts as no retrieval. Before its first state an agent has nothing.

        Examples:
            >>> memory.difference("ant-1", 2, 4).changed["at"]
            ((2, 3), (4, 3))
        """
        whose = checked_agent_id(agent_id)
        hits = [self.state_at(whose, step, run_id=run_id, touch=False) for step in (step_a, step_b)]
        return difference(*(None if hit is None else hit.entry for hit in hits))

    def sequences_like(
        self,
        entries: Sequence[Any],
        *,
        k: int = 5,
        warp: bool = False,
        agent_id: _Several | str | int = None,
        run_id: str | None = None,
        memory_type: MemoryType | str | None = MemoryType.STATE,
    ) -> list[Stretch]:
        """The stretches of an agent's life most similar to a given one, the best first.

        No two share an entry, and none has an entry of the given ones. Each entry is compared as
        ``near`` compares states. It counts as no retrieval.

        Args:
            entries: Hits, entries or states, in their order.
            k: How many stretches at most.
            warp: Let one entry stand for several (dynamic time warping), so that stretches up to
                twice as long or as short are found; else they are as long, compared one to one.
            agent_id: Whose life: an agent, or a list of agents; None: of those whose the entries
                are, or of all where they are states.
            run_id: Of which run; None: this system's.
            memory_type: Of which type; None: of any.

        Raises:
            InvalidEntry: An argument has no meaning, or there are no entries.
            StoreUnavailable: A tier does not answer.

        Examples:
            >>> given = memory.recall(agent_id="ant-1", steps=(2, 4))
            >>> memory.sequences_like(given, k=1)
            [Stretch(3 entries of 'ant-1', steps 5 to 7, 0.5752)]
        """
        if isinstance(entries, (str, bytes, Mapping)) or not isinstance(entries, Sequence):
            raise InvalidEntry(
                f"entries: a list of hits, entries or states is needed, not {quoted(entries)}"
            )
        if not len(entries) or len(entries) > MOST_ASKED:
            raise InvalidEntry(f"entries: from 1 to {MOST_ASKED} are needed, not {len(entries)}")
        given = [one.entry if isinstance(one, Hit) else one for one in entries]
        if agent_id is None and all(isinstance(one, MemoryEntry) for one in given):
            agent_id = [one.agent_id for one in given]
        query = self._query(
            agent_id=agent_id, run_id=run_id, memory_type=memory_type, limit=checked_count("k", k),
        )  # fmt: skip
        run_of(query)
        return self._services.retriever.sequences_like(
            query, given, warp=checked_flag("warp", warp)
        )

    def window(
        self,
        memory: str | MemoryEntry | EntryKey | Hit,
        before: int = 5,
        after: int = 5,
        *,
        agent_id: str | int | None = None,
        touch: bool = True,
    ) -> list[Hit]:
        """What an agent remembers from just before a memory to just after it, oldest first.

        Args:
            memory: A hit, an entry, its key, or the id of one of this run.
            before: How many entries before it at most.
            after: How many after it.
            agent_id: Whose, where an id is given; None: whoever has one of that id.
            touch: Whether this counts as a retrieval.

        Raises:
            EntryNotFound: No tier holds it.
            InvalidEntry: An argument has no meaning.
            StoreUnavailable: A tier does not answer.

        Examples:
            >>> around = memory.window(memory.state_at("ant-1", 4), before=1, after=2)
            >>> [hit.entry.step_number for hit in around]
            [3, 4, 5, 6]
        """
        counts = checked_count("before", before), checked_count("after", after)
        given = memory.entry if isinstance(memory, Hit) else memory
        retriever, run_id = self._services.retriever, self._run.run_id
        if isinstance(given, (MemoryEntry, EntryKey)):
            keys = [given if isinstance(given, EntryKey) else given.key]
        else:
            memory_id = checked_memory_id(given)
            agents = retriever.agents(run_id) if agent_id is None else [checked_agent_id(agent_id)]
            keys = [EntryKey(run_id, agent, memory_id) for agent in agents]
        return retriever.window(keys, *counts, touch=touch)

    def _query(self, **asked: Any) -> Query:
        """A query of some fields; of this system's run unless it names others."""
        return Query(**asked).within(self._run.run_id)
