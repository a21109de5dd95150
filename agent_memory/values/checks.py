"""Checks of the fields of entries and queries: each gives the value in its field's own type.

A check that fails raises ``InvalidEntry``, whose message names the field.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from agent_memory.errors import InvalidEntry
from agent_memory.values.coded import CodeBounds
from agent_memory.values.interruptions import raise_if_interrupted
from agent_memory.values.quoting import quoted

MAX_COUNT = 2**63 - 1
"""Counts and revisions beyond this fit no engine."""

MAX_STEP = 2**53
"""Steps beyond this have no exact double, which sorted sets in Redis score by."""

_Member = TypeVar("_Member", bound=StrEnum)
_Float = TypeVar("_Float", bound=np.floating[Any])


def checked_step(step: object) -> int:
    """Return a step as an int.

    Raises:
        InvalidEntry: It is no integer, negative, or beyond ``MAX_STEP``.
    """
    step = checked_count("step_number", step)
    if step > MAX_STEP:
        raise InvalidEntry(f"step_number: {step} is beyond {MAX_STEP}")
    return step


def checked_limit(limit: object) -> int | None:
    """Return how many are asked for at most as an int; None for all.

    Raises:
        InvalidEntry: It is no integer, or negative.
    """
    return None if limit is None else checked_count("limit", limit)


def checked_version(version: object, name: str = "version") -> int:
    """Return the number of a version of the encoder as an int.

    Raises:
        InvalidEntry: It is no integer, negative, or beyond ``MAX_STEP``.
    """
    number = checked_count(name, version)
    if number > MAX_STEP:
        raise InvalidEntry(f"{name}: {number} is beyond {MAX_STEP}")
    return number


def checked_importance(importance: object) -> float:
    """Return an importance (or priority) as a float.

    Raises:
        InvalidEntry: It is no number between 0 and 1.
    """
    number = checked_number("importance_score", importance)
    if not 0.0 <= number <= 1.0:
        raise InvalidEntry(f"importance_score (priority): {number} is not between 0 and 1")
    return number + 0.0


def checked_level(level: object) -> int:
    """Return a compression level.

    Raises:
        InvalidEntry: It is none of 0, 1, 2.
    """
    if type(level) is int and 0 <= level <= 2:
        return level
    level = checked_count("compression_level", level)
    if level > 2:
        raise InvalidEntry(f"compression_level: {level} is none of 0, 1, 2")
    return level


def checked_flag(name: str, value: object) -> bool:
    """Return a truth as a bool.

    Raises:
        InvalidEntry: It is neither True nor False.
    """
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise InvalidEntry(f"{name}: True or False is needed, not {value!r:.80}")


def checked_number(name: str, value: object) -> float:
    """Return a number as a float, which may be infinite or NaN.

    Raises:
        InvalidEntry: It is no real number, or an integer beyond any double.
    """
    # Exact types first, here and below: an entry is checked on every read and every move, and
    # asking for an abstract base class takes ten times as long.
    if type(value) is float:
        return value
    if type(value) is bool or not is_a(value, numbers.Real):
        raise InvalidEntry(f"{name}: a number is needed, not {quoted(value)}")
    try:
        return float(value)  # type: ignore[arg-type]  # asked above
    except OverflowError as error:
        raise InvalidEntry(f"{name}: an integer beyond any double") from error
    except Exception as error:
        raise_if_interrupted(error)
        raise InvalidEntry(f"{name}: {quoted(value)} is no number") from error


def is_a(value: object, kind: Any) -> bool:
    """Whether a value is of a kind; one that does not tell its class is of none."""
    try:
        return isinstance(value, kind)
    except Exception as error:  # noqa: BLE001  # its own code, which may raise anything
        raise_if_interrupted(error)
        return False


def checked_count(name: str, value: object) -> int:
    """Return a count as an int; a limit beyond ``MAX_COUNT`` becomes that.

    Raises:
        InvalidEntry: It is no integer, negative, or beyond ``MAX_COUNT``.
    """
    if type(value) is int and 0 <= value <= MAX_COUNT:
        return value
    number = _as_int(name, value)
    if number < 0:
        raise InvalidEntry(f"{name}: {quoted(number)} is negative")
    if number > MAX_COUNT and name != "limit":
        raise InvalidEntry(f"{name}: {quoted(number)} is beyond {MAX_COUNT}")
    return min(number, MAX_COUNT)


def _as_int(name: str, value: object) -> int:
    if type(value) is bool or not is_a(value, numbers.Integral):
        raise InvalidEntry(f"{name}: an integer is needed, not {quoted(value)}")
    try:
        return int(value)  # type: ignore[call-overload, no-any-return]  # asked above
    except Exception as error:
        raise_if_interrupted(error)
        raise InvalidEntry(f"{name}: {quoted(value)} is no integer") from error


def checked_time(name: str, value: object) -> float:
    """Return a time as a float.

    Raises:
        InvalidEntry: It is no finite number.
    """
    number = checked_number(name, value)
    if not math.isfinite(number):
        raise InvalidEntry(f"{name}: {number} is not a finite number")
    # Adding zero turns -0.0 into 0.0, which not every engine tells apart.
    return number + 0.0


def checked_member(name: str, kind: type[_Member], value: object) -> _Member:
    """Return a member of an enum of texts.

    Args:
        name: The field, for the message.
        kind: The enum.
        value: A member, or the text of one.

    Raises:
        InvalidEntry: The enum has no such member.
    """
    if type(value) is kind:
        return value
    try:
        return kind(value)  # type: ignore[arg-type]  # the enum refuses what it does not know
    except Exception as error:
        raise_if_interrupted(error)
        raise InvalidEntry(f"{name}: {quoted(value)} is none of {', '.join(kind)}") from error


def checked_range(name: str, value: object) -> tuple[float, float] | None:
    """Return a pair of bounds, of ints where ``name`` is "steps"; None for no bounds.

    Raises:
        InvalidEntry: It is no pair, a bound is no number, or the first is beyond the last.
    """
    if value is None:
        return None
    if not is_a(value, (tuple, list)) or len(value) != 2:  # type: ignore[arg-type]  # asked first
        raise InvalidEntry(
            f"{name}: a pair (first, last) is needed, None for an open end, not {quoted(value)}"
        )
    given: Any = value
    if given[0] is None and given[1] is None:
        return None
    least, greatest = (0, MAX_STEP) if name == "steps" else (-math.inf, math.inf)
    ends = [None if bound is None else _bound(name, bound) for bound in given]
    first = min(least, ends[1] or least) if ends[0] is None else ends[0]
    last = max(greatest, first) if ends[1] is None else ends[1]
    if None not in given and given[0] > given[1]:
        raise InvalidEntry(f"{name}: {quoted(given)} ends before it begins; write the least first")
    if name != "steps":
        # An int beyond 2^53 may lie between two doubles.
        first = math.nextafter(first, math.inf) if first < (given[0] or first) else first
        last = math.nextafter(last, -math.inf) if last > (given[1] or last) else last
        if first > last:  # two ints between the same doubles: no time is between them
            return math.inf, math.inf
    return first, last


def _bound(name: str, value: object) -> float:
    if name == "steps":
        return _as_int("steps", value)
    number = checked_number(name, value)
    if math.isnan(number):
        raise InvalidEntry(f"{name}: NaN is no bound")
    return number


def checked_bounds(value: object) -> dict[str, float]:
    """Return error bounds by path; those of a code were checked when it was read.

    Raises:
        InvalidEntry: They are no dict by path, or a bound is no number, or negative.
    """
    if type(value) is CodeBounds:
        return value
    if not is_a(value, Mapping):
        raise InvalidEntry(f"error_bounds: a dict by path is needed, not {quoted(value)}")
    bounds = {}
    for path, bound in value.items():  # type: ignore[attr-defined]  # asked above
        bounds[path] = checked_number("error_bounds", bound)
        if not isinstance(path, str) or not bounds[path] >= 0.0:
            raise InvalidEntry(
                f"error_bounds: {quoted(path)}: {quoted(bound)} is no bound of a path"
            )
    return bounds


def _as_vector(value: object) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and is refused
            return as_row(value, np.float32)
    except Exception as error:
        raise_if_interrupted(error)
        # A number beyond any double, a ragged list, or what a value's own code raises.
        raise InvalidEntry(
            f"embedding: numbers of shape (dim,) are needed ({type(error).__name__})"
        ) from error


def as_row(value: object, dtype: type[_Float]) -> NDArray[_Float]:
    """Return numbers as an array, item by item.

    Of a list within itself ``np.asarray`` would try all ways through it, and fill the memory.

    Args:
        value: A sequence of numbers, or an array of any shape.
        dtype: Of the array returned.

    Raises:
        TypeError, ValueError, OverflowError: It holds what is no number.
    """
    if isinstance(value, (list, tuple)):
        return np.fromiter(value, dtype)
    return np.asarray(value, dtype)


def all_finite(vector: NDArray[np.float32]) -> bool:
    """Whether all numbers of a vector are finite, and there are any."""
    # Counting takes half as long as ``all``.
    return 0 < vector.size == np.count_nonzero(np.isfinite(vector))


def checked_embedding(value: object) -> NDArray[np.float32]:
    """Return a vector as float32 of shape (dim,).

    Raises:
        InvalidEntry: It is none, is empty, or holds what is no finite number.
    """
    ready = isinstance(value, np.ndarray) and value.dtype == np.float32
    vector: NDArray[np.float32] = value if ready else _as_vector(value)  # type: ignore[assignment]  # asked above
    if vector.ndim != 1 or not all_finite(vector):
        given = "NaN or infinite ones" if vector.ndim == 1 and vector.size else vector.shape
        raise InvalidEntry(f"embedding: finite numbers of shape (dim,) are needed, not {given}")
    return vector


def are_in_range(
    steps: Sequence[int],
    importances: Sequence[float],
    levels: Sequence[int],
    counts: Sequence[int],
    versions: Sequence[int | None],
    times: Iterable[Sequence[float]],
) -> bool:
    """Whether the fields of some entries, one or more, may be theirs.

    Args:
        steps: Their steps.
        importances: Their importance.
        levels: Their compression levels.
        counts: Their retrieval counts and revisions.
        versions: The versions of their encoders.
        times: Their times.

    Returns:
        False too where times are so large that no double holds their sum.
    """
    known = [version for version in versions if version is not None] or [0]
    return (
        math.isfinite(sum(importances) + sum(map(sum, times)))
        and 0 <= min(steps) <= max(steps) <= MAX_STEP
        and 0.0 <= min(importances) <= max(importances) <= 1.0
        and 0 <= min(levels) <= max(levels) <= 2
        and min(counts) >= 0
        and 0 <= min(known) <= max(known) <= MAX_STEP
    )
