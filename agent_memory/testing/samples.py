"""Entries to test with, and the ids and contents that break careless stores."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import threading
import uuid
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory.values.entry import MemoryEntry, MemoryType
from agent_memory.values.identity import MemoryIds

_ids = MemoryIds()


def an_entry(**fields: Any) -> MemoryEntry:
    """Make an entry; what is not given is plain, and the memory id is new.

    Args:
        fields: Any fields of ``MemoryEntry``.
    """
    usual: dict[str, Any] = {
        "memory_id": _ids(),
        "run_id": "run",
        "agent_id": "ant",
        "step_number": 1,
        "timestamp": 1.0,
        "memory_type": MemoryType.STATE,
        "contents": {"energy": 3, "position": (1.5, 2.5)},
    }
    return MemoryEntry(**usual | fields)


def a_memory_id(number: int) -> str:
    """The memory id that sorts at this number: 32 hexadecimal digits."""
    return f"{number:032x}"


class Directions:
    """A probe: one direction for each version and width, and none for some versions.

    Args:
        incomparable: Versions whose vectors do not compare; entries without one never do.
        seed: Of the directions.
    """

    def __init__(self, incomparable: Collection[int] = (), seed: int = 0) -> None:
        self._incomparable = incomparable
        self._seed = seed

    def at(self, version: int | None, width: int) -> NDArray[np.float32] | None:
        """The direction of a version and width, float32 of shape (width,)."""
        if version is None or version in self._incomparable or width == 0:
            return None
        random = np.random.default_rng([self._seed, version, width])
        return random.standard_normal(width).astype(np.float32)

    def bias(self, version: int | None, width: int) -> float:  # noqa: ARG002 - a probe's
        """What stands before vectors when they are compared: nothing."""
        return 0.0


_PUNCTUATION = tuple("*?:|/\\'\"`{}[]()<>%_-.,;$@#&+=~^! ")

HOSTILE_NAMES: tuple[str, ...] = (
    *_PUNCTUATION,
    *("a", "A", "a ", " a", "a|b", "a:b", "a/b", "a.b", "a,b", "a_b", "a-b", "b"),
    *("[a]", "[^b]", "{a}", "{}", "a{b}", "{a}b", "}{", "a*", "*a", "?a", "**", "a?"),
    # What others become when they are percent-encoded, underscore-encoded or escaped.
    *("a%2a", "a%2A", "a_2a", "a_5f2a", "_2a", "_5f2a", "__", "a\\*", "a\\", "%2F", "_20", "_00"),
    *("agents", "runs", "agents:a", "steps", "times", "importance", "type:state", "a:steps"),
    *("'; DROP TABLE entry; --", '" OR 1=1 --', "${HOME}", "$1", ":agent_id", "%s", "%(a)s", "{0}"),
    *("0", "00", "7", "-7", "7.0", "1e3", "0x7", "nan", "inf", "None", "null", "true", "../a"),
    *("\0", "a\0", "a\0b", "\0a", "\n", "a\n", "a\r\nb", "\t", "\x1b[31m", "\x7f", "\x80", "\xff"),
    # One and two code points that look the same; letters whose case folds elsewhere.
    *("\u00e9", "e\u0301", "\u00df", "ss", "\u1e9e", "\u0130", "i", "\u0131", "I", "\u212a", "k"),
    *("\u03c3", "\u03c2", "\u03a3", "\ufb01", "fi", "\uff21", "\u200b", "a\u200b", "\ufeffa"),
    *("\u202ea", "\u4ee3\u7406", "\u0627\u0644\u0648\u0643\u064a\u0644", "\U0001f41c"),
    *("\U0001f41c\ufe0f", "\ue000", "\uffff", "\U0010ffff", "\U00010000"),
    *("x" * 200, "x" * 199 + "y", ":" * 200, "x" * 1024, "x" * 1023 + "X", "\U0001f41c" * 1024),
)  # fmt: skip
"""Ids of agents or runs, all different, that must each keep to themselves."""

_SEPARATORS = ("", *_PUNCTUATION, "\0", "\n", "::", "}:{", "_2f", "\x1f")

HOSTILE_PAIRS: tuple[tuple[str, str], ...] = tuple(
    dict.fromkeys(
        pair
        for separator in _SEPARATORS
        for pair in (
            ("a", f"b{separator}c"),
            (f"a{separator}b", "c"),
            (f"a{separator}", "b"),
            ("a", f"{separator}b"),
        )
    )
)
"""Pairs of run and agent, all different, that read the same once they are joined carelessly."""

_MOMENT = dt.datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=dt.UTC)
_EASTERN = dt.timezone(dt.timedelta(hours=5, minutes=45))
_DEEP: dict[str, Any] = {}
for _ in range(100):
    _DEEP = {"in": [_DEEP]}

HOSTILE_CONTENTS: tuple[dict[Any, Any], ...] = (
    {},
    {"": ""},
    {"none": None, "yes": True, "no": False, "one": 1, "one point": 1.0},
    {"floats": [0.1 + 0.2, -0.0, math.inf, -math.inf, math.nan, 5e-324, 1.7976931348623157e308]},
    {"ints": [0, -1, 2**31, 2**53 + 1, -(2**63), 2**63, 2**64, -(2**64), 10**400]},
    {"text": ["", "\0", "a\0b", "\U0001f41c", "\ud800", "'\"\\", "\u2028", "x" * 100_000]},
    {"bytes": [b"", b"\0\xff", bytes(range(256)), b"a" * 70_000]},
    {"list": [], "tuple": (), "nested": ([1, (2, [3])], ((),), [[]])},
    {"set": {1, "a", (2, 3)}, "frozen": frozenset({b"x", None}), "empty": set()},
    {1: "int key", (2, 3): "tuple key", None: "none key", 2.5: "float key", b"k": "bytes key"},
    {"*": 1, "a.b": 2, "a": {"b": 3}, "$ref": 4, "__class__": 5, "memory_id": 6, "a b": 7},
    {"when": [_MOMENT, _MOMENT.replace(tzinfo=None), _MOMENT.astimezone(_EASTERN)]},
    {"day": _MOMENT.date(), "hour": dt.time(1, 2, 3, 4), "span": dt.timedelta(-1, 1, 1)},
    {"complex": -0.0 + 1j, "decimal": decimal.Decimal("1.10"), "uuid": uuid.UUID(int=7)},
    {"scalars": [np.int64(-3), np.uint8(255), np.float32(0.1), np.bool_(True), np.float64("nan")]},
    {"ends in NUL": [np.str_("a\0"), np.str_("\0"), np.bytes_(b"\1\0"), np.bytes_(b"\0\0")]},
    {"sets of those": {np.str_("a\0"), np.str_("a"), "a\0\0"}, "keys": {np.bytes_(b"k\0"): 1}},
    {"odd scalars": [np.str_("a"), np.bytes_(b"a"), np.datetime64("2024-01-01"), np.complex64(1j)]},
    {"arrays": [np.arange(6, dtype=np.int16).reshape(2, 3), np.zeros((0, 4)), np.array(7.5)]},
    {"big": np.arange(3, dtype=">f8"), "text": np.array(["a", "bcd"]), "t": np.array([True])},
    _DEEP,
)
"""Contents that must come back exactly, types included."""

_IN_ITSELF: list[Any] = []
_IN_ITSELF.append(_IN_ITSELF)

UNSTORABLE_CONTENTS: tuple[tuple[Mapping[Any, Any], str], ...] = (
    ({"a": {"b": [0, threading.Lock()]}}, "contents.a.b[1]"),
    ({"a": object()}, "contents.a"),
    ({"a": print}, "contents.a"),
    ({"a": (1, {2, (3, len)})}, "contents.a[1]"),
    ({object(): 1}, "contents key"),
    ({"a": np.array([object()])}, "contents.a"),
    ({"a": np.longdouble(1)}, "contents.a"),
    ({"a": _IN_ITSELF}, "contents.a[0]"),
    ({"a": 1 + 0 * 1j, "b": iter(())}, "contents.b"),
)
"""Contents that cannot be stored, each with the path that the error must name."""
