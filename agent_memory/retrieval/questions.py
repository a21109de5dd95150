"""Makes queries of what callers give: an agent as text or int, a type of memory or its name."""

from __future__ import annotations

from typing import Any

from agent_memory.values.checks import checked_member
from agent_memory.values.entry import MemoryType
from agent_memory.values.identity import checked_agent_id
from agent_memory.values.query import Query


def question(
    agent_id: str | int, memory_type: MemoryType | str | None = None, **asked: Any
) -> Query:
    """A query for memories of an agent.

    Args:
        agent_id: Whose.
        memory_type: Only this type; None: any.
        asked: The other fields of the query.

    Raises:
        InvalidEntry: An argument has no meaning.
    """
    kind = None if memory_type is None else checked_member("memory_type", MemoryType, memory_type)
    return Query(agent_id=checked_agent_id(agent_id), memory_type=kind, **asked)
