"""The commands; groups of them have modules of their own."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer

from agent_memory.cli import demo as sugarscape_demo
from agent_memory.cli import status as standing
from agent_memory.cli import tables
from agent_memory.cli.backup import backup, restore
from agent_memory.cli.check import check
from agent_memory.cli.convert import convert
from agent_memory.cli.database import app as database_app
from agent_memory.cli.doctor import doctor
from agent_memory.cli.encoder_upkeep import app as encoder_app
from agent_memory.cli.forget import forget
from agent_memory.cli.opening import Folder, console, opened, plain_errors
from agent_memory.cli.rebind import rebind
from agent_memory.errors import StoreUnavailable

app = typer.Typer(
    help="Memory for agents in long simulations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(database_app, name="db")
app.add_typer(encoder_app, name="encoder")
app.command()(backup)
app.command()(check)
app.command()(convert)
app.command()(doctor)
app.command()(forget)
app.command()(rebind)
app.command()(restore)


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
    with plain_errors():
        sugarscape_demo.run(path, traders=agents, steps=steps, seed=seed, console=console())


@app.command()
def status(path: Folder = None) -> None:
    """Show which runs a folder remembers, and what waits, beside a live simulation if need be."""
    with plain_errors():
        try:
            with opened(path, read_only=True) as system:
                console().print(tables.runs(system))
                _tell(standing.lines(system.status))
        except StoreUnavailable:
            # What waits lies on this machine, and can be told without the server.
            _tell(standing.left_waiting(path))
            raise


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(" ".join(line.split()))


@app.command()
def maintain(path: Folder = None) -> None:
    """Move down what has to leave its tier, agents that are idle or gone included."""
    with plain_errors(), opened(path, upkeep=True) as system:
        system.maintain()
        typer.echo(f"moved {tables.moves(system.moves)}")


@app.command()
def version() -> None:
    """Print the version of agent-memory."""
    typer.echo(installed_version("agent-memory"))
