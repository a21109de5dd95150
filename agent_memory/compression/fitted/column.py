"""How the values at one path are coded: which choices there are, and the share of each.

The choices are, in this order: values that were seen often, each exactly; buckets of neighbouring
cells of numbers; and one for all else, which is followed by the value's own bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import copysign
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.fitted.numbers import TYPES, Integers, Lattice
from agent_memory.compression.fitted.rans import TOTAL, TOTAL_BITS, Reader, Share, narrowed
from agent_memory.errors import EncodingError
from agent_memory.values.contents import packed_apart, unpack

MOST_CHOICES = 1024
"""Values and buckets that a column has at most."""

UNTOLD = object()
"""Stands for what a choice alone does not tell."""

_CHUNK = 12  # bits that are coded at once within a bucket
_BYTE: tuple[Share, ...] = tuple((byte, 1, 8) for byte in range(256))
_SHORT = 32  # bytes
_NINE_BYTES = frozenset({int, float, bool, type(None)})  # or fewer, but of huge integers
LONG = 255  # a length of so many bytes or more takes four further bytes
_AS_THEY_SEEM = frozenset({int, str, bool, bytes, type(None)})  # equal is the same
_PREFIX = packed_apart({"": None})[:-1]  # of a map around its one value
_BEFORE = len(_PREFIX)


@dataclass(frozen=True)
class Column:
    """The code of the values at a path.

    Where numbers are predicted, ``first`` and the buckets are of what cells are beyond that.

    Attributes:
        path: The path.
        values: Values that have a choice of their own.
        kind: The letter of the numbers' type (``numbers.TYPES``); "" without numbers.
        numbers: Where the numbers lie; None without.
        first: The coarse cell at which the first bucket begins.
        bits: Each bucket has 2 to the power of so many coarse cells.
        widths: The shares of all choices.
        total_bits: The power of two that they add up to.
    """

    path: str
    values: tuple[Any, ...]
    kind: str
    numbers: Lattice | Integers | None
    first: int
    bits: int
    widths: tuple[int, ...]
    total_bits: int = TOTAL_BITS
    begins: tuple[int, ...] = field(init=False, repr=False, compare=False)
    index: dict[Any, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Derive what coding looks up."""
        begins = [0]
        for width in self.widths[:-1]:
            begins.append(begins[-1] + width)
        object.__setattr__(self, "begins", tuple(begins))
        index = {(type(value), value): place for place, value in enumerate(self.values)}
        object.__setattr__(self, "index", index)

    @property
    def buckets(self) -> int:
        """How many buckets of cells there are."""
        return len(self.widths) - 1 - len(self.values)

    @property
    def other(self) -> int:
        """The choice for all that has none of its own."""
        return len(self.widths) - 1

    @property
    def other_share(self) -> Share:
        """The share of that choice."""
        return self.begins[-1], self.widths[-1], self.total_bits

    def bound(self, level: int) -> float | None:
        """How far a decoded number may be off; None where all are exact."""
        if not isinstance(self.numbers, Lattice):
            return None
        return self.numbers.bound_1 if level == 1 else self.numbers.bound_2

    @cached_property
    def table(self) -> NDArray[np.intp]:
        """For each place in the whole the choice whose share it lies in."""
        return np.repeat(np.arange(len(self.widths), dtype=np.intp), self.widths)

    # -- one value ----------------------------------------------------------------------------

    def put(
        self,
        value: Any,
        step: int,
        level: int,
        shares: list[Share],
        predicted: int = 0,
    ) -> Any:
        """Add the choices that a value is, in the order they are read.

        Args:
            value: The value.
            step: The entry's step.
            level: 1 or 2.
            shares: Where the choices go.
            predicted: The coarse cell that is predicted.

        Returns:
            The value if it has no choice of its own, so that it has to be stored elsewhere; else
            ``UNTOLD``.
        """
        known = self.known(value)
        if known is not None:
            shares.append((self.begins[known], self.widths[known], self.total_bits))
            return UNTOLD
        cell = self._cell(value, step, level, predicted)
        if cell is None:
            shares.append(self.other_share)
            return value
        numbers = self.numbers
        ratio = numbers.ratio if numbers is not None else 1
        coarse = (cell + ratio // 2) // ratio
        bucket, within = divmod(coarse - predicted - self.first, 1 << self.bits)
        choice = len(self.values) + bucket
        shares.append((self.begins[choice], self.widths[choice], self.total_bits))
        for shift, bits in chunks(self.bits):
            shares.append(((within >> shift) & ((1 << bits) - 1), 1, bits))
        if isinstance(numbers, Lattice) and numbers.has_rest(coarse, level):
            width = TOTAL // ratio
            shares.append(((cell - coarse * ratio + ratio // 2) * width, width, TOTAL_BITS))
        return UNTOLD

    def get(
        self,
        reader: Reader,
        step: int,
        level: int,
        predicted: int = 0,
        own: Iterator[Any] | None = None,
    ) -> Any:
        """Read a value.

        Args:
            reader: Of the message.
            step: The entry's step.
            level: 1 or 2.
            predicted: The coarse cell that is predicted.
            own: Gives the values that had no choice of their own; None: their bytes follow.

        Raises:
            EncodingError: The bytes are damaged.
        """
        choice = reader.choose(self.begins, self.widths, self.total_bits)
        if choice < len(self.values):
            return self.values[choice]
        return self.chosen(choice, reader, step, level, predicted, own)

    def chosen(
        self,
        choice: int,
        reader: Reader,
        step: int,
        level: int,
        predicted: int,
        own: Iterator[Any] | None,
    ) -> Any:
        """The value of a choice that is none of ``values``; see ``get``."""
        if choice == self.other:
            return read_own(reader) if own is None else _next(own)
        numbers = self.numbers
        coarse = self.first + predicted + (choice - len(self.values) << self.bits)
        for shift, bits in chunks(self.bits):
            part = reader.peek(bits)
            reader.take(part, 1, bits)
            coarse += part << shift
        if not isinstance(numbers, Lattice):
            return self._integer(coarse if numbers is None else numbers.value(coarse, step))
        if not numbers.has_rest(coarse, level):
            return TYPES[self.kind](numbers.whole(coarse))
        width = TOTAL // numbers.ratio
        part = reader.peek() // width
        if part >= numbers.ratio:
            raise EncodingError("the code of a number is damaged")
        reader.take(part * width, width)
        return TYPES[self.kind](numbers.value(coarse * numbers.ratio + part - numbers.ratio // 2))

    def value_of(self, choice: int, level: int) -> Any:
        """The value of a choice; ``UNTOLD`` if that takes a prediction or anything further.

        Args:
            choice: The choice.
            level: 1 or 2.
        """
        known, numbers = len(self.values), self.numbers
        if choice < known:
            return self.values[choice]
        if choice == self.other or self.bits:
            return UNTOLD
        coarse = self.first + choice - known
        if isinstance(numbers, Lattice):
            rest = numbers.has_rest(coarse, level)
            return UNTOLD if rest else TYPES[self.kind](numbers.whole(coarse))
        if numbers is None or numbers.with_step:
            return UNTOLD
        try:
            return TYPES[self.kind](numbers.value(coarse, 0))
        except OverflowError:  # a cell that no number of the type lies in
            return UNTOLD

    def last(self) -> Column:
        """The same with shares of a smaller whole, for the leaf that is read last."""
        bits, widths = narrowed(self.widths)
        return replace(self, widths=widths, total_bits=bits)

    def known(self, value: Any) -> int | None:
        """The choice of a value that has one of its own."""
        if not self.index:
            return None
        try:
            found = self.index.get((type(value), value))
        except (TypeError, ValueError):  # a list where none was expected, or a span without unit
            return None
        if found is None or type(value) in _AS_THEY_SEEM:
            return found
        return found if is_same(value, self.values[found]) else None

    def lies_outside(self, value: Any) -> bool:
        """Whether a float is none that the lattice holds, and comes with its own bytes."""
        return self.known(value) is None and self._cell(value, 0, 2, 0) is None

    def _cell(self, value: Any, step: int, level: int, predicted: int) -> int | None:
        """The fine cell of a number that lies in a bucket."""
        numbers = self.numbers
        if numbers is None or type(value) is not TYPES[self.kind]:
            return None
        if isinstance(numbers, Lattice):
            cell = numbers.cell(float(value), level)
            coarse = None if cell is None else numbers.coarse(cell)
        else:
            cell = coarse = numbers.cell(int(value), step)
        if coarse is None:
            return None
        bucket = (coarse - predicted - self.first) >> self.bits
        return cell if 0 <= bucket < self.buckets else None

    def _integer(self, value: int) -> Any:
        try:
            return TYPES[self.kind](value)
        except (KeyError, OverflowError) as error:
            raise EncodingError("the code of a number is damaged") from error


def is_same(one: Any, other: Any) -> bool:
    """Whether two values of a type that are equal are the same, as 0.0 and -0.0 are not.

    Nor are NumPy's of different units.
    """
    if isinstance(one, np.generic):
        return bool(one.dtype == other.dtype and one.tobytes() == other.tobytes())
    return not isinstance(one, float) or copysign(1.0, one) == copysign(1.0, other)


def chunks(bits: int) -> list[tuple[int, int]]:
    """How the place within a bucket is cut: where each part begins, and its bits; highest first."""
    parts = []
    while bits > 0:
        taken = min(bits, _CHUNK)
        parts.append((bits - taken, taken))
        bits -= taken
    return parts


def own_shares(value: Any) -> list[Share]:
    """The choices that a value's own bytes are, which follow that of ``other``.

    Raises:
        InvalidEntry: The value cannot be stored.
    """
    packed = packed_apart({"": value})[_BEFORE:]
    length = [len(packed)] if len(packed) < LONG else [LONG, *len(packed).to_bytes(4, "big")]
    return [_BYTE[byte] for byte in (*length, *packed)]


def are_short(values: Sequence[Any]) -> bool:
    """Whether the own bytes of values are few, as of numbers and short words."""
    left = _SHORT
    for value in values:
        kind = type(value)
        if kind is str or kind is bytes:
            left -= 2 + len(value)
        elif kind in _NINE_BYTES or isinstance(value, np.generic):
            left -= 9
        else:
            return False
    return left >= 0


def read_own(reader: Reader) -> Any:
    """Read a value that comes with its own bytes.

    Raises:
        EncodingError: They are damaged.
    """
    length = reader.take_bytes(1)[0]
    if length == LONG:
        length = int.from_bytes(reader.take_bytes(4), "big")
    if length > reader.left:
        raise EncodingError("the code of contents is damaged, or only its beginning is there")
    return own_of(reader.take_bytes(length))


def own_of(packed: bytes) -> Any:
    """The value that has these bytes of its own.

    Raises:
        EncodingError: They are damaged.
    """
    return unpack(_PREFIX + packed)[""]


def _next(own: Iterator[Any]) -> Any:
    value = next(own, UNTOLD)
    if value is UNTOLD:
        raise EncodingError("the code of contents is damaged, or only its beginning is there")
    return value
