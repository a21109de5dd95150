"""What is found by boxes is what measuring how far all rows are finds, ties included."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent_memory.embeddings.comparable import Comparable, Wide, comparable
from agent_memory.embeddings.distance import distances, nearest
from agent_memory.embeddings.feature_table import FeatureTable
from agent_memory.embeddings.scales import scales_of

ROWS, FEWEST = 5_000, 800
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
LONG = "the same text, which is so long that a sketch tells how much of it is the same; "

State = dict[str, Any]
Kind = Callable[[int, np.random.Generator], State]


def walk(step: int, random: np.random.Generator) -> State:
    """Numbers of all sizes, one of them far from zero, and an outlier now and then."""
    far = 1e300 if step % 997 == 0 else 1e-9 * random.normal()
    return {"x": 5_763_000.0 + step + random.normal(), "y": 1e9 + random.normal(), "far": far}


def grid(step: int, random: np.random.Generator) -> State:
    """Few places, so that many rows are the same and more are as far."""
    del step
    return {"pos": (int(random.integers(6)), int(random.integers(6))), "alive": True}


def mixed(step: int, random: np.random.Generator) -> State:
    """Texts, times, what is missing, and paths that not all states have."""
    state: State = {
        "kind": "abc"[random.integers(3)],
        "note": LONG + str(random.integers(9)),
        "at": NOON + dt.timedelta(seconds=float(random.normal() * 1000)),
        "target": None if step % 3 else float(random.normal()),
        "energy": float(random.exponential()),
    }
    return state | {"rare": step % 7} if step % 50 == 0 else state


def filled(kind: Kind) -> tuple[FeatureTable, list[State], list[int]]:
    random = np.random.default_rng(5)
    states = [kind(step, random) for step in range(ROWS)]
    table = FeatureTable(FEWEST)
    rows = [*table.add([comparable(state).values for state in states])]
    return table, states, rows


def everything(rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    return np.ones(len(rows), bool)


def check(
    table: FeatureTable,
    alive: list[int],
    asked: State,
    count: int,
    answering: Callable[[NDArray[np.intp]], NDArray[np.bool_]] = everything,
    *,
    as_rounded: bool = False,
) -> bool:
    """Whether boxes answered; what they answered is right."""
    scales, question = scales_of(table), comparable(asked)
    near = nearest(table, scales, question, count, answering, as_rounded=as_rounded)
    if near is None:
        return False
    every = distances(table, scales, question, as_rounded=as_rounded)
    rows = np.array(alive)
    rows = rows[answering(rows)]
    far = every.distance[rows]
    wanted = rows[far <= np.sort(far)[min(count, len(far)) - 1]]
    assert sorted(near.rows.tolist()) == sorted(wanted.tolist())
    assert np.array_equal(near.distance, every.distance[near.rows])
    assert np.array_equal(near.besides, every.besides[near.rows])
    return True


@pytest.mark.parametrize("kind", [walk, grid, mixed])
def test_boxes_find_what_is_nearest_of_all(kind: Kind) -> None:
    table, states, rows = filled(kind)
    random = np.random.default_rng(6)
    answered = 0
    for at in range(0, ROWS, 400):
        other = kind(at, random)
        for asked in (states[at], other, {**other, "new": 3}, dict([*states[at].items()][:1])):
            answered += check(table, rows, asked, 10)
        answered += check(table, rows, states[at], 3, lambda some: some % 5 == 0)
    assert answered >= 10 or kind is mixed


def test_boxes_find_rounded_numbers_as_they_were_rounded_and_as_they_are_known() -> None:
    random = np.random.default_rng(8)
    exact = random.uniform(size=(ROWS, 2))
    rounded = np.rint(exact * 50) / 50
    table = FeatureTable(FEWEST)
    rows = table.add(
        [
            {"x": Wide(x, dx), "y": Wide(y, dy)}
            for (x, y), (dx, dy) in zip(rounded.tolist(), (exact - rounded).tolist(), strict=True)
        ]
    )
    answered = 0
    for at in range(0, ROWS, 400):
        for as_rounded, numbers in ((False, exact[at]), (True, rounded[at])):
            asked = dict(zip("xy", numbers.tolist(), strict=True))
            answered += check(table, [*rows], asked, 3, as_rounded=as_rounded)
            every = distances(table, scales_of(table), comparable(asked), as_rounded=as_rounded)
            same = np.all(rounded == numbers, axis=1) if as_rounded else np.arange(ROWS) == at
            assert np.all(every.distance[same] < 1e-9)
            assert np.all(every.distance[~same] > 1e-9)
    assert answered >= 10


@pytest.mark.parametrize("kind", [walk, grid, mixed])
def test_boxes_heed_rows_that_come_and_go(kind: Kind) -> None:
    table, states, rows = filled(kind)
    random = np.random.default_rng(7)
    check(table, rows, states[0], 5)
    for turn in range(12):
        for row in random.choice(rows, 40, replace=False).tolist():
            table.remove(row)
            rows.remove(row)
        new = [kind(int(random.integers(ROWS)), random) for _ in range(30)]
        rows += table.add([comparable(state).values for state in new])
        check(table, rows, states[turn], 5)
        check(table, rows, new[turn], 5)


def test_few_rows_are_in_no_boxes() -> None:
    table = FeatureTable()
    table.add([comparable(walk(step, np.random.default_rng(1))).values for step in range(100)])
    assert not check(table, [*range(100)], {"x": 1.0}, 3)


@pytest.mark.parametrize("size", [1e139, 1e200, 1e308])
@pytest.mark.parametrize("rows", [3, 20])
def test_sums_of_two_numbers_beyond_squares_are_compared(rows: int, size: float) -> None:
    table = FeatureTable(FEWEST)
    table.add(
        [{"x": Wide(place * size / 30, size / 70), "y": float(place)} for place in range(rows)]
    )
    table.add([{"x": Wide(0.0, -size / 70), "other": 1.0}])
    scales = scales_of(table)
    for as_rounded in (True, False):
        asked = Comparable({"x": Wide(size / 15, size / 70), "y": 2.0}, {})
        found = distances(table, scales, asked, as_rounded=as_rounded).distance
        assert np.isfinite(found).all()
        assert found[:rows].argmin() == 2
