"""Each condition on contents: what meets it, what does not, and what is no condition."""

from __future__ import annotations

import enum
import math
from typing import Any

import numpy as np
import pytest

from agent_memory import (
    ConfigError,
    InvalidEntry,
    Query,
    between,
    contains,
    exists,
    matches,
    near_point,
    one_of,
)
from agent_memory.values.attributes import meets


class Mood(enum.Enum):
    CALM = "calm"


_CONTENTS: dict[str, Any] = {
    "mood": "calm",
    "food": 3,
    "rate": np.float32(0.5),
    "alive": True,
    "nothing": None,
    "endless": math.inf,
    "huge": 10**400,
    "pos": (8, 12),
    "grid": np.array([[1, 2], [3, 4]]),
    "vector": np.array([8.0, 12.0]),
    "tags": ["red", 3, (1, 2)],
    "set": {"a", "b"},
    "home": {"x": 8, "y": 12, "z": "up"},
    "kind": Mood.CALM,
    "odd": "\ud800",
}


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("mood", "calm"),
        ("kind", Mood.CALM),
        ("food", (1, 3)),
        ("food", [1, 3]),
        ("food", between(np.int64(3), np.float32(3))),  # type: ignore[arg-type]
        ("food", between(None, 3)),
        ("food", between(3, None)),
        ("rate", between(0.5, 0.5)),
        ("pos", (8, 12)),
        ("pos", np.array([8, 12])),
        ("pos", [8.0, 12]),
        ("vector", (8, 12)),
        ("grid", [[1, 2], [3, 4]]),
        ("grid[1][0]", 3),
        ("food", one_of(1, 2, 3)),
        ("food", one_of(np.array([3, 4]))),
        ("food", one_of([3, 4])),
        ("pos", one_of((1, 2), (8, 12))),
        ("nothing", one_of(None)),
        ("nothing", exists()),
        ("never", exists(False)),
        ("pos[2]", exists(False)),
        ("mood", contains("al")),
        ("tags", contains("red")),
        ("tags", contains(3)),
        ("tags", contains((1, 2))),
        ("set", contains("a")),
        ("vector", contains(12)),
        ("pos", near_point((8, 13), 1)),
        ("vector", near_point(np.array([5.0, 8.0]), np.float32(5))),  # type: ignore[arg-type]
        (("home.x", "home.y"), near_point((8, 12), 0)),
    ],
)
def test_what_meets_a_condition(path: Any, wanted: Any) -> None:
    assert meets(_CONTENTS, Query(attributes={path: wanted}).attributes)


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("mood", between(0, 9)),
        ("alive", between(0, 1)),
        ("alive", 1),
        ("endless", between(0, None)),
        ("huge", between(0, 1e308)),
        ("pos", between(8, 12)),
        ("pos", (12, 8)),
        ("pos", (8, 12, 0)),
        ("pos", (8, "12")),
        ("food", ()),
        ("food", one_of()),
        ("food", one_of("3", True)),
        ("alive", one_of(1)),
        ("never", exists()),
        ("never", None),
        ("mood", contains(3)),
        ("food", contains(3)),
        ("home", contains("x")),
        ("tags", contains("re")),
        ("pos", near_point((8, 12, 0), 100)),
        ("mood", near_point((8, 12), 100)),
        (("home.x", "home.z"), near_point((8, 12), 100)),
        (("home.x", "home.never"), near_point((8, 12), 100)),
    ],
)
def test_what_does_not_meet_it(path: Any, wanted: Any) -> None:
    assert not meets(_CONTENTS, Query(attributes={path: wanted}).attributes)


@pytest.mark.parametrize(
    "make",
    [
        lambda: between(3, 1),
        lambda: between("a", "b"),  # type: ignore[arg-type]
        lambda: between(math.nan, 1),
        lambda: between(0, 10**400),
        lambda: between(True, 2),
        lambda: one_of({"a": 1}),
        lambda: one_of(math.nan),
        lambda: contains(object()),
        lambda: exists("no"),  # type: ignore[arg-type]
        lambda: near_point((1,), 1),
        lambda: near_point((1, 2, 3, 4), 1),
        lambda: near_point((1, math.nan), 1),
        lambda: near_point((1, math.inf), 1),
        lambda: near_point((1, 2), -1),
        lambda: near_point("ab", 1),  # type: ignore[arg-type]
        lambda: Query(attributes={"food": {"$gt": 3}}),
        lambda: Query(attributes={"food": (math.nan, 1)}),
        lambda: Query(attributes={("a", "b"): 3}),
        lambda: Query(attributes={("a", "b", "c"): near_point((1, 2), 1)}),
        lambda: matches("x" * 2_000),
        lambda: matches(3),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_condition_is_refused(make: Any) -> None:
    with pytest.raises(InvalidEntry, match="attributes"):
        make()


def test_a_sequence_within_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidEntry, match="attributes"):
        Query(attributes={"a": endless})


class TestMatches:
    """Regular expressions, where google-re2 is installed."""

    @pytest.fixture(autouse=True)
    def _needed(self) -> None:
        pytest.importorskip("re2", reason="the extra 'regex' is not installed")

    def test_it_finds_in_texts_alone(self) -> None:
        for pattern, path, expected in (
            ("^c.lm$", "mood", True),
            ("AL", "mood", False),
            ("(?i)AL", "mood", True),
            ("3", "food", False),
            (".", "odd", False),
            ("a", "never", False),
        ):
            conditions = Query(attributes={path: matches(pattern)}).attributes
            assert meets(_CONTENTS, conditions) is expected, pattern

    def test_one_that_would_not_end_elsewhere_ends(self) -> None:
        conditions = Query(attributes={"text": matches("(a+)+$")}).attributes
        assert not meets({"text": "a" * 50_000 + "b"}, conditions)

    @pytest.mark.parametrize("pattern", ["(", r"(a)\1", "(?=a)", "a{100000}", "\ud800"])
    def test_what_is_no_expression_is_refused(self, pattern: str) -> None:
        with pytest.raises(InvalidEntry, match="matches"):
            matches(pattern)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "re2", None)
    with pytest.raises(ConfigError, match=r"agent-memory\[regex\]"):
        matches("never compiled before")
