"""One of several workers that share the upkeep of a memory."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from agent_memory.tiers.consolidation import Moves
from agent_memory.tiers.worker_share import WorkerShare


class Leases(Protocol):
    """What knows the workers of a memory."""

    def hold(self, worker: str, seconds: float) -> list[str]: ...  # noqa: D102  # see WorkerLeases

    def release(self, worker: str) -> None: ...  # noqa: D102  # see WorkerLeases


class MaintenanceWorker:
    """Does a share of the upkeep of a memory, beside others in any process on any machine.

    Each round renews a lease. A worker that was killed, or hangs, loses its share when its lease
    has run out, and the others take it over. Leases only divide the work: entries that two workers
    move at once move once.

    Args:
        leases: The workers of the memory.
        maintain: Does the upkeep of a share.
        seconds: How long a lease lasts, longer than a round and the pause after it.

    Attributes:
        name: Its name among the workers.

    Examples:
        >>> with memory.maintenance_worker(60.0) as worker:
        ...     moves = worker.maintain()
    """

    def __init__(
        self, leases: Leases, maintain: Callable[[WorkerShare], Moves], seconds: float
    ) -> None:
        self.name = uuid.uuid4().hex
        self._leases = leases
        self._maintain = maintain
        self._seconds = seconds

    def maintain(self) -> Moves:
        """Do the upkeep of the agents that are this worker's at the moment.

        Returns:
            How many entries moved.

        Raises:
            StoreUnavailable: A tier does not answer; nothing is lost.
            StoreReadOnly: The memory was opened read-only.
        """
        workers = self._leases.hold(self.name, self._seconds)
        return self._maintain(WorkerShare(self.name, workers))

    def close(self) -> None:
        """Leave the share to the others at once.

        Raises:
            StoreUnavailable: The server does not answer; the lease runs out by itself.
        """
        self._leases.release(self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
