"""Gives many contents of one code back at once, leaf by leaf."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.fitted.code import PREDICTED, ContentsCode, mode_at
from agent_memory.compression.fitted.column import Column, chunks
from agent_memory.compression.fitted.lanes import AT_ONCE, FEWEST, LanesReader, Marks, same, where
from agent_memory.compression.fitted.numbers import TYPES, Cells, Lattice
from agent_memory.compression.fitted.rans import TOTAL, TOTAL_BITS
from agent_memory.compression.fitted.shape import AS_EVER, Shape
from agent_memory.compression.fitted.structure import put_together
from agent_memory.errors import EncodingError


def decode_many(
    code: ContentsCode,
    coded: Sequence[bytes],
    steps: Sequence[int],
    vectors: NDArray[np.float32] | None = None,
) -> list[tuple[dict[str, Any], int, int] | EncodingError]:
    """Give contents back; see ``ContentsCode.decode``.

    Args:
        code: The code.
        coded: What it gave.
        steps: The step of each.
        vectors: Those of the entries, of shape (n, dim); None: there are none.

    Returns:
        For each what ``decode`` gives, or the error it would raise.
    """
    found: list[tuple[dict[str, Any], int, int] | EncodingError] = []
    for first in range(0, len(coded), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        beside = None if vectors is None else vectors[part]
        found += _decode_batch(code, coded[part], steps[part], beside)
    return found


def _decode_batch(
    code: ContentsCode,
    coded: Sequence[bytes],
    steps: Sequence[int],
    vectors: NDArray[np.float32] | None,
) -> list[tuple[dict[str, Any], int, int] | EncodingError]:
    def by_itself(lane: int) -> tuple[dict[str, Any], int, int] | EncodingError:
        try:
            return code.decode(coded[lane], steps[lane], None if vectors is None else vectors[lane])
        except EncodingError as error:
            return error

    if len(coded) < FEWEST or not code.shapes:
        return [by_itself(lane) for lane in range(len(coded))]
    reader = LanesReader(coded)
    shapes = np.searchsorted(np.array(code.begins), reader.peek(), side="right") - 1
    begins, widths = np.array(code.begins, np.uint64), np.array(code.widths, np.uint64)
    reader.take(begins[shapes], widths[shapes])
    modes = np.array([mode_at(code.modes, peeked) for peeked in range(16)])[reader.peek(4)]
    shares = np.array([code.modes.get(mode, (0, 0))[:2] for mode in range(4)], np.uint64)[modes]
    reader.take(shares[:, 0], shares[:, 1], 4)
    found: list[Any] = [None] * len(coded)
    for place, mode in np.unique(np.stack([shapes, modes]), axis=1).T.tolist():
        lanes, level = np.flatnonzero((shapes == place) & (modes == mode)), 1 if mode == 1 else 2
        beside = None if vectors is None or mode != PREDICTED else vectors[lanes]
        predicted = code.predicted(place, beside, level)
        if mode == PREDICTED and predicted is None:
            continue  # each tells so by itself
        told = np.array([steps[lane] for lane in lanes.tolist()], np.int64)
        shape = code.shape_at(place, predicted=predicted is not None)
        done = _decode_alike(shape, reader.only(lanes), told, level, predicted)
        for lane, contents in zip(lanes.tolist(), done, strict=True):
            found[lane] = None if contents is None else (contents, place, level)
    return [by_itself(lane) if one is None else one for lane, one in enumerate(found)]


def _decode_alike(
    shape: Shape, reader: LanesReader, steps: Cells, level: int, predicted: Cells | None
) -> list[dict[str, Any] | None]:
    """The contents of messages of one shape; None for those that have to be read alone."""
    count = len(steps)
    alone = reader.peek() >= AS_EVER[1]
    reader.take(*same(AS_EVER, count)[:2])
    leaves: list[Any] = [None] * len(shape.columns)
    for at in shape.fixed:
        leaves[at] = repeat(shape.columns[at].values[0], count)
    for at in shape.varying:
        beyond = None if predicted is None else predicted[:, at]
        leaves[at] = _gets(shape.columns[at], reader, steps, level, alone, beyond)
    alone |= ~reader.finished
    rows = zip(*leaves, strict=True) if leaves else repeat((), count)
    return [
        None if is_alone else put_together(shape.signature, iter(row))
        for row, is_alone in zip(rows, alone.tolist(), strict=True)
    ]


def _gets(
    column: Column,
    reader: LanesReader,
    steps: Cells,
    level: int,
    alone: Marks,
    predicted: Cells | None,
) -> list[Any]:
    choices = column.table[reader.peek(column.total_bits)]
    begins, widths = np.array(column.begins, np.uint64), np.array(column.widths, np.uint64)
    reader.take(begins[choices], widths[choices], column.total_bits)
    alone |= choices == column.other
    numbers = column.numbers
    if numbers is None:
        values = [*column.values, None]
        return [values[choice] for choice in choices.tolist()]
    numeric = (choices >= len(column.values)) & (choices != column.other)
    cells = np.where(numeric, column.first + ((choices - len(column.values)) << column.bits), 0)
    for shift, bits in chunks(column.bits):
        part = reader.peek(bits)
        reader.take(*where(numeric, part, 1, bits))
        cells += np.where(numeric, part << shift, 0)
    if predicted is not None:
        cells += np.where(numeric, predicted, 0)
    if not isinstance(numbers, Lattice):
        base, told = numbers.base, steps.tolist() if numbers.with_step else repeat(0)
        # In Python's own integers, as they are coded.
        integers = [base + cell + step for cell, step in zip(cells.tolist(), told)]  # noqa: B905  # repeat has no end
        return _mixed(column, _typed(column, integers), choices, numeric)
    cells = cells * numbers.ratio
    if level == 1 and numbers.ratio > 1:
        width = TOTAL // numbers.ratio
        part = reader.peek() // width
        alone |= numeric & (part >= numbers.ratio)
        part = np.minimum(part, numbers.ratio - 1)
        reader.take(*where(numeric, part * width, width, TOTAL_BITS))
        cells = cells + np.where(numeric, part - numbers.ratio // 2, 0)
    return _mixed(column, _typed(column, numbers.values(cells).tolist()), choices, numeric)


def _typed(column: Column, numbers: list[Any]) -> list[Any]:
    return numbers if column.kind in "fi" else list(map(TYPES[column.kind], numbers))


def _mixed(
    column: Column, numbers: list[Any], choices: NDArray[np.intp], numeric: Marks
) -> list[Any]:
    if not column.values:
        return numbers
    values = column.values
    return [
        number if is_number else values[choice] if choice < len(values) else None
        for number, choice, is_number in zip(
            numbers, choices.tolist(), numeric.tolist(), strict=True
        )
    ]
