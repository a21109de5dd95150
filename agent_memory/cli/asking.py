"""The options of commands that ask a question, and the query that they make."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from agent_memory.errors import InvalidEntry
from agent_memory.values.conditions import between
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
    """The range that ``--steps`` gives; None without one.

    Raises:
        InvalidEntry: It is none.
    """
    if not given:
        return None
    first, colon, last = given.partition(":")
    try:
        low, high = (int(end) if end else None for end in (first, last))
    except ValueError:
        raise InvalidEntry(f"--steps {given!r}: write 7, 5:10, 5: or :10") from None
    return (low, high) if colon else (low, low)


def state_of(near: str) -> dict[str, Any] | None:
    """The state that ``--near`` gives; None without one.

    Raises:
        InvalidEntry: It is no JSON object.
    """
    if not near:
        return None
    try:
        state = json.loads(near)
    except ValueError as error:
        raise InvalidEntry(f"--near {near!r} is no JSON: {error}") from None
    if not isinstance(state, dict):
        raise InvalidEntry(f'--near {near!r}: a JSON object is needed, such as {{"food": 3}}')
    return state


def _condition(given: str) -> tuple[str, Any]:
    path, equals, wanted = given.partition("=")
    if not (path and equals):
        raise InvalidEntry(f"--where {given!r}: write PATH=VALUE, such as food=3")
    low, dots, high = wanted.partition("..")
    if dots:
        try:
            return path, between(float(low), float(high))
        except ValueError:
            pass  # text may have two dots too
    return path, _value(wanted)


def _value(wanted: str) -> Any:
    """A number, truth or null as JSON has it, or text; text in quotes is text whatever is in it."""
    try:
        value = json.loads(wanted)
    except ValueError:
        return wanted
    return wanted if isinstance(value, (dict, list)) else value
