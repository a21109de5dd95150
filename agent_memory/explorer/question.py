"""A question that is filled into a form, and the line of Python that it stands for. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent_memory.errors import InvalidEntry
from agent_memory.retrieval.written import written_condition, written_state, written_steps
from agent_memory.values.conditions import Between
from agent_memory.values.query import Order, Query

_MOST_HITS = 200


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a form.

    Attributes:
        query: What is asked.
        near: What to be most similar to; None: the order counts.
        rank: The name of a preset of weights; None: none.
        line: The line of Python that asks the same.
    """

    query: Query
    near: dict[str, Any] | None
    rank: str | None
    line: str


def question_of(form: Mapping[str, str], run_id: str) -> Question:
    """Read a form.

    Args:
        form: Its fields by name, as text; those that are empty do not filter.
        run_id: The run that is asked.

    Raises:
        InvalidEntry: A field has no meaning; the message names it.
    """
    lines = [line.strip() for line in form.get("where", "").splitlines()]
    asked: dict[str, Any] = {
        "agent_id": form.get("agent") or None,
        "steps": written_steps(form.get("steps", "").strip()),
        "memory_type": form.get("type") or None,
        "attributes": dict(written_condition(line) for line in lines if line),
        "pinned": True if form.get("pinned") else None,
        "order": Order(form["order"]).value if form.get("order") else None,
        "limit": _limit(form.get("limit", "").strip()),
    }
    given = {name: value for name, value in asked.items() if value not in (None, {})}
    near = written_state(form.get("near", "").strip())
    rank = form.get("rank") or None
    extra = {"near": near, "rank": rank, "touch": False}
    words = [f"{name}={_python(value)}" for name, value in given.items()]
    words += [f"{name}={value!r}" for name, value in extra.items() if value is not None]
    memory = "memory" if run_id == "default" else f"memory.run({run_id!r})"
    return Question(Query(**given), near, rank, f"{memory}.recall({', '.join(words)})")


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
