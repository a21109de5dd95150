"""Whether a stored entry has the contents of one that was given, as exactly as it is stored."""

from __future__ import annotations

from typing import Any

import numpy as np

from agent_memory.values.contents import pack, unpack
from agent_memory.values.entry import MemoryEntry

_ROUNDING = 1e-9  # relative; what adding up a bound may cost


def has_contents_of(stored: MemoryEntry, given: MemoryEntry) -> bool:
    """Whether two entries have the same contents, numbers within the bounds of the stored one.

    Args:
        stored: An entry as it is stored; its ``error_bounds`` say how exact it is.
        given: An entry.
    """
    if not stored.error_bounds:
        return pack(stored.contents) == pack(given.contents)
    most = max(stored.error_bounds.values())
    # As they come back, so that both are of the same types.
    return _alike(unpack(pack(stored.contents)), unpack(pack(given.contents)), most)


def _alike(one: Any, other: Any, most: float) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(
            _alike(value, other[key], most) for key, value in one.items()
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(
            _alike(value, its, most) for value, its in zip(one, other, strict=True)
        )
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and _close(one, other, most)
    if isinstance(one, (float, np.floating)):
        return _close(one, other, most)
    return bool(pack({"": one}) == pack({"": other}))


def _close(one: Any, other: Any, most: float) -> bool:
    if np.asarray(one).dtype.kind not in "fc":
        return pack({"": one}) == pack({"": other})
    return bool(np.allclose(one, other, rtol=_ROUNDING, atol=most, equal_nan=True))
