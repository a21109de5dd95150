"""Bounds of cosines exclude none of the nearest, whatever the vectors are."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent_memory.embeddings.bounding import DIMENSIONS, FEWEST, CosineBounds
from agent_memory.embeddings.ranking import as_units, nearest

WIDTH = 96


def units_of(seed: int, rows: int, rank: int, noise: float, twins: bool) -> NDArray[np.float32]:
    """Vectors near a subspace of some dimensions; with ``twins`` each is there several times."""
    random = np.random.default_rng(seed)
    axes = random.standard_normal((rank, WIDTH))
    found = random.standard_normal((rows, rank)) @ axes + noise * random.standard_normal(
        (rows, WIDTH)
    )
    if twins:
        found = found[random.integers(0, max(rows // 20, 1), rows)]
        found[::37] = 0.0
    return as_units(found.astype(np.float32))


@settings(deadline=None)  # the machine may be busy
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(FEWEST, 3 * FEWEST),
    rank=st.integers(1, WIDTH),
    noise=st.sampled_from([0.0, 1e-6, 0.01, 0.3, 3.0]),
    twins=st.booleans(),
    count=st.integers(0, 40),
    some=st.booleans(),
)
def test_those_that_are_left_hold_the_nearest(
    seed: int, rows: int, rank: int, noise: float, twins: bool, count: int, some: bool
) -> None:
    units = units_of(seed, rows, rank, noise, twins)
    names = [f"{(7919 * place) % rows:05d}" for place in range(rows)]
    bounds = CosineBounds(units[: rows // 2])
    bounds.put(rows // 2, units[rows // 2 :])
    among = np.flatnonzero(np.arange(rows) % 3 == 0) if some else None
    random = np.random.default_rng(seed + 1)
    strange = as_units(random.standard_normal((1, WIDTH)))[0]
    for unit in (units[seed % rows], strange, np.zeros(WIDTH, np.float32)):
        left = bounds.candidates(unit, count, rows, among)
        assert nearest(units, unit, names, count, left) == nearest(units, unit, names, count, among)


def test_a_row_that_moves_takes_its_bounds_along() -> None:
    units = units_of(3, 2 * FEWEST, 10, 0.01, False)
    bounds = CosineBounds(units)
    end = len(units) - 1
    bounds.move(end, 5)
    units[5] = units[end]
    (found, _), *_ = nearest(
        units, units[end], ["a"] * end, 1, bounds.candidates(units[end], 1, end)
    )
    assert found == 5


def test_of_many_vectors_near_a_subspace_few_are_left() -> None:
    units = units_of(1, 5_000, DIMENSIONS // 2, 0.001, False)
    bounds = CosineBounds(units)
    left = bounds.candidates(units[0], 10, len(units))
    assert bounds.is_tight
    assert left is not None
    assert 10 <= len(left) < 100


def test_of_vectors_of_all_directions_it_is_told_that_the_bounds_are_loose() -> None:
    units = units_of(2, 1_000, 3, 10.0, False)
    bounds = CosineBounds(units)
    assert not bounds.is_tight
    assert bounds.candidates(units[0], 10, len(units)) is None
