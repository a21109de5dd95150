"""States of one layout, which are encoded together: those of the agents of a step mostly are.

States have one layout where their keys are the same, the classes of their values, and the lengths
of their lists. Their features have the same names then, which are spelled and hashed once, and
their numbers are a matrix from the beginning. What this gives is what ``VersionZero`` gives for
each of them by itself, bit by bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.circle import CODE, FINEST, category_axis, circle
from agent_memory.embeddings.features import (
    MAX_CATEGORY_LENGTH,
    MAX_ELEMENTS,
    element_paths,
    key_path,
)

LEAST = 8
"""Of fewer states of a layout each is encoded by itself."""

_MOST_PLANS = 256
_MOST_KINDS = 16  # of states that are looked at, beside one for each ``LEAST`` of them
_MOST_KEYS = 256  # of a state
_MOST_CATEGORIES = 4_096  # of a key

_STR = frozenset({str})
_NUMBERS = frozenset({float, int, np.float64, np.float32, np.int64, np.int32})
_CATEGORIES = frozenset({bool, str})
_LISTS = frozenset({tuple, list})
_KNOWN = _NUMBERS | _CATEGORIES | _LISTS | {type(None)}
_SHARE = np.dtype([("columns", "<u4", (2,)), ("shares", "<f8", (2,))])

_Kinds = tuple[tuple[str, ...], tuple[type, ...]]
_Values = tuple[Any, ...]
_Lengths = tuple[int, ...]


class Encoded(NamedTuple):
    """States that were encoded together.

    Attributes:
        places: Where they stand among all.
        vectors: Of shape (n, width).
    """

    places: list[int]
    vectors: NDArray[np.float32]


class _Scatter(NamedTuple):
    """How the numbers of states of a layout are added up to vectors.

    Attributes:
        weights: Of shape (axes, 2, 2): of each axis, point and coordinate.
        rounds: Shares, by their place among all of a state, and the coordinates that these are
            added to, of which none is twice in a round.
    """

    weights: NDArray[np.float64]
    rounds: list[tuple[NDArray[np.intp], NDArray[np.intp]]]


class Layouts:
    """Encodes those of some states that share a layout. Threads may share one.

    Args:
        codes: Gives the coordinates and signs of an axis, as ``CODE``.
        width: Of the vectors.
    """

    def __init__(self, codes: Mapping[str, bytes], width: int) -> None:
        self._codes = codes
        self._width = width
        self._scatters: dict[tuple[_Kinds, _Lengths], _Scatter] = {}
        self._shares = _Shares(codes)

    def encode(self, states: Sequence[object]) -> tuple[list[Encoded], list[int]]:
        """Encode states.

        Args:
            states: Of any class.

        Returns:
            Those that were encoded, and the places of those that were not.
        """
        groups, left = _by_kinds(states)
        encoded = []
        for kinds, members in groups.items():
            lists = [place for place, kind in enumerate(kinds[1]) if kind in _LISTS]
            for lengths, places in _by_lengths(members, lists).items():
                values = [members[place] for place in places]
                vectors = None
                if len(values) >= LEAST and max(lengths, default=0) <= MAX_ELEMENTS:
                    vectors = self._vectors(kinds, dict(zip(lists, lengths, strict=True)), values)
                if vectors is None:
                    left += places
                else:
                    encoded.append(Encoded(places, vectors))
        return encoded, left

    def _vectors(
        self, kinds: _Kinds, lengths: Mapping[int, int], values: Sequence[_Values]
    ) -> NDArray[np.float32] | None:
        numbers = _numbers(kinds, lengths, values)
        if numbers is None:
            return None
        sums = np.zeros((len(values), self._width))
        if numbers.size:
            scatter = self._scatter(kinds, lengths)
            shares = scatter.weights * circle(numbers)[..., None]
            shares = np.rint(shares * FINEST) / FINEST
            shares[np.isnan(numbers)] = 0.0  # what is no number has no feature
            shares = shares.reshape(len(values), -1)
            for given, columns in scatter.rounds:
                sums[:, columns] += shares[:, given]
        for place, (key, kind) in enumerate(zip(*kinds, strict=True)):
            if kind in _CATEGORIES:
                self._add_categories(sums, key, [*map(itemgetter(place), values)])
        return sums.astype(np.float32)

    def _add_categories(self, sums: NDArray[np.float64], key: str, column: Sequence[Any]) -> None:
        table = self._shares.of(key, type(column[0]))
        added = np.frombuffer(b"".join(map(table.__getitem__, column)), _SHARE)
        rows = np.arange(len(column))
        for number in range(2):  # one by one: the two coordinates of an axis are never the same
            sums[rows, added["columns"][:, number]] += added["shares"][:, number]

    def _scatter(self, kinds: _Kinds, lengths: Mapping[int, int]) -> _Scatter:
        key = kinds, tuple(lengths.values())
        found = self._scatters.get(key)
        if found is None:
            if len(self._scatters) >= _MOST_PLANS:
                self._scatters.clear()
            axes = _axes(kinds, lengths)
            codes = np.frombuffer(b"".join(map(self._codes.__getitem__, axes)), CODE)
            found = _Scatter(codes["weights"], _rounds(codes["columns"].ravel()))
            self._scatters[key] = found
        return found


class _Shares:
    """What each category adds to a vector, by its key and class."""

    def __init__(self, codes: Mapping[str, bytes]) -> None:
        self._codes = codes
        self._tables: dict[tuple[str, type], _ShareTable] = {}

    def of(self, key: str, kind: type) -> _ShareTable:
        table = self._tables.get((key, kind))
        if table is None:
            if len(self._tables) >= _MOST_KEYS:
                self._tables.clear()
            table = self._tables[key, kind] = _ShareTable(self._codes, key_path("", key))
        return table


class _ShareTable(dict[Any, bytes]):
    """What the categories of one key add to a vector, as ``_SHARE``."""

    def __init__(self, codes: Mapping[str, bytes], path: str) -> None:
        super().__init__()
        self._codes = codes
        self._path = path

    def __missing__(self, value: bool | str) -> bytes:
        if len(self) >= _MOST_CATEGORIES:
            self.clear()
        named = value[:MAX_CATEGORY_LENGTH] if isinstance(value, str) else value
        code = np.frombuffer(self._codes[category_axis(self._path, named)], CODE)[0]
        # A category is infinitely far on an axis of its own: at (0, 1).
        share = np.zeros((), _SHARE)
        share["columns"] = code["columns"][1]
        share["shares"] = np.rint(code["weights"][1] * FINEST) / FINEST
        made = self[value] = share.tobytes()
        return made


def _by_kinds(states: Sequence[object]) -> tuple[dict[_Kinds, dict[int, _Values]], list[int]]:
    """The values of states by keys and classes, by their places; and the places of others."""
    groups: dict[_Kinds, dict[int, _Values]] = {}
    left: list[int] = []
    last: _Kinds | None = None
    group: dict[int, _Values] = {}
    for place, state in enumerate(states):
        if type(state) is not dict or not _STR.issuperset(map(type, state)):
            left.append(place)
            continue
        values = tuple(state.values())
        kinds = tuple(state), tuple(map(type, values))
        if kinds != last:
            if len(values) > _MOST_KEYS or not _KNOWN.issuperset(kinds[1]):
                left.append(place)
                continue
            if len(groups) > _MOST_KINDS + place // LEAST:
                return groups, [*left, *range(place, len(states))]
            group, last = groups.setdefault(kinds, {}), kinds
        group[place] = values
    return groups, left


def _by_lengths(members: Mapping[int, _Values], lists: Sequence[int]) -> dict[_Lengths, list[int]]:
    """The places of states by the lengths of their lists."""
    if not lists:
        return {(): [*members]}
    lengths = [[*map(len, map(itemgetter(at), members.values()))] for at in lists]
    groups: dict[_Lengths, list[int]] = {}
    for place, each in zip(members, zip(*lengths, strict=True), strict=True):
        groups.setdefault(each, []).append(place)
    return groups


def _numbers(
    kinds: _Kinds, lengths: Mapping[int, int], values: Sequence[_Values]
) -> NDArray[np.float64] | None:
    """The numbers of states, of shape (n, axes); None where a list holds something else."""
    count = len(values)
    blocks = []
    scalars = _scalars(kinds)
    try:
        if scalars:
            take = itemgetter(*scalars)
            taken = map(take, values)
            each = taken if len(scalars) == 1 else chain.from_iterable(taken)
            blocks.append(np.fromiter(each, np.float64, count * len(scalars)).reshape(count, -1))
        for place, length in lengths.items():
            lists = [*map(tuple, map(itemgetter(place), values))]
            if {*map(len, lists)} != {length}:
                return None  # another thread has changed one since
            members = [*chain.from_iterable(lists)]
            if not _NUMBERS.issuperset(map(type, members)):
                return None
            blocks.append(np.full((count, 1), float(length)))
            blocks.append(np.fromiter(members, np.float64, count * length).reshape(count, length))
    except (OverflowError, ValueError):
        return None  # a whole number beyond any float
    return np.concatenate(blocks, axis=1) if blocks else np.empty((count, 0))


def _scalars(kinds: _Kinds) -> list[int]:
    return [place for place, kind in enumerate(kinds[1]) if kind in _NUMBERS]


def _axes(kinds: _Kinds, lengths: Mapping[int, int]) -> list[str]:
    """The names of the axes of ``_numbers``."""
    paths = [key_path("", key) for key in kinds[0]]
    axes = [paths[place] for place in _scalars(kinds)]
    for place, length in lengths.items():
        axes += [f"{paths[place]}[]", *element_paths(paths[place])[:length]]
    return axes


def _rounds(columns: NDArray[np.uint32]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Places of columns, in rounds in which no column is twice; and those columns."""
    rounds: list[list[int]] = []
    seen: dict[int, int] = {}
    for place, column in enumerate(columns.tolist()):
        turn = seen[column] = seen.get(column, -1) + 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(place)
    return [(np.array(some), columns[some].astype(np.intp)) for some in rounds]
