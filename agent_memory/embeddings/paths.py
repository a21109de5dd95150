"""From features by path back to a state."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from agent_memory.embeddings.features import MAX_ELEMENTS, stretch_edges

_MAX_REBUILT = 1_000_000  # elements of one list; a decoded length may be anything
_TOKEN = re.compile(
    r"\[(?P<place>\d*)\]|\{(?P<member>.*)\}\Z|\.?(?P<key>(?:\\.|[^\\.\[{])+)", re.DOTALL
)
_ELEMENT = r"(?<!\\)(?:\\\\)*\[(\d+)\]"  # not of a key with such a bracket, which is escaped
_LENGTH = object()


def element_place(path: str) -> int | None:
    """Which element of a list a path names last; None if it names none."""
    match = re.search(_ELEMENT + r"\Z", path)
    return None if match is None else int(match[1])


def within_list(path: str) -> bool:
    """Whether the length of a list says if there is a value at the path."""
    return re.search(_ELEMENT, path) is not None


def unflatten(flat: Mapping[str, Any]) -> dict[Any, Any]:
    """Build the state that has these values at these paths.

    Lists, tuples and arrays become lists, dataclasses and models dicts. The value at ``[]`` is the
    length of a list. Elements without a value are None, and each stretch of a long list is its
    mean. Dicts and lists without any value are missing.
    """
    root: dict[Any, Any] = {}
    for path, value in flat.items():
        node = root
        *way, last = _tokens(path)
        for token in way:
            node = node.setdefault(token, {})
            if not isinstance(node, dict):  # a path that is a value here and a dict elsewhere
                break
        else:
            if not isinstance(node.get(last), dict):
                node[last] = value
    built = _built(root)
    return built if isinstance(built, dict) else {}


def _tokens(path: str) -> list[Any]:
    return [_token(match) for match in _TOKEN.finditer(path)] or [""]


def _token(match: re.Match[str]) -> Any:
    if match["place"] is not None:
        return ("item", int(match["place"])) if match["place"] else _LENGTH
    if match["member"] is not None:
        return ("member", match["member"])
    key = match["key"]
    if key == "#":
        return ""
    if re.fullmatch(r"#-?\d+", key):
        return int(key[1:])
    return re.sub(r"\\(.)", r"\1", key, flags=re.DOTALL)


def _built(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    items = {key[1]: value for key, value in node.items() if _is(key, "item")}
    if _LENGTH in node or items:
        return _list(items, node.get(_LENGTH, len(items)))
    members = {key[1] for key, value in node.items() if _is(key, "member") and value}
    if any(_is(key, "member") for key in node):
        return members
    return {key: _built(value) for key, value in node.items()}


def _is(key: object, kind: str) -> bool:
    return isinstance(key, tuple) and key[0] == kind


def _list(items: dict[int, Any], given: Any) -> list[Any]:
    length = min(max(round(float(given)), 0), _MAX_REBUILT)
    built = [_built(items.get(place)) for place in range(min(length, MAX_ELEMENTS))]
    if length <= MAX_ELEMENTS:
        return built
    counts = np.diff(stretch_edges(length))
    return [value for value, count in zip(built, counts, strict=True) for _ in range(count)]
