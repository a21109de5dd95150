"""Equality of contents, bit by bit and type by type, by other means than storing them."""

from __future__ import annotations

import datetime as dt
import math
import struct
from typing import Any

import numpy as np


def same(one: Any, other: Any) -> bool:
    """Whether two values of contents are the same: type, value, order, NaN and sign of zero."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (np.generic, np.ndarray)):
        return _same_numpy(np.asarray(one), np.asarray(other))
    if isinstance(one, float):
        return _bits(one) == _bits(other)
    if isinstance(one, complex):
        return same([one.real, one.imag], [other.real, other.imag])
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (set, frozenset)):
        return len(one) == len(other) and all(any(same(a, b) for b in other) for a in one)
    if isinstance(one, (dt.datetime, dt.time)):
        return _time_parts(one) == _time_parts(other)
    # The text tells Decimal("1.0") from Decimal("1.00") and lets NaN equal itself.
    return str(one) == str(other) if type(one).__name__ == "Decimal" else bool(one == other)


def _bits(number: float) -> bytes:
    # All NaN are one here: the bits beyond are the processor's business.
    return b"NaN" if math.isnan(number) else struct.pack("<d", number)


def _same_numpy(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    comparable = one.dtype == other.dtype and one.shape == other.shape
    return comparable and one.tobytes() == other.tobytes()


def _time_parts(moment: dt.datetime | dt.time) -> tuple[object, ...]:
    zone = moment.tzinfo
    return (moment.replace(tzinfo=None), moment.fold, type(zone), str(zone), moment.utcoffset())
