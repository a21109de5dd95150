"""``agent-memory status``: how the stores are, and what waits for one that is away."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import typer

from agent_memory.cli import tables
from agent_memory.cli.opening import Folder, console, opened, plain_errors
from agent_memory.cli.output import AsJson, print_lines
from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import deployment
from agent_memory.connections.folder_record import recorded_config
from agent_memory.errors import StoreUnavailable
from agent_memory.system.identity import as_recorded, identity_of
from agent_memory.tiers.spool import spool_of
from agent_memory.values.json_values import json_line
from agent_memory.values.status import MemoryStatus, SpoolStatus, StoreStatus


def status(path: Folder = None, as_json: AsJson = False) -> None:
    """Show which runs a folder remembers, and what waits, beside a live simulation if need be."""
    with plain_errors():
        try:
            with opened(path, read_only=True) as system:
                if as_json:
                    typer.echo(json_line({**asdict(system.status), "runs": tables.runs_of(system)}))
                    return
                tables.print_table(console(), tables.runs(system))
                print_lines(lines(system.status))
        except StoreUnavailable:
            # What waits lies on this machine, and is known without the server.
            print_lines(left_waiting(path))
            raise


def lines(status: MemoryStatus) -> Iterator[str]:
    """How each store is, and what waits."""
    yield f"short-term and intermediate memory: {_store(status.short_term)}"
    yield f"long-term memory: {_store(status.long_term)}"
    yield from waiting(status.spool)


def waiting(held: SpoolStatus | None) -> Iterator[str]:
    """What waits in a spool; nothing is said where nothing does."""
    if held is not None and held.waiting_since is not None:
        yield (
            f"waiting for short-term memory: {held.entries:,} entries since "
            f"{_time(held.waiting_since)}, {held.stored_bytes:,} bytes in {held.file}"
        )
    if held is not None and held.refused:
        yield f"{held.refused:,} of them are refused by the server; its log says why"
    if held is not None and held.elsewhere:
        yield (
            f"waiting for another server: {held.elsewhere:,} entries in {held.file}; open the "
            "memory with that server's URL to store them"
        )


def left_waiting(path: Path | None) -> Iterator[str]:
    """What waits for a memory that cannot be opened, as its server is away."""
    config = MemoryConfig(path=path)
    where = deployment(config)
    if where.engine == "embedded":
        config = MemoryConfig(path=path, engine="embedded", **recorded_config(where.path))
        where = deployment(config)
    else:
        config = as_recorded(config, where)
    spool = spool_of(config, where, identity_of(config, where))
    if spool is None:
        yield from waiting(None)
        return
    with closing(spool):
        yield from waiting(spool.status())


def _store(store: StoreStatus) -> str:
    if store.away_since is None:
        return f"up ({store.name})"
    return f"away since {_time(store.away_since)} ({store.reason})"


def _time(at: float) -> str:
    return dt.datetime.fromtimestamp(at).astimezone().isoformat(sep=" ", timespec="seconds")
