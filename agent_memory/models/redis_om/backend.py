"""What a Redis-OM model is bound to, and the client that Redis-OM takes it for."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agent_memory.errors import MemoryClosed
from agent_memory.values.entry import EntryKey, MemoryEntry


class EntryList(Protocol):
    """What a model needs of the upkeep of a repository; see ``TierUpkeep``."""

    def all_agents(self) -> list[tuple[str, str]]:
        """The agents of every run that have entries."""

    def keys_of(self, agents: Iterable[tuple[str, str]]) -> list[EntryKey]:
        """The keys of some agents' entries."""


class EntryStore(Protocol):
    """What a model needs of a repository; see ``MemoryRepository``."""

    def add_many(self, entries: Sequence[MemoryEntry]) -> Sequence[int]:
        """Store entries; 2 for those that were there."""

    def replace(self, entry: MemoryEntry) -> MemoryEntry:
        """Store a changed entry, if its revision is the stored one."""

    def remove_many(self, keys: Iterable[EntryKey]) -> int:
        """Remove entries; gives how many there were."""

    def get_many(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Those of the entries that are stored."""

    @property
    def upkeep(self) -> EntryList:
        """Lists entries."""


class Backend(Protocol):
    """What a model is bound to.

    Attributes:
        namespace: What the keys of its entries begin with.
        alias: The index that queries go to.
        definition: The fields of that index, as FT.CREATE takes them.
        attributes: The declared attributes that it holds.
        store: The repository of its tier.
    """

    @property
    def namespace(self) -> str: ...  # noqa: D102
    @property
    def alias(self) -> str: ...  # noqa: D102
    @property
    def definition(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def attributes(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def store(self) -> EntryStore: ...  # noqa: D102

    def check_open(self) -> None:
        """See that the memory of the model is open; else raises ``MemoryClosed``."""

    def ensure(self, *, vectors: bool = False) -> None:
        """See that queries can be answered, of vectors or of all else; else raises."""

    def warn_of_waiting(self) -> None:
        """Warn the caller's caller with ``EntriesWaiting`` where entries wait for this tier."""

    def execute_command(self, *command: Any) -> Any:
        """Send a command as Redis-OM writes it, and give the answer in bytes."""

    def nearest(
        self, condition: str, vector: NDArray[np.float32], k: int
    ) -> list[tuple[str, float]]:
        """The keys of the entries nearest to a vector, and their distances."""

    def hashes(self, keys: Sequence[str]) -> list[dict[bytes, bytes]]:
        """The hashes under these keys, empty where there is none."""

    def fields(self, keys: Sequence[str], names: Sequence[str]) -> list[dict[bytes, bytes]]:
        """Of the hashes under these keys the fields of these names that they have."""

    def decode(self, contents: bytes, step: int) -> dict[str, Any]:
        """Give back contents of a step; raises ``EncodingError`` for damaged bytes."""


class BackendClient:
    """What Redis-OM takes for a client.

    It keeps every client that it has asked for the query engine, for ever; what belongs to a
    system shall not be kept with it.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = weakref.ref(backend)

    def execute_command(self, *command: Any) -> Any:
        """Send a command as Redis-OM writes it.

        Raises:
            MemoryClosed: The memory is closed.
        """
        backend = self._backend()
        if backend is None:
            raise MemoryClosed("the memory of this model is gone: open it again")
        return backend.execute_command(*command)
