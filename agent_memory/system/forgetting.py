"""Reads what a call of ``forget`` names, has it forgotten, and has files rewritten if asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agent_memory.connections.deployment import file_beside
from agent_memory.connections.embedded.manifest import leftovers
from agent_memory.connections.rewriting import rewrite_database, rewrite_server
from agent_memory.connections.sql import place_of
from agent_memory.errors import InvalidEntry
from agent_memory.repositories.querying import run_of
from agent_memory.repositories.sql.encoders import EncoderVersions
from agent_memory.repositories.sql.runs import RunRecords
from agent_memory.system.beneath import Connections
from agent_memory.system.erasure import Erasure, ForgettingReceipt
from agent_memory.tiers.forgetting import Tiers
from agent_memory.tiers.intake import Intake
from agent_memory.tiers.quarantine import Quarantine
from agent_memory.values.identity import checked_agent_id, checked_memory_id, checked_run_id
from agent_memory.values.query import Query, checked_query


class Forgetting:
    """Forgets for good what is named.

    Args:
        run_id: The run that is meant where none is named.
        tiers: The repositories, richest tier first.
        intake: Where entries wait for short-term memory.
        versions: The versions of the encoder.
        connections: The servers, whose files ``scrub`` rewrites.
        clock: Gives the time in seconds since 1970.
        records: What is recorded of runs.
    """

    def __init__(
        self,
        run_id: str,
        tiers: Tiers,
        intake: Intake,
        versions: EncoderVersions,
        connections: Connections,
        clock: Callable[[], float],
        records: RunRecords,
    ) -> None:
        self._run_id = run_id
        self._tiers = tiers
        self._intake = intake
        self._versions = versions
        self._connections = connections
        self._clock = clock
        self._records = records
        file = file_beside(connections.deployment, "aside")
        self._quarantine = None if file is None else Quarantine(file)

    def forget(
        self, agent: object, run: object, memory_id: object, query: Query | None, *, scrub: bool
    ) -> ForgettingReceipt:
        """Forget what is named; see ``AgentMemorySystem.forget``."""
        receipt = self._forget(agent, run, memory_id, query)
        if not scrub:
            return receipt
        done, problems = self._scrub()
        return replace(receipt, rewritten=tuple(done), not_rewritten=problems)

    def forget_after(self, step: int) -> ForgettingReceipt:
        """Forget the steps of the run after one; see ``AgentMemorySystem.forget_after``."""
        return self._erasure(self._run_id).after(step)

    def _forget(
        self, agent: object, run: object, memory_id: object, query: Query | None
    ) -> ForgettingReceipt:
        named = agent is not None or run is not None or memory_id is not None
        if named == (query is not None):
            raise InvalidEntry(
                "forget: name an agent, a memory_id or a run, or give a query alone, which names "
                "agent and run itself"
            )
        if query is not None:
            asked = checked_query(query).within(self._run_id)
            return self._erasure(run_of(asked)).answers(asked)
        erasure = self._erasure(self._run_id if run is None else checked_run_id(run))
        whose = None if agent is None else checked_agent_id(agent)
        if memory_id is not None:
            return erasure.memory(checked_memory_id(memory_id), whose)
        return self._whole(erasure) if whose is None else erasure.agent(whose)

    def _whole(self, erasure: Erasure) -> ForgettingReceipt:
        receipt = erasure.run()
        # What it was begun with may tell of people as its entries do.
        self._records.forget(receipt.run_id)
        return receipt

    def _erasure(self, run_id: str) -> Erasure:
        return Erasure(
            *(run_id, self._tiers, self._intake, self._versions),
            *(self._clock, self._quarantine),
        )

    def _scrub(self) -> tuple[list[str], dict[str, str]]:
        """Have the files of all stores rewritten; gives which were, and why others were not."""
        sql_engine = self._connections.sql_engine
        places = {
            **self._intake.rewrite_spool(),
            place_of(sql_engine): rewrite_database(sql_engine),
            **self._rewrite_quarantine(),
            **self._leftovers(),
        }
        for channel in self._connections.channels:
            places[channel.where] = rewrite_server(channel)
        return (
            [place for place, problem in places.items() if problem is None],
            {place: problem for place, problem in places.items() if problem is not None},
        )

    def _rewrite_quarantine(self) -> dict[str, str | None]:
        quarantine = self._quarantine
        if quarantine is None or not quarantine.file.is_file():
            return {}
        problem, unknown = quarantine.rewrite_file(), quarantine.unattributed()
        if problem is None and unknown:
            problem = (
                f"it holds {unknown} damaged things of which nothing tells whose they are, and "
                "which may be of what was forgotten: remove the file if nobody needs them"
            )
        return {str(quarantine.file): problem}

    def _leftovers(self) -> dict[str, str | None]:
        """What an interrupted conversion of the folder left behind, and cannot be removed."""
        where = self._connections.deployment
        if where.engine != "embedded":
            return {}
        why = "an interrupted conversion left it, and it cannot be removed now: remove it by hand"
        return {str(left): why for left in leftovers(where.path)}
