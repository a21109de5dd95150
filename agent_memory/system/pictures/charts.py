"""Vega-Altair charts of what a memory holds. No I/O.

Each takes its rows as data of its own, or under a name by which a page gives them later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import altair as alt

from agent_memory.system.pictures.records import Life, Line, Occupancy, Sampled, World
from agent_memory.system.pictures.rows import extent
from agent_memory.system.pictures.themes import Theme
from agent_memory.values.entry import MemoryType, Tier

Width = int | Literal["container"]
Chart = Any
"""A chart of Altair, whose types are not looked at, since it may not be installed."""

_TIERS = [tier.name for tier in Tier]
_TYPES = [kind.value for kind in MemoryType]
_LONGEST_NAME = 48
# Vega has ticks at halves where there are one or two, whatever ``tickMinStep`` says.
_WHOLE = alt.Axis(
    tickMinStep=1, labelExpr="floor(datum.value) === datum.value ? format(datum.value, ',d') : ''"
)
_LEVEL = alt.Axis(minExtent=52)  # pixels, so that the steps of one picture stand above another's
_FEW = 8  # steps that each have a place on an axis

_MARKS = (
    ("pinned", "▼", "triangle-down", 0), ("born", "▶", "triangle-right", 0),
    ("died", "✕", "cross", 45),
)  # fmt: skip
"""What is marked on a timeline: its name, its sign in the title, and Vega's shape and angle."""


def named(text: str) -> str:
    """A name of any length as a title shows it."""
    line = " ".join(text.split()) or "''"
    return line if len(line) <= _LONGEST_NAME else f"{line[: _LONGEST_NAME - 1]}…"


def inline(rows: list[dict[str, Any]]) -> Chart:
    """Rows as the data of a chart that stands alone."""
    return alt.InlineData(values=rows)


def by_name(name: str) -> Chart:
    """Data that the page gives later."""
    return alt.NamedData(name=name)


def timeline(life: Life, data: Chart, theme: Theme, width: Width, *, contents: bool) -> Chart:
    """Each memory of an agent at its step, by type, coloured by tier; pinned ones are marked."""
    steps = [moment.step for moment in life.moments]
    tooltip = [
        *(_quantity("step", "step", format=",d"), _nominal("type"), _nominal("tier")),
        *(_quantity("importance", "importance (0 to 1)"), _nominal("exact", "contents")),
        *([_nominal("contents", "holds")] if contents else []),
    ]
    base = alt.Chart(data).encode(
        x=_steps_axis(steps),
        y=alt.Y(
            field="type", type="nominal", title=None, sort=_TYPES, axis=_LEVEL,
            scale=alt.Scale(domain=[kind for kind in _TYPES if kind in _types_of(life)]),
        ),
        tooltip=tooltip,
    )  # fmt: skip
    # The parameter of one layer holds for all; added to the layered chart it would copy that twice.
    ticks = (
        base.mark_tick(thickness=2, size=26, opacity=0.85, cursor="pointer")
        .encode(color=_tier_colour(theme))
        .add_params(alt.selection_interval(bind="scales", encodings=["x"]))
    )
    marks = [_marks(base, theme, *each) for each in _MARKS if _is_marked(life, each[0])]
    signs = ", ".join(f"{sign} {name}" for name, sign, *_ in _MARKS if _is_marked(life, name))
    title = _title(
        f"What {named(life.agent_id)} remembers",
        f"steps {min(steps):,} to {max(steps):,}, run {named(life.run_id)}",
        signs,
        life.sampled,
    )
    events = " and ".join(
        f"{moment.event} at step {moment.step:,}" for moment in life.moments if moment.event
    )
    described = (
        f"Timeline of agent {named(life.agent_id)}: {life.sampled.total:,} memories from step "
        f"{min(steps):,} to step {max(steps):,}, coloured by tier{events and f'; {events}'}."
    )
    return alt.layer(ticks, *marks).properties(
        width=width, height=44 * len(_types_of(life)), title=title, description=described
    )


def history(line: Line, data: Chart, theme: Theme, width: Width, *, legend: bool = True) -> Chart:
    """A number over steps: exact values as dots, others hollow within the band of their bounds.

    What is no finite number has no place on the axis: it is a cross at the lower edge.
    """
    steps = [point.step for point in line.points]
    finite = [point for point in line.points if point.is_finite]
    is_bounded = any(point.bound for point in finite)
    edges = [edge for it in finite for edge in (it.value - it.bound, it.value + it.bound)]
    axis = alt.Y(
        field="value", type="quantitative", title=named(line.path), axis=_LEVEL,
        scale=alt.Scale(domain=list(extent(edges)), zero=False, nice=True),
    )  # fmt: skip
    base = alt.Chart(data).encode(x=_steps_axis(steps))
    band = (
        base.transform_filter("isValid(datum.low)")
        .mark_rule(opacity=0.45, strokeWidth=3)
        .encode(
            y=alt.Y(field="low", type="quantitative", title=named(line.path), axis=_LEVEL),
            y2=alt.Y2(field="high"),
            color=_tier_colour(theme, legend=legend),
        )
    )
    path = base.transform_filter("isValid(datum.value)").mark_line(
        color=theme.muted, strokeWidth=1, opacity=0.7
    ).encode(y=axis)  # fmt: skip
    dots = base.transform_filter("isValid(datum.value)").mark_point(
        filled=True, cursor="pointer"
    ).encode(
        y=axis,
        color=_tier_colour(theme, legend=legend),
        shape=alt.Shape(
            field="exact", type="nominal", title="contents",
            scale=alt.Scale(domain=["exact", "within bounds"], range=["circle", "diamond"]),
            legend=alt.Legend(orient="top", titleOrient="left") if is_bounded else None,
        ),
        size=alt.value(22 if len(line.points) <= 500 else 9),
        tooltip=[
            *(_quantity("step", "step", format=",d"), _quantity("value", named(line.path))),
            *(_quantity("bound", "may be off by ±"), _nominal("tier")),
        ],
    )  # fmt: skip
    odd = base.transform_filter("isValid(datum.odd)").mark_point(
        shape="cross", filled=True, size=60, color=theme.ink
    ).encode(
        y=alt.value(122),
        tooltip=[_quantity("step", "step", format=",d"), _nominal("odd", "value")],
    )  # fmt: skip
    layers = [band, path, dots, *([odd] if len(finite) < len(line.points) else [])]
    described = (
        f"{named(line.path)} of agent {named(line.agent_id)} over steps: {len(line.points):,} "
        "values, coloured by tier, with bands where they are not exact."
    )
    return alt.layer(*layers).properties(
        width=width, height=130, description=described,
        title=_title(f"{named(line.path)} of {named(line.agent_id)}", "", line.sampled),
    )  # fmt: skip


def comparison(lines: Sequence[Line], data: Chart, theme: Theme, width: Width) -> Chart:
    """The same number of several agents on the same axes, each with a colour and a dash."""
    names = [named(line.agent_id) for line in lines]
    path = named(lines[0].path)
    points = [point for line in lines for point in line.points]
    values = extent(point.value for point in points if point.is_finite)
    drawn = alt.Chart(data).mark_line(point=alt.OverlayMarkDef(size=14), strokeWidth=1.5).encode(
        x=_steps_axis([point.step for point in points]),
        y=alt.Y(
            field="value", type="quantitative", title=path,
            scale=alt.Scale(domain=list(values), zero=False, nice=True),
        ),
        color=alt.Color(
            field="whose", type="nominal", title="agent",
            scale=alt.Scale(domain=names, range=list(theme.tiers[: len(names)])),
            legend=alt.Legend(orient="top", titleOrient="left", symbolOpacity=1),
        ),
        strokeDash=alt.StrokeDash(
            field="whose", type="nominal", title="agent", scale=alt.Scale(domain=names),
        ),
        tooltip=[_nominal("whose", "agent"), _quantity("step", "step", format=",d"),
                 _quantity("value", path), _nominal("tier")],
    )  # fmt: skip
    return drawn.properties(
        width=width, height=150, description=f"{path} over steps, of {' and '.join(names)}.",
        title=_title(path, *(line.sampled for line in lines)),
    )  # fmt: skip


def occupancy(held: Occupancy, data: Chart, theme: Theme, width: Width) -> Chart:
    """How many entries of which steps lie in which tier."""
    last = max((each.last_step for each in held.held), default=0)
    first = min((each.first_step for each in held.held), default=0)
    bars = alt.Chart(data).mark_rect(stroke=theme.ground, strokeWidth=0.5).encode(
        x=_steps_axis([first, last + 1], field="from"),
        x2=alt.X2(field="until"),
        y=alt.Y(
            field="low", type="quantitative", title="entries", axis=_WHOLE,
            scale=alt.Scale(domain=[0, _highest(held)], nice=True),
        ),
        y2=alt.Y2(field="high"),
        color=_tier_colour(theme),
        tooltip=[
            *(_quantity("from", "from step", format=",d"), _quantity("to", "to step", format=",d")),
            *(_nominal("tier"), _quantity("entries", "entries", format=",d")),
        ],
    )  # fmt: skip
    title = _title(
        f"Which tier holds the entries of {named(held.whose)}", "by step", held.sampled, held.agents
    )
    described = f"Entries of {named(held.whose)} by step and tier, from step {first:,} to {last:,}."
    return bars.properties(width=width, height=220, title=title, description=described)


def world_map(world: World, data: Chart, theme: Theme, width: Width) -> Chart:
    """The agents at a step on a plane; hollow where their latest state is from before it."""
    xs, ys = extent(place.x for place in world.places), extent(place.y for place in world.places)
    colour = _tier_colour(theme)
    if world.colour:
        colour = alt.Color(
            field="value", type="quantitative", title=named(world.colour),
            scale=alt.Scale(scheme=theme.scheme),
        )  # fmt: skip
    where = world.position
    dots = alt.Chart(data).mark_point(size=60, cursor="pointer", strokeWidth=1.5).encode(
        x=_coordinate(alt.X, "x", where.x if where else "x", xs),
        y=_coordinate(alt.Y, "y", where.y if where else "y", ys),
        color=colour,
        fill=alt.condition("datum.age === 0", colour, alt.value("transparent")),
        tooltip=[
            *(_nominal("agent"), _quantity("x", "x"), _quantity("y", "y")),
            *(_quantity("step", "state of step", format=",d"), _nominal("tier")),
            *([_quantity("value", named(world.colour))] if world.colour else []),
        ],
    )  # fmt: skip
    note = "no position was found in the states" if where is None else where.note
    return dots.properties(
        width=width, height=420,
        title=_title(f"The world at step {world.step:,}", f"{note}; hollow: of an earlier step",
                     world.sampled),
        description=f"{len(world.places):,} agents on a plane at step {world.step:,}.",
    )  # fmt: skip


def growth(data: Chart, theme: Theme, width: Width) -> Chart:
    """How many entries each tier held over time."""
    drawn = alt.Chart(data).mark_area(opacity=0.9).encode(
        x=_times_axis(),
        y=alt.Y(field="low", type="quantitative", title="entries", axis=_WHOLE),
        y2=alt.Y2(field="high"),
        color=_tier_colour(theme),
        tooltip=[_time_tooltip(), _nominal("tier"), _quantity("entries", "entries", format=",d")],
    )  # fmt: skip
    return drawn.properties(
        width=width, height=160, title=_title("What the tiers hold", "by time"),
        description="Entries of each tier over time, since the first look.",
    )  # fmt: skip


def speeds(data: Chart, theme: Theme, width: Width) -> Chart:
    """How many entries were stored and moved a second, over time."""
    names, (stores, moves, _) = ["stores", "moves"], theme.tiers
    drawn = alt.Chart(data).mark_line(point=alt.OverlayMarkDef(size=14), strokeWidth=1.5).encode(
        x=_times_axis(),
        y=alt.Y(field="speed", type="quantitative", title="a second", scale=alt.Scale(domainMin=0),
                axis=alt.Axis(tickCount=5)),
        color=alt.Color(
            field="what", type="nominal", title=None,
            scale=alt.Scale(domain=names, range=[stores, moves]),
            legend=alt.Legend(orient="top", symbolOpacity=1),
        ),
        strokeDash=alt.StrokeDash(field="what", type="nominal", scale=alt.Scale(domain=names)),
        tooltip=[_time_tooltip(), _nominal("what"), _quantity("speed", "a second")],
    )  # fmt: skip
    return drawn.properties(
        width=width, height=110,
        title=_title("Stores and moves a second", "stores: less what was forgotten"),
        description="Entries that were stored, and that moved to the next tier, a second.",
    )  # fmt: skip


def _times_axis() -> Chart:
    axis = alt.Axis(format="%H:%M:%S", labelOverlap="greedy", labelSeparation=8)
    return alt.X(field="at", type="temporal", title="time", axis=axis)


def _time_tooltip() -> Chart:
    return alt.Tooltip(field="at", type="temporal", title="time", format="%H:%M:%S")


def _marks(base: Chart, theme: Theme, name: str, sign: str, shape: str, angle: int) -> Chart:
    """The memories of a timeline that are pinned, a birth or a death."""
    del sign  # the title's
    field = "kept" if name == "pinned" else "event"
    return (
        base.transform_filter(f"datum.{field} === '{name}'")
        .mark_point(
            shape=shape, angle=angle, size=70, filled=True, yOffset=-20, cursor="pointer"
        )
        .encode(color=alt.value(theme.ink))
    )  # fmt: skip


def _is_marked(life: Life, name: str) -> bool:
    return any(
        moment.event == name or (moment.pinned and name == "pinned") for moment in life.moments
    )


def _highest(held: Occupancy) -> int:
    """The most entries of any stretch of steps, of all tiers together."""
    heights: Counter[int] = Counter()
    for each in held.held:
        heights[each.first_step] += each.entries
    return max(heights.values(), default=1)


def _types_of(life: Life) -> list[str]:
    return sorted({moment.memory_type.value for moment in life.moments}, key=_TYPES.index)


def _steps_axis(steps: list[int], field: str = "step") -> Chart:
    low, high = min(steps), max(steps)
    if low == high:  # of a single step its neighbours: halves of steps are none
        low, high = max(0, low - 1), high + 1
    few = {"values": [*range(low, high + 1)]} if high - low < _FEW else {"tickMinStep": 1}
    return alt.X(
        field=field, type="quantitative", title="step", axis=alt.Axis(format=",d", **few),
        scale=alt.Scale(domain=[low, high], nice=False, padding=6),
    )  # fmt: skip


def _coordinate(channel: Any, field: str, path: str, ends: tuple[float, float]) -> Chart:
    scale = alt.Scale(domain=list(ends), nice=False, padding=14)
    axis = alt.Axis(tickCount=10, format="~g")
    return channel(field=field, type="quantitative", title=named(path), scale=scale, axis=axis)


def _tier_colour(theme: Theme, *, legend: bool = True) -> Chart:
    above = alt.Legend(orient="top", titleOrient="left", symbolOpacity=1)
    return alt.Color(
        field="tier", type="nominal", title="tier",
        scale=alt.Scale(domain=_TIERS, range=list(theme.tiers)),
        legend=above if legend else None,
    )  # fmt: skip


def _quantity(field: str, title: str, **options: Any) -> Chart:
    return alt.Tooltip(field=field, type="quantitative", title=title, **options)


def _nominal(field: str, title: str | None = None) -> Chart:
    return alt.Tooltip(field=field, type="nominal", title=title or field)


def _title(text: str, *notes: str | Sampled) -> Chart:
    said = [note.note if isinstance(note, Sampled) else note for note in notes]
    return alt.Title(text=text, subtitle="; ".join(filter(None, said)) or " ")
