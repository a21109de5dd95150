"""The commands; those with a subject of their own are in files of their own."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agent_memory.cli import convert, doctor, tables
from agent_memory.cli import demo as sugarscape_demo
from agent_memory.cli.plain_errors import plain_errors as _plain_errors
from agent_memory.config import MemoryConfig
from agent_memory.core import AgentMemorySystem
from agent_memory.errors import StoreUnavailable

app = typer.Typer(
    help="Memory for agents in long simulations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command()(convert.convert)
app.command()(doctor.doctor)

_Folder = Annotated[
    Path | None,
    typer.Option(help="Folder of the memory; else $AGENT_MEMORY_PATH, else ./agent_memory_data."),
]


@app.command()
def demo(
    path: Annotated[
        Path, typer.Option(help="Folder that remembers; a second demo reopens it.")
    ] = sugarscape_demo.DEFAULT_FOLDER,
    agents: Annotated[int, typer.Option(min=1, help="Traders at the start.")] = 200,
    steps: Annotated[int, typer.Option(min=1, help="Steps to simulate.")] = 100,
    seed: Annotated[
        int | None, typer.Option(help="Of the simulation; else the number of the run.")
    ] = None,
) -> None:
    """Let Mesa's Sugarscape remember: each trader's states and actions, in three tiers."""
    with _plain_errors():
        sugarscape_demo.run(path, traders=agents, steps=steps, seed=seed, console=_console())


@app.command()
def status(path: _Folder = None) -> None:
    """Show which runs a folder remembers, beside a live simulation if need be."""
    with (
        _plain_errors(),
        AgentMemorySystem(MemoryConfig(path=path), read_only=True) as system,
    ):
        _console().print(tables.runs(system))


@app.command()
def maintain(path: _Folder = None) -> None:
    """Move down what has to leave its tier, agents that are idle or gone included."""
    with _plain_errors():
        if path is not None and not path.exists():
            raise StoreUnavailable(f"there is no memory in {path} to maintain")
        with AgentMemorySystem(MemoryConfig(path=path)) as system:
            system.maintain()
            typer.echo(f"moved {tables.moves(system.moves)}")


@app.command()
def version() -> None:
    """Print the version of agent-memory."""
    typer.echo(installed_version("agent-memory"))


def _console() -> Console:
    # Folders and runs may be named in brackets, which is markup to rich.
    return Console(markup=False, highlight=False)
