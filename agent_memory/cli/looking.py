"""``agent-memory recall``, ``show`` and ``tail``: what agents remember."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.pretty import pprint

from agent_memory.cli.asking import (
    Agent,
    Limit,
    Near,
    Newest,
    OfType,
    Steps,
    Where,
    query_of,
    state_of,
    steps_of,
)
from agent_memory.cli.latest import Latest
from agent_memory.cli.opening import (
    Folder,
    Run,
    complain,
    console,
    of_run,
    opened,
    plain_errors,
)
from agent_memory.cli.output import AsJson, hit_line, hit_row, print_rows
from agent_memory.errors import EntryNotFound, InvalidEntry
from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.values.json_values import json_line
from agent_memory.values.query import Hit, Query


def recall(
    agent: Agent,
    path: Folder = None,
    run: Run = None,
    steps: Steps = "",
    of_type: OfType = None,
    where: Where = None,
    near: Near = "",
    newest: Newest = False,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Print what an agent remembers: by step, by condition, or the most similar first.

    Nothing is counted as a retrieval.
    """
    with plain_errors(), opened(path, read_only=True) as system:
        query = query_of(agent, steps, of_type, where or (), newest=newest, limit=limit)
        memory = of_run(system, run)
        hits = memory.recall(query, near=state_of(near), touch=False)
        if not hits:
            _tell_of_stranger(memory, agent)
    _print(hits, as_json=as_json)


def history(
    agent: Agent,
    attribute: Annotated[str, typer.Argument(metavar="PATH", help="Such as food or at[0].")],
    path: Folder = None,
    run: Run = None,
    steps: Steps = "",
    as_json: AsJson = False,
) -> None:
    """Print how a value of an agent's states went, step by step, and how exact it is."""
    with plain_errors(), opened(path, read_only=True) as system:
        memory = of_run(system, run)
        values = memory.history(agent, attribute, steps=steps_of(steps))
        if not len(values.steps):
            _tell_of_stranger(memory, agent)
    found = values.values.tolist()
    # None is a value here; elsewhere in tables it is nothing.
    shown = found if as_json else ["None" if value is None else value for value in found]
    columns = (values.steps.tolist(), shown, values.bounds.tolist(), values.tiers)
    rows = (
        {"step": step, "value": value, "bound": bound, "tier": tier.name}
        for step, value, bound, tier in zip(*columns, strict=True)
    )
    print_rows(rows, as_json=as_json)


def show(
    agent: Agent,
    memory: Annotated[str, typer.Argument(help="The id of a memory, or how it begins.")],
    path: Folder = None,
    run: Run = None,
    as_json: AsJson = False,
) -> None:
    """Print one memory whole: contents, where it is, how exact and how important."""
    with plain_errors(), opened(path, read_only=True) as system:
        row = hit_row(_found(of_run(system, run), agent, memory))
    if as_json:
        typer.echo(json_line(row))
        return
    contents = row.pop("contents")
    for name, value in {**row.pop("metadata"), **row}.items():
        typer.echo(f"{name.replace('_', ' ')}: {value}")
    pprint(contents, console=console(), expand_all=True)


def tail(
    path: Folder = None,
    run: Run = None,
    agent: Annotated[str | None, typer.Option(help="Of this agent; else of all.")] = None,
    limit: Limit = 10,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on as entries are stored, until Ctrl-C.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.05, help="Seconds between two looks, with --follow.")
    ] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Print the latest entries, the earliest of them first; with -f also those that follow."""
    with plain_errors(), opened(path, read_only=True) as system:
        latest = Latest(of_run(system, run), agent)
        _print(latest.more(limit), as_json=as_json)
        while follow:
            time.sleep(every)
            _print(latest.more(), as_json=as_json)


def _tell_of_stranger(memory: AgentMemorySystem, agent: str) -> None:
    """Say that an agent has no entries at all: its name or its run may be mistyped."""
    if not memory.recall(Query(agent_id=agent, limit=1), touch=False):
        complain(
            f"run {memory.config.run_id!r} holds nothing of agent {agent!r}: agent-memory agents "
            "lists its agents, agent-memory runs the runs"
        )


def _print(hits: Iterable[Hit], *, as_json: bool) -> None:
    rows = map(hit_row if as_json else hit_line, hits)
    print_rows(rows, as_json=as_json)


def _found(system: AgentMemorySystem, agent: str, beginning: str) -> Hit:
    run_id = system.config.run_id
    tiers = (system.stm, system.im, system.ltm)
    keys = {key for tier in tiers for key in tier.keys(run_id, agent)}
    ids = sorted(key.memory_id for key in keys if key.memory_id.startswith(beginning.lower()))
    if len(ids) > 1:
        raise InvalidEntry(
            f"memory {beginning!r}: {len(ids):,} memories of agent {agent!r} begin so, such as "
            f"{ids[0]} and {ids[1]}; give more of the id"
        )
    hit = system.fetch(agent, ids[0], touch=False) if ids else None
    if hit is None:
        raise EntryNotFound(f"agent {agent!r} of run {run_id!r} has no memory {beginning!r}")
    return hit
