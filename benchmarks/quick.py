"""The ratios that matter, measured in under two minutes, against those in ``results.json``.

    python -m benchmarks.quick [--write]

All by processor time of client and server together, ours and the plainest client in turn. A row
that seems to have lost a third of its speed is measured once more before this ends with 1. With
``--write`` the file is made of what is measured.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from benchmarks import bulk_moves, bulk_reads, steps, storing
from benchmarks.measuring import ONE_THREAD, Figure
from benchmarks.results import Row, committed, is_lost, written

ROUNDS = 5

_APPENDED = "both: appended, synced once a second"
_COMMITTED = "both: appended; SQLite synced at each commit"
_READ = "reads"


class Subject(NamedTuple):
    """What is measured together.

    Attributes:
        figures: Measures it.
        durability: What a crash can cost of what is written there.
    """

    figures: Callable[[], Iterator[Figure]]
    durability: str

    def rows(self) -> Iterator[Row]:
        """The ratios."""
        return (Row.of(figure, self.durability) for figure in self.figures())


SUBJECTS = {
    "single and batched stores": Subject(lambda: storing.by_processor(ROUNDS), _APPENDED),
    "steps of many agents": Subject(lambda: steps.figures(ROUNDS), _APPENDED),
    "moves": Subject(lambda: bulk_moves.figures(ROUNDS - 1, ("exact",)), _COMMITTED),
    "questions to long-term memory": Subject(
        lambda: bulk_reads.long_term(2 * ROUNDS, ("exact",)), _READ
    ),
    "questions to short-term memory": Subject(lambda: bulk_reads.short_term(2 * ROUNDS), _READ),
}


def lost(rows: Iterable[Row], known: Mapping[str, Row]) -> Iterator[Row]:
    """The rows that lost a third of their speed; print all of them."""
    for row in rows:
        former = known.get(row.name)
        beside = f"committed {former.ratio.middle:.2f}x" if former else "not committed"
        print(
            f"{row.name}: {row.ratio.middle:.2f}x the processor time "
            f"({row.ratio.low:.2f} to {row.ratio.high:.2f}; {beside}; {row.durability})",
            flush=True,
        )
        if former and is_lost(row.ratio, former.ratio):
            yield row


def compared(subjects: Mapping[str, Subject], known: Mapping[str, Row]) -> list[Row]:
    """The rows that lost a third of their speed twice."""
    failed = []
    for name, subject in subjects.items():
        first = {row.name for row in lost(subject.rows(), known)}
        if first:
            print(f"{name}: measured once more", flush=True)
            failed += [row for row in lost(subject.rows(), known) if row.name in first]
    return failed


def main() -> int:
    """Measure, and compare or write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--write", action="store_true", help="make results.json of what is measured"
    )
    asked = parser.parse_args()
    if not os.environ.keys() >= ONE_THREAD.keys():
        # NumPy's threads are counted when it is loaded, and two would fight the server.
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | ONE_THREAD)  # noqa: S606 - this very program
    begun = time.process_time()
    if asked.write:
        rows = [row for subject in SUBJECTS.values() for row in subject.rows()]
        written(rows, "quick")
        failed = [*lost(rows, {})]
    else:
        failed = compared(SUBJECTS, committed("quick"))
    print(f"{time.process_time() - begun:.0f} s of processor time, load {os.getloadavg()[0]:.1f}")
    for row in failed:
        print(f"LOST A THIRD: {row.name}: {row.ratio.middle:.2f}x", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
