"""Bytes of a row and time to code it, by kind of contents, before and after a code is fitted.

    python -m benchmarks.rows

prints a table of Markdown; the latest half of each kind's contents is measured.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from agent_memory.compression.codes import Codes
from agent_memory.compression.fitted.artifact import to_bytes
from agent_memory.compression.fitting.fit import fit_code
from agent_memory.compression.levels import ContentsCodec
from agent_memory.testing import an_entry
from agent_memory.values.entry import MemoryEntry
from tests.compression.test_rows import KINDS, Registered

_LEARNED, _MEASURED, _BATCH = 400, 400, 100

Kind = Callable[[int, random.Random], dict[str, Any]]


def heights(step: int, rng: random.Random) -> dict[str, Any]:
    """A map of doubles, too large to be coded cell by cell."""
    row, column = np.mgrid[:40, :40]
    return {"heights": np.round(np.sin(row / 9 + step / 50) * column, 2), "x": rng.random()}


class Measured(NamedTuple):
    """What entries take on average."""

    bytes_: float
    coding: float
    """Microseconds an entry."""
    reading: float


def measured(codec: ContentsCodec, entries: Sequence[MemoryEntry]) -> Measured:
    """Code and read entries in batches, the best of three times."""
    steps = [entry.step_number for entry in entries]
    coding, reading, stored = [], [], list[bytes]()
    for _ in range(3):
        stored = []
        begin = time.process_time()
        for first in range(0, len(entries), _BATCH):
            stored += codec.encode_many(entries[first : first + _BATCH])
        coding.append(time.process_time() - begin)
        begin = time.process_time()
        for first in range(0, len(entries), _BATCH):
            part = slice(first, first + _BATCH)
            codec.decode_many(stored[part], steps[part])
        reading.append(time.process_time() - begin)
    count = len(entries) / 1e6
    return Measured(sum(map(len, stored)) / len(stored), min(coding) / count, min(reading) / count)


def main() -> None:
    """Print the table."""
    print("| contents | level 1, bytes | level 2, bytes | coding, us | reading, us |")
    print("|---|---|---|---|---|")
    for kind in (*KINDS, heights):
        rng = random.Random(4)
        contents = [kind(step, rng) for step in range(_LEARNED + _MEASURED)]
        codes = Codes(Registered(to_bytes(fit_code(contents[:_LEARNED], range(_LEARNED)))))
        codes.use(1)
        found = {
            (level, fitted): measured(
                ContentsCodec(codes=codes) if fitted else ContentsCodec(),
                [
                    an_entry(contents=one, step_number=step, compression_level=level)
                    for step, one in enumerate(contents[_LEARNED:], _LEARNED)
                ],
            )
            for level in (1, 2)
            for fitted in (False, True)
        }
        cells = [
            f"{found[level, False].bytes_:,.0f} -> {found[level, True].bytes_:,.0f}"
            for level in (1, 2)
        ]
        before, after = found[2, False], found[2, True]
        cells.append(f"{before.coding:,.0f} -> {after.coding:,.0f}")
        cells.append(f"{before.reading:,.0f} -> {after.reading:,.0f}")
        print(f"| {kind.__name__} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
