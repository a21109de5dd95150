"""The contract of a tier's store: what every repository promises, whatever its engine.

A repository holds the entries of one tier, of any number of runs and agents.

* **Identity.** ``(run_id, memory_id)`` names an entry; an ``EntryKey`` adds the agent, which
  says where it lies. Adding the same key twice is one entry.
* **Snapshots.** What is stored is what the entry held when it was added; what is returned is
  the caller's own, and equal to what was stored.
* **Atomicity.** An entry and its place in every index change together. ``add_many`` and
  ``remove_many`` are atomic per entry, not as a whole: after an error, each entry was either
  stored or not, and the same call may be made again.
* **Order.** See ``Order``: ties break by memory id, in the direction of the order.
* **Threads and processes.** A repository may be shared by threads, and several processes may
  work on one store at once. After ``os.fork`` both sides may go on.
* **Errors.** An engine that does not answer raises ``StoreUnavailable``; an empty result means
  that there is nothing. Bad arguments raise ``InvalidEntry``. A store that was opened read-only
  raises ``StoreReadOnly`` on every write.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

from agent_memory.entry import EntryKey, MemoryEntry, MemoryType, Order, Query, Tier
from agent_memory.errors import EntryNotFound


class Added(IntEnum):
    """What became of an entry that was given to ``add``."""

    STORED = 1
    """It is stored now and was not before."""
    PRESENT = 2
    """Its key was stored already; the newer of the two copies is what is stored now."""
    FORGOTTEN = 3
    """It was forgotten (see ``LtmRepository.forget``) and was not stored."""


class Codec(Protocol):
    """Turns contents into the bytes of a tier and back."""

    def encode(self, contents: Mapping[str, Any], level: int) -> bytes:
        """Encode contents at a compression level (0, 1 or 2)."""

    def decode(self, encoded: bytes) -> dict[str, Any]:
        """Give back contents; raises ``EncodingError`` for damaged bytes."""


class OpenMove(NamedTuple):
    """A move between two tiers that was begun and not finished."""

    token: str
    agents: tuple[tuple[str, str], ...]
    """Runs and agents whose entries were on the move."""


class MemoryRepository(ABC):
    """The entries of one tier. See the module for what every method promises."""

    tier: Tier

    # -- writing ------------------------------------------------------------------------------

    def add(self, entry: MemoryEntry) -> Added:
        """Store one entry; see ``add_many``."""
        return self.add_many([entry])[0]

    @abstractmethod
    def add_many(self, entries: Sequence[MemoryEntry]) -> list[Added]:
        """Store entries, acknowledged by the engine at its durability on return.

        Idempotent by key. Of two copies of a key the newer wins: the one with the higher
        ``(revision, retrieval_count)``; of equals the stored one stays.

        Returns:
            What became of each, in the order given.

        Raises:
            InvalidEntry: Contents that cannot be stored; nothing of this call was stored.
            StoreUnavailable: The engine did not acknowledge; any part may have been stored.
        """

    @abstractmethod
    def replace(self, entry: MemoryEntry) -> MemoryEntry:
        """Store a changed entry in place of the one whose revision it carries.

        ``retrieval_count`` and ``last_access_time`` stay as they are stored: retrievals that
        were counted meanwhile are not undone.

        Returns:
            The entry as stored, with its revision one higher.

        Raises:
            EntryNotFound: Its key is not stored here.
            EntryConflict: The stored revision is another; read it again and redo the change.
        """

    @abstractmethod
    def touch(self, counts: Mapping[EntryKey, int], at: float) -> list[EntryKey]:
        """Count retrievals: adds to ``retrieval_count`` and moves ``last_access_time`` on.

        Args:
            counts: How many retrievals to add to each entry.
            at: The time of the last of them, in the unit of timestamps.

        Returns:
            The keys that are not stored here, for which nothing was done.
        """

    @abstractmethod
    def remove(self, key: EntryKey, *, revision: int | None = None) -> bool:
        """Remove an entry, if its stored revision is the given one (None: whatever it is).

        Returns:
            Whether it was there.

        Raises:
            EntryConflict: It is there with another revision, and stays.
        """

    @abstractmethod
    def remove_many(self, keys: Iterable[EntryKey]) -> int:
        """Remove entries, whatever their revision; returns how many were there."""

    @abstractmethod
    def remove_copied(self, entries: Sequence[MemoryEntry]) -> list[bool]:
        """Remove entries that have been copied elsewhere, unless they changed since.

        Returns:
            For each, whether it is gone now: False when the stored revision or retrieval count
            is not the given one, in which case the mover copies again.
        """

    def move_to(self, destination: MemoryRepository, copies: Sequence[MemoryEntry]) -> list[bool]:
        """Move entries to another tier: write there, have it acknowledged, then remove here.

        Whatever happens in between, each entry is in at least one of the two; one that is left
        in both is moved by the same call, made again.

        Args:
            destination: The tier they go to.
            copies: What shall stand there: as read from here, in the destination's level.

        Returns:
            For each, whether it is gone from here; False when it changed since it was read.
        """
        destination.add_many(copies)
        return self.remove_copied(copies)

    def open_moves(self) -> list[OpenMove]:
        """The moves out of here that were begun and not finished, be it by a crash.

        Their entries may stand both here and in the next tier; ``Consolidation`` settles them.
        """
        return []

    def close_move(self, move: OpenMove) -> None:  # noqa: B027  # engines without notes need none
        """Note that an open move was settled; one that may still be under way stays noted."""

    @abstractmethod
    def clear_agent(self, run_id: str, agent_id: str) -> int:
        """Remove all entries of an agent in a run; returns how many there were."""

    def clear_run(self, run_id: str) -> int:
        """Remove all entries of a run; returns how many there were."""
        return sum(self.clear_agent(run_id, agent_id) for agent_id in self.agents(run_id))

    # -- reading ------------------------------------------------------------------------------

    def get(self, key: EntryKey) -> MemoryEntry:
        """Return one entry.

        Raises:
            EntryNotFound: Its key is not stored here.
        """
        found = self.get_many([key])
        if not found:
            raise EntryNotFound(
                f"no entry {key.memory_id} of agent {key.agent_id!r} in run {key.run_id!r} "
                f"in {self.tier.name}"
            )
        return found[0]

    @abstractmethod
    def get_many(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are stored here, in the order of the keys."""

    @abstractmethod
    def find(self, query: Query) -> list[MemoryEntry]:
        """Return the entries that answer a query, in its order. The query names its run."""

    @abstractmethod
    def count(self, run_id: str, agent_id: str | None = None) -> int:
        """How many entries an agent has in a run; None for all agents together."""

    @abstractmethod
    def agents(self, run_id: str) -> list[str]:
        """The agents that have entries in a run, sorted."""

    @abstractmethod
    def runs(self) -> list[str]:
        """The runs that have entries, sorted."""

    def keys(self, run_id: str, agent_id: str) -> list[EntryKey]:
        """The keys of all entries of an agent in a run, by step."""
        query = Query(run_id=run_id, agent_id=agent_id, order=Order.STEP)
        return [entry.key for entry in self.find(query)]

    @abstractmethod
    def stored_bytes(self) -> int:
        """How many bytes the engine uses for all entries here, of every run, indexes included.

        An estimate from a sample where the engine keeps no sum.
        """

    # -- reading, by name ---------------------------------------------------------------------

    def by_step(self, run_id: str, agent_id: str, step: int) -> list[MemoryEntry]:
        """The entries of one step, by memory id."""
        return self.by_step_range(run_id, agent_id, step, step)

    def by_step_range(
        self, run_id: str, agent_id: str, first: int, last: int, limit: int | None = None
    ) -> list[MemoryEntry]:
        """The entries of the steps ``first`` to ``last``, both included, by step."""
        return self.find(
            Query(run_id=run_id, agent_id=agent_id, steps=(first, last), order=Order.STEP,
                  limit=limit)
        )  # fmt: skip

    def by_time_range(
        self, run_id: str, agent_id: str, first: float, last: float, limit: int | None = None
    ) -> list[MemoryEntry]:
        """The entries with a timestamp of ``first`` to ``last``, both included, oldest first."""
        return self.find(Query(run_id=run_id, agent_id=agent_id, times=(first, last), limit=limit))

    def recent(self, run_id: str, agent_id: str, count: int = 10) -> list[MemoryEntry]:
        """The entries with the latest timestamps, newest first."""
        return self.find(Query(run_id=run_id, agent_id=agent_id, order=Order.NEWEST, limit=count))

    def oldest(self, run_id: str, agent_id: str, count: int = 10) -> list[MemoryEntry]:
        """The entries with the earliest timestamps, oldest first."""
        return self.find(Query(run_id=run_id, agent_id=agent_id, limit=count))

    def by_type(
        self, run_id: str, agent_id: str, memory_type: MemoryType, limit: int | None = None
    ) -> list[MemoryEntry]:
        """The entries of one type, newest first."""
        return self.find(
            Query(run_id=run_id, agent_id=agent_id, memory_type=memory_type, order=Order.NEWEST,
                  limit=limit)
        )  # fmt: skip

    def by_importance(
        self, run_id: str, agent_id: str, least: float = 0.0, limit: int | None = None
    ) -> list[MemoryEntry]:
        """The entries at least that important, the most important first."""
        return self.find(
            Query(run_id=run_id, agent_id=agent_id, importance=(least, 1.0),
                  order=Order.IMPORTANCE, limit=limit)
        )  # fmt: skip


class LongTermMemory(MemoryRepository):
    """The last tier: a repository that also remembers what was forgotten."""

    @abstractmethod
    def forget(self, keys: Iterable[EntryKey], at: float) -> int:
        """Remove entries for good: in one transaction, mark their keys and delete their rows.

        A marked key (a tombstone) is refused by every later ``add``, so that no late write and
        no move in flight brings the entry back. Forgetting a key that was never here marks it.

        Args:
            keys: What to forget.
            at: When, in seconds since 1970.

        Returns:
            How many rows were deleted.
        """
