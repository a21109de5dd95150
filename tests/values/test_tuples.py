"""Tuples come back as tuples and lists as lists, however many are packed together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import msgpack
import numpy as np
import pytest

from agent_memory.compression.levels import exact_bytes
from agent_memory.errors import EncodingError, InvalidEntry
from agent_memory.testing.exact import same
from agent_memory.values.contents import pack, pack_many, packed_apart, unpack, unpack_many
from agent_memory.values.extensions import NEWEST
from agent_memory.values.sealing import sealed, unsealed

_DATE = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
STATES: dict[str, dict[Any, Any]] = {
    "one": {"at": (1.5, 2.5), "hp": 3},
    "several": {"at": (1.5, 2.5), "to": (3, 4), "name": "ant"},
    "nothing in it": {"at": (), "to": ((), ())},
    "within each other": {"grid": ((1, 2), (3, (4, ())))},
    "in a dict": {"home": {"cell": (3, 4)}, "to": (1, 2)},
    "as keys": {(1, 2): "wall", (3, (4, 5)): (6,)},
    "as keys in a dict": {"walls": {(1, 2): True}, "at": (1, 2)},
    "beside a list": {"at": (1, 2), "items": ["a", "b"]},
    "several beside lists": {"at": (1, 2), "to": (), "items": ["a", "b"], "far": [[1], [2]]},
    "many beside a list": {"items": [1], **{f"at{place}": (place, 0.5) for place in range(13)}},
    "tuples of lists beside lists": {"at": ([1, 2], [3]), "to": (1, 2), "items": [[1], [2]]},
    "large ones beside lists": {"at": (2**70, None), "to": ("\ud800",), "n": 2**65, "l": [b"b"]},
    "odd ones beside lists": {"at": (2**70, None), "to": ("\ud800",), "hp": np.int8(1), "l": [1j]},
    "rows in a list": {"trail": [(1, 2), (3, 4)], "at": (5, 6), "at2": [7, 8]},
    "rows in a tuple beside a list": {"box": ((1, 2), (3, 4)), "list": [1]},
    "rows of lists in a tuple": {"box": ([1, 2], [3, 4])},
    "rows of both": {"box": ([1, 2], (3, 4)), "trail": [(1, 2), [3, 4]]},
    "rows that hold more": {"trail": [(1, (2, 3)), (4, [5])], "at": (1, 2)},
    "rows in a dict": {"home": {"trail": [(1, 2), (3, 4)]}, "list": [1]},
    "rows of texts": {"trail": [("a", "b"), ("c", "d")]},
    "rows of arrays": {"trail": [(np.zeros(2), 1)], "at": (np.ones(2), 2)},
    "scalars of NumPy": {"at": (np.float64(1), np.float32(2)), "hp": np.float64(3), "to": (1, 2)},
    "rows of scalars": {"trail": [(np.float64(1), 2.0)], "box": ((np.float64(1),), (2,))},
    "texts of NumPy": {"at": (np.str_("a"), np.bytes_(b"b")), "to": (1, 2), "s": np.str_("c")},
    "large integers": {"at": (2**70, -(2**70)), "to": (2**64, 1), "n": 2**65},
    "times": {"at": (1, 2), "to": (3, 4), "when": _DATE, "span": (_DATE, dt.timedelta(1))},
    "sets": {"cells": {(1, 2), (3, (4, 5))}, "at": (1, 2), "frozen": frozenset({((1,),)})},
    "arrays": {"at": (1, 2), "to": (3, 4), "grid": np.arange(6).reshape(2, 3)},
    "a surrogate": {"at": (1, 2), "to": (3, 4), "text": "\ud800"},
    "None as a key": {None: (1, 2), "to": (3, 4)},
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_sequences_keep_their_types(state: dict[Any, Any]) -> None:
    for packed in (pack(state), pack(state, shortest=True), packed_apart(state)):
        assert same(unpack(unsealed(sealed(packed))), state)
    assert pack_many([state, {"x": 1}, state]) == [pack(state), pack({"x": 1}), pack(state)]
    assert same(unpack_many([pack(state), packed_apart(state)]), [state, state])


@pytest.mark.parametrize("number", [1, 13, 14, 15, 16, 65_534, 65_535, 65_536])
def test_the_mark_of_tuples_fits_maps_of_any_size(number: int) -> None:
    state: dict[str, Any] = {f"k{place}": place for place in range(number - 1)}
    state["at"] = ((1, 2), (3, 4))
    found = unpack(pack(state))
    assert found == state
    assert type(found["at"][0]) is tuple


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_rows_of_lower_tiers_are_not_larger_than_with_each_tuple_apart(
    state: dict[Any, Any],
) -> None:
    for level in (1, 2):
        assert exact_bytes(state, level) <= len(sealed(packed_apart(state)))


def test_the_bytes_that_contents_are_named_by_stay_as_they_were() -> None:
    packed = packed_apart({"at": (1, 2), "to": ((3,),)})
    assert packed.hex() == "82a26174c70301920102a2746fc7050191d5019103"


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ({"at": (1, 2), "to": (3, 4)}, 16),
        ({"trail": [(1, 2), (3, 4)]}, 15),
        ({"box": ((1, 2), (3, 4)), "items": [1]}, 14),
        ({"at": (1, 2), "to": (3, 4), "items": [1]}, 17),
    ],
)
def test_an_earlier_version_says_that_tuples_packed_together_are_newer(
    state: dict[str, Any], code: int
) -> None:
    def earlier(found: int, _body: bytes) -> None:
        raise NotImplementedError(found)  # as it refuses what is above 13

    with pytest.raises(NotImplementedError, match=str(code)):
        msgpack.unpackb(pack(state), ext_hook=earlier, strict_map_key=False)
    assert code <= NEWEST


def test_a_mark_of_tuples_in_another_place_is_damage() -> None:
    mark = b"\xc7\x00\x10"
    for damaged in (
        b"\x81\xa1x" + mark,
        b"\x80" + mark + b"\xc0",
        b"\x82\xa1x\x01" + mark + b"\xc0",
    ):
        with pytest.raises(EncodingError):
            unpack(damaged)


@pytest.mark.parametrize("number", [3, 7, 8, 14, 15])
def test_a_note_of_tuples_takes_no_more_bytes_than_the_mark_of_each(number: int) -> None:
    for tuples in range(1, number):
        state = {f"k{place}": (place, 1) if place < tuples else [place] for place in range(number)}
        assert same(unpack(pack(state)), state)
        assert len(pack(state)) <= len(packed_apart(state))


def test_a_note_of_tuples_that_are_not_there_is_damage() -> None:
    packed = pack({"at": (1, 2), "to": (3, 4), "items": [1], "hp": 5})
    assert packed[4] == 0b11
    for noted in (0, 0b1000, 0b10000, 0xC0, 0xCD):
        with pytest.raises(EncodingError):
            unpack(packed[:4] + bytes([noted]) + packed[5:])
    assert type(unpack(packed[:4] + bytes([0b111]) + packed[5:])["items"]) is tuple


def test_a_value_whose_own_code_packs_does_not_disturb_what_is_packed() -> None:
    class Own(dict[str, Any]):
        def __iter__(self) -> Iterator[str]:
            pack({"other": (1, 2), "to": [3]})
            return super().__iter__()

    state = {"own": Own(a=(1, 2), b=[3]), "at": (4, 5)}
    assert same(unpack(pack(state)), {"own": {"a": (1, 2), "b": [3]}, "at": (4, 5)})


def test_a_refused_value_leaves_no_packer_behind_that_would_misread_the_next() -> None:
    for refused in ({"a": (1, 2), "b": (object(),)}, {"a": [(1, 2)], "b": object()}):
        with pytest.raises(InvalidEntry, match=r"contents\.b"):
            pack(refused)
        assert unpack(pack({"at": (1, 2), "items": [1]})) == {"at": (1, 2), "items": [1]}
