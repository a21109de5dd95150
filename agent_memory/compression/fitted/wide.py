"""The floats of one wide entry at once: of a hundred leaves each would cost a call of its own."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.fitted.column import Column
from agent_memory.compression.fitted.numbers import Lattice
from agent_memory.compression.fitted.rans import TOTAL, TOTAL_BITS, Share

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
        self._chosen = itemgetter(*places)
        self._places = np.array(places, np.intp)
        self._origin = np.array([one.origin for one in lattices])
        self._fine = np.array([one.fine for one in lattices])
        self._ratio = np.array([one.ratio for one in lattices], np.int64)
        self._half = self._ratio // 2
        self._bound_1 = np.array([one.bound_1 for one in lattices])
        self._bound_2 = np.array([one.bound_2 for one in lattices])
        self._low = np.array([one.low for one in lattices])
        self._high = np.array([one.high for one in lattices])
        self._first = np.array([one.first for one in chosen], np.int64)
        self._buckets = np.array([one.buckets for one in chosen], np.uint64)
        self._offset = np.cumsum([0, *(len(one.widths) for one in chosen[:-1])])
        # Made once: making them for each entry takes longer than all that finds them.
        self._shares: list[tuple[Share, ...]] = [
            ((begin, width, one.total_bits),)
            for one in chosen
            for begin, width in zip(one.begins, one.widths, strict=True)
        ]

    def shares(
        self, leaves: Sequence[Any], level: int, predicted: NDArray[np.int64] | None
    ) -> Sequence[tuple[Share, ...] | None]:
        """The choices that each of the leaves is; None for those that are to be put alone.

        Args:
            leaves: All leaves of the contents.
            level: The level.
            predicted: The cells that are predicted for all leaves, of shape (leaves,).
        """
        values = self._chosen(leaves)
        if set(map(type, values)) != {float}:
            return [None] * len(values)
        given = np.array(values)
        with np.errstate(all="ignore"):
            places = np.rint((given - self._origin) / self._fine)
            if not (np.abs(places) < 2**52).all():
                return [None] * len(values)
            cells = places.astype(np.int64)
            coarse = (cells + self._half) // self._ratio
            whole = coarse * self._ratio
            sound = np.abs(self._origin + places * self._fine - given) <= self._bound_1
            sound &= np.abs(self._origin + whole * self._fine - given) <= self._bound_2
            # Within what was learned the ends of the range are as near as their cells or nearer;
            # what lies outside is looked at alone.
            sound &= (self._low <= given) & (given <= self._high)
        bucket = coarse - self._first
        if predicted is not None:
            bucket -= predicted[self._places]
        sound &= bucket.view(np.uint64) < self._buckets  # one below 0 is beyond all of them
        all_sound = bool(sound.all())
        at = self._offset + (bucket if all_sound else np.where(sound, bucket, 0))
        found = [self._shares[choice] for choice in at.tolist()]
        if level == 1:
            width = TOTAL // self._ratio
            rest = ((cells - whole + self._half) * width).tolist()
            found = [
                (*choice, (begin, wide, TOTAL_BITS)) if wide < TOTAL else choice
                for choice, begin, wide in zip(found, rest, width.tolist(), strict=True)
            ]
        if all_sound:
            return found
        return [one if fits else None for one, fits in zip(found, sound.tolist(), strict=True)]


def is_plain(column: Column) -> bool:
    """Whether floats on a lattice are all that a column has."""
    lattice = column.numbers
    if not isinstance(lattice, Lattice) or lattice.single:
        return False
    return column.kind == "f" and not column.values and column.bits == 0
