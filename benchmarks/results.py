"""Ratios that were measured, as a file that is committed, and what is lost against them.

A ratio says how many times the processor time of the plain way ours takes. It hardly depends on the
machine, which times do.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring import Figure, Quartiles

FILE = Path(__file__).with_name("results.json")

LOSS = 1.5
"""Times its committed ratio: a third of the speed is lost."""


@dataclass(frozen=True, slots=True)
class Row:
    """A ratio beside what was promised.

    Attributes:
        name: What was measured, and beside what.
        durability: What a crash can cost of what was written.
        target: How many times the plain way's processor time is allowed, in words.
        ratio: Quartiles over the rounds.
        note: By the clock, in words.
    """

    name: str
    durability: str
    target: str
    ratio: Quartiles
    note: str = ""

    @classmethod
    def of(cls, figure: Figure, durability: str) -> Row:
        """The row of a figure whose processor time was measured."""
        assert figure.processor is not None
        ratio = Quartiles(*(round(one, 3) for one in figure.processor))
        by_clock = f"{figure.measured} by the clock, {figure.note}"
        return cls(figure.name, durability, figure.target, ratio, by_clock)


def is_lost(now: Quartiles, committed: Quartiles) -> bool:
    """Whether a third of the speed is lost, beyond what noise explains.

    That is so where even the better quartile of the rounds is 1.5 times the committed median, and
    worse than the committed quartiles.
    """
    return now.low > LOSS * committed.middle and now.low > committed.high


def written(rows: Iterable[Row], part: str, file: Path = FILE) -> None:
    """Write the rows of a part; the other parts stay.

    Args:
        rows: The rows.
        part: "quick" or "peers".
        file: Where.
    """
    parts: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    parts[part] = {
        "machine": {
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "load": round(os.getloadavg()[0], 1),
        },
        "rows": [asdict(row) for row in rows],
    }
    file.write_text(json.dumps(parts, indent=1) + "\n")


def committed(part: str, file: Path = FILE) -> Mapping[str, Row]:
    """The committed rows of a part, by name."""
    rows = json.loads(file.read_text())[part]["rows"]
    return {row["name"]: Row(**row | {"ratio": Quartiles(*row["ratio"])}) for row in rows}


def table(rows: Iterable[Row]) -> str:
    """A table of Markdown, in which a ratio is bold where the plain way takes less."""
    lines = ["| what | durability | processor time | quartiles |", "|---|---|---|---|"]
    for row in rows:
        low, middle, high = row.ratio
        ratio = f"**{middle:.2f}x**" if middle > 1 else f"{middle:.2f}x"
        lines.append(f"| {row.name} | {row.durability} | {ratio} | {low:.2f} to {high:.2f} |")
    return "\n".join(lines)


def parts(file: Path = FILE) -> list[str]:
    """The names of the parts that were written."""
    return [*json.loads(file.read_text())]
