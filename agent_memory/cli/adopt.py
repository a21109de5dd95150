"""``agent-memory adopt``: what waits on the disk of a machine that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from agent_memory.cli.opening import Folder, opened, plain_errors
from agent_memory.cli.output import AsJson, print_lines
from agent_memory.tiers.adoption import AdoptedSpool
from agent_memory.values.json_values import json_line


def adopt(
    file: Annotated[Path, typer.Argument(help="The spool: the file whose name ends in -spool.")],
    path: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Store the entries that wait in the spool of a machine that is gone."""
    with plain_errors(), opened(path) as system:
        adopted = system.adopt_spool(file)
    if as_json:
        typer.echo(json_line(adopted._asdict()))
    else:
        print_lines(_told(adopted, file))


def _told(adopted: AdoptedSpool, file: Path) -> Iterator[str]:
    yield f"stored {adopted.entries:,} entries that waited in {file}"
    if adopted.left:
        yield (f"{adopted.left:,} are left there: they cannot be read, or belong to other memories")
