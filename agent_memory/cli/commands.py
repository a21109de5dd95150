"""The commands; groups of them have modules of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Final

import typer

from agent_memory.cli import demo as sugarscape_demo
from agent_memory.cli import files, looking, upkeep
from agent_memory.cli.adopt import adopt
from agent_memory.cli.backup import backup, restore
from agent_memory.cli.check import check
from agent_memory.cli.convert import convert
from agent_memory.cli.copying import copy, move_to
from agent_memory.cli.database import app as database_app
from agent_memory.cli.doctor import doctor
from agent_memory.cli.encoder_upkeep import app as encoder_app
from agent_memory.cli.explore import explore
from agent_memory.cli.files import export
from agent_memory.cli.forget import forget
from agent_memory.cli.listing import agents, runs, stats
from agent_memory.cli.looking import history, show, tail
from agent_memory.cli.opening import Folder, console, opened, plain_errors
from agent_memory.cli.output import AsJson
from agent_memory.cli.rebind import rebind
from agent_memory.cli.report import report
from agent_memory.cli.status import status

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

app.add_typer(database_app, name="db")
app.add_typer(encoder_app, name="encoder")
database_app.command(
    epilog="Example: agent-memory db copy memory redis://host:6379,postgresql+psycopg://host/ants"
)(copy)

_COMMANDS: Final[Mapping[Callable[..., None], str]] = {
    adopt: "adopt /mnt/gone/agent_memory.db-spool",
    agents: "agents --run sweep-1 --search ant",
    backup: "backup ants.backup",
    check: "check --repair",
    convert: "convert --search",
    doctor: "doctor --path memory",
    explore: "explore --path memory",
    export: "export ants.parquet --run sweep-1",
    files.import_: "import ants.parquet --path elsewhere",
    forget: "forget --run sweep-1 --agent ant-1",
    history: "history ant-1 food --steps 100:200",
    looking.recall: "recall ant-1 --steps 5:10 --where food=2..4 --limit 5",
    move_to: "move-to --redis redis://host:6379 --ltm postgresql+psycopg://user@host/ants",
    rebind: "rebind --yes",
    report: "report ant-1 -o ant-1.html",
    restore: "restore ants.backup --path elsewhere",
    runs: "runs --json",
    show: "show ant-1 6f1c",
    stats: "stats --run sweep-1",
    status: "status --json",
    tail: "tail --follow --agent ant-1",
}
"""The commands that have modules of their own, and an example of each."""

for _command, _example in _COMMANDS.items():
    _name = _command.__name__.rstrip("_").replace("_", "-")
    app.command(_name, epilog=f"Example: agent-memory {_example}")(_command)


@app.command(epilog="Example: agent-memory demo --agents 50 --steps 20")
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


@app.command(epilog="Example: agent-memory maintain --watch --every 60")
def maintain(
    path: Folder = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Again and again, until Ctrl-C or SIGTERM.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.05, help="Seconds between two rounds, with --watch.")
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Move down what has to leave its tier, agents that are idle or gone included.

    With --watch any number of workers, on any machines, divide the agents among themselves.
    """
    # A worker does its share, and no upkeep of everything when it opens and closes the memory.
    with plain_errors(), opened(path, upkeep=not watch) as system:
        upkeep.maintain(system, every if watch else None, as_json=as_json)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(installed_version("agent-memory"))
        raise typer.Exit


@app.callback()
def main(
    _: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Memory for agents in long simulations."""


@app.command(epilog="Example: agent-memory version")
def version() -> None:
    """Print the version of agent-memory."""
    typer.echo(installed_version("agent-memory"))
