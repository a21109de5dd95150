"""The command that gives an embedded server a query engine, or takes it away."""

from __future__ import annotations

from typing import Annotated

import typer

from agent_memory.cli.opening import Folder, plain_errors
from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import deployment
from agent_memory.connections.embedded.conversion import convert as convert_folder


def convert(
    search: Annotated[
        bool,
        typer.Option("--search/--no-search", help="With the query engine, or without."),
    ],
    path: Folder = None,
) -> None:
    """Give a folder's embedded server the query engine, or take it away; no entry is lost."""
    with plain_errors():
        folder = deployment(MemoryConfig(path=path)).path
        done = convert_folder(folder, search=search)
        if done is None:
            state = "has the query engine" if search else "has no query engine"
            typer.echo(f"{folder}: its server {state} already; nothing to convert")
            return
        typer.echo(f"{folder}: {done.keys:,} keys are now in {done.engine}")
        if done.dropped_indexes:
            typer.echo(f"gone with the query engine: {_named(done.dropped_indexes)}")


def _named(indexes: tuple[str, ...]) -> str:
    return f"the index{'es' if len(indexes) > 1 else ''} {', '.join(indexes)}"
