"""How a tier answers a question: by which index, and how many entries it reads for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


class Access(NamedTuple):
    """How a tier answers a question.

    Attributes:
        way: The index that it goes by, or "scan" and of what.
        expected: How many entries that gives, as the engine knows or estimates it.
        details: What the engine itself says, line by line.
    """

    way: str
    expected: int
    details: tuple[str, ...] = ()


class EntriesRead:
    """How many entries were read and decoded; see ``counting_reads``."""

    def __init__(self) -> None:
        self.number = 0


_counting: ContextVar[EntriesRead | None] = ContextVar("counting", default=None)


@contextmanager
def counting_reads() -> Iterator[EntriesRead]:
    """Count the entries that this thread reads and decodes within the block."""
    read = EntriesRead()
    token = _counting.set(read)
    try:
        yield read
    finally:
        _counting.reset(token)


def note_read(number: int) -> None:
    """Note that entries were read, for whoever counts them."""
    read = _counting.get()
    if read is not None:
        read.number += number
