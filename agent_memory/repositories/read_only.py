"""A repository that can be read and not written."""

# ruff: noqa: ARG002  # what is refused is not looked at

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NoReturn

from agent_memory.errors import StoreReadOnly
from agent_memory.repositories.contract import (
    LongTermMemory,
    MemoryRepository,
    Neighbour,
    Probe,
    Vectors,
)
from agent_memory.repositories.counts import AgentCounts
from agent_memory.repositories.moves import Agent, MoveNotes, OpenMove
from agent_memory.repositories.outcomes import Added, Gone
from agent_memory.values.entry import EntryKey, MemoryEntry
from agent_memory.values.query import Query


class ReadOnlyRepository(LongTermMemory):
    """Passes reads on to a repository and refuses writes with ``StoreReadOnly``.

    Args:
        repository: What is read.
    """

    def __init__(self, repository: MemoryRepository) -> None:
        self._repository = repository
        self.tier = repository.tier
        self.moves = _ReadOnlyNotes(repository.moves, self._refuse)

    def add_many(self, entries: Sequence[MemoryEntry]) -> list[Added]:
        """Refused."""
        return self._refuse()

    def replace(self, entry: MemoryEntry) -> MemoryEntry:
        """Refused."""
        return self._refuse()

    def touch(self, counts: Mapping[EntryKey, int], at: float) -> list[EntryKey]:
        """Refused."""
        return self._refuse()

    def reembed(
        self, entries: Sequence[MemoryEntry], read: Sequence[MemoryEntry] | None = None
    ) -> list[bool]:
        """Refused."""
        return self._refuse()

    def recode(self, entries: Sequence[MemoryEntry]) -> list[bool]:
        """Refused."""
        return self._refuse()

    def remove(self, key: EntryKey, *, revision: int | None = None) -> bool:
        """Refused."""
        return self._refuse()

    def remove_many(self, keys: Iterable[EntryKey]) -> int:
        """Refused."""
        return self._refuse()

    def remove_answering(self, queries: Sequence[Query]) -> int:
        """Refused."""
        return self._refuse()

    def remove_copied(self, entries: Sequence[MemoryEntry]) -> list[Gone]:
        """Refused."""
        return self._refuse()

    def move_within(
        self, destination: MemoryRepository, copies: Sequence[MemoryEntry]
    ) -> list[Gone] | None:
        """Refused."""
        return self._refuse()

    def clear_agent(self, run_id: str, agent_id: str) -> int:
        """Refused."""
        return self._refuse()

    def clear_run(self, run_id: str) -> int:
        """Refused."""
        return self._refuse()

    def clear_agents(self, run_id: str, agents: Iterable[str]) -> int:
        """Refused."""
        return self._refuse()

    def forget(self, keys: Iterable[EntryKey], at: float, released_at: float | None = None) -> int:
        """Refused."""
        return self._refuse()

    def release(self, keys: Iterable[EntryKey], at: float) -> None:
        """Refused."""
        self._refuse()

    def take_over(self, entries: Sequence[MemoryEntry], read_at: float) -> list[Added]:
        """Refused."""
        return self._refuse()

    def forgotten(self, keys: Iterable[EntryKey]) -> dict[EntryKey, float | None]:
        """Those of the keys that were forgotten, and when they were released."""
        if not isinstance(self._repository, LongTermMemory):
            return {}
        return self._repository.forgotten(keys)

    def forks(self, run_id: str) -> list[str]:
        """The runs that were forked from a run, sorted."""
        if not isinstance(self._repository, LongTermMemory):
            return []
        return self._repository.forks(run_id)

    def get_many(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are stored here, in the order of the keys."""
        return self._repository.get_many(keys)

    def find(self, query: Query) -> list[MemoryEntry]:
        """Return the entries that answer a query, in its order."""
        return self._repository.find(query)

    def find_each(self, queries: Sequence[Query]) -> list[list[MemoryEntry]]:
        """Return what answers each of some queries."""
        return self._repository.find_each(queries)

    def vectors(self, query: Query) -> list[Vectors]:
        """The vectors of the entries that answer a query, whatever its order and limit."""
        return self._repository.vectors(query)

    def nearest(self, query: Query, probe: Probe) -> list[Neighbour]:
        """The entries that answer a query and whose vectors are nearest to a probe."""
        return self._repository.nearest(query, probe)

    def outdated(self, run_id: str, agent_id: str, version: int) -> list[EntryKey]:
        """The keys of an agent's entries whose vector another encoder made, or that have none."""
        return self._repository.outdated(run_id, agent_id, version)

    def count(self, run_id: str, agent_id: str | None = None) -> int:
        """How many entries an agent has in a run; None for all agents together."""
        return self._repository.count(run_id, agent_id)

    def agents(self, run_id: str) -> list[str]:
        """The agents that have entries in a run, sorted."""
        return self._repository.agents(run_id)

    def runs(self) -> list[str]:
        """The runs that have entries, sorted."""
        return self._repository.runs()

    def agent_counts(
        self, run_id: str, agents: Iterable[str] | None = None, horizon: float | None = None
    ) -> dict[str, AgentCounts]:
        """What each of some agents of a run has here; nothing is noted of what is ahead."""
        return self._repository.agent_counts(run_id, agents)

    def keys_of(self, run_id: str, agents: Iterable[str]) -> list[EntryKey]:
        """The keys of all entries of some agents in a run, agent by agent."""
        return self._repository.keys_of(run_id, agents)

    def keys(self, run_id: str, agent_id: str) -> list[EntryKey]:
        """The keys of all entries of an agent in a run, by step."""
        return self._repository.keys(run_id, agent_id)

    def code_versions(self) -> dict[int, int]:
        """As the contract says."""
        return self._repository.code_versions()

    def versions(self) -> dict[int, int]:
        """How many entries of every run name each version of the encoder."""
        return self._repository.versions()

    def stored_bytes(self) -> int:
        """How many bytes the engine uses for all entries here, of every run."""
        return self._repository.stored_bytes()

    def _refuse(self) -> NoReturn:
        raise StoreReadOnly(
            f"{self.tier.name} was opened read-only; open the memory without read_only to write"
        )


class _ReadOnlyNotes(MoveNotes):
    """The notes of moves out of a tier that is not written to."""

    def __init__(self, notes: MoveNotes, refuse: Callable[[], NoReturn]) -> None:
        self._notes = notes
        self._refuse = refuse

    def noted(self, agents: Collection[Agent]) -> AbstractContextManager[None]:
        """Refused."""
        return self._refuse()

    def open(self) -> list[OpenMove]:
        """The moves that were begun and not finished."""
        return self._notes.open()

    def close(self, move: OpenMove) -> None:
        """Refused."""
        self._refuse()
