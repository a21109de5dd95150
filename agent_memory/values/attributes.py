r"""Values in contents that can be asked for: the scalars at paths such as ``home.food``.

A value is a scalar (``values.scalars``). A condition on a path (``values.paths``) is a scalar or a
sequence, which the value must equal, or one that has a name (``values.conditions``). A pair of
numbers is both: a number must lie between them, both included, and of a tuple, list or array they
must be the elements. None is a value: what is absent meets no condition but ``exists(False)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from agent_memory.errors import InvalidEntry
from agent_memory.values.conditions import ContentCondition, Exactly, NearPoint, elements_of
from agent_memory.values.frozen import FrozenDict
from agent_memory.values.interruptions import raise_if_interrupted
from agent_memory.values.paths import check_syntax, value_at
from agent_memory.values.plain import made_plain
from agent_memory.values.quoting import quoted
from agent_memory.values.scalars import Scalar, is_number, is_scalar, plain, same

__all__ = ["Condition", "Scalar", "checked_conditions", "declared_attributes", "is_scalar", "plain"]

Condition = Scalar | tuple[float, float] | ContentCondition

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
    return all(_meets(contents, path, wanted) for path, wanted in conditions.items())


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


def checked_conditions(conditions: object) -> FrozenDict[Any, Condition]:
    """Return conditions by path, each of its own type.

    Raises:
        InvalidEntry: They are no mapping, or one of them has no meaning.
    """
    try:
        if isinstance(conditions, Mapping):
            return FrozenDict(
                _checked_place(path, value)
                if isinstance(path, tuple)
                else (checked_path(path), _checked(path, value))
                for path, value in conditions.items()
            )
    except InvalidEntry:
        raise
    except Exception as error:
        raise_if_interrupted(error)
        raise InvalidEntry(
            f"attributes: a condition's own code fails ({type(error).__name__})"
        ) from error
    raise InvalidEntry(f"attributes: a dict by path is needed, not {quoted(conditions)}")


def _checked(path: str, condition: object) -> Condition:
    if isinstance(condition, ContentCondition):
        return condition
    wanted = elements_of(path, condition)
    if isinstance(wanted, tuple) and not _is_pair(wanted):
        return Exactly(wanted)
    pair_or_scalar: Condition = wanted
    return pair_or_scalar


def _is_pair(condition: object) -> bool:
    """Whether a condition is a pair of numbers, which is a range and a place."""
    return isinstance(condition, tuple) and len(condition) == 2 and all(map(is_number, condition))


def _checked_place(paths: tuple[Any, ...], condition: object) -> tuple[Any, Condition]:
    """Several paths, and the condition on all of them."""
    if not isinstance(condition, NearPoint) or len(condition.point) != len(paths):
        raise InvalidEntry(
            f"attributes: {quoted(paths)}: several paths take a near_point of as many coordinates, "
            f"not {quoted(condition)}"
        )
    each = tuple(map(checked_path, paths))
    return each, replace(condition, paths=each)


def _meets(contents: Mapping[Any, Any], path: str, wanted: Condition) -> bool:
    if isinstance(wanted, ContentCondition):
        return wanted.holds_in(contents, path)
    value = plain(value_at(contents, path))
    if isinstance(wanted, tuple) and is_number(value):
        return is_scalar(value) and wanted[0] <= value <= wanted[1]
    return same(value, wanted)
