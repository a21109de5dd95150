"""Fits a code to contents, and measures it on contents that it has not seen."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.compression.codes import Coded, Codes, Uncoded
from agent_memory.compression.fitted.artifact import to_bytes
from agent_memory.compression.fitted.code import ContentsCode
from agent_memory.compression.fitted.structure import leaf_paths, paths_named, take_apart
from agent_memory.compression.fitting.fit import fit_code
from agent_memory.compression.fitting.tolerances import DEFAULT, EXACT, Tolerance
from agent_memory.compression.levels import exact_bytes
from agent_memory.config import PathTolerance
from agent_memory.values.coded import CodedContents
from agent_memory.values.quoting import short_repr

EVERY_PATH = "*"
"""Stands for all paths that are not named."""

_HELD_OUT = 0.2
_MOST_MEASURED = 5_000  # contents


@dataclass(frozen=True, slots=True)
class PathError:
    """How exact the numbers of a path came back.

    Attributes:
        bound: How far any may be off at level 2.
        mean: How far they were, on average.
        largest: How far one was at most.
    """

    bound: float
    mean: float
    largest: float


@dataclass(frozen=True, slots=True)
class ContentsReport:
    """What a code does to contents that it was not fitted on: the latest fifth.

    Attributes:
        entries: How many were measured.
        shapes: How many shapes the code knows.
        known: The share of contents that have one of them.
        exact_bytes: Bytes an entry, coded exactly at level 2.
        level_1_bytes: Bytes an entry at level 1, with the version's mark and a checksum.
        level_2_bytes: The same at level 2.
        inside: The share of numbers within their bounds: 1.0, or something is broken.
        errors: How exact numbers came back from level 2, by path.
    """

    entries: int
    shapes: int
    known: float
    exact_bytes: float
    level_1_bytes: float
    level_2_bytes: float
    inside: float
    errors: Mapping[str, PathError]

    __repr__ = short_repr()

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return asdict(self)


def tolerances_of(
    configured: Sequence[PathTolerance], exact: Sequence[str]
) -> tuple[dict[str, Tolerance], Tolerance]:
    """The tolerances of a configuration by path, and that of all other paths.

    Args:
        configured: The tolerances, as configured.
        exact: Attributes that stay exact, by their paths.
    """
    named = {one.path: Tolerance(one.level_1, one.level_2, one.relative) for one in configured}
    default = named.pop(EVERY_PATH, DEFAULT)
    return named | dict.fromkeys(paths_named(exact), EXACT), default


def fit_contents(
    contents: Sequence[Mapping[str, Any]],
    steps: Sequence[int],
    tolerances: Mapping[str, Tolerance],
    default: Tolerance = DEFAULT,
    vectors: NDArray[np.float32] | None = None,
    parent: ContentsCode | None = None,
) -> tuple[ContentsCode, ContentsReport]:
    """Fit a code, and measure one that was fitted on the first four fifths on the rest.

    Args:
        contents: In the order of time.
        steps: The step of each.
        tolerances: How far numbers may be off, by path.
        default: The same of all other paths.
        vectors: The vector of each as it rests at level 2, of shape (n, dim); None: there are none.
        parent: The code in use so far, whose lattices are kept where they serve.

    Raises:
        InvalidEntry: There are no contents.
    """
    first = max(1, math.ceil(len(contents) * (1 - _HELD_OUT)))
    learned = None if vectors is None else vectors[:first]
    trial = fit_code(
        contents[:first], steps[:first], tolerances, default, vectors=learned, parent=parent
    )
    held_out = slice(first, None) if first < len(contents) else slice(0, None)
    unseen, their_steps = contents[held_out][:_MOST_MEASURED], steps[held_out][:_MOST_MEASURED]
    beside = None if vectors is None else vectors[held_out][:_MOST_MEASURED]
    report = _measured(trial, unseen, their_steps, beside)
    code = fit_code(contents, steps, tolerances, default, vectors=vectors, parent=parent)
    return code, report


class _Only:
    """The one code that is measured."""

    version = 1

    def __init__(self, code: ContentsCode) -> None:
        self._raw = to_bytes(code)

    def code(self, version: int) -> bytes | None:
        return self._raw if version == self.version else None


def _measured(
    code: ContentsCode,
    contents: Sequence[Mapping[str, Any]],
    steps: Sequence[int],
    vectors: NDArray[np.float32] | None,
) -> ContentsReport:
    codes = Codes(_Only(code))
    codes.use(_Only.version)
    beside = [None] * len(contents) if vectors is None else [*vectors]
    # As plain dicts: those that another code gave back would go on with that one.
    contents = [dict(one) for one in contents]
    coded = codes.encode_many(
        [Uncoded(one, step, 2, vector, _Only.version)
         for one, step, vector in zip(contents, steps, beside, strict=True)]
    )  # fmt: skip
    finer = codes.encode_many(
        [Uncoded(one, step, 1) for one, step in zip(contents, steps, strict=True)]
    )
    exact = [exact_bytes(one, 2) for one in contents]
    errors: defaultdict[str, list[float]] = defaultdict(list)
    bounds: dict[str, float] = {}
    for original, one, step, vector in zip(contents, coded, steps, beside, strict=True):
        if one is None:
            continue
        decoded = codes.decode(one.stored, step, vector)
        bounds |= decoded.bounds
        for path, off in _differences(code, original, decoded):
            errors[path].append(off)
    inside = [off <= bounds[path] for path, all_off in errors.items() for off in all_off]
    return ContentsReport(
        entries=len(contents),
        shapes=len(code.shapes),
        known=sum(one is not None for one in coded) / len(contents),
        exact_bytes=sum(exact) / len(exact),
        level_1_bytes=_mean_bytes(finer, [exact_bytes(one, 1) for one in contents]),
        level_2_bytes=_mean_bytes(coded, exact),
        inside=sum(inside) / len(inside) if inside else 1.0,
        errors={
            path: PathError(bounds[path], sum(off) / len(off), max(off))
            for path, off in sorted(errors.items())
        },
    )


def _mean_bytes(coded: Sequence[Coded | None], exact: Sequence[int]) -> float:
    """What is stored on average: of the code's bytes and the exact ones those that are fewer."""
    lengths = [
        size if one is None else min(size, len(one.stored))
        for one, size in zip(coded, exact, strict=True)
    ]
    return sum(lengths) / len(lengths)


def _differences(
    code: ContentsCode, original: Mapping[str, Any], decoded: CodedContents
) -> list[tuple[str, float]]:
    """How far numbers are from the original, by path; those that are none are left out."""
    before, after = take_apart(original, code.whole), take_apart(decoded, code.whole)
    if before is None or after is None:
        return []
    return [
        (path, abs(float(was) - float(is_now)))
        for path, was, is_now in zip(leaf_paths(before[0]), before[1], after[1], strict=True)
        if path in decoded.bounds and isinstance(was, (float, np.floating)) and math.isfinite(was)
    ]
