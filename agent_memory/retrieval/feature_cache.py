"""Keeps the features of agents that were asked about lately, each for one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from agent_memory.compression.codes import Codes
from agent_memory.retrieval.agent_features import AgentFeatures
from agent_memory.values.recently_used import RecentlyUsed

MAX_BYTES = 256 * 1024**2
"""How many bytes of features a process keeps."""

_LOCKS = 64  # which the agents of a cache share

T = TypeVar("T")


class FeatureCache(RecentlyUsed[tuple[str, str], AgentFeatures]):
    """Keeps the features of the agents that were asked about last. Threads may share it.

    Args:
        max_bytes: How many bytes to keep; the features of one agent are kept at any rate.
        codes: Those that have rounded contents.
    """

    def __init__(self, max_bytes: int = MAX_BYTES, codes: Codes | None = None) -> None:
        known = codes or Codes()
        super().__init__(lambda agent: AgentFeatures(*agent, known), max_bytes)

    def using(
        self, owners: Sequence[tuple[str, str]], work: Callable[[list[AgentFeatures]], T]
    ) -> T:
        """Do some work with the features of agents, which no other thread uses meanwhile.

        Args:
            owners: The runs and agents.
            work: Is given the features of each.
        """
        # In one order everywhere, so that two never wait for each other.
        places = sorted({hash(owner) % _LOCKS for owner in owners})
        locks = [self._locks[place] for place in places]
        return _holding(locks, lambda: work([self.of(owner) for owner in owners]))

    def _renew(self) -> None:
        super()._renew()
        self._locks = [threading.Lock() for _ in range(_LOCKS)]


def _holding(locks: Sequence[threading.Lock], work: Callable[[], T]) -> T:
    """Do some work with locks held.

    In blocks within each other: Python enters and leaves each in one step. What a signal's handler
    raises as an ``ExitStack`` is entered or left would keep its locks for good.
    """
    if not locks:
        return work()
    with locks[0]:
        return _holding(locks[1:], work)
