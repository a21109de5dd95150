"""Long-term memory: rows, their schema, and the statements that reach them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_memory.values.deprecation import moved_names

# What was here when this was a module.
_MOVED = {
    "LtmRepository": "agent_memory.repositories",
}

if not TYPE_CHECKING:  # else type checkers would take any name for one that is here
    __getattr__ = moved_names(__name__, _MOVED)
