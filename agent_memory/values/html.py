"""Tables for notebooks: whatever is quoted in them is shown as text, and never as markup."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import islice

from agent_memory.values.quoting import abbreviated

MOST_ROWS = 50
"""How many rows a table shows."""

_LONGEST = 200  # characters of a text


def html_table(columns: Sequence[str], rows: Iterable[Sequence[object]], more: int = 0) -> str:
    """A table, of which at most ``MOST_ROWS`` rows are shown.

    Args:
        columns: What is above the columns.
        rows: The rows; text is shown as it is, other values by a short repr.
        more: How many rows there are besides those that are given.
    """
    waiting = iter(rows)
    body = "".join(_row("td", row) for row in islice(waiting, MOST_ROWS))
    left = more + sum(1 for _ in waiting)
    note = f"<p>... and {left} more</p>" if left else ""
    return f"<table><thead>{_row('th', columns)}</thead><tbody>{body}</tbody></table>{note}"


def html_fields(title: str, values: Mapping[str, object]) -> str:
    """A table of named values, a row each.

    Args:
        title: What it is of.
        values: The values by name.
    """
    return html_table((title, ""), values.items())


def _row(tag: str, values: Iterable[object]) -> str:
    cells = "".join(f"<{tag}>{escape(_shown(value))}</{tag}>" for value in values)
    return f"<tr>{cells}</tr>"


def _shown(value: object) -> str:
    if not isinstance(value, str):
        return abbreviated(value)
    text = value if len(value) <= _LONGEST else f"{value[:_LONGEST]}..."
    # A lone surrogate is no text to a browser.
    return text.encode(errors="backslashreplace").decode()
