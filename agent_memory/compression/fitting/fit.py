"""Fits a code to contents: its shapes, their columns, and what vectors predict of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.fitted import rans
from agent_memory.compression.fitted.code import MOST_SHAPES, ContentsCode, Prediction
from agent_memory.compression.fitted.column import Column
from agent_memory.compression.fitted.numbers import Cells, Lattice
from agent_memory.compression.fitted.prediction import NO_CELL, WIDEST, fit_predictor
from agent_memory.compression.fitted.shape import Shape
from agent_memory.compression.fitted.structure import Signature, leaf_paths, leaf_types, take_apart
from agent_memory.compression.fitting.columns import beyond_prediction, coarse_cells, fit_column
from agent_memory.compression.fitting.tolerances import DEFAULT, Tolerance
from agent_memory.compression.fitting.wholes import find_whole
from agent_memory.errors import InvalidEntry

_ROWS_A_WEIGHT = 8  # contents for each number of a vector; of fewer the prediction would be chance
_CHECKED = 0.2  # the latest contents, on which a prediction has to show what it is worth
_LEAST_GAIN = 0.1  # bits a leaf

_Key = tuple[str, str]
"""The path of a leaf, and the dtype of the array that it is an element of."""


@dataclass
class _Seen:
    """What was seen at a path.

    Attributes:
        rows: The place of each value's contents among all.
    """

    values: list[Any] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)


def fit_code(
    contents: Iterable[Mapping[str, Any]],
    steps: Iterable[int] | None = None,
    tolerances: Mapping[str, Tolerance] | None = None,
    default: Tolerance = DEFAULT,
    *,
    vectors: NDArray[np.float32] | None = None,
    parent: ContentsCode | None = None,
) -> ContentsCode:
    """Fit a code.

    Args:
        contents: What is remembered, a good sample of it, in the order of time.
        steps: The step of each; None: from 0 on.
        tolerances: How far numbers may be off, by path.
        default: The same for all other paths.
        vectors: The vector of each at level 2, of shape (n, dim), to predict from; None: nothing
            is predicted.
        parent: A code whose lattices are taken over where they are fine enough and not much finer:
            what it has coded may then be recoded without a further loss.

    Raises:
        InvalidEntry: There are no contents.
    """
    given = list(contents)
    if not given:
        raise InvalidEntry("there are no contents to fit a code to")
    known_steps = list(range(len(given))) if steps is None else list(steps)
    whole = find_whole(given, known_steps, tolerances or {}, default)
    by_signature: defaultdict[Signature, list[tuple[list[Any], int, int]]] = defaultdict(list)
    for row, (one, step) in enumerate(zip(given, known_steps, strict=True)):
        apart = take_apart(one, whole)
        if apart is not None:
            by_signature[apart[0]].append((apart[1], step, row))
    sizes = Counter({signature: len(rows) for signature, rows in by_signature.items()})
    kept = [signature for signature, _ in sizes.most_common(MOST_SHAPES)]
    seen = _seen({one: by_signature[one] for one in kept})
    lattices = {} if parent is None else _lattices(parent)
    columns = {
        key: fit_column(
            key[0],
            found.values,
            found.steps,
            (tolerances or {}).get(key[0], default),
            single=key[1] == "<f4",
            inherited=lattices.get(key),
        )
        for key, found in seen.items()
    }
    shapes = tuple(Shape(one, tuple(columns[key] for key in keys_of(one))) for one in kept)
    widths = rans.shares([sizes[one] for one in kept]) if kept else []
    prediction = _prediction(shapes, seen, columns, vectors)
    return ContentsCode(shapes, tuple(widths), prediction, whole)


def keys_of(signature: Signature) -> list[_Key]:
    """What tells the columns of a shape: paths, and the dtypes of arrays."""
    return list(zip(leaf_paths(signature), leaf_types(signature), strict=True))


def _seen(rows: Mapping[Signature, Sequence[tuple[list[Any], int, int]]]) -> dict[_Key, _Seen]:
    """What was seen at each path; shapes that share a path share it."""
    seen: defaultdict[_Key, _Seen] = defaultdict(_Seen)
    for signature, found in rows.items():
        for place, key in enumerate(keys_of(signature)):
            one = seen[key]
            one.values.extend(leaves[place] for leaves, _, _ in found)
            one.steps.extend(step for _, step, _ in found)
            one.rows.extend(row for _, _, row in found)
    return dict(seen)


def _lattices(code: ContentsCode) -> dict[_Key, Lattice]:
    return {
        key: column.numbers
        for shape in code.shapes
        for key, column in zip(keys_of(shape.signature), shape.fitted, strict=True)
        if isinstance(column.numbers, Lattice)
    }


def _prediction(
    shapes: Sequence[Shape],
    seen: Mapping[_Key, _Seen],
    columns: Mapping[_Key, Column],
    vectors: NDArray[np.float32] | None,
) -> Prediction | None:
    """Predict the columns that gain by it, be they of one shape or of many."""
    if vectors is None or vectors.ndim != 2 or not 0 < vectors.shape[1] <= WIDEST:
        return None
    least = vectors.shape[1] * _ROWS_A_WEIGHT
    cells = {
        key: _cells_by_row(column, seen[key], len(vectors))
        for key, column in columns.items()
        if column.numbers is not None
    }
    # A path may lie in contents twice, as when keys have dots in them: not worth the trouble.
    cells = {
        key: found
        for key, found in cells.items()
        if len(set(seen[key].rows)) == len(seen[key].rows)
        and np.count_nonzero(found != NO_CELL) >= least
    }
    chosen = _worth_it(vectors, cells)
    if not chosen:
        return None
    predictor = fit_predictor(vectors, [cells[key] for key in chosen])
    predicted = predictor.cells(vectors)
    twins = dict(columns)
    for place, key in enumerate(chosen):
        there = cells[key] != NO_CELL
        beyond = cells[key][there] - predicted[there, place]
        twins[key] = beyond_prediction(columns[key], beyond)
    places = {key: place for place, key in enumerate(chosen)}
    return Prediction(
        predictor,
        tuple(
            Shape(shape.signature, tuple(twins[key] for key in keys_of(shape.signature)))
            for shape in shapes
        ),
        tuple(
            np.array([places.get(key, -1) for key in keys_of(shape.signature)], np.intp)
            for shape in shapes
        ),
    )


def _cells_by_row(column: Column, seen: _Seen, count: int) -> Cells:
    """The coarse cell of each of all contents at a path, of shape (count,)."""
    cells = np.full(count, NO_CELL, np.int64)
    cells[seen.rows] = coarse_cells(column, seen.values, seen.steps)
    return cells


def _worth_it(vectors: NDArray[np.float32], cells: Mapping[_Key, Cells]) -> list[_Key]:
    """The columns whose latest cells are shorter relative to a prediction from the earlier ones."""
    first = int(len(vectors) * (1 - _CHECKED))
    early = {key: found[:first] for key, found in cells.items()}
    keys = [key for key, found in early.items() if (found != NO_CELL).any()]
    if not keys:
        return []
    predicted = fit_predictor(vectors[:first], [early[key] for key in keys]).cells(vectors[first:])
    chosen = []
    for place, key in enumerate(keys):
        late = cells[key][first:]
        there = late != NO_CELL
        if not there.any():
            continue
        without = _bits(late[there])
        beside = _bits(late[there] - predicted[there, place])
        if beside + _LEAST_GAIN < without:
            chosen.append(key)
    return chosen


def _bits(cells: Cells) -> float:
    """The entropy of cells, each for itself, in bits."""
    _, counts = np.unique(cells, return_counts=True)
    shares = counts / counts.sum()
    return -float((shares * np.log2(shares)).sum())
