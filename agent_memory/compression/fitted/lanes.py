"""Many contents of one code at once, leaf by leaf; the bytes are those of one at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.fitted.code import AS_EVER, PREDICTED, ContentsCode, Shape, mode_at
from agent_memory.compression.fitted.column import Column, chunks
from agent_memory.compression.fitted.numbers import TYPES, Cells, Lattice
from agent_memory.compression.fitted.rans import TOTAL, TOTAL_BITS, LanesReader, LanesWriter, Share
from agent_memory.compression.fitted.structure import put_together, take_apart
from agent_memory.errors import EncodingError

_AT_ONCE = 2_000  # messages; more fit no cache
_FEWEST = 8  # messages that are worth it
_FEW_VALUES = 16  # of a column, which are looked for one after the other in all messages at once
_FURTHEST = 2**61  # from the first cell of a column of integers

Marks = NDArray[np.bool_]


class _Put(NamedTuple):
    """A choice of each message: its shares, each of shape (n,), and the power of their whole."""

    begin: NDArray[np.uint64]
    width: NDArray[np.uint64]
    bits: int


def encode_many(
    code: ContentsCode,
    contents: Sequence[Mapping[str, Any]],
    steps: Sequence[int],
    level: int,
    vectors: NDArray[np.float32] | None = None,
) -> list[bytes | None]:
    """Code contents; see ``ContentsCode.encode``.

    Args:
        code: The code.
        contents: The contents.
        steps: The step of each.
        level: 1 or 2.
        vectors: Those of the entries as they will rest, of shape (n, dim); None: there are none.

    Raises:
        InvalidEntry: A value cannot be stored.
    """
    coded: list[bytes | None] = [None] * len(contents)
    alike: defaultdict[int, list[int]] = defaultdict(list)
    leaves: list[list[Any]] = [[]] * len(contents)
    for place, one in enumerate(contents):
        apart = take_apart(one)
        shape = None if apart is None else code.shape_of(apart[0])
        if apart is not None and shape is not None:
            alike[shape].append(place)
            leaves[place] = apart[1]
    for shape, places in alike.items():
        for first in range(0, len(places), _AT_ONCE):
            batch = places[first : first + _AT_ONCE]
            rows = [leaves[place] for place in batch]
            told = [steps[place] for place in batch]
            predicted = code.predicted(shape, None if vectors is None else vectors[batch], level)
            done = _encode_alike(code, shape, rows, told, level, predicted)
            for place, message in zip(batch, done, strict=True):
                coded[place] = message
    return coded


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
    for first in range(0, len(coded), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        beside = None if vectors is None else vectors[part]
        found += _decode_batch(code, coded[part], steps[part], beside)
    return found


# -- coding --------------------------------------------------------------------------------------


def _encode_alike(
    code: ContentsCode,
    place: int,
    rows: list[list[Any]],
    steps: list[int],
    level: int,
    predicted: Cells | None,
) -> list[bytes]:
    def by_itself(lane: int) -> bytes:
        beside = None if predicted is None else predicted[lane]
        return code.encode_leaves(place, rows[lane], steps[lane], level, beside)

    if len(rows) < _FEWEST:
        return [by_itself(lane) for lane in range(len(rows))]
    shape, count = _shape_of(code, place, predicted is not None), len(rows)
    alone = np.zeros(count, np.bool_)  # those with a leaf that has no choice of its own
    by_leaf = list(zip(*rows, strict=True)) if rows[0] else []
    puts = [
        _same((code.begins[place], code.widths[place], TOTAL_BITS), count),
        _same(code.modes[level if predicted is None else PREDICTED], count),
        _same(AS_EVER, count),
    ]
    for at in shape.fixed:
        alone |= _differs(shape.columns[at], by_leaf[at])
    told = np.array(steps, np.int64)
    for at in shape.varying:
        beyond = None if predicted is None else predicted[:, at]
        puts += _puts(shape.columns[at], by_leaf[at], told, level, alone, beyond)
    writer = LanesWriter(count, len(puts))
    for put in reversed(puts):
        writer.put(*put)
    messages = writer.finish()
    for lane in np.flatnonzero(alone).tolist():
        messages[lane] = by_itself(lane)
    return messages


def _shape_of(code: ContentsCode, place: int, predicted: bool) -> Shape:  # private
    return code.prediction.shapes[place] if predicted and code.prediction else code.shapes[place]


def _same(share: Share, count: int) -> _Put:
    begin, width, bits = share
    return _Put(np.full(count, begin, np.uint64), np.full(count, width, np.uint64), bits)


def _differs(column: Column, values: Sequence[Any]) -> Marks:
    """Where a leaf has not the one value of its column."""
    usual = column.values[0]
    if type(usual) is float and set(map(type, values)) == {float}:
        return ~_are(np.array(values), usual)
    alike = usual and not isinstance(usual, np.generic)  # which may be equal and not the same
    if alike and values.count(usual) == len(values) and set(map(type, values)) == {type(usual)}:
        return np.zeros(len(values), np.bool_)
    return np.array([column.known(value) is None for value in values], np.bool_)


def _are(floats: NDArray[np.float64], value: float) -> Marks:
    """Where floats are the same as one, as 0.0 and -0.0 are not, and NaN never is."""
    found: Marks = (floats == value) & (np.signbit(floats) == np.signbit(value))
    return found


def _puts(
    column: Column,
    values: Sequence[Any],
    steps: Cells,
    level: int,
    alone: Marks,
    predicted: Cells | None,
) -> list[_Put]:
    """The choices that the values at a path are; marks those that cannot be told by lanes."""
    choices = _known(column, values)
    numeric = choices < 0
    cells, sound = _cells(column, values, steps, numeric)
    ratio = column.numbers.ratio if column.numbers is not None else 1
    coarse = (cells + ratio // 2) // ratio - column.first
    if predicted is not None:
        coarse -= predicted
    bucket = coarse >> column.bits
    sound &= (bucket >= 0) & (bucket < column.buckets)
    alone |= numeric & ~sound
    numeric &= sound
    choices = np.where(numeric, len(column.values) + bucket, np.maximum(choices, 0))
    begins, widths = np.array(column.begins, np.uint64), np.array(column.widths, np.uint64)
    puts = [_Put(begins[choices], widths[choices], column.total_bits)]
    for shift, bits in chunks(column.bits):
        part = (coarse >> shift) & ((1 << bits) - 1)
        puts.append(_where(numeric, part, 1, bits))
    if level == 1 and ratio > 1:
        width = TOTAL // ratio
        part = cells - (coarse + column.first) * ratio + ratio // 2
        puts.append(_where(numeric, part * width, width, TOTAL_BITS))
    return puts


def _where(numeric: Marks, begin: Cells, width: int, bits: int) -> _Put:
    """A share of some lanes; of the others all."""
    begins = np.where(numeric, begin, 0).astype(np.uint64)
    return _Put(begins, np.where(numeric, width, 1 << bits).astype(np.uint64), bits)


def _known(column: Column, values: Sequence[Any]) -> Cells:
    """The choice of each value that has one of its own; -1 for the others."""
    if not column.index:
        return np.full(len(values), -1, np.int64)
    if len(column.values) <= _FEW_VALUES and set(map(type, values)) == {float}:
        floats = np.array(values)
        choices = np.full(len(values), -1, np.int64)
        for choice, value in enumerate(column.values):
            if type(value) is float:
                choices[_are(floats, value)] = choice
        return choices
    known = (column.known(value) for value in values)
    return np.array([-1 if choice is None else choice for choice in known], np.int64)


def _cells(
    column: Column, values: Sequence[Any], steps: Cells, numeric: Marks
) -> tuple[Cells, Marks]:
    """The fine cell of each number, and where there is one."""
    count, numbers = len(values), column.numbers
    if numbers is None:
        return np.zeros(count, np.int64), np.zeros(count, np.bool_)
    kind = TYPES[column.kind]
    if set(map(type, values)) == {kind}:
        right, plain = numeric.copy(), values
    else:
        right = numeric & np.array([type(value) is kind for value in values], np.bool_)
        plain = [value if is_one else 0 for value, is_one in zip(values, right, strict=True)]
    if isinstance(numbers, Lattice):
        cells, sound = numbers.cells(np.array(plain, np.float64))
        return cells, sound & right
    # In Python's own integers, which have no end; those that lie far beyond are no cells.
    beyond = [int(value) - numbers.base for value in plain]
    near = [-_FURTHEST < value < _FURTHEST for value in beyond]
    right &= np.array(near, np.bool_)
    integers = np.array([value if fits else 0 for value, fits in zip(beyond, near, strict=True)],
                        np.int64)  # fmt: skip
    if numbers.with_step:
        integers = integers - steps
    return integers, right


# -- and back ------------------------------------------------------------------------------------


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

    if len(coded) < _FEWEST or not code.shapes:
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
        shape = _shape_of(code, place, predicted is not None)
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
    reader.take(*_same(AS_EVER, count)[:2])
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
        reader.take(*_where(numeric, part, 1, bits))
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
        reader.take(*_where(numeric, part * width, width, TOTAL_BITS))
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
