"""``agent-memory runs``, ``agents`` and ``stats``: what a memory holds, in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from agent_memory.cli.opening import Folder, Run, of_run, opened, plain_errors
from agent_memory.cli.output import AsJson, Row, by_tier, print_rows
from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.values.quoting import quoted
from agent_memory.values.run import RunSummary


def runs(path: Folder = None, as_json: AsJson = False) -> None:
    """List the runs: what they were begun with, how they stand, and their entries by tier."""
    with plain_errors(), opened(path, read_only=True) as system:
        found = system.runs()
    print_rows((_of_run(run, as_json=as_json) for run in found), as_json=as_json)


def _of_run(run: RunSummary, *, as_json: bool) -> Row:
    named = {name: quoted(value, 40) for name, value in run.parameters.items()}
    shown = ", ".join(f"{name}={value}" for name, value in named.items())
    return {
        "run": run.run_id,
        "parent": run.parent,
        # One that was drawn has more bits than readers of JSON take as a number.
        "seed": None if run.seed is None else str(run.seed),
        "status": run.status,
        "agents": run.agents,
        "first step": run.first_step,
        "last step": run.last_step,
        **by_tier(run.entries),
        "parameters": dict(run.parameters) if as_json else shown,
    }


def agents(
    path: Folder = None,
    run: Run = None,
    search: Annotated[
        str, typer.Option(help="Only agents whose id contains this, in either case.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List the agents of a run: their steps, and entries by tier."""
    with plain_errors(), opened(path, read_only=True) as system:
        groups = of_run(system, run).statistics(by="agent")
    rows = (
        {
            "agent": name,
            "first step": group.first_step,
            "last step": group.last_step,
            **by_tier(group.entries),
        }
        for name, group in groups.items()
        if search.casefold() in name.casefold()
    )
    print_rows(rows, as_json=as_json)


def stats(path: Folder = None, run: Run = None, as_json: AsJson = False) -> None:
    """Show what each tier holds: entries and bytes, of a run and of the whole memory."""
    with plain_errors(), opened(path, read_only=True) as system:
        print_rows(_tiers(of_run(system, run)), as_json=as_json)


def _tiers(system: AgentMemorySystem) -> Iterator[Row]:
    for tier, held in system.statistics().items():
        yield {
            "tier": tier.name,
            "entries of the run": held.entries,
            "of all runs": held.all_entries,
            "bytes in all": held.stored_bytes,
            "bytes an entry": round(held.bytes_per_entry),
        }
