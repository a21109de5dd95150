"""How the commands speak of errors: one plain line and exit status 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from agent_memory.errors import MemoryStoreError


@contextmanager
def plain_errors() -> Iterator[None]:
    """Print an error of this package as one line, and end with exit status 2."""
    try:
        yield
    except MemoryStoreError as error:
        # What a driver or a parser says may come in several lines.
        typer.echo(f"agent-memory: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from None
