"""Similarity as docs/encoder.md says it, value by value: what tests compare with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LACKING = 4.0
CONSTANT = 4.0


def exact_scores(near: Mapping[str, Any], seen: Sequence[Mapping[str, Any]]) -> list[float]:
    """The score of each state, by the units of all of them.

    Args:
        near: What is asked about.
        seen: All the states of an agent. Without outliers, long texts or lists.
    """
    rows = [named(state) for state in seen]
    asked = named(near)
    return [1.0 / (1.0 + _distance(asked, row, rows)) for row in rows]


def named(value: object, path: str = "") -> dict[tuple[str, bool], Any]:
    """Values by their path and whether they are tokens."""
    if isinstance(value, Mapping):
        parts = [named(inner, f"{path}.{key}") for key, inner in value.items()]
        return {path: value for part in parts for path, value in part.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        parts = [named(inner, f"{path}[{place}]") for place, inner in enumerate(value)]
        whole = {(f"{path}[]", False): float(len(value))}
        return whole | {path: value for part in parts for path, value in part.items()}
    if value is None or isinstance(value, str) or value != value:  # noqa: PLR0124 - NaN
        return {(path, True): value if isinstance(value, str) else None}
    return {(path, False): float(value)}  # type: ignore[arg-type]  # a number or truth


def _distance(
    asked: dict[tuple[str, bool], Any],
    row: dict[tuple[str, bool], Any],
    rows: Sequence[dict[tuple[str, bool], Any]],
) -> float:
    if not asked.keys() & row.keys():
        return math.inf if asked or row else 0.0
    total = 0.0
    for path, value in asked.items():
        if path not in row:
            total += LACKING
        elif row[path] != value:
            total += _square(value, row[path], [one[path] for one in rows if path in one])
    return math.sqrt(total / len(asked))


def _square(one: Any, other: Any, values: Sequence[Any]) -> float:
    """The square of a difference in the unit of a path."""
    if len({*values}) == 1:
        return CONSTANT
    if isinstance(other, float):
        return float((one - other) / np.std(np.array(values) - values[0])) ** 2
    shares = [count / len(values) for count in Counter(values).values()]
    return float(min(2.0 / (1.0 - sum(share * share for share in shares)), 25.0))
