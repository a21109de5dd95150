"""Questions about when: the latest, and those of a range of steps or of times."""

from __future__ import annotations

from agent_memory.retrieval.questions import question
from agent_memory.values.entry import MemoryType
from agent_memory.values.query import Order, Query


def latest(agent_id: str | int, count: int, memory_type: MemoryType | str | None = None) -> Query:
    """The latest memories of an agent, newest first.

    Args:
        agent_id: Whose.
        count: How many at most.
        memory_type: Only this type.

    Raises:
        InvalidEntry: An argument has no meaning.
    """
    return question(
        agent_id,
        memory_type,
        order=Order.NEWEST,
        limit=count,
    )


def of_steps(
    agent_id: str | int, first: int, last: int, memory_type: MemoryType | str | None = None
) -> Query:
    """The memories of the steps ``first`` to ``last``, both included, by step.

    Raises:
        InvalidEntry: An argument has no meaning.
    """
    return question(
        agent_id,
        memory_type,
        steps=(first, last),
        order=Order.STEP,
    )


def of_times(
    agent_id: str | int, first: float, last: float, memory_type: MemoryType | str | None = None
) -> Query:
    """The memories with a timestamp of ``first`` to ``last``, both included, oldest first.

    Raises:
        InvalidEntry: An argument has no meaning.
    """
    return question(
        agent_id,
        memory_type,
        times=(first, last),
    )
