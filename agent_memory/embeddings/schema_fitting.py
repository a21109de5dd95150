"""Learns a feature schema from states: what paths there are, their scales and categories."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.features import Value, flatten
from agent_memory.embeddings.paths import element_place, within_list
from agent_memory.embeddings.schema import EXTREME, Category, FeatureSchema, Number, NumberKind
from agent_memory.errors import InvalidEntry

MAX_CATEGORIES = 32
"""How many texts of a path have a column of their own."""

MAX_COLUMNS = 1024
"""How many columns there are besides the buckets; the paths in most states come first."""

BUCKETS = 64
"""How many columns all other paths share, when there are any."""

_MOST_STATES = 20_000  # quantiles of more are the same to within 1 %
_OUTLIER = 8.0  # scaled numbers beyond this are drawn in
_FULL_WEIGHT = 4  # as in version 0: elements of a list count fully up to here
_EXACT_INTEGERS = 2.0**53


def fit_schema(states: Iterable[object]) -> FeatureSchema:
    """Learn a schema from states.

    Of more than 20,000 states as many are looked at, evenly spaced.

    Raises:
        InvalidEntry: There are no states, or one is none.
    """
    return fit_schema_of([flatten(state) for state in states])


def fit_schema_of(flats: Sequence[dict[str, Value]]) -> FeatureSchema:
    """Learn a schema from states whose features are named already.

    Raises:
        InvalidEntry: There are none.
    """
    if not flats:
        raise InvalidEntry("states: at least one is needed to learn their features")
    seen = _evenly(flats)
    numbers, texts, integers, truths = _gathered(seen)
    everywhere = len(seen)
    features: list[tuple[int, str, Number | Category]] = [
        *((len(values), path, _number(path, np.array(values), everywhere))
          for path, values in numbers.items()),
        *((sum(counts.values()), path, _category(path, counts, everywhere))
          for path, counts in texts.items()),
    ]  # fmt: skip
    features.sort(key=lambda feature: (-feature[0], feature[1]))
    kept, all_kept = _within_limit([feature for _, _, feature in features])
    schema = FeatureSchema(
        tuple(
            replace(feature, kind=_kind(feature.path, integers, truths))
            for feature in kept
            if isinstance(feature, Number)
        ),
        tuple(feature for feature in kept if isinstance(feature, Category)),
        0 if all_kept else BUCKETS,
        np.zeros(0),
    )
    means = schema.columns_of(seen).mean(axis=0)
    return replace(schema, means=means)


def _evenly(flats: Sequence[dict[str, Value]]) -> Sequence[dict[str, Value]]:
    if len(flats) <= _MOST_STATES:
        return flats
    return [flats[place] for place in np.linspace(0, len(flats) - 1, _MOST_STATES, dtype=int)]


def _gathered(
    flats: Sequence[dict[str, Value]],
) -> tuple[dict[str, list[float]], dict[str, Counter[str]], set[str], set[str]]:
    """Numbers by path, texts by path, the paths with fractions, and those with truths alone."""
    numbers: defaultdict[str, list[float]] = defaultdict(list)
    texts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    fractional: set[str] = set()
    not_truths: set[str] = set()
    for flat in flats:
        for path, value in flat.items():
            if type(value) is str:
                texts[path][value] += 1
                continue
            number = float(value)
            numbers[path].append(number)
            if type(value) is not bool:
                not_truths.add(path)
            if path not in fractional and not (
                number % 1.0 == 0.0 and abs(number) < _EXACT_INTEGERS
            ):
                fractional.add(path)
    return numbers, texts, fractional, not_truths


def _kind(path: str, fractional: set[str], not_truths: set[str]) -> NumberKind:
    if path not in not_truths:
        return "truth"
    return "float" if path in fractional else "integer"


def _number(path: str, values: NDArray[np.float64], everywhere: int) -> Number:
    finite = values[np.isfinite(values)]
    if not len(finite):
        finite = np.zeros(1)
    finite = np.clip(finite, -EXTREME, EXTREME)
    lower, centre, upper = (float(edge) for edge in np.percentile(finite, (25, 50, 75)))
    # A feature that never changed is scaled by its own size, so that a later change shows.
    spread = (upper - lower) / 1.349 or float(finite.std()) or max(abs(centre), 1.0)
    scale = max(spread, 1.0 / EXTREME)
    scaled = (finite - centre) / scale
    compressed = bool(np.abs(scaled).max() > _OUTLIER)
    scaled = np.arcsinh(scaled) if compressed else scaled
    deviation = float(scaled.std()) or 1.0
    scaled /= deviation
    low, high = float(scaled.min()), float(scaled.max())
    room = high - low or 4.0
    place = element_place(path)
    weight = float(np.sqrt(_FULL_WEIGHT / max((place or 0) + 1, _FULL_WEIGHT)))
    optional = len(values) < everywhere and not within_list(path)
    return Number(path, "float", centre, scale, compressed, deviation, low - room, high + room,
                  optional, weight)  # fmt: skip


def _category(path: str, counts: Counter[str], everywhere: int) -> Category:
    commonest = sorted(counts, key=lambda value: (-counts[value], value))
    if len(commonest) > MAX_CATEGORIES:
        # A text met once says nothing of others, as names do.
        commonest = [value for value in commonest[:MAX_CATEGORIES] if counts[value] > 1]
    optional = sum(counts.values()) < everywhere and not within_list(path)
    return Category(path, tuple(commonest), optional)


def _within_limit(
    features: Sequence[Number | Category],
) -> tuple[list[Number | Category], bool]:
    """Those whose columns fit, and whether that is all of them."""
    kept: list[Number | Category] = []
    columns = 0
    for feature in features:
        columns += 1 + feature.optional if isinstance(feature, Number) else len(feature.values) + 1
        if columns > MAX_COLUMNS:
            return kept, False
        kept.append(feature)
    return kept, True
