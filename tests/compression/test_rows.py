"""What is stored of contents once a code is fitted: never more than without, read as it was."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent_memory.compression.codes import Codes
from agent_memory.compression.fitted.artifact import to_bytes
from agent_memory.compression.fitted.code import ContentsCode
from agent_memory.compression.fitted.lanes_decoding import decode_many
from agent_memory.compression.fitting.fit import fit_code
from agent_memory.compression.levels import ContentsCodec
from agent_memory.errors import EncodingError
from agent_memory.values.coded import CodedContents, code_named_by, is_coded
from agent_memory.values.contents import pack
from agent_memory.values.entry import MemoryEntry, MemoryType
from agent_memory.values.paths import ABSENT, value_at
from tests.fuzzing import examples

WORDS = [
    "ant",
    "bee",
    "food",
    "nest",
    "trail",
    "north",
    "river",
    "carried",
    "found",
    "lost",
    "queen",
    "rain",
]
MANY = settings(
    max_examples=examples(40), suppress_health_check=[HealthCheck.too_slow], deadline=None
)

Kind = Callable[[int, random.Random], dict[str, Any]]


def state(step: int, rng: random.Random) -> dict[str, Any]:
    return {"x": rng.uniform(-9, 9), "home": (step % 7, 3), "mood": rng.choice(WORDS), "age": step}


def frame(step: int, rng: random.Random) -> dict[str, Any]:
    picture = np.zeros((84, 84, 3), np.uint8)
    picture[step % 70 : step % 70 + 8, 3 * step % 70 : 3 * step % 70 + 8] = (200, 72, 72)
    return {"frame": picture}


def frame_and_state(step: int, rng: random.Random) -> dict[str, Any]:
    return {**frame(step, rng), "x": rng.uniform(0, 1), "lives": step % 3}


def noise(step: int, rng: random.Random) -> dict[str, Any]:
    return {"frame": np.frombuffer(rng.randbytes(784), np.uint8).reshape(28, 28)}


def mask(step: int, rng: random.Random) -> dict[str, Any]:
    return {"visible": np.add.outer(np.arange(20), np.arange(20)) % 17 < step % 9}


def grid(step: int, rng: random.Random) -> dict[str, Any]:
    cells = np.zeros((50, 50), int)
    for other in range(12):
        cells[(7 * other + step) % 50, (5 * other + 2 * step) % 50] = other % 4 + 1
    return {"grid": cells}


def explored(step: int, rng: random.Random) -> dict[str, Any]:
    row, column = np.mgrid[:30, :30]
    return {"grid": ((row - 15) ** 2 + (column - 15) ** 2 < 2 * step) * (row * column % 9)}


def nested_grid(step: int, rng: random.Random) -> dict[str, Any]:
    return {"grid": [[int((i * j + step) % 7 == 0) for j in range(20)] for i in range(20)]}


def text(step: int, rng: random.Random) -> dict[str, Any]:
    return {"note": " ".join(rng.choices(WORDS, k=400)), "mood": rng.choice(WORDS)}


def note(step: int, rng: random.Random) -> dict[str, Any]:
    return {"note": " ".join(rng.choices(WORDS, k=9)), "mood": rng.choice(WORDS)}


def growing_list(step: int, rng: random.Random) -> dict[str, Any]:
    return {"visited": [rng.randrange(900) for _ in range(5 + step % 90)], "x": rng.random()}


def growing_dict(step: int, rng: random.Random) -> dict[str, Any]:
    trust = {f"agent {other}": other % 3 for other in range(step % 60)}
    return {"trust": trust, "x": rng.random(), "mood": rng.choice(WORDS)}


def unseen(step: int, rng: random.Random) -> dict[str, Any]:
    deep = {"at": [step % 5, None, (step % 2, "odd")], "wind": rng.random()}
    return {"x": rng.uniform(0, 1), "tag": f"tag {step}", "deep": deep, "last": f"{step:03}"}


def scan(step: int, rng: random.Random) -> dict[str, Any]:
    return {"scan": [abs(np.sin(place / 9 + step / 30)) + rng.random() / 9 for place in range(64)]}


def observation(step: int, rng: random.Random) -> dict[str, Any]:
    return {"obs": np.array([rng.gauss(0, 1) for _ in range(24)], np.float32)}


def bytes_of_memory(step: int, rng: random.Random) -> dict[str, Any]:
    return {"ram": bytes([step % 256, *rng.randbytes(3)]) * 40}


def one_number_all_over(step: int, rng: random.Random) -> dict[str, Any]:
    # Outside all that was learned from, so that each comes with its own bytes.
    odd = 1e300 if step > 80 else rng.random()
    return {f"k{place}": odd for place in range(60)}


KINDS: list[Kind] = [
    *(state, frame, frame_and_state, noise, mask, grid, explored, nested_grid, text, note),
    *(growing_list, growing_dict, scan, observation, bytes_of_memory, one_number_all_over),
]


class Registered:
    """A code as one version."""

    def __init__(self, raw: bytes, version: int = 1) -> None:
        self._raw, self._version = raw, version

    def code(self, version: int) -> bytes | None:
        return self._raw if version == self._version else None


def codec_of(code: ContentsCode) -> ContentsCodec:
    codes = Codes(Registered(to_bytes(code)))
    codes.use(1)
    return ContentsCodec(codes=codes, beside_vectors=True)


def entry_of(
    contents: Mapping[str, Any],
    step: int,
    level: int,
    vector: NDArray[np.float32] | None = None,
) -> MemoryEntry:
    return MemoryEntry(
        memory_id=f"{step:032x}",
        run_id="run",
        agent_id="ant",
        step_number=step,
        timestamp=float(step),
        memory_type=MemoryType.STATE,
        contents=contents,
        compression_level=level,
        embedding=vector,
        encoder_version=None if vector is None else 1,
    )


def stored_both_ways(
    code: ContentsCode, contents: Sequence[Mapping[str, Any]], steps: Sequence[int], level: int
) -> tuple[list[bytes], list[bytes]]:
    """What is stored without a code, and with it; alone and in a batch are the same bytes."""
    entries = [entry_of(one, step, level) for one, step in zip(contents, steps, strict=True)]
    codec = codec_of(code)
    coded = codec.encode_many(entries)
    assert coded == [codec.encode(entry) for entry in entries]
    for one, found in zip(coded, codec.decode_many(coded, steps), strict=True):
        alone = codec.decode(one, steps[coded.index(one)])
        assert not isinstance(found, EncodingError)
        assert pack(found) == pack(alone)
    return ContentsCodec().encode_many(entries), coded


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_row_is_larger_once_a_code_is_fitted(kind: Kind, level: int) -> None:
    rng = random.Random(7)
    contents = [kind(step, rng) for step in range(160)]
    code = fit_code(contents[:80], range(80))
    exact, coded = stored_both_ways(code, contents[80:], [*range(80, 160)], level)
    for without, with_code in zip(exact, coded, strict=True):
        assert len(with_code) <= len(without)


SCALARS = st.one_of(
    st.floats(-9, 9),
    st.floats(),
    st.integers(),
    st.text(max_size=400),
    st.binary(max_size=400),
    st.none(),
)
ARRAYS = st.builds(
    lambda side, fill, dtype: np.full((side, side), fill, dtype),
    st.integers(1, 40),
    st.integers(0, 3),
    st.sampled_from(["u1", "i8", "?", "f4", "f8"]),
)
CONTENTS = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    SCALARS | ARRAYS | st.lists(SCALARS, max_size=30) | st.lists(st.integers(0, 9), max_size=90),
    max_size=3,
)


@MANY
@given(st.lists(CONTENTS, min_size=2, max_size=20), st.lists(CONTENTS, max_size=20))
def test_no_row_of_any_contents_is_larger_once_a_code_is_fitted(
    learned: list[dict[str, Any]], others: list[dict[str, Any]]
) -> None:
    code = fit_code(learned)
    contents = [*learned, *others]
    for level in (1, 2):
        exact, coded = stored_both_ways(code, contents, [*range(len(contents))], level)
        assert all(len(one) <= len(other) for one, other in zip(coded, exact, strict=True))


@pytest.mark.parametrize("kind", [frame, frame_and_state, mask, grid, explored, nested_grid, text])
def test_what_is_kept_in_one_piece_comes_back_as_it_was(kind: Kind) -> None:
    rng = random.Random(3)
    contents = [kind(step, rng) for step in range(120)]
    codec = codec_of(fit_code(contents[:60], range(60)))
    for step, one in enumerate(contents[60:]):
        for level in (1, 2):
            found = codec.decode(codec.encode(entry_of(one, step, level)), step)
            bounds = found.bounds if isinstance(found, CodedContents) else {}
            for key in one.keys() - {path.partition(".")[0] for path in bounds}:
                assert pack({"": found[key]}) == pack({"": one[key]})


def test_a_frame_beside_numbers_costs_the_numbers_nothing() -> None:
    rng = random.Random(5)
    contents = [
        frame(step, rng) | {f"x{place}": rng.random() for place in range(20)} for step in range(200)
    ]
    code = fit_code(contents[:100], range(100))
    exact, coded = stored_both_ways(code, contents[100:], [*range(100, 200)], 2)
    assert all(is_coded(one) for one in coded)
    # Twenty floats of nine bytes each, in about a byte each.
    assert sum(map(len, coded)) < sum(map(len, exact)) - 100 * 20 * 7


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("kind", [frame_and_state, growing_dict, note, state, scan, unseen])
def test_many_are_read_as_each_alone_and_what_is_damaged_says_so(kind: Kind, level: int) -> None:
    rng = random.Random(11)
    contents = [kind(step, rng) for step in range(160)]
    vectors = np.array([[rng.random(), step / 160] for step in range(160)], np.float32)
    codec = codec_of(fit_code(contents[:100], range(100), vectors=vectors[:100]))
    steps = [*range(100, 160)]
    beside: list[Any] = [*vectors[100:]]
    coded = codec.encode_many(
        [entry_of(one, step, level, vector)
         for one, step, vector in zip(contents[100:], steps, beside, strict=True)]
    )  # fmt: skip
    assert any(map(is_coded, coded))
    for place in range(0, 60, 7):
        middle = len(coded[place]) // 2
        coded[place] = coded[place][:middle] + coded[place][middle + 1 :]
    beside[3] = None
    for place, found in enumerate(codec.decode_many(coded, steps, beside)):
        try:
            alone: Any = codec.decode(coded[place], steps[place], beside[place])
        except EncodingError as error:
            alone = error
        damaged = isinstance(alone, EncodingError)
        assert damaged is isinstance(found, EncodingError)
        assert damaged or place % 7 or not is_coded(coded[place])
        if damaged:
            assert str(found) == str(alone)
        else:
            assert isinstance(found, dict)
            assert pack(found) == pack(alone)
            assert getattr(found, "bounds", None) == getattr(alone, "bounds", None)
    _assert_values_are_those_of_contents(codec, coded, steps, beside)


def test_many_values_without_a_choice_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(12)
    contents = [unseen(8 ** (4 * step), rng) for step in range(100)]  # some very long
    code = fit_code(contents[:50], range(50))
    steps = [*range(50, 100)]
    messages = [code.encode(one, step, 2) for one, step in zip(contents[50:], steps, strict=True)]
    coded = [one for one in messages if one is not None]
    alone = [code.decode(one, step) for one, step in zip(coded, steps, strict=True)]
    # What cannot be read together is read alone, and would be right as well.
    monkeypatch.setattr(ContentsCode, "decode", None)
    assert pack({"": decode_many(code, coded, steps)}) == pack({"": alone})
    tags = [one for one, _, _ in decode_many(code, coded, steps, path="tag")]  # type: ignore[misc]  # no errors
    assert tags == [one["tag"] for one in contents[50:]]


PATHS = (
    *("x", "home", "home[1]", "mood", "mood[0]", "age", "note", "frame", "frame[3]", "scan[7]"),
    *("trust", "trust.agent 3", "trust.agent 3.more", "lives", "tag", "deep", "deep.at", "last"),
    *("deep.at[0]", "deep.at[2][1]", "deep.at[9]", "deep.wind", "deep.wind[0]", "nowhere", "x.x"),
)


def _assert_values_are_those_of_contents(
    codec: ContentsCodec, coded: Sequence[bytes], steps: Sequence[int], beside: Sequence[Any]
) -> None:
    whole = codec.decode_many(coded, steps, beside)
    for path in PATHS:
        for found, one in zip(codec.values_at(path, coded, steps, beside), whole, strict=True):
            if isinstance(one, EncodingError):
                assert str(found) == str(one)
                continue
            assert not isinstance(found, EncodingError)
            expected = value_at(one, path)
            assert (found.value is ABSENT) is (expected is ABSENT)
            assert expected is ABSENT or pack({"": found.value}) == pack({"": expected})
            assert found.bounds == (getattr(one, "bounds", None) or None)


def test_marks_with_values_beside_name_the_version_and_a_format() -> None:
    rng = random.Random(2)
    contents = [frame_and_state(step, rng) for step in range(80)]
    raw = to_bytes(fit_code(contents, range(80)))
    for version in (1, 124, 125, 10**9):
        codes = Codes(Registered(raw, version))
        codes.use(version)
        codec = ContentsCodec(codes=codes)
        stored = codec.encode(entry_of(contents[5], 5, 2))
        assert stored[:2] == b"\0\1"
        assert code_named_by(stored) == version
        assert code_named_by(stored[:2]) is None
        assert codec.decode(stored, 5)["lives"] == contents[5]["lives"]
        later = b"\0\2" + stored[2:]
        assert not is_coded(later)
        with pytest.raises(EncodingError, match="format 2, and this version"):
            codec.decode(later, 5)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_is_coded_again_at_its_level_stays_what_it_was(kind: Kind) -> None:
    rng = random.Random(9)
    contents = [kind(step, rng) for step in range(60)]
    codec = codec_of(fit_code(contents[:40], range(40)))
    steps = [*range(40, 60)]
    for level in (1, 2):
        entries = [
            entry_of(one, step, level) for one, step in zip(contents[40:], steps, strict=True)
        ]
        found = codec.decode_many(codec.encode_many(entries), steps)
        read = [
            entry_of(one, step, level)
            for one, step in zip(found, steps, strict=True)
            if isinstance(one, dict)
        ]
        again = codec.decode_many(codec.encode_many(read), steps)
        assert [pack(one) for one in again if isinstance(one, dict)] == [
            pack(one.contents) for one in read
        ]
        assert len(again) == len(steps)
