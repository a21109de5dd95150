"""Laws of the fitted code of contents: bounds, round trips, one entry at a time or many."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent_memory.compression.fitted import rans
from agent_memory.compression.fitted.artifact import from_bytes, to_bytes
from agent_memory.compression.fitted.code import ContentsCode
from agent_memory.compression.fitted.lanes_decoding import decode_many
from agent_memory.compression.fitted.lanes_encoding import encode_many
from agent_memory.compression.fitted.structure import leaf_paths, put_together, take_apart
from agent_memory.compression.fitting.fit import fit_code
from agent_memory.compression.fitting.tolerances import EXACT, Tolerance
from agent_memory.errors import ConfigError, EncodingError, InvalidEntry
from agent_memory.values.contents import pack, unpack
from tests.fuzzing import examples

ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)
SCALARS = st.one_of(
    st.floats(-100, 100),
    ANY_FLOAT,
    st.integers(-50, 50),
    st.integers(),
    st.booleans(),
    st.none(),
    st.text(max_size=5),
    st.sampled_from(["calm", "alert"]),
    st.binary(max_size=4),
    st.floats(width=32, allow_nan=False).map(np.float32),
    st.floats(-5, 5).map(np.float64),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
)
ARRAYS = st.one_of(
    st.lists(st.floats(-3, 3), min_size=2, max_size=3).map(np.array),
    st.lists(st.floats(-3, 3, width=32), min_size=2, max_size=2).map(
        lambda v: np.array(v, np.float32)
    ),
    st.lists(st.integers(0, 9), min_size=4, max_size=4).map(lambda v: np.array(v).reshape(2, 2)),
    st.just(np.array([True, False])),
)
VALUES = st.recursive(
    SCALARS | ARRAYS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        st.dictionaries(st.integers(0, 3), inner, max_size=2),
    ),
    max_leaves=6,
)
CONTENTS = st.dictionaries(st.sampled_from(["a", "b", "c", "", "é", "x.y"]), VALUES, max_size=5)
PLAIN = st.fixed_dictionaries(
    {
        "position": st.tuples(st.floats(0, 10), st.floats(0, 10)),
        "energy": st.floats(-1e3, 1e3) | st.none(),
        "steps": st.integers(0, 10_000),
        "mood": st.sampled_from(["calm", "alert", None]),
        "home": st.fixed_dictionaries({"food": st.floats(0, 1), "alive": st.booleans()}),
    }
)
MANY = settings(
    max_examples=examples(40), suppress_health_check=[HealthCheck.too_slow], deadline=None
)


def normal(contents: Mapping[str, Any]) -> dict[str, Any]:
    """Contents as the exact coding gives them back."""
    return unpack(pack(contents))


def same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and pack({"": left}) == pack({"": right})


def check(original: Mapping[str, Any], decoded: Any, bounds: Mapping[str, float]) -> None:
    """Shape and types are equal, numbers within their bounds, all else exact."""
    left, right = take_apart(normal(original)), take_apart(decoded)
    assert left is not None
    assert right is not None
    assert left[0] == right[0]
    for path, was, is_now in zip(leaf_paths(left[0]), left[1], right[1], strict=True):
        assert type(was) is type(is_now), path
        if not same(was, is_now):
            assert path in bounds
            assert abs(float(was) - float(is_now)) <= bounds[path], path


# -- bounds --------------------------------------------------------------------------------------


@MANY
@given(st.lists(PLAIN, min_size=1, max_size=40), CONTENTS, st.sampled_from([1, 2]))
def test_every_number_is_within_its_bound_and_all_else_exact(
    learned: list[dict[str, Any]], other: dict[str, Any], level: int
) -> None:
    code = fit_code([*learned, other])
    for step, contents in enumerate([*learned, other]):
        coded = code.encode(contents, step, level)
        if coded is None:
            continue
        decoded, shape, reported = code.decode(coded, step)
        assert reported == level
        check(contents, decoded, code.bounds(shape, level))


@MANY
@given(st.lists(CONTENTS, min_size=1, max_size=12), st.sampled_from([1, 2]))
def test_arbitrary_contents_keep_their_shapes_types_and_bounds(
    learned: list[dict[str, Any]], level: int
) -> None:
    code = fit_code(learned)
    for step, contents in enumerate(learned):
        coded = code.encode(contents, step, level)
        if coded is not None:
            decoded, shape, _ = code.decode(coded, step)
            check(contents, decoded, code.bounds(shape, level))


@MANY
@given(
    st.lists(st.floats(0, 1), min_size=20, max_size=60),
    st.lists(ANY_FLOAT | st.integers() | st.text(max_size=3) | st.none(), min_size=1, max_size=9),
    st.sampled_from([1, 2]),
)
def test_values_far_outside_the_fitted_range_are_kept(
    learned: list[float], wild: list[Any], level: int
) -> None:
    code = fit_code([{"x": value} for value in learned])
    for value in wild:
        coded = code.encode({"x": value}, 0, level)
        assert coded is not None
        decoded, shape, _ = code.decode(coded, 0)
        check({"x": value}, decoded, code.bounds(shape, level))


@MANY
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=60),
    st.floats(0, 0.01),
    st.floats(0.01, 1),
    st.booleans(),
)
def test_tolerances_hold_whatever_they_are(
    values: list[float], fine: float, coarse: float, relative: bool
) -> None:
    tolerance = Tolerance(fine, coarse, relative)
    code = fit_code([{"x": value} for value in values], tolerances={"x": tolerance})
    allowed = tolerance.within(max(values) - min(values))
    for value in values:
        for level in (1, 2):
            coded = code.encode({"x": value}, 0, level)
            assert coded is not None
            decoded = code.decode(coded, 0)[0]["x"]
            assert abs(decoded - value) <= allowed[level - 1]


@MANY
@given(st.lists(PLAIN, min_size=2, max_size=40))
def test_level_2_of_what_was_level_1_is_level_2_of_the_original(
    learned: list[dict[str, Any]],
) -> None:
    code = fit_code(learned)
    for step, contents in enumerate(learned):
        first = code.encode(contents, step, 1)
        assert first is not None
        once = code.decode(first, step)[0]
        assert code.encode(once, step, 1) == first
        assert code.encode(once, step, 2) == code.encode(contents, step, 2)
        second = code.encode(contents, step, 2)
        assert second is not None
        assert code.encode(code.decode(second, step)[0], step, 2) == second


# -- many at once --------------------------------------------------------------------------------


@MANY
@given(
    st.lists(PLAIN, min_size=10, max_size=40),
    st.lists(CONTENTS, max_size=3),
    st.lists(st.tuples(st.integers(0, 39), ANY_FLOAT | st.none() | st.integers()), max_size=4),
    st.sampled_from([1, 2]),
)
def test_many_at_once_are_the_same_bytes_and_the_same_contents(
    learned: list[dict[str, Any]],
    others: list[dict[str, Any]],
    changes: list[tuple[int, Any]],
    level: int,
) -> None:
    code = fit_code(learned)
    asked = [*learned, *others]
    for place, value in changes:
        at = place % len(learned)
        asked[at] = {**asked[at], "energy": value}
    steps = [*range(len(asked))]
    alone = [code.encode(one, step, level) for one, step in zip(asked, steps, strict=True)]
    assert encode_many(code, asked, steps, level) == alone
    known = [(coded, step) for coded, step in zip(alone, steps, strict=True) if coded is not None]
    found = decode_many(code, [coded for coded, _ in known], [step for _, step in known])
    for (coded, step), decoded in zip(known, found, strict=True):
        assert not isinstance(decoded, EncodingError)
        expected = code.decode(coded, step)
        assert decoded[1:] == expected[1:]
        assert same(decoded[0], expected[0])


@MANY
@given(st.data())
def test_rans_gives_back_any_message(data: st.DataObject) -> None:
    message = []
    for _ in range(data.draw(st.integers(0, 60))):
        bits = data.draw(st.integers(0, 14))
        begin = data.draw(st.integers(0, (1 << bits) - 1))
        width = data.draw(st.integers(1, (1 << bits) - begin))
        message.append((begin, width, bits))
    coded = rans.encode(message)
    reader = rans.Reader(coded)
    for begin, width, bits in message:
        assert begin <= reader.peek(bits) < begin + width
        reader.take(begin, width, bits)
    assert reader.finished
    needed = sum(bits - math.log2(width) for _, width, bits in message)
    # The state begins empty: the first choice may cost its whole, and the last byte is not full.
    assert len(coded) * 8 <= needed + 14 + 8 + 0.001 * len(message) * 14 + 8


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=300))
def test_shares_add_up_and_none_is_nothing(counts: list[float]) -> None:
    widths = rans.shares(counts)
    assert sum(widths) == rans.TOTAL
    assert min(widths) >= 1
    bits, narrow = rans.narrowed(widths)
    assert sum(narrow) == 1 << bits
    assert min(narrow) >= 1


# -- damage --------------------------------------------------------------------------------------


def a_code() -> tuple[ContentsCode, list[dict[str, Any]]]:
    rng = np.random.default_rng(1)
    learned = [
        {"a": float(rng.normal()), "b": [int(rng.integers(90)), "s"], "c": np.zeros(2), "d": None}
        for _ in range(300)
    ]
    return fit_code(learned), learned


@MANY
@given(st.binary(max_size=60), st.integers(0, 10**9))
def test_any_bytes_are_contents_of_a_known_shape_or_damage(coded: bytes, step: int) -> None:
    code, _ = a_code()
    try:
        contents, shape, _ = code.decode(coded, step)
    except EncodingError:
        return
    apart = take_apart(contents)
    assert apart is not None
    assert code.shape_of(apart[0]) == shape


def test_most_flipped_bits_are_told_and_none_does_harm() -> None:
    code, learned = a_code()
    reported = tried = 0
    for step, contents in enumerate(learned[:40]):
        coded = code.encode(contents, step, 2)
        assert coded is not None
        for bit in range(8 * len(coded)):
            flipped = bytearray(coded)
            flipped[bit // 8] ^= 1 << bit % 8
            tried += 1
            for found in (decode_many(code, [bytes(flipped)] * 9, [step] * 9)[0],):
                reported += isinstance(found, EncodingError)
    assert reported > 0.5 * tried


def test_an_announced_length_beyond_what_is_there_is_damage() -> None:
    code = fit_code([{"x": "a"}, {"x": "b"}])
    coded = code.encode({"x": "y" * 100_000}, 0, 2)
    assert coded is not None
    assert code.decode(coded, 0)[0] == {"x": "y" * 100_000}
    for cut in (10, 1000, len(coded) - 1):
        with pytest.raises(EncodingError):
            code.decode(coded[:cut], 0)


# -- the artifact --------------------------------------------------------------------------------


@MANY
@given(st.lists(PLAIN | CONTENTS, min_size=1, max_size=25))
def test_a_code_comes_back_from_its_bytes(learned: list[dict[str, Any]]) -> None:
    code = fit_code(learned)
    again = from_bytes(to_bytes(code))
    assert to_bytes(again) == to_bytes(code)
    for step, contents in enumerate(learned):
        for level in (1, 2):
            coded = code.encode(contents, step, level)
            assert again.encode(contents, step, level) == coded
            if coded is not None:
                assert same(again.decode(coded, step)[0], code.decode(coded, step)[0])


def test_damaged_and_foreign_artifacts_are_refused() -> None:
    raw = to_bytes(a_code()[0])
    for bit in range(0, 8 * len(raw), 7):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(EncodingError):
            from_bytes(bytes(flipped))
    for cut in range(0, len(raw), 13):
        with pytest.raises(EncodingError):
            from_bytes(raw[:cut])
    with pytest.raises(EncodingError):
        from_bytes(b"")


HOSTILE: list[Any] = [
    {},
    {"columns": [], "shapes": [], "widths": 5, "more": 1},
    {"columns": 1, "shapes": [], "widths": []},
    {"columns": [["p", [], "", None, 0, 0, [rans.TOTAL + 1]]], "shapes": [], "widths": []},
    {"columns": [["p", [], "", None, 0, 0, [0, rans.TOTAL]]], "shapes": [], "widths": []},
    {"columns": [["p", [], "f", [0.0, 0.0, 1, 1.0, 1.0, False], 0, 0, [1, rans.TOTAL - 1]]],
     "shapes": [], "widths": []},
    {"columns": [], "shapes": [[("l", 10**12, None), []]], "widths": [rans.TOTAL]},
    {"columns": [], "shapes": [[("a", "O", (1,)), [0]]], "widths": [rans.TOTAL]},
    {"columns": [], "shapes": [[("a", "<f8", (10**9, 10**9)), []]], "widths": [rans.TOTAL]},
    {"columns": [], "shapes": [[("d", ("a",), ()), []]], "widths": [rans.TOTAL]},
    {"columns": [], "shapes": [[("z", 1, None), []]], "widths": [rans.TOTAL]},
    {"columns": [], "shapes": [[0, [5]]], "widths": [rans.TOTAL]},
]  # fmt: skip


_PREDICTION = {
    "scale": 1.0,
    "weights": np.zeros((2, 1), np.int32),
    "offsets": np.zeros(1, np.int64),
    "shapes": [[0]],
    "places": [[0]],
}
_WRONG: list[dict[str, Any]] = [
    {"scale": 0.0},
    {"scale": float("nan")},
    {"scale": 1},
    {"weights": np.zeros((2, 1))},
    {"weights": np.zeros((65, 1), np.int32)},
    {"weights": np.full((2, 1), 2**30, np.int32)},
    {"weights": [0, 0]},
    {"offsets": np.full(1, 2**60, np.int64)},
    {"offsets": np.zeros(2, np.int64)},
    {"shapes": []},
    {"shapes": [[7]]},
    {"shapes": [[0, 0]]},
    {"places": [[1]]},
    {"places": [[-2]]},
    {"places": [[True]]},
]


@pytest.mark.parametrize("wrong", _WRONG, ids=range(len(_WRONG)))
def test_hostile_predictions_are_refused(wrong: dict[str, Any]) -> None:
    from agent_memory.embeddings.framing import framed  # noqa: PLC0415  # to forge one

    reported = {
        "columns": [["p", [], "i", [0, False], 0, 0, [rans.TOTAL - 1, 1]]],
        "shapes": [[("d", ("p",), (0,)), [0]]],
        "widths": [rans.TOTAL],
    }
    sound = from_bytes(framed(b"amcode\0\1", {}, pack({**reported, "prediction": _PREDICTION})))
    coded = sound.encode({"p": 0}, 0, 2, np.ones(2, np.float32))
    assert coded is not None
    assert sound.decode(coded, 0, np.ones(2, np.float32))[0] == {"p": 0}
    with pytest.raises(EncodingError):
        from_bytes(framed(b"amcode\0\1", {}, pack({**reported, "prediction": _PREDICTION | wrong})))


@pytest.mark.parametrize("reported", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_artifacts_with_a_right_checksum_are_refused(reported: Any) -> None:
    from agent_memory.embeddings.framing import framed  # noqa: PLC0415  # to forge one

    raw = framed(b"amcode\0\1", {}, pack(reported))
    if reported.get("more"):
        assert from_bytes(raw).encode({"a": 1}, 0, 2) is None
        return
    with pytest.raises(EncodingError):
        from_bytes(raw)


# -- prediction from vectors ---------------------------------------------------------------------

TOLD_BY_VECTORS = st.lists(st.tuples(PLAIN, st.floats(-3, 3, width=32)), min_size=40, max_size=50)


def with_vectors(
    reported: list[tuple[dict[str, Any], float]],
) -> tuple[list[dict[str, Any]], NDArray[np.float32]]:
    """Contents, and vectors that tell much about them and something else."""
    contents = [one for one, _ in reported]
    vectors = [[one["position"][0] / 5, one["steps"] / 1e4, other] for one, other in reported]
    return contents, np.array(vectors, np.float32)


@MANY
@given(TOLD_BY_VECTORS, CONTENTS)
@pytest.mark.long
def test_beside_a_vector_numbers_keep_their_bounds_one_at_a_time_and_many(
    reported: list[tuple[dict[str, Any], float]], other: dict[str, Any]
) -> None:
    contents, vectors = with_vectors(reported)
    code = from_bytes(to_bytes(fit_code(contents, vectors=vectors)))
    asked, steps = [*contents, other], [*range(len(contents) + 1)]
    beside = np.vstack([vectors, np.full((1, 3), 1e30, np.float32)])
    coded = encode_many(code, asked, steps, 2, beside)
    told_one_by_one = zip(asked, steps, beside, strict=True)
    assert coded == [code.encode(one, step, 2, row) for one, step, row in told_one_by_one]
    known = [place for place, one in enumerate(coded) if one is not None]
    messages = [one for one in coded if one is not None]
    decoded = decode_many(code, messages, known, beside[known])
    for place, message, found in zip(known, messages, decoded, strict=True):
        assert not isinstance(found, EncodingError)
        assert code.decode(message, place, beside[place]) == found
        check(asked[place], found[0], code.bounds(found[1], 2))


def test_what_vectors_tell_is_not_told_again_and_cannot_be_read_without() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((600, 4)).astype(np.float32)
    contents = [
        {"x": [float(row[place] - row[0]) for place in range(4)], "n": int(row[2] * 100)}
        for row in vectors
    ]
    plain, code = fit_code(contents), fit_code(contents, vectors=vectors)
    alone = sum(len(plain.encode(one, 0, 2) or b"") for one in contents)
    beside = [
        code.encode(one, 0, 2, row) or b"" for one, row in zip(contents, vectors, strict=True)
    ]
    assert 3 * sum(map(len, beside)) < 2 * alone
    for missing in (None, vectors[0][:3]):
        with pytest.raises(EncodingError, match="vector"):
            code.decode(beside[0], 0, missing)
        (error,) = decode_many(code, beside[:1], [0], None if missing is None else missing[None])
        assert isinstance(error, EncodingError)
    # Level 1, and contents without a vector, are coded as if there were none.
    for level, vector in ((1, vectors[0]), (2, None)):
        coded = code.encode(contents[0], 0, level, vector)
        assert coded is not None
        check(contents[0], code.decode(coded, 0)[0], code.bounds(0, level))


def test_a_code_that_follows_keeps_the_lattices_that_serve() -> None:
    rng = np.random.default_rng(0)
    first = [{"x": float(x), "y": float(x)} for x in rng.uniform(0, 100, 300)]
    later = [{"x": float(x), "y": float(x) * 1000} for x in rng.uniform(-10, 120, 300)]
    parent = fit_code(first)
    code = fit_code(later, parent=parent)
    assert code.lattices["x"] == parent.lattices["x"]
    assert code.lattices["y"] != parent.lattices["y"]  # a thousand times too fine by now
    for level in (1, 2):
        coded = parent.encode(first[0], 0, level)
        assert coded is not None
        once = parent.decode(coded, 0)[0]
        again = code.encode(once, 0, level)
        assert again is not None
        assert code.decode(again, 0)[0]["x"] == once["x"]


# -- what is fitted on ---------------------------------------------------------------------------


def test_nothing_to_fit_on_is_refused() -> None:
    with pytest.raises(InvalidEntry):
        fit_code([])


@pytest.mark.parametrize(
    "contents",
    [
        [{"x": 1.5}],
        [{"x": 2.0}] * 50,
        [{"x": None}] * 50,
        [{"x": math.nan}, {"x": math.inf}, {"x": -0.0}, {"x": 0.0}] * 10,
        [{}] * 5,
        [{f"k{place}": place * 0.5 for place in range(5_000)}],
        [{"x": f"name {place}"} for place in range(100_000)],
        [{"x": place * 1e300} for place in range(-20, 20)],
        [{"x": place % 7, **({"y": 1.0} if place > 20 else {})} for place in range(40)],
        [{"counter": 10**6 + 7 * place, "step": place} for place in range(100)],
        [{"x": 2**80 + place} for place in range(100)],
    ],
    ids=[
        "one state", "constant", "all missing", "nan and inf", "empty", "5,000 keys",
        "100,000 categories", "beyond doubles", "changing shape", "counters", "huge integers",
    ],
)  # fmt: skip
def test_odd_contents_are_fitted_and_kept(contents: list[dict[str, Any]]) -> None:
    code = fit_code(contents)
    assert len(to_bytes(code)) < 2_000_000
    for step, one in [*enumerate(contents)][:200]:
        for level in (1, 2):
            coded = code.encode(one, step, level)
            if coded is not None:
                decoded, shape, _ = code.decode(coded, step)
                check(one, decoded, code.bounds(shape, level))
                assert len(coded) <= 30 or len(one) > 10


def test_a_counter_that_grows_with_the_step_stays_small_for_ever() -> None:
    code = fit_code([{"age": 17 + step} for step in range(200)])
    for step in (10**4, 10**9):
        coded = code.encode({"age": 17 + step}, step, 2)
        assert coded is not None
        assert len(coded) <= 2
        assert code.decode(coded, step)[0] == {"age": 17 + step}


def test_exact_paths_are_exact() -> None:
    rng = np.random.default_rng(2)
    contents = [{"x": float(value), "y": float(value)} for value in rng.normal(size=500)]
    code = fit_code(contents, tolerances={"x": EXACT})
    for one in contents[:50]:
        coded = code.encode(one, 0, 2)
        assert coded is not None
        decoded, shape, _ = code.decode(coded, 0)
        assert decoded["x"] == one["x"]
        assert code.bounds(shape, 2).keys() == {"y"}


@pytest.mark.parametrize("numbers", [(-1.0, 1.0), (0.1, 0.01), (math.nan, 1.0), (0.0, math.inf)])
def test_tolerances_without_a_meaning_are_refused(numbers: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="tolerances"):
        Tolerance(*numbers)


@given(CONTENTS)
def test_contents_are_put_together_as_they_were_taken_apart(contents: dict[str, Any]) -> None:
    plain = normal(contents)
    apart = take_apart(plain)
    assert apart is not None
    signature, leaves = apart
    assert same(put_together(signature, iter(leaves)), plain)
    assert len([*leaf_paths(signature)]) == len(leaves)


def test_single_precision_is_bounded_too() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(400, 3)).astype(np.float32)
    code = fit_code([{"x": row, "y": row[0]} for row in values])
    for row in values[:100]:
        for level in (1, 2):
            coded = code.encode({"x": row, "y": row[0]}, 0, level)
            assert coded is not None
            decoded, shape, _ = code.decode(coded, 0)
            check({"x": row, "y": row[0]}, decoded, code.bounds(shape, level))
            assert decoded["x"].dtype == np.float32
            assert type(decoded["y"]) is np.float32
