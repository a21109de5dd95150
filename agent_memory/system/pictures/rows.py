"""Records as the rows that a chart takes: plain values that JSON has, under short names.

Names are the same whatever contents hold, since a dot or a bracket in the name of a field means
something to Vega. What is no finite number is text here: JSON has no other way.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent_memory.system.pictures.records import Life, Line, Look, Moment, Occupancy, World
from agent_memory.values.entry import Tier
from agent_memory.values.query import Hit
from agent_memory.values.quoting import abbreviated
from agent_memory.values.scalars import plain

Row = dict[str, Any]

_LONGEST = 90
"""Bytes of contents beside a point: 10,000 points make one page."""


def moment_rows(life: Life, *, contents: bool) -> list[Row]:
    """The moments of a timeline.

    Args:
        life: The agent's life.
        contents: Whether each has the beginning of its contents; else its id, to ask for them.
    """
    rows = [_moment_row(moment) for moment in life.moments]
    for row, hit in zip(rows, life.hits, strict=True):
        row.update({"contents": contents_line(hit)} if contents else {"id": hit.entry.memory_id})
    return rows


def _moment_row(moment: Moment) -> Row:
    row: Row = {
        "step": moment.step,
        "type": moment.memory_type.value,
        "tier": moment.tier.name,
        "importance": round(moment.importance, 4),
        "exact": "exact" if moment.is_exact else "within bounds",
    }
    if moment.pinned:
        row["kept"] = "pinned"
    if moment.event:
        row["event"] = moment.event
    return row


def contents_line(hit: Hit) -> str:
    """The beginning of a memory's contents, on one line."""
    line = " ".join(abbreviated(_plain(hit.entry.contents)).split())
    written = line.encode("utf-8", "replace")
    return line if len(written) <= _LONGEST else f"{written[:_LONGEST].decode('utf-8', 'ignore')}…"


def _plain(value: Any, depth: int = 2) -> Any:
    """Numbers of numpy as Python's, as deep as is shown: a line is short."""
    if isinstance(value, Mapping):
        return {key: _plain(each, depth - 1) if depth else each for key, each in value.items()}
    if isinstance(value, list) and depth:
        return [_plain(each, depth - 1) for each in value[:8]]
    if type(value) is tuple and depth:
        return tuple(_plain(each, depth - 1) for each in value[:8])
    return plain(value)


def line_rows(line: Line) -> list[Row]:
    """The points of a line; those that are not finite have text in place of a value."""
    rows: list[Row] = []
    for point in line.points:
        row: Row = {"step": point.step, "tier": point.tier.name}
        if point.is_finite:
            row |= {"value": point.value, "exact": "exact"}
            if point.bound:
                row |= {
                    "low": point.value - point.bound, "high": point.value + point.bound,
                    "bound": point.bound, "exact": "within bounds",
                }  # fmt: skip
        else:
            row |= {"odd": odd_number(point.value)}
        rows.append(row)
    return rows


def odd_number(value: float) -> str:
    """What is no finite number, as text."""
    if math.isnan(value):
        return "NaN"
    return "∞" if value > 0 else "-∞"


def held_rows(occupancy: Occupancy) -> list[Row]:
    """The stretches of steps of an occupancy, the tiers of each on top of each other."""
    rows: list[Row] = []
    tops: Counter[int] = Counter()
    for held in reversed(occupancy.held):  # long-term memory below
        low = tops[held.first_step]
        tops[held.first_step] = high = low + held.entries
        rows.append(
            {
                "from": held.first_step, "to": held.last_step, "until": held.last_step + 1,
                "tier": held.tier.name, "entries": held.entries, "low": low, "high": high,
            }
        )  # fmt: skip
    return rows[::-1]


def growth_rows(looks: Sequence[Look]) -> list[Row]:
    """What the tiers held at some times, on top of each other; times in milliseconds."""
    rows: list[Row] = []
    for look in looks:
        low = 0
        for tier, entries in zip(reversed(Tier), reversed(look.entries), strict=True):
            high = low + entries
            rows.append(
                {"at": round(1e3 * look.at), "tier": tier.name, "entries": entries,
                 "low": low, "high": high}
            )  # fmt: skip
            low = high
    return rows


def speed_rows(looks: Sequence[Look]) -> list[Row]:
    """How fast entries were stored and moved at some times."""
    return [
        {"at": round(1e3 * look.at), "what": what, "speed": round(speed, 2)}
        for look in looks
        for what, speed in (("stores", look.stores), ("moves", look.moves))
        if speed is not None
    ]


def place_rows(world: World) -> list[Row]:
    """The agents of a world, those with a value to colour by marked."""
    return [
        {
            "agent": place.agent_id, "x": place.x, "y": place.y, "tier": place.tier.name,
            "step": place.step, "age": world.step - place.step, "id": place.memory_id,
            "value": finite_or_none(place.value),
        }
        for place in world.places
    ]  # fmt: skip


def finite_or_none(value: float | None) -> float | None:
    """A number that JSON has, or None."""
    return value if value is not None and math.isfinite(value) else None


def extent(numbers: Iterable[float]) -> tuple[float, float]:
    """The least and the greatest of some numbers; 0 and 1 of none, and never the same."""
    found = list(numbers)
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
