"""Comparisons of numbers by an engine whose numbers are doubles.

An index knows a declared attribute by its nearest double, and integers from 2^53 on share theirs
with others. So a comparison with such a number is put to the engine in one of two forms: the sure
one, which only entries meet that meet the comparison, or the wide one, which all of them meet and
some others, whose double is that of the number. Where no entry has that double both are the same;
else ``holds`` tells, by the contents.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Protocol

from redis_om.model.model import Expression, NegatedExpression, Operators

from agent_memory.models.redis_search_schema import NUMBERS, id_tag, type_tag
from agent_memory.values.attributes import meets, plain

ATTRIBUTE = "attribute:"
"""What the name of a declared attribute begins with."""

Asked = Any  # an Expression, a NegatedExpression, or what Redis-OM refuses

_EXACT = 2.0**53
"""From here on several integers have one double."""

_BELOW = (Operators.LT, Operators.LE)
_ABOVE = (Operators.GT, Operators.GE)
_EQUAL = (Operators.EQ, Operators.IN)
_UNEQUAL = (Operators.NE, Operators.NOT_IN)
_ONE = (Operators.EQ, Operators.NE)
_COMPARED: dict[Operators, Callable[[Any, Any], bool]] = {
    Operators.LT: operator.lt,
    Operators.LE: operator.le,
    Operators.GT: operator.gt,
    Operators.GE: operator.ge,
}


class Compared(Protocol):
    """What an expression is held against: an entry."""

    contents: Any


def as_indexed(asked: Asked, *, sure: bool) -> Asked:
    """The expression with numbers that the engine can compare with.

    Args:
        asked: What is asked.
        sure: Whether no entry may meet it that does not meet ``asked``; else all do that meet
            ``asked``.
    """
    if isinstance(asked, NegatedExpression):
        return NegatedExpression(as_indexed(asked.expression, sure=not sure))
    if not isinstance(asked, Expression):
        return asked
    if asked.op in (Operators.AND, Operators.OR):
        left, right = (as_indexed(side, sure=sure) for side in (asked.left, asked.right))
        return replace(asked, left=left, right=right)
    if _is_of_numbers(asked) and asked.op in (*_BELOW, *_ABOVE):
        return _range(asked, sure=sure)
    if _is_of_numbers(asked) and asked.op in (*_EQUAL, *_UNEQUAL):
        return _membership(asked, sure=sure)
    return asked


def listed(asked: Asked) -> Asked:
    """The expression with lists of what can be iterated over but once."""
    if isinstance(asked, NegatedExpression):
        return NegatedExpression(listed(asked.expression))
    if not isinstance(asked, Expression):
        return asked
    if asked.op in (Operators.AND, Operators.OR):
        return replace(asked, left=listed(asked.left), right=listed(asked.right))
    return replace(asked, right=list(asked.right)) if isinstance(asked.right, Iterator) else asked


def undecided(asked: Asked) -> set[tuple[str, float]]:
    """The paths, and the doubles there, of which the engine cannot tell what meets a comparison."""
    if isinstance(asked, NegatedExpression):
        return undecided(asked.expression)
    if not isinstance(asked, Expression):
        return set()
    if asked.op in (Operators.AND, Operators.OR):
        return undecided(asked.left) | undecided(asked.right)
    if not _is_attribute(asked):
        return set()
    path = _name(asked).removeprefix(ATTRIBUTE)
    values = map(plain, _several(asked))
    return {(path, nearest(value)) for value in values if _is_shared(value)}


def holds(asked: Asked, entry: Compared) -> bool:
    """Whether an entry meets an expression that the engine has understood."""
    if isinstance(asked, NegatedExpression):
        return not holds(asked.expression, entry)
    if asked.op is Operators.ALL:
        return True
    if asked.op is Operators.AND:
        return holds(asked.left, entry) and holds(asked.right, entry)
    if asked.op is Operators.OR:
        return holds(asked.left, entry) or holds(asked.right, entry)
    values = [plain(value) for value in _several(asked)]
    if asked.op in _COMPARED:
        return _is_beyond(asked, entry, values[0])
    return (asked.op in _EQUAL) == any(_equals(asked, entry, value) for value in values)


def nearest(number: Any) -> float:
    """The double nearest to a number; an infinite one beyond all doubles."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


# -- what the engine is asked -----------------------------------------------------------------


def _range(asked: Expression, *, sure: bool) -> Expression:
    number, below = plain(asked.right), asked.op in _BELOW
    if not _is_number(number):
        return asked  # which is refused when it is spelled
    double = nearest(number)
    if _is_attribute(asked) and _is_shared(number):
        strictly = Operators.LT if below else Operators.GT
        or_equal = Operators.LE if below else Operators.GE
        return replace(asked, op=strictly if sure else or_equal, right=double)
    if _is_attribute(asked) and math.isinf(double):
        # Every number is below infinity, and so is an int whose double it is.
        return _any_number(asked) if below == (double > 0) else _nothing(asked)
    if double == number:
        return replace(asked, right=double)
    if below:
        return replace(asked, op=Operators.LT if double > number else Operators.LE, right=double)
    return replace(asked, op=Operators.GE if double > number else Operators.GT, right=double)


def _membership(asked: Expression, *, sure: bool) -> Expression:
    if asked.op not in _ONE and (
        isinstance(asked.right, (str, bytes)) or not isinstance(asked.right, Iterable)
    ):
        return asked  # which is refused when it is spelled
    kept = []
    for value in _several(asked):
        number = plain(value)
        if not _is_number(number):
            kept.append(value)
        elif _is_attribute(asked) and _is_shared(number):
            if sure == (asked.op in _UNEQUAL):
                kept.append(nearest(number))
        elif nearest(number) == number and not (_is_attribute(asked) and math.isinf(number)):
            kept.append(nearest(number))
    op = Operators.IN if asked.op in _EQUAL else Operators.NOT_IN
    return replace(asked, op=op, right=kept)


def _any_number(asked: Expression) -> Expression:
    return replace(asked, op=Operators.GE, right=-math.inf)


def _nothing(asked: Expression) -> Expression:
    return replace(asked, op=Operators.IN, right=[])


# -- what an entry says -----------------------------------------------------------------------


def _is_beyond(asked: Expression, entry: Compared, bound: Any) -> bool:
    name, compare = _name(asked), _COMPARED[asked.op]
    if not _is_attribute(asked):
        value = getattr(entry, name)
        return value is not None and compare(value, bound)
    path = name.removeprefix(ATTRIBUTE)
    either = (-math.inf, bound) if asked.op in _BELOW else (bound, math.inf)
    or_equal = asked.op in (Operators.LE, Operators.GE)
    return meets(entry.contents, {path: either}) and (
        or_equal or not meets(entry.contents, {path: bound})
    )


def _equals(asked: Expression, entry: Compared, value: Any) -> bool:
    name = _name(asked)
    if _is_attribute(asked):
        return meets(entry.contents, {name.removeprefix(ATTRIBUTE): value})
    own = getattr(entry, name)
    if name in NUMBERS:
        return bool(own == value)
    if name == "memory_type":
        return type_tag(own) == type_tag(value)
    return id_tag(name, own) == id_tag(name, value)


# -- what is compared -------------------------------------------------------------------------


def _several(asked: Expression) -> Iterable[Any]:
    if asked.op in (Operators.IN, Operators.NOT_IN) and isinstance(asked.right, Iterable):
        return asked.right
    return [asked.right]


def _is_attribute(asked: Expression) -> bool:
    return _name(asked).startswith(ATTRIBUTE)


def _is_of_numbers(asked: Expression) -> bool:
    return _is_attribute(asked) or _name(asked) in NUMBERS


def _name(asked: Expression) -> str:
    """The name of the field that is compared; nothing where it is none."""
    return str(getattr(asked.left, "name", ""))


def _is_number(value: Any) -> bool:
    if type(value) is bool or not isinstance(value, numbers.Real):
        return False
    return bool(value == value)  # noqa: PLR0124 - NaN


def _is_shared(value: Any) -> bool:
    """Whether other numbers that contents may hold have the double of a number."""
    if not _is_number(value) or (isinstance(value, float) and math.isinf(value)):
        return False
    return abs(nearest(value)) >= _EXACT
