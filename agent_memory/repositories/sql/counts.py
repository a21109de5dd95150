"""Counts the entries of many agents in one statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, func, select

from agent_memory.models.ltm import LtmModels
from agent_memory.repositories.counts import AgentCounts
from agent_memory.repositories.moves import Agent
from agent_memory.repositories.sql.statements import IN_LIST, chunked, table_of


def agent_counts(
    connection: Connection, models: LtmModels, agents: Iterable[Agent] | None
) -> Iterator[tuple[Agent, AgentCounts]]:
    """What each of some agents has, by run and name; None: all that have anything."""
    for statement in _statements(models, agents):
        for row in connection.execute(statement):
            run, name, *numbers = row
            entries, oldest, newest, first_step, newest_step, last_step, pinned = numbers
            counts = AgentCounts(entries, oldest, newest, first_step, newest_step, last_step)
            yield (run, name), counts._replace(pinned=pinned)


def _statements(
    models: LtmModels, agents: Iterable[Agent] | None
) -> Iterator[Select[*tuple[Any, ...]]]:
    run, agent = models.Run, models.Agent
    if agents is None:
        yield _numbers(models)
        return
    names_of: dict[str, list[str]] = {}
    for run_id, name in dict.fromkeys(agents):
        names_of.setdefault(run_id, []).append(name)
    for run_id, names in names_of.items():
        for some in chunked(names, IN_LIST):
            yield _numbers(models).where(run.name == run_id, agent.name.in_(some))


def _numbers(models: LtmModels) -> Select[*tuple[Any, ...]]:
    run, agent, entries = models.Run, models.Agent, table_of(models.LtmEntry)
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

    return (
        select(
            run.name,
            agent.name,
            func.count(),
            least(entries.c.timestamp),
            func.max(entries.c.timestamp),
            least(entries.c.step_number),
            newest_step,
            func.max(entries.c.step_number),
            func.count(case((is_pinned, 1))),
        )
        .join_from(agent, entries, entries.c.agent_ref == agent.id)
        .join(run, agent.run_id == run.id)
        .group_by(run.name, agent.id, agent.name)
        .order_by(run.name, agent.name)
    )
