"""A question that is filled into a form, and the line of Python that it stands for. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent_memory.errors import InvalidEntry
from agent_memory.retrieval.written import (
    written_condition,
    written_range,
    written_state,
    written_steps,
    written_time,
)
from agent_memory.values.conditions import Between
from agent_memory.values.identity import is_memory_id
from agent_memory.values.query import ALL_RUNS, Order, Query
from agent_memory.values.rank import Rank

_MOST_HITS = 200
_WEIGHTS = ("relevance", "recency", "importance")


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a form.

    Attributes:
        query: What is asked.
        near: The state, or the id of the memory, to be most similar to; None: the order counts.
        rank: A rank, or the name of a preset; None: none.
        diverse: How much diversity counts, from 0 to 1; None: not.
        line: The line of Python that asks the same.
    """

    query: Query
    near: dict[str, Any] | str | None
    rank: Rank | str | None
    diverse: float | None
    line: str


def question_of(form: Mapping[str, str], run_id: str) -> Question:
    """Read a form.

    Args:
        form: Its fields by name, as text; those that are empty do not filter.
        run_id: The run that is asked.

    Raises:
        InvalidEntry: A field has no meaning; the message names it.
    """
    asked: dict[str, Any] = {
        "agent_id": _agents(form.get("agent", "")),
        "run_id": ALL_RUNS if form.get("everywhere") else None,
        "steps": written_steps(form.get("steps", "").strip()),
        "times": written_range(form.get("times", "").strip(), "times", written_time),
        "memory_type": form.get("type") or None,
        "importance": written_range(form.get("importance", "").strip(), "importance"),
        "attributes": dict(map(written_condition, _lines(form.get("where", "")))),
        "pinned": {"yes": True, "no": False}.get(form.get("pinned", "")),
        "order": Order(form["order"]).value if form.get("order") else None,
        "limit": _limit(form.get("limit", "").strip()),
    }
    given = {name: value for name, value in asked.items() if value not in (None, {})}
    near, rank = _near(form.get("near", "").strip()), _rank(form)
    diverse = _number(form, "diverse")
    extra = {"near": near, "rank": rank, "diverse": diverse, "touch": False}
    words = [f"{name}={_python(value)}" for name, value in given.items()]
    words += [f"{name}={value!r}" for name, value in extra.items() if value is not None]
    memory = "memory" if run_id == "default" else f"memory.run({run_id!r})"
    line = f"{memory}.recall({', '.join(words)})"
    return Question(Query(**given), near, rank, diverse, line)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _agents(given: str) -> str | list[str] | None:
    """An agent as it is written, or one a line."""
    lines = _lines(given)
    return lines if len(lines) > 1 else given.strip("\r\n") or None


def _near(given: str) -> dict[str, Any] | str | None:
    return given if is_memory_id(given) else written_state(given)


def _rank(form: Mapping[str, str]) -> Rank | str | None:
    """The name of a preset, or a rank of one's own weights."""
    name = form.get("rank") or None
    if name != "weights":
        return name
    weights = [_number(form, f"weight_{each}") or 0.0 for each in _WEIGHTS]
    return Rank(relevance=weights[0], recency=weights[1], importance=weights[2])


def _number(form: Mapping[str, str], name: str) -> float | None:
    given = form.get(name, "").strip()
    try:
        return float(given) if given else None
    except ValueError:
        raise InvalidEntry(f"{name} {given!r}: write a number, such as 0.5") from None


def _python(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{path!r}: {_python(it)}" for path, it in value.items()) + "}"
    if isinstance(value, Between):
        return f"between({value.least!r}, {value.greatest!r})"
    return repr(value)


def _limit(given: str) -> int:
    try:
        limit = int(given or 20)
    except ValueError:
        raise InvalidEntry(f"limit {given!r}: write a number, such as 20") from None
    return max(0, min(limit, _MOST_HITS))
