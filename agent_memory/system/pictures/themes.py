"""The colours of pictures, on light and on dark ground.

The tiers have colours near those of Okabe and Ito (2008), which people who cannot tell red from
green can tell apart; the dark ones are lighter. Each stands out from its ground by 3 to 1 and more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from agent_memory.errors import InvalidEntry
from agent_memory.values.quoting import quoted

ThemeName = Literal["light", "dark"]


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of a picture.

    Attributes:
        name: "light" or "dark".
        tiers: Of short-term, intermediate and long-term memory.
        ink: Of text.
        muted: Of axes and marginal notes.
        grid: Of lines behind what is shown.
        ground: Of what lies beneath.
        scheme: The name of Vega's colours for numbers, from low to high.
    """

    name: ThemeName
    tiers: tuple[str, str, str]
    ink: str
    muted: str
    grid: str
    ground: str
    scheme: str

    def config(self) -> dict[str, Any]:
        """What Vega-Lite calls the config of a chart: fonts, axes, ground."""
        text = {"labelColor": self.ink, "titleColor": self.ink, "labelFontSize": 12}
        return {
            "background": self.ground,
            "font": "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif",
            "view": {"stroke": self.grid},
            "axis": {
                **text, "titleFontSize": 12, "titleFontWeight": "normal", "gridColor": self.grid,
                "domainColor": self.muted, "tickColor": self.muted,
            },
            "legend": {**text, "titleFontSize": 12, "titleFontWeight": "normal"},
            "title": {
                "color": self.ink, "subtitleColor": self.muted, "fontSize": 14, "anchor": "start",
                "subtitleFontSize": 12, "fontWeight": 600,
            },
        }  # fmt: skip


LIGHT: Final = Theme(
    name="light",
    tiers=("#0072B2", "#C75A00", "#00805C"),
    ink="#1b1f24",
    muted="#57606a",
    grid="#e3e6ea",
    ground="#ffffff",
    scheme="viridis",
)
DARK: Final = Theme(
    name="dark",
    tiers=("#56B4E9", "#F0A03C", "#2FC79A"),
    ink="#e6e9ed",
    muted="#9aa4af",
    grid="#2f363d",
    ground="#14181d",
    scheme="viridis",
)


def theme_of(name: object) -> Theme:
    """The theme of a name.

    Raises:
        InvalidEntry: There is none.
    """
    for theme in (LIGHT, DARK):
        if theme.name == name:
            return theme
    raise InvalidEntry(f'theme: "light" or "dark" is needed, not {quoted(name)}')


_COLOURED = {"color", "fill", "range", "scheme", "stroke", "value"}
"""Under which names a specification has colours; elsewhere a name may read like one."""


def recoloured(spec: Any, there: Theme, here: Theme) -> Any:
    """A copy of what Vega-Lite draws with the colours of another theme.

    Args:
        spec: The specification.
        there: The theme it was made for.
        here: The theme of the copy.
    """
    names = ("ink", "muted", "grid", "ground", "scheme")
    colours = {getattr(there, name): getattr(here, name) for name in names}
    colours |= dict(zip(there.tiers, here.tiers, strict=True))

    def copied(part: Any, name: str = "") -> Any:
        if isinstance(part, dict):
            return {key: copied(each, key) for key, each in part.items()}
        if isinstance(part, list):
            return [copied(each, name) for each in part]
        is_colour = name in _COLOURED and isinstance(part, str)
        return colours.get(part, part) if is_colour else part

    return copied(spec)
