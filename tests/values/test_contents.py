"""Every row of the table in docs/contents.md, and what it says in passing."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pydantic
import pytest

from agent_memory.errors import EncodingError, InvalidEntry
from agent_memory.testing import HOSTILE_CONTENTS, an_entry, same
from agent_memory.values.contents import as_contents, pack, unpack
from agent_memory.values.entry import MemoryEntry

_PAGE = Path(__file__).parents[2] / "docs" / "contents.md"


def _names() -> dict[str, Any]:
    """What the page's own code block defines."""
    code = re.search(r"```python\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {"__name__": "contents_page"}
    exec(compile(code[1], _PAGE, "exec", dont_inherit=True), names)  # noqa: S102 - the page's example
    return names


def _rows(title: str) -> list[Any]:
    """The rows of the table under a title, as lists of cells; code cells without backticks."""
    section = _PAGE.read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    plain = [[cell.strip().strip("`").replace("\\|", "|") for cell in row] for row in rows]
    return [pytest.param(*row[1:], id=row[0]) for row in plain]


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    return _names()


def _value(code: str, names: dict[str, Any]) -> Any:
    return eval(code, names)  # noqa: S307 - the page's example


def example_values() -> list[Any]:
    """The values of the page that are accepted; of a list each element too."""
    names = _names()
    rows = [*_rows("What comes back as it was"), *_rows("What becomes a plainer type")]
    values = [_value(row.values[0], names) for row in rows]
    return [*values, *(one for value in values if isinstance(value, list) for one in value)]


@pytest.mark.parametrize("example", _rows("What comes back as it was"))
def test_what_comes_back_as_it_was(names: dict[str, Any], example: str) -> None:
    value = _value(example, names)
    assert same(unpack(pack({"value": value})), {"value": value})
    assert same(unpack(pack({"in": [{"a": (value,)}]})), {"in": [{"a": (value,)}]})
    entry = an_entry(contents={"value": value})
    assert entry == an_entry(memory_id=entry.memory_id, contents=unpack(pack(entry.contents)))


@pytest.mark.parametrize(("example", "becomes"), _rows("What becomes a plainer type"))
def test_what_becomes_something_plainer(names: dict[str, Any], example: str, becomes: str) -> None:
    value, plain = _value(example, names), _value(becomes, names)
    assert same(unpack(pack({"value": value})), {"value": plain})
    assert same(unpack(pack({"in": [{"a": (value,)}]})), {"in": [{"a": (plain,)}]})


@pytest.mark.parametrize(("example", "message"), _rows("What is refused"))
def test_what_is_refused_by_path(names: dict[str, Any], example: str, message: str) -> None:
    with pytest.raises(InvalidEntry) as refusal:
        pack(as_contents(_value(example, names)))
    assert str(refusal.value).endswith(message)
    assert str(refusal.value).startswith("contents")


def test_the_page_has_rows_to_test() -> None:
    assert len(_rows("What comes back as it was")) > 20
    assert len(_rows("What becomes a plainer type")) > 8
    assert len(_rows("What is refused")) > 10


@pytest.mark.parametrize(
    "contents", HOSTILE_CONTENTS, ids=lambda contents: ",".join(map(str, contents))[:30]
)
def test_hostile_contents_come_back_exactly(contents: dict[str, Any]) -> None:
    assert same(unpack(pack(contents)), contents)


def test_an_array_comes_back_writable_in_c_order_and_alone() -> None:
    given = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    packed = pack({"array": given, "part": given[:, ::2]})
    found = unpack(packed)
    assert np.array_equal(found["array"], given)
    assert np.array_equal(found["part"], given[:, ::2])
    assert found["array"].flags.c_contiguous
    found["array"][:] = 0.0
    assert np.array_equal(unpack(packed)["array"], given)


def test_equal_sets_become_equal_bytes_whatever_their_order() -> None:
    forwards, backwards = set(range(50)), set()
    for number in reversed(range(50)):
        backwards.add(number)
    assert pack({"set": forwards}) == pack({"set": backwards})


def test_contents_may_be_a_dataclass_or_a_model_of_their_own(names: dict[str, Any]) -> None:
    assert an_entry(contents=names["Cell"](3, (1, 2))).contents == {"sugar": 3, "at": (1, 2)}
    assert an_entry(contents=names["Trade"](price=2)).contents == {"price": 2.0, "partner": None}


def test_a_model_keeps_its_extra_fields() -> None:
    class Open(pydantic.BaseModel, extra="allow"):
        known: int

    fields = {"known": 1, "other": (2,)}
    assert unpack(pack({"a": Open.model_validate(fields)})) == {"a": fields}


@pytest.mark.parametrize("given", [None, "text", 7, [("a", 1)], MemoryEntry, ()])
def test_contents_of_another_kind_are_refused(given: Any) -> None:
    with pytest.raises(InvalidEntry, match=r"^contents: a dict"):
        an_entry(contents=given)


@pytest.mark.parametrize("depth", [90, 100, 101, 400, 499, 600, 1000, 5_000, 100_000])
@pytest.mark.parametrize("kind", ["list", "dict", "tuple", "frozenset"])
def test_nesting_of_any_depth_comes_back_or_is_refused_by_path(kind: str, depth: int) -> None:
    if kind == "frozenset" and depth > 400:
        pytest.skip("Python itself cannot make the hash of one")
    wrap: Any = {
        "list": lambda value: [value],
        "dict": lambda value: {"a": value},
        "tuple": lambda value: (value,),
        "frozenset": lambda value: frozenset([value]),
    }[kind]
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    complaint = _complaint({"deep": value})
    if complaint is None:
        packed = pack({"deep": value})
        assert pack(unpack(packed)) == packed
    else:
        assert depth > 100
        assert re.match(r"contents\.deep.{0,200}nested too deep", complaint)


def _complaint(contents: dict[str, Any]) -> str | None:
    try:
        pack(contents)
    except InvalidEntry as refusal:
        return str(refusal)
    return None


def test_the_hundredth_key_of_a_large_dict_is_named() -> None:
    contents: dict[str, Any] = {f"key{place}": [place] for place in range(100)}
    contents["key99"] = [{"deep": ({"er": object()},)}]
    with pytest.raises(InvalidEntry, match=re.escape("contents.key99[0].deep[0].er: object of")):
        pack(contents)


@dataclasses.dataclass(frozen=True)
class _Frozen:
    field: Any


@pytest.mark.parametrize(
    "value",
    [
        {frozenset({_Frozen(1)})},
        {(_Frozen(1),): 2},
        {_Frozen(1)},
        _Frozen({"a": {_Frozen(1): 2}}),
        memoryview(b"abcdef")[::2],
    ],
    ids=["set of sets", "tuple key", "set", "key deep down", "memory with gaps"],
)
def test_no_other_error_leaves_pack(value: Any) -> None:
    with pytest.raises(InvalidEntry, match=r"^contents\.value"):
        pack({"value": value})


def test_contents_beyond_the_limit_are_refused_and_at_the_limit_stored() -> None:
    size = len(pack({"noise": b"x" * 1_000}))
    pack({"noise": b"x" * 1_000}, max_bytes=size)
    with pytest.raises(InvalidEntry, match="max_entry_bytes"):
        pack({"noise": b"x" * 1_000}, max_bytes=size - 1)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\x81\xa1a",
        pack({"a": 1})[:-1],
        pack({"a": 1}) + b"\x00",
        b"\x93\x01\x02\x03",
        b"\xc1",
        msgpack.packb({"a": msgpack.ExtType(99, b"")}),
        msgpack.packb({"a": msgpack.ExtType(1, b"\xc1")}),
        msgpack.packb({"a": msgpack.ExtType(3, b"\x93\xa3now\x00\xc0")}),
        msgpack.packb({"a": msgpack.ExtType(7, b"")}),
        msgpack.packb({"a": msgpack.ExtType(8, msgpack.packb(["|O", [1], b"\x00" * 8]))}),
        msgpack.packb({"a": msgpack.ExtType(8, msgpack.packb(["<f8", [3], b"\x00" * 8]))}),
    ],
)
def test_damaged_bytes_raise_encoding_error(damaged: bytes) -> None:
    with pytest.raises(EncodingError):
        unpack(damaged)
