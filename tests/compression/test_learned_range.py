"""A decoded number lies within what was learned, or between that and the original."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent_memory.compression.codes import Codes, Uncoded
from agent_memory.compression.fitted.artifact import from_bytes, to_bytes
from agent_memory.compression.fitted.code import ContentsCode
from agent_memory.compression.fitted.lanes_decoding import decode_many
from agent_memory.compression.fitted.lanes_encoding import encode_many
from agent_memory.compression.fitting.fit import fit_code
from agent_memory.compression.fitting.tolerances import Tolerance
from agent_memory.errors import EncodingError
from tests.fuzzing import examples

MANY = settings(
    max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow], deadline=None
)

RANGES = st.sampled_from(
    [(0.0, 1.0), (-1.0, 1.0), (-1e-12, 1e-12), (5e6, 5e6 + 30), (1e14, 1e14 + 10), (-1e9, 1e15)]
)
SHARES = st.floats(0, 1)
BEYOND = st.floats(-0.2, 1.2)
WIDTHS = st.sampled_from([1, 3, 30])  # of 24 leaves and more the floats are found all at once
KINDS = st.sampled_from([float, np.float64, np.float32, "array", "single array"])


def contents_of(values: Sequence[float], kind: Any) -> dict[str, Any]:
    if isinstance(kind, str):
        return {"x": np.array(values, np.float32 if kind == "single array" else np.float64)}
    return {f"x{place}": kind(value) for place, value in enumerate(values)}


def numbers_of(contents: dict[str, Any]) -> list[float]:
    return [float(one) for value in contents.values() for one in np.ravel(value)]


def round_trips(
    code: ContentsCode,
    contents: Sequence[dict[str, Any]],
    level: int,
    vectors: NDArray[np.float32] | None,
) -> list[tuple[dict[str, Any], int]]:
    """Contents as decoded, with the place of their shape; the same one by one and all at once."""
    steps = [*range(len(contents))]
    coded = [one or b"" for one in encode_many(code, contents, steps, level, vectors)]
    beside = [None] * len(contents) if vectors is None else [*vectors]
    alone = [code.encode(one, step, level, vector)
             for one, step, vector in zip(contents, steps, beside, strict=True)]  # fmt: skip
    assert coded == alone
    found = []
    for one, step, vector, together in zip(
        coded, steps, beside, decode_many(code, coded, steps, vectors), strict=True
    ):
        decoded, shape, _ = code.decode(one, step, vector)
        assert not isinstance(together, EncodingError)
        assert numbers_of(together[0]) == numbers_of(decoded)
        found.append((decoded, shape))
    return found


def check_within(
    code: ContentsCode,
    learned: Sequence[dict[str, Any]],
    originals: Sequence[dict[str, Any]],
    found: Sequence[tuple[dict[str, Any], int]],
    level: int,
) -> None:
    seen = np.array([numbers_of(one) for one in learned])
    low, high = seen.min(axis=0).tolist(), seen.max(axis=0).tolist()
    for original, (decoded, shape) in zip(originals, found, strict=True):
        bounds = [*code.bounds(shape, level).values()]
        for place, (was, is_now) in enumerate(
            zip(numbers_of(original), numbers_of(decoded), strict=True)
        ):
            assert min(low[place], was) <= is_now <= max(high[place], was)
            assert abs(is_now - was) <= (bounds[place] if bounds else 0.0)


@MANY
@given(st.data())
def test_numbers_come_back_within_what_was_learned_or_towards_it(data: st.DataObject) -> None:
    (low, high), kind, width = data.draw(RANGES), data.draw(KINDS), data.draw(WIDTHS)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))

    def drawn(shares: Any) -> list[dict[str, Any]]:
        return [contents_of(low + row * (high - low), kind) for row in shares]

    learned = drawn(rng.random((60, width)))
    odd = data.draw(st.lists(BEYOND, min_size=4, max_size=12))
    others = drawn(np.stack([rng.choice(odd, width) for _ in range(24)]))
    vectors = rng.random((84, 3)).astype(np.float32) if data.draw(st.booleans()) else None
    code = fit_code(learned, vectors=None if vectors is None else vectors[:60])
    code = from_bytes(to_bytes(code))
    for level in (1, 2):
        asked = [*learned, *others]
        found = round_trips(code, asked, level, vectors)
        check_within(code, learned, asked, found, level)


def test_cosines_come_back_as_cosines() -> None:
    rng = np.random.default_rng(3)
    angles = rng.uniform(0, math.tau, 4_000)
    contents = [
        {"heading": (math.cos(angle), math.sin(angle)), "speed": speed}
        for angle, speed in zip(angles.tolist(), rng.random(4_000).tolist(), strict=True)
    ]
    contents += [{"heading": (math.cos(turn), math.sin(turn)), "speed": 0.5}
                 for turn in (0.0, math.pi / 2, math.pi, -math.pi / 2)]  # fmt: skip
    code = fit_code(contents[:3_000])
    for level in (1, 2):
        for decoded, _ in round_trips(code, contents, level, None):
            assert all(-1.0 <= one <= 1.0 for one in decoded["heading"])


@MANY
@given(
    st.lists(SHARES, min_size=40, max_size=80),
    st.lists(st.floats(-0.3, 1.6), min_size=1, max_size=20),
    st.floats(1.0, 2.0),
)
def test_bounds_hold_through_a_later_code_that_has_learned_more(
    learned: list[float], values: list[float], wider: float
) -> None:
    absolute = {"x": Tolerance(0.002, 0.02, relative=False)}
    first = fit_code([{"x": value} for value in learned], tolerances=absolute)
    more = [{"x": value * wider} for value in learned] + [{"x": value} for value in learned]
    second = fit_code(more, tolerances=absolute, parent=first)
    raw = {1: to_bytes(first), 2: to_bytes(second)}

    class Registered:
        def code(self, version: int) -> bytes | None:
            return raw.get(version)

    codes = Codes(Registered())
    for value in values:
        for levels in ((1, 2), (2, 2), (1, 1, 2), (2, 1)):
            contents: Any = {"x": value}
            for place, level in enumerate(levels):
                codes.use(1 if place == 0 else 2)
                coded = codes.encode(Uncoded(contents, 0, level))
                assert coded is not None
                contents = codes.decode(coded.stored, 0)
            assert abs(contents["x"] - value) <= contents.bounds.get("x", 0.0)


@pytest.mark.parametrize("level", [1, 2])
def test_a_range_that_moves_on_stays_small(level: int) -> None:
    learned = [{"wealth": step / 7} for step in range(300)]
    later = [{"wealth": step / 7} for step in range(300, 330)]
    code = fit_code(learned)
    coded = encode_many(code, later, [*range(300, 330)], level)
    # Half of them lie beyond the middle of their cells, and keep their fine ones.
    assert sum(len(one or b"") for one in coded) / len(coded) < (8 if level == 1 else 5)
