"""Configuration: frozen, checked values.

Every part takes a nested dict in place of an object, refuses keys it does not know, and raises
``ConfigError``. ``connections.deployment`` settles where that says the memory lives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_memory.config.encoder import AutoencoderConfig
from agent_memory.config.long_term import DEFAULT_DB_PATH, PathTolerance, SQLiteLTMConfig
from agent_memory.config.memory import MemoryConfig
from agent_memory.config.redis import (
    RedisIMConfig,
    RedisMemoryConfig,
    RedisSTMConfig,
    names_a_server,
)
from agent_memory.values.deprecation import moved_names

__all__ = [
    "DEFAULT_DB_PATH",
    "AutoencoderConfig",
    "MemoryConfig",
    "PathTolerance",
    "RedisIMConfig",
    "RedisMemoryConfig",
    "RedisSTMConfig",
    "SQLiteLTMConfig",
    "names_a_server",
]

# Where names that were here moved to.
_MOVED = {
    **dict.fromkeys(
        (
            *("DEFAULT_FOLDER", "Deployment", "deployment"),
            *("LTM_URL_VARIABLE", "PATH_VARIABLE", "REDIS_URL_VARIABLE"),
        ),
        "agent_memory.connections.deployment",
    ),
    "without_password": "agent_memory.values.urls",
}


if not TYPE_CHECKING:  # else type checkers would take any name for one that is here
    __getattr__ = moved_names(__name__, _MOVED)
