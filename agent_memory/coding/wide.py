"""The floats of one wide entry at once: of a hundred leaves each would cost a call of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from agent_memory.coding.column import Column
from agent_memory.coding.numbers import Lattice
from agent_memory.coding.rans import TOTAL, TOTAL_BITS, Share

FEWEST = 24
"""How many such leaves are worth it."""


class WideFloats:
    """The leaves of a shape that are floats on a lattice and nothing else.

    Args:
        columns: The columns of the shape.
        places: The places of those leaves; see ``is_plain``.
    """

    def __init__(self, columns: Sequence[Column], places: Sequence[int]) -> None:
        chosen = [columns[place] for place in places]
        lattices = [one.numbers for one in chosen if isinstance(one.numbers, Lattice)]
        self.places = tuple(places)
        self._origin = np.array([one.origin for one in lattices])
        self._fine = np.array([one.fine for one in lattices])
        self._ratio = np.array([one.ratio for one in lattices], np.int64)
        self._half = self._ratio // 2
        self._bound_1 = np.array([one.bound_1 for one in lattices])
        self._bound_2 = np.array([one.bound_2 for one in lattices])
        self._first = np.array([one.first for one in chosen], np.int64)
        self._buckets = np.array([one.buckets for one in chosen], np.int64)
        lengths = [len(one.widths) for one in chosen]
        self._offset = np.cumsum([0, *lengths[:-1]])
        self._begins = np.concatenate([np.array(one.begins, np.int64) for one in chosen])
        self._widths = np.concatenate([np.array(one.widths, np.int64) for one in chosen])
        self._bits = [one.total_bits for one in chosen]

    def shares(
        self, leaves: Sequence[Any], level: int, offsets: Sequence[int]
    ) -> list[list[Share] | None]:
        """The choices that each of the leaves is; None for those that are to be put alone."""
        values = [leaves[place] for place in self.places]
        if set(map(type, values)) != {float}:
            return [None] * len(values)
        given = np.array(values)
        with np.errstate(all="ignore"):
            places = (given - self._origin) / self._fine
            sound = np.abs(places) < 2**52
            cells = np.rint(np.where(sound, places, 0.0)).astype(np.int64)
            coarse = (cells + self._half) // self._ratio
            whole = coarse * self._ratio
            sound &= np.abs(self._origin + cells * self._fine - given) <= self._bound_1
            sound &= np.abs(self._origin + whole * self._fine - given) <= self._bound_2
        bucket = coarse - self._first - np.array([offsets[place] for place in self.places])
        sound &= (bucket >= 0) & (bucket < self._buckets)
        at = self._offset + np.where(sound, bucket, 0)
        choices = zip(self._begins[at].tolist(), self._widths[at].tolist(), self._bits, strict=True)
        if level == 2:
            found = [[choice] for choice in choices]
        else:
            width = TOTAL // self._ratio
            rest = ((cells - whole + self._half) * width).tolist()
            found = [
                [choice, (begin, wide, TOTAL_BITS)] if wide < TOTAL else [choice]
                for choice, begin, wide in zip(choices, rest, width.tolist(), strict=True)
            ]
        if sound.all():
            return list(found)
        return [one if fits else None for one, fits in zip(found, sound.tolist(), strict=True)]


def is_plain(column: Column) -> bool:
    """Whether floats on a lattice are all that a column has."""
    lattice = column.numbers
    if not isinstance(lattice, Lattice) or lattice.single:
        return False
    return column.kind == "f" and not column.values and column.bits == 0
