"""A repository that can be read and not written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NoReturn

from agent_memory.errors import StoreReadOnly
from agent_memory.repositories.access import Access
from agent_memory.repositories.contract import LongTermMemory, MemoryRepository
from agent_memory.repositories.counts import AgentCounts
from agent_memory.repositories.encodings import Encodings
from agent_memory.repositories.following import Changes, View
from agent_memory.repositories.forgettings import Forgetting, RollBack
from agent_memory.repositories.importances import Importances
from agent_memory.repositories.moves import Agent, MoveNotes, OpenMove
from agent_memory.repositories.nearest import Neighbour, Probe, Vectors
from agent_memory.repositories.reading import ValueOf
from agent_memory.repositories.upkeep import TierUpkeep
from agent_memory.values.entry import EntryKey, MemoryEntry, Tier
from agent_memory.values.query import Query


def _refuse(part: _ReadOnly, *_arguments: object, **_named: object) -> NoReturn:
    """Refused: the store was opened read-only.

    Raises:
        StoreReadOnly: Always.
    """
    raise StoreReadOnly(
        f"{part.tier.name} was opened read-only; open the memory without read_only to write"
    )


class _ReadOnly:
    """What refuses writes, and names its tier."""

    tier: Tier


class ReadOnlyRepository(LongTermMemory, _ReadOnly):
    """Passes reads on to a repository and refuses writes with ``StoreReadOnly``.

    Args:
        repository: What is read.
    """

    def __init__(self, repository: MemoryRepository) -> None:
        self._repository = repository
        self.tier = repository.tier
        self.encodings = _ReadOnlyEncodings(repository)
        self.upkeep = _ReadOnlyUpkeep(repository)
        self.moves = _ReadOnlyNotes(repository)
        self.importance = _ReadOnlyImportances(repository)

    add_many = arrive = take_over = replace = touch = touched = _refuse
    remove = remove_many = remove_answering = remove_copied = move_within = _refuse
    clear_agents = clear_run = forget = release = roll_back = _refuse

    def forgettings(self, keys: Iterable[EntryKey]) -> dict[EntryKey, Forgetting]:
        """Those of the keys that were forgotten, with the moments of their forgetting."""
        if not isinstance(self._repository, LongTermMemory):
            return {}
        return self._repository.forgettings(keys)

    def moment(self) -> float:
        """The last moment of forgetting."""
        return self._repository.moment() if isinstance(self._repository, LongTermMemory) else 0.0

    def roll_backs(self, runs: Iterable[str]) -> dict[str, list[RollBack]]:
        """The roll-backs of some runs; those that were never rolled back are left out."""
        if not isinstance(self._repository, LongTermMemory):
            return {}
        return self._repository.roll_backs(runs)

    def forks(self, run_id: str, after: int = -1) -> list[str]:
        """The runs that were forked from a run after a step, sorted."""
        if not isinstance(self._repository, LongTermMemory):
            return []
        return self._repository.forks(run_id, after)

    def find_with(self, query: Query, below: object) -> Sequence[Sequence[MemoryEntry]] | None:
        """What answers a query here and in the tier below, where one request can tell both."""
        return self._repository.find_with(query, _beneath(below))

    def read_as_seen(
        self, run_id: str, agent_id: str, views: Sequence[View], *below: object
    ) -> list[list[MemoryEntry]] | None:
        """Read some entries of an agent, if nothing of the agent's has changed since."""
        return self._repository.read_as_seen(run_id, agent_id, views, *map(_beneath, below))

    def get_many(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are stored here, in the order of the keys."""
        return self._repository.get_many(keys)

    def find(self, query: Query) -> list[MemoryEntry]:
        """Return the entries that answer a query, in its order."""
        return self._repository.find(query)

    def find_each(self, queries: Sequence[Query]) -> list[list[MemoryEntry]]:
        """Return what answers each of some queries."""
        return self._repository.find_each(queries)

    def first_of_each(self, query: Query) -> list[MemoryEntry]:
        """The first entry, in the query's order, of each agent that it is about."""
        return self._repository.first_of_each(query)

    def keys_answering(self, query: Query) -> list[EntryKey]:
        """The keys of the entries that answer a query, in its order."""
        return self._repository.keys_answering(query)

    def values_at(self, query: Query, path: str) -> list[ValueOf]:
        """The values at a path of the entries that answer a query about one agent of one run."""
        return self._repository.values_at(query, path)

    def access(self, query: Query) -> Access:
        """How a question is answered: by which index, and how many entries that gives."""
        return self._repository.access(query)

    def nearest(self, query: Query, probe: Probe) -> list[Neighbour]:
        """The entries that answer a query and whose vectors are nearest to a probe."""
        return self._repository.nearest(query, probe)

    def changes(
        self, run_id: str, agent_id: str, seen: object = None, known: Collection[str] = ()
    ) -> Changes:
        """What has changed of an agent's entries since somebody asked last."""
        return self._repository.changes(run_id, agent_id, seen, known)

    def count(self, run_id: str, agent_id: str | None = None) -> int:
        """How many entries an agent has in a run; None for all agents together."""
        return self._repository.count(run_id, agent_id)

    def agents(self, run_id: str) -> list[str]:
        """The agents that have entries in a run, sorted."""
        return self._repository.agents(run_id)

    def runs(self) -> list[str]:
        """The runs that have entries, sorted."""
        return self._repository.runs()

    def keys(self, run_id: str, *agents: str, after: int = -1) -> list[EntryKey]:
        """The keys of the entries of some agents in a run, agent by agent, each by step."""
        return self._repository.keys(run_id, *agents, after=after)


def _beneath(tier: object) -> object:
    """A tier as it is where it is not only read."""
    return tier._repository if isinstance(tier, ReadOnlyRepository) else tier  # noqa: SLF001 - of this module


class _ReadOnlyEncodings(Encodings, _ReadOnly):
    """The vectors and codes of a tier that is not written to."""

    def __init__(self, repository: MemoryRepository) -> None:
        super().__init__(repository)
        self.tier = repository.tier
        self._encodings = repository.encodings

    reembed = recode = _refuse

    def vectors(self, query: Query) -> list[Vectors]:
        """The vectors of the entries that answer a query, whatever its order and limit."""
        return self._encodings.vectors(query)

    def outdated(self, run_id: str, agent_id: str, *versions: int) -> list[EntryKey]:
        """The keys of an agent's entries whose vector no such version made, or that have none."""
        return self._encodings.outdated(run_id, agent_id, *versions)

    def versions(self) -> dict[int, int]:
        """How many entries of every run name each version of the encoder."""
        return self._encodings.versions()

    def code_versions(self) -> dict[int, int]:
        """How many entries have contents coded by the code of each version."""
        return self._encodings.code_versions()


class _ReadOnlyUpkeep(TierUpkeep, _ReadOnly):
    """What can be read of a tier that no upkeep writes to."""

    def __init__(self, repository: MemoryRepository) -> None:
        super().__init__(repository)
        self.tier = repository.tier
        self._upkeep = repository.upkeep

    declare_attributes = _refuse

    def get_readable(self, keys: Sequence[EntryKey]) -> list[MemoryEntry]:
        """Return those of the entries that are stored here and can be read."""
        return self._upkeep.get_readable(keys)

    def find_readable(self, queries: Sequence[Query]) -> list[list[MemoryEntry]]:
        """Return what answers each of some queries and can be read."""
        return self._upkeep.find_readable(queries)

    def counts_of(
        self,
        agents: Iterable[Agent] | None = None,
        horizon: float | None = None,  # noqa: ARG002  # to note what is ahead would be a write
    ) -> dict[Agent, AgentCounts]:
        """What each of some agents has here; nothing is noted of what is ahead."""
        return self._upkeep.counts_of(agents)

    def all_agents(self) -> list[Agent]:
        """The agents of every run that have entries here."""
        return self._upkeep.all_agents()

    def entries_by_run(self) -> dict[str, int]:
        """How many entries each run has here."""
        return self._upkeep.entries_by_run()

    def keys_of(self, agents: Iterable[Agent]) -> list[EntryKey]:
        """The keys of all entries of some agents of any runs."""
        return self._upkeep.keys_of(agents)

    def importances_of(self, agents: Iterable[Agent]) -> dict[Agent, list[tuple[EntryKey, float]]]:
        """How important each entry of some agents is that is not pinned, newest first."""
        return self._upkeep.importances_of(agents)

    def check_storable(self, entries: Sequence[MemoryEntry]) -> None:
        """Raise what storing entries here would raise for what is in them; stores nothing."""
        self._upkeep.check_storable(entries)

    def stored_bytes(self) -> int:
        """How many bytes the engine uses for all entries here, of every run."""
        return self._upkeep.stored_bytes()


class _ReadOnlyImportances(_ReadOnly):
    """The importances of a tier that is not written to."""

    def __init__(self, repository: MemoryRepository) -> None:
        self.tier = repository.tier
        self._importances = repository.importance

    set = _refuse

    def of(self, run_id: str, agents: Sequence[str]) -> dict[str, Importances]:
        """Those of some agents of a run; see ``ImportanceIndex``."""
        return self._importances.of(run_id, agents)


class _ReadOnlyNotes(MoveNotes, _ReadOnly):
    """The notes of moves out of a tier that is not written to."""

    def __init__(self, repository: MemoryRepository) -> None:
        self.tier = repository.tier
        self._notes = repository.moves

    noted = close = _refuse

    def open(self) -> list[OpenMove]:
        """The moves that were begun and not finished."""
        return self._notes.open()
