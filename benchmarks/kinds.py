"""Whether the most similar memories are found, by kind of data.

    python -m benchmarks.kinds [part of a kind's name ...]

prints a table of Markdown. Of each kind 300 states are stored, a hundred in each tier; a hundred
of them are asked near: before training, after ``train_encoder()`` alone, and after ``reencode()``.
Then 300 more are stored, so that what was above moves down and a code rounds it, and a hundred of
all are asked near. A cell says for how many of the hundred the memory itself came first, and which
share of the ten found are among the ten nearest, or as near as the tenth.

The nearest are those by the exact distance, scaled path by path by what the run has seen
(``exact_distances``). Beside ours stand scikit-learn's StandardScaler and cosine similarity, on
DictVectorizer's columns (texts as categories, times as seconds, missing numbers as the mean), and
the features of version 0, which ranked answers before contents were compared by their own units
(commit d8009bc): numbers on a fixed logarithmic scale, compared by cosines of single precision.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory import AgentMemorySystem, Query
from agent_memory.embeddings.version_zero import VersionZero
from benchmarks.worlds import State, worlds

STORED, ASKED, FOUND = 300, 100, 10

Plain = float | str | None
"""A number, a token, or what is missing."""

_LIMITS = {"stm_config": {"memory_limit": 100}, "im_config": {"memory_limit": 100}}
_ROUNDING = 1e-9
_ORIGIN = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
_LONG = 40  # texts of more characters are compared by their pieces
_PIECE = 4
_FULL = 64  # elements of a list count as much as so many at most


class Score(NamedTuple):
    """What came of some questions.

    Attributes:
        own: How often of a hundred the own state came first.
        recall: The share of the ten nearest that was found.
    """

    own: float
    recall: float

    def __str__(self) -> str:
        return f"{self.own:.0f}, {self.recall:.3f}"


# -- exact neighbours -------------------------------------------------------------------------


def plain(value: object, path: str = "", weight: float = 1.0) -> Iterator[tuple[str, Plain, float]]:
    """What a state says: paths, values, and how much each counts."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from plain(inner, f"{path}.{key}", weight)
    elif isinstance(value, (list, tuple, np.ndarray)):
        yield f"{path}[]", float(len(np.ravel(value))), weight
        elements = np.ravel(value).tolist() if isinstance(value, np.ndarray) else value
        share = weight * min(1.0, _FULL / max(len(elements), 1))
        for place, inner in enumerate(elements):
            yield from plain(inner, f"{path}[{place}]", share)
    elif isinstance(value, (set, frozenset)):
        yield f"{path}{{}}", float(len(value)), weight
        for member in value:
            yield f"{path}{{{member}}}", 1.0, weight
    elif isinstance(value, dt.datetime):
        yield path, (value - _ORIGIN).total_seconds(), weight
    elif value is None or isinstance(value, str):
        yield path, value, weight
    elif isinstance(value, (int, float, Decimal, np.generic)):
        number = float(value)
        yield path, None if np.isnan(number) else number, weight
    else:
        raise TypeError(path)


def exact_distances(states: Sequence[State], asked: Sequence[int]) -> NDArray[np.float64]:
    """How far all states are from some of them, as docs/encoder.md says, value by value.

    Numbers are apart by their difference in standard deviations of their path, tokens by what their
    frequencies say, long texts by the exact share of pieces that they do not have in common.

    Returns:
        Of shape (asked, states).
    """
    rows = [{path: (value, weight) for path, value, weight in plain(state)} for state in states]
    named = np.zeros(len(asked))
    squares = np.zeros((len(asked), len(states)))
    for path in {path: None for row in rows for path in row}:
        values = [row[path][0] if path in row else _ABSENT for row in rows]
        weights = np.array([rows[at][path][1] if path in rows[at] else 0.0 for at in asked])
        squares += weights[:, None] * _squares(values, asked)
        named += weights
    distances: NDArray[np.float64] = np.sqrt(squares / named[:, None])
    return distances


_ABSENT = object()


def _squares(values: Sequence[object], asked: Sequence[int]) -> NDArray[np.float64]:
    """The squares of the differences at one path."""
    is_number = np.array([isinstance(value, float) for value in values])
    squares = np.full((len(asked), len(values)), 4.0)
    numbers = np.array([value if isinstance(value, float) else 0.0 for value in values])
    numbers = np.where(is_number, numbers - numbers[is_number][:1].sum(), 0.0)
    deviation = float(np.std(numbers[is_number])) if is_number.any() else 0.0
    tokens = [value for value in values if isinstance(value, str) or value is None]
    shares = np.array([tokens.count(token) / len(tokens) for token in {*tokens}])
    apart = min(2.0 / (1.0 - float(shares @ shares)), 25.0) if len(shares) > 1 else 4.0
    for row, at in enumerate(asked):
        if is_number[at]:
            same = numbers == numbers[at]
            units = (numbers - numbers[at]) / deviation if deviation else np.where(same, 0.0, 2.0)
            squares[row, is_number] = np.square(units)[is_number]
        elif values[at] is not _ABSENT:
            for place, value in enumerate(values):
                if isinstance(value, str) or value is None:
                    squares[row, place] = apart * _texts_apart(values[at], value)
    return squares


def _texts_apart(one: Any, other: Any) -> float:
    if one == other:
        return 0.0
    if one is None or other is None or min(len(one), len(other)) <= _LONG:
        return 1.0
    first, second = _pieces(one), _pieces(other)
    return 1.0 - len(first & second) / len(first | second)


def _pieces(text: str) -> set[str]:
    return {text[at : at + _PIECE] for at in range(len(text) - _PIECE + 1)}


# -- ways to answer ---------------------------------------------------------------------------


def scored(ranked: Sequence[Sequence[int]], exact: NDArray[np.float64]) -> Score:
    """How good some answers are.

    Args:
        ranked: Of each question the states that were found, the best first.
        exact: How far all are from each that was asked near, of shape (asked, states).
    """
    own = right = 0
    for steps, distances in zip(ranked, exact, strict=True):
        own += bool(distances[steps[0]] == 0.0)
        limit = np.sort(distances)[FOUND - 1] + _ROUNDING
        right += int((distances[[*steps]] <= limit).sum())
    return Score(100.0 * own / len(ranked), right / (FOUND * len(ranked)))


def by_version_zero(states: Sequence[State], asked: Sequence[int]) -> list[list[int]]:
    """What the features of version 0 find, as they were compared before; of equals the newest."""
    encoder, order = VersionZero(), -np.arange(len(states))
    return [
        np.lexsort((order, -encoder.similarity(states[at], states)))[:FOUND].tolist()
        for at in asked
    ]


def by_standard_scaler(states: Sequence[State], asked: Sequence[int]) -> list[list[int]]:
    """What scikit-learn's StandardScaler and cosine similarity find."""
    from sklearn.feature_extraction import DictVectorizer  # noqa: PLC0415 - may be missing
    from sklearn.metrics.pairwise import cosine_similarity  # noqa: PLC0415 - may be missing
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415 - may be missing

    columns = [
        {path: value for path, value, _ in plain(state) if value is not None} for state in states
    ]
    rows = StandardScaler().fit_transform(DictVectorizer(sparse=False).fit_transform(columns))
    similar = cosine_similarity(rows[[*asked]], rows)
    order = -np.arange(len(states))
    return [np.lexsort((order, -row))[:FOUND].tolist() for row in similar]


def by_recall(
    memory: AgentMemorySystem, states: Sequence[State], asked: Sequence[int]
) -> list[list[int]]:
    """What a memory finds."""
    query = Query(agent_id="one", limit=FOUND)
    return [
        [hit.entry.step_number for hit in memory.recall(query, near=states[at], touch=False)]
        for at in asked
    ]


# -- the table --------------------------------------------------------------------------------


def measured(states: Sequence[State]) -> Iterator[Score | None]:
    """The scores of one kind, in the order of the table's columns."""
    everything, states = states, states[:STORED]
    asked = range(0, STORED, STORED // ASKED)
    exact = exact_distances(states, asked)
    with AgentMemorySystem({"engine": "fake"} | _LIMITS) as memory:
        _store(memory, states, 0)
        yield scored(by_recall(memory, states, asked), exact)
        memory.train_encoder()
        yield scored(by_recall(memory, states, asked), exact)
        memory.encoders.reencode()
        yield scored(by_recall(memory, states, asked), exact)
        _store(memory, everything[STORED:], STORED)
        others = range(0, len(everything), len(everything) // ASKED)
        found = by_recall(memory, everything, others)
        yield scored(found, exact_distances(everything, others))
    has_scikit = importlib.util.find_spec("sklearn") is not None
    yield scored(by_standard_scaler(states, asked), exact) if has_scikit else None
    yield scored(by_version_zero(states, asked), exact)


def _store(memory: AgentMemorySystem, states: Sequence[State], first: int) -> None:
    for step, state in enumerate(states, first):
        memory.store_agent_state("one", state, step)
    memory.maintain()
    assert all(held.entries for held in memory.statistics().values())


def main() -> None:
    """Print the table."""
    print(
        "| kind of data | paths | before training | `train_encoder()` | `reencode()` | 300 more, "
        "rounded | StandardScaler, cosine | fixed logarithmic scale |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, world in worlds().items():
        if len(sys.argv) > 1 and not any(part in name for part in sys.argv[1:]):
            continue
        states = world(2 * STORED)
        paths = len({path for state in states for path, _, _ in plain(state)})
        cells = ("not installed" if score is None else str(score) for score in measured(states))
        print(f"| {name} | {paths} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
