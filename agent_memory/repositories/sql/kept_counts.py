"""Numbers of rows, kept in this process as long as nothing has been committed that may change them.

Counting reads an index from end to end: of a million rows it takes fifty times as long as of ten
thousand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from sqlalchemy import Connection

from agent_memory.repositories.moves import Agent
from agent_memory.repositories.sql.marks import KnownMarks, Marks, mark_of
from agent_memory.values.forking import after_fork

_AT_MOST = 10_000
"""How many agents' numbers are kept."""

T = TypeVar("T")


class _Kept(NamedTuple, Generic[T]):
    """What was counted, and the marks under which it is true."""

    marks: Marks
    counted: T


class KeptCounts(Generic[T]):
    """What was counted of agents. Threads may share it.

    Args:
        make_marks: Gives marks for what is counted of an agent in a run.
    """

    def __init__(self, make_marks: Callable[[Agent], Marks]) -> None:
        self._make_marks = make_marks
        self._forget()
        after_fork(self._forget)

    @classmethod
    def of_agents(cls, marks: KnownMarks) -> KeptCounts[T]:
        """What is counted of one agent, and stays true while others are written to."""
        return cls(marks.of)

    @classmethod
    def of_all(cls) -> KeptCounts[T]:
        """What is counted of many agents, which any write may change."""
        return cls(Marks)

    def of(self, connection: Connection, agent: Agent, count: Callable[[], T]) -> T:
        """What is counted of an agent; counted again where that may have changed.

        Args:
            connection: What ``count`` reads on.
            agent: The run and the agent, or a name for many.
            count: Counts.
        """
        mark = mark_of(connection)
        kept = self._kept.get(agent)
        if kept is not None and kept.marks.hold(mark):
            return kept.counted
        marks = self._make_marks(agent)
        found = _Kept(marks, count())
        marks.add(mark)
        if len(self._kept) >= _AT_MOST:
            self._forget()
        self._kept[agent] = found
        return found.counted

    def _forget(self) -> None:
        self._kept: dict[Agent, _Kept[T]] = {}
