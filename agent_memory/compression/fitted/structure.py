"""The shape of contents apart from their values, and contents put together again.

Contents are taken apart into leaves, in order, and a signature that says how they hang together:
which keys in which order, lists and tuples of which length, arrays of which type and shape. What
is no dict with text keys, list, tuple or numeric array is a leaf.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, repeat
from typing import Any, NamedTuple

import numpy as np

from agent_memory.embeddings.features import key_path
from agent_memory.values.paths import parts_of

LEAF = 0
"""The signature of a leaf."""
MAX_LEAVES = 4096
"""Contents with more are not coded by their shape."""

_MAX_DEPTH = 64
_MAX_ARRAY = 1024  # elements; a larger array is a leaf
_KINDS = "fiub"

Signature = Any
"""0 for a leaf; else a tuple: ("d", keys, parts), ("l" | "t", length, parts or None where all are
leaves), ("a", dtype, shape)."""


Whole = Mapping[str, Any]
"""Where lists, arrays and dicts are leaves: by key ``True``, or the same of the dict there."""

_NOWHERE: Whole = {}


def take_apart(
    contents: Mapping[str, Any], whole: Whole = _NOWHERE
) -> tuple[Signature, list[Any]] | None:
    """The signature of contents, and their leaves; None if there are too many, or too deep.

    Args:
        contents: The contents.
        whole: Where lists, arrays and dicts are leaves, whatever is in them.
    """
    leaves: list[Any] = []
    try:
        plain = contents if type(contents) is dict else dict(contents)
        signature = _of_dict(plain, leaves, 0, whole)
    except _TooMuch:
        return None
    return None if signature == LEAF or len(leaves) > MAX_LEAVES else (signature, leaves)


def put_together(signature: Signature, leaves: Iterator[Any]) -> Any:
    """Contents of a signature, from their leaves in order."""
    if signature == LEAF:
        return next(leaves)
    kind, what, parts = signature
    if kind == "d":
        if not any(parts):
            return dict(zip(what, leaves, strict=False))  # which takes no more than there are keys
        return {
            key: next(leaves) if part == LEAF else put_together(part, leaves)
            for key, part in zip(what, parts, strict=True)
        }
    if kind == "a":
        count = int(np.prod(parts, dtype=np.int64))
        return np.array([*islice(leaves, count)], np.dtype(what)).reshape(parts)
    if parts is None:
        items = [*islice(leaves, what)]
    else:
        items = [put_together(part, leaves) for part in parts]
    return tuple(items) if kind == "t" else items


def put_together_many(
    signature: Signature, leaves: Iterator[Iterable[Any]], count: int
) -> Iterable[Any]:
    """Many contents of a signature, from the values of each leaf: level by level, not one by one.

    Args:
        signature: The signature.
        leaves: For each leaf in order its values.
        count: How many contents there are.

    Raises:
        TypeError, ValueError, OverflowError: Some leaves are none that contents can have.
    """
    if signature == LEAF:
        return next(leaves)
    kind, what, parts = signature
    if kind == "a":
        size = int(np.prod(parts, dtype=np.int64))
        rows = zip(*islice(leaves, size), strict=True) if size else repeat((), count)
        return [np.array([*row], np.dtype(what)).reshape(parts) for row in rows]
    if kind != "d" and parts is None:
        columns = [*islice(leaves, what)]
    else:
        columns = [put_together_many(part, leaves, count) for part in parts]
    rows = zip(*columns, strict=True) if columns else repeat((), count)
    if kind == "d":
        return [dict(zip(what, row, strict=True)) for row in rows]
    return rows if kind == "t" else map(list, rows)


class Branch(NamedTuple):
    """A part of contents.

    Attributes:
        signature: Its signature; None: contents have nothing there.
        leaves: The places of its leaves.
    """

    signature: Signature | None
    leaves: range


_NOTHING = Branch(None, range(0))


def branch_at(signature: Signature, path: str) -> Branch | None:
    """What lies at a path of contents of a signature, as ``values.paths`` reads it.

    Returns:
        None where a leaf or an array has to be looked into.
    """
    first, there = 0, signature
    for raw, key, places in parts_of(path):
        if there == LEAF:
            return None
        kind, keys, parts = there
        if kind != "d":
            return _NOTHING
        written = raw in keys
        if not written and not ((raw != key or places) and key in keys):
            return _NOTHING
        place = keys.index(raw if written else key)
        first, there = first + sum(map(_leaves_in, parts[:place])), parts[place]
        for element in () if written else places:
            if there == LEAF or there[0] == "a":
                return None
            kind, length, parts = there
            if kind == "d" or element >= length:
                return _NOTHING
            if parts is None:
                first, there = first + element, LEAF
            else:
                first += sum(map(_leaves_in, parts[:element]))
                there = parts[element]
    return Branch(there, range(first, first + _leaves_in(there)))


def _leaves_in(signature: Signature) -> int:
    if signature == LEAF:
        return 1
    kind, what, parts = signature
    if kind == "a":
        return int(np.prod(parts, dtype=np.int64))
    return int(what) if parts is None else sum(map(_leaves_in, parts))


def leaf_paths(signature: Signature, path: str = "") -> Iterator[str]:
    """The paths of the leaves, in order."""
    if signature == LEAF:
        yield path
        return
    kind, what, parts = signature
    if kind == "d":
        for key, part in zip(what, parts, strict=True):
            yield from leaf_paths(part, key_path(path, key))
    elif kind == "a":
        yield from (f"{path}[{place}]" for place in range(int(np.prod(parts, dtype=np.int64))))
    elif parts is None:
        yield from (f"{path}[{place}]" for place in range(what))
    else:
        for place, part in enumerate(parts):
            yield from leaf_paths(part, f"{path}[{place}]")


def paths_named(attributes: Sequence[str]) -> tuple[str, ...]:
    """The paths of the leaves that attributes name: of keys as they are written, and as read."""
    written = (tuple((raw, ()) for raw, _, _ in parts_of(path)) for path in attributes)
    read = (tuple((key, places) for _, key, places in parts_of(path)) for path in attributes)
    return tuple(dict.fromkeys(_leaf_path(parts) for parts in (*written, *read)))


def _leaf_path(parts: Iterable[tuple[object, tuple[int, ...]]]) -> str:
    path = ""
    for key, places in parts:
        path = key_path(path, key) + "".join(f"[{place}]" for place in places)
    return path


def leaf_types(signature: Signature) -> Iterator[str]:
    """For each leaf the dtype of the array that it is an element of; "" of none."""
    if signature == LEAF:
        yield ""
        return
    kind, what, parts = signature
    if kind == "a":
        yield from (what for _ in range(int(np.prod(parts, dtype=np.int64))))
    elif parts is None:
        yield from ("" for _ in range(what))
    else:
        for part in parts:
            yield from leaf_types(part)


class _TooMuch(Exception):
    """More leaves or levels than are coded by shape."""


def _signature(value: Any, leaves: list[Any], depth: int) -> Signature:
    kind = type(value)
    if kind is dict:
        return _of_dict(value, leaves, depth)
    if kind is list or kind is tuple:
        return _of_list(value, leaves, depth, "t" if kind is tuple else "l")
    if kind is np.ndarray and value.dtype.kind in _KINDS and value.dtype.isnative:
        return _of_array(value, leaves)
    leaves.append(value)
    return LEAF


def _of_dict(
    value: dict[Any, Any], leaves: list[Any], depth: int, whole: Whole = _NOWHERE
) -> Signature:
    if depth > _MAX_DEPTH or len(leaves) + len(value) > MAX_LEAVES:
        raise _TooMuch
    for key in value:
        if type(key) is not str:
            leaves.append(value)
            return LEAF
    if whole:
        parts = [_part(part, leaves, depth + 1, whole.get(key)) for key, part in value.items()]
    else:
        parts = [_signature(part, leaves, depth + 1) for part in value.values()]
    return ("d", tuple(value), tuple(parts))


def _part(value: Any, leaves: list[Any], depth: int, whole: Any) -> Signature:
    """The signature of what lies at a key of which there is something in ``Whole``."""
    kind = type(value)
    if whole is True and kind in (list, tuple, dict, np.ndarray):
        leaves.append(value)
        return LEAF
    if kind is dict and isinstance(whole, Mapping):
        return _of_dict(value, leaves, depth, whole)
    return _signature(value, leaves, depth)


def _of_list(value: Any, leaves: list[Any], depth: int, kind: str) -> Signature:
    if depth > _MAX_DEPTH or len(leaves) + len(value) > MAX_LEAVES:
        raise _TooMuch
    if not {dict, list, tuple, np.ndarray}.isdisjoint(map(type, value)):
        return (kind, len(value), tuple([_signature(part, leaves, depth + 1) for part in value]))
    leaves.extend(value)
    return (kind, len(value), None)


def _of_array(value: np.ndarray[Any, Any], leaves: list[Any]) -> Signature:
    # The elements of a long double are themselves. Half precision would round what lies on a
    # lattice once more, beyond its bound.
    kept_whole = value.dtype.itemsize > 8 or value.dtype == np.float16
    if kept_whole or value.size > _MAX_ARRAY or not value.ndim:
        leaves.append(value)
        return LEAF
    if len(leaves) + value.size > MAX_LEAVES:
        raise _TooMuch
    leaves.extend(value.ravel().tolist())
    return ("a", value.dtype.str, value.shape)
