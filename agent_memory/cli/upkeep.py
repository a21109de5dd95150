"""``agent-memory maintain``: upkeep once, or again and again beside simulations."""

from __future__ import annotations

import select
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict

import typer

from agent_memory.cli import tables
from agent_memory.cli.opening import complain
from agent_memory.errors import StoreUnavailable
from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.tiers.consolidation import Moves
from agent_memory.values.json_values import json_line


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
    with _ended_by_signal() as end, system.maintenance_worker(_lease(every)) as worker:
        _print(worker.maintain(), as_json=as_json)
        while not end.wait(every):
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


class _End:
    """Whether a signal has asked for the end.

    What handles a signal takes no lock, such as an event has: it comes in the middle of whatever
    the program does, which may be waiting for that lock, or holding it.
    """

    def __init__(self) -> None:
        self._heard, self._said = socket.socketpair()
        self._said.setblocking(False)
        self._is_asked = False

    def ask(self, *_: object) -> None:
        """Ask for the end, from what handles a signal."""
        self._is_asked = True
        with suppress(BlockingIOError):  # enough waits there to be read
            self._said.send(b"!")

    def wait(self, seconds: float) -> bool:
        """Wait for so long, or until the end is asked for; returns whether it is."""
        if not self._is_asked:
            select.select([self._heard], [], [], seconds)
        return self._is_asked

    def close(self) -> None:
        """Be asked no more."""
        self._said.close()
        self._heard.close()


@contextmanager
def _ended_by_signal() -> Iterator[_End]:
    """What Ctrl-C or SIGTERM asks for the end, so that a round ends before the program does."""
    with closing(_End()) as end:
        signals = (signal.SIGINT, signal.SIGTERM)
        former = [signal.signal(each, end.ask) for each in signals]
        try:
            yield end
        finally:
            for each, handler in zip(signals, former, strict=True):
                signal.signal(each, handler)
