"""The shape of contents with the columns of its leaves, and which of those always had one value."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, groupby, repeat, zip_longest
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.fitted.column import UNTOLD, Column, is_same
from agent_memory.compression.fitted.leaves import Reading, reading
from agent_memory.compression.fitted.rans import TOTAL, TOTAL_BITS, Share, narrowed
from agent_memory.compression.fitted.structure import Signature, put_together
from agent_memory.compression.fitted.wide import FEWEST, WideFloats, is_plain
from agent_memory.compression.squeezing import squeeze
from agent_memory.values.contents import pack
from agent_memory.values.sealing import SEAL_BYTES

AS_EVER: Share = (0, TOTAL - 8, TOTAL_BITS)
"""The share of all paths with one value only having that value."""
NOT_SO: Share = (TOTAL - 8, 8, TOTAL_BITS)
"""The share of one of them having another."""


class _Usual(NamedTuple):
    """The leaves of a shape that have had one value each."""

    types: list[type]
    values: list[Any]
    zeros: list[int]
    """Which are 0.0 or -0.0, which are equal."""
    signs: bytes
    """The bytes of those, which are not."""
    doubtful: list[int]
    """Which of the others may be equal and not the same."""


@dataclass(frozen=True)
class Shape:
    """Contents that hang together in one way.

    Attributes:
        signature: How; see ``structure``.
        fitted: The column of each leaf, which shapes with the same path share.
        columns: The same, as they are read here.
        fixed: Places of leaves that have always had one value.
        varying: The places of the others, in the order they are read.
    """

    signature: Signature
    fitted: tuple[Column, ...]
    columns: tuple[Column, ...] = field(init=False)
    fixed: tuple[int, ...] = field(init=False)
    varying: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Tell leaves with one value from the others."""
        columns = list(self.fitted)
        places = range(len(columns))
        fixed = tuple(place for place in places if _is_fixed(columns[place]))
        varying = [place for place in places if place not in {*fixed}]
        object.__setattr__(self, "fixed", fixed)
        if varying:
            last = max(varying, key=lambda place: (_gain(columns[place]), place))
            varying.remove(last)
            varying.append(last)
            columns[last] = columns[last].last()
        object.__setattr__(self, "columns", tuple(columns))
        object.__setattr__(self, "varying", tuple(varying))

    def is_as_ever(self, leaves: Sequence[Any]) -> bool:
        """Whether all paths that have had one value have it."""
        usual = self._usual
        chosen = [leaves[place] for place in self.fixed]
        # All at once: of a wide entry each would cost a call of its own.
        return (
            [*map(type, chosen)] == usual.types
            and chosen == usual.values
            and array("d", [chosen[place] for place in usual.zeros]).tobytes() == usual.signs
            and all(is_same(chosen[place], usual.values[place]) for place in usual.doubtful)
        )

    def put_varying(
        self,
        leaves: Sequence[Any],
        step: int,
        level: int,
        shares: list[Share],
        predicted: NDArray[np.int64] | None,
        offsets: Sequence[int],
        own: list[tuple[int, Any]],
        exact: frozenset[int] = frozenset(),
    ) -> None:
        """Add the choices of the varying leaves, those of many floats found all together.

        Values without a choice go to ``own``, each with the place in ``shares`` to tell it at, and
        so do those whose place is in ``exact``.
        """
        found: Sequence[tuple[Share, ...] | None] = ()
        if self._wide is not None and not exact:
            found = self._wide.shares(leaves, level, predicted)
        for first, places in self._stretches:
            known = found[first : first + len(places)]
            if known and None not in known:
                shares.extend(chain.from_iterable(known))  # type: ignore[arg-type]  # none is None
                continue
            for at, one in zip_longest(places, known):
                if one is not None:
                    shares += one
                    continue
                column = self.columns[at]
                if at in exact:
                    shares.append(column.other_share)
                    own.append((len(shares), leaves[at]))
                    continue
                untold = column.put(leaves[at], step, level, shares, offsets[at])
                if untold is not UNTOLD:
                    own.append((len(shares), untold))

    @cached_property
    def usual(self) -> list[Any]:
        """The leaves, with the values of those that have always had one; None for the others."""
        leaves: list[Any] = [None] * len(self.columns)
        for at in self.fixed:
            leaves[at] = self.columns[at].values[0]
        return leaves

    @cached_property
    def readings(self) -> tuple[tuple[Reading, ...], tuple[Reading, ...]]:
        """How the varying leaves are read at level 1, and at level 2."""
        return tuple(tuple(reading(at, self.columns[at], level) for at in self.varying)
                     for level in (1, 2))  # type: ignore[return-value]  # two levels  # fmt: skip

    @cached_property
    def _usual(self) -> _Usual:
        values = [self.columns[at].values[0] for at in self.fixed]
        zeros = [
            place for place, value in enumerate(values) if type(value) is float and value == 0.0
        ]
        doubtful = [place for place, value in enumerate(values) if isinstance(value, np.generic)]
        signs = array("d", [values[place] for place in zeros]).tobytes()
        return _Usual([*map(type, values)], values, zeros, signs, doubtful)

    @cached_property
    def _wide(self) -> WideFloats | None:
        """What finds the choices of many floats at once."""
        plain = [at for at in self.varying if is_plain(self.columns[at])]
        return WideFloats(self.columns, plain) if len(plain) >= FEWEST else None

    @cached_property
    def _stretches(self) -> list[tuple[int, tuple[int, ...]]]:
        """The varying leaves in stretches, all of which ``_wide`` finds or none.

        With each where it begins among those that are found; beyond them if it is not.
        """
        stretches, before = [], 0
        for plain, some in groupby(self.varying, lambda at: is_plain(self.columns[at])):
            places = tuple(some)
            stretches.append((before if plain else len(self.varying), places))
            before += len(places) if plain else 0
        return stretches

    def least_exact(self, level: int) -> int:
        """How many bytes contents of this shape have at least that are coded exactly.

        What they have with values that take no room: their keys, and a byte for each value.

        Args:
            level: The level that they are stored at.
        """
        if level not in self._least_exact:
            bare = put_together(self.signature, repeat(0))
            packed = pack(bare, shortest=True)
            squeezed = squeeze(packed, level)
            self._least_exact[level] = min(len(packed) + SEAL_BYTES, 1 + len(squeezed or packed))
        return self._least_exact[level]

    @cached_property
    def _least_exact(self) -> dict[int, int]:
        return {}

    def bounds(self, level: int) -> dict[str, float]:
        """How far decoded numbers may be off, by path; those that are exact are absent."""
        found = ((column.path, column.bound(level)) for column in self.columns)
        return {path: bound for path, bound in found if bound is not None}


def _gain(column: Column) -> int:
    """How much its choice tells beside the bits that it takes when it is read last; in integers.

    Both sides work it out for themselves, and logarithms differ in the last place.
    """
    weighted = sum(width * (TOTAL_BITS + 1 - width.bit_length()) for width in column.widths)
    return weighted - narrowed(column.widths)[0] * TOTAL


def _is_fixed(column: Column) -> bool:
    return len(column.values) == 1 and column.numbers is None
