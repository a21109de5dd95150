"""Gives many contents of one code back at once, leaf by leaf."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.fitted.code import PREDICTED, ContentsCode
from agent_memory.compression.fitted.column import UNTOLD, Column, chunks, read_own
from agent_memory.compression.fitted.lanes import (
    AT_ONCE,
    FEWEST_READ,
    LanesReader,
    Marks,
    same,
    where,
)
from agent_memory.compression.fitted.numbers import TYPES, Cells, Integers, Lattice
from agent_memory.compression.fitted.rans import TOTAL, TOTAL_BITS
from agent_memory.compression.fitted.shape import AS_EVER, Shape
from agent_memory.compression.fitted.structure import put_together_many
from agent_memory.errors import EncodingError


def decode_many(
    code: ContentsCode,
    coded: Sequence[bytes],
    steps: Sequence[int],
    vectors: NDArray[np.float32] | None = None,
    own: Sequence[Sequence[Any]] | None = None,
) -> list[tuple[dict[str, Any], int, int] | EncodingError]:
    """Give contents back; see ``ContentsCode.decode``.

    Args:
        code: The code.
        coded: What it gave.
        steps: The step of each.
        vectors: Those of the entries, of shape (n, dim); None: there are none.
        own: The values that ``encode_many`` kept apart, of each entry; None: there are none.

    Returns:
        For each what ``decode`` gives, or the error it would raise.
    """
    found: list[tuple[dict[str, Any], int, int] | EncodingError] = []
    for first in range(0, len(coded), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        beside = None if vectors is None else vectors[part]
        theirs = [()] * len(coded[part]) if own is None else own[part]
        found += _decode_batch(code, coded[part], steps[part], beside, theirs)
    return found


def modes_of(code: ContentsCode, coded: Sequence[bytes]) -> list[int]:
    """The mode of each message, as its beginning tells; the code knows a shape."""
    modes: list[int] = _heads(code, LanesReader(coded))[1].tolist()
    return modes


def _heads(code: ContentsCode, reader: LanesReader) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Read the beginning of each message: the place of its shape, and its mode."""
    shapes = np.searchsorted(np.array(code.begins), reader.peek(), side="right") - 1
    begins, widths = np.array(code.begins, np.uint64), np.array(code.widths, np.uint64)
    reader.take(begins[shapes], widths[shapes])
    modes = np.array(code.mode_at)[reader.peek(4)]
    shares = np.array([code.modes.get(mode, (0, 0))[:2] for mode in range(4)], np.uint64)[modes]
    reader.take(shares[:, 0], shares[:, 1], 4)
    return shapes, modes


def _decode_batch(
    code: ContentsCode,
    coded: Sequence[bytes],
    steps: Sequence[int],
    vectors: NDArray[np.float32] | None,
    own: Sequence[Sequence[Any]],
) -> list[tuple[dict[str, Any], int, int] | EncodingError]:
    def by_itself(lane: int) -> tuple[dict[str, Any], int, int] | EncodingError:
        beside = None if vectors is None else vectors[lane]
        try:
            return code.decode(coded[lane], steps[lane], beside, own[lane])
        except EncodingError as error:
            return error

    if len(coded) < FEWEST_READ or not code.shapes:
        return [by_itself(lane) for lane in range(len(coded))]
    reader = LanesReader(coded)
    shapes, modes = _heads(code, reader)
    found: list[Any] = [None] * len(coded)
    for place, mode in np.unique(np.stack([shapes, modes]), axis=1).T.tolist():
        lanes, level = np.flatnonzero((shapes == place) & (modes == mode)), 1 if mode == 1 else 2
        if len(lanes) < FEWEST_READ:
            continue  # each alone is read faster, as where lists have many lengths
        beside = None if vectors is None or mode != PREDICTED else vectors[lanes]
        predicted = code.predicted(place, beside, level)
        if mode == PREDICTED and predicted is None:
            continue  # each tells so by itself
        their_steps = np.array([steps[lane] for lane in lanes.tolist()], np.int64)
        shape = code.shape_at(place, predicted=predicted is not None)
        theirs = [own[lane] for lane in lanes.tolist()]
        done = _decode_alike(shape, reader.only(lanes), their_steps, level, predicted, theirs)
        for lane, contents in zip(lanes.tolist(), done, strict=True):
            found[lane] = None if contents is None else (contents, place, level)
    return [by_itself(lane) if one is None else one for lane, one in enumerate(found)]


def _decode_alike(
    shape: Shape,
    reader: LanesReader,
    steps: Cells,
    level: int,
    predicted: Cells | None,
    own: Sequence[Sequence[Any]],
) -> list[dict[str, Any] | None]:
    """The contents of messages of one shape; None for those that have to be read alone."""
    count = len(steps)
    alone = reader.peek() >= AS_EVER[1]
    reader.take(*same(AS_EVER, count)[:2])
    leaves: list[Any] = [None] * len(shape.columns)
    given = [iter(one) if one else None for one in own]
    for at in shape.fixed:
        leaves[at] = repeat(shape.columns[at].values[0], count)
    for at in shape.varying:
        beyond = None if predicted is None else predicted[:, at]
        leaves[at] = _gets(shape.columns[at], reader, steps, level, alone, beyond, given)
    alone |= ~reader.finished
    alone |= [one is not None and next(one, UNTOLD) is not UNTOLD for one in given]
    try:
        contents = put_together_many(shape.signature, iter(leaves), count)
        return [
            None if is_alone else one
            for one, is_alone in zip(contents, alone.tolist(), strict=True)
        ]
    except (TypeError, ValueError, OverflowError):  # those that are damaged say so by themselves
        return [None] * count


def _gets(
    column: Column,
    reader: LanesReader,
    steps: Cells,
    level: int,
    alone: Marks,
    predicted: Cells | None,
    own: Sequence[Iterator[Any] | None],
) -> list[Any]:
    choices = column.table[reader.peek(column.total_bits)]
    begins, widths = np.array(column.begins, np.uint64), np.array(column.widths, np.uint64)
    reader.take(begins[choices], widths[choices], column.total_bits)
    numbers = column.numbers
    if numbers is None:
        values = [*column.values, None]
        found = [values[choice] for choice in choices.tolist()]
    else:
        numeric = (choices >= len(column.values)) & (choices != column.other)
        cells = np.where(numeric, column.first + ((choices - len(column.values)) << column.bits), 0)
        for shift, bits in chunks(column.bits):
            part = reader.peek(bits)
            reader.take(*where(numeric, part, 1, bits))
            cells += np.where(numeric, part << shift, 0)
        if predicted is not None:
            cells += np.where(numeric, predicted, 0)
        values = _numbers(column, numbers, cells, reader, steps, level, numeric, alone)
        found = _mixed(column, values, choices, numeric)
    for lane in np.flatnonzero(choices == column.other).tolist():
        theirs = own[lane]
        value = _own(reader, lane) if theirs is None else next(theirs, UNTOLD)
        alone[lane] |= value is UNTOLD
        found[lane] = value
    return found


def _own(reader: LanesReader, lane: int) -> Any:
    """Read a value that comes with its own bytes; ``UNTOLD`` where they are damaged."""
    one = reader.one(lane)
    try:
        value = read_own(one)
    except EncodingError:
        return UNTOLD
    reader.go_on(lane, one)
    return value


def _numbers(
    column: Column,
    numbers: Lattice | Integers,
    cells: Cells,
    reader: LanesReader,
    steps: Cells,
    level: int,
    numeric: Marks,
    alone: Marks,
) -> list[Any]:
    """The numbers of coarse cells."""
    if not isinstance(numbers, Lattice):
        base, offsets = numbers.base, steps.tolist() if numbers.with_step else repeat(0)
        # In Python's own integers, as they are coded.
        integers = [base + cell + step for cell, step in zip(cells.tolist(), offsets)]  # noqa: B905  # repeat has no end
        try:
            return _typed(column, integers)
        except OverflowError:  # those that are damaged say so by themselves
            alone[:] = True
            return integers
    rest = numbers.have_rest(cells, level) & numeric
    if not rest.any():
        return _typed(column, numbers.wholes(cells).tolist())
    width = TOTAL // numbers.ratio
    part = reader.peek() // width
    alone |= rest & (part >= numbers.ratio)
    part = np.minimum(part, numbers.ratio - 1)
    reader.take(*where(rest, part * width, width, TOTAL_BITS))
    fine = cells * numbers.ratio + np.where(rest, part - numbers.ratio // 2, 0)
    found = np.where(rest, numbers.values(fine), numbers.wholes(cells))
    return _typed(column, found.tolist())


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
