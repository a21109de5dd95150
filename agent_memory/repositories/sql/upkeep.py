"""What upkeep reads of long-term memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import exists, select

from agent_memory.models.ltm import LtmModels
from agent_memory.repositories.counts import AgentCounts
from agent_memory.repositories.moves import Agent
from agent_memory.repositories.reading import EntryReader
from agent_memory.repositories.sql.counts import agent_counts
from agent_memory.repositories.sql.entries import RowMapper
from agent_memory.repositories.sql.kept_counts import KeptCounts
from agent_memory.repositories.sql.partitions import bytes_of
from agent_memory.repositories.sql.statements import (
    all_agents_with_entries,
    bytes_of_weights,
    entries_of_any_run,
    numbers_by_run,
    table_of,
)
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.repositories.upkeep import TierUpkeep
from agent_memory.values.entry import MemoryEntry

_EVERY_RUN = ("", "")


class LtmUpkeep(TierUpkeep):
    """Counts entries, measures tables, and declares attributes.

    Args:
        reader: Reads the tier.
        transactions: The database.
        models: The models of the tables.
        mapper: Turns entries into rows.
        declare: Declares the attributes of this process, and completes what is stored.
    """

    def __init__(
        self,
        reader: EntryReader,
        transactions: Transactions,
        models: LtmModels,
        mapper: RowMapper,
        declare: Callable[[], None],
    ) -> None:
        super().__init__(reader)
        self._transactions = transactions
        self._models = models
        self._mapper = mapper
        self._declare = declare
        self._by_run: KeptCounts[dict[str, int]] = KeptCounts.of_all()

    def counts_of(
        self, agents: Iterable[Agent] | None = None, horizon: float | None = None
    ) -> dict[Agent, AgentCounts]:
        """What each of some agents has here; one statement for all of every run."""
        del horizon  # entries do not leave the last tier
        with self._transactions.reading() as connection:
            return dict(agent_counts(connection, self._models, agents))

    def all_agents(self) -> list[Agent]:
        """The agents of every run that have entries here; one statement for all of them."""
        with self._transactions.reading() as connection:
            rows = connection.execute(all_agents_with_entries(self._models))
            return sorted((run_id, agent_id) for run_id, agent_id in rows)

    def entries_by_run(self) -> dict[str, int]:
        """How many entries each run has here; one statement for all of them."""
        with self._transactions.reading() as connection:

            def counted() -> dict[str, int]:
                rows = connection.execute(numbers_by_run(self._models))
                return {run_id: number for run_id, number in rows}  # noqa: C416  # of rows, no pairs

            return dict(self._by_run.of(connection, _EVERY_RUN, counted))

    def stored_bytes(self) -> int:
        """How many bytes the database uses for all entries here, indexes included.

        For SQLite the whole file less its free pages and the encoders' weights: what else is in
        it is small, and telling it apart would mean to read the file from end to end.
        """
        with self._transactions.reading() as connection:
            if not connection.execute(select(exists(entries_of_any_run(self._models)))).scalar():
                return 0
            if connection.dialect.name == "postgresql":
                return bytes_of(connection, table_of(self._models.LtmEntry).name)
            pages, free, page_bytes = (
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("page_count", "freelist_count", "page_size")
            )
            weights = connection.execute(bytes_of_weights(self._models)).scalar_one()
            return int((pages - free) * page_bytes - weights)

    def check_storable(self, entries: Sequence[MemoryEntry]) -> None:
        """Raise what storing entries here would raise for what is in them; stores nothing."""
        self._mapper.to_rows(entries)

    def declare_attributes(self) -> None:
        """Declare the attributes of this process, and complete the column of what is stored.

        From then on every process that stores fills the column, whatever it declares itself. A
        process that is killed meanwhile leaves the rest to the next one that declares.
        """
        self._declare()
