"""``agent-memory maintain``: upkeep once, or again and again beside simulations."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import typer

from agent_memory.cli import tables
from agent_memory.cli.opening import complain
from agent_memory.cli.output import json_line
from agent_memory.errors import StoreUnavailable
from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.tiers.consolidation import Moves


def maintain(system: AgentMemorySystem, every: float | None, *, as_json: bool) -> None:
    """Do upkeep, and print what moved.

    Args:
        system: The memory.
        every: Seconds between two rounds, until a signal ends them; None: one round.
        as_json: Whether a round is a JSON object on a line.

    Raises:
        StoreUnavailable: A store does not answer. Rounds after the first wait for it instead.
    """
    if every is None:
        _print(system.maintain(), as_json=as_json)
        return
    with _ended_by_signal() as ended, system.maintenance_worker(_lease(every)) as worker:
        _print(worker.maintain(), as_json=as_json)
        while not ended.wait(every):
            try:
                moved = worker.maintain()
            except StoreUnavailable as error:
                complain(error)
                continue
            if as_json or any(asdict(moved).values()):
                _print(moved, as_json=as_json)


def _lease(every: float) -> float:
    """How long a worker's lease lasts, in seconds: a round may take long, and one may fail."""
    return max(3 * every, 30.0)


def _print(moved: Moves, *, as_json: bool) -> None:
    typer.echo(json_line(asdict(moved)) if as_json else f"moved {tables.moves(moved)}")


@contextmanager
def _ended_by_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets, so that a round ends before the program does."""
    ended = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    former = [signal.signal(each, lambda *_: ended.set()) for each in signals]
    try:
        yield ended
    finally:
        for each, handler in zip(signals, former, strict=True):
            signal.signal(each, handler)
