"""Ours beside the plain way, in turn, by the clock and by processor time.

Where other work keeps the cores busy, processor time says more than the clock. That of a server
counts with its client's.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import redis

from benchmarks.measuring import Figure, Quartiles, Work

Prepare = Callable[[], Work]
"""Makes what a round needs, unmeasured, and gives the work."""


class Cost(NamedTuple):
    """What some work took.

    Attributes:
        clock: Seconds by the clock.
        processor: Seconds of processor time, of this process and of the server.
    """

    clock: float
    processor: float


def server_seconds(client: redis.Redis | None) -> float:
    """The processor time that a server has used, in seconds."""
    if client is None:
        return 0.0
    told: Any = client.info("cpu")
    return float(told["used_cpu_user"] + told["used_cpu_sys"])


def cost(work: Work, client: redis.Redis | None = None) -> Cost:
    """What some work takes, with the collector of garbage out of the way.

    Args:
        work: The work.
        client: Of the server whose processor time counts too; None: there is none.
    """
    gc.collect()
    gc.disable()
    try:
        before, own, begin = server_seconds(client), time.process_time(), time.perf_counter()
        work()
        clock, own = time.perf_counter() - begin, time.process_time() - own
        return Cost(clock, own + server_seconds(client) - before)
    finally:
        gc.enable()


def in_turn(
    ways: Mapping[str, Prepare], rounds: int, client: redis.Redis | None = None
) -> dict[str, list[Cost]]:
    """What each way costs in each round, after one round that does not count."""
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, prepare in ways.items():
            costs[name].append(cost(prepare(), client))
    return {name: each[1:] for name, each in costs.items()}


def figure(
    name: str,
    costs: Mapping[str, Sequence[Cost]],
    target: float | None,
    unit: tuple[float, str] = (1.0, "ms"),
    *,
    ours: str = "ours",
    plain: str = "plain",
) -> Figure:
    """Ours against the plain way: the median of the rounds' ratios.

    Args:
        name: What was measured, and beside what.
        costs: What each way took.
        target: How many times the plain way's time ours may take; None: for comparison.
        unit: What a round's milliseconds are divided by in the note, and what that is called.
        ours: The name of our way.
        plain: The name of the plain way.
    """
    pairs = [*zip(costs[ours], costs[plain], strict=True)]
    low, middle, high = Quartiles.of(mine.clock / other.clock for mine, other in pairs)
    processor = Quartiles.of(mine.processor / max(other.processor, 1e-9) for mine, other in pairs)
    mine, other = (1e3 * median(one.clock for one in costs[way]) / unit[0] for way in (ours, plain))
    return Figure(
        name,
        "for comparison" if target is None else f"{target:.2f}x its time or less",
        f"{middle:.2f}x",
        target is None or middle <= target,
        f"quartiles {low:.2f} and {high:.2f}; {processor.middle:.2f}x its processor time; "
        f"{mine:.3g} {unit[1]} against {other:.3g}",
        processor,
    )


def printed(figures: Sequence[Figure] | Any) -> None:
    """Print figures, one a line, as they come."""
    for one in figures:
        print(
            f"{one.name}: {one.measured} (target {one.target}, "
            f"{'met' if one.met else 'MISSED'}); {one.note}",
            flush=True,
        )
