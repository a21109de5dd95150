"""Redis-OM models of short-term and intermediate memory, for analysis scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_memory.values.deprecation import moved_names

# What was here when this was a module.
_MOVED = {
    **dict.fromkeys(
        ("NoSuchEntry", "RedisEntry", "entry_model"), "agent_memory.models.redis_om.entry"
    ),
    **dict.fromkeys(("Backend", "EntryStore"), "agent_memory.models.redis_om.backend"),
    **dict.fromkeys(("key_of_pk", "pk_of"), "agent_memory.models.redis_om.stored"),
}

if not TYPE_CHECKING:  # else type checkers would take any name for one that is here
    __getattr__ = moved_names(__name__, _MOVED)
