r"""Paths in contents: keys joined by dots, and places in lists, counted from 0.

    home.food                   contents["home"]["food"]
    pos[0]                      contents["pos"][0], of a list, tuple or array
    info.TimeLimit\.truncated   contents["info"]["TimeLimit.truncated"]
    cells.#3                    contents["cells"][3], a key that is an int

A backslash takes the meaning from the character behind it: ``\.``, ``\[``, ``\#``, ``\\``; ``#``
alone is an empty key. Conditions, declared attributes, tolerances and error bounds name places so.
A key that is written as it stands in contents is found first, whatever characters it has, but dots.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from agent_memory.errors import InvalidEntry
from agent_memory.values.quoting import quoted

ABSENT = object()
"""Stands for the value of a place that contents do not have."""

_PART = re.compile(r"(?:\\.|[^\\.])*", re.DOTALL)
_NAMED = re.compile(r"((?:\\.|[^\\\[])*)((?:\[\d+\])*)", re.DOTALL)
_PLACE = re.compile(r"\[(\d+)\]")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_BRACKET = re.compile(r"(?:\\.|[^\\\[])*\[.*\]", re.DOTALL)
_MEMBER = re.compile(r"(?:\\.|[^\\{])+\{.*\}", re.DOTALL)
_MARKS = str.maketrans({mark: f"\\{mark}" for mark in ".[{#\\"})


class Part(NamedTuple):
    """A part of a path: a key, and places within its value.

    Attributes:
        raw: As it is written.
        key: The key that it names.
        places: Of elements, from the outside to the inside.
    """

    raw: str
    key: str | int
    places: tuple[int, ...]


@lru_cache(maxsize=4096)
def parts_of(path: str) -> tuple[Part, ...]:
    """Read a path."""
    return tuple(_part(raw) for raw in _split(path))


def value_at(contents: Any, path: str) -> Any:
    """The value at a path of contents; ``ABSENT`` where there is none."""
    value = contents
    for raw, key, places in parts_of(path):
        if not isinstance(value, Mapping):
            return ABSENT
        if raw in value:
            value = value[raw]
        elif (raw != key or places) and key in value:
            value = _element(value[key], places)
        else:
            return ABSENT
    return value


def path_of(*keys: str | int) -> str:
    r"""The path of the value under keys, one within the other.

    Examples:
        >>> print(path_of("info", "TimeLimit.truncated", 3))
        info.TimeLimit\.truncated.#3
    """
    return ".".join(
        f"#{key}" if isinstance(key, int) else key.translate(_MARKS) if key else "#" for key in keys
    )


def flattened(contents: Mapping[Any, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """The values of contents by path; only what is a dict is entered, and one that is empty stays.

    Examples:
        >>> dict(flattened({"home": {"food": 3}, "pos": (1, 2)}))
        {'home.food': 3, 'pos': (1, 2)}
    """
    for key, value in contents.items():
        name = path_of(key if isinstance(key, (str, int)) else str(key))
        name = f"{path}.{name}" if path else name
        if isinstance(value, Mapping) and value:
            yield from flattened(value, name)
        else:
            yield name, value


def check_syntax(path: str) -> None:
    """See that a path names something that can be asked for.

    Raises:
        InvalidEntry: It names a member of a set, or a place that is no number.
    """
    for raw in _split(path):
        if _BRACKET.fullmatch(raw) and not _NAMED.fullmatch(raw):
            raise InvalidEntry(
                f"attributes: {quoted(path)}: places in lists are numbers from 0, such as pos[0]; "
                r"of a key that has a bracket write \["
            )
        if _MEMBER.fullmatch(raw):
            raise InvalidEntry(
                f"attributes: {quoted(path)}: members of sets cannot be asked for; store what is "
                r"to be asked under a key of its own; of a key that has a brace write \{"
            )


def _split(path: str) -> list[str]:
    found, start = [], 0
    while True:
        match = _PART.match(path, start)
        end = match.end() if match else start
        if end < len(path) and path[end] == "\\":  # at the very end, with nothing behind it
            end = len(path)
        found.append(path[start:end])
        if end >= len(path):
            return found
        start = end + 1


def _part(raw: str) -> Part:
    named = _NAMED.fullmatch(raw)
    name, places = (named[1], named[2]) if named else (raw, "")
    key: str | int = _ESCAPED.sub(r"\1", name)
    if name == "#":
        key = ""
    elif re.fullmatch(r"#-?\d{1,4000}", name):
        key = int(name[1:])
    return Part(raw, key, tuple(map(int, _PLACE.findall(places))))


def _element(value: Any, places: tuple[int, ...]) -> Any:
    dimensions = getattr(value, "ndim", 0)  # of an array; NumPy is not imported for this
    if dimensions > 1 and len(places) == dimensions:
        within = all(place < size for place, size in zip(places, value.shape, strict=True))
        return value[places] if within else ABSENT
    for place in places:
        # An array of several dimensions is counted through, as error bounds are.
        is_array = getattr(value, "ndim", 0) > 0
        items = value.ravel() if is_array else value
        if not (is_array or isinstance(items, (list, tuple))) or place >= len(items):
            return ABSENT
        value = items[place]
    return value
