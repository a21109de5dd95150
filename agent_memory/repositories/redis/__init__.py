"""Short-term and intermediate memory: entries and their indexes on a Redis server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_memory.values.deprecation import moved_names

# What was here when this was a module.
_MOVED = {
    **dict.fromkeys(("ImRepository", "StmRepository"), "agent_memory.repositories"),
    "RedisRepository": "agent_memory.repositories.redis.repository",
}

if not TYPE_CHECKING:  # else type checkers would take any name for one that is here
    __getattr__ = moved_names(__name__, _MOVED)
