"""The batches of an opened memory that are open: what they have gathered is stored before reads."""

from __future__ import annotations

import logging
from typing import Protocol

from agent_memory.values.entry import MemoryType

_logger = logging.getLogger("agent_memory")


class Gathering(Protocol):
    """A batch; see ``batches.Batch``."""

    def __len__(self) -> int: ...  # see there

    def __exit__(self, *_: object) -> None: ...

    def gather(
        self,
        agent_id: str,
        memory_type: MemoryType,
        data: object,
        step_number: object,
        priority: object,
        vector: object = None,
    ) -> None:
        """Take what an agent sees, does or meets, as it is now."""

    def store_gathered(self) -> object:
        """Store what is gathered, and keep why some of it is not for its next flush."""


class OpenBatches:
    """The open batches of all runs of an opened memory."""

    def __init__(self) -> None:
        self._open: list[Gathering] = []

    def add(self, batch: Gathering) -> None:
        """Store what a batch gathers too from now on."""
        self._open = [*self._open, batch]

    def discard(self, batch: Gathering) -> None:
        """Let go of a batch that is left."""
        self._open = [one for one in self._open if one is not batch]

    def store_gathered(self) -> None:
        """Store what is gathered; each batch keeps why some of it is not, for its next flush."""
        for batch in self._open:
            if len(batch):
                batch.store_gathered()


class BatchOfRun:
    """Which batch of a run is open, if any.

    Attributes:
        batch: The batch.
    """

    def __init__(self) -> None:
        self.batch: Gathering | None = None

    def leave(self) -> None:
        """Leave a batch that was left open, as when the memory is closed: what it has is stored.

        Raises:
            NotAllStored: Some of it cannot be stored.
        """
        batch = self.batch
        if batch is None:
            return
        if len(batch):
            _logger.warning("a batch was left open: its %d entries are stored now", len(batch))
        batch.__exit__()
