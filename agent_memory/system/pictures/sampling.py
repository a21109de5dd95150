"""Which of many things are shown. No I/O, nothing random: the same picture twice is the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from agent_memory.system.pictures.records import Point

T = TypeVar("T")


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most so many of some items, evenly spaced, the first and the last among them."""
    count = len(items)
    if count <= most:
        return list(items)
    if most < 2:
        return list(items[:most])
    return [items[place * (count - 1) // (most - 1)] for place in range(most)]


def peaks(points: Sequence[Point], most: int) -> list[Point]:
    """At most so many points of a line, so that no peak is lost.

    Of each stretch of equal length the lowest and the highest are kept. Numbers that are not
    finite have no place among them: they are chosen evenly, for a tenth of the room.

    Args:
        points: In the order of steps.
        most: How many, 20 or more.
    """
    if len(points) <= most:
        return list(points)
    odd = [point for point in points if not point.is_finite]
    kept = evenly(odd, most // 10)
    finite = [point for point in points if point.is_finite]
    stretches = (most - len(kept)) // 2
    for place in range(min(stretches, len(finite))):
        start, end = (len(finite) * edge // stretches for edge in (place, place + 1))
        stretch = finite[start:end]
        if stretch:
            low = min(stretch, key=lambda point: point.value)
            high = max(stretch, key=lambda point: point.value)
            kept += [low] if low is high else [low, high]
    return sorted(kept, key=lambda point: point.step)
