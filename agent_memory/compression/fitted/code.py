"""The fitted code of contents: one entry, or many at once, to bytes and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.fitted import rans
from agent_memory.compression.fitted.column import UNTOLD, are_short, own_shares
from agent_memory.compression.fitted.leaves import Reading, read_leaves, reading
from agent_memory.compression.fitted.numbers import Lattice
from agent_memory.compression.fitted.prediction import Predictor
from agent_memory.compression.fitted.rans import TOTAL_BITS, Reader, Share
from agent_memory.compression.fitted.shape import AS_EVER, NOT_SO, Shape
from agent_memory.compression.fitted.structure import Signature, Whole, put_together, take_apart
from agent_memory.errors import EncodingError
from agent_memory.values.coded import CodeBounds

MOST_SHAPES = 64
"""How many shapes of contents a code knows; others stay as they are."""

PREDICTED = 3
"""The mode of contents at level 2 whose numbers are coded relative to their vector's prediction."""

Modes = Mapping[int, Share]
"""The share of each mode: 1 and 2 for the level, 3 for ``PREDICTED``."""

_MODES: Modes = {2: (0, 15, 4), 1: (15, 1, 4)}  # most of what is kept is kept at level 2
_MODES_WITH_PREDICTION: Modes = {PREDICTED: (0, 12, 4), 2: (12, 3, 4), 1: (15, 1, 4)}


@dataclass(frozen=True)
class ContentsCode:
    """A code that was fitted to contents. It never changes.

    Attributes:
        shapes: The shapes that it knows, the commonest first.
        widths: The share of each shape.
        prediction: What it predicts from vectors; None: nothing.
        whole: Where lists, arrays and dicts are leaves, whatever is in them.
    """

    shapes: tuple[Shape, ...]
    widths: tuple[int, ...]
    prediction: Prediction | None = None
    whole: Whole = field(default_factory=dict)

    @property
    def modes(self) -> Modes:
        """The modes that contents may be coded in."""
        return _MODES if self.prediction is None else _MODES_WITH_PREDICTION

    @property
    def vector_dim(self) -> int:
        """The width of the vectors that it predicts from; 0 if it does not."""
        return 0 if self.prediction is None else self.prediction.predictor.dim

    def predicted(
        self, place: int, vectors: NDArray[np.float32] | None, level: int
    ) -> NDArray[np.int64] | None:
        """The cells that vectors predict for each leaf of a shape.

        Args:
            place: The place of the shape.
            vectors: Of shape (n, dim) or (dim,); None: there are none.
            level: The level; level 1 is not predicted.

        Returns:
            Of shape (n, leaves) or (leaves,), 0 where a leaf is not predicted; None where nothing
            is.
        """
        prediction = self.prediction
        if prediction is None or vectors is None or level != 2:  # the lowest
            return None
        return prediction.offsets(place, vectors)

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
    def lattices(self) -> Mapping[str, frozenset[Lattice]]:
        """The lattices at each path whose numbers may be off at some level."""
        found: dict[str, frozenset[Lattice]] = {}
        for column in (column for shape in self.shapes for column in shape.columns):
            if isinstance(column.numbers, Lattice):
                found[column.path] = found.get(column.path, frozenset()) | {column.numbers}
        return found

    def rounded(self, path: str, value: float, level: int) -> float:
        """A number as it is given back; what the code keeps exact stays as it is.

        Args:
            path: Its path.
            value: The number.
            level: The level: 1 or 2.
        """
        lattice = self._only_lattice.get(path)
        cell = None if lattice is None else lattice.cell(value, level)
        if lattice is None or cell is None:
            return value
        coarse = lattice.coarse(cell)
        return lattice.value(cell) if lattice.has_rest(coarse, level) else lattice.whole(coarse)

    @cached_property
    def _only_lattice(self) -> dict[str, Lattice]:
        """The lattices of paths whose numbers lie on that one alone, whatever their shape."""
        found: dict[str, set[object]] = {}
        for column in (column for shape in self.shapes for column in shape.columns):
            if column.numbers is not None:
                found.setdefault(column.path, set()).add(column.numbers)
        alone = ((path, next(iter(some))) for path, some in found.items() if len(some) == 1)
        return {path: numbers for path, numbers in alone if isinstance(numbers, Lattice)}

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

    def take_apart(self, contents: Mapping[str, Any]) -> tuple[int, list[Any]] | None:
        """The place of the shape of contents, and their leaves; None if it is not known."""
        apart = take_apart(contents, self.whole)
        place = None if apart is None else self.shape_of(apart[0])
        return None if apart is None or place is None else (place, apart[1])

    def encode(
        self,
        contents: Mapping[str, Any],
        step: int,
        level: int,
        vector: NDArray[np.float32] | None = None,
        own: list[Any] | None = None,
    ) -> bytes | None:
        """Code contents.

        Args:
            contents: The contents.
            step: The entry's step, which decoding needs too.
            level: 1 or 2.
            vector: The entry's vector as it will rest, of shape (dim,), which decoding needs too;
                None: nothing is predicted.
            own: Where the values go that no column has a choice for, unless they are short;
                decoding needs them too. None: they all come with their own bytes.

        Returns:
            Their bytes; None if they have no shape that the code knows.

        Raises:
            InvalidEntry: A value cannot be stored.
        """
        apart = self.take_apart(contents)
        if apart is None:
            return None
        place, leaves = apart
        return self.encode_leaves(
            place, leaves, step, level, self.predicted(place, vector, level), own
        )

    def encode_leaves(
        self,
        place: int,
        leaves: Sequence[Any],
        step: int,
        level: int,
        predicted: NDArray[np.int64] | None = None,
        own: list[Any] | None = None,
        exact: frozenset[int] = frozenset(),
    ) -> bytes:
        """Code the leaves of contents that have the shape at a place; see ``encode``.

        Args:
            place: The place of the shape.
            leaves: The leaves.
            step: The entry's step.
            level: 1 or 2.
            predicted: The cells that are predicted; see ``predicted``.
            own: Where values without a choice go; None: with their own bytes.
            exact: The places of leaves that are coded by their own bytes, choice or not.
        """
        mode = level if predicted is None else PREDICTED
        shape = self.shape_at(place, predicted=predicted is not None)
        offsets = self._nothing[place] if predicted is None else predicted.tolist()
        shares = [(self.begins[place], self.widths[place], TOTAL_BITS), self.modes[mode]]
        columns, found = shape.columns, list[tuple[int, Any]]()
        if shape.is_as_ever(leaves):
            shares.append(AS_EVER)
        else:
            shares.append(NOT_SO)
            for at in shape.fixed:
                untold = columns[at].put(leaves[at], step, level, shares)
                if untold is not UNTOLD:
                    found.append((len(shares), untold))
        shape.put_varying(leaves, step, level, shares, predicted, offsets, found, exact)
        if found:
            values = [value for _, value in found]
            if own is not None and not are_short(values):
                own += values
            else:
                for place_in_shares, value in reversed(found):
                    shares[place_in_shares:place_in_shares] = own_shares(value)
        return rans.encode(shares)

    def decode(
        self,
        coded: bytes,
        step: int,
        vector: NDArray[np.float32] | None = None,
        own: Sequence[Any] = (),
    ) -> tuple[dict[str, Any], int, int]:
        """Give contents back, the place of their shape, and the level they were coded at.

        Args:
            coded: Their bytes.
            step: The entry's step.
            vector: The entry's vector; needed where ``encode`` had one.
            own: The values that ``encode`` kept apart.

        Raises:
            EncodingError: The bytes are damaged, or not of this code.
        """
        head = self.head(coded)
        return self.read(head, step, vector, own), head.place, head.level

    def head(self, coded: bytes) -> Head:
        """What the beginning of a message tells.

        Raises:
            EncodingError: This code knows no shape.
        """
        if not self.shapes:
            raise EncodingError("this code of contents knows no shape")
        reader = Reader(coded)
        place = reader.choose(self.begins, self.widths)
        mode = self.mode_at[reader.peek(4)]
        reader.take(*self.modes[mode])
        return Head(place, mode, reader)

    def read(
        self,
        head: Head,
        step: int,
        vector: NDArray[np.float32] | None = None,
        own: Sequence[Any] = (),
    ) -> dict[str, Any]:
        """Give the contents of a message back whose beginning was read; see ``decode``.

        Raises:
            EncodingError: The bytes are damaged, or not of this code.
        """
        place, level, reader = head.place, head.level, head.reader
        predicted = self.predicted(place, vector, level) if head.is_beside_vector else None
        if head.is_beside_vector and predicted is None:
            raise EncodingError("contents were coded beside a vector that is not there any more")
        shape = self.shape_at(place, predicted=predicted is not None)
        given = iter(own) if own else None
        as_ever = reader.peek() < AS_EVER[1]
        reader.take(*(AS_EVER if as_ever else NOT_SO))
        leaves = shape.usual.copy()
        if not as_ever:
            for at in shape.fixed:
                leaves[at] = shape.columns[at].get(reader, step, level, own=given)
        if predicted is None or self.prediction is None:
            readings, offsets = shape.readings[level - 1], self._nothing[place]
        else:
            readings, offsets = self.prediction.readings(place), predicted.tolist()
        read_leaves(readings, leaves, reader, step, level, offsets, given)
        if not reader.finished or (given is not None and next(given, UNTOLD) is not UNTOLD):
            raise EncodingError("the code of contents is damaged")
        return assembled(shape.signature, leaves)

    def shape_at(self, place: int, *, predicted: bool) -> Shape:
        """A shape, with the columns of what lies beyond a prediction or those of all."""
        prediction = self.prediction
        return prediction.shapes[place] if predicted and prediction else self.shapes[place]

    @cached_property
    def mode_at(self) -> tuple[int, ...]:
        """For each of 16 places the mode whose share it lies in."""
        modes = sorted(self.modes, key=lambda mode: self.modes[mode][0])
        return tuple(mode for mode in modes for _ in range(self.modes[mode][1]))

    @cached_property
    def _nothing(self) -> list[list[int]]:
        return [[0] * len(shape.columns) for shape in self.shapes]


class Head(NamedTuple):
    """What the beginning of a message tells.

    Attributes:
        place: The place of the shape.
        mode: The mode; see ``Modes``.
        reader: Reads on from there.
    """

    place: int
    mode: int
    reader: Reader

    @property
    def level(self) -> int:
        """The level the contents were coded at."""
        return 1 if self.mode == 1 else 2

    @property
    def is_beside_vector(self) -> bool:
        """Whether they were coded beside a vector."""
        return self.mode == PREDICTED


def assembled(signature: Signature, leaves: Sequence[Any]) -> dict[str, Any]:
    """Contents of their leaves.

    Raises:
        EncodingError: The leaves are none that contents of this signature can have.
    """
    try:
        contents: dict[str, Any] = put_together(signature, iter(leaves))
    except (TypeError, ValueError, OverflowError) as error:
        raise EncodingError(f"the code of contents is damaged ({error})") from error
    return contents


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a code predicts from vectors.

    Attributes:
        predictor: Gives the cells of some columns.
        shapes: Those of the code, with the columns of what lies beyond the prediction.
        places: For each shape and leaf its place among the predicted columns; -1: it has none.
    """

    predictor: Predictor
    shapes: tuple[Shape, ...]
    places: tuple[NDArray[np.intp], ...]

    def offsets(self, place: int, vectors: NDArray[np.float32]) -> NDArray[np.int64] | None:
        """The cells that are predicted for the leaves of a shape; see ``ContentsCode``."""
        if vectors.shape[-1:] != (self.predictor.dim,):
            return None
        return self._by_shape[place].cells(vectors)

    def exactly(self, place: int, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """The same, of shape (n, leaves), without rounding them to whole cells."""
        return self._by_shape[place].exactly(vectors)

    def readings(self, place: int) -> tuple[Reading, ...]:
        """How the varying leaves of a shape are read."""
        if place not in self._readings:
            shape, places = self.shapes[place], self.places[place]
            self._readings[place] = tuple(
                reading(at, shape.columns[at], 2, predicted=bool(places[at] >= 0))
                for at in shape.varying
            )
        return self._readings[place]

    @cached_property
    def _readings(self) -> dict[int, tuple[Reading, ...]]:
        return {}

    @cached_property
    def _by_shape(self) -> tuple[Predictor, ...]:
        """What predicts each leaf of a shape."""
        return tuple(self.predictor.only(places.tolist()) for places in self.places)
