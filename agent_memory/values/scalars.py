"""What counts as a single value in contents, and when two are the same.

A value is text, a truth, None or a finite number; members of enums and NumPy scalars count as their
value. Numbers are compared as numbers (3 is 3.0), and a truth is no number.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Any, TypeGuard

import numpy as np

from agent_memory.values.plain import python_scalar

Scalar = str | int | float | bool | None


def plain(value: Any) -> Any:
    """A member of an enum or a NumPy scalar as its value; anything else as it is."""
    if isinstance(value, Enum):
        return plain(value.value)
    # A time in nanoseconds has an int for an item, which would pass for a number.
    if isinstance(value, np.generic) and not isinstance(value, (np.datetime64, np.timedelta64)):
        return python_scalar(value)
    return value


def is_scalar(value: object) -> bool:
    """Whether a plain value is text, a finite number, a truth or None."""
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (str, int))


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a plain value is a number, be it infinite or NaN; a truth is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def same(value: Any, wanted: Any) -> bool:
    """Whether a value is a scalar, or a tuple of such, that is wanted.

    Args:
        value: Of contents; a list, a tuple and an array of the same elements are the same.
        wanted: A scalar, or a tuple of scalars and tuples.
    """
    value = plain(value)
    if isinstance(wanted, tuple):
        return (
            is_sequence(value)
            and len(value) == len(wanted)
            and all(same(*pair) for pair in zip(value, wanted, strict=True))
        )
    if not is_scalar(value):
        return False
    if isinstance(wanted, bool) or isinstance(value, bool):
        return value is wanted
    return bool(value == wanted)


def is_sequence(value: Any) -> bool:
    """Whether a value is a list, a tuple, or an array of at least one dimension."""
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > 0)
