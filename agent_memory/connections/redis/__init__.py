"""The Redis client: a channel of packed commands, its answers and its errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_memory.values.deprecation import moved_names

# What was here when this was a module.
_MOVED = {
    "RedisChannel": "agent_memory.connections.redis.channel",
    "channel_of": "agent_memory.connections.redis.foreign",
    **dict.fromkeys(
        ("RedisClient", "describe", "fake_server", "open_redis"),
        "agent_memory.connections.redis.clients",
    ),
    "Script": "agent_memory.connections.redis.script",
}

if not TYPE_CHECKING:  # else type checkers would take any name for one that is here
    __getattr__ = moved_names(__name__, _MOVED)
