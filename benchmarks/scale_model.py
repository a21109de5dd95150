"""A queueing model of simulations that store steps on one server, and what it foretells.

Each simulation makes a step's request, on a processor; the server answers one request after the
other, on a processor too; then the simulation goes on. Who waits for a processor gets one in turn,
a slice at a time. Slices that other programs of the machine use come evenly, and wait in turn too.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import simpy

SLICE = 1e-3
"""Seconds for which whoever waits gets a processor, at most."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a request of a step takes, and where.

    Attributes:
        client_seconds: Processor time of the simulation for an entry.
        server_seconds: Processor time of the server for an entry.
        batch: How many entries a request has.
        processors: How many the machine has.
        others: How many of them other programs keep busy.
    """

    client_seconds: float
    server_seconds: float
    batch: int
    processors: int
    others: float = 0.0


def entries_per_second(machine: Machine, simulations: int, seconds: float = 4.0) -> float:
    """How many entries a second so many simulations store together.

    Args:
        machine: What a request takes, and where.
        simulations: How many there are.
        seconds: How long the model runs, in seconds of its own time.
    """
    model = simpy.Environment()
    processors = simpy.Resource(model, machine.processors)
    server = simpy.Resource(model, 1)
    stored = 0.0
    an_entry = machine.client_seconds + machine.server_seconds

    def working(took: float) -> Generator[simpy.Event, Any, None]:
        left = took
        while left > 1e-12:
            with processors.request() as turn:
                yield turn
                yield model.timeout(min(left, SLICE))
            left -= SLICE

    def simulation() -> Generator[simpy.Event, Any, None]:
        nonlocal stored
        while True:
            # Counted by the part of the work that is done, so that short runs are counted well.
            yield from working(machine.client_seconds * machine.batch)
            stored += machine.client_seconds * machine.batch / an_entry
            with server.request() as turn:
                yield turn
                yield from working(machine.server_seconds * machine.batch)
            stored += machine.server_seconds * machine.batch / an_entry

    def others() -> Generator[simpy.Event, Any, None]:
        while True:
            yield model.timeout(SLICE / machine.others)
            model.process(working(SLICE))

    for _ in range(simulations):
        model.process(simulation())
    if machine.others:
        model.process(others())
    model.run(until=seconds)
    return stored / seconds


def bottleneck(machine: Machine, simulations: int) -> str:
    """What bounds so many simulations: the client alone, the server, or the processors."""
    c, s = machine.client_seconds, machine.server_seconds
    bounds = {
        "the simulations' own time": simulations / (c + s),
        "the server": 1.0 / s,
        "the processors": (machine.processors - machine.others) / (c + s),
    }
    return min(bounds, key=lambda name: bounds[name])
