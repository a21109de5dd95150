"""``agent-memory backup`` and ``restore``: a whole memory to one file, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from agent_memory.cli.opening import Folder, opened, plain_errors
from agent_memory.cli.output import AsJson, print_report
from agent_memory.cli.progress import shown
from agent_memory.config import MemoryConfig
from agent_memory.system.backups.restoring import RestoreReceipt
from agent_memory.system.backups.saving import BackupReceipt
from agent_memory.system.memory_system import AgentMemorySystem


def backup(
    file: Annotated[Path, typer.Argument(help="The file; one that is there is replaced.")],
    path: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Save a whole memory in one file, beside a live run if need be."""
    with plain_errors(), opened(path, read_only=True) as system, shown() as progress:
        receipt = system.backup(file, progress=progress)
    print_report(receipt, _saved(receipt), as_json=as_json)


def restore(
    file: Annotated[Path, typer.Argument(help="A backup.")],
    path: Folder = None,
    into_existing: Annotated[
        bool,
        typer.Option("--into-existing", help="Add to what is there; the newer copy stays."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty memory, on whatever engines; exit status 1 if it differs."""
    with plain_errors(), shown() as progress:
        receipt = AgentMemorySystem.restore(
            file, MemoryConfig(path=path), into_existing=into_existing, progress=progress
        )
    print_report(receipt, _restored(receipt), as_json=as_json)
    if not receipt.verified:
        raise typer.Exit(1)


def _saved(receipt: BackupReceipt) -> Iterator[str]:
    yield f"saved {counted(receipt.entries)} in {receipt.file}"
    if receipt.unreadable:
        yield f"{receipt.unreadable:,} cannot be read; their bytes are in it: see check"
    yield f"{receipt.stored_bytes:,} bytes, SHA-256 {receipt.digest}"


def _restored(receipt: RestoreReceipt) -> Iterator[str]:
    yield f"restored {counted(receipt.entries)} from {receipt.file}"
    if receipt.unreadable:
        yield f"{receipt.unreadable:,} could not be read when it was made; they are quarantined"
    if receipt.verified:
        yield "read again: all as it was saved"
    else:
        yield (
            f"read again: {len(receipt.differing):,} are not as they were saved, such as "
            f"{receipt.differing[0].memory_id}"
        )


def counted(entries: Mapping[str, int]) -> str:
    """How many entries there are, and where."""
    where = ", ".join(f"{count:,} {place}" for place, count in entries.items())
    return f"{sum(entries.values()):,} entries ({where})"
