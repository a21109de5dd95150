"""Draws the ratios of ``results.json`` for docs/benchmarks.md, and prints their tables.

    python -m benchmarks.plots

Altair and vl-convert come with the extra ``explore``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import altair as alt

from benchmarks.results import FILE, Row, committed, parts, table

PICTURES = FILE.parents[1] / "docs" / "pictures"

_LABEL, _WIDTH = 480, 360  # pixels
_LETTER = 6.5  # pixels of a letter of a label, in fonts that are wide


def chart(rows: Iterable[Row], title: str) -> Any:
    """A point a row with its quartiles, by how many times the plain way's processor time it takes.

    Args:
        rows: The ratios.
        title: What they are.
    """
    rows = list(rows)
    data = alt.Data(values=[{"what": row.name, **row.ratio._asdict()} for row in rows])
    axis = alt.Axis(labelLimit=_LABEL, labelExpr=_IN_TWO, minExtent=_extent(rows))
    what = alt.Y("what:N", sort=None, title=None, axis=axis)
    scale = alt.Scale(type="log", nice=False, padding=12)
    base = alt.Chart(data)
    ranges = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", scale=scale, title="times the plain way's processor time"),
        x2="high:Q",
        y=what,
    )
    points = base.mark_point(filled=True, size=60).encode(
        x="middle:Q",
        y=what,
        color=alt.condition("datum.middle > 1", alt.value("#b5432a"), alt.value("#2a6fb5")),
    )
    even = alt.Chart(alt.Data(values=[{"one": 1.0}])).mark_rule(strokeDash=[4, 4])
    return alt.layer(even.encode(x="one:Q"), ranges, points).properties(
        title=title, width=_WIDTH, height=alt.Step(34)
    )


# A long name takes two lines, broken at what it is measured against.
_IN_TWO = "split(replace(datum.label, /,? against/, '\\nagainst'), '\\n')"


def _extent(rows: Iterable[Row]) -> float:
    """How wide the labels are, in pixels.

    Labels are laid out here and shown elsewhere, by a font that may be wider than the one they were
    measured with; what the picture leaves no room for would be cut off.
    """
    lines = (line for row in rows for line in row.name.split(" against "))
    return _LETTER * max(map(len, lines), default=0)


def main() -> None:
    """Draw a picture of each part, and print its table."""
    for part in parts():
        file = PICTURES / f"benchmarks-{part}.svg"
        rows = committed(part).values()
        chart(rows, f"Ratios of python -m benchmarks.{part}").save(file)
        print(table(rows), "", sep="\n")


if __name__ == "__main__":
    main()
