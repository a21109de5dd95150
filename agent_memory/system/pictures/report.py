"""The report: the pictures of an agent or of a run in one file, which needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from string import Template
from typing import Any

from agent_memory.system.pictures import drawn
from agent_memory.system.pictures.charts import named
from agent_memory.system.pictures.data import PictureData
from agent_memory.system.pictures.drawn import Picture
from agent_memory.system.pictures.rows import contents_line
from agent_memory.system.pictures.sampling import evenly
from agent_memory.system.pictures.scripts import asset, vega_script
from agent_memory.values.entry import Tier

_MOST_AGENTS = 200
"""Agents in the list of a run's report."""

_LATEST = 20
"""Memories in the list of an agent's report."""

_LONG = 24
"""Characters of a cell that may be broken anywhere."""


def agent_report(data: PictureData, agent_id: str | int) -> str:
    """The page of an agent: its timeline, its numbers over time, which tier holds what.

    Raises:
        EntryNotFound: The agent has no entries in the run.
    """
    life = data.life(agent_id)
    lines = [line for line in data.lines(life).lines if line.points]
    steps = [moment.step for moment in life.moments]
    entries = [sum(moment.tier is tier for moment in life.moments) for tier in Tier]
    latest = [
        (hit.entry.step_number, hit.entry.memory_type.value, hit.tier.name, contents_line(hit))
        for hit in reversed(life.hits[-_LATEST:])
    ]
    page = _Page(f"Agent {named(life.agent_id)}", f"run {named(data.run_id)}")
    page.figures(
        [("memories", life.sampled.total, ""), ("first step", min(steps), ""),
         ("last step", max(steps), "")], entries,
    )  # fmt: skip
    page.note(life.sampled.note)
    page.picture(drawn.timeline(life, contents=True))
    page.heading("Its numbers over time")
    page.note("" if lines else "No entry holds a number.")
    for line in lines:
        page.picture(drawn.history(line, legend=False))
    page.heading("Where its memories lie")
    page.picture(drawn.occupancy(data.occupancy(life.agent_id)))
    page.heading("The latest memories")
    page.table(("step", "type", "tier", "contents"), latest)
    return page.html()


def run_report(data: PictureData) -> str:
    """The page of a run: which tier holds what, the world at its last step, its agents.

    Raises:
        EntryNotFound: The run has no entries.
    """
    held = data.occupancy()
    agents = data.agents()
    entries = [sum(agent.entries[tier] for agent in agents) for tier in Tier]
    last = max(agent.last_step for agent in agents)
    page = _Page(f"Run {named(data.run_id)}", "all agents")
    page.figures(
        [("agents", len(agents), ""), ("memories", sum(entries), ""),
         ("first step", min(agent.first_step for agent in agents), ""), ("last step", last, "")],
        entries,
    )  # fmt: skip
    page.note(held.sampled.note)
    page.picture(drawn.occupancy(held))
    world = data.world(last)
    if world.places:
        page.heading("The world at its last step")
        page.picture(drawn.world_map(world))
    page.heading("Agents")
    shown = evenly(agents, _MOST_AGENTS)
    page.note(f"{len(shown):,} of {len(agents):,}, evenly chosen" if agents[len(shown) :] else "")
    page.table(
        ("agent", "memories", *(tier.name for tier in Tier), "first step", "last step"),
        [
            (agent.agent_id, agent.total, *agent.entries, agent.first_step, agent.last_step)
            for agent in shown
        ],
    )
    return page.html()


class _Page:
    """A page that is being put together; whatever it is given is shown as text.

    Args:
        title: Of what it is.
        about: A line below.
    """

    def __init__(self, title: str, about: str) -> None:
        self._title = title
        self._pictures: list[dict[str, Any]] = []
        self._body = [f"<h1>{escape(title)}</h1>", f'<p class="muted">{escape(about)}</p>']

    def figures(self, figures: Iterable[tuple[str, int, str]], entries: Sequence[int]) -> None:
        """Show numbers, and how many entries each tier holds."""
        tiers = [
            (f"in {tier.name}", count, tier.name.lower())
            for tier, count in zip(Tier, entries, strict=True)
        ]
        items = "".join(
            f'<li class="{kind}"><b>{number:,}</b>{escape(name)}</li>'
            for name, number, kind in [*figures, *tiers]
        )
        self._body.append(f'<ul class="figures">{items}</ul>')

    def heading(self, text: str) -> None:
        """Begin a part."""
        self._body.append(f"<h2>{escape(text)}</h2>")

    def note(self, text: str) -> None:
        """Say something, unless there is nothing to say."""
        if text:
            self._body.append(f'<p class="muted">{escape(text)}</p>')

    def picture(self, picture: Picture) -> None:
        """Show a picture."""
        self._body.append(f'<div class="picture" data-picture="{len(self._pictures)}"></div>')
        self._pictures.append(picture.as_dict())

    def table(self, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Show a table; numbers are aligned to the right."""
        rows = list(rows)
        kinds = [
            "number" if rows and isinstance(value, int) else "" for value in (rows or [names])[0]
        ]
        head = "".join(
            f'<th scope="col" class="{kind}">{escape(name)}</th>'
            for name, kind in zip(names, kinds, strict=True)
        )
        body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
        self._body.append(
            '<div class="scroll" tabindex="0" role="region" aria-label="table">'
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def html(self) -> str:
        """The whole page."""
        return Template(asset("report.html")).substitute(
            title=escape(self._title),
            style=asset("page.css"),
            body="\n".join(self._body),
            pictures=script_json(self._pictures),
            vega=vega_script().replace("</script", "<\\/script"),
            draw=asset("draw.js"),
        )


def script_json(value: Any) -> str:
    """JSON that may stand within a script, whatever text is in it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").encode("utf-8", "replace").decode()


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    text = str(value)
    return f'<td class="{"long" if len(text) > _LONG else ""}">{escape(text)}</td>'
