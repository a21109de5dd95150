"""``agent-memory export`` and ``import``: entries to files for other programs, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agent_memory.cli.opening import Folder, opened, plain_errors
from agent_memory.cli.output import AsJson
from agent_memory.cli.progress import shown
from agent_memory.errors import InvalidEntry
from agent_memory.values.json_values import json_line
from agent_memory.values.progress import EntriesProgress


class Format(StrEnum):
    """What a file is written as."""

    PARQUET = "parquet"
    JSONL = "jsonl"
    CSV = "csv"


def export(
    file: Annotated[Path, typer.Argument(help="The file; with --by-run the folder.")],
    path: Folder = None,
    run: Annotated[
        list[str] | None, typer.Option(help="Of this run; repeatable. Else of all runs.")
    ] = None,
    of_format: Annotated[
        Format | None, typer.Option("--format", help="Else what the name ends in, else parquet.")
    ] = None,
    by_run: Annotated[
        bool, typer.Option("--by-run", help="A folder with a folder for each run, run_id=NAME.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write entries to a Parquet, JSON Lines or CSV file, beside a live run if need be."""
    with plain_errors(), opened(path, read_only=True) as system, _counted("written") as progress:
        receipt = system.export(
            file,
            runs=run or [*system.statistics(by="run")],
            format=None if of_format is None else of_format.value,
            partition_by="run_id" if by_run else None,
            force=force,
            progress=progress,
        )
    if as_json:
        sizes = {"entries": receipt.entries, "bytes": receipt.stored_bytes}
        typer.echo(json_line({"path": receipt.path, "files": receipt.files, **sizes}))
        return
    typer.echo(f"exported {receipt.entries:,} entries to {receipt.path}")
    typer.echo(f"{receipt.stored_bytes:,} bytes in {len(receipt.files):,} files")


def import_(
    file: Annotated[Path, typer.Argument(help="What export wrote: a file or a folder.")],
    path: Folder = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace other entries that have the same ids.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Store what export wrote; exit status 1 if it differs when it is read again.

    The memory is made if it is not there. All rows are read and checked before the first is
    stored. An import that was interrupted goes on with the same command.
    """
    with plain_errors():
        if not file.exists():  # a mistyped name makes no memory
            raise InvalidEntry(f"{file}: there is no export; name what agent-memory export wrote")
    with plain_errors(), opened(path, make=True) as system, _counted("done") as progress:
        receipt = system.import_(file, force=force, progress=progress)
    counts = {name: getattr(receipt, name) for name in ("stored", "present", "forgotten")}
    if as_json:
        typer.echo(json_line({"path": receipt.path, **counts, "differing": receipt.differing}))
    else:
        typer.echo(f"imported {receipt.stored:,} entries from {receipt.path}")
        typer.echo(f"{receipt.present:,} were there, {receipt.forgotten:,} are forgotten here")
        typer.echo(
            "read again: all are as the file has them"
            if receipt.verified
            else f"read again: {len(receipt.differing):,} are not as the file has them, such as "
            f"{receipt.differing[0].memory_id}"
        )
    if not receipt.verified:
        raise typer.Exit(1)


@contextmanager
def _counted(done: str) -> Iterator[EntriesProgress | None]:
    """What shows on a terminal how many of how many entries are done."""
    with shown() as progress:
        yield None if progress is None else lambda count, of: progress(f"of {of:,} {done}", count)
