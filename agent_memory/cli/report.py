"""``agent-memory report``: the pictures of an agent or of a run in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent_memory.cli.opening import Folder, Run, of_run, opened, plain_errors
from agent_memory.cli.output import AsJson
from agent_memory.errors import EntryNotFound, InvalidEntry
from agent_memory.repositories.contract import MemoryRepository
from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.values.json_values import json_line


def report(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[AGENT|RUN]", help="An agent of the run, or a run; else --run."),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The file.")] = Path("report.html"),
    path: Folder = None,
    run: Run = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write pictures of an agent or of a run into one file, which any browser opens offline."""
    with plain_errors(), opened(path, read_only=True) as system:
        memory, agent = _meant(of_run(system, run), name, is_run_named=run is not None)
        file = memory.report(output, agent, force=force)
        size = file.stat().st_size
    if as_json:
        typer.echo(json_line({"path": str(file), "bytes": size}))
    else:
        typer.echo(f"wrote {file}, {size:,} bytes")


def _meant(
    memory: AgentMemorySystem, name: str | None, *, is_run_named: bool
) -> tuple[AgentMemorySystem, str | None]:
    """The run, and the agent where a name is one's."""
    if name is None:
        return memory, None
    is_agent = any(tier.count(memory.config.run_id, name) for tier in _tiers(memory))
    is_run = not is_run_named and any(name in tier.runs() for tier in _tiers(memory))
    if is_agent and is_run:
        raise InvalidEntry(
            f"{name!r} is an agent of run {memory.config.run_id!r} and a run: write --run {name} "
            f"for the run, or {name} --run {memory.config.run_id} for the agent"
        )
    if is_run:
        return memory.run(name), None
    if is_agent:
        return memory, name
    raise EntryNotFound(
        f"{name!r} is no run, and no agent of run {memory.config.run_id!r} that has entries"
    )


def _tiers(memory: AgentMemorySystem) -> tuple[MemoryRepository, ...]:
    return memory.stm, memory.im, memory.ltm
