"""Many messages side by side: the same bytes as of one at a time, in a fraction of the time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.fitted.numbers import Cells
from agent_memory.compression.fitted.rans import BEGIN, HIGH_BITS, LOW, TOTAL_BITS, Reader, Share

AT_ONCE = 2_000
"""How many messages are coded or read at once; more fit no cache."""
FEWEST = 8
"""How many messages are worth it when they are coded."""
FEWEST_READ = 16
"""How many are when they are read: one by itself is read in a loop that is half as long."""

Marks = NDArray[np.bool_]


class Put(NamedTuple):
    """A choice of each message: its shares, each of shape (n,), and the power of their whole."""

    begin: NDArray[np.uint64]
    width: NDArray[np.uint64]
    bits: int


def same(share: Share, count: int) -> Put:
    """The same choice of every message."""
    begin, width, bits = share
    return Put(np.full(count, begin, np.uint64), np.full(count, width, np.uint64), bits)


def where(numeric: Marks, begin: Cells, width: int, bits: int) -> Put:
    """A share of some lanes; of the others all."""
    begins = np.where(numeric, begin, 0).astype(np.uint64)
    return Put(begins, np.where(numeric, width, 1 << bits).astype(np.uint64), bits)


class LanesWriter:
    """Codes many messages side by side; ``finish`` gives what ``encode`` would for each.

    Args:
        lanes: How many messages.
        places: How many choices each has at most.
    """

    def __init__(self, lanes: int, places: int) -> None:
        self._state = np.full(lanes, BEGIN, np.uint64)
        # A choice gives at most two bytes away.
        self._given = np.zeros((lanes, 2 * places + 1), np.uint8)
        self._length = np.zeros(lanes, np.intp)

    def put(
        self, begin: NDArray[np.uint64], width: NDArray[np.uint64], bits: int = TOTAL_BITS
    ) -> None:
        """Add a choice to every message, the last that is read first; both of shape (lanes,).

        One whose share is the whole changes nothing.
        """
        state = self._state
        limit = width << np.uint64(HIGH_BITS - bits)
        full = np.flatnonzero(state >= limit)
        while full.size:
            self._given[full, self._length[full]] = state[full] & np.uint64(0xFF)
            self._length[full] += 1
            state[full] >>= np.uint64(8)
            full = full[state[full] >= limit[full]]
        times = state // width
        self._state = (times << np.uint64(bits)) + begin + (state - times * width)

    def finish(self) -> list[bytes]:
        """The bytes of each message."""
        heads = self._state.astype(">u8").tobytes()
        given, lengths = self._given, self._length.tolist()
        return [
            heads[8 * lane : 8 * lane + 8].lstrip(b"\0") + given[lane, :length][::-1].tobytes()
            for lane, length in enumerate(lengths)
        ]


class LanesReader:
    """Reads many messages side by side.

    Args:
        coded: The messages.
    """

    def __init__(self, coded: Sequence[bytes]) -> None:
        self._lengths = np.array([len(one) for one in coded], np.intp)
        longest = int(self._lengths.max(initial=0))
        padded = b"".join(one.ljust(longest, b"\0") for one in coded)
        self._coded = np.frombuffer(padded, np.uint8).reshape(len(coded), longest)
        self._at = np.zeros(len(coded), np.intp)
        self._state = np.zeros(len(coded), np.uint64)
        self._fill()

    def only(self, lanes: NDArray[np.intp]) -> LanesReader:
        """A reader that goes on with some of the messages from here."""
        part = object.__new__(LanesReader)
        part._lengths = self._lengths[lanes]
        part._coded = self._coded[lanes]
        part._at = self._at[lanes]
        part._state = self._state[lanes]
        return part

    def one(self, lane: int) -> Reader:
        """A reader of one message by itself, from here on."""
        reader = Reader(self._coded[lane, : self._lengths[lane]].tobytes())
        reader.state, reader.at = int(self._state[lane]), int(self._at[lane])
        return reader

    def go_on(self, lane: int, reader: Reader) -> None:
        """Go on where a reader of one message by itself has come."""
        self._state[lane], self._at[lane] = reader.state, reader.at

    def go_on_many(self, lanes: NDArray[np.intp], reader: LanesReader) -> None:
        """Go on where a reader of some of the messages has come."""
        self._state[lanes], self._at[lanes] = reader._state, reader._at

    def peek(self, bits: int = TOTAL_BITS) -> NDArray[np.intp]:
        """Where in the whole the next choice of each message lies, of shape (lanes,)."""
        return (self._state & np.uint64((1 << bits) - 1)).astype(np.intp)

    def take(
        self, begin: NDArray[np.uint64], width: NDArray[np.uint64], bits: int = TOTAL_BITS
    ) -> None:
        """Go past a choice of each message, whose shares these are, of shape (lanes,)."""
        state = self._state
        rest = (state & np.uint64((1 << bits) - 1)) - begin
        self._state = width * (state >> np.uint64(bits)) + rest
        self._fill()

    def take_bytes(self, counts: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Go past bytes that were coded each for itself.

        Args:
            counts: How many of each message, of shape (lanes,).

        Returns:
            Of shape (lanes, the greatest count), filled up with zeros.
        """
        found = np.zeros((len(counts), int(counts.max(initial=0))), np.uint8)
        for place in range(found.shape[1]):
            there = counts > place
            found[there, place] = self._state[there] & np.uint64(0xFF)
            self._state = np.where(there, self._state >> np.uint64(8), self._state)
            self._fill()
        return found

    @property
    def finished(self) -> NDArray[np.bool_]:
        """Which messages have been read to their end, of shape (lanes,)."""
        finished: NDArray[np.bool_] = (self._state == BEGIN) & (self._at == self._lengths)
        return finished

    def _fill(self) -> None:
        low = np.flatnonzero((self._state < np.uint64(LOW)) & (self._at < self._lengths))
        while low.size:
            read = self._coded[low, self._at[low]].astype(np.uint64)
            self._state[low] = self._state[low] << np.uint64(8) | read
            self._at[low] += 1
            still = (self._state[low] < np.uint64(LOW)) & (self._at[low] < self._lengths[low])
            low = low[still]
