"""How the features of states become rows of numbers, as learned from states, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.features import Value, flatten
from agent_memory.embeddings.paths import unflatten

OTHER = "(other)"
"""What a category decodes to that is none of those the schema knows."""

EXTREME = 1e150
"""Numbers beyond this, infinite ones too, count as this, so that no difference overflows."""

NumberKind = Literal["float", "integer", "truth"]


@dataclass(frozen=True, slots=True)
class Number:
    """A path that holds numbers or truths.

    Attributes:
        path: Its name.
        kind: What it decodes to.
        centre: The median, in the unit of the numbers.
        scale: The spread that is robust against outliers (interquartile range over 1.349), in
            the same unit.
        compressed: Whether outliers are drawn in: the scaled number is its inverse hyperbolic
            sine.
        spread: Standard deviation of the scaled numbers, which are divided by it.
        low: The least scaled number; lower ones count as it.
        high: The greatest.
        optional: Whether it was missing in some states, so that a column tells if it is there.
        weight: What the scaled number is multiplied with at last.
    """

    path: str
    kind: NumberKind
    centre: float
    scale: float
    compressed: bool
    spread: float
    low: float
    high: float
    optional: bool
    weight: float


@dataclass(frozen=True, slots=True)
class Category:
    """A path that holds texts.

    Attributes:
        path: Its name.
        values: Those with a column of their own, the commonest first; one more column is for
            all others.
        optional: Whether it was missing in some states.
    """

    path: str
    values: tuple[str, ...]
    optional: bool


@dataclass(frozen=True, eq=False)
class FeatureSchema:
    """Turns states into rows and back; made by ``fit_schema``.

    Columns are the numbers, then one for each optional number, then those of the categories,
    then ``buckets`` that all other paths share by their hash.

    Attributes:
        numbers: Paths of numbers.
        categories: Paths of texts.
        buckets: How many columns the rarest paths share; 0 where each has its own.
        means: Of each column over the fitted states, float64 of shape (width,); rows are
            relative to them.
    """

    numbers: tuple[Number, ...]
    categories: tuple[Category, ...]
    buckets: int
    means: NDArray[np.float64]
    _place: dict[str, int] = field(init=False, repr=False)
    _choice: dict[str, dict[str, int]] = field(init=False, repr=False)
    _constants: _Constants = field(init=False, repr=False)

    def __post_init__(self) -> None:
        places = {number.path: place for place, number in enumerate(self.numbers)}
        object.__setattr__(self, "_place", places)
        optional = [place for place, number in enumerate(self.numbers) if number.optional]
        choices, begin = {}, len(self.numbers) + len(optional)
        for category in self.categories:
            names = (*category.values, OTHER)
            choices[category.path] = {name: begin + place for place, name in enumerate(names)}
            begin += len(names)
        object.__setattr__(self, "_choice", choices)
        object.__setattr__(self, "_constants", _Constants.of(self.numbers, optional))

    @property
    def width(self) -> int:
        """How many columns a row has."""
        columns = sum(len(category.values) + 1 for category in self.categories)
        return len(self.numbers) + len(self._constants.optional) + columns + self.buckets

    def rows(self, states: Iterable[object]) -> NDArray[np.float64]:
        """Scale states to rows of shape (n, width).

        Raises:
            InvalidEntry: One of them is no state.
        """
        return self.rows_of([flatten(state) for state in states])

    def rows_of(self, flats: Sequence[dict[str, Value]]) -> NDArray[np.float64]:
        """Scale states whose features are named already."""
        columns = self.columns_of(flats)
        columns -= self.means
        return columns

    def columns_of(self, flats: Sequence[dict[str, Value]]) -> NDArray[np.float64]:
        """Rows before the means are taken off."""
        columns = np.zeros((len(flats), self.width))
        given, marks = self._sorted_out(flats, columns)
        raw = np.full((len(flats), len(self.numbers)), np.nan)
        raw[given.rows, given.places] = given.values
        present = ~np.isnan(raw)
        count, optional = len(self.numbers), self._constants.optional
        columns[:, :count] = np.where(present, self._constants.scaled(raw), 0.0)
        columns[:, count : count + len(optional)] = present[:, optional]
        columns[marks.rows, marks.places] = 1.0
        return columns

    def states(self, rows: NDArray[np.floating[Any]]) -> list[dict[Any, Any]]:
        """Build the states that rows of shape (n, width) stand for, as well as they can be rebuilt.

        Integers and truths are rounded to such, texts are the likeliest, and what is missing is
        absent. For what becomes of lists see ``paths.unflatten``.
        """
        columns = np.asarray(rows, np.float64) + self.means
        numbers = self._constants.original(columns[:, : len(self.numbers)])
        return [self._state(row, values) for row, values in zip(columns, numbers, strict=True)]

    def _state(self, row: NDArray[np.float64], values: NDArray[np.float64]) -> dict[Any, Any]:
        flat: dict[str, Any] = {}
        presence = dict(zip(self._constants.optional, row[len(self.numbers) :], strict=False))
        for place, (number, value) in enumerate(zip(self.numbers, values, strict=True)):
            if presence.get(place, 1.0) >= 0.5:
                flat[number.path] = _as(number.kind, float(value))
        for category in self.categories:
            choice = self._choice[category.path]
            likeliest = max(choice, key=lambda name: row[choice[name]])
            if not category.optional or row[choice[likeliest]] >= 0.5:
                flat[category.path] = likeliest
        return unflatten(flat)

    def _sorted_out(
        self, flats: Sequence[dict[str, Value]], columns: NDArray[np.float64]
    ) -> tuple[_Given, _Given]:
        """The numbers and the marks; what has no column is added to its bucket at once."""
        numbers, marks = _Given(), _Given()
        place_of, choice_of = self._place, self._choice
        for row, flat in enumerate(flats):
            for path, value in flat.items():
                if type(value) is str:
                    choice = choice_of.get(path)
                    if choice is not None:
                        marks.add(row, choice.get(value, choice[OTHER]), 1.0)
                        continue
                elif path in place_of:
                    numbers.add(row, place_of[path], value)  # type: ignore[arg-type]  # no text
                    continue
                if self.buckets:
                    place, share = _bucket(path, value, self.buckets)
                    columns[row, place - self.buckets] += share
        return numbers, marks


class _Given:
    """Values of single cells, gathered before they are put down at once."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.places: list[int] = []
        self.values: list[float] = []

    def add(self, row: int, place: int, value: float) -> None:
        self.rows.append(row)
        self.places.append(place)
        self.values.append(value)


@dataclass(frozen=True, slots=True)
class _Constants:
    """The numbers' scaling, as arrays of shape (numbers,)."""

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    compressed: NDArray[np.bool_]
    spread: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    weight: NDArray[np.float64]
    optional: list[int]

    @classmethod
    def of(cls, numbers: Sequence[Number], optional: list[int]) -> _Constants:
        def gathered(name: str) -> NDArray[Any]:
            return np.array([getattr(number, name) for number in numbers], np.float64)

        return cls(
            gathered("centre"),
            gathered("scale"),
            gathered("compressed").astype(bool),
            gathered("spread"),
            gathered("low"),
            gathered("high"),
            gathered("weight"),
            optional,
        )

    def scaled(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(over="ignore"):
            scaled = (np.clip(raw, -EXTREME, EXTREME) - self.centre) / self.scale
        np.arcsinh(scaled, out=scaled, where=self.compressed)
        scaled /= self.spread
        clipped: NDArray[np.float64] = np.clip(scaled, self.low, self.high, out=scaled)
        clipped *= self.weight
        return clipped

    def original(self, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
        values = np.clip(scaled / self.weight, self.low, self.high) * self.spread
        with np.errstate(over="ignore"):
            np.sinh(values, out=values, where=self.compressed)
            original = values * self.scale + self.centre
        return np.clip(original, -EXTREME, EXTREME)


def _as(kind: NumberKind, value: float) -> float | int | bool:
    if kind == "truth":
        return value >= 0.5
    return round(value) if kind == "integer" else value


def _bucket(path: str, value: Value, buckets: int) -> tuple[int, float]:
    """Which bucket a value without a column of its own goes to, and what it adds there."""
    is_number = type(value) is float
    name = path if is_number else f"{path}\0{value}"
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    drawn = int.from_bytes(digest, "little")
    share = float(np.tanh(value)) if is_number else 1.0
    return (drawn >> 1) % buckets, share if drawn & 1 else -share
