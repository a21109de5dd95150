"""What a simulation of a given size needs, out of the constants in ``scale.json``.

    python -m benchmarks.scale_needs [agents stm im rows seconds]

Agents that store an entry a step, the limits of both Redis tiers, the rows of long-term memory, and
how many seconds a step may take; without numbers, the examples of docs/scaling.md.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.scale import FILE

POSTGRESQL_ROW = 530
"""Bytes of a row and its indexes on PostgreSQL (``python -m benchmarks.postgresql``)."""

SERVER_BYTES = 64 * 10**9 * 0.6
"""Of a server of 64 GB; the rest is for rewriting its file, and for what is being sent."""

BUSY = 0.7
"""How much of a processor's time is planned with: beyond, requests queue."""


@dataclass(frozen=True, slots=True)
class Size:
    """What is simulated.

    Attributes:
        agents: How many store an entry a step.
        stm: The limit of short-term memory, in entries of an agent.
        im: That of intermediate memory.
        rows: Of long-term memory, in the end.
        seconds: How long a step may take.
    """

    agents: int
    stm: int
    im: int
    rows: int
    seconds: float


EXAMPLES = (
    Size(10_000, 100, 500, 10**8, 1.0),
    Size(1_000_000, 5, 20, 10**9, 60.0),
    Size(1_000_000, 5, 20, 10**9, 600.0),
)


@dataclass(frozen=True, slots=True)
class Needs:
    """What it needs.

    Attributes:
        server_gb: Memory of the Redis servers together, in GB.
        server_seconds: Their processor time for a step, in seconds.
        servers: How many, by memory and by time.
        simulations: Processes that store.
        workers: Processes that do the upkeep.
        ltm_gb: Long-term memory on PostgreSQL, in GB.
        bottleneck: What asks for most: "memory" or "the servers' processors".
    """

    server_gb: float
    server_seconds: float
    servers: int
    simulations: int
    workers: int
    ltm_gb: float
    bottleneck: str


def needs(size: Size, measured: Mapping[str, Any]) -> Needs:
    """What a size needs, when every tier is full: an entry that comes moves one to either below.

    Args:
        size: The size.
        measured: What ``benchmarks.scale`` measured.
    """
    constants = measured["constants"]
    held = size.agents * (
        size.stm * constants["short-term memory, bytes an entry"]
        + size.im * constants["intermediate memory, bytes an entry"]
    )
    alone, move = _alone(measured), measured["moves"][0]
    server = size.agents * (alone["server_us"] + move["server_us"]) * 1e-6
    by_memory, by_time = held / SERVER_BYTES, server / (size.seconds * BUSY)
    return Needs(
        round(held / 1e9, 1),
        round(server, 1),
        math.ceil(max(by_memory, by_time)),
        math.ceil(size.agents * alone["client_us"] * 1e-6 / (size.seconds * BUSY)),
        math.ceil(size.agents * move["client_us"] * 1e-6 / (size.seconds * BUSY)),
        round(size.rows * POSTGRESQL_ROW / 1e9),
        "memory" if by_memory > by_time else "the servers' processors",
    )


def _alone(measured: Mapping[str, Any]) -> Mapping[str, float]:
    """The round in which one simulation took the least processor time."""
    return min((points[0] for points in measured["rounds"]), key=lambda one: one["client_us"])


def row(size: Size, measured: Mapping[str, Any]) -> str:
    """The row of a table of Markdown."""
    need = needs(size, measured)
    return (
        f"| {size.agents:,} | {size.stm} and {size.im} | {size.seconds:g} s | "
        f"{need.server_gb:g} GB | {need.server_seconds:g} s | {need.servers} | "
        f"{need.simulations} | {need.workers} | {size.rows:,} rows, {need.ltm_gb:,} GB | "
        f"{need.bottleneck} |"
    )


def main() -> None:
    """Print a row for each size."""
    measured = json.loads(FILE.read_text())
    given = sys.argv[1:]
    sizes: Sequence[Size] = EXAMPLES
    if given:
        agents, stm, im, rows = map(int, given[:4])
        sizes = [Size(agents, stm, im, rows, float(given[4]))]
    for size in sizes:
        print(row(size, measured))


if __name__ == "__main__":
    main()
