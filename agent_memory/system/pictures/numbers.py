"""Which numbers contents hold, and which of them say where an agent is. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from agent_memory.errors import InvalidEntry
from agent_memory.retrieval.timeline import history_of
from agent_memory.system.pictures.records import Line, Lines, Point, Position, Sampled
from agent_memory.system.pictures.sampling import evenly, peaks
from agent_memory.values.attributes import checked_path
from agent_memory.values.entry import MemoryType
from agent_memory.values.paths import ABSENT, flattened, value_at
from agent_memory.values.query import Hit
from agent_memory.values.quoting import quoted
from agent_memory.values.scalars import is_number, is_sequence, plain

MOST_LINES: Final = 6
"""How many lines are shown where nobody names them."""

_LOOKED_AT = 200
"""In how many entries names of numbers are looked for."""

_LONGEST_LIST = 3
"""Elements of a list that are lines of their own; longer ones are seldom a few quantities."""

_PLACES = ("position", "pos", "xy", "location", "coordinates", "coords", "cell", "at")
_PAIRS = (("x", "y"), ("pos_x", "pos_y"), ("position_x", "position_y"), ("col", "row"))


def number_of(value: Any) -> float | None:
    """A number as a float, which infinities and NaN are too; None for anything else."""
    value = plain(value)
    if not is_number(value):
        return None
    try:
        return float(value)
    except OverflowError:  # an int beyond any double
        return float("inf") if value > 0 else float("-inf")


def numeric_paths(contents: Iterable[Mapping[Any, Any]]) -> tuple[str, ...]:
    """The paths of numbers in some contents, the most frequent first, then in their own order."""
    met: Counter[str] = Counter()
    for each in contents:
        met.update(path for path, _ in _numbers(each))
    return tuple(path for path, _ in met.most_common())


def _numbers(contents: Mapping[Any, Any]) -> Iterator[tuple[str, float]]:
    for path, value in flattened(contents):
        if is_sequence(value) and len(value) <= _LONGEST_LIST and np.ndim(value) <= 1:
            members = [(f"{path}[{place}]", member) for place, member in enumerate(value)]
        else:
            members = [(path, value)]
        for name, member in members:
            number = number_of(member)
            if number is not None:
                yield name, number


def lines_of(
    agent_id: str, hits: Sequence[Hit], paths: Sequence[str] | None, most_points: int
) -> Lines:
    """How numbers of an agent went.

    Args:
        agent_id: Whose.
        hits: Its entries in the order of steps.
        paths: Which numbers; None: those that most states have.
        most_points: How many points there may be on all lines together.

    Raises:
        InvalidEntry: A path is none.
    """
    if paths is None:
        states = [hit for hit in hits if hit.entry.memory_type is MemoryType.STATE]
        looked_at = evenly(states or hits, _LOOKED_AT)
        found = numeric_paths(hit.entry.contents for hit in looked_at)
        shown, more = found[:MOST_LINES], found[MOST_LINES:]
    else:
        shown, more = tuple(map(checked_path, paths)), ()
    room = max(20, most_points // max(1, len(shown)))
    return Lines(tuple(_line(agent_id, hits, path, room) for path in shown), more)


def _line(agent_id: str, hits: Sequence[Hit], path: str, most: int) -> Line:
    history = history_of(hits, path)
    columns = (history.steps.tolist(), history.values.tolist(), history.bounds.tolist())
    points = [
        Point(step, number, bound, tier)
        for step, value, bound, tier in zip(*columns, history.tiers, strict=True)
        if (number := number_of(value)) is not None
    ]
    kept = peaks(points, most)
    return Line(agent_id, path, tuple(kept), Sampled(len(kept), len(points), "values"))


def declared_position(given: str | Sequence[str]) -> Position:
    """The position that a caller names: a path of two numbers, or the paths of both.

    Raises:
        InvalidEntry: It is neither.
    """
    if isinstance(given, str):
        path = checked_path(given)
        return Position(f"{path}[0]", f"{path}[1]", is_guessed=False)
    if not is_sequence(given) or len(given) != 2:
        raise InvalidEntry(
            f"position: {quoted(given)}: give the path of two numbers, such as 'at', or two paths, "
            "such as ('x', 'y')"
        )
    x, y = map(checked_path, given)
    return Position(x, y, is_guessed=False)


def guessed_position(contents: Sequence[Mapping[Any, Any]]) -> Position | None:
    """Where contents seem to say where an agent is; None where they do not."""
    for each in evenly(contents, _LOOKED_AT):
        by_name = {path.rpartition(".")[2].lower(): path for path, _ in flattened(each)}
        for name in _PLACES:
            path = by_name.get(name)
            if path is not None and place_in(each, f"{path}[0]", f"{path}[1]"):
                return Position(f"{path}[0]", f"{path}[1]", is_guessed=True)
        for first, second in _PAIRS:
            x, y = by_name.get(first), by_name.get(second)
            if x is not None and y is not None and place_in(each, x, y):
                return Position(x, y, is_guessed=True)
    return None


def place_in(contents: Mapping[Any, Any], x: str, y: str) -> tuple[float, float] | None:
    """The finite coordinates that contents hold at two paths; None where they do not."""
    found = [value_at(contents, path) for path in (x, y)]
    numbers = [None if value is ABSENT else number_of(value) for value in found]
    if any(number is None or not np.isfinite(number) for number in numbers):
        return None
    return numbers[0], numbers[1]  # type: ignore[return-value]  # neither is None
