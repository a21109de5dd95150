"""What the tiers held over time: looks are shared, sorted into speeds, and never too many."""

from __future__ import annotations

import pytest

from agent_memory.explorer.growth import Growth
from agent_memory.system.pictures.rows import growth_rows, speed_rows

pytest.importorskip("altair")

from agent_memory.system.pictures import charts, drawn
from agent_memory.system.pictures.themes import DARK, LIGHT, recoloured


class Times:
    """A clock that is set, and how many looks were taken."""

    def __init__(self) -> None:
        self.now = 0.0
        self.taken = 0
        self.entries = (0, 0, 0)

    def growth(self) -> Growth:
        return Growth(self.totals, lambda: self.now, lambda: 1e9 + self.now)

    def totals(self) -> tuple[int, int, int]:
        self.taken += 1
        return self.entries


def test_speeds_are_what_came_and_moved_since_the_look_before() -> None:
    times = Times()
    growth = times.growth()
    assert growth.look().stores is None
    times.now, times.entries = 4.0, (10, 6, 4)  # 20 were stored; 6 moved once and 4 twice
    look = growth.look()
    assert (look.stores, look.moves, look.at) == (5.0, 3.5, 1e9 + 4.0)
    times.now, times.entries = 8.0, (0, 0, 0)  # all was forgotten: nothing is negative
    assert (growth.look().stores, growth.look().moves) == (0.0, 0.0)
    rows = growth_rows(growth.looks)[3:6]
    assert [(row["tier"], row["low"], row["high"]) for row in rows] == [
        ("LTM", 0, 4), ("IM", 4, 10), ("STM", 10, 20),
    ]  # fmt: skip
    assert [row["speed"] for row in speed_rows(growth.looks)] == [5.0, 3.5, 0.0, 0.0]


def test_several_pages_cost_no_more_than_one_and_a_day_has_its_beginning() -> None:
    times = Times()
    growth = times.growth()
    for _ in range(10):
        growth.look()
    assert times.taken == 1
    for step in range(1, 5_000):
        times.now = 3.0 * step
        growth.look()
    assert times.taken == 5_000
    assert len(growth.looks) <= 600
    assert (growth.looks[0].at, growth.looks[-1].at) == (1e9, 1e9 + 3.0 * 4_999)


def test_a_dark_picture_is_what_altair_makes_of_it_but_for_names_like_colours() -> None:
    for chart in (charts.growth, charts.speeds):
        light, dark = (
            chart(charts.by_name("rows"), theme, "container").to_dict() for theme in (LIGHT, DARK)
        )
        assert recoloured(light, LIGHT, DARK) == dark != light
    spec = {"title": LIGHT.ink, "scale": {"domain": [LIGHT.ink], "range": [LIGHT.ink]}}
    assert recoloured(spec, LIGHT, DARK) == {
        "title": LIGHT.ink, "scale": {"domain": [LIGHT.ink], "range": [DARK.ink]},
    }  # fmt: skip
    held, speeds = drawn.growth(Times().growth().looks)
    assert held.specs["dark"]["config"]["background"] == DARK.ground
    assert (held.rows, speeds.rows) == ([], [])
