"""Counts entries by tier and stretches of steps. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from agent_memory.system.pictures.records import Held, Occupancy, Sampled
from agent_memory.values.entry import Tier
from agent_memory.values.query import Hit

MOST_STRETCHES: Final = 60
"""Into how many stretches steps are divided."""


def occupancy_of(whose: str, hits: Sequence[Hit], sampled: Sampled, agents: Sampled) -> Occupancy:
    """Which tier holds the entries of which steps, in stretches of equal length."""
    steps = [hit.entry.step_number for hit in hits]
    first, last = min(steps, default=0), max(steps, default=0)
    width = -(-(last - first + 1) // MOST_STRETCHES)
    counts = Counter(
        ((step - first) // width, hit.tier) for step, hit in zip(steps, hits, strict=True)
    )
    held = tuple(
        Held(
            *_ends(first + place * width, width, last),
            Tier(tier),
            entries,
        )
        for (place, tier), entries in sorted(counts.items())
    )
    return Occupancy(whose, held, sampled, agents)


def _ends(start: int, width: int, last: int) -> tuple[int, int]:
    return start, min(start + width - 1, last)
