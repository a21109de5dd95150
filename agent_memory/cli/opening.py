"""How commands open a memory, and how they speak of errors: one plain line and exit status 2."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import deployment
from agent_memory.errors import MemoryStoreError, StoreUnavailable
from agent_memory.system.identity import as_recorded
from agent_memory.system.memory_system import AgentMemorySystem

Folder = Annotated[
    Path | None,
    typer.Option(help="Folder of the memory; else $AGENT_MEMORY_PATH, else ./agent_memory_data."),
]

Run = Annotated[
    str | None, typer.Option(help="The run; else the one that the memory is set to, 'default'.")
]

_WIDEST = 100_000  # characters; tables and sentences are never filled up to it


@contextmanager
def opened(
    path: Path | None, *, read_only: bool = False, upkeep: bool = False, make: bool = False
) -> Iterator[AgentMemorySystem]:
    """Open the memory of a folder as it was made, or of the server that the environment names.

    Args:
        path: The folder; None: where the environment says.
        read_only: Whether writes are refused.
        upkeep: Whether entries may move down, by the limits that the simulation opened it with.
        make: Whether to make a memory where there is none.

    Raises:
        StoreUnavailable: There is no such memory.
    """
    config = MemoryConfig(path=path)
    where = deployment(config)
    if where.engine != "embedded":
        recorded = as_recorded(config, where)
        with AgentMemorySystem(recorded, read_only=read_only, upkeep=upkeep) as system:
            yield system
        return
    if not make and not where.path.is_dir():
        raise StoreUnavailable(f"there is no memory in {where.path}")
    with AgentMemorySystem.open(where.path, read_only=read_only, upkeep=upkeep) as system:
        yield system


@contextmanager
def opened_at(**config: Any) -> Iterator[AgentMemorySystem]:
    """Open the memory that a configuration names, read-only and with the names it was made with."""
    given = MemoryConfig(**config)
    recorded = as_recorded(given, deployment(given))
    with AgentMemorySystem(recorded, read_only=True) as system:
        yield system


def of_run(system: AgentMemorySystem, run: str | None) -> AgentMemorySystem:
    """The memory of a run; of the one that it was opened for where none is named."""
    return system if run is None else system.run(run)


def console() -> Console:
    """Where commands print; not on a terminal, lines are as long as what is in them.

    Folders, runs and agents may be named in brackets or between colons, which rich would take for
    markup and for emoji.
    """
    screen = Console(markup=False, highlight=False, emoji=False)
    if not screen.is_terminal and "COLUMNS" not in os.environ:
        screen.width = _WIDEST
    return screen


@contextmanager
def plain_errors() -> Iterator[None]:
    """End the command with one line where something is wrong; say on a line what is doubtful."""
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        try:
            yield
        except MemoryStoreError as error:
            complain(error)
            raise typer.Exit(2) from None
        finally:
            for doubt in doubts:
                complain(doubt.message)


def complain(problem: object) -> None:
    """Say on a line of standard error what is wrong."""
    typer.echo(f"agent-memory: {one_line(problem)}", err=True)


def one_line(text: object) -> str:
    """What is said, on one line: what a driver or a parser says may come in several."""
    return " ".join(str(text).split())
