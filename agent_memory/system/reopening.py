"""Copies of what holds a memory: pickled, it becomes its configuration and is opened again."""

from __future__ import annotations

from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import deployment
from agent_memory.errors import ConfigError

_IN_MEMORY = ("sqlite://", "sqlite:///:memory:")


def check_reopens(config: MemoryConfig, what: str) -> None:
    """See that another process finds the same memory by a configuration.

    Raises:
        ConfigError: It is in this process alone.
    """
    where = deployment(config)
    if where.engine == "fake" or where.ltm_url in _IN_MEMORY:
        raise ConfigError(
            f"{what} cannot be pickled: its memory is in this process alone, and the copy would be "
            "empty; use the embedded engine or a server, and a database in a file"
        )
