"""Values of contents as JSON has them: to be read by other programs, not to be stored again."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import to_json


def json_line(value: object) -> str:
    """A value as JSON: times as ISO 8601, bytes as base64, arrays, sets and tuples as lists.

    What is not a finite number is a string, as JSON has no other way.

    Examples:
        >>> json_line({"at": (1, 2), "left": float("inf")})
        '{"at":[1,2],"left":"Infinity"}'
    """
    return to_json(value, bytes_mode="base64", inf_nan_mode="strings", fallback=_plainer).decode()


def json_values(value: object) -> Any:
    """The same as values that ``json.dumps`` takes.

    Examples:
        >>> json_values({"at": (1, 2)})
        {'at': [1, 2]}
    """
    return json.loads(json_line(value))


def _plainer(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
