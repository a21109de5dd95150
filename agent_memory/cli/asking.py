"""The options of commands that ask a question, and the query that they make."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from agent_memory.retrieval.written import written_condition, written_state, written_steps
from agent_memory.values.entry import MemoryType
from agent_memory.values.query import Order, Query

Agent = Annotated[str, typer.Argument(help="The agent.")]
Steps = Annotated[
    str, typer.Option(metavar="FIRST:LAST", help="Steps, both included: 7, 5:10, 5: or :10.")
]
OfType = Annotated[MemoryType | None, typer.Option("--type", help="Only memories of this type.")]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATH=VALUE",
        help="A condition on contents, such as food=3, home.doors=2..4 or mood=calm; repeatable.",
    ),
]
Near = Annotated[
    str, typer.Option(metavar="JSON", help='The most similar to a state first: {"food": 3}.')
]
Newest = Annotated[bool, typer.Option("--newest", help="The latest first, not the earliest.")]
Limit = Annotated[int, typer.Option("-n", "--limit", min=0, help="At most this many.")]


def query_of(
    agent: str,
    steps: str,
    of_type: MemoryType | None,
    where: Iterable[str],
    *,
    newest: bool,
    limit: int | None,
) -> Query:
    """The query that some options make.

    Raises:
        InvalidEntry: An option has no meaning; the message says which.
    """
    return Query(
        agent_id=agent,
        steps=steps_of(steps),
        memory_type=of_type,
        attributes=dict(map(_condition, where)),
        order=Order.NEWEST if newest else None,
        limit=limit,
    )


def steps_of(given: str) -> tuple[int | None, int | None] | None:
    """The range that ``--steps`` gives; None without one."""
    return written_steps(given, "--steps")


def state_of(near: str) -> dict[str, Any] | None:
    """The state that ``--near`` gives; None without one."""
    return written_state(near, "--near")


def _condition(given: str) -> tuple[str, Any]:
    return written_condition(given, "--where")
