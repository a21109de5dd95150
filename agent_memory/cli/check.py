"""``agent-memory check``: looks through a whole memory, and mends what can be mended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from agent_memory.cli.opening import Folder, opened, plain_errors
from agent_memory.cli.output import AsJson, print_report
from agent_memory.cli.progress import shown
from agent_memory.values.check_report import CheckReport


def check(
    path: Folder = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Mend what can be mended; nothing is lost by it."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look through a whole memory, beside a live run if need be; exit status 1 if faults are left.

    Exit status 2 if it cannot be opened.
    """
    with plain_errors(), opened(path, read_only=not repair) as system, shown() as progress:
        report = system.check(repair=repair, progress=progress)
    print_report(report, _lines(report), as_json=as_json)
    if not report.sound:
        raise typer.Exit(1)


def _lines(report: CheckReport) -> Iterator[str]:
    for what, count in report.looked_at.items():
        yield f"looked at {count:,} {what}"
    for finding in report.findings:
        yield str(finding)
    unlisted = sum(report.found.values()) - len(report.findings)
    if unlisted:
        yield f"and {unlisted:,} more"
    for problem in report.unfinished:
        yield f"not looked at: {problem}"
    found = sum(report.found.values())
    yield (
        f"{found:,} findings, {found - report.left:,} mended, {report.left:,} left"
        if found
        else "sound: nothing is wrong"
        if report.sound
        else "nothing was found, but not all could be looked at"
    )
