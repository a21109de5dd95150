"""Reads the leaves of one message in one loop: a call for each would take three times as long."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from agent_memory.compression.fitted.column import UNTOLD, Column
from agent_memory.compression.fitted.numbers import Lattice
from agent_memory.compression.fitted.rans import LOW, Reader


class Reading(NamedTuple):
    """All that reading a leaf looks up.

    Attributes:
        place: The place of the leaf.
        begins: Where the share of each choice begins.
        widths: How wide it is.
        bits: Which power of two their whole is.
        mask: The whole less one.
        values: The value of each choice; ``UNTOLD`` where a choice alone does not give it.
        line: Origin, ratio, fine step, range and first cell of floats that lie beyond a
            prediction, and the choice that is none; None where the column has to be asked.
        column: The column.
    """

    place: int
    begins: tuple[int, ...]
    widths: tuple[int, ...]
    bits: int
    mask: int
    values: list[Any]
    line: tuple[float, int, float, float, float, int, int] | None
    column: Column


def reading(place: int, column: Column, level: int, *, predicted: bool = False) -> Reading:
    """How the leaf at a place is read.

    Args:
        place: The place.
        column: Its column.
        level: 1 or 2.
        predicted: Whether its numbers lie beyond a prediction.
    """
    known, lattice, line = len(column.values), column.numbers, None
    values = [column.value_of(choice, level) for choice in range(len(column.widths))]
    if predicted:
        values[known:] = [UNTOLD] * (len(values) - known)
        # With no fine cells to choose from, and no rounding.
        if level == 2 and column.kind == "f" and isinstance(lattice, Lattice) and not column.bits:
            line = None if lattice.single else (
                lattice.origin, lattice.ratio, lattice.fine, lattice.low, lattice.high,
                column.first - known, column.other)  # fmt: skip
    bits = column.total_bits
    return Reading(place, column.begins, column.widths, bits, (1 << bits) - 1, values, line, column)


def read_leaves(
    readings: Sequence[Reading],
    leaves: list[Any],
    reader: Reader,
    step: int,
    level: int,
    offsets: Sequence[int],
    own: Iterator[Any] | None,
) -> None:
    """Read leaves.

    Args:
        readings: How each is read, in this order.
        leaves: Where they go, by their places.
        reader: Of the message.
        step: The entry's step.
        level: 1 or 2.
        offsets: What is predicted for each leaf, by its place.
        own: Gives the values that had no choice of their own; None: their bytes follow.

    Raises:
        EncodingError: The bytes are damaged.
    """
    coded, state, at = reader.coded, reader.state, reader.at
    size = len(coded)
    for place, begins, widths, bits, mask, values, line, column in readings:
        peeked = state & mask
        choice = bisect_right(begins, peeked) - 1
        state = widths[choice] * (state >> bits) + peeked - begins[choice]
        while state < LOW and at < size:
            state = state << 8 | coded[at]
            at += 1
        value = values[choice]
        if value is UNTOLD and line is not None and choice != line[-1]:
            origin, ratio, fine, low, high, first, _ = line
            number = origin + (first + choice + offsets[place]) * ratio * fine
            if low <= number <= high:
                value = number
        if value is UNTOLD:
            reader.state, reader.at = state, at
            value = column.chosen(choice, reader, step, level, offsets[place], own)
            state, at = reader.state, reader.at
        leaves[place] = value
    reader.state, reader.at = state, at
