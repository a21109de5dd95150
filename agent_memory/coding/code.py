"""The fitted code of contents: one entry, or many at once, to bytes and back."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from agent_memory.coding import rans
from agent_memory.coding.column import Column
from agent_memory.coding.fitting import fit_column
from agent_memory.coding.rans import TOTAL, TOTAL_BITS, Reader, Share, narrowed
from agent_memory.coding.structure import (
    Signature,
    leaf_paths,
    leaf_types,
    put_together,
    take_apart,
)
from agent_memory.coding.tolerances import DEFAULT, Tolerance
from agent_memory.coding.wide import FEWEST, WideFloats, is_plain
from agent_memory.contents import CodeBounds
from agent_memory.errors import EncodingError, InvalidEntry

MOST_SHAPES = 64
"""How many shapes of contents a code knows; others stay as they are."""

LEVELS: Mapping[int, Share] = {2: (0, 15, 4), 1: (15, 1, 4)}
"""The shares of the levels; most of what is kept is kept at level 2."""

AS_EVER: Share = (0, TOTAL - 8, TOTAL_BITS)
"""The share of all paths with one value only having that value."""
NOT_SO: Share = (TOTAL - 8, 8, TOTAL_BITS)
"""The share of one of them having another."""


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
        columns = self.columns
        for at, usual in self._usual:
            leaf = leaves[at]
            # The same object, as None is and small integers are, or else an equal one.
            if leaf is not usual and columns[at].known(leaf) is None:
                return False
        return True

    def floats_at_once(self, leaves: Sequence[Any], level: int) -> dict[int, list[Share]]:
        """The choices of leaves, by place, that are found faster together than one by one."""
        wide = self._wide
        if wide is None:
            return {}
        found = zip(wide.places, wide.shares(leaves, level), strict=True)
        return {place: shares for place, shares in found if shares is not None}

    @cached_property
    def _usual(self) -> tuple[tuple[int, Any], ...]:
        return tuple((at, self.columns[at].values[0]) for at in self.fixed)

    @cached_property
    def _wide(self) -> WideFloats | None:
        plain = [at for at in self.varying if is_plain(self.columns[at])]
        return WideFloats(self.columns, plain) if len(plain) >= FEWEST else None

    def bounds(self, level: int) -> dict[str, float]:
        """How far decoded numbers may be off, by path; those that are exact are absent."""
        found = ((column.path, column.bound(level)) for column in self.columns)
        return {path: bound for path, bound in found if bound is not None}


def _gain(column: Column) -> int:
    """How much its choice tells beside the bits that it takes when it is read last; in integers.

    Both sides work it out for themselves, and logarithms differ in the last place.
    """
    told = sum(width * (TOTAL_BITS + 1 - width.bit_length()) for width in column.widths)
    return told - narrowed(column.widths)[0] * TOTAL


def _is_fixed(column: Column) -> bool:
    return len(column.values) == 1 and column.numbers is None


@dataclass(frozen=True)
class ContentsCode:
    """A code that was fitted to contents. It never changes.

    Attributes:
        shapes: The shapes that it knows, the commonest first.
        widths: The share of each shape.
    """

    shapes: tuple[Shape, ...]
    widths: tuple[int, ...]

    @classmethod
    def fit(
        cls,
        contents: Iterable[Mapping[str, Any]],
        steps: Iterable[int] | None = None,
        tolerances: Mapping[str, Tolerance] | None = None,
        default: Tolerance = DEFAULT,
    ) -> ContentsCode:
        """Fit a code.

        Args:
            contents: What is remembered, a good sample of it.
            steps: The step of each; None: from 0 on.
            tolerances: How far numbers may be off, by path.
            default: The same for all other paths.

        Raises:
            InvalidEntry: There are no contents.
        """
        given = list(contents)
        if not given:
            raise InvalidEntry("there are no contents to fit a code to")
        told = list(range(len(given))) if steps is None else list(steps)
        by_signature: defaultdict[Signature, list[tuple[list[Any], int]]] = defaultdict(list)
        for one, step in zip(given, told, strict=True):
            apart = take_apart(one)
            if apart is not None:
                by_signature[apart[0]].append((apart[1], step))
        sizes = Counter({signature: len(rows) for signature, rows in by_signature.items()})
        kept = [signature for signature, _ in sizes.most_common(MOST_SHAPES)]
        columns = _columns({one: by_signature[one] for one in kept}, tolerances or {}, default)
        shapes = tuple(Shape(one, tuple(columns[key] for key in _keys(one))) for one in kept)
        widths = rans.shares([sizes[one] for one in kept]) if kept else []
        return cls(shapes, tuple(widths))

    def bounds(self, place: int, level: int) -> CodeBounds:
        """How far the numbers of contents may be off, by path; absent ones are exact.

        Args:
            place: The place of their shape.
            level: The level they were coded at.
        """
        if (place, level) not in self._bounds:
            self._bounds[place, level] = CodeBounds(self.shapes[place].bounds(level))
        return self._bounds[place, level]

    @cached_property
    def _bounds(self) -> dict[tuple[int, int], CodeBounds]:
        return {}

    @cached_property
    def bounded_paths(self) -> frozenset[str]:
        """The paths whose numbers may be off at some level."""
        columns = (column for shape in self.shapes for column in shape.columns)
        return frozenset(column.path for column in columns if column.bound(2) is not None)

    @cached_property
    def _by_signature(self) -> dict[Signature, int]:
        return {shape.signature: place for place, shape in enumerate(self.shapes)}

    @cached_property
    def begins(self) -> tuple[int, ...]:
        """Where the share of each shape begins."""
        begins = [0]
        for width in self.widths:
            begins.append(begins[-1] + width)
        return tuple(begins[:-1])

    def shape_of(self, signature: Signature) -> int | None:
        """The place of the shape that contents of a signature have; None if it is not known."""
        return self._by_signature.get(signature)

    def encode(self, contents: Mapping[str, Any], step: int, level: int) -> bytes | None:
        """Code contents.

        Args:
            contents: The contents.
            step: The entry's step, which decoding is to be told too.
            level: 1 or 2.

        Returns:
            Their bytes; None if they have no shape that the code knows.

        Raises:
            InvalidEntry: A value cannot be stored.
        """
        apart = take_apart(contents)
        place = None if apart is None else self.shape_of(apart[0])
        if apart is None or place is None:
            return None
        return self.encode_leaves(place, apart[1], step, level)

    def encode_leaves(self, place: int, leaves: Sequence[Any], step: int, level: int) -> bytes:
        """Code the leaves of contents that have the shape at a place."""
        shape = self.shapes[place]
        shares = [(self.begins[place], self.widths[place], TOTAL_BITS), LEVELS[level]]
        columns = shape.columns
        if shape.is_as_ever(leaves):
            shares.append(AS_EVER)
        else:
            shares.append(NOT_SO)
            for at in shape.fixed:
                columns[at].put(leaves[at], step, level, shares)
        at_once = shape.floats_at_once(leaves, level)
        for at in shape.varying:
            known = at_once.get(at)
            if known is None:
                columns[at].put(leaves[at], step, level, shares)
            else:
                shares.extend(known)
        return rans.encode(shares)

    def decode(self, coded: bytes, step: int) -> tuple[dict[str, Any], int, int]:
        """Give contents back, the place of their shape, and the level they were coded at.

        Raises:
            EncodingError: The bytes are damaged, or not of this code.
        """
        reader = Reader(coded)
        place = self._shape_at(reader.peek())
        reader.take(self.begins[place], self.widths[place])
        level = 2 if reader.peek(4) < LEVELS[2][1] else 1
        reader.take(*LEVELS[level])
        contents = self._read(self.shapes[place], reader, step, level)
        if not reader.finished:
            raise EncodingError("the code of contents is damaged")
        return contents, place, level

    def _read(self, shape: Shape, reader: Reader, step: int, level: int) -> dict[str, Any]:
        leaves: list[Any] = [None] * len(shape.columns)
        as_ever = reader.peek() < AS_EVER[1]
        reader.take(*(AS_EVER if as_ever else NOT_SO))
        for at in shape.fixed:
            column = shape.columns[at]
            leaves[at] = column.values[0] if as_ever else column.get(reader, step, level)
        for at in shape.varying:
            leaves[at] = shape.columns[at].get(reader, step, level)
        try:
            contents: dict[str, Any] = put_together(shape.signature, iter(leaves))
        except (TypeError, ValueError, OverflowError) as error:
            raise EncodingError(f"the code of contents is damaged ({error})") from error
        return contents

    def _shape_at(self, peeked: int) -> int:
        for place in range(len(self.shapes) - 1, -1, -1):
            if self.begins[place] <= peeked:
                return place
        raise EncodingError("this code of contents knows no shape")


_Key = tuple[str, str]


def _keys(signature: Signature) -> list[_Key]:
    """What tells the columns of a shape: paths, and the dtypes of arrays."""
    return list(zip(leaf_paths(signature), leaf_types(signature), strict=True))


def _columns(
    rows: Mapping[Signature, Sequence[tuple[list[Any], int]]],
    tolerances: Mapping[str, Tolerance],
    default: Tolerance,
) -> dict[_Key, Column]:
    """The column of each path; shapes that share a path share its column."""
    values: defaultdict[_Key, list[Any]] = defaultdict(list)
    steps: defaultdict[_Key, list[int]] = defaultdict(list)
    for signature, found in rows.items():
        for place, key in enumerate(_keys(signature)):
            values[key].extend(leaves[place] for leaves, _ in found)
            steps[key].extend(step for _, step in found)
    return {
        key: fit_column(
            key[0],
            values[key],
            steps[key],
            tolerances.get(key[0], default),
            single=key[1] == "<f4",
        )
        for key in values
    }
