"""Finds where lists, arrays and dicts are better kept whole than element by element.

A list of floats shrinks to a fifth and less when each element has a column of its own. A picture, a
mask or a map does not: the general compressor, which sees repetitions, makes it as small in one
piece, and reads it a hundred times as fast. What has another length or other keys each time would
also need a shape each time, of which a code has few.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from agent_memory.compression.fitted.code import MOST_SHAPES
from agent_memory.compression.fitted.column import UNTOLD, own_shares
from agent_memory.compression.fitted.rans import Share
from agent_memory.compression.fitted.structure import (
    Signature,
    Whole,
    leaf_paths,
    leaf_types,
    take_apart,
)
from agent_memory.compression.fitting.columns import fit_column
from agent_memory.compression.fitting.tolerances import Tolerance
from agent_memory.compression.squeezing import WORTH_TRYING, squeeze
from agent_memory.embeddings.features import key_path
from agent_memory.errors import InvalidEntry
from agent_memory.values.contents import packed_apart

_MOST_SAMPLED = 200  # contents
_MOST_LEAVES = 64  # of a list, whose columns are fitted to tell what it takes
_FEW_LEAVES = 8  # of so many reading one by one costs nothing
_WORTH = 1.0  # bytes that a leaf must save: reading it takes as long as 50 bytes in one piece
_MANY_SHAPES = 16
_FRAME_BYTES = 8  # of zstd, which all values of an entry share
_KNOWN = 0.9  # share of contents whose shape a code should know
_DEEPEST = 64

_Path = tuple[str, ...]


def find_whole(
    contents: Sequence[Mapping[str, Any]],
    steps: Sequence[int],
    tolerances: Mapping[str, Tolerance],
    default: Tolerance,
) -> Whole:
    """Where lists, arrays and dicts are leaves.

    Args:
        contents: What is remembered, in the order of time.
        steps: The step of each.
        tolerances: How far numbers may be off, by path.
        default: The same for all other paths.
    """
    every = -(-len(contents) // _MOST_SAMPLED)
    sample, at_steps = contents[::every], steps[::every]
    seen: defaultdict[_Path, list[tuple[Any, int]]] = defaultdict(list)
    for one, step in zip(sample, at_steps, strict=True):
        for path, value in _parts(one, (), 0):
            seen[path].append((value, step))
    chosen = {
        path for path, found in seen.items() if _is_better_whole(path, found, tolerances, default)
    }
    whole = _tree(chosen)
    if _known(sample, whole) < _KNOWN:
        # What varies takes the shapes that all else would need.
        chosen |= {path for path, found in seen.items() if _shapes(found) > 1}
        whole = _tree(chosen)
    return whole


def _parts(value: Any, path: _Path, depth: int) -> Iterator[tuple[_Path, Any]]:
    """The lists, arrays and dicts that lie below text keys, each with its path."""
    if depth > _DEEPEST or not all(type(key) is str for key in value):
        return
    for key, part in value.items():
        kind = type(part)
        if kind in (list, tuple, np.ndarray):
            yield (*path, key), part
        elif kind is dict:
            yield (*path, key), part
            yield from _parts(part, (*path, key), depth + 1)


def _is_better_whole(
    path: _Path,
    found: Sequence[tuple[Any, int]],
    tolerances: Mapping[str, Tolerance],
    default: Tolerance,
) -> bool:
    if any(type(value) is dict for value, _ in found):
        keys = Counter(tuple(value) if type(value) is dict else None for value, _ in found)
        return len(keys) > _MANY_SHAPES and 2 * max(keys.values()) < len(found)
    apart = [take_apart({"": value}) for value, _ in found]
    rows = [(one[0][2][0], one[1], step) for one, (_, step) in zip(apart, found, strict=True)
            if one is not None]  # fmt: skip
    leaves = sum(len(row[1]) for row in rows) / len(found)
    if len(rows) < len(found):
        return True
    if leaves <= _FEW_LEAVES:
        return False
    try:
        in_one_piece = sum(_bytes(value) for value, _ in found) / len(found)
    except InvalidEntry:
        return True
    if in_one_piece <= _WORTH * leaves:
        return True
    name = ""
    for key in path:
        name = key_path(name, key)
    return in_one_piece <= _bytes_by_leaves(name, rows, tolerances, default) + _WORTH * leaves


def _bytes(value: Any) -> float:
    """What a value takes in one piece, beside others."""
    packed = packed_apart({"": value})
    if len(packed) < WORTH_TRYING:
        return len(packed)
    squeezed = squeeze(packed, 2)
    return len(packed) if squeezed is None else min(len(packed), len(squeezed) - _FRAME_BYTES)


def _bytes_by_leaves(
    name: str,
    rows: Sequence[tuple[Signature, list[Any], int]],
    tolerances: Mapping[str, Tolerance],
    default: Tolerance,
) -> float:
    """What the latest values take leaf by leaf, in the columns of the earlier ones, on average."""
    commonest, _ = Counter(signature for signature, _, _ in rows).most_common(1)[0]
    chosen = [(leaves, step) for signature, leaves, step in rows if signature == commonest]
    first = max(1, len(chosen) * 4 // 5)
    learned, unseen = chosen[:first], chosen[first:] or chosen
    paths, types = [*leaf_paths(commonest, name)], [*leaf_types(commonest)]
    if not paths:  # most are empty
        return math.inf
    places = np.linspace(0, len(paths) - 1, min(len(paths), _MOST_LEAVES), dtype=int)
    bits = 0.0
    for place in places.tolist():
        column = fit_column(
            paths[place],
            [leaves[place] for leaves, _ in learned],
            [step for _, step in learned],
            tolerances.get(paths[place], default),
            single=types[place] == "<f4",
        )
        shares: list[Share] = []
        for leaves, step in unseen:
            untold = column.put(leaves[place], step, 2, shares)
            shares += [] if untold is UNTOLD else own_shares(untold)
        bits += sum(power - math.log2(width) for _, width, power in shares)
    return bits / 8 / len(unseen) * len(paths) / len(places)


def _shapes(found: Sequence[tuple[Any, int]]) -> int:
    """How many shapes the values at a path have of themselves: of dicts, which keys."""
    own: set[Signature] = set()
    for value, _ in found:
        if type(value) is dict:
            own.add(tuple(value))
        else:
            apart = take_apart({"": value})
            own.add(None if apart is None else apart[0])
    return len(own)


def _known(contents: Sequence[Mapping[str, Any]], whole: Whole) -> float:
    """The share of contents whose shape is among the commonest."""
    apart = [take_apart(one, whole) for one in contents]
    shapes = Counter(one[0] for one in apart if one is not None)
    return sum(count for _, count in shapes.most_common(MOST_SHAPES)) / len(contents)


def _tree(paths: set[_Path]) -> Whole:
    """The paths by key, level by level; what lies below one is left out."""
    tree: dict[str, Any] = {}
    for path in sorted(paths, key=len):
        branch: Any = tree
        for key in path[:-1]:
            branch = branch if branch is True else branch.setdefault(key, {})
        if branch is not True:
            branch[path[-1]] = True
    return tree
