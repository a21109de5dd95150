"""``agent-memory db copy`` and ``move-to``: a whole memory to other engines, and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from agent_memory.cli.backup import counted
from agent_memory.cli.opening import Folder, plain_errors
from agent_memory.cli.output import AsJson, print_report
from agent_memory.cli.progress import shown
from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import (
    LTM_URL_VARIABLE,
    PATH_VARIABLE,
    REDIS_URL_VARIABLE,
    deployment,
)
from agent_memory.errors import ConfigError
from agent_memory.system.copying import CopyReceipt, MemoryPlace, copy_memory, work_folder
from agent_memory.values.urls import without_password

_Work = Annotated[
    Path,
    typer.Option(help="Where the copy keeps its backup until all was read again; as large as it."),
]
_PLACE = "A folder, or REDIS_URL,LTM_URL"


def copy(
    original: Annotated[str, typer.Argument(metavar="FROM", help=f"The memory. {_PLACE}.")],
    to: Annotated[str, typer.Argument(metavar="TO", help=f"Where nothing is yet. {_PLACE}.")],
    work: _Work = Path(),
    as_json: AsJson = False,
) -> None:
    """Copy a whole memory to other engines, beside a live run if need be; 1 if it differs."""
    with plain_errors():
        receipt = _copied(MemoryPlace.of(original), MemoryPlace.of(to), work, is_last=False)
    _print(receipt, f"copied to {_shown(to)}", as_json=as_json)


def move_to(
    redis: Annotated[str, typer.Option(help="URL of the server that is to hold it.")],
    ltm: Annotated[str, typer.Option(help="SQLAlchemy URL of its long-term memory.")],
    path: Folder = None,
    work: _Work = Path(),
    as_json: AsJson = False,
) -> None:
    """Copy a folder's memory to servers, and see that nothing changed in it; 1 if something did.

    The folder stays as it is. Nobody should use it meanwhile.
    """
    with plain_errors():
        folder = deployment(MemoryConfig(path=path, engine="embedded")).path
        to = MemoryPlace(redis_url=redis, ltm_url=ltm)
        receipt = _copied(MemoryPlace(path=folder), to, work, is_last=True)
    _print(receipt, f"copied from {folder}", as_json=as_json)
    if not as_json:
        typer.echo(
            f"from now on: set ${REDIS_URL_VARIABLE} and ${LTM_URL_VARIABLE} to these URLs (and "
            f"${PATH_VARIABLE} to a folder of each machine); {folder} may go"
        )


def _copied(original: MemoryPlace, to: MemoryPlace, work: Path, *, is_last: bool) -> CopyReceipt:
    if original == to:
        raise ConfigError("a memory cannot be copied to where it is: name another place")
    folder = work_folder(original, to, work)
    with shown() as progress:
        return copy_memory(original, to, folder, is_last=is_last, progress=progress)


def _print(receipt: CopyReceipt, what: str, *, as_json: bool) -> None:
    print_report(receipt, _told(receipt, what), as_json=as_json)
    if not receipt.verified:
        raise typer.Exit(1)


def _told(receipt: CopyReceipt, what: str) -> Iterator[str]:
    yield f"{what}: {counted(receipt.entries)}"
    if receipt.resumed:
        yield "this went on with a copy that was broken off: what was stored since is not in it"
    if receipt.unreadable:
        yield f"{receipt.unreadable:,} cannot be read; their bytes are quarantined: see check"
    if receipt.differing:
        yield (
            f"read again: {len(receipt.differing):,} are not as they were, such as "
            f"{receipt.differing[0].memory_id}"
        )
    elif receipt.changed:
        yield (
            f"{len(receipt.changed):,} entries changed in the original meanwhile, such as "
            f"{receipt.changed[0].memory_id}: end what uses it, and copy it to an empty place"
        )
    else:
        yield "read again: all as it was"


def _shown(place: str) -> str:
    found = MemoryPlace.of(place)
    if found.path is not None:
        return str(found.path)
    return f"{without_password(found.redis_url or '')} and {without_password(found.ltm_url or '')}"
