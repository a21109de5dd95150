"""The one memory of a process that ``get_instance`` gives."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from agent_memory.config import MemoryConfig
from agent_memory.errors import ConfigError
from agent_memory.system.whole_config import AnyConfig, whole_config
from agent_memory.values.forking import after_fork


class Configured(Protocol):
    """Something that was opened by a configuration."""

    @property
    def config(self) -> MemoryConfig:
        """The configuration."""


S = TypeVar("S", bound=Configured)


class ProcessInstance(Generic[S]):
    """Opens one system in a process, on the first call. Threads may share it.

    Args:
        open_system: Opens a system by a configuration.
    """

    def __init__(self, open_system: Callable[[AnyConfig], S]) -> None:
        self._open_system = open_system
        self._system: S | None = None
        self._unlock()
        after_fork(self._unlock)

    def get(self, config: AnyConfig) -> S:
        """The system, opened if it is not.

        Raises:
            ConfigError: It is open with another configuration.
        """
        with self._lock:
            if self._system is None:
                self._system = self._open_system(config)
            elif config is not None and whole_config(config) != self._system.config:
                raise ConfigError(
                    "get_instance: the system is open with another configuration; close() it "
                    "first, or make a second one with AgentMemorySystem(config)"
                )
            return self._system

    def drop(self, system: object) -> None:
        """Let the next call open another one, if this is the one that was closed."""
        with self._lock:
            if self._system is system:
                self._system = None

    def _unlock(self) -> None:
        self._lock = threading.RLock()
