"""How much contents would need, and whether they are plain, before any of it is copied.

What looks small may be endless: a list within itself, lists that share their parts (forty levels of
two are a billion), an array that repeats one number along an axis. Encoding such would take the
memory first and find the limit afterwards.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import islice
from typing import Any

import numpy as np

_SCALARS = frozenset(
    {int, float, bool, complex, type(None), np.bool_, *np.sctypeDict.values()}
    - {np.str_, np.bytes_, np.void, np.object_}
)
_STR = frozenset({str})
_SIZED = frozenset({str, bytes})
_LISTS = frozenset({list, tuple, set, frozenset})
_PLAIN = (
    frozenset({dict, np.ndarray, np.str_, np.bytes_, Decimal, uuid.UUID})
    | {dt.datetime, dt.date, dt.time, dt.timedelta}
    | _LISTS
    | _SIZED
    | _SCALARS
)
"""What is stored as it is, when all that it holds is."""


class TooDeep(ValueError):
    """Contents are nested too deep, or within themselves."""


class TooMuch(ValueError):
    """Contents need more bytes than are allowed."""


def measure(contents: object, most: int, deepest: int) -> bool:
    """See that contents are no larger and no deeper than is allowed.

    What is counted is never more than the encoded contents need; an array of elements without
    bytes counts one for each.

    Args:
        contents: A mapping, dataclass or pydantic model of anything.
        most: Bytes.
        deepest: Levels of lists and mappings within each other.

    Returns:
        Whether they are plain: whether nothing in them is stored as a value of another class.

    Raises:
        TooDeep: They are deeper.
        TooMuch: They are larger.
    """
    weight = _usual_weight(contents)
    if weight is not None and weight <= most and deepest > 0:
        return True
    left, plain = most, True
    pending: list[tuple[Any, int]] = [(contents, 0)]
    while pending:
        value, depth = pending.pop()
        if depth > deepest:
            raise TooDeep("nested too deep, or within itself")
        plain = plain and type(value) in _PLAIN
        parts, weight = _taken_apart(value)
        if not hasattr(parts, "__len__"):  # it may be endless
            parts = tuple(islice(parts, left + 1))
        left -= weight + len(parts)  # type: ignore[arg-type]  # asked above
        for part in parts if left >= 0 else ():
            kind = type(part)
            if kind in _SIZED:
                left -= len(part)
            elif kind not in _SCALARS:
                pending.append((part, depth + 1))
        if left < 0:
            raise TooMuch(f"more than {most} bytes")
    return plain


def _usual_weight(contents: object) -> int | None:
    """How many bytes the usual state needs, in a third of the time; None for any other.

    It is a dict by text of numbers, truths, texts and lists of such.
    """
    if type(contents) is not dict or not _STR.issuperset(map(type, contents)):
        return None
    weight = len(contents) + len("".join(contents))
    for value in contents.values():
        kind = type(value)
        if kind in _SIZED:
            weight += len(value)
        elif kind is tuple or kind is list:
            if not _SCALARS.issuperset(map(type, value)):
                return None
            weight += len(value)
        elif kind not in _SCALARS:
            return None
    return weight


def _taken_apart(value: Any) -> tuple[Iterable[Any], int]:
    """What a value holds, and how many bytes it needs besides."""
    kind = type(value)
    if kind is dict:
        if not _STR.issuperset(map(type, value)):
            return _keys_and_values(value), 0
        values = value.values()
        if _SCALARS.issuperset(map(type, values)):
            return (), len(value) + len("".join(value))
        return values, len("".join(value))
    if kind in _LISTS:
        # The common long list, of numbers, is gone through in a fraction of the time.
        if len(value) > 16 and _SCALARS.issuperset(map(type, value)):
            return (), len(value)
        return value, 0
    return _odd_one_apart(value)


def _odd_one_apart(value: Any) -> tuple[Iterable[Any], int]:
    """The same of what is met more rarely."""
    if isinstance(value, np.ndarray):
        return (), max(value.nbytes, value.size)
    sized: Any = next((kind for kind in (str, bytes, bytearray) if isinstance(value, kind)), None)
    if sized is not None:
        return (), sized.__len__(value)  # not what a class derived from it makes of it
    if isinstance(value, Mapping):
        return _keys_and_values(value), 0
    if isinstance(value, (list, tuple, set, frozenset)):
        return iter(value), 0
    if isinstance(value, enum.Enum):
        return (value.value,), 0
    return _fields(value), 0


def _keys_and_values(value: Mapping[Any, Any]) -> Iterable[Any]:
    for key, part in value.items():
        yield key
        yield part


def _fields(value: Any) -> Iterable[Any]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return (getattr(value, field.name) for field in dataclasses.fields(value))
    names = getattr(type(value), "__pydantic_fields__", None) or ()
    more = (getattr(value, "__pydantic_extra__", None) or {}) if names else {}
    return (*(getattr(value, name) for name in names), *more.values())
