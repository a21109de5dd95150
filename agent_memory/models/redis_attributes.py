"""How declared attributes are spelled in Redis: the fields of a hash, and the indexes they are in.

A number is in a sorted set of its path by its value; text, a truth or None is in a sorted set of
its path and value by the timestamp:

    <prefix>number:<path>            sorted  memory ids by the number
    <prefix>value:<path>:<value>     sorted  memory ids by timestamp

Paths and values are spelled with letters, digits and ``_`` alone, as ids are. A long text, or one
beyond ASCII, is indexed by its digest, and a number beyond 2^53 by the nearest double, so what an
index gives is compared with the contents again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from agent_memory.models.redis import encode_id
from agent_memory.values.attributes import Condition, Scalar, declared_attributes
from agent_memory.values.conditions import Between, ContentCondition

_LONGEST = 100  # bytes of a text that is spelled as it is

Lookup = tuple[str, float, float] | str
"""An index and the scores to look for in it; or an index all of whose members count."""


def spelled_attributes(contents: Mapping[str, Any], paths: Iterable[str]) -> str:
    """Index, score, field and value of each declared attribute, as the scripts take them.

    Args:
        contents: What is remembered.
        paths: The declared paths.
    """
    return " ".join(
        _spelled(path, value) for path, value in declared_attributes(contents, paths).items()
    )


def lookup(path: str, condition: Condition) -> Lookup | None:
    """Where the entries are that meet a condition on a declared path; None: no index tells."""
    if isinstance(condition, Between):
        return number_field(path), _double(condition.least), _double(condition.greatest)
    if isinstance(condition, ContentCondition):
        return None
    if isinstance(condition, tuple):
        least, greatest = condition
        return number_field(path), _double(least), _double(greatest)
    if _is_number(condition):
        number = _double(condition)
        return number_field(path), number, number
    return f"{value_field(path)}:{spelled_value(condition)}"


def number_field(path: str) -> str:
    """The field that holds a path's value where it is a number, and the index by it."""
    return f"number:{encode_id(path)}"


def value_field(path: str) -> str:
    """The field that holds a path's value where it is none."""
    return f"value:{encode_id(path)}"


def engine_names(path: str) -> tuple[str, str]:
    """What the query engine calls a path's numbers, and what its other values."""
    spelled = encode_id(path)
    return f"number_{spelled}", f"value_{spelled}"


def spelled_value(value: Scalar) -> str:
    """Text, a truth or None as a tag: different ones are spelled differently."""
    if not isinstance(value, str):
        return f"is{value}"
    raw = value.encode("utf-8", "surrogatepass")  # contents may hold what is no sound text
    if len(raw) <= _LONGEST and value.isascii():
        return f"t{encode_id(value)}"
    return f"h{hashlib.blake2b(raw, digest_size=16).hexdigest()}"


def _spelled(path: str, value: Scalar) -> str:
    if _is_number(value):
        number = repr(_double(value))
        return f"{number_field(path)} {number} {number_field(path)} {number}"
    spelled = spelled_value(value)
    return f"{value_field(path)}:{spelled} - {value_field(path)} {spelled}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _double(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
