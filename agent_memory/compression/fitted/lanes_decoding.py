"""Gives many contents of one code back at once, leaf by leaf."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.fitted.code import PREDICTED, ContentsCode
from agent_memory.compression.fitted.column import LONG, UNTOLD, Column, chunks, own_of, read_own
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
from agent_memory.compression.fitted.structure import Branch, branch_at, put_together_many
from agent_memory.errors import EncodingError
from agent_memory.values.paths import ABSENT, value_at


def decode_many(
    code: ContentsCode,
    coded: Sequence[bytes],
    steps: Sequence[int],
    vectors: NDArray[np.float32] | None = None,
    own: Sequence[Sequence[Any]] | None = None,
    path: str | None = None,
) -> list[tuple[Any, int, int] | EncodingError]:
    """Give contents back; see ``ContentsCode.decode``.

    Args:
        code: The code.
        coded: What it gave.
        steps: The step of each.
        vectors: Those of the entries, of shape (n, dim); None: there are none.
        own: The values that ``encode_many`` kept apart, of each entry; None: there are none.
        path: Of which place alone to give the value, ``ABSENT`` where there is none; None: all.

    Returns:
        For each what ``decode`` gives, or the error it would raise.
    """
    found: list[tuple[Any, int, int] | EncodingError] = []
    for first in range(0, len(coded), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        beside = None if vectors is None else vectors[part]
        theirs = [()] * len(coded[part]) if own is None else own[part]
        found += _decode_batch(code, coded[part], steps[part], beside, theirs, path)
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
    path: str | None,
) -> list[tuple[Any, int, int] | EncodingError]:
    def by_itself(lane: int) -> tuple[Any, int, int] | EncodingError:
        beside = None if vectors is None else vectors[lane]
        try:
            contents, place, level = code.decode(coded[lane], steps[lane], beside, own[lane])
        except EncodingError as error:
            return error
        return contents if path is None else value_at(contents, path), place, level

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
        done = _decode_alike(shape, reader.only(lanes), their_steps, level, predicted, theirs, path)
        for lane, contents in zip(lanes.tolist(), done, strict=True):
            found[lane] = None if contents is UNTOLD else (contents, place, level)
    return [by_itself(lane) if one is None else one for lane, one in enumerate(found)]


def _decode_alike(
    shape: Shape,
    reader: LanesReader,
    steps: Cells,
    level: int,
    predicted: Cells | None,
    own: Sequence[Sequence[Any]],
    path: str | None,
) -> list[Any]:
    """What is asked of messages of one shape; ``UNTOLD`` for those that have to be read alone."""
    count = len(steps)
    branch, look = _asked(shape, path)
    alone = reader.peek() >= AS_EVER[1]
    reader.take(*same(AS_EVER, count)[:2])
    leaves: list[Any] = [None] * len(shape.columns)
    given = [iter(one) if one else None for one in own]
    for at in shape.fixed:
        leaves[at] = repeat(shape.columns[at].values[0], count)
    for at in shape.varying:
        beyond, column = None if predicted is None else predicted[:, at], shape.columns[at]
        # Every leaf is gone past, so that damage is seen; a few are made values of.
        taken = _taken(column, reader, level, alone, beyond)
        found = _values(column, taken, steps, alone) if at in branch.leaves else None
        _take_own(np.flatnonzero(taken.choices == column.other), reader, given, alone, found)
        leaves[at] = found
    alone |= ~reader.finished
    alone |= [one is not None and next(one, UNTOLD) is not UNTOLD for one in given]
    if branch.signature is None:
        return [UNTOLD if is_alone else ABSENT for is_alone in alone.tolist()]
    wanted = iter(leaves[branch.leaves.start : branch.leaves.stop])
    try:
        contents = put_together_many(branch.signature, wanted, count)
        return [
            UNTOLD if is_alone else look(one) if look else one
            for one, is_alone in zip(contents, alone.tolist(), strict=True)
        ]
    except (TypeError, ValueError, OverflowError):  # those that are damaged say so by themselves
        return [UNTOLD] * count


def _asked(shape: Shape, path: str | None) -> tuple[Branch, Callable[[Any], Any] | None]:
    """The part of contents to make, and what gives the value at a path of that."""
    whole = Branch(shape.signature, range(len(shape.columns)))
    if path is None:
        return whole, None
    branch = branch_at(shape.signature, path)
    return (whole, lambda one: value_at(one, path)) if branch is None else (branch, None)


class _Taken(NamedTuple):
    """The choices that a leaf is in each message, read and not yet made values of.

    Attributes:
        choices: That among the choices of its column, of shape (n,).
        numeric: Which are numbers; None: the column has none.
        cells: Their coarse cells.
        rest: Which of these have a finer one; None: none has.
        part: How far that is from the first in its coarse cell.
    """

    choices: NDArray[np.intp]
    numeric: Marks | None = None
    cells: Cells | None = None
    rest: Marks | None = None
    part: NDArray[np.intp] | None = None


def _taken(
    column: Column, reader: LanesReader, level: int, alone: Marks, predicted: Cells | None
) -> _Taken:
    """Go past a leaf."""
    choices = column.table[reader.peek(column.total_bits)]
    begins, widths = np.array(column.begins, np.uint64), np.array(column.widths, np.uint64)
    reader.take(begins[choices], widths[choices], column.total_bits)
    numbers = column.numbers
    if numbers is None:
        return _Taken(choices)
    numeric = (choices >= len(column.values)) & (choices != column.other)
    cells = np.where(numeric, column.first + ((choices - len(column.values)) << column.bits), 0)
    for shift, bits in chunks(column.bits):
        chunk = reader.peek(bits)
        reader.take(*where(numeric, chunk, 1, bits))
        cells += np.where(numeric, chunk << shift, 0)
    if predicted is not None:
        cells += np.where(numeric, predicted, 0)
    if not isinstance(numbers, Lattice):
        return _Taken(choices, numeric, cells)
    rest = numbers.have_rest(cells, level) & numeric
    if not rest.any():
        return _Taken(choices, numeric, cells)
    width = TOTAL // numbers.ratio
    part = reader.peek() // width
    alone |= rest & (part >= numbers.ratio)
    part = np.minimum(part, numbers.ratio - 1)
    reader.take(*where(rest, part * width, width, TOTAL_BITS))
    return _Taken(choices, numeric, cells, rest, part)


def _values(column: Column, taken: _Taken, steps: Cells, alone: Marks) -> list[Any]:
    """The values of a leaf, but for those that come with their own bytes."""
    choices, numeric, cells, rest, part = taken
    numbers = column.numbers
    if numbers is None or numeric is None or cells is None:
        values = [*column.values, None]
        return [values[choice] for choice in choices.tolist()]
    if isinstance(numbers, Integers):
        found = _integers(column, numbers, cells, steps, alone)
    elif rest is None or part is None:
        found = _typed(column, numbers.wholes(cells).tolist())
    else:
        fine = cells * numbers.ratio + np.where(rest, part - numbers.ratio // 2, 0)
        exact = np.where(rest, numbers.values(fine), numbers.wholes(cells))
        found = _typed(column, exact.tolist())
    return _mixed(column, found, choices, numeric)


def _integers(
    column: Column, numbers: Integers, cells: Cells, steps: Cells, alone: Marks
) -> list[Any]:
    base, offsets = numbers.base, steps.tolist() if numbers.with_step else repeat(0)
    # In Python's own integers, as they are coded.
    integers = [base + cell + step for cell, step in zip(cells.tolist(), offsets)]  # noqa: B905  # repeat has no end
    try:
        return _typed(column, integers)
    except OverflowError:  # those that are damaged say so by themselves
        alone[:] = True
        return integers


def _take_own(
    lanes: NDArray[np.intp],
    reader: LanesReader,
    given: Sequence[Iterator[Any] | None],
    alone: Marks,
    found: list[Any] | None,
) -> None:
    """Go past the values of some messages that come with their own bytes, or lie beside.

    Args:
        lanes: Which messages.
        reader: Of all of them.
        given: What gives the values that lie beside each; None: their bytes follow.
        alone: Where those are marked that are damaged.
        found: Where the values go; None: nowhere.
    """
    within = []
    for lane in lanes.tolist():
        theirs = given[lane]
        if theirs is None:
            within.append(lane)
            continue
        value = next(theirs, UNTOLD)
        if value is UNTOLD:
            alone[lane] = True
        if found is not None:
            found[lane] = value
    if len(within) >= FEWEST_READ:
        within = _take_together(np.array(within, np.intp), reader, alone, found)
    for lane in within:
        value = _own(reader, lane)
        alone[lane] |= value is UNTOLD
        if found is not None:
            found[lane] = value


def _take_together(
    lanes: NDArray[np.intp], reader: LanesReader, alone: Marks, found: list[Any] | None
) -> list[int]:
    """Go past the own bytes of many messages, byte by byte of all; gives those of long values."""
    are_long = reader.peek(8)[lanes] == LONG
    left: list[int] = lanes[are_long].tolist()
    lanes = lanes[~are_long]
    part = reader.only(lanes)
    lengths = part.take_bytes(np.ones(len(lanes), np.intp))[:, 0].astype(np.intp)
    packed = part.take_bytes(lengths)
    reader.go_on_many(lanes, part)
    if found is not None:
        for lane, length, row in zip(lanes.tolist(), lengths.tolist(), packed, strict=True):
            try:
                found[lane] = own_of(row[:length].tobytes())
            except EncodingError:
                alone[lane] = True
    return left


def _own(reader: LanesReader, lane: int) -> Any:
    """Read a value that comes with its own bytes; ``UNTOLD`` where they are damaged."""
    one = reader.one(lane)
    try:
        value = read_own(one)
    except EncodingError:
        return UNTOLD
    reader.go_on(lane, one)
    return value


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
