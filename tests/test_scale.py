"""The model of docs/scaling.md against what was measured, and the page against both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scale import FILE, Point, ratios
from benchmarks.scale_model import Machine, bottleneck, entries_per_second
from benchmarks.scale_needs import EXAMPLES, Size, needs, row

TOLD: dict[str, Any] = json.loads(FILE.read_text())
PAGE = (Path(__file__).parents[1] / "docs" / "scaling.md").read_text()


def test_the_model_agrees_with_what_was_measured_within_a_fifth() -> None:
    measured = [[Point(**point) for point in points] for points in TOLD["rounds"]]
    told = ratios(measured)
    assert told.keys() == {1, 2, 4}
    assert all(0.8 <= ratio <= 1.2 for ratio in told.values()), told


@pytest.mark.parametrize(
    ("simulations", "processors", "bound", "what"),
    [
        (1, 16, 1 / 100e-6, "the simulations' own time"),
        (16, 32, 1 / 40e-6, "the server"),
        (4, 2, 2 / 100e-6, "the processors"),
    ],
)
def test_what_bounds_simulations(
    simulations: int, processors: int, bound: float, what: str
) -> None:
    machine = Machine(60e-6, 40e-6, 250, processors)
    assert bottleneck(machine, simulations) == what
    assert entries_per_second(machine, simulations, 2.0) == pytest.approx(bound, rel=0.1)


def test_what_others_use_is_not_there() -> None:
    machine = Machine(60e-6, 40e-6, 250, 2, others=1.0)
    assert entries_per_second(machine, 4, 2.0) == pytest.approx(1 / 100e-6, rel=0.1)


def test_needs_grow_with_what_is_simulated() -> None:
    size = Size(1_000_000, 5, 20, 10**9, 60.0)
    once, hurried = needs(size, TOLD), needs(Size(1_000_000, 5, 20, 10**9, 15.0), TOLD)
    assert once.server_gb == hurried.server_gb
    assert hurried.servers > once.servers
    assert hurried.workers >= 3.5 * once.workers


def test_the_page_has_the_measured_constants_and_the_examples() -> None:
    for what, value in TOLD["constants"].items():
        assert f"| {what} | {value:,.4g} |" in PAGE
    for size in EXAMPLES:
        assert row(size, TOLD) in PAGE
