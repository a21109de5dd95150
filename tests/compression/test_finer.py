"""A vector tells a number better than the cell that it was rounded to, and never beyond it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.fitted.code import ContentsCode
from agent_memory.compression.fitted.finer import Rounded, finer
from agent_memory.compression.fitting.fit import fit_code

ROWS = 600


def states_of(values: NDArray[np.float64]) -> list[dict[str, Any]]:
    return [
        {"x": 446_000.0 + 3_000.0 * x, "place": (5e6 + y, 1.0), "speed": np.array([z], np.float32)}
        for x, y, z in values.tolist()
    ]


def vectors_of(values: NDArray[np.float64], noise: float, dim: int = 4) -> NDArray[np.float32]:
    """Mixtures of the numbers, rounded to so many of their units."""
    mixed = values @ np.random.default_rng(3).normal(size=(3, dim))
    return (np.rint(mixed / noise) * noise).astype(np.float32)


def cells_off(
    code: ContentsCode, states: list[dict[str, Any]], vectors: NDArray[np.float32]
) -> dict[str, tuple[float, float, float]]:
    """By path the root mean square error of contents, and of what is given; the largest of that."""
    rounded = []
    for step, (state, vector) in enumerate(zip(states, vectors, strict=True)):
        message = code.encode(state, step, 2, vector)
        assert message is not None
        head = code.head(message)
        rounded.append(Rounded(code.read(head, step, vector), vector))
    bounds = code.bounds(0, 2)
    given = finer(code, rounded)
    # The same whether one or many are asked for.
    assert [finer(code, [one])[0] for one in rounded[:20]] == given[:20]
    found = {}
    for path, number in (
        ("x", lambda one: one["x"]),
        ("place[0]", lambda one: one["place"][0]),
        ("speed[0]", lambda one: float(one["speed"][0])),
    ):
        was = np.array([number(one) for one in states])
        known = np.array([number(one.contents) for one in rounded])
        better = np.array([one.get(path, old) for one, old in zip(given, known, strict=True)])
        assert np.all(np.abs(better - known) <= bounds[path] * (1 + 1e-9))
        assert {*given[0]} <= {*bounds}
        errors = [
            float(np.sqrt(np.square(one - was).mean())) / bounds[path] for one in (known, better)
        ]
        found[path] = errors[0], errors[1], float(np.abs(better - known).max()) / bounds[path]
    return found


def test_a_vector_tells_most_of_what_rounding_has_taken() -> None:
    values = np.random.default_rng(1).uniform(size=(2 * ROWS, 3))
    vectors = vectors_of(values, 0.01)
    code = fit_code(states_of(values[:ROWS]), vectors=vectors[:ROWS])
    for path, (rounded, given, most) in cells_off(
        code, states_of(values[ROWS:]), vectors[ROWS:]
    ).items():
        assert given < rounded / 2, path
        assert most > 0.8, path


def test_a_vector_that_says_little_tells_nothing_worse() -> None:
    values = np.random.default_rng(2).uniform(size=(2 * ROWS, 3))
    for noise in (0.05, 0.2, 1.0):
        vectors = vectors_of(values, noise)
        code = fit_code(states_of(values[:ROWS]), vectors=vectors[:ROWS])
        for path, (rounded, given, _) in cells_off(
            code, states_of(values[ROWS:]), vectors[ROWS:]
        ).items():
            assert given <= 1.02 * rounded, (noise, path)


def test_what_was_not_rounded_stays() -> None:
    random = np.random.default_rng(4)
    values = random.uniform(size=(ROWS, 3))
    states = states_of(values)
    vectors = vectors_of(values, 0.01)
    code = fit_code(states, vectors=vectors)
    odd: list[dict[str, Any]] = [
        {**states[0], "x": float("inf")},
        {**states[1], "x": float("nan")},
        {**states[2], "x": None},
        {**states[4], "x": 1e300},
        {"another": 1.0},
    ]
    given = finer(code, [Rounded(one, vectors[at]) for at, one in enumerate(odd)])
    assert all("x" not in one for one in given)
    assert given[4] == {}
    message = code.encode(states[5], 5, 2, vectors[5])
    assert message is not None
    (known,) = finer(code, [Rounded(code.read(code.head(message), 5, vectors[5]), vectors[5])])
    assert "x" in known
    assert finer(code, [Rounded(states[1], np.zeros(9, np.float32))]) == [{}]
