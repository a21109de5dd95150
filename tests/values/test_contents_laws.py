"""Contents of any shape come back exactly, or are refused by the path of what is wrong."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from typing import Any
from zoneinfo import ZoneInfo

import hypothesis.extra.numpy as npst
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from agent_memory.errors import EncodingError, InvalidEntry
from agent_memory.testing import an_entry, same
from agent_memory.values.contents import pack, unpack
from agent_memory.values.entry import MemoryEntry
from tests.fuzzing import examples

_ZONES = st.none() | st.sampled_from(
    [
        dt.UTC,
        dt.timezone(dt.timedelta(hours=-9, minutes=-30)),
        dt.timezone(dt.timedelta(0), "ZERO"),
        ZoneInfo("Europe/Berlin"),
        ZoneInfo("America/St_Johns"),
    ]
)
_TEXT = st.text(st.characters(), max_size=6)  # lone surrogates and NUL included
_INTS = st.integers() | st.integers(-(2**70), 2**70) | st.sampled_from([2**63, 2**64, -(2**63)])
_DTYPES = (
    npst.boolean_dtypes()
    | npst.integer_dtypes(endianness="?")
    | npst.unsigned_integer_dtypes(endianness="?")
    | npst.floating_dtypes(endianness="?", sizes=(16, 32, 64))
    | npst.complex_number_dtypes(endianness="?", sizes=(64, 128))
    | npst.datetime64_dtypes(endianness="?")
    | npst.timedelta64_dtypes(endianness="?")
    | npst.byte_string_dtypes(max_len=3)
    | npst.unicode_string_dtypes(endianness="?", max_len=3)
)
_ARRAYS = npst.arrays(_DTYPES, npst.array_shapes(min_dims=0, min_side=0, max_side=3))
# What has a hash, so that it may be a key or a member of a set.
_ATOMS = (
    st.none()
    | st.booleans()
    | _INTS
    | st.floats()
    | st.complex_numbers()
    | _TEXT
    | st.binary(max_size=6)
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.dates()
    | st.times(timezones=_ZONES.filter(lambda zone: not isinstance(zone, ZoneInfo)))
    | st.timedeltas()
    | st.datetimes(timezones=_ZONES, allow_imaginary=True)
    | _DTYPES.flatmap(lambda dtype: npst.arrays(dtype, ())).map(lambda array: array[()])
)
_KEYS = st.recursive(
    _ATOMS,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
_VALUES = st.recursive(
    _ATOMS | _ARRAYS | st.decimals(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(_KEYS, max_size=3)
        | st.dictionaries(_KEYS, inner, max_size=4)
        | st.dictionaries(_TEXT, inner, max_size=4)
    ),
    max_leaves=15,
)
_CONTENTS = st.dictionaries(_TEXT | _KEYS, _VALUES, max_size=4)

_bounded = settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@_bounded
@given(contents=_CONTENTS)
def test_contents_come_back_exactly(contents: dict[Any, Any]) -> None:
    assert same(unpack(pack(contents)), contents)


@_bounded
@given(contents=_CONTENTS)
def test_what_came_back_becomes_the_same_bytes_again(contents: dict[Any, Any]) -> None:
    packed = pack(contents)
    assert pack(unpack(packed)) == packed


@_bounded
@given(one=_CONTENTS, other=_CONTENTS)
def test_entries_are_equal_just_when_their_contents_are(one: Any, other: Any) -> None:
    entry = an_entry(contents=one)
    assert entry == _with(entry, one)
    assert (entry == _with(entry, other)) == same(one, other)


def _with(entry: MemoryEntry, contents: Any) -> MemoryEntry:
    return an_entry(memory_id=entry.memory_id, contents=contents)


class _Unstorable:
    pass


@_bounded
@given(
    around=_CONTENTS,
    steps=st.lists(
        st.sampled_from(["list", "tuple", "dict"]), min_size=0, max_size=6
    ),
)  # fmt: skip
def test_what_cannot_be_stored_is_refused_by_its_path(
    around: dict[Any, Any], steps: list[str]
) -> None:
    value: Any = _Unstorable()
    path = ""
    for step in steps:
        if step == "dict":
            value, path = {"before": 1, "in": value}, f".in{path}"
        else:
            value, path = (list if step == "list" else tuple)([0, value]), f"[1]{path}"
    contents = {**around, "the wrong one": value}
    expected = f"contents.the wrong one{path}: object of type "
    with pytest.raises(InvalidEntry, match=re.escape(expected) + r"\S*_Unstorable cannot be"):
        pack(contents)


@_bounded
@given(contents=_CONTENTS, place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_damaged_bytes_are_read_as_something_or_refused(
    contents: dict[Any, Any], place: float, byte: int
) -> None:
    damaged = bytearray(pack(contents))
    damaged[int(place * len(damaged))] = byte
    for given_bytes in (bytes(damaged), bytes(damaged[: int(place * len(damaged))])):
        try:
            found = unpack(given_bytes)
        except EncodingError:
            continue
        assert isinstance(found, dict)


@given(junk=st.binary(max_size=60))
def test_junk_is_read_as_something_or_refused(junk: bytes) -> None:
    with contextlib.suppress(EncodingError):
        assert isinstance(unpack(junk), dict)


@_bounded
@given(array=_ARRAYS)
def test_an_array_in_any_layout_comes_back(array: np.ndarray) -> None:
    turned = array.T
    found = unpack(pack({"turned": turned, "reversed": array[..., ::-1] if array.ndim else array}))
    assert same(found["turned"], np.ascontiguousarray(turned).reshape(turned.shape))
