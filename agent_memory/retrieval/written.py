"""Questions that people write as text: steps, conditions, a state to be similar to."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from agent_memory.errors import InvalidEntry
from agent_memory.values.conditions import between


def written_steps(given: str, name: str = "steps") -> tuple[int | None, int | None] | None:
    """The range that a text such as ``5:10`` gives; None of an empty one.

    Args:
        given: What was written.
        name: What to call it in an error.

    Raises:
        InvalidEntry: It is none.
    """
    if not given:
        return None
    first, colon, last = given.partition(":")
    try:
        low, high = (int(end) if end.strip() else None for end in (first, last))
    except ValueError:
        raise InvalidEntry(f"{name} {given!r}: write 7, 5:10, 5: or :10") from None
    return (low, high) if colon else (low, low)


def written_range(
    given: str, name: str, read: Callable[[str], float] = float
) -> tuple[float | None, float | None] | None:
    """The range that a text such as ``0.5..1`` or ``0.5..`` gives; None of an empty one.

    Args:
        given: What was written.
        name: What to call it in an error.
        read: Reads one of its ends.

    Raises:
        InvalidEntry: It is none.
    """
    if not given:
        return None
    first, dots, last = given.partition("..")
    try:
        low, high = (read(end.strip()) if end.strip() else None for end in (first, last))
        if dots:
            return low, high
    except ValueError:
        pass
    raise InvalidEntry(f"{name} {given!r}: write A..B, A.. or ..B")


def written_time(given: str) -> float:
    """The time that a number gives, or a date as ``2026-11-30 18:00``, which is in UTC.

    Raises:
        ValueError: It is neither.
    """
    try:
        return float(given)
    except ValueError:
        date = datetime.fromisoformat(given)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def written_state(given: str, name: str = "near") -> dict[str, Any] | None:
    """The state that a JSON object gives; None of an empty text.

    Raises:
        InvalidEntry: It is no JSON object.
    """
    if not given:
        return None
    try:
        state = json.loads(given)
    except ValueError as error:
        raise InvalidEntry(f"{name} {given!r} is no JSON: {error}") from None
    if not isinstance(state, dict):
        raise InvalidEntry(f'{name} {given!r}: a JSON object is needed, such as {{"food": 3}}')
    return state


def written_condition(given: str, name: str = "where") -> tuple[str, Any]:
    """The path and the condition of a text such as ``food=2..4`` or ``mood=calm``.

    Raises:
        InvalidEntry: It is none.
    """
    path, equals, wanted = given.partition("=")
    if not (path and equals):
        raise InvalidEntry(f"{name} {given!r}: write PATH=VALUE, such as food=3")
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
