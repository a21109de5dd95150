"""How a figure is measured: two ways of doing the same work, in turn, in one run.

Machines are noisy, so that only ratios between neighbours in time are trusted: each round runs
both, and the median of the rounds' ratios is quoted.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

Work = Callable[[], object]


class Quartiles(NamedTuple):
    """Where the rounds of a measurement lie: a quarter below, half below, three quarters below."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Quartiles:
        """The quartiles of two values or more."""
        return cls(*statistics.quantiles(values, n=4))


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure beside its target.

    Attributes:
        name: What was measured.
        target: What was promised, in words.
        measured: What came out, with its unit.
        met: Whether the promise holds.
        note: The spread, or what limits the figure.
        processor: How many times the plain way's processor time ours took, where that was measured.
    """

    name: str
    target: str
    measured: str
    met: bool
    note: str = ""
    processor: Quartiles | None = None


@dataclass(frozen=True, slots=True)
class Ratio:
    """How much faster ours is than the plain way; below 1 it is slower.

    Attributes:
        median: Median of the rounds' ratios of plain time to our time.
        least: The least of them.
        greatest: The greatest of them.
        our_seconds: Median time of our way, in seconds a round.
    """

    median: float
    least: float
    greatest: float
    our_seconds: float

    @property
    def spread(self) -> str:
        """The range over the rounds, in words."""
        return f"{self.least:.2f} to {self.greatest:.2f} over the rounds"


ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def in_own_process(module: str) -> Iterator[Figure]:
    """Run a module that prints figures by ``tell``, with one thread for BLAS.

    How many it has is settled when it is loaded, and two would fight the server.
    """
    done = subprocess.run(
        [sys.executable, "-m", module],
        env=os.environ | ONE_THREAD,
        capture_output=True,
        text=True,
        check=True,
    )
    for line in done.stdout.splitlines():
        name, target, measured, met, note = line.split("\t")
        yield Figure(name, target, measured, met == "True", note)


def tell(figures: Iterable[Figure]) -> None:
    """Print figures for ``in_own_process`` to read."""
    for figure in figures:
        print(figure.name, figure.target, figure.measured, figure.met, figure.note, sep="\t")


_TOLD = {f"o{place:03d}": 1.0 / (place + 3.0) for place in range(107)}
_USUAL = 69e-6  # seconds that telling it as JSON takes a core of the measured machine that is idle


_SLOWEST = 1.8  # times its usual time: what is slower is no noise of the machine


def pace() -> float:
    """How many times its usual time the processor takes for a fixed piece of work just now.

    For what has no plain way beside it: the same core takes up to 1.7 times as long for minutes,
    when others use the machine below.
    """
    best = float("inf")
    for _ in range(10):
        begin = time.process_time()
        for _ in range(100):
            json.dumps(_TOLD)
        best = min(best, (time.process_time() - begin) / 100)
    return min(max(best / _USUAL, 1.0), _SLOWEST)


def seconds(work: Work) -> float:
    """How long some work takes, in seconds, with the collector out of the way."""
    gc.collect()
    gc.disable()
    try:
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin
    finally:
        gc.enable()


def many_seconds(works: Iterable[Work], between: Work | None = None) -> list[float]:
    """How long each of many short pieces of work takes, in seconds.

    The collector is run once before them all: run before each it would empty the caches.

    Args:
        works: The pieces of work.
        between: Unmeasured, before each.
    """
    gc.collect()
    gc.disable()
    times = []
    try:
        for work in works:
            if between is not None:
                between()
            begin = time.perf_counter()
            work()
            times.append(time.perf_counter() - begin)
    finally:
        gc.enable()
    return times


def alternately(
    pairs: Iterable[tuple[Work, Work]], before: Work | None = None
) -> list[tuple[float, float]]:
    """How long each of two short pieces of work takes, one after the other, in seconds.

    Args:
        pairs: The pieces of work.
        before: Unmeasured, before the first of each two.
    """
    gc.collect()
    gc.disable()
    times = []
    try:
        for first, second in pairs:
            if before is not None:
                before()
            begin = time.perf_counter()
            first()
            middle = time.perf_counter()
            second()
            times.append((middle - begin, time.perf_counter() - middle))
    finally:
        gc.enable()
    return times


def compare(
    prepare_ours: Callable[[], Work], prepare_plain: Callable[[], Work], rounds: int = 7
) -> Ratio:
    """Measure two ways of the same work in turn, after one round that does not count.

    Args:
        prepare_ours: Makes what our way needs for a round, unmeasured, and gives the work.
        prepare_plain: The same for the plain way.
        rounds: How many rounds count.
    """
    pairs = [(seconds(prepare_ours()), seconds(prepare_plain())) for _ in range(rounds + 1)][1:]
    ratios = [theirs / mine for mine, theirs in pairs]
    return Ratio(
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        statistics.median(mine for mine, _ in pairs),
    )


def paired(ours: Work, plain: Work, times: int) -> Ratio:
    """Measure two short pieces of work in turn, many times.

    Args:
        ours: Our way.
        plain: The plain way.
        times: How often.

    Returns:
        Ratios of tenths of the rounds, since one alone is too short to tell from noise.
    """
    ours()
    plain()
    mine = many_seconds([ours] * times, between=plain)
    theirs = many_seconds([plain] * times, between=ours)
    tenth = max(times // 10, 1)
    ratios = [
        statistics.median(theirs[first : first + tenth])
        / statistics.median(mine[first : first + tenth])
        for first in range(0, times - tenth + 1, tenth)
    ]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios), statistics.median(mine))


def slower(name: str, ratio: Ratio, target: float) -> Figure:
    """How many times as long ours takes."""
    slower = 1 / ratio.median
    return Figure(
        name,
        f"{target:g}x the time or less",
        f"{slower:.2f}x",
        slower <= target,
        f"{1 / ratio.greatest:.2f} to {1 / ratio.least:.2f}; {1e3 * ratio.our_seconds:.2f} ms",
    )
