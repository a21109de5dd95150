"""Numbers about a memory: what each tier holds, and which stores are up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from agent_memory.connections.outages import Outages
from agent_memory.connections.sql import place_of
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.system.beneath import Connections
from agent_memory.tiers.forgetting import Tiers
from agent_memory.tiers.intake import Intake
from agent_memory.values.entry import Tier
from agent_memory.values.html import html_table
from agent_memory.values.status import MemoryStatus

_K = TypeVar("_K")
_V = TypeVar("_V", bound=Any)


@dataclass(frozen=True, slots=True)
class TierStatistics:
    """What a tier holds.

    Attributes:
        entries: Entries of the run.
        stored_bytes: Bytes the engine uses for the tier, indexes and other runs included.
        all_entries: Entries of all runs.
    """

    entries: int
    stored_bytes: int
    all_entries: int

    @property
    def bytes_per_entry(self) -> float:
        """Bytes an entry takes, indexes included; 0 where there is none."""
        return self.stored_bytes / self.all_entries if self.all_entries else 0.0


class StatisticsByName(dict[_K, _V]):
    """Statistics by the name of what they are of; a notebook shows them as a table."""

    def _repr_html_(self) -> str:
        columns = [field.name for one in self.values() for field in fields(one)]
        names = list(dict.fromkeys(columns))
        rows = [
            (getattr(name, "name", name), *(_plain(getattr(one, column)) for column in names))
            for name, one in self.items()
        ]
        return html_table(["", *names], rows)


def _plain(value: object) -> object:
    """A count of each tier under the tier's name."""
    if isinstance(value, Mapping):
        return {getattr(key, "name", key): count for key, count in value.items()}
    return value


def statistics(tiers: Tiers, run_id: str) -> dict[Tier, TierStatistics]:
    """What each tier holds, of a run and in all.

    Raises:
        StoreUnavailable: A tier does not answer.
    """
    return {repository.tier: _statistics(repository, run_id) for repository in tiers}


def _statistics(repository: MemoryRepository, run_id: str) -> TierStatistics:
    entries = repository.upkeep.entries_by_run()
    return TierStatistics(
        entries.get(run_id, 0), repository.upkeep.stored_bytes(), sum(entries.values())
    )


def status(intake: Intake, connections: Connections, outages: Outages) -> MemoryStatus:
    """How the stores are, as this process knows it.

    Raises:
        StoreUnavailable: The spool cannot be read.
    """
    short_term, spool = intake.status()
    long_term = connections.sql_breaker.status(place_of(connections.sql_engine))
    return MemoryStatus(short_term, long_term, spool, outages.failures)
