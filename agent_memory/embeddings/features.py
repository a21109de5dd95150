"""Named features: what a simulation's state says, as a flat dict of path to value.

A path names the place of a value, so that the order of keys does not matter and an absent or a
new key moves no other feature:

* ``sugar``, ``home.cell`` : keys of nested dicts, dataclasses and pydantic models;
* ``position[0]``, ``position[1]`` : elements of lists, tuples and arrays, ``position[]`` their
  number; of a long numeric list each is the mean of an equal stretch;
* ``tags{red}`` : a member of a set.

A ``.``, ``[``, ``{``, ``#`` or backslash that belongs to a key is written behind a backslash; a
key that is an int is ``#7``, an empty one ``#``. Values are numbers (float), truths (bool) and
categories (str). What is None, NaN or absent is missing, and has no path.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
import numbers
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from agent_memory.errors import InvalidEntry
from agent_memory.values.contents import MAX_DEPTH, as_contents
from agent_memory.values.extent import TooDeep, TooMuch, measure
from agent_memory.values.interruptions import raise_if_interrupted
from agent_memory.values.plain import python_scalar
from agent_memory.values.quoting import quoted

Value = float | bool | str
"""A number, a truth, or a category."""

MAX_ELEMENTS = 64
"""How many elements of a list have a feature of their own."""

MAX_LEVELS = 100
"""How many levels of lists and dicts have features; what lies deeper has none."""

MAX_CATEGORY_LENGTH = 200
"""How many characters of a text tell categories apart."""

_MOST_BELOW = 2**20  # bytes
_MOST_FEATURES = 1_000_000
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - the origin of times without a zone
_ADDRESS: object = object.__repr__
_NUMERIC_KINDS = "biuf"
_SPECIAL = str.maketrans({mark: f"\\{mark}" for mark in ".[{#\\"})


def flatten(state: object) -> dict[str, Value]:
    """Name the features of a state.

    Args:
        state: A dict, other mapping, dataclass or pydantic model.

    Returns:
        Values by path; numbers may be infinite, but are never NaN.

    Raises:
        InvalidEntry: It is none of these, or it contains itself.
    """
    flat: dict[str, Value] = {}
    try:
        for key, value in as_contents(state).items():
            path = _escaped(key) if type(key) is str else _odd_key(key)
            # Most values are floats, and most others of a few kinds: a call less for each.
            if type(value) is float and value == value:  # noqa: PLR0124 - false for NaN alone
                flat[path] = value
            else:
                _add(flat, path, value)
    except InvalidEntry:
        raise
    except (TooDeep, TooMuch, RecursionError, MemoryError) as error:
        raise InvalidEntry("state: nested too deep to be encoded, or too large") from error
    except Exception as error:
        raise_if_interrupted(error)
        raise InvalidEntry(
            f"state: a value's own code fails when it is read ({type(error).__name__})"
        ) from error
    return flat


def in_chunks(states: Iterable[object], size: int) -> Iterator[list[object]]:
    """Cut states into lists of at most ``size``."""
    iterator = iter(states)
    return iter(lambda: [*islice(iterator, size)], [])


def key_path(parent: str, key: object) -> str:
    """The path of a key's value in the dict at ``parent`` ("" is the state itself)."""
    name = _escaped(key) if type(key) is str else _odd_key(key)
    return f"{parent}.{name}" if parent else name


@lru_cache(maxsize=65_536)
def _escaped(key: str) -> str:
    # An empty key needs a name: {"": {"a": 1}} and {"a": 1} would else share a path.
    return key.translate(_SPECIAL) if key else "#"


def _odd_key(key: object) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if isinstance(key, str):
        return _escaped(str.__str__(key))
    if isinstance(key, numbers.Integral):
        return f"#{quoted(int(key), MAX_CATEGORY_LENGTH)}"
    return "#" + f"{type(key).__name__} {quoted(key, 200)}".translate(_SPECIAL)


@lru_cache(maxsize=16_384)
def element_paths(parent: str) -> tuple[str, ...]:
    """The paths of a list's elements."""
    return tuple(f"{parent}[{place}]" for place in range(MAX_ELEMENTS))


def _add(flat: dict[str, Value], path: str, value: Any, level: int = 0) -> None:
    """Add the features of one value; the commonest types are asked for first."""
    kind = type(value)
    if kind is float:
        if value == value:  # noqa: PLR0124 - false for NaN alone, and faster than a call
            flat[path] = value
    elif kind is int:
        flat[path] = _as_float(value)
    elif kind is bool:
        flat[path] = value
    elif kind is str:
        flat[path] = value if len(value) <= MAX_CATEGORY_LENGTH else value[:MAX_CATEGORY_LENGTH]
    elif kind is tuple or kind is list:
        _add_elements(flat, path, value, level)
    elif value is not None:
        _add_other(flat, path, value, level)


def _add_other(flat: dict[str, Value], path: str, value: Any, level: int) -> None:
    if level > MAX_LEVELS:
        measure(value, _MOST_BELOW, MAX_DEPTH)  # of what contains itself there is no end
        return
    as_plain = _as_plain(cast(Hashable, type(value)))
    if as_plain is not None:
        _add(flat, path, as_plain(value), level + 1)
    elif isinstance(value, np.ndarray):
        _add_array(flat, path, value, level)
    elif isinstance(value, (set, frozenset)):
        _add_members(flat, path, value)
    elif isinstance(value, Mapping) or _has_fields(value):
        for key, inner in as_contents(value).items():
            _add(flat, key_path(path, key), inner, level + 1)
    else:
        # What is left (bytes, ids, time zones) is distinguished by how it is shown. One with a
        # default repr would show its address, another in every process.
        shown = "" if getattr(type(value), "__repr__", None) is _ADDRESS else quoted(value, 200)
        flat[path] = f"{type(value).__name__} {shown}"[:MAX_CATEGORY_LENGTH]


@lru_cache(maxsize=1024)
def _as_plain(kind: Hashable) -> Callable[[Any], Any] | None:
    """What makes values of a class plain; None for those that are not single values."""
    return next(
        (as_plain for known, as_plain in _PLAIN if issubclass(cast(type, kind), known)), None
    )


def _has_fields(value: object) -> bool:
    return dataclasses.is_dataclass(value) or hasattr(type(value), "__pydantic_fields__")


def _add_elements(flat: dict[str, Value], path: str, values: Any, level: int) -> None:
    if level > MAX_LEVELS:
        measure(values, _MOST_BELOW, MAX_DEPTH)  # of what contains itself there is no end
        return
    if len(flat) > _MOST_FEATURES:
        raise TooMuch("more features than can be distinguished")
    length = len(values)
    flat[f"{path}[]"] = float(length)
    if length > MAX_ELEMENTS:
        if all(type(value) in (int, float) for value in values):
            stretches = _stretches(np.array([_as_float(value) for value in values]))
            values = stretches.tolist()
        else:
            values = values[:MAX_ELEMENTS]
    for place, value in zip(element_paths(path), values, strict=False):
        if type(value) is float and value == value:  # noqa: PLR0124 - as above
            flat[place] = value
        else:
            _add(flat, place, value, level + 1)


def _add_array(flat: dict[str, Value], path: str, array: NDArray[Any], level: int) -> None:
    if array.ndim == 0:
        _add(flat, path, array.item())
    elif array.dtype.kind not in _NUMERIC_KINDS:
        _add_elements(flat, path, array.ravel().tolist(), level)
    else:
        flattened = array.ravel()
        if array.size > MAX_ELEMENTS or array.dtype.kind == "f":
            flattened = flattened.astype(np.float64)
        values = _stretches(flattened) if array.size > MAX_ELEMENTS else flattened
        _add_elements(flat, path, values.tolist(), level)
        flat[f"{path}[]"] = float(array.size)


def _stretches(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The means of ``MAX_ELEMENTS`` stretches, as even as can be."""
    edges = stretch_edges(len(values))
    with np.errstate(over="ignore", invalid="ignore"):
        means: NDArray[np.float64] = np.add.reduceat(values, edges[:-1]) / np.diff(edges)
    return means


def stretch_edges(length: int) -> NDArray[np.int64]:
    """Where the stretches of a list of more than ``MAX_ELEMENTS`` begin, and its end."""
    return np.arange(MAX_ELEMENTS + 1) * length // MAX_ELEMENTS


def _add_members(flat: dict[str, Value], path: str, members: Iterable[object]) -> None:
    inner: dict[str, Value] = {}
    for member in members:
        _add(inner, "", member)
        name = str(inner.pop("", None)) if "" in inner else quoted(member, MAX_CATEGORY_LENGTH)
        inner.clear()
        flat[f"{path}{{{name[:MAX_CATEGORY_LENGTH]}}}"] = True


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an int or fraction beyond any float
        return math.inf if value > 0 else -math.inf


def _seconds(moment: dt.datetime) -> float:
    zoned = moment.tzinfo is not None
    return moment.timestamp() if zoned else (moment - _EPOCH).total_seconds()


def _time_of_day(time: dt.time) -> float:
    return time.hour * 3600.0 + time.minute * 60.0 + time.second + time.microsecond / 1e6


def _plain_scalar(scalar: Any) -> object:
    if scalar.dtype.kind in "mM":
        return None if np.isnat(scalar) else float(scalar.astype(np.int64))
    if scalar.dtype.type is np.longdouble:  # whose item is itself
        return float(scalar)
    return python_scalar(scalar) if scalar.dtype.kind in "biufcSU" else repr(scalar)


# In this order: an IntEnum is an int too, a datetime a date, and a NumPy float a float.
_PLAIN: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (enum.Enum, lambda member: member.value),
    (np.generic, _plain_scalar),
    (str, str.__str__),
    (numbers.Real, _as_float),
    (Decimal, lambda number: math.nan if number.is_nan() else _as_float(number)),
    ((list, tuple), list),
    (numbers.Complex, lambda number: [number.real, number.imag]),
    (dt.datetime, _seconds),
    (dt.date, lambda day: day.toordinal() * 86_400.0),
    (dt.timedelta, lambda span: span.total_seconds()),
    (dt.time, _time_of_day),
    ((bytearray, memoryview), bytes),  # which is what they are once they are stored
)
