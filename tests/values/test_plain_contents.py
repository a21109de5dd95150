"""Contents are made plain once: what is derived of them is what would be of what comes back."""

from __future__ import annotations

import collections
import dataclasses
import enum
import types
from typing import Any

import numpy as np
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_memory.embeddings.features import flatten
from agent_memory.errors import InvalidEntry
from agent_memory.testing import same
from agent_memory.values.attributes import declared_attributes
from agent_memory.values.contents import pack, plain_contents, unpack
from tests.fuzzing import examples


class Color(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Mood(enum.IntEnum):
    GLAD = 2


class Name(str):
    pass


class Count(int):
    pass


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Cell:
    sugar: Any
    at: Any = (1, 2)


class Home(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", arbitrary_types_allowed=True)
    food: Any


PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=60),
    st.integers(0, 9).map(np.int64),
    st.floats(width=32).map(np.float32),
    st.just(np.arange(6).reshape(2, 3)),
)
OTHERS = st.one_of(
    st.sampled_from([Color.RED, Color.PAIR, Mood.GLAD, Name("ant"), Count(3)]),
    st.binary(max_size=60).map(bytearray),
    st.binary(max_size=60).map(lambda given: memoryview(given)),  # noqa: PLW0108  # generic to mypy
    st.builds(Point, st.integers(0, 9), st.just(Mood.GLAD)),
)
VALUES = st.recursive(
    PLAIN | OTHERS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.builds(Cell, inner, inner),
        st.builds(
            lambda food, more: Home.model_validate({"food": food, "more": more}), inner, inner
        ),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        st.dictionaries(st.sampled_from([Color.RED, Mood.GLAD, Name("x"), 7]), inner, max_size=3),
        st.dictionaries(st.text(max_size=3), inner, max_size=3).map(collections.OrderedDict),
        st.dictionaries(st.text(max_size=3), inner, max_size=3).map(types.MappingProxyType),
        st.sets(st.sampled_from([Color.RED, Mood.GLAD, 5, "a"]), max_size=3),
    ),
    max_leaves=12,
)
CONTENTS = st.one_of(
    st.dictionaries(st.text(max_size=3), VALUES, max_size=4),
    st.builds(Cell, VALUES, VALUES),
    st.builds(lambda food: Home(food=food), VALUES),
)
LAWS = settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@LAWS
@given(CONTENTS)
def test_plain_contents_are_what_comes_back(contents: Any) -> None:
    plain = plain_contents(contents)
    packed = pack(plain)
    back = unpack(packed)
    assert same(dict(plain), back)
    assert flatten(plain) == flatten(back)
    # Those that are plain are themselves.
    assert plain_contents(plain) is plain
    assert plain_contents(back) is back
    if isinstance(contents, dict):
        assert pack(contents) == packed


@LAWS
@given(VALUES)
def test_attributes_are_those_of_what_comes_back(value: Any) -> None:
    contents = {"cell": Cell(Home(food=value)), "red": {Color.RED: value}}
    paths = ("cell.sugar.food", "red.red", "cell.at", "cell.sugar.food.sugar")
    found = declared_attributes(contents, paths)
    assert found == declared_attributes(unpack(pack(contents)), paths)


def test_nothing_that_is_handed_over_is_changed() -> None:
    inner = [Color.RED, {"a": bytearray(b"x")}]
    contents = {"kept": {"deep": [1, 2]}, "inner": inner}
    plain = plain_contents(contents)
    assert plain == {"kept": {"deep": [1, 2]}, "inner": ["red", {"a": b"x"}]}
    assert contents["inner"] is inner
    assert inner == [Color.RED, {"a": bytearray(b"x")}]
    assert plain["kept"] is contents["kept"]


@pytest.mark.parametrize(
    ("contents", "reported"),
    [
        ({"a": [0, object()]}, r"contents\.a\[1\]: object of type object"),
        ({"a": {Color.RED: 1, "red": 2}}, r"contents\.a: key 'red' would become 'red'"),
        ({"a": {Point(Color.PAIR, 1): 1}}, ""),
        ({"a": Cell(object())}, r"contents\.a\.sugar: object of type object"),
        ({"a": memoryview(b"abcd")[::2]}, r"contents\.a: object of type memoryview"),
    ],
)
def test_what_cannot_be_stored_is_named_as_before(contents: Any, reported: str) -> None:
    plain = plain_contents(contents)
    if not reported:
        assert same(dict(plain), unpack(pack(contents)))
        return
    with pytest.raises(InvalidEntry, match=reported):
        pack(plain)


class Faulty(dict[str, Any]):
    def keys(self) -> Any:
        raise RuntimeError

    def __iter__(self) -> Any:
        raise RuntimeError

    def items(self) -> Any:
        raise RuntimeError


def test_what_fails_when_it_is_read_is_refused() -> None:
    for contents in ({"a": Faulty(b=1)}, {"a": [Color.RED, Faulty(b=1)]}):
        with pytest.raises(InvalidEntry, match="own code fails"):
            plain_contents(contents)


def test_what_is_too_deep_or_too_large_is_refused_before_it_is_copied() -> None:
    deep: Any = Color.RED
    for _ in range(600):
        deep = [deep]
    with pytest.raises(InvalidEntry, match="nested too deep"):
        plain_contents({"a": deep})
    shared: Any = [Color.RED]
    for _ in range(40):
        shared = [shared, shared]
    with pytest.raises(InvalidEntry, match="max_entry_bytes"):
        plain_contents({"a": shared}, 10_000)
