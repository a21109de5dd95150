"""Values of classes of their own as plain values: reading stored bytes imports no such class."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping
from reprlib import repr as shown
from typing import Any

import numpy as np

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
