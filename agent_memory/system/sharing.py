"""Shares what a configuration needs within a process: opened once, closed after the last user.

All agents, stores and runs of one configuration use one server lease, one connection pool, one
SQL engine and one set of repositories. ``acquire`` counts users; the last ``release`` closes.
After ``os.fork`` the child goes on with connections of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import deployment
from agent_memory.system.opening import open_resources
from agent_memory.system.resources import Resources
from agent_memory.values.forking import after_fork


@dataclass
class _Held:
    resources: Resources
    users: int = 0


class _Shared:
    """The open resources of this process, by configuration, and how many use each."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._held: dict[Hashable, _Held] = {}
        after_fork(self._unlock)

    def acquire(
        self, config: MemoryConfig, read_only: bool, clock: Callable[[], float]
    ) -> Resources:
        # A run of its own needs nothing of its own; where it lives may differ by environment.
        key = (_without_run(config), deployment(config), read_only, clock)
        with self._lock:
            held = self._held.get(key)
            if held is None:
                resources = open_resources(config, read_only=read_only, clock=clock)
                held = self._held[key] = _Held(resources)
            held.users += 1
            return held.resources

    def release(self, resources: Resources) -> None:
        with self._lock:
            for key, held in list(self._held.items()):
                if held.resources is resources:
                    held.users -= 1
                    if held.users == 0:
                        del self._held[key]
                        resources.close()

    def _unlock(self) -> None:
        self._lock = threading.RLock()


_shared = _Shared()


def acquire(
    config: MemoryConfig, *, read_only: bool = False, clock: Callable[[], float] = time.time
) -> Resources:
    """Get the resources of a configuration, opened if they are not; ``release`` them after.

    Args:
        config: The configuration.
        read_only: Whether writes are refused.
        clock: Gives the time in seconds since 1970.

    Raises:
        StoreUnavailable: A server, file or folder does not answer.
        SchemaOutOfDate: Long-term memory needs a migration.
        ConfigError: The configuration needs a package that is not installed.
    """
    return _shared.acquire(config, read_only, clock)


def release(resources: Resources) -> None:
    """Give resources back; the last user closes them."""
    _shared.release(resources)


def _without_run(config: MemoryConfig) -> MemoryConfig:
    return config.model_copy(update={"run_id": "default"})
