"""Measures every figure and prints it beside its target; ends with 1 if one is missed."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from benchmarks import (
    compression,
    encoding,
    episodes,
    frames,
    moving,
    querying,
    similarity,
    storing,
    weight,
)
from benchmarks.measuring import Figure


def main() -> int:
    """Run all benchmarks."""
    console = Console()
    figures: list[Figure] = []
    subjects = (
        *(storing, episodes, moving, weight, encoding, compression, similarity, querying),
        frames,
    )
    for subject in subjects:
        with console.status(f"measuring {subject.__name__.rpartition('.')[2]} ..."):
            figures += subject.figures()
    table = Table(title="Figures, each measured beside its target", show_lines=True)
    for heading in ("what", "target", "measured", "met", "note"):
        table.add_column(heading)
    for figure in figures:
        met = "[green]yes" if figure.met else "[red]no"
        table.add_row(figure.name, figure.target, figure.measured, met, figure.note)
    console.print(table)
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
