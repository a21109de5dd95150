"""How commands print rows: as a table for people, or as a JSON object a line for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from agent_memory.cli.opening import console, one_line
from agent_memory.cli.tables import counted, print_table
from agent_memory.values.entry import Tier
from agent_memory.values.json_values import json_line
from agent_memory.values.query import Hit
from agent_memory.values.quoting import abbreviated

AsJson = Annotated[
    bool, typer.Option("--json", help="Print a JSON object a line, for programs to read.")
]

Row = Mapping[str, Any]

_ID_DIGITS = 16  # an id begins with its time, and `show` takes its beginning


def print_rows(rows: Iterable[Row], *, as_json: bool) -> None:
    """Print rows of the same columns.

    In a table, columns that are empty in every row are left out, and numbers are aligned to the
    right.

    Args:
        rows: The rows: values by the name of their column; None or an empty text for nothing.
        as_json: Whether each is a JSON object on a line of its own, with all columns.
    """
    if as_json:
        for row in rows:
            typer.echo(json_line(row))
        return
    printed = [*rows]
    if printed:
        print_table(console(), _table(printed))


def _table(rows: Sequence[Row]) -> Table:
    shown = [name for name in rows[0] if any(row[name] not in (None, "") for row in rows)]
    table = counted()
    for name in shown:
        is_text = any(isinstance(row[name], str) for row in rows)
        table.add_column(name, justify="left" if is_text else "right")
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in shown))
    return table


def print_lines(lines: Iterable[str]) -> None:
    """Print sentences, each on one line whatever is quoted in it."""
    for line in lines:
        typer.echo(one_line(line))


def print_report(report: Any, lines: Iterable[str], *, as_json: bool) -> None:
    """Print what a dataclass tells: its fields as JSON, or sentences for people."""
    if as_json:
        typer.echo(json_line(asdict(report)))
    else:
        print_lines(lines)


def hit_row(hit: Hit) -> dict[str, Any]:
    """What is said of a hit in JSON: all but its vector, which is of use to few."""
    row = {**hit.entry.to_dict(), "tier": hit.tier.name}
    del row["embeddings"]
    return row if hit.score is None else {**row, "score": hit.score}


def hit_line(hit: Hit) -> dict[str, Any]:
    """What is said of a hit in a table."""
    entry = hit.entry
    line = {
        "memory": entry.memory_id[:_ID_DIGITS],
        "agent": entry.agent_id,
        "step": str(entry.step_number),
        "type": entry.memory_type.value,
        "tier": hit.tier.name,
        "contents": abbreviated(_as_numbers(dict(entry.contents))),
    }
    return line if hit.score is None else {"score": f"{hit.score:.4f}", **line}


def by_tier(entries: Mapping[Tier, int]) -> dict[str, int]:
    """Counts by the name of the tier, of all tiers."""
    return {tier.name: entries.get(tier, 0) for tier in Tier}


def _cell(value: object) -> str:
    if type(value) is int:
        return f"{value:,}"
    text = "" if value is None else str(value)
    return text if text.isprintable() else repr(text)


def _as_numbers(value: Any) -> Any:
    """Contents in which numbers of NumPy are Python's, which read better in a table."""
    if isinstance(value, dict):
        return {name: _as_numbers(part) for name, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_as_numbers, value))
    return value.item() if isinstance(value, np.number) else value
