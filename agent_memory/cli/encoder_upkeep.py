"""The commands that look after versions of the encoder: what they are worth now, and removal."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from agent_memory.cli import tables
from agent_memory.cli.encoder import app, entry_bar
from agent_memory.cli.opening import Folder, console, opened, plain_errors
from agent_memory.embeddings.own import KIND
from agent_memory.system.learning.fidelity import Fidelity, PathFidelity
from agent_memory.system.learning.own_recall import OwnRecall

__all__ = ["app"]

_Runs = Annotated[
    list[str] | None, typer.Option("--run", help="A run; may be given several times.")
]


@app.command()
def report(
    path: Folder = None,
    run: _Runs = None,
    version: Annotated[
        int | None, typer.Option(min=0, help="As listed; else the active one.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="Memories to measure at most.")] = 2_000,
) -> None:
    """Show what a version makes of memories that are still exact, and whether it drifts.

    Of a model of your own, what long-term memory finds among its vectors. Exit status 1 if another
    training, or another way of storing vectors, is advised.
    """
    screen = console()
    with plain_errors(), opened(path, read_only=True) as system:
        wanted = run or tables.runs_of(system)
        records = {record.version: record for record in system.encoders.versions()}
        if version in records and records[version].kind == KIND:
            own = system.encoders.own_recall(records[version].name, runs=wanted, most=most)
            _print_own(screen, own)
            return
        found = system.encoders.fidelity(version, runs=wanted, most=most)
    tables.print_table(screen, _paths(found))
    screen.print(f"version {found.version}, measured on {found.entries:,} memories", soft_wrap=True)
    if found.known is not None and found.outside is not None:
        screen.print(
            f"numbers inside their bounds: {found.inside:.3f}; outside their lattices: "
            f"{found.outside:.1%}; contents of a known shape: {found.known:.1%}",
            soft_wrap=True,
        )
    for advice in found.advice:
        screen.print(advice, soft_wrap=True)
    if found.drifted:
        raise typer.Exit(1)


@app.command()
def recode(path: Folder = None, run: _Runs = None) -> None:
    """Code contents of long-term memory with the active version; may be stopped at any moment."""
    screen = console()
    with plain_errors(), opened(path) as system:
        with entry_bar(screen) as progress:
            done = system.encoders.recode(runs=run, progress=progress)
        screen.print(f"recoded: {done.done:,} entries")
        if done.left:
            screen.print(f"changed meanwhile or unreadable, and left: {done.left:,}")


@app.command()
def remove(
    version: Annotated[int, typer.Argument(min=1, help="As listed.")], path: Folder = None
) -> None:
    """Remove a version that no entry needs any more."""
    with plain_errors(), opened(path) as system:
        system.encoders.remove(version)
        typer.echo(f"version {version} is removed")


def _print_own(screen: Console, found: OwnRecall) -> None:
    screen.print(
        f"vectors of {found.name!r}: {found.dim} numbers each, measured on {found.entries:,}",
        soft_wrap=True,
    )
    for tier, recall in found.recall.items():
        screen.print(f"{tier.name}: recall@10 {recall:.3f}")
    for advice in found.advice:
        screen.print(advice, soft_wrap=True)
    if found.advice:
        raise typer.Exit(1)


def _paths(found: Fidelity) -> Table:
    table = tables.counted(
        "path", "bound", "mean error", "largest", "outside", "from vectors", "expected"
    )
    for path, one in found.paths.items():
        table.add_row(path, *_described(one))
    return table


def _described(one: PathFidelity) -> tuple[str, ...]:
    vectors = tuple(
        "" if error is None else f"{error:.3g}"
        for error in (one.vector_measured, one.vector_expected)
    )
    if one.bound is None:
        return "exact", "", "", "", *vectors
    figures = (one.bound, one.mean, one.largest)
    return (*(f"{figure:.3g}" for figure in figures), f"{one.outside:.1%}", *vectors)
