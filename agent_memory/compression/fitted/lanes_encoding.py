"""Codes many contents of one code at once, leaf by leaf; the bytes are those of one at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.fitted.code import PREDICTED, ContentsCode
from agent_memory.compression.fitted.column import Column, are_short, chunks
from agent_memory.compression.fitted.lanes import (
    AT_ONCE,
    FEWEST,
    LanesWriter,
    Marks,
    Put,
    same,
    where,
)
from agent_memory.compression.fitted.numbers import TYPES, Cells, Lattice
from agent_memory.compression.fitted.rans import TOTAL, TOTAL_BITS
from agent_memory.compression.fitted.shape import AS_EVER

_FEW_VALUES = 16  # of a column, which are looked for one after the other in all messages at once
_FURTHEST = 2**61  # from the first cell of a column of integers


def encode_many(
    code: ContentsCode,
    contents: Sequence[Mapping[str, Any]],
    steps: Sequence[int],
    level: int,
    vectors: NDArray[np.float32] | None = None,
    own: Sequence[list[Any]] | None = None,
) -> list[bytes | None]:
    """Code contents; see ``ContentsCode.encode``.

    Args:
        code: The code.
        contents: The contents.
        steps: The step of each.
        level: 1 or 2.
        vectors: Those of the entries as they will rest, of shape (n, dim); None: there are none.
        own: Where the values of each go that no column has a choice for, unless they are short;
            None: they all come with their own bytes.

    Raises:
        InvalidEntry: A value cannot be stored.
    """
    found = encode_with_shapes(code, contents, steps, level, vectors, own)
    return [None if one is None else one[1] for one in found]


def encode_with_shapes(
    code: ContentsCode,
    contents: Sequence[Mapping[str, Any]],
    steps: Sequence[int],
    level: int,
    vectors: NDArray[np.float32] | None = None,
    own: Sequence[list[Any]] | None = None,
) -> list[tuple[int, bytes] | None]:
    """The same, with the place of the shape of each; see ``encode_many``."""
    coded: list[tuple[int, bytes] | None] = [None] * len(contents)
    by_shape: defaultdict[int, list[int]] = defaultdict(list)
    leaves: list[list[Any]] = [[]] * len(contents)
    for place, one in enumerate(contents):
        apart = code.take_apart(one)
        if apart is not None:
            by_shape[apart[0]].append(place)
            leaves[place] = apart[1]
    for shape, places in by_shape.items():
        for first in range(0, len(places), AT_ONCE):
            batch = places[first : first + AT_ONCE]
            rows = [leaves[place] for place in batch]
            their_steps = [steps[place] for place in batch]
            predicted = code.predicted(shape, None if vectors is None else vectors[batch], level)
            theirs = None if own is None else [own[place] for place in batch]
            done = _encode_alike(code, shape, rows, their_steps, level, predicted, theirs)
            for place, message in zip(batch, done, strict=True):
                coded[place] = shape, message
    return coded


def _encode_alike(
    code: ContentsCode,
    place: int,
    rows: list[list[Any]],
    steps: list[int],
    level: int,
    predicted: Cells | None,
    own: Sequence[list[Any]] | None,
) -> list[bytes]:
    def by_itself(lane: int) -> bytes:
        beside = None if predicted is None else predicted[lane]
        theirs = None if own is None else own[lane]
        return code.encode_leaves(place, rows[lane], steps[lane], level, beside, theirs)

    if len(rows) < FEWEST:
        return [by_itself(lane) for lane in range(len(rows))]
    shape, count = code.shape_at(place, predicted=predicted is not None), len(rows)
    alone = np.zeros(count, np.bool_)  # those with a leaf that has no choice of its own
    by_leaf = list(zip(*rows, strict=True)) if rows[0] else []
    puts = [
        same((code.begins[place], code.widths[place], TOTAL_BITS), count),
        same(code.modes[level if predicted is None else PREDICTED], count),
        same(AS_EVER, count),
    ]
    for at in shape.fixed:
        alone |= _differs(shape.columns[at], by_leaf[at])
    at_steps = np.array(steps, np.int64)
    for at in shape.varying:
        beyond = None if predicted is None else predicted[:, at]
        puts += _puts(shape.columns[at], by_leaf[at], at_steps, level, alone, beyond, own)
    writer = LanesWriter(count, len(puts))
    for put in reversed(puts):
        writer.put(*put)
    messages = writer.finish()
    if own is not None:
        alone |= [bool(values) and are_short(values) for values in own]
    for lane in np.flatnonzero(alone).tolist():
        if own is not None:
            own[lane].clear()
        messages[lane] = by_itself(lane)
    return messages


def _differs(column: Column, values: Sequence[Any]) -> Marks:
    """Where a leaf has not the one value of its column."""
    usual = column.values[0]
    if type(usual) is float and set(map(type, values)) == {float}:
        return ~_are(np.array(values), usual)
    # NumPy's scalars may be equal and not the same.
    comparable = usual and not isinstance(usual, np.generic)
    if (
        comparable
        and values.count(usual) == len(values)
        and set(map(type, values)) == {type(usual)}
    ):
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
    own: Sequence[list[Any]] | None,
) -> list[Put]:
    """The choices that the values at a path are; marks those that lanes cannot code."""
    choices = _known(column, values)
    numeric = choices < 0
    cells, sound = _cells(column, values, steps, numeric, level)
    ratio = column.numbers.ratio if column.numbers is not None else 1
    coarse = (cells + ratio // 2) // ratio
    beyond = coarse - column.first if predicted is None else coarse - column.first - predicted
    bucket = beyond >> column.bits
    sound &= (bucket >= 0) & (bucket < column.buckets)
    others = numeric & ~sound
    numeric &= sound
    choices = np.where(numeric, len(column.values) + bucket, np.maximum(choices, 0))
    if own is None:
        alone |= others
    else:
        choices[others] = column.other
        for lane in np.flatnonzero(others).tolist():
            own[lane].append(values[lane])
    begins, widths = np.array(column.begins, np.uint64), np.array(column.widths, np.uint64)
    puts = [Put(begins[choices], widths[choices], column.total_bits)]
    for shift, bits in chunks(column.bits):
        part = (beyond >> shift) & ((1 << bits) - 1)
        puts.append(where(numeric, part, 1, bits))
    if isinstance(column.numbers, Lattice):
        rest = column.numbers.have_rest(coarse, level) & numeric
        if rest.any():
            width = TOTAL // ratio
            part = cells - coarse * ratio + ratio // 2
            puts.append(where(rest, part * width, width, TOTAL_BITS))
    return puts


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
    column: Column, values: Sequence[Any], steps: Cells, numeric: Marks, level: int
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
        cells, sound = numbers.cells(np.array(plain, np.float64), level)
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
