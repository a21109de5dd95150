"""Pictures for pages: the rows once, and a specification for light and for dark ground."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from altair.utils.schemapi import debug_mode

from agent_memory.system.pictures import charts
from agent_memory.system.pictures.records import Life, Line, Look, Occupancy, World
from agent_memory.system.pictures.rows import (
    Row,
    growth_rows,
    held_rows,
    line_rows,
    moment_rows,
    place_rows,
    speed_rows,
)
from agent_memory.system.pictures.themes import DARK, LIGHT, Theme, recoloured

Specs = Mapping[str, Mapping[str, Any]]
_Chart = Callable[[Any, Theme], charts.Chart]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that a page draws in either theme.

    Attributes:
        rows: Its data.
        specs: By "light" and "dark", what Vega-Lite draws of the data named ``rows``.
    """

    rows: list[Row]
    specs: Specs

    def as_dict(self) -> dict[str, Any]:
        """Both by name, as JSON has it; nothing is copied."""
        return {"rows": self.rows, "specs": self.specs}


def timeline(life: Life, *, contents: bool) -> Picture:
    """The timeline of an agent."""
    return _drawn(
        moment_rows(life, contents=contents),
        lambda data, theme: charts.timeline(life, data, theme, "container", contents=contents),
    )


def history(line: Line, *, legend: bool = True) -> Picture:
    """How a number of an agent went; without a legend below a picture that has the same."""
    return _drawn(
        line_rows(line),
        lambda data, theme: charts.history(line, data, theme, "container", legend=legend),
    )


def occupancy(held: Occupancy) -> Picture:
    """Which tier holds the entries of which steps."""
    return _drawn(
        held_rows(held), lambda data, theme: charts.occupancy(held, data, theme, "container")
    )


def world_map(world: World) -> Picture:
    """The agents at a step."""
    return _drawn(
        place_rows(world), lambda data, theme: charts.world_map(world, data, theme, "container")
    )


def comparisons(first: Sequence[Line], second: Sequence[Line]) -> list[tuple[str, Picture]]:
    """The numbers that two agents have in common, by path, each on the same axes."""
    others = {line.path: line for line in second}
    pairs = [(line, others[line.path]) for line in first if line.path in others]
    return [(pair[0].path, _comparison(pair)) for pair in pairs if all(it.points for it in pair)]


def _comparison(lines: Sequence[Line]) -> Picture:
    rows = [
        row | {"whose": charts.named(line.agent_id)}
        for line in lines for row in line_rows(line) if "value" in row
    ]  # fmt: skip
    return _drawn(rows, lambda data, theme: charts.comparison(lines, data, theme, "container"))


def growth(looks: Sequence[Look]) -> list[Picture]:
    """What the tiers held over time, and how fast it changed."""
    held, speeds = _growth_specs()
    return [Picture(growth_rows(looks), held), Picture(speed_rows(looks), speeds)]


@cache
def _growth_specs() -> tuple[Specs, Specs]:
    """They are the same whatever is drawn, and are asked for every few seconds."""
    return (
        _specs(lambda data, theme: charts.growth(data, theme, "container")),
        _specs(lambda data, theme: charts.speeds(data, theme, "container")),
    )


def _drawn(rows: list[Row], chart: _Chart) -> Picture:
    return Picture(rows, _specs(chart))


def _specs(chart: _Chart) -> Specs:
    """A chart in both themes; Altair makes one of them, which takes longer than all the rest."""
    # What is made here is the same whatever a memory holds, and tests look at it; for each part of
    # a chart Altair would take as long again to see whether it fits its schema.
    with debug_mode(False):
        light = chart(charts.by_name("rows"), LIGHT).to_dict(validate=False)
    return {
        LIGHT.name: {**light, "config": LIGHT.config()},
        DARK.name: {**recoloured(light, LIGHT, DARK), "config": DARK.config()},
    }
