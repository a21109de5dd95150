"""What two states are compared by: every value in them, by its path and over its whole length.

``flatten`` names the features that encoders learn from, few enough to be learned from. Here
nothing is cut, so that two states have the same values only if they are the same:

* numbers, truths and the elements of lists and arrays are numbers; times are seconds since 1970,
  in two parts, so that the same moment is the same whatever type and unit it has;
* texts, ids and what is missing (None, NaN) are *tokens*, which are equal or not; a long text's
  token carries a sketch of its pieces, which tells how much two texts have in common;
* of more than 1,024 numbers each feature is the mean of a stretch, beside a token of them all.

Contents are those that ``values.contents.unpack`` gives, which knows plain types alone.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_memory.embeddings.features import key_path
from agent_memory.embeddings.sketches import SHORT, sketch
from agent_memory.values.contents import packed_apart

MAX_ELEMENTS = 1024
"""How many elements of a list or array have a feature of their own."""

STRETCHES = 256
"""Of more numbers than that, the means of so many stretches are compared."""

FULL_WEIGHT = 64
"""How many elements of a list count fully; those of a longer one count as much as so many."""

MISSING = "-"
"""The token of None and NaN."""

_MAX_LEVELS = 100  # what lies deeper is one token
_MAX_FEATURES = 200_000
_EXACT = 2**53  # beyond this not every whole number is a float
_LONGEST_KEY = 200
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - the origin of times without a zone
_EPOCH_UTC = _EPOCH.replace(tzinfo=dt.UTC)
_EPOCH_DAY = dt.date(1970, 1, 1).toordinal()
_DAY = 86_400
_WHOLE_UNITS = {"W": 7 * _DAY, "D": _DAY, "h": 3600, "m": 60, "s": 1}
_PARTS = {"ms": 10**3, "us": 10**6, "ns": 10**9, "ps": 10**12, "fs": 10**15, "as": 10**18}


class Wide(NamedTuple):
    """A number that one float would not tell from its neighbours: the sum of two."""

    high: float
    low: float


Value = float | Wide | str
"""A number, or a token."""


class Comparable(NamedTuple):
    """What a state is compared by.

    Attributes:
        values: Numbers and tokens, by path.
        weights: How much the paths count that do not count as one; the elements of long lists.
    """

    values: dict[str, Value]
    weights: dict[str, float]


def comparable(contents: Mapping[Any, Any]) -> Comparable:
    """Name all that a state is compared by.

    Args:
        contents: Of plain types, as ``unpack`` gives them.
    """
    found = Comparable({}, {})
    _add_fields(found, "", contents, 0)
    return found


def comparable_list(path: str, elements: Any) -> Comparable:
    """The same of the list or array at a path.

    Args:
        path: As ``Comparable.values`` names it.
        elements: Of plain types, as ``unpack`` gives them.
    """
    found = Comparable({}, {})
    _add(found, path, elements, 0)
    return found


def _add_fields(found: Comparable, path: str, fields: Mapping[Any, Any], level: int) -> None:
    values = found.values
    for key, value in fields.items():
        place = key_path(path, key) if type(key) is str else _odd_path(path, key)
        if type(value) is float and value == value:  # noqa: PLR0124 - false for NaN alone
            values[place] = value
        else:
            _add(found, place, value, level)


def _add(found: Comparable, path: str, value: Any, level: int) -> None:
    """Add what one value is compared by; the commonest types are asked for first."""
    kind = type(value)
    if kind is float:
        found.values[path] = value if value == value else MISSING  # noqa: PLR0124 - as above
    elif kind is int:
        found.values[path] = float(value) if -_EXACT <= value <= _EXACT else _wide(value)
    elif kind is str:
        found.values[path] = _text(value)
    elif kind is bool:
        found.values[path] = float(value)
    elif value is None:
        found.values[path] = MISSING
    elif kind is tuple or kind is list:
        _add_elements(found, path, value, level)
    elif level > _MAX_LEVELS or len(found.values) > _MAX_FEATURES:
        found.values[path] = _digest(value)
    elif kind is dict:
        _add_fields(found, path, value, level + 1)
    else:
        _add_other(found, path, value, level)


def _add_other(found: Comparable, path: str, value: Any, level: int) -> None:
    if isinstance(value, Mapping):
        _add_fields(found, path, value, level + 1)
    elif isinstance(value, np.ndarray):
        _add_array(found, path, value, level)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        _add_numbers(found, path, np.frombuffer(value, np.uint8))
    elif isinstance(value, (set, frozenset)):
        _add_members(found, path, value)
    elif isinstance(value, complex):
        _add(found, f"{path}.real", value.real, level)
        _add(found, f"{path}.imag", value.imag, level)
    elif isinstance(value, np.generic):
        _add_scalar(found, path, value, level)
    else:
        found.values[path] = _plain(value)


def _plain(value: Any) -> Value:
    """A time, span or decimal as a number; the token of anything else."""
    if isinstance(value, dt.datetime):
        since = value - (_EPOCH if value.tzinfo is None else _EPOCH_UTC)
        return _span(since)
    if isinstance(value, dt.date):
        return Wide(float((value.toordinal() - _EPOCH_DAY) * _DAY), 0.0)
    if isinstance(value, dt.timedelta):
        return _span(value)
    if isinstance(value, dt.time):
        seconds = value.hour * 3600 + value.minute * 60 + value.second
        offset = value.utcoffset()
        apart = 0.0 if offset is None else offset.total_seconds()
        return Wide(seconds - apart, value.microsecond / 10**6)
    if isinstance(value, Decimal):
        return MISSING if value.is_nan() else _number(value)
    return _digest(value)


def _number(value: Any) -> Value:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _wide(value: int) -> Value:
    high = _number(value)
    if type(high) is float and math.isfinite(high):
        return Wide(high, float(value - int(high)))
    return high


def _span(span: dt.timedelta) -> Wide:
    return Wide(float(span.days * _DAY + span.seconds), span.microseconds / 10**6)


def _instant(count: int, unit: str, times: int) -> Value:
    """A number of NumPy's units since 1970, or a span of them, in seconds."""
    if unit in _WHOLE_UNITS:
        whole, part = count * times * _WHOLE_UNITS[unit], 0.0
    elif unit in _PARTS:
        whole, rest = divmod(count * times, _PARTS[unit])
        part = rest / _PARTS[unit]
    else:  # months of a span, or no unit at all: a number of its own kind
        return _wide(count * times) if abs(count) > _EXACT else float(count * times)
    return Wide(_number(whole), part)  # type: ignore[arg-type]  # no token


def _add_scalar(found: Comparable, path: str, scalar: np.generic, level: int) -> None:
    if scalar.dtype.kind in "mM":
        found.values[path] = _instants(np.array([scalar]))[0]
    else:
        plain = scalar.item()
        _add(found, path, str(scalar) if isinstance(plain, np.generic) else plain, level)


def _instants(moments: NDArray[Any]) -> list[Value]:
    unit, times = np.datetime_data(moments.dtype)
    if moments.dtype.kind == "M" and unit in ("Y", "M"):
        moments, unit, times = moments.astype("M8[D]"), "D", 1
    counts = moments.astype(np.int64).tolist()
    lacking = np.isnat(moments).tolist()
    return [
        MISSING if lacks else _instant(count, unit, times)
        for count, lacks in zip(counts, lacking, strict=True)
    ]


def _add_array(found: Comparable, path: str, array: NDArray[Any], level: int) -> None:
    kind = array.dtype.kind
    if array.ndim == 0:
        _add(found, path, array[()], level)
    elif kind in "biuf":
        flat = array.ravel()
        wide = kind in "iu" and flat.size and max(abs(int(flat.max())), abs(int(flat.min())))
        if wide and wide > _EXACT:
            _add_elements(found, path, flat.tolist(), level)
        else:
            _add_numbers(found, path, flat)
    elif kind == "c":
        flat = array.ravel()
        _add_numbers(found, path, np.stack([flat.real, flat.imag], axis=1).ravel())
    elif kind in "mM":
        _add_values(found, path, _instants(array.ravel()))
    else:
        _add_elements(found, path, array.ravel().tolist(), level)


def _add_numbers(found: Comparable, path: str, numbers: NDArray[Any]) -> None:
    """Add the numbers of an array of shape (n,)."""
    values = numbers.astype(np.float64)
    if len(values) > MAX_ELEMENTS:
        found.values[f"{path}[...]"] = _digest_of(values.tobytes())
        values = _stretches(values)
    listed: list[Value] = values.tolist()
    if np.isnan(values).any():
        listed = [MISSING if value != value else value for value in listed]  # noqa: PLR0124 - NaN
    _put_elements(found, path, listed, len(numbers))


def _add_values(found: Comparable, path: str, values: list[Value]) -> None:
    if len(values) > MAX_ELEMENTS:
        found.values[f"{path}[...]"] = _digest_of(repr(values).encode())
    _put_elements(found, path, values[:MAX_ELEMENTS], len(values))


def _put_elements(found: Comparable, path: str, values: list[Value], length: int) -> None:
    places = _places(path, len(values))
    found.values[f"{path}[]"] = float(length)
    found.values.update(zip(places, values, strict=True))
    if len(values) > FULL_WEIGHT:
        found.weights.update(dict.fromkeys(places, FULL_WEIGHT / len(values)))


def _add_elements(found: Comparable, path: str, elements: Any, level: int) -> None:
    """Add the elements of a list or tuple."""
    length = len(elements)
    if length > MAX_ELEMENTS:
        if all(type(value) is float or type(value) is int for value in elements):
            _add_numbers(found, path, np.array([_number(value) for value in elements]))
            return
        found.values[f"{path}[...]"] = _digest([*elements])
        elements = elements[:MAX_ELEMENTS]
    found.values[f"{path}[]"] = float(length)
    if level > _MAX_LEVELS or len(found.values) > _MAX_FEATURES:
        found.values[f"{path}[...]"] = _digest(elements)
        return
    places = _places(path, len(elements))
    if len(elements) > FULL_WEIGHT:
        found.weights.update(dict.fromkeys(places, FULL_WEIGHT / len(elements)))
    values = found.values
    for place, value in zip(places, elements, strict=True):
        if type(value) is float and value == value:  # noqa: PLR0124 - as above
            values[place] = value
        else:
            _add(found, place, value, level + 1)


def _add_members(found: Comparable, path: str, members: Iterable[object]) -> None:
    """Add the members of a set; each is there or not."""
    count = 0
    for member in members:
        found.values[f"{path}{{{_name(member)}}}"] = 1.0
        count += 1
    found.values[f"{path}{{}}"] = float(count)


def _name(member: object) -> str:
    if type(member) is str:
        return member if len(member) <= _LONGEST_KEY else _digest(member)
    inner = Comparable({}, {})
    _add(inner, "", member, 0)
    scalar = inner.values.get("")
    if len(inner.values) == 1 and isinstance(scalar, (float, str)):
        return f"={scalar}"
    return _digest(member)


def _odd_path(parent: str, key: object) -> str:
    """The path of a key that is no text."""
    kind = type(key)
    shown = hex(key) if isinstance(key, int) else _digest(key)
    path = f"#{kind.__name__} {shown}"
    return f"{parent}.{path}" if parent else path


@lru_cache(maxsize=4096)
def _places(path: str, count: int) -> tuple[str, ...]:
    return tuple(f"{path}[{place}]" for place in range(count))


def _stretches(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The means of ``STRETCHES`` stretches, as even as can be."""
    edges = np.arange(STRETCHES + 1) * len(values) // STRETCHES
    with np.errstate(over="ignore", invalid="ignore"):
        means: NDArray[np.float64] = np.add.reduceat(values, edges[:-1]) / np.diff(edges)
    return means


def _text(text: str) -> str:
    """The token of a text; of a long one its digest and its sketch."""
    if len(text) <= SHORT:
        return f"'{text}"
    return f"{_digest_of(text.encode('utf-8', 'surrogatepass'))}{sketch(text)}"


def _digest(value: object) -> str:
    """The token of anything that can be stored."""
    return _digest_of(packed_apart({"": value}))


def _digest_of(raw: bytes) -> str:
    return "#" + blake2b(raw, digest_size=16).hexdigest()
