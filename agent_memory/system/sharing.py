"""Shares what a configuration needs within a process: opened once, closed after the last user.

All agents, stores and runs of one configuration use one server lease, one connection pool, one
SQL engine and one set of repositories. ``acquire`` counts users; the last ``release`` closes.
After ``os.fork`` the child goes on with connections of its own.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import deployment
from agent_memory.errors import MemoryStoreError
from agent_memory.system.opening import open_resources
from agent_memory.system.resources import Resources
from agent_memory.values.forking import after_fork

_log = logging.getLogger(__name__)


class Holder:
    """Whoever uses resources: a token, which can be given back more than once.

    Args:
        owner: With whose end it is given back, at the latest.
    """

    def __init__(self, owner: object) -> None:
        weakref.finalize(owner, abandon, self)


@dataclass(eq=False)
class _Held:
    """Resources and who uses them; None: they are being opened, or that was interrupted."""

    opened: ExitStack
    holders: set[Holder]
    resources: Resources | None = None


class _Shared:
    """The open resources of this process, by configuration, and who uses each.

    A signal's handler may raise at any instant: what is opened is noted before it is, and what was
    not closed to the end is closed by whoever comes next.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._held: dict[Hashable, _Held] = {}
        self._abandoned: deque[Holder] = deque()
        after_fork(self._unlock)

    def acquire(
        self, config: MemoryConfig, read_only: bool, clock: Callable[[], float], holder: Holder
    ) -> Resources:
        try:
            return self._acquired(config, read_only, clock, holder)
        finally:
            self._release_abandoned()

    def release(self, holder: Holder) -> None:
        with self._lock:
            self._release(holder)
        self._release_abandoned()

    def abandon(self, holder: Holder) -> None:
        """Release what garbage has held, without waiting.

        The collector runs in any thread, also in one for whose answer an opening waits: then
        whoever opens releases it.
        """
        self._abandoned.append(holder)
        self._release_abandoned()

    def _release_abandoned(self) -> None:
        # Whoever finds the lock taken has added what its owner, who looks later, finds.
        while self._abandoned and self._lock.acquire(blocking=False):
            try:
                for holder in [*self._abandoned]:
                    self._release_for_nobody(holder)
                    with suppress(ValueError):  # a collection meanwhile was quicker
                        self._abandoned.remove(holder)
            finally:
                self._lock.release()

    def _release_for_nobody(self, holder: Holder) -> None:
        try:
            self._release(holder)
        except MemoryStoreError as error:
            # Nobody is left to hear it, and whoever opens another memory has no part in it.
            _log.warning("a memory that was not closed could not be: %s", error)

    def _acquired(
        self, config: MemoryConfig, read_only: bool, clock: Callable[[], float], holder: Holder
    ) -> Resources:
        # A run of its own needs nothing of its own; where it lives may differ by environment.
        key = (_without_run(config), deployment(config), read_only, clock)
        with self._lock:
            held = self._held.get(key)
            if held is not None and (held.resources is None or not held.holders):
                self._close(key, held)
                held = None
            if held is None:
                held = self._held[key] = _Held(ExitStack(), {holder})
                try:
                    held.resources = open_resources(
                        config, held.opened, read_only=read_only, clock=clock
                    )
                except BaseException:
                    self._close(key, held)
                    raise
            held.holders.add(holder)
            return held.resources  # type: ignore[return-value]  # opened above

    def _release(self, holder: Holder) -> None:
        for key, held in list(self._held.items()):
            held.holders.discard(holder)
            if not held.holders:
                self._close(key, held)

    def _close(self, key: Hashable, held: _Held) -> None:
        held.opened.close()
        if self._held.get(key) is held:
            del self._held[key]

    def _unlock(self) -> None:
        self._lock = threading.RLock()


_shared = _Shared()


def acquire(
    config: MemoryConfig,
    holder: Holder,
    *,
    read_only: bool = False,
    clock: Callable[[], float] = time.time,
) -> Resources:
    """Get the resources of a configuration, opened if they are not; ``release`` them after.

    Args:
        config: The configuration.
        holder: Who uses them: made before, so that nothing stays open if this is interrupted.
        read_only: Whether writes are refused.
        clock: Gives the time in seconds since 1970.

    Raises:
        StoreUnavailable: A server, file or folder does not answer.
        SchemaOutOfDate: Long-term memory needs a migration.
        ConfigError: The configuration needs a package that is not installed.
    """
    return _shared.acquire(config, read_only, clock, holder)


def release(holder: Holder) -> None:
    """Give resources back, if they are not yet; the last holder closes them."""
    _shared.release(holder)


def abandon(holder: Holder) -> None:
    """Give back what garbage has held, without waiting for whoever opens or closes just now."""
    _shared.abandon(holder)


def _without_run(config: MemoryConfig) -> MemoryConfig:
    return config.model_copy(update={"run_id": "default"})
