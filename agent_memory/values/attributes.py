r"""Values in contents that can be asked for: the scalars at paths such as ``home.food``.

A value is text, a truth, None or a finite number; members of enums and NumPy scalars count as
their value. A condition on a path (``values.paths``) is one of these, which the value must equal,
or a pair of numbers that it must lie between, both included. A tuple, list or array of two numbers
meets the pair of the same ones. Numbers are compared as numbers (3 is 3.0), and a truth is no
number. None is a value: what is absent, or no scalar, meets no other condition.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import numpy as np

from agent_memory.errors import InvalidEntry
from agent_memory.values.frozen import FrozenDict
from agent_memory.values.paths import check_syntax, value_at
from agent_memory.values.plain import made_plain, python_scalar
from agent_memory.values.quoting import quoted

Scalar = str | int | float | bool | None
Condition = Scalar | tuple[float, float]

MAX_PATH_BYTES = 256
"""The longest path that can be declared or asked for."""


def declared_attributes(contents: Mapping[Any, Any], paths: Iterable[str]) -> dict[str, Scalar]:
    """Pick the scalars at some paths out of contents.

    Args:
        contents: What is remembered.
        paths: As in ``values.paths``.

    Returns:
        The values by path; those that are absent or no scalar are left out.
    """
    declared = [*paths]
    plain_ones = made_plain(contents) if declared else contents
    found = {path: plain(value_at(plain_ones, path)) for path in declared}
    return {path: value for path, value in found.items() if is_scalar(value)}


def meets(contents: Mapping[Any, Any], conditions: Mapping[str, Condition]) -> bool:
    """Whether contents meet every condition."""
    return all(
        _meets(plain(value_at(contents, path)), wanted) for path, wanted in conditions.items()
    )


def checked_path(path: object) -> str:
    """Return a path.

    Raises:
        InvalidEntry: It is no text, is empty, or too long, or names what cannot be asked for.
    """
    if (
        not isinstance(path, str)
        or not path
        or len(path.encode("utf-8", "replace")) > MAX_PATH_BYTES
    ):
        raise InvalidEntry(
            f"attributes: a path of keys joined by dots is needed, of {MAX_PATH_BYTES} bytes at "
            f"most, not {quoted(path)}"
        )
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise InvalidEntry(f"attributes: {quoted(path)} is no text that can be stored") from error
    check_syntax(path)
    return path


def checked_conditions(conditions: object) -> FrozenDict[str, Condition]:
    """Return conditions by path, each of its own type.

    Raises:
        InvalidEntry: They are no mapping, or one of them has no meaning.
    """
    try:
        if isinstance(conditions, Mapping):
            return FrozenDict(
                {checked_path(path): _checked(path, value) for path, value in conditions.items()}
            )
    except InvalidEntry:
        raise
    except Exception as error:
        raise InvalidEntry(
            f"attributes: a condition's own code fails ({type(error).__name__})"
        ) from error
    raise InvalidEntry(f"attributes: a dict by path is needed, not {quoted(conditions)}")


def _checked(path: str, condition: object) -> Condition:
    if isinstance(condition, (tuple, list)):
        bounds = [plain(bound) for bound in condition]
        if len(bounds) != 2 or not all(_is_number(bound) and bound == bound for bound in bounds):  # noqa: PLR0124 - NaN
            raise InvalidEntry(
                f"attributes: {path}: a pair of numbers (least, greatest) is needed, "
                f"not {quoted(condition)}; of a longer list ask for elements, such as {path}[0]"
            )
        return bounds[0], bounds[1]
    value = plain(condition)
    if not is_scalar(value):
        raise InvalidEntry(
            f"attributes: {path}: text, a finite number, a bool, None or a pair of numbers is "
            f"needed, not {quoted(condition)}"
        )
    scalar: Scalar = value
    return scalar


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


def _meets(value: Any, wanted: Condition) -> bool:
    if isinstance(wanted, tuple):
        if _is_number(value):
            return is_scalar(value) and wanted[0] <= value <= wanted[1]
        return _is_pair(value) and tuple(map(plain, value)) == wanted
    if not is_scalar(value):
        return False
    if isinstance(wanted, bool) or isinstance(value, bool):
        return value is wanted
    return bool(value == wanted)


def _is_pair(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.shape == (2,) and value.dtype.kind in "iuf"
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(_is_number(plain(item)) for item in value)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
