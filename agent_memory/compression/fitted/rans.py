"""Entropy coding by range asymmetric numeral systems (rANS), of an entry by itself.

A message is a row of choices. Each has a share of a whole, given by where it begins and how wide it
is; wholes are powers of two. Coding uses integers alone, so that every machine writes and reads the
same bytes. (J. Duda, *Asymmetric numeral systems*, 2013; renormalised by bytes.)

The state begins at 1 and gives bytes away once it has six, so that a short message is the state
alone, in as few bytes as it has: no length and no terminator are stored.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TOTAL_BITS = 14
TOTAL = 1 << TOTAL_BITS
"""The usual whole."""

BEGIN = 1
"""The first state: not 0, in which any number of bytes of zero would take no room."""
LOW = 1 << 40
"""A state that has given bytes away is never below this."""
HIGH_BITS = 48
"""A state of so many bits gives a byte away before the next choice."""
_HEAD = 6  # bytes of a state that is not below it

Share = tuple[int, int, int]
"""Where a choice's share begins, how wide it is, and which power of two the whole is."""


def encode(shares: Sequence[Share]) -> bytes:
    """Code a message, given as the shares of its choices in the order they are read."""
    state, given = BEGIN, bytearray()
    for begin, width, bits in reversed(shares):
        limit = width << (HIGH_BITS - bits)
        while state >= limit:
            given.append(state & 0xFF)
            state >>= 8
        # The quotient by the width, times the whole, and the rest.
        state += begin + state // width * ((1 << bits) - width)
    given.reverse()
    return state.to_bytes((state.bit_length() + 7) // 8, "big") + bytes(given)


class Reader:
    """Reads one message, choice by choice. Never fails: damaged bytes are other choices.

    Args:
        coded: What ``encode`` gave.

    Attributes:
        coded: The message.
        state: The state by now.
        at: Where the next byte is that the state takes in.
    """

    def __init__(self, coded: bytes) -> None:
        self.coded = coded
        self.at = min(_HEAD, len(coded))
        self.state = int.from_bytes(coded[: self.at], "big")

    def peek(self, bits: int = TOTAL_BITS) -> int:
        """Where in the whole the next choice lies: within its share."""
        return self.state & ((1 << bits) - 1)

    def take(self, begin: int, width: int, bits: int = TOTAL_BITS) -> None:
        """Go past a choice, whose share this is."""
        state = width * (self.state >> bits) + (self.state & ((1 << bits) - 1)) - begin
        while state < LOW and self.at < len(self.coded):
            state = state << 8 | self.coded[self.at]
            self.at += 1
        self.state = state

    def choose(self, begins: Sequence[int], widths: Sequence[int], bits: int = TOTAL_BITS) -> int:
        """Read a choice among some whose shares these are, and go past it.

        The same as ``peek`` and ``take``, which would be two calls a leaf.
        """
        peeked = self.state & ((1 << bits) - 1)
        choice = bisect_right(begins, peeked) - 1
        state = widths[choice] * (self.state >> bits) + peeked - begins[choice]
        if state < LOW:
            coded, at = self.coded, self.at
            while state < LOW and at < len(coded):
                state = state << 8 | coded[at]
                at += 1
            self.at = at
        self.state = state
        return choice

    def take_bytes(self, count: int) -> bytes:
        """Go past bytes that were coded each for itself, and give them."""
        coded, state, at, found = self.coded, self.state, self.at, bytearray()
        for _ in range(count):
            found.append(state & 0xFF)
            state >>= 8
            while state < LOW and at < len(coded):
                state = state << 8 | coded[at]
                at += 1
        self.state, self.at = state, at
        return bytes(found)

    @property
    def left(self) -> int:
        """How many bytes there may still be."""
        return len(self.coded) - self.at + _HEAD

    @property
    def finished(self) -> bool:
        """Whether all has been read, as it is at the end of a whole message."""
        return self.state == BEGIN and self.at == len(self.coded)


def shares(counts: Sequence[float] | NDArray[np.float64]) -> list[int]:
    """Widths that add up to ``TOTAL``, in proportion to counts, none below 1.

    Args:
        counts: How often each choice is expected; at most ``TOTAL`` of them.
    """
    wanted = np.maximum(np.asarray(counts, np.float64), 0.0)
    highest = wanted.max(initial=0.0)
    wanted = wanted / highest if highest > 0.0 else np.ones(len(wanted))
    scaled = wanted * ((TOTAL - len(wanted)) / wanted.sum())
    widths = 1 + np.floor(scaled).astype(np.int64)
    # What is left goes to those that lost most by rounding; ties to the first.
    order = np.argsort(-(scaled - np.floor(scaled)), kind="stable")
    widths[order[: TOTAL - int(widths.sum())]] += 1
    widths[int(np.argmax(wanted))] += TOTAL - int(widths.sum())
    return [int(width) for width in widths]


def narrowed(widths: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    """About the same shares of a smaller whole, and which power of two that is.

    The choice that is read last begins with an empty state, and takes all bits of its whole,
    however likely it is: so the whole is the smallest that has room.
    """
    bits = (len(widths) - 1).bit_length()
    room = (1 << bits) - len(widths)
    # In integers alone, as both sides work it out for themselves.
    narrow = [1 + width * room // TOTAL for width in widths]
    narrow[narrow.index(max(narrow))] += (1 << bits) - sum(narrow)
    return bits, tuple(narrow)
