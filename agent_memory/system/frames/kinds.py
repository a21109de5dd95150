"""What the values of a column are, found from all of them; what does not go together is JSON.

A kind is found a batch at a time and merged. It forgets nothing: an int beside a float becomes a
float only if all ints of the column are floats exactly, and an int beyond 64 bits makes its column
text. What has no common type becomes JSON text, from which each value can be read back.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from functools import reduce
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from agent_memory.embeddings.features import key_path
from agent_memory.system.frames.json_text import MOST_BITS

_EXACT = 2**53
_INT64 = 2**63
_DAY = 86_400 * 10**6
_MOST_DAYS = _INT64 // _DAY - 1
_ARROW_UNITS = ("s", "ms", "us", "ns")


class Form(StrEnum):
    """How the values of a column are written."""

    NOTHING = "nothing"
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    TEXT = "text"
    BYTES = "bytes"
    TIMESTAMP = "timestamp"
    DATE = "date"
    TIME = "time"
    DURATION = "duration"
    WORD = "word"
    """A value of a type that columns lack, as its text."""
    LIST = "list"
    STRUCT = "struct"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Kind:
    """What the values of a column are.

    Attributes:
        form: How they are written.
        types: The names of their types.
        detail: What else must be the same: the unit and zone of times, the type of words.
        least: The least of ints.
        most: The greatest of ints.
        item: What the elements of lists are.
        fields: What the values of dicts are, by the name of their field.
    """

    form: Form
    types: frozenset[str] = frozenset()
    detail: str = ""
    least: int = 0
    most: int = 0
    item: Kind | None = None
    fields: Mapping[str, Kind] | None = None


NOTHING = Kind(Form.NOTHING)


def kind_of(values: Sequence[object]) -> Kind:
    """What some values are; None says nothing."""
    types = set(map(type, values))
    groups = (
        (type_, values if len(types) == 1 else [value for value in values if type(value) is type_])
        for type_ in sorted(types - {type(None)}, key=type_name_of)
    )
    kinds = (_of_type(type_, group) for type_, group in groups)
    return reduce(merged, kinds, NOTHING)


def merged(one: Kind, other: Kind) -> Kind:
    """What the values of two kinds are together."""
    if one == other or other.form is Form.NOTHING:
        return one
    if one.form is Form.NOTHING:
        return other
    types = one.types | other.types
    least, most = min(one.least, other.least), max(one.most, other.most)
    if {one.form, other.form} == {Form.INT, Form.FLOAT} and -_EXACT <= least <= most <= _EXACT:
        return Kind(Form.FLOAT, types, least=least, most=most)
    if one.form is not other.form or one.detail != other.detail:
        return Kind(Form.JSON, types)
    item, fields = one.item, one.fields
    if item is not None and other.item is not None:
        item = merged(item, other.item)
    if fields is not None and other.fields is not None:
        names = dict.fromkeys((*fields, *other.fields))
        fields = {
            name: merged(fields.get(name, NOTHING), other.fields.get(name, NOTHING))
            for name in names
        }
    return Kind(one.form, types, one.detail, least, most, item, fields)


def field_name(key: object) -> str:
    """The name of a dict's field: a text key as it is, another as its path, such as ``#3``."""
    if type(key) is not str:
        name = key_path("", key)
    else:
        name = f"\\{key}" if key.startswith(("#", "\\")) else key
    return name.encode("utf-8", "backslashreplace").decode()


def items_of(value: Any) -> Any:
    """The elements of a list, tuple, set or array, in a sequence; None of None."""
    if isinstance(value, np.ndarray):
        return value.tolist() if value.ndim == 1 else list(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    return value


def fields_of_dict(value: Mapping[Any, Any] | None) -> Mapping[str, Any] | None:
    """The values of a dict by the names of their fields."""
    return None if value is None else {field_name(key): item for key, item in value.items()}


# -- by type --------------------------------------------------------------------------------


def _of_type(type_: type[Any], values: Any) -> Kind:
    maker = _MAKERS.get(type_)
    if maker is not None:
        return replace(maker(values), types=frozenset({type_name_of(type_)}))
    if issubclass(type_, np.generic):
        return _of_numpy(type_, values)
    if type_ is np.ndarray:
        return reduce(merged, map(_of_array, values), NOTHING)
    if issubclass(type_, dict):
        return replace(_of_dicts(values), types=frozenset({"dict"}))
    return Kind(Form.JSON, frozenset({type_name_of(type_)}))


def type_name_of(type_: type[Any]) -> str:
    """The name of a type, with its module unless that is ``builtins``."""
    own = type_.__module__ == "builtins"
    return type_.__name__ if own else f"{type_.__module__}.{type_.__name__}"


def _of_ints(values: Any) -> Kind:
    least, most = int(min(values)), int(max(values))
    digits = max(least.bit_length(), most.bit_length()) <= MOST_BITS
    return Kind(Form.INT, least=least, most=most) if digits else Kind(Form.JSON)


def _of_texts(values: Sequence[str]) -> Kind:
    try:
        "".join(values).encode()
    except UnicodeEncodeError:  # lone surrogates, which no column takes
        return Kind(Form.JSON)
    return Kind(Form.TEXT)


def _of_datetimes(values: Sequence[dt.datetime]) -> Kind:
    zones = {_zone(value) for value in values}
    zone = zones.pop()
    if zones or zone is None:
        return Kind(Form.JSON)
    return Kind(Form.TIMESTAMP, detail=f"us,{zone}" if zone else "us")


def _zone(value: dt.datetime) -> str | None:
    """The zone by name, "" without one; None where a column cannot tell it."""
    if value.tzinfo is None:
        return None if value.fold else ""
    if isinstance(value.tzinfo, ZoneInfo):
        return value.tzinfo.key
    return "UTC" if value.tzinfo is dt.UTC else None


def _of_times(values: Sequence[dt.time]) -> Kind:
    plain = all(value.tzinfo is None and not value.fold for value in values)
    return Kind(Form.TIME if plain else Form.JSON)


def _of_spans(values: Sequence[dt.timedelta]) -> Kind:
    fit = all(abs(value.days) <= _MOST_DAYS for value in values)
    return Kind(Form.DURATION, detail="us") if fit else Kind(Form.JSON)


def _of_sequences(values: Any) -> Kind:
    return Kind(Form.LIST, item=kind_of([*chain.from_iterable(values)]))


def _of_lists(values: Any) -> Kind:
    return _of_sequences(map(items_of, values))


def _of_dicts(values: Sequence[Mapping[Any, Any]]) -> Kind:
    named = [fields_of_dict(value) or {} for value in values]
    if any(len(fields) != len(value) for fields, value in zip(named, values, strict=True)):
        return Kind(Form.JSON)  # two keys would share a name
    names = dict.fromkeys(chain.from_iterable(named))
    return Kind(
        Form.STRUCT, fields={name: kind_of([each.get(name) for each in named]) for name in names}
    )


def _of_words(name: str) -> Callable[[Any], Kind]:
    return lambda _: Kind(Form.WORD, detail=name)


_MAKERS: Mapping[type[Any], Callable[[Any], Kind]] = {
    bool: lambda _: Kind(Form.BOOL),
    int: _of_ints,
    float: lambda _: Kind(Form.FLOAT),
    str: _of_texts,
    bytes: lambda _: Kind(Form.BYTES),
    dt.datetime: _of_datetimes,
    dt.date: lambda _: Kind(Form.DATE),
    dt.time: _of_times,
    dt.timedelta: _of_spans,
    list: _of_sequences,
    tuple: _of_sequences,
    set: _of_lists,
    frozenset: _of_lists,
    Decimal: _of_words("decimal.Decimal"),
    uuid.UUID: _of_words("uuid.UUID"),
    complex: _of_words("complex"),
}


# -- of NumPy -------------------------------------------------------------------------------


def _of_numpy(type_: type[Any], values: Sequence[Any]) -> Kind:
    kind = _of_scalars(type_, values)
    return replace(kind, types=frozenset({f"numpy.{type_.__name__}"}))


def _of_scalars(type_: type[Any], values: Sequence[Any]) -> Kind:
    if issubclass(type_, np.bool_):
        return Kind(Form.BOOL)
    if issubclass(type_, np.timedelta64):  # a NumPy integer by its class
        return _of_numpy_times(Form.DURATION, values)
    if issubclass(type_, np.datetime64):
        return _of_numpy_times(Form.TIMESTAMP, values)
    if issubclass(type_, np.integer):
        return _of_ints(values)
    if issubclass(type_, np.floating):
        return Kind(Form.FLOAT)
    if issubclass(type_, np.str_):
        return _of_texts(values)
    return Kind(Form.BYTES if issubclass(type_, np.bytes_) else Form.JSON)


def _of_numpy_times(form: Form, values: Sequence[Any]) -> Kind:
    units = {np.datetime_data(value.dtype) for value in values}
    unit, count = units.pop()
    if units or count != 1 or unit not in _ARROW_UNITS or np.isnat(np.array(values)).any():
        return Kind(Form.JSON)
    return Kind(form, detail=str(unit))


def _of_array(array: Any) -> Kind:
    """What an array is: lists in lists, as many as it has dimensions, of what its dtype is."""
    element = _of_elements(array)
    types = frozenset({"numpy.ndarray"})
    if element is None or array.ndim == 0:
        return Kind(Form.JSON, types)
    for _ in range(array.ndim):
        element = Kind(Form.LIST, types, item=element)
    return element


def _of_elements(array: Any) -> Kind | None:
    types = frozenset({f"numpy.{array.dtype.type.__name__}"})
    if array.dtype.kind == "b":
        return Kind(Form.BOOL, types)
    if array.dtype.kind in "iu":
        least, most = (int(array.min()), int(array.max())) if array.size else (0, 0)
        return Kind(Form.INT, types, least=least, most=most)
    return Kind(Form.FLOAT, types) if array.dtype.kind == "f" else None
