"""The fitted code of contents: one entry, or many at once, to bytes and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.fitted import rans
from agent_memory.compression.fitted.numbers import Lattice
from agent_memory.compression.fitted.prediction import Predictor
from agent_memory.compression.fitted.rans import TOTAL_BITS, Reader, Share
from agent_memory.compression.fitted.shape import AS_EVER, NOT_SO, Shape
from agent_memory.compression.fitted.structure import Signature, put_together, take_apart
from agent_memory.errors import EncodingError
from agent_memory.values.coded import CodeBounds

MOST_SHAPES = 64
"""How many shapes of contents a code knows; others stay as they are."""

PREDICTED = 3
"""The mode of contents at level 2 whose numbers are told beside what their vector predicts."""

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
    """

    shapes: tuple[Shape, ...]
    widths: tuple[int, ...]
    prediction: Prediction | None = None

    @property
    def modes(self) -> Modes:
        """The modes that contents may be coded in."""
        return _MODES if self.prediction is None else _MODES_WITH_PREDICTION

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

    def encode(
        self,
        contents: Mapping[str, Any],
        step: int,
        level: int,
        vector: NDArray[np.float32] | None = None,
    ) -> bytes | None:
        """Code contents.

        Args:
            contents: The contents.
            step: The entry's step, which decoding is to be told too.
            level: 1 or 2.
            vector: The entry's vector as it will rest, of shape (dim,), which decoding is to be
                told too; None: nothing is predicted.

        Returns:
            Their bytes; None if they have no shape that the code knows.

        Raises:
            InvalidEntry: A value cannot be stored.
        """
        apart = take_apart(contents)
        place = None if apart is None else self.shape_of(apart[0])
        if apart is None or place is None:
            return None
        return self.encode_leaves(
            place, apart[1], step, level, self.predicted(place, vector, level)
        )

    def encode_leaves(
        self,
        place: int,
        leaves: Sequence[Any],
        step: int,
        level: int,
        predicted: NDArray[np.int64] | None = None,
    ) -> bytes:
        """Code the leaves of contents that have the shape at a place; see ``predicted``."""
        mode = level if predicted is None else PREDICTED
        shape, offsets = self._view(place, predicted)
        shares = [(self.begins[place], self.widths[place], TOTAL_BITS), self.modes[mode]]
        columns = shape.columns
        if shape.is_as_ever(leaves):
            shares.append(AS_EVER)
        else:
            shares.append(NOT_SO)
            for at in shape.fixed:
                columns[at].put(leaves[at], step, level, shares)
        shape.put_varying(leaves, step, level, shares, predicted, offsets)
        return rans.encode(shares)

    def decode(
        self, coded: bytes, step: int, vector: NDArray[np.float32] | None = None
    ) -> tuple[dict[str, Any], int, int]:
        """Give contents back, the place of their shape, and the level they were coded at.

        Args:
            coded: Their bytes.
            step: The entry's step.
            vector: The entry's vector; needed where ``encode`` had one.

        Raises:
            EncodingError: The bytes are damaged, or not of this code.
        """
        reader = Reader(coded)
        place = self._shape_at(reader.peek())
        reader.take(self.begins[place], self.widths[place])
        mode = mode_at(self.modes, reader.peek(4))
        reader.take(*self.modes[mode])
        level = 1 if mode == 1 else 2
        predicted = self.predicted(place, vector, level) if mode == PREDICTED else None
        if mode == PREDICTED and predicted is None:
            raise EncodingError("contents were coded beside a vector that is not there any more")
        shape, offsets = self._view(place, predicted)
        contents = self._read(shape, reader, step, level, offsets)
        if not reader.finished:
            raise EncodingError("the code of contents is damaged")
        return contents, place, level

    def is_beside_vector(self, coded: bytes) -> bool:
        """Whether contents were coded beside a vector, as far as their beginning tells."""
        if self.prediction is None:
            return False
        reader = Reader(coded)
        place = self._shape_at(reader.peek())
        reader.take(self.begins[place], self.widths[place])
        return mode_at(self.modes, reader.peek(4)) == PREDICTED

    def shape_at(self, place: int, *, predicted: bool) -> Shape:
        """A shape, with the columns of what lies beyond a prediction or those of all."""
        prediction = self.prediction
        return prediction.shapes[place] if predicted and prediction else self.shapes[place]

    def _view(self, place: int, predicted: NDArray[np.int64] | None) -> tuple[Shape, Sequence[int]]:
        """The columns of a shape as they are read, and what is predicted for each leaf."""
        if predicted is None or self.prediction is None:
            return self.shapes[place], self._nothing[place]
        return self.prediction.shapes[place], predicted.tolist()

    @cached_property
    def _nothing(self) -> list[list[int]]:
        return [[0] * len(shape.columns) for shape in self.shapes]

    def _read(
        self, shape: Shape, reader: Reader, step: int, level: int, offsets: Sequence[int]
    ) -> dict[str, Any]:
        leaves: list[Any] = [None] * len(shape.columns)
        as_ever = reader.peek() < AS_EVER[1]
        reader.take(*(AS_EVER if as_ever else NOT_SO))
        for at in shape.fixed:
            column = shape.columns[at]
            leaves[at] = column.values[0] if as_ever else column.get(reader, step, level)
        for at in shape.varying:
            leaves[at] = shape.columns[at].get(reader, step, level, offsets[at])
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


def mode_at(modes: Modes, peeked: int) -> int:
    """The mode whose share of 16 a place lies in."""
    return max((mode for mode in modes if modes[mode][0] <= peeked), key=lambda one: modes[one][0])


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

    @cached_property
    def _by_shape(self) -> tuple[Predictor, ...]:
        """What predicts each leaf of a shape."""
        return tuple(self.predictor.only(places.tolist()) for places in self.places)
