"""Counts the entries of many agents in one statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, func, select

from agent_memory.models.ltm import LtmModels
from agent_memory.repositories.counts import AgentCounts
from agent_memory.repositories.sql.statements import IN_LIST, chunked, run_ref_of, table_of


def agent_counts(
    connection: Connection, models: LtmModels, run_id: str, agents: Iterable[str] | None
) -> Iterator[tuple[str, AgentCounts]]:
    """What each of some agents of a run has, by name; None: all that have anything."""
    wanted = [None] if agents is None else chunked(dict.fromkeys(agents), IN_LIST)
    for names in wanted:
        for row in connection.execute(_numbers(models, run_id, names)):
            name, entries, oldest, newest, first_step, newest_step, pinned = row
            yield name, AgentCounts(entries, oldest, newest, first_step, newest_step, pinned=pinned)


def _numbers(
    models: LtmModels, run_id: str, names: Sequence[str] | None
) -> Select[*tuple[Any, ...]]:
    agent, entries = models.Agent, table_of(models.LtmEntry)
    others = entries.alias()
    newest_step = (
        select(others.c.step_number)
        .where(others.c.agent_ref == agent.id)
        .order_by(others.c.timestamp.desc(), others.c.memory_id.desc())
        .limit(1)
        .scalar_subquery()
    )
    is_pinned = models.LtmEntry.pinned

    def least(column: ColumnElement[Any]) -> ColumnElement[Any]:
        of_the_others = func.min(case((is_pinned, None), else_=column))
        return func.coalesce(of_the_others, func.min(column))

    numbers = (
        select(
            agent.name,
            func.count(),
            least(entries.c.timestamp),
            func.max(entries.c.timestamp),
            least(entries.c.step_number),
            newest_step,
            func.count(case((is_pinned, 1))),
        )
        .join_from(agent, entries, entries.c.agent_ref == agent.id)
        .where(agent.run_id == run_ref_of(models, run_id))
        .group_by(agent.id, agent.name)
        .order_by(agent.name)
    )
    return numbers if names is None else numbers.where(agent.name.in_(names))
