"""``memory.plot``: pictures for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from agent_memory.errors import EntryNotFound
from agent_memory.system.frames.extras import need
from agent_memory.system.pictures.data import PictureData
from agent_memory.system.pictures.rows import held_rows, line_rows, moment_rows, place_rows
from agent_memory.system.pictures.themes import ThemeName, theme_of
from agent_memory.values.identity import checked_agent_id

if TYPE_CHECKING:
    import altair as alt

    from agent_memory.system.pictures import charts

_WIDTH = 700


class MemoryPlots:
    """Draws what a run's memory holds, as charts of Vega-Altair (extra ``explore``).

    A notebook shows them; ``chart.save("life.html")`` writes one to a file. Of more than 10,000
    entries an even sample is drawn, and the chart says so. Nothing counts as a retrieval.

    Args:
        data: What pictures are made of.

    Attributes:
        data: The values that the pictures are made of, without any chart.
    """

    def __init__(self, data: PictureData) -> None:
        self.data: Final[PictureData] = data

    def timeline(
        self, agent_id: str | int, *, theme: ThemeName = "light", width: int = _WIDTH
    ) -> alt.LayerChart:
        """Each memory of an agent at its step, by type, coloured by tier; pinned ones are marked.

        Args:
            agent_id: The agent.
            theme: "light" or "dark". A light one leaves fonts and axes to Altair's theme, so that
                charts can be put beside each other.
            width: Pixels.

        Raises:
            ConfigError: Altair is not installed; the message names the extra.
            EntryNotFound: The agent has no entries in the run.
            StoreUnavailable: A tier does not answer.

        Examples:
            >>> memory.plot.timeline("ant-1").to_dict()["title"]["text"]
            'What ant-1 remembers'
        """
        charts, colours = _charts(), theme_of(theme)
        life = self.data.life(agent_id)
        rows = charts.inline(moment_rows(life, contents=True))
        return _dressed(charts.timeline(life, rows, colours, width, contents=True), theme)

    def history(
        self,
        agent_id: str | int,
        *paths: str,
        theme: ThemeName = "light",
        width: int = _WIDTH,
    ) -> alt.VConcatChart:
        """How numbers of an agent went, one above the other, with bands where they are not exact.

        Args:
            agent_id: The agent.
            paths: Which: ``"food"``, ``"home.at[0]"``; none: the six that most entries have.
            theme: See ``timeline``.
            width: Pixels.

        Raises:
            EntryNotFound: The agent has no entries, or none with such a number.
            InvalidEntry: A path is none.

        Examples:
            >>> len(memory.plot.history("ant-1", "food", "at[0]").vconcat)
            2
        """
        import altair as alt  # noqa: PLC0415  # an extra

        charts, colours = _charts(), theme_of(theme)
        found = self.data.lines(self.data.life(agent_id), paths or None).lines
        drawn = [line for line in found if line.points]
        if not drawn:
            raise EntryNotFound(
                f"agent {checked_agent_id(agent_id)!r}: no entry has a number"
                + (f" under {', '.join(paths)}" if paths else "")
            )
        parts = [
            charts.history(line, charts.inline(line_rows(line)), colours, width) for line in drawn
        ]
        return _dressed(alt.vconcat(*parts), theme)

    def occupancy(
        self,
        agent_id: str | int | None = None,
        *,
        theme: ThemeName = "light",
        width: int = _WIDTH,
    ) -> alt.Chart:
        """Which tier holds the entries of which steps, of the run or of one agent.

        Args:
            agent_id: The agent; None: all of the run, or whole lives of evenly chosen ones.
            theme: See ``timeline``.
            width: Pixels.

        Raises:
            EntryNotFound: There are no entries.

        Examples:
            >>> memory.plot.occupancy().to_dict()["encoding"]["y"]["title"]
            'entries'
        """
        charts, colours = _charts(), theme_of(theme)
        held = self.data.occupancy(agent_id)
        return _dressed(
            charts.occupancy(held, charts.inline(held_rows(held)), colours, width), theme
        )

    def map(
        self,
        step: int | None = None,
        *,
        position: str | Sequence[str] | None = None,
        colour: str = "",
        theme: ThemeName = "light",
        width: int = _WIDTH,
    ) -> alt.Chart:
        """The agents at a step on a plane, each by its latest state; hollow: of an earlier step.

        Args:
            step: The step; None: the last of the run.
            position: The path of two numbers (``"at"``), or two paths (``("x", "y")``); None: what
                looks like a position by its name, as the chart says.
            colour: The path of a number to colour by; empty: the tier.
            theme: See ``timeline``.
            width: Pixels.

        Raises:
            EntryNotFound: There are no entries, or no state has such a position.
            InvalidEntry: An argument has no meaning.

        Examples:
            >>> memory.plot.map(4, position="at").to_dict()["title"]["text"]
            'The world at step 4'
        """
        charts, colours = _charts(), theme_of(theme)
        world = self.data.world(self._last_step() if step is None else step, position, colour)
        if not world.places:
            where = "guessed by name" if world.position is None else world.position.note
            raise EntryNotFound(
                f"map: no state up to step {world.step:,} has a position ({where}); "
                "name its path with position="
            )
        rows = charts.inline(place_rows(world))
        return _dressed(charts.world_map(world, rows, colours, width), theme)

    def _last_step(self) -> int:
        steps = [agent.last_step for agent in self.data.agents()]
        if not steps:
            raise EntryNotFound(f"run {self.data.run_id!r} has no entries")
        return max(steps)


def _charts() -> Any:
    """The module that needs Altair."""
    need("altair")
    from agent_memory.system.pictures import charts  # noqa: PLC0415  # an extra

    return charts


def _dressed(chart: charts.Chart, theme: ThemeName) -> Any:
    return chart if theme == "light" else chart.configure(**theme_of(theme).config())
