"""Questions about what: the type, the importance, and the attributes of memories."""

from __future__ import annotations

from collections.abc import Mapping

from agent_memory.errors import InvalidEntry
from agent_memory.retrieval.questions import question
from agent_memory.values.attributes import Condition
from agent_memory.values.entry import MemoryType
from agent_memory.values.query import Order, Query


def of_type(agent_id: str | int, memory_type: MemoryType | str, count: int | None = None) -> Query:
    """The memories of one type, newest first.

    Raises:
        InvalidEntry: An argument has no meaning.
    """
    if memory_type is None:  # which a query takes for any type
        raise InvalidEntry("memory_type: one is needed")
    return question(
        agent_id,
        memory_type,
        order=Order.NEWEST,
        limit=count,
    )


def of_importance(agent_id: str | int, least: float, count: int | None = None) -> Query:
    """The memories at least that important, the most important first.

    Raises:
        InvalidEntry: An argument has no meaning.
    """
    return question(
        agent_id,
        importance=(least, 1.0),
        order=Order.IMPORTANCE,
        limit=count,
    )


def with_attributes(
    agent_id: str | int,
    attributes: Mapping[str, Condition],
    memory_type: MemoryType | str | None = None,
    count: int | None = None,
) -> Query:
    """The memories whose contents meet conditions, newest first.

    Args:
        agent_id: Whose.
        attributes: Values, or pairs of the least and greatest, by path; see ``attributes``.
        memory_type: Only this type.
        count: How many at most.

    Raises:
        InvalidEntry: An argument has no meaning.
    """
    return question(
        agent_id,
        memory_type,
        attributes=attributes,
        order=Order.NEWEST,
        limit=count,
    )
