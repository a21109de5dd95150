"""Values of classes of their own as plain values: reading stored bytes imports no such class."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import operator
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from reprlib import repr as shown
from typing import Any

import numpy as np

from agent_memory.values.interruptions import raise_if_interrupted

_PLAIN_KINDS: tuple[type[Any], ...] = (int, float, bytes, tuple, list, dict)


def plain_value(value: object) -> object:
    """The plain value that stands for one of a class of its own, one level deep.

    Raises:
        TypeError: There is none.
    """
    if isinstance(value, enum.Enum):
        return value.value
    plain = next((kind for kind in _PLAIN_KINDS if isinstance(value, kind)), None)
    if plain is not None:
        return plain(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return dict(value)
    fields = fields_of(value)
    if fields is None:
        raise TypeError(f"object of type {type_name(value)}")
    return fields


def python_scalar(value: np.generic) -> Any:
    """A NumPy scalar as Python's, to the last character: ``item`` drops NULs at the end of text."""
    if isinstance(value, np.str_):
        return str.__str__(value)
    return bytes(value) if isinstance(value, np.bytes_) else value.item()


def made_plain(value: Any) -> Any:
    """A value as it comes back once it is stored; what cannot be stored stays for ``pack`` to name.

    Args:
        value: A value of any class, within the depth that contents may have.

    Returns:
        The very same object where nothing in it changes, else a copy of what does.
    """
    given = value
    while type(value) not in _KEPT:
        step = _plainer(value)
        if step is value:
            return given
        value = step
    parts = _parts_of(value)
    if parts is None:
        return value
    made = []
    for part in parts:  # no comprehension, which would be another frame for each level
        made.append(made_plain(part))  # noqa: PERF401
    if value is given and all(map(operator.is_, parts, made)):
        return given
    return _put_together(value, made)


_SCALARS = frozenset(
    {int, float, bool, complex, type(None), str, bytes, Decimal, uuid.UUID}
    | {dt.datetime, dt.date, dt.time, dt.timedelta}
)
_KEPT = _SCALARS | {dict, list, tuple, set, frozenset}


def _plainer(value: Any) -> Any:
    """The value that stands for one of another class, one level deep; else that itself."""
    kind = type(value)
    if isinstance(value, (np.generic, np.ndarray)):
        return value
    if kind is bytearray or (kind is memoryview and value.contiguous):
        return bytes(value)
    try:
        return plain_value(value)
    except TypeError as error:
        raise_if_interrupted(error)
        return value


def _parts_of(value: Any) -> list[Any] | None:
    """What a dict, list or set holds, keys before values; None for what holds nothing to change."""
    if type(value) in _SCALARS:
        return None
    parts = [*value] if type(value) is not dict else [*value, *value.values()]
    return None if _SCALARS.issuperset(map(type, parts)) else parts


def _put_together(value: Any, made: list[Any]) -> Any:
    """A dict, list or set of new parts; the old one where those are equal."""
    count = len(value)
    try:
        if type(value) is dict:
            found: Any = dict(zip(made[:count], made[count:], strict=True))
        else:
            found = type(value)(made)
    except TypeError as error:  # a key that became a dict or a list
        raise_if_interrupted(error)
        return value
    return found if len(found) == count else value


def fields_of(value: object) -> dict[str, Any] | None:
    """The fields of a dataclass or pydantic model as a dict; None for anything else."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    # Asked by its mark, not by isinstance: importing pydantic here would cost every process 0.1 s.
    fields = getattr(type(value), "__pydantic_fields__", None)
    if fields is None:
        return None
    extra = getattr(value, "__pydantic_extra__", None) or {}
    return {name: getattr(value, name) for name in fields} | dict(extra)


def children_of(value: object, path: str) -> Iterator[tuple[object, str]] | None:
    """What a value holds, each with its path; None for what holds nothing.

    Args:
        value: Anything.
        path: The value's own path, for messages.
    """
    fields = value if isinstance(value, Mapping) else fields_of(value)
    if isinstance(fields, Mapping):
        return _items(fields, path)
    if isinstance(value, (list, tuple)):
        return ((member, f"{path}[{place}]") for place, member in enumerate(value))
    if isinstance(value, (set, frozenset)):
        return ((member, f"{path}{{{shown(member)}}}") for member in value)
    if isinstance(value, enum.Enum):
        return iter([(value.value, f"{path}.value")])
    return None


def _items(fields: Mapping[Any, object], path: str) -> Iterator[tuple[object, str]]:
    for key, member in fields.items():
        if not isinstance(key, str):
            yield key, f"{path} key {shown(key)}"
        yield member, f"{path}.{key}"


def type_name(value: object) -> str:
    """The name of a value's type, with its module unless that is ``builtins``."""
    kind = type(value)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"
