"""What codes do with contents that others gave back, with odd numbers and with very many."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from agent_memory.compression.codes import Codes, Uncoded
from agent_memory.compression.fitted.artifact import from_bytes, to_bytes
from agent_memory.compression.fitted.code import ContentsCode
from agent_memory.compression.fitted.lanes_decoding import decode_many
from agent_memory.compression.fitted.lanes_encoding import encode_many
from agent_memory.compression.fitted.structure import MAX_LEAVES, take_apart
from agent_memory.compression.fitting.fit import fit_code
from agent_memory.errors import EncodingError
from agent_memory.system.learning.contents import fit_contents, tolerances_of

RNG = random.Random(0)
STATES = [{"x": RNG.uniform(0.0, 1000.0)} for _ in range(300)]
VECTORS = np.array([[one["x"] / 1000, 0.5] for one in STATES], np.float32)


class Registered:
    """Codes by version."""

    def __init__(self, **codes: ContentsCode) -> None:
        self._codes = {int(name.removeprefix("v")): to_bytes(one) for name, one in codes.items()}

    def code(self, version: int) -> bytes | None:
        return self._codes.get(version)


def using(code: ContentsCode) -> Codes:
    codes = Codes(Registered(v1=code))
    codes.use(1)
    return codes


def decoded(codes: Codes, asked: Uncoded) -> Any:
    (coded,) = codes.encode_many([asked])
    assert coded is not None
    assert codes.encode(asked) == coded
    return codes.decode(coded.stored, asked.step, asked.vector)


def test_what_was_at_level_2_says_its_bounds_at_level_1_too() -> None:
    codes = using(fit_code(STATES))
    for one in STATES:
        at_2 = decoded(codes, Uncoded(one, 0, 2))
        at_1 = decoded(codes, Uncoded(at_2, 0, 1))
        assert at_1.bounds == at_2.bounds
        assert abs(at_1["x"] - one["x"]) <= at_1.bounds["x"]


def test_level_1_is_read_beside_a_vector_of_the_width_that_level_2_is_predicted_from() -> None:
    code = fit_code(STATES, vectors=VECTORS)
    assert code.prediction is not None
    codes = using(code)
    for one, vector in zip(STATES, VECTORS, strict=True):
        found = decoded(codes, Uncoded(one, 0, 1, vector, 1))
        assert abs(found["x"] - one["x"]) <= found.bounds["x"] == code.bounds(0, 1)["x"]


def _round_trips(code: ContentsCode, contents: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The contents given back, alone and among others."""
    found: list[dict[str, Any]] = []
    for count in (1, 20):
        coded = [one or b"" for one in encode_many(code, [contents] * count, [0] * count, 2)]
        (one, *_) = decode_many(code, coded, [0] * count)
        assert not isinstance(one, EncodingError)
        found.append(one[0])
    return found


def test_half_precision_is_exact() -> None:
    contents = [{"x": np.array([one["x"], one["x"] / 3], np.float16)} for one in STATES]
    code = fit_code(contents)
    for one in contents[:50]:
        for found in _round_trips(code, one):
            assert found["x"].dtype == np.float16
            assert found["x"].tobytes() == one["x"].tobytes()


@pytest.mark.parametrize(
    ("usual", "other"),
    [
        (0.0, -0.0),
        (np.float64(0.0), np.float64(-0.0)),
        (np.float32(0.0), np.float32(-0.0)),
        (np.float16(0.0), np.float16(-0.0)),
        (np.complex64(1), np.complex64(complex(1, -0.0))),
        (np.timedelta64(0, "s"), np.timedelta64(0, "m")),
    ],
)
def test_what_is_equal_and_not_the_same_is_told_apart(usual: Any, other: Any) -> None:
    code = from_bytes(to_bytes(fit_code([{"x": usual, "y": place % 2} for place in range(40)])))
    for value in (usual, other):
        for found in _round_trips(code, {"x": value, "y": 1}):
            assert repr(found["x"]) == repr(value)


@pytest.mark.long
def test_contents_with_more_leaves_than_are_told_apart_spoil_no_code() -> None:
    wide = {f"k{place}": float(place) for place in range(9_000)}
    nested = {"a": dict(wide), **{f"k{place}": 1.0 for place in range(4_000)}}
    arrays = {"x": [np.zeros(1000) for _ in range(20)]}
    most = {f"k{place}": float(place) for place in range(MAX_LEAVES)}
    for one in (wide, nested, arrays):
        assert take_apart(one) is None
    assert take_apart(most) is not None
    code = from_bytes(to_bytes(fit_code([wide, nested, arrays, most, *STATES])))
    assert code.encode(most, 0, 2) is not None
    assert code.encode(wide, 0, 2) is None


def test_attributes_whose_keys_have_marks_of_paths_stay_exact() -> None:
    contents = [{"home": {"at[m]": one["x"], "#": one["x"]}} for one in STATES]
    tolerances, default = tolerances_of([], ["home.at[m]", "home.#"])
    code, _ = fit_contents(contents, [*range(len(contents))], tolerances, default)
    assert not code.lattices
    code, _ = fit_contents(contents, [*range(len(contents))], {})
    assert len(code.lattices) == 2
    codes = Codes(Registered(v1=code), exact=["home.at[m]"])
    codes.use(1)
    assert codes.current is None


def test_a_code_is_not_used_that_does_not_keep_what_others_declared_since() -> None:
    codes = using(fit_code(STATES))
    coded = decoded(codes, Uncoded(STATES[0], 0, 1))
    codes.keep_exact(["x"])
    codes.use(1)
    assert codes.current is None
    assert codes.encode(Uncoded(coded, 0, 2)) is None


def test_integers_of_any_size_among_floats_are_no_error_of_a_training() -> None:
    odd = [one if place % 10 else {"x": 10**400} for place, one in enumerate(STATES)]
    _, report = fit_contents(odd, [*range(len(odd))], {})
    assert report.inside == 1.0
