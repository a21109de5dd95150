"""Which agents a worker looks after, of several that share the upkeep of a memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class WorkerShare:
    """The part of a memory that one of several workers looks after.

    Each agent goes to the worker with the highest hash of both names (rendezvous hashing, Thaler
    and Ravishankar 1998): shares are about equal, and one that ends leaves its agents to others.

    Attributes:
        worker: The name of the worker.
        workers: Those of all of them.

    Examples:
        >>> share = WorkerShare("a", ("a", "b"))
        >>> sum(share.owns("default", f"ant-{number}") for number in range(1000))
        506
    """

    worker: str
    workers: Sequence[str]

    def owns(self, run_id: str, agent_id: str) -> bool:
        """Whether an agent of a run is this worker's."""
        named = f"{run_id}\0{agent_id}".encode()
        return self.worker == max(self.workers, key=lambda worker: (_place(worker, named), worker))


def _place(worker: str, named: bytes) -> bytes:
    key = blake2b(worker.encode(), digest_size=16).digest()
    return blake2b(named, key=key, digest_size=8).digest()
