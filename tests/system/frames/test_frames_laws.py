"""What goes into a frame comes out of it by value and type, whatever contents are beside it."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_memory import Hit, Tier
from agent_memory.testing import an_entry
from agent_memory.values.contents import pack

pa = pytest.importorskip("pyarrow")

from agent_memory.system.frames.chunk import FrameOptions  # noqa: E402
from agent_memory.system.frames.exact import exact_bytes, exact_entry  # noqa: E402
from agent_memory.system.frames.json_text import from_json, to_json  # noqa: E402
from agent_memory.system.frames.stream import RowStream  # noqa: E402
from tests.fuzzing import examples  # noqa: E402


def _of_digits(count: int) -> int:
    """An int of which Python refuses to write all digits."""
    return int(10**count)


_INTS = st.one_of(
    st.integers(-3, 3), st.integers(), st.just(2**53 + 1), st.just(5000).map(_of_digits)
)
_SCALARS = st.one_of(
    st.booleans(),
    _INTS,
    st.floats(),
    st.text(max_size=3),
    st.just("\ud800"),
    st.binary(max_size=3),
    st.datetimes(),
    st.datetimes(timezones=st.just(dt.UTC)),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.decimals(),
    st.uuids(),
    st.complex_numbers(),
    st.integers(-128, 127).map(np.int8),
    st.integers(0, 2**64 - 1).map(np.uint64),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.floats(width=16).map(np.float16),
    st.floats(width=32).map(np.float32),
    st.floats().map(np.float64),
    st.booleans().map(np.bool_),
    st.sampled_from([np.str_("a\0"), np.bytes_(b"a\0"), np.datetime64("NaT")]),
    st.integers(-(10**6), 10**6).map(lambda number: np.datetime64(number, "ns")),
    st.integers(-(10**6), 10**6).map(lambda number: np.timedelta64(number, "h")),
    st.sampled_from([np.zeros((0, 2)), np.eye(2, dtype="f4"), np.arange(3), np.array(["a"])]),
)
_ONE_TYPE = st.one_of(
    st.lists(_INTS, max_size=3),
    st.lists(st.floats(), max_size=3).map(tuple),
    st.sets(st.integers(0, 9), max_size=3),
    st.lists(st.fixed_dictionaries({"x": st.integers(0, 9)}, optional={"y": st.floats()})),
)
_VALUES = st.recursive(
    st.one_of(_SCALARS, _ONE_TYPE),
    lambda part: st.one_of(
        st.lists(part, max_size=3),
        st.lists(part, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=2), part, max_size=3),
        st.dictionaries(st.integers(0, 3), part, max_size=2),
    ),
    max_leaves=6,
)
_ROWS = st.one_of(
    st.lists(st.dictionaries(st.sampled_from("abc"), _VALUES, max_size=3), max_size=5),
    st.lists(st.dictionaries(st.sampled_from("abc"), _ONE_TYPE, max_size=3), max_size=5),
)
_WORDS = {"int": int, "decimal.Decimal": decimal.Decimal, "uuid.UUID": uuid.UUID,
          "complex": complex}  # fmt: skip
_LISTS = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}


def hits(rows: list[dict[str, Any]]) -> list[Hit]:
    return [
        Hit(an_entry(contents=row, step_number=step), Tier.STM) for step, row in enumerate(rows)
    ]


def restored(field: Any, cell: Any) -> Any:
    """The value of a cell, of the type that its field's metadata says; read by that alone."""
    if not cell.is_valid:
        return None
    reported = json.loads(field.metadata[b"agent_memory"])
    name = reported["types"][0] if len(reported["types"]) == 1 else ""
    if reported.get("as") == "json":
        return from_json(cell.as_py())
    if reported.get("as") == "text":
        kind = name.removeprefix("numpy.")
        return getattr(np, kind)(cell.as_py()) if kind != name else _WORDS[name](cell.as_py())
    if pa.types.is_list(field.type):
        items = [restored(field.type.value_field, item) for item in cell]
        return _array(field, cell) if name == "numpy.ndarray" else _LISTS.get(name, list)(items)
    if pa.types.is_struct(field.type):
        parts = {part.name: restored(part, cell[part.name]) for part in field.type}
        return {key_of(part): value for part, value in parts.items() if value is not None}
    if name in ("numpy.datetime64", "numpy.timedelta64"):
        return getattr(np, name[6:])(cell.value, field.type.unit)
    value = cell.as_py()
    if isinstance(value, dt.datetime) and str(value.tzinfo) == "UTC":
        value = value.replace(tzinfo=dt.UTC)  # some versions of pyarrow name the zone otherwise
    return getattr(np, name[6:])(value) if name.startswith("numpy.") else value


def key_of(name: str) -> Any:
    """The key that a field's name stands for."""
    return int(name[1:]) if name.startswith("#") else name.removeprefix("\\")


def _array(field: Any, cell: Any) -> Any:
    while pa.types.is_list(field.type):
        field = field.type.value_field
    [name] = json.loads(field.metadata[b"agent_memory"])["types"]
    return np.array(cell.as_py(), dtype=name[6:])


def same(value: Any, given: Any, field: Any) -> bool:
    """Whether a value came out as it went in: to the bit, unless several types share a column."""
    if _is_shared(field):
        return bool(repr(loose(value)) == repr(loose(given)))
    return pack({"": by_key(value)}) == pack({"": by_key(given)})


def by_key(value: Any) -> Any:
    """A value with the keys of its dicts in order: a struct keeps no order of its rows."""
    if isinstance(value, np.ndarray) and value.size == 0:
        return np.zeros(0)  # lists of nothing keep no shape
    if isinstance(value, dict):
        return {key: by_key(value[key]) for key in sorted(value, key=repr)}
    return type(value)(map(by_key, value)) if isinstance(value, (list, tuple)) else value


def loose(value: Any) -> Any:
    """A value without what a column of several types does not tell: numbers as floats, lists."""
    if isinstance(value, dict):
        parts = [(repr(key), loose(item)) for key, item in value.items() if item is not None]
        return sorted(parts, key=lambda part: part[0])
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        items = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        return [loose(item) for item in items]
    if isinstance(value, np.generic):
        return loose(value.item())
    if isinstance(value, int):
        return float(value) if abs(value) <= 2**53 else hex(value)
    return value


def _is_shared(field: Any) -> bool:
    reported = json.loads(field.metadata[b"agent_memory"])
    parts = []
    if pa.types.is_list(field.type):
        parts = [field.type.value_field]
    elif pa.types.is_struct(field.type):
        parts = list(field.type)
    shared = len(reported["types"]) > 1 and reported.get("as") != "json"
    return shared or any(map(_is_shared, parts))


@settings(max_examples=examples(60), deadline=None)
@given(rows=_ROWS)
def test_what_goes_in_comes_out_by_type(rows: list[dict[str, Any]]) -> None:
    table = RowStream([hits(rows[:2]), hits(rows[2:])], FrameOptions()).reader().read_all()
    for place, row in enumerate(rows):
        for key, value in row.items():
            if type(value) is dict and value:
                continue  # has columns of its own
            field = table.schema.field(f"contents.{key}")
            assert same(restored(field, table[f"contents.{key}"][place]), value, field)


@settings(max_examples=examples(40), deadline=None)
@given(rows=_ROWS)
def test_a_struct_takes_whatever_contents_hold(rows: list[dict[str, Any]]) -> None:
    table = RowStream([hits(rows)], FrameOptions(nested="struct")).reader().read_all()
    table.validate(full=True)
    assert table.num_rows == len(rows)


@settings(max_examples=examples(60), deadline=None)
@given(value=_VALUES)
def test_any_value_comes_back_from_json_and_from_exact_bytes(value: Any) -> None:
    assert pack({"": from_json(to_json(value))}) == pack({"": value})
    entry = an_entry(contents={"": value}, embedding=[1.0, 2.0], error_bounds={"a": 0.5})
    assert exact_entry(exact_bytes(entry)) == entry
