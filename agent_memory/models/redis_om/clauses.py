"""Comparisons in the query engine's language; no value in them can end a clause."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from redis_om import QueryNotSupportedError
from redis_om.model.model import Operators

from agent_memory.errors import InvalidEntry
from agent_memory.models.redis_attributes import engine_names, spelled_value
from agent_memory.models.redis_search_schema import NO_TAG, TAGS, id_tag, number, type_tag
from agent_memory.values.quoting import quoted
from agent_memory.values.scalars import is_scalar, plain

NEGATED = (Operators.NE, Operators.NOT_IN)
MEMBERSHIP = (Operators.IN, Operators.NOT_IN)
_EQUALITY = (Operators.EQ, *NEGATED, Operators.IN)
_RANGES = {
    Operators.GT: "[({0} +inf]",
    Operators.GE: "[{0} +inf]",
    Operators.LT: "[-inf ({0}]",
    Operators.LE: "[-inf {0}]",
}


def attribute_clause(path: str, op: Operators, values: Sequence[Any]) -> str:
    """A comparison of a declared attribute, whose numbers and other values are fields apart."""
    numbers, others = engine_names(path)
    plain_values = [plain(value) for value in values]
    if op in _RANGES:
        return number_clause(numbers, op, plain_values)
    _refuse_unless(op in _EQUALITY, path, "==, !=, <, <=, >, >=, << and >>")
    clauses = []
    for value in plain_values:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            clauses.append(number_clause(numbers, Operators.EQ, [value]))
        elif is_scalar(value):
            clauses.append(f"(@{others}:{{{spelled_value(value)}}})")
        else:
            raise InvalidEntry(f"{path}: compare it with a scalar, not {quoted(value)}")
    return f"({'|'.join(clauses)})" if clauses else f"@{numbers}:[inf -inf]"


def number_clause(name: str, op: Operators, values: Sequence[Any]) -> str:
    """A comparison of a field of numbers."""
    numbers = [number(name, value) for value in values]
    if op in _RANGES:
        return f"@{name}:{_RANGES[op].format(*numbers)}"
    _refuse_unless(op in _EQUALITY, name, "==, !=, <, <=, >, >=, << and >>")
    ranges = [f"(@{name}:[{each} {each}])" for each in numbers]
    return f"({'|'.join(ranges)})" if ranges else f"@{name}:[inf -inf]"


def tag_clause(name: str, op: Operators, values: Sequence[Any]) -> str:
    """A comparison of an id or a type."""
    # Of beginnings of ids the engine looks at 200 and leaves out the others, without a word.
    _refuse_unless(op in _EQUALITY, name, "==, !=, << and >>")
    _refuse_unless(name in TAGS, name, "nothing, for it is not indexed")
    spell: Callable[[Any], str] = type_tag
    if name != "memory_type":

        def spell(value: Any) -> str:
            return id_tag(name, value)

    return f"@{name}:{{{'|'.join(map(spell, values)) or NO_TAG}}}"


def several(name: str, values: Any) -> Iterable[Any]:
    """What a comparison with several values is given.

    Raises:
        QueryNotSupportedError: It is one value.
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise QueryNotSupportedError(
            f"{name}: << and >> take a list of values, not {quoted(values)}"
        )
    return values


def _refuse_unless(allowed: bool, name: str, comparisons: str) -> None:
    if not allowed:
        raise QueryNotSupportedError(f"{name} can be compared with {comparisons}")


def with_double(path: str, double: float) -> str:
    """The entries whose declared attribute is a number with this double."""
    return number_clause(engine_names(path)[0], Operators.EQ, [double])
