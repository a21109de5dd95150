"""How well a version of the encoder fits the entries stored now, beside what was expected of it.

A version is fitted once, and simulations drift: numbers leave the range they had, contents get
other shapes, states become unlike those that were learned from. This measures it on memories that
are still exact, and advises; it never trains by itself.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.fitted.code import ContentsCode
from agent_memory.compression.fitted.lanes_decoding import decode_many
from agent_memory.compression.fitted.lanes_encoding import encode_many
from agent_memory.compression.fitted.structure import leaf_paths, take_apart
from agent_memory.embeddings.encoder import FittedEncoder
from agent_memory.embeddings.features import flatten
from agent_memory.errors import EncodingError
from agent_memory.values.entry import MemoryEntry

MOST_UNKNOWN = 0.1
"""The share of contents of unknown shapes from which on training a new version is advised."""
MOST_OUTSIDE = 0.02
"""The same of numbers outside their lattices."""
MOST_WORSE = 2.0
"""How many times the errors of decoded vectors may be what they were when it was trained."""


@dataclass(frozen=True, slots=True)
class PathFidelity:
    """How exact the numbers of a path are kept, expected against measured.

    Attributes:
        bound: How far any may be off at level 2; None: they are exact.
        mean: How far they were off, on average.
        largest: How far one was off at most; at most ``bound``.
        outside: The share that no lattice held, and that was kept exactly, at many bytes.
        vector_expected: The mean error of the number decoded from a vector of long-term memory,
            as measured when the version was trained; None: not recorded.
        vector_measured: The same of these memories.
    """

    bound: float | None = None
    mean: float = 0.0
    largest: float = 0.0
    outside: float = 0.0
    vector_expected: float | None = None
    vector_measured: float | None = None


@dataclass(frozen=True, slots=True)
class Fidelity:
    """What a version makes of memories.

    Attributes:
        version: The version.
        entries: How many memories were measured.
        inside: The share of numbers within their bounds: 1.0, or something is broken.
        known: The share of contents whose shape its code knows; None: it has no code.
        outside: The share of numbers that no lattice held; None: it has no code.
        worse: How many times the errors of decoded vectors are what was expected, in the middle
            of all paths; None: nothing was recorded to expect.
        paths: By path.
        advice: What to do about it; nothing where the version fits.
    """

    version: int
    entries: int
    inside: float
    known: float | None
    outside: float | None
    worse: float | None
    paths: Mapping[str, PathFidelity]
    advice: tuple[str, ...]

    @property
    def drifted(self) -> bool:
        """Whether training a new version is advised."""
        return bool(self.advice)


def measure(
    version: int,
    entries: Sequence[MemoryEntry],
    encoder: FittedEncoder | None,
    vectors: NDArray[np.float32],
    code: ContentsCode | None,
) -> Fidelity:
    """Measure a version on memories that are exact.

    Args:
        version: Its number.
        entries: The memories.
        encoder: The version's encoder; None: it cannot be decoded.
        vectors: What it makes of the memories, as that rests in long-term memory: (n, dim).
        code: Its code of contents; None: it has none.
    """
    kept = {} if code is None else _kept(code, entries)
    decoded = {} if encoder is None else _decoded(encoder, entries, vectors)
    paths = {
        path: _path(kept.get(path, _NOTHING), decoded.get(path, (None, None)))
        for path in sorted({*kept, *decoded})
    }
    numbers = sum(len(one.off) for one in kept.values())
    outside = None if code is None else sum(one.outside for one in kept.values()) / (numbers or 1)
    within = sum(off <= one.bound for one in kept.values() for off in one.off)
    known = None if code is None else _known(code, entries)
    worse = _worse(paths)
    return Fidelity(
        version=version,
        entries=len(entries),
        inside=within / numbers if numbers else 1.0,
        known=known,
        outside=outside,
        worse=worse,
        paths=paths,
        advice=tuple(_advice(known, outside, worse)),
    )


class _Kept:
    """What became of the numbers of a path."""

    def __init__(self, bound: float) -> None:
        self.bound = bound
        self.off: list[float] = []
        self.outside = 0


_NOTHING = _Kept(math.nan)
_Expected = tuple[float | None, float | None]


def _kept(code: ContentsCode, entries: Sequence[MemoryEntry]) -> dict[str, _Kept]:
    contents, steps = [one.contents for one in entries], [one.step_number for one in entries]
    own: list[list[Any]] = [[] for _ in contents]
    coded = encode_many(code, contents, steps, 2, own=own)
    chosen = [place for place, one in enumerate(coded) if one is not None]
    found = decode_many(
        code,
        [coded[place] or b"" for place in chosen],
        [steps[place] for place in chosen],
        own=[own[place] for place in chosen],
    )
    kept: dict[str, _Kept] = {}
    for place, one in zip(chosen, found, strict=True):
        if isinstance(one, EncodingError):
            raise one
        decoded, shape, _ = one
        for path, was, is_now, outside in _numbers(code, shape, contents[place], decoded):
            seen = kept.setdefault(path, _Kept(0.0))
            seen.bound = max(seen.bound, code.bounds(shape, 2)[path])
            seen.off.append(abs(was - is_now))
            seen.outside += outside
    return kept


def _numbers(
    code: ContentsCode, shape: int, contents: Mapping[str, Any], decoded: Mapping[str, Any]
) -> list[tuple[str, float, float, bool]]:
    """The numbers that have a bound: path, before, after, and whether no lattice held it."""
    before, after = take_apart(contents, code.whole), take_apart(decoded, code.whole)
    bounds = code.bounds(shape, 2)
    if before is None or after is None:
        return []
    columns = code.shapes[shape].columns
    return [
        (path, float(was), float(is_now), column.lies_outside(was))
        for path, was, is_now, column in zip(
            leaf_paths(before[0]), before[1], after[1], columns, strict=True
        )
        if path in bounds and isinstance(was, (float, np.floating)) and math.isfinite(was)
    ]


def _decoded(
    encoder: FittedEncoder, entries: Sequence[MemoryEntry], vectors: NDArray[np.float32]
) -> dict[str, _Expected]:
    """The errors of numbers decoded from long-term vectors: expected, and measured, by path."""
    expected = encoder.errors.get(encoder.widths.ltm, {})
    off: defaultdict[str, list[float]] = defaultdict(list)
    for one, vector in zip(entries, vectors, strict=True):
        rebuilt = flatten(encoder.reconstruct(vector).state)
        for path, was in flatten(one.contents).items():
            is_now = rebuilt.get(path)
            if type(was) is float and type(is_now) is float and math.isfinite(was):
                off[path].append(abs(was - is_now))
    return {
        path: (expected[path].typical if path in expected else None, fmean(all_off))
        for path, all_off in off.items()
    }


def _path(kept: _Kept, decoded: _Expected) -> PathFidelity:
    if not kept.off:
        return PathFidelity(vector_expected=decoded[0], vector_measured=decoded[1])
    return PathFidelity(
        kept.bound,
        fmean(kept.off),
        max(kept.off),
        kept.outside / len(kept.off),
        *decoded,
    )


def _known(code: ContentsCode, entries: Sequence[MemoryEntry]) -> float:
    known = [code.take_apart(one.contents) is not None for one in entries]
    return sum(known) / len(known) if known else 1.0


def _worse(paths: Mapping[str, PathFidelity]) -> float | None:
    ratios = [
        one.vector_measured / one.vector_expected
        for one in paths.values()
        if one.vector_expected and one.vector_measured is not None
    ]
    return median(ratios) if ratios else None


def _advice(known: float | None, outside: float | None, worse: float | None) -> list[str]:
    advice = []
    if known is not None and 1.0 - known > MOST_UNKNOWN:
        advice.append(
            f"{1.0 - known:.0%} of these memories have a shape that the code of contents does not "
            "know, and are kept whole: train a new version"
        )
    if outside is not None and outside > MOST_OUTSIDE:
        advice.append(
            f"{outside:.1%} of the numbers lie outside the range that was learned, and are kept "
            "whole: train a new version"
        )
    if worse is not None and worse > MOST_WORSE:
        advice.append(
            f"vectors decode {worse:.1f} times worse than when the version was trained: train a "
            "new version"
        )
    return advice
