"""Values of contents as JSON has them: to be read by other programs, not to be stored again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from pydantic_core import PydanticSerializationError, to_json

_MOST_BITS: Final = 14_000  # of whole numbers that Python writes with at most 4,300 digits


def json_line(value: object) -> str:
    """A value as JSON: times as ISO 8601, bytes as URL-safe base64, arrays and sets as lists.

    What is not a finite number is a string, as JSON has no other way; keys are strings too, and of
    two that become the same the last one stays.

    Examples:
        >>> json_line({"at": (1, 2), "left": float("inf")})
        '{"at":[1,2],"left":"Infinity"}'
    """
    try:
        return _written(value)
    except PydanticSerializationError:  # half a surrogate pair, an odd key, nested too deep
        return json.dumps(_plain(value), separators=(",", ":"))


def json_values(value: object) -> Any:
    """The same as values that ``json.dumps`` takes.

    A whole number of more digits than Python writes is hexadecimal text.

    Examples:
        >>> json_values({"at": (1, 2)})
        {'at': [1, 2]}
    """
    try:
        return json.loads(_written(value))
    except (PydanticSerializationError, ValueError):
        return _plain(value)


def _written(value: object) -> str:
    return to_json(value, bytes_mode="base64", inf_nan_mode="strings", fallback=_plainer).decode()


def _plain(value: Any) -> Any:
    """Values that ``json.dumps`` takes, one by one; no comprehension, which is a frame a level."""
    if isinstance(value, Mapping):
        fields = {}
        for key, inner in value.items():
            fields[_key(key)] = _plain(inner)
        return fields
    if isinstance(value, (list, tuple, set, frozenset)):
        elements = []
        for inner in value:
            elements.append(_plain(inner))  # noqa: PERF401
        return elements
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(_plainer(value))
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return hex(value)
    return json.loads(_written(value))


def _key(key: object) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, (tuple, frozenset)):
        return ",".join(map(_key, key))
    if isinstance(key, int) and key.bit_length() > _MOST_BITS:
        return hex(key)
    (written,) = json.loads(_written({key: None}))
    return str(written)


def _plainer(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.kind == "M":  # as Python's own, those of nanoseconds would be numbers
            texts = np.asarray(value).astype(str).astype(object)
            texts[np.isnat(value)] = None
            return texts.tolist()
        return value.tolist()
    return str(value)
