"""Conditions on a value in contents that have a name: ranges, choices, parts, patterns, places.

A value that is of another kind than a condition is about meets it not: text is between no numbers,
and a number matches no pattern.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.errors import ConfigError, InvalidEntry
from agent_memory.values.calls import explains_call
from agent_memory.values.paths import ABSENT, value_at
from agent_memory.values.quoting import quoted
from agent_memory.values.scalars import is_number, is_scalar, is_sequence, plain, same

MAX_PATTERN = 1_000
"""The longest pattern of ``matches``, in characters."""

_DEEPEST = 16  # levels of lists within each other that can be asked for


class ContentCondition(ABC):
    """What a value in contents must meet. Made by ``between`` and its neighbours."""

    __slots__ = ()

    @abstractmethod
    def holds(self, value: Any) -> bool:
        """Whether a value meets it; ``ABSENT`` where there is none."""

    def holds_in(self, contents: Mapping[Any, Any], path: str) -> bool:
        """Whether contents meet it at a path."""
        return self.holds(plain(value_at(contents, path)))


@dataclass(frozen=True, slots=True)
class Exactly(ContentCondition):
    """Is a list, tuple or array of just these elements."""

    elements: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        """Whether a value meets it."""
        return same(value, self.elements)


@dataclass(frozen=True, slots=True)
class Between(ContentCondition):
    """Is a number from the least to the greatest, both included."""

    least: float
    greatest: float

    def holds(self, value: Any) -> bool:
        """Whether a value meets it."""
        return is_number(value) and is_scalar(value) and self.least <= value <= self.greatest


@dataclass(frozen=True, slots=True)
class OneOf(ContentCondition):
    """Is one of some values."""

    choices: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        """Whether a value meets it."""
        return any(same(value, choice) for choice in self.choices)


@dataclass(frozen=True, slots=True)
class Exists(ContentCondition):
    """Is there, be it None; or is not."""

    there: bool

    def holds(self, value: Any) -> bool:
        """Whether a value meets it."""
        return (value is not ABSENT) is self.there


@dataclass(frozen=True, slots=True)
class Contains(ContentCondition):
    """Is a text with this part, or a list, tuple, set or array with this member."""

    part: Any

    def holds(self, value: Any) -> bool:
        """Whether a value meets it."""
        if isinstance(value, str):
            return isinstance(self.part, str) and self.part in value
        if is_sequence(value) or isinstance(value, (set, frozenset)):
            return any(same(member, self.part) for member in value)
        return False


@dataclass(frozen=True, slots=True)
class Matches(ContentCondition):
    """Is a text in which a regular expression finds something."""

    pattern: str

    def holds(self, value: Any) -> bool:
        """Whether a value meets it."""
        if not isinstance(value, str):
            return False
        try:
            return _compiled(self.pattern).search(value) is not None
        except UnicodeError:  # a text that is none, such as a lone surrogate
            return False


@dataclass(frozen=True, slots=True)
class NearPoint(ContentCondition):
    """Is a place no farther from a point than a radius, both in the unit of the contents.

    Attributes:
        point: Two or three coordinates.
        radius: Euclidean.
        paths: Where each coordinate is; empty: the value is a sequence of them.
    """

    point: tuple[float, ...]
    radius: float
    paths: tuple[str, ...] = ()

    def holds(self, value: Any) -> bool:
        """Whether a value meets it."""
        if not is_sequence(value) or len(value) != len(self.point):
            return False
        numbers = [plain(coordinate) for coordinate in value]
        if not all(is_number(number) and is_scalar(number) for number in numbers):
            return False
        try:
            return math.dist(numbers, self.point) <= self.radius
        except OverflowError:  # an integer beyond any double
            return False

    def holds_in(self, contents: Mapping[Any, Any], path: str) -> bool:
        """Whether contents meet it at its own paths, else at the given one."""
        if not self.paths:
            return self.holds(plain(value_at(contents, path)))
        return self.holds([value_at(contents, each) for each in self.paths])


@explains_call
def between(least: float | None, greatest: float | None) -> Between:
    """A condition: a number from the least to the greatest, both included; None: no such end.

    Raises:
        InvalidEntry: An end is no number, or the least is beyond the greatest.

    Examples:
        >>> from agent_memory import between
        >>> hits = memory.recall(agent_id="ant-1", attributes={"food": between(1, 2)})
        >>> [hit.entry.contents["food"] for hit in hits]
        [1.0, 1.5, 2.0]
    """
    ends = (-math.inf if least is None else least, math.inf if greatest is None else greatest)
    first, last = (_number("between", end) for end in ends)
    if first > last:
        raise InvalidEntry(
            f"attributes: between({first}, {last}) ends before it begins; write the least first"
        )
    return Between(first, last)


def one_of(*choices: object) -> OneOf:
    """A condition: one of some values, each a scalar or a sequence; or of one list of them.

    Raises:
        InvalidEntry: One of them can be no value.

    Examples:
        >>> from agent_memory import one_of
        >>> hits = memory.recall(agent_id="ant-1", attributes={"food": one_of(0, 4.5, "much")})
        >>> [hit.entry.step_number for hit in hits]
        [0, 9]
    """
    if len(choices) == 1 and isinstance(choices[0], (list, set, frozenset, np.ndarray)):
        choices = tuple(choices[0])
    return OneOf(tuple(elements_of("one_of", choice) for choice in choices))


def exists(there: bool = True) -> Exists:
    """A condition: the path is there, with whatever value, None too; False: it is not.

    Examples:
        >>> from agent_memory import exists
        >>> len(memory.recall(agent_id="ant-1", attributes={"at[1]": exists()}))
        10
    """
    given: Any = there
    if not isinstance(given, (bool, np.bool_)):
        raise InvalidEntry(f"attributes: exists: True or False is needed, not {quoted(there)}")
    return Exists(bool(there))


def contains(part: object) -> Contains:
    """A condition: a text with this part, or a list, tuple, set or array with this member.

    Raises:
        InvalidEntry: It can be no part of anything.

    Examples:
        >>> from agent_memory import contains
        >>> [hit.entry.step_number for hit in memory.recall(attributes={"at": contains(7)})]
        [7]
    """
    return Contains(elements_of("contains", part))


def matches(pattern: str) -> Matches:
    """A condition: a text in which a regular expression in the syntax of RE2 finds something.

    RE2's time is proportional to the text, whatever the expression; backreferences and lookarounds
    are what it gives up for this. ``^`` and ``$`` bind an expression to the whole text.

    Raises:
        ConfigError: google-re2 is not installed; the message names the extra.
        InvalidEntry: It is no such expression, or longer than ``MAX_PATTERN``.

    Examples:
        >>> from agent_memory import matches
        >>> memory.recall(attributes={"note": matches("^food (at|near) home$")})  # doctest: +SKIP
        [...]
    """
    given: Any = pattern
    if not isinstance(given, str) or len(given) > MAX_PATTERN:
        raise InvalidEntry(
            f"attributes: matches: a regular expression of {MAX_PATTERN} characters at most is "
            f"needed, not {quoted(pattern)}"
        )
    _compiled(pattern)
    return Matches(pattern)


@explains_call
def near_point(point: Sequence[float] | NDArray[Any], radius: float) -> NearPoint:
    """A condition: a place no farther from a point than a radius.

    It is about a path whose value is two or three numbers, or about two or three paths:
    ``{"pos": near_point((8, 12), 3)}``, ``{("home.x", "home.y"): near_point((8, 12), 3)}``.

    Raises:
        InvalidEntry: They are no two or three finite numbers, or the radius is negative.

    Examples:
        >>> from agent_memory import near_point
        >>> hits = memory.recall(attributes={"at": near_point((5, 3), radius=1)})
        >>> [hit.entry.step_number for hit in hits]
        [4, 5, 6]
    """
    if not is_sequence(point) or len(tuple(point)) not in (2, 3):
        raise InvalidEntry(
            f"attributes: near_point: two or three coordinates are needed, not {quoted(point)}"
        )
    coordinates = tuple(float(_number("near_point", one)) for one in point)
    distance = float(_number("near_point", radius))
    if not all(map(math.isfinite, coordinates)) or distance < 0.0:
        raise InvalidEntry(
            f"attributes: near_point({coordinates}, {distance}): finite coordinates and a radius "
            "of 0 or more are needed"
        )
    return NearPoint(coordinates, distance)


def elements_of(what: str, value: object, depth: int = 0) -> Any:
    """A scalar, or a sequence as a tuple of its elements.

    Raises:
        InvalidEntry: It is neither, or nested too deep.
    """
    value = plain(value)
    if is_sequence(value) and depth < _DEEPEST:
        items: Any = value
        return tuple(elements_of(what, item, depth + 1) for item in items)
    if not is_scalar(value):
        raise InvalidEntry(
            f"attributes: {what}: text, a finite number, a bool, None, a sequence of such, or a "
            "condition (between, one_of, exists, contains, matches, near_point) is needed, not "
            f"{quoted(value)}"
        )
    return value


def _number(what: str, value: object) -> float:
    number = plain(value)
    if not is_number(number) or number != number:  # noqa: PLR0124 - NaN
        raise InvalidEntry(f"attributes: {what}: a number is needed, not {quoted(value)}")
    try:
        float(number)
    except OverflowError as error:
        raise InvalidEntry(f"attributes: {what}: an integer beyond any double") from error
    return number


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> Any:
    try:
        import re2  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            "matches needs google-re2, whose time is bounded: pip install 'agent-memory[regex]'"
        ) from error
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options=options)
    except (re2.error, UnicodeError) as error:
        raise InvalidEntry(
            f"attributes: matches: {quoted(pattern)} is no regular expression of RE2 ({error})"
        ) from error
