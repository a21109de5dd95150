"""Tells callers of conditions and vectors that may not say what they mean.

A misspelled path would be answered with silence, and a pair of numbers is a range of numbers and a
place of two: of both a ``UserWarning`` is given, beside the answer, and of a vector as wide as none
that is stored.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from math import inf, nextafter
from pathlib import Path
from typing import Any, NamedTuple

from agent_memory.retrieval.recall import recall
from agent_memory.tiers.expiry import TierReader
from agent_memory.values.attributes import Condition
from agent_memory.values.conditions import Exists, NearPoint
from agent_memory.values.paths import ABSENT, flattened, value_at
from agent_memory.values.query import Hit, Order, Query
from agent_memory.values.scalars import is_number, is_sequence, plain

LOOKED_AT = 500
"""How many of the newest entries are looked at for a path that nothing was found by."""

_PLACES = re.compile(r"\[\d+\]")
_MOST_PATHS = 10_000
_MOST_ASKED = 1_000  # agents, or groups of them, of which it is known what was looked at
_PACKAGE = str(Path(__file__).parents[1])


class _Looked(NamedTuple):
    """What was looked at of some agents' entries.

    Attributes:
        latest: The time of the newest; None: nothing was.
        paths: The paths that they have.
        number: How many of the newest there were, at most ``LOOKED_AT``.
    """

    latest: float | None
    paths: frozenset[str]
    number: int


_NOTHING = _Looked(None, frozenset(), 0)


class Doubts:
    """Tells of conditions by which nothing is found, or two kinds are. Threads may share it.

    Args:
        tiers: The tiers as questions see them.
    """

    def __init__(self, tiers: Sequence[TierReader]) -> None:
        self._tiers = tiers
        self._had: set[str] = set()  # paths that some entry has had
        self._looked: dict[tuple[object, object], _Looked] = {}  # by whose entries

    def tell(self, query: Query, hits: Sequence[Hit]) -> None:
        """Warn of what is doubtful in a query that was answered."""
        if any(isinstance(wanted, tuple) for wanted in query.attributes.values()):
            _tell_of_pairs(query, hits)
        wanted = {*_paths(query.attributes)}
        if hits and not any(isinstance(it, Exists) for it in query.attributes.values()):
            self._note(wanted)
        elif query.limit != 0 and not wanted <= self._had:
            self._look(query, wanted - self._had)

    def _look(self, query: Query, wanted: set[str]) -> None:
        """Look for paths in the newest entries; of those that were looked at before in none."""
        whose = query.agents, query.runs
        before = self._looked.get(whose, _NOTHING)
        anything: dict[str, Any] = dict.fromkeys(("steps", "memory_type", "importance", "pinned"))
        # Behind the newest time: of those that come at the very same time later nothing is known.
        since = None if before.latest is None else (nextafter(before.latest, inf), None)
        wider = replace(
            query, attributes={}, order=Order.NEWEST, limit=LOOKED_AT, times=since, **anything
        )
        new = [hit.entry for hit in recall(self._tiers, wider)]
        known = before.paths.union(path for it in new for path, _ in flattened(it.contents))
        looked = before
        if new:
            number = min(before.number + len(new), LOOKED_AT)
            looked = _Looked(new[0].timestamp, frozenset(known), number)
            if len(known) < _MOST_PATHS and len(self._looked) < _MOST_ASKED:
                self._looked[whose] = looked
        had = {path for path in wanted if any(_is_at(path, one) for one in known)}
        had |= {
            path for path in wanted if any(value_at(it.contents, path) is not ABSENT for it in new)
        }
        self._note(had)
        if looked.number:
            for path in sorted(wanted - had):
                _tell_of_path(path, known, looked.number)

    def _note(self, paths: set[str]) -> None:
        if len(self._had) < _MOST_PATHS:
            self._had |= paths


def _is_at(path: str, leaf: str) -> bool:
    """Whether a path is that of a value, or of what it lies in."""
    return leaf.startswith(path) and leaf[len(path) : len(path) + 1] in ("", ".", "[")


def _paths(conditions: Mapping[str, Condition]) -> Iterable[str]:
    for path, wanted in conditions.items():
        if isinstance(wanted, NearPoint) and wanted.paths:
            yield from wanted.paths
        else:
            yield path


def tell_of_width(width: int, widths: Iterable[int]) -> None:
    """Warn that a vector is as wide as none that it could be compared with.

    Args:
        width: How many numbers it has.
        widths: How many those have that there are.
    """
    there = ", ".join(map(str, sorted(widths)))
    warnings.warn(
        f"near: a vector of {width} numbers compares with none of what was found, whose scores are "
        f"0; there are vectors of {there} numbers",
        UserWarning,
        stacklevel=caller_level(),
    )


def _tell_of_path(path: str, known: Iterable[str], looked_at: int) -> None:
    # Leaves are whole lists: long places in one would make its own path seem far.
    bare = _PLACES.sub("", path)
    near = get_close_matches(bare, sorted(known), n=3, cutoff=0.3) or sorted(known)[:3]
    warnings.warn(
        f"attributes: no entry has the path {path!r} (the newest {looked_at} were looked at); the "
        f"nearest there are: {', '.join(near) or 'none'}",
        UserWarning,
        stacklevel=caller_level(),
    )


def _tell_of_pairs(query: Query, hits: Sequence[Hit]) -> None:
    for path, wanted in query.attributes.items():
        if isinstance(wanted, tuple):
            values = [plain(value_at(hit.entry.contents, path)) for hit in hits]
            if any(map(is_number, values)) and any(map(is_sequence, values)):
                least, greatest = wanted
                warnings.warn(
                    f"attributes: {path}: ({least}, {greatest}) was met by numbers between the two "
                    f"and by sequences of just these; write between({least}, {greatest}) or "
                    f"one_of(({least}, {greatest}))",
                    UserWarning,
                    stacklevel=caller_level(),
                )


def caller_level() -> int:
    """The ``stacklevel`` of a warning that names the line of whoever has asked the package."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    return level - 1
