"""Contents as a tree that a page can show, of any size and of any type. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from agent_memory.values.quoting import quoted
from agent_memory.values.scalars import plain

Node = dict[str, Any]

LONGEST_TEXT: Final = 2_000
"""Characters of a value that are shown; the rest is counted."""

_MOST_CHILDREN = 200
_DEEPEST = 12


def tree(value: Any, name: str = "", depth: int = 0) -> Node:
    """A value with what it holds.

    Args:
        value: The value.
        name: Its key or place.
        depth: How deep it lies.

    Returns:
        ``name``, ``kind`` and ``text``; ``children`` of what holds others, and in ``more`` how
        many of them, or how many characters, are not shown.
    """
    node: Node = {"name": _short(name), "kind": type(value).__name__}
    if isinstance(value, Mapping):
        pairs = ((str(key), member) for key, member in value.items())
        return node | _holding(pairs, len(value), depth)
    if isinstance(value, (list, tuple, set, frozenset)):
        return node | _holding(((f"[{at}]", it) for at, it in enumerate(value)), len(value), depth)
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        node["kind"] = f"{value.dtype} array {shape}"
        members = ((f"[{at}]", it) for at, it in enumerate(value.ravel().tolist()))
        return node | _holding(members, value.size, depth)
    value = plain(value)
    text = value if isinstance(value, str) else quoted(value, LONGEST_TEXT + 1)
    more = len(text) - LONGEST_TEXT
    return node | {"text": _clean(text[:LONGEST_TEXT])} | ({"more": more} if more > 0 else {})


def _holding(members: Iterable[tuple[str, Any]], count: int, depth: int) -> Node:
    if depth >= _DEEPEST:
        return {"text": f"{count:,} within", "children": []}
    shown = [tree(member, name, depth + 1) for name, member in islice(members, _MOST_CHILDREN)]
    more = count - len(shown)
    return {"text": f"{count:,}", "children": shown} | ({"more": more} if more else {})


def _short(name: str) -> str:
    return _clean(name if len(name) <= 200 else f"{name[:199]}…")


def _clean(text: str) -> str:
    """Text without halves of characters, which UTF-8 cannot say."""
    return text.encode("utf-8", "replace").decode()
