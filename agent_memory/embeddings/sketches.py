"""Sketches of long texts, which tell how many of their pieces two texts have in common.

A text's pieces are its runs of four characters. Of their hashes, cut into ``BINS`` equal ranges,
each bin keeps a byte of the least: the share of bins in which two sketches agree estimates the
Jaccard similarity of the two sets of pieces (one-permutation hashing: Li, Owen and Zhang, *One
Permutation Hashing*, NeurIPS 2012).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SHORT = 40
"""Texts up to so many characters are equal or not; longer ones have a sketch."""

BINS = 64
"""How many bytes a sketch has."""

_PIECE = 4
_MOST = 2**16  # characters at each end that are looked at
_FACTORS = np.array([0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F], np.uint32)
_MIX = np.uint32(0x7FEB352D)
_EDGES = np.arange(BINS, dtype=np.uint64) << np.uint64(26)
_MARK = "~"


def sketch(text: str) -> str:
    """Sketch a text of at least ``SHORT`` characters; what is appended to its token."""
    if len(text) > 2 * _MOST:
        text = text[:_MOST] + text[-_MOST:]
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    count = len(codes) - _PIECE + 1
    hashes = np.zeros(count, np.uint32)
    for place in range(_PIECE):
        hashes += codes[place : place + count] * _FACTORS[place]
        hashes ^= hashes >> np.uint32(15)
        hashes *= _MIX
    hashes ^= hashes >> np.uint32(13)
    hashes.sort()
    first = np.searchsorted(hashes, _EDGES.astype(np.uint32))
    least = hashes[np.minimum(first, count - 1)]
    there = (first < count) & (least >> np.uint32(26) == np.arange(BINS, dtype=np.uint32))
    # Another byte than the one that the least of many is small in.
    kept = np.where(there, (least * _MIX >> np.uint32(24)) % np.uint32(255) + np.uint32(1), 0)
    return _MARK + kept.astype(np.uint8).tobytes().hex()


@lru_cache(maxsize=65_536)
def sketch_in(token: str) -> bytes | None:
    """The sketch that a token carries; None where it has none."""
    if not token.startswith("#"):
        return None
    _, mark, coded = token.partition(_MARK)
    return bytes.fromhex(coded) if mark else None


def share_apart(sketch: bytes, other: bytes) -> float:
    """The share of pieces that two texts do not have in common.

    From 1 / ``BINS``, since texts with different digests differ, to 1.
    """
    one, two = np.frombuffer(sketch, np.uint8), np.frombuffer(other, np.uint8)
    either = (one > 0) | (two > 0)
    same = (one == two) & either
    return max(1.0 - int(same.sum()) / max(int(either.sum()), 1), 1.0 / BINS)
