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
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np

_SCALARS = frozenset(
    {int, float, bool, complex, type(None), np.bool_, *np.sctypeDict.values()}
    - {np.str_, np.bytes_, np.void, np.object_}
)
_NATIVE = frozenset({int, float, bool, type(None)})  # what MessagePack has types for
_STR = frozenset({str})
_SIZED = frozenset({str, bytes})
_LISTS = frozenset({list, tuple, set, frozenset})
_SETS = frozenset({set, frozenset})  # members are packed by themselves
_PLAIN = (
    frozenset({dict, np.ndarray, np.str_, np.bytes_, Decimal, uuid.UUID})
    | {dt.datetime, dt.date, dt.time, dt.timedelta}
    | _LISTS
    | _SIZED
    | _SCALARS
)
"""What is stored as it is, when all that it holds is."""


_ROWS = ({tuple}, {list})
_MOST_NOTED = 14  # of how many values it is noted together which are tuples
_DEEPEST_TUPLES = 100  # what is deeper is packed tuple by tuple, which counts how they nest


class Tuples(enum.Enum):
    """How tuples lie in contents: packing one by one takes longer than packing them together.

    Attributes:
        APART: There is none, or some among lists.
        SOME: There are lists and several tuples right under few keys, no tuples below, and nothing
            that MessagePack has no type for.
        ROWS: There are lists of tuples, or tuples of tuples among lists.
        LONE: There is one, and no list.
        ALL: There are several, and no list.
    """

    APART = enum.auto()
    SOME = enum.auto()
    ROWS = enum.auto()
    LONE = enum.auto()
    ALL = enum.auto()


class Extent(NamedTuple):
    """What was seen of contents.

    Attributes:
        is_plain: Whether nothing in them is stored as a value of another class.
        tuples: How the tuples in them lie; of what is not plain that they are apart.
        is_native: Whether there is no list, and MessagePack is known to have a type for all that
            they hold but for tuples.
        rows: The keys under which there are lists or tuples of tuples; None: they were not noted.
    """

    is_plain: bool
    tuples: Tuples
    is_native: bool = False
    rows: tuple[str, ...] | None = None


_NOT_PLAIN = Extent(False, Tuples.APART)
_APART, _SOME = Extent(True, Tuples.APART), Extent(True, Tuples.SOME)
# By whether they are native.
_LONE = Extent(True, Tuples.LONE), Extent(True, Tuples.LONE, True)
_ALL = Extent(True, Tuples.ALL), Extent(True, Tuples.ALL, True)


class TooDeep(ValueError):
    """Contents are nested too deep, or within themselves."""


class TooMuch(ValueError):
    """Contents need more bytes than are allowed."""


def measure(contents: object, most: int, deepest: int) -> Extent:
    """See that contents are no larger and no deeper than is allowed.

    What is counted is never more than the encoded contents need; an array of elements without
    bytes counts one for each.

    Args:
        contents: A mapping, dataclass or pydantic model of anything.
        most: Bytes.
        deepest: Levels of lists and mappings within each other.

    Raises:
        TooDeep: They are deeper.
        TooMuch: They are larger.
    """
    usual = _usual(contents, most) if deepest > 1 else None
    return _measured(contents, most, deepest) if usual is None else usual


def _measured(contents: object, most: int, deepest: int) -> Extent:
    """The extent of what is not usual."""
    left, plain = most, True
    tuples, lists, rows, apart = 0, False, False, False
    pending: list[tuple[Any, int]] = [(contents, 0)]
    while pending:
        value, depth = pending.pop()
        if depth > deepest:
            raise TooDeep("nested too deep, or within itself")
        kind = type(value)
        apart = apart or depth >= _DEEPEST_TUPLES or (kind in _SETS and tuple in map(type, value))
        plain = plain and kind in _PLAIN
        if kind is tuple:
            tuples += 1
        elif kind is list:
            lists, rows = True, rows or (bool(value) and type(value[0]) is tuple)
        parts, weight = _taken_apart(value)
        if not hasattr(parts, "__len__"):  # it may be endless
            parts = tuple(islice(parts, left + 1))
        left -= weight + len(parts)  # type: ignore[arg-type]  # asked above
        if left >= 0:
            left -= _put_off(parts, depth + 1, pending)
        if left < 0:
            raise TooMuch(f"more than {most} bytes")
    if not plain:
        return _NOT_PLAIN
    if tuples and not lists and not apart:
        return (_LONE if tuples == 1 else _ALL)[False]
    return Extent(True, Tuples.ROWS) if rows else _APART


def _usual(  # noqa: C901, PLR0912  # a call for each value would take as long as the rest
    contents: object, most: int
) -> Extent | None:
    """The extent of the usual state, in a third of the time; None for any other.

    It is a dict by text of numbers, truths, texts, lists of such, and lists of such lists.
    """
    if type(contents) is not dict or not _STR.issuperset(map(type, contents)):
        return None
    weight = len(contents) + len("".join(contents))
    tuples = lists = 0
    native, rows = True, []
    for key, value in contents.items():
        kind = type(value)
        if kind in _SIZED:
            weight += len(value)
        elif kind is tuple or kind is list:
            weight += len(value)
            if kind is tuple:
                tuples += 1
            else:
                lists += 1
            if _STR.issuperset(map(type, value)):
                weight += sum(map(len, value))
            elif not _NATIVE.issuperset(map(type, value)):
                inner = _inner(value, most)
                if inner is None:
                    return None
                if inner is tuple:
                    rows.append(key)
                    tuples += len(value)
                lists += inner is list
                native = native and inner is not np.generic
                weight += 0 if inner is np.generic else sum(map(len, value))
        elif kind not in _NATIVE:
            if kind not in _SCALARS:
                return None
            native = False
    if weight > most:
        return None
    if tuples and not lists:
        return (_LONE if tuples == 1 else _ALL)[native]
    if rows:
        return Extent(True, Tuples.ROWS, rows=(*rows,))
    # A tuple's own mark takes two bytes at least, a note of all four up to seven keys, else six.
    noted = native and len(contents) <= _MOST_NOTED and tuples >= 2 + (len(contents) > 7)
    return _SOME if noted else _APART


def _inner(value: Any, most: int) -> type | None:
    """What a list or tuple holds: ``np.generic`` if scalars, else the kind of its rows."""
    return np.generic if _SCALARS.issuperset(map(type, value)) else row_kind(value, most)


def _put_off(parts: Iterable[Any], depth: int, pending: list[tuple[Any, int]]) -> int:
    """Put parts that hold others to what is pending; gives how many bytes texts among them need."""
    weight = 0
    for part in parts:
        kind = type(part)
        if kind in _SIZED:
            weight += len(part)
        elif kind not in _SCALARS:
            pending.append((part, depth))
    return weight


def row_kind(value: Any, most: int) -> type | None:
    """The kind of the rows of a list or tuple: of tuples, or of lists, of numbers and truths.

    Args:
        value: A list or tuple.
        most: How many numbers they may have together.

    Returns:
        None: it has none, or holds anything else.
    """
    kinds = {*map(type, value)}
    if kinds not in _ROWS or sum(map(len, value)) > most:
        return None
    return kinds.pop() if _NATIVE.issuperset(map(type, chain.from_iterable(value))) else None


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
