"""Any value of contents as JSON text that can be read back to the same value and type."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from agent_memory.values.contents import pack, unpack
from agent_memory.values.plain import type_name
from agent_memory.values.quoting import quoted

MOST_BITS = 14_000
"""The largest int that is written in digits; Python refuses to write more than 4,300."""

_MARK = "$packed"


def to_json(value: object) -> str:
    """A value as JSON: what JSON lacks is its text beside its exact bytes.

    A tuple in it is ``{"$tuple": [...]}``, another value that JSON lacks, such as bytes,
    ``{"$bytes": "b'a'", "$packed": "..."}``.
    """
    return json.dumps(_plain(value), allow_nan=False)


def from_json(text: str) -> Any:
    """The value that ``to_json`` gave as text."""
    return _restored(json.loads(text))


def _plain(value: Any) -> Any:
    type_ = type(value)
    if value is None or type_ in (bool, str) or (type_ is float and math.isfinite(value)):
        return value
    if type_ is int and value.bit_length() <= MOST_BITS:
        return value
    if type_ is list:
        return [_plain(item) for item in value]
    if type_ is tuple:
        return {"$tuple": [_plain(item) for item in value]}
    if isinstance(value, dict) and all(
        type(key) is str and not key.startswith("$") for key in value
    ):
        return {key: _plain(item) for key, item in value.items()}
    packed = base64.b64encode(pack({"": value})).decode()
    return {f"${type_name(value)}": quoted(value), _MARK: packed}


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return [_restored(item) for item in value]
    if isinstance(value, dict):
        if _MARK in value:
            return unpack(base64.b64decode(value[_MARK]))[""]
        if value.keys() == {"$tuple"}:
            return tuple(_restored(item) for item in value["$tuple"])
        return {key: _restored(item) for key, item in value.items()}
    return value
