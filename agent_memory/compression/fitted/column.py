"""How the values at one path are coded: which choices there are, and the share of each.

The choices are, in this order: values that were seen often, each exactly; buckets of neighbouring
cells of numbers; and one for all else, which is followed by the value's own bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from math import copysign
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.fitted.numbers import TYPES, Integers, Lattice
from agent_memory.compression.fitted.rans import TOTAL, TOTAL_BITS, Reader, Share, narrowed
from agent_memory.errors import EncodingError
from agent_memory.values.contents import pack, unpack

MOST_CHOICES = 1024
"""Values and buckets that a column has at most."""

_CHUNK = 12  # bits that are coded at once within a bucket
_BYTE: tuple[Share, ...] = tuple((byte, 1, 8) for byte in range(256))
_LONG = 255  # a length of so many bytes or more is told in four further bytes
_AS_THEY_SEEM = frozenset({int, str, bool, bytes, type(None)})  # equal is the same
_BEFORE = len(pack({"": None})) - 1  # bytes of a map around its one value


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
        self, value: Any, step: int, level: int, shares: list[Share], predicted: int = 0
    ) -> None:
        """Add the choices that a value is, in the order they are read."""
        known = self.known(value)
        if known is not None:
            shares.append((self.begins[known], self.widths[known], self.total_bits))
            return
        cell = self._cell(value, step, predicted)
        if cell is None:
            self._put_own(value, shares)
            return
        numbers = self.numbers
        ratio = numbers.ratio if numbers is not None else 1
        coarse = (cell + ratio // 2) // ratio
        bucket, within = divmod(coarse - predicted - self.first, 1 << self.bits)
        choice = len(self.values) + bucket
        shares.append((self.begins[choice], self.widths[choice], self.total_bits))
        for shift, bits in chunks(self.bits):
            shares.append(((within >> shift) & ((1 << bits) - 1), 1, bits))
        if level == 1 and ratio > 1:
            width = TOTAL // ratio
            shares.append(((cell - coarse * ratio + ratio // 2) * width, width, TOTAL_BITS))

    def get(self, reader: Reader, step: int, level: int, predicted: int = 0) -> Any:
        """Read a value.

        Raises:
            EncodingError: The bytes are damaged.
        """
        choice = reader.choose(self.begins, self.widths, self.total_bits)
        bucket = choice - len(self.values)
        if bucket < 0:
            return self.values[choice]
        if choice == len(self.widths) - 1:  # ``other``
            return _own(reader)
        if level == 2 and (lattice := self._lowest) is not None:
            if not predicted:
                return self._coarse_values[bucket]
            kind = TYPES[self.kind]
            return kind(lattice.value((self.first + predicted + bucket) * lattice.ratio))
        coarse = self.first + predicted + (bucket << self.bits)
        for shift, bits in chunks(self.bits):
            part = reader.peek(bits)
            reader.take(part, 1, bits)
            coarse += part << shift
        numbers = self.numbers
        if not isinstance(numbers, Lattice):
            return self._integer(coarse if numbers is None else numbers.value(coarse, step))
        cell = coarse * numbers.ratio
        if level == 1 and numbers.ratio > 1:
            width = TOTAL // numbers.ratio
            part = reader.peek() // width
            if part >= numbers.ratio:
                raise EncodingError("the code of a number is damaged")
            reader.take(part * width, width)
            cell += part - numbers.ratio // 2
        return TYPES[self.kind](numbers.value(cell))

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
        except TypeError:  # a list, say, where none was expected
            return None
        if found is None or type(value) in _AS_THEY_SEEM:
            return found
        return found if is_same(value, self.values[found]) else None

    def lies_outside(self, value: Any) -> bool:
        """Whether a float is none that the lattice holds, and comes with its own bytes."""
        return self.known(value) is None and self._cell(value, 0, 0) is None

    def _cell(self, value: Any, step: int, predicted: int) -> int | None:
        """The fine cell of a number that lies in a bucket."""
        numbers = self.numbers
        if numbers is None or type(value) is not TYPES[self.kind]:
            return None
        if isinstance(numbers, Lattice):
            cell = numbers.cell(float(value))
            coarse = None if cell is None else numbers.coarse(cell)
        else:
            cell = coarse = numbers.cell(int(value), step)
        if coarse is None:
            return None
        bucket = (coarse - predicted - self.first) >> self.bits
        return cell if 0 <= bucket < self.buckets else None

    @cached_property
    def _lowest(self) -> Lattice | None:
        """The lattice, where its cells at level 2 are the buckets."""
        return self.numbers if self.bits == 0 and isinstance(self.numbers, Lattice) else None

    @cached_property
    def _coarse_values(self) -> list[Any]:
        """The value of each bucket, where one has one coarse cell."""
        numbers, kind = self.numbers, TYPES[self.kind]
        if not isinstance(numbers, Lattice):
            return []
        cells = range(self.first, self.first + self.buckets)
        return [kind(numbers.value(cell * numbers.ratio)) for cell in cells]

    def _integer(self, value: int) -> Any:
        try:
            return TYPES[self.kind](value)
        except (KeyError, OverflowError) as error:
            raise EncodingError("the code of a number is damaged") from error

    def _put_own(self, value: Any, shares: list[Share]) -> None:
        shares.append((self.begins[-1], self.widths[-1], self.total_bits))
        own = pack({"": value})[_BEFORE:]
        if len(own) < _LONG:
            shares.append(_BYTE[len(own)])
        else:
            shares.append(_BYTE[_LONG])
            shares.extend(_BYTE[byte] for byte in len(own).to_bytes(4, "big"))
        shares.extend(_BYTE[byte] for byte in own)


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


def _own(reader: Reader) -> Any:
    """Read a value that comes with its own bytes."""
    length = _byte(reader)
    if length == _LONG:
        length = int.from_bytes(bytes([_byte(reader) for _ in range(4)]), "big")
    if length > reader.left:
        raise EncodingError("the code of contents is damaged, or only its beginning is there")
    own = bytes([_byte(reader) for _ in range(length)])
    return unpack(pack({"": None})[:_BEFORE] + own)[""]


def _byte(reader: Reader) -> int:
    byte = reader.peek(8)
    reader.take(byte, 1, 8)
    return byte
