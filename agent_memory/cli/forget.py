"""``agent-memory forget``: what is forgotten on demand, and the receipt of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from agent_memory.cli.opening import Folder, opened, plain_errors
from agent_memory.cli.output import AsJson, print_report
from agent_memory.system.erasure import ForgettingReceipt


def forget(
    path: Folder = None,
    agent: Annotated[str | None, typer.Option(help="All that this agent remembers.")] = None,
    run: Annotated[
        str | None,
        typer.Option(help="Of this run, else of 'default'; without agent or memory: all of it."),
    ] = None,
    memory: Annotated[str | None, typer.Option(help="This memory alone, by its id.")] = None,
    after: Annotated[
        int | None,
        typer.Option(help="Roll the run back: what it stored of later steps than this one."),
    ] = None,
    scrub: Annotated[
        bool,
        typer.Option(help="Rewrite the files, which keep the bytes of what was removed."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether to go on.")] = False,
    as_json: AsJson = False,
) -> None:
    """Forget an agent, a run, its later steps or one memory for good; print the receipt."""
    if after is not None and (scrub or not (agent is memory is None)):
        raise typer.BadParameter("--after rolls a run back: leave out --agent, --memory, --scrub")
    with plain_errors(), opened(path) as system:
        names_something = any(one is not None for one in (agent, run, memory, after))
        if names_something and not yes:
            typer.confirm(f"Forget {_asked(agent, run, memory, after)} for good?", abort=True)
        if after is None:
            receipt = system.forget(agent, run=run, memory_id=memory, scrub=scrub)
        else:
            receipt = (system if run is None else system.run(run)).forget_after(after)
        print_report(receipt, _lines(receipt), as_json=as_json)
    if not receipt.verified:
        raise typer.Exit(1)


def _asked(agent: str | None, run: str | None, memory: str | None, after: int | None) -> str:
    of_run = f"of run {run or 'default'!r}"
    if after is not None:
        return f"all {of_run} after step {after}"
    if memory is not None:
        return f"memory {memory} {of_run}"
    return f"run {run!r}" if agent is None else f"agent {agent!r} {of_run}"


def _lines(receipt: ForgettingReceipt) -> Iterator[str]:
    where = ", ".join(f"{copies:,} in {place}" for place, copies in receipt.removed.items())
    yield f"forgot {receipt.what}: {receipt.entries:,} memories ({where})"
    if receipt.quarantined:
        yield f"and {receipt.quarantined:,} damaged ones in quarantine"
    if receipt.encoder_versions:
        yield f"versions of the encoder that learned: {_numbers(receipt.encoder_versions)}"
    if receipt.unattributed_versions:
        yield f"versions that may have learned: {_numbers(receipt.unattributed_versions)}"
    for file in receipt.rewritten:
        yield f"rewritten: {file}"
    for file, problem in receipt.not_rewritten.items():
        yield f"not rewritten: {file}: {problem}"
    if receipt.verified:
        yield "looked again: nothing of it is left"
    else:
        yield f"looked again: {len(receipt.remaining):,} were stored again meanwhile"


def _numbers(versions: tuple[int, ...]) -> str:
    return ", ".join(map(str, versions))
