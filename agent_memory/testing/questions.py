"""Entries and questions at random, of which everything that can be asked takes part."""

from __future__ import annotations

import datetime as dt
import decimal
import importlib.util
import math
import random
import uuid
from typing import Any

import numpy as np

from agent_memory.testing.samples import a_memory_id, an_entry
from agent_memory.values.conditions import (
    between,
    contains,
    exists,
    matches,
    near_point,
    one_of,
)
from agent_memory.values.entry import MemoryEntry, MemoryType
from agent_memory.values.query import ALL_RUNS, Order, Query

_RUNS = ("run", "run 2", "{run}/3")
_AGENTS = ("ant", "bee", "c:d", "7")
_MOODS = ("calm", "alert", None, "")
_STEPS = 8


def random_entries(rng: random.Random, count: int = 60) -> list[MemoryEntry]:
    """Make entries of several runs and agents, with ties in everything, ids among them.

    Args:
        rng: The source of chance.
        count: How many.
    """
    entries = {
        entry.key: entry
        for entry in (
            an_entry(
                memory_id=a_memory_id(rng.randrange(count)),
                run_id=rng.choice(_RUNS),
                agent_id=rng.choice(_AGENTS),
                step_number=rng.randrange(_STEPS),
                timestamp=float(rng.randrange(_STEPS)),
                importance_score=rng.choice((0.0, 0.25, 0.5, 1.0)),
                memory_type=rng.choice([*MemoryType]),
                pinned=rng.random() < 0.2,
                contents=_contents(rng),
            )
            for _ in range(count)
        )
    }
    return [*entries.values()]


def _contents(rng: random.Random) -> dict[str, Any]:
    contents: dict[str, Any] = {
        "mood": rng.choice(_MOODS),
        "food": rng.choice((0, 1, 2.5, 3, "3", True)),
        "home": {"at": (rng.randrange(3), rng.randrange(3)), "doors": rng.randrange(4)},
        "tags": rng.sample(["red", "green", "blue"], rng.randrange(4)),
        "odd": rng.choice(_ODD),
    }
    for path in ("mood", "food", "tags", "odd"):
        if rng.random() < 0.2:
            del contents[path]
    return contents


def random_query(rng: random.Random) -> Query:
    """Make a question out of all that can be asked, which names its runs."""
    asked: dict[str, Any] = {
        "agent_id": rng.choice((None, "ant", ("ant", "bee", "nobody"), _AGENTS)),
        "run_id": rng.choice(("run", _RUNS[:2], ALL_RUNS, "nowhere")),
        "order": rng.choice([None, *Order]),
        "limit": rng.choice((None, None, 1, 3, 10**6)),
    }
    filters: dict[str, Any] = {
        "steps": _range(rng),
        "times": _range(rng),
        "importance": rng.choice(((0.25, None), (None, 0.5), (np.float32(0.5), 0.5))),
        "memory_type": rng.choice([*MemoryType]),
        "pinned": rng.random() < 0.5,
        "attributes": dict(rng.sample(_CONDITIONS, rng.choice((1, 1, 2)))),
    }
    for name in rng.sample([*filters], rng.randrange(4)):
        asked[name] = filters[name]
    return Query(**asked)


def _range(rng: random.Random) -> tuple[Any, Any]:
    first, last = sorted((rng.randrange(_STEPS), rng.randrange(_STEPS)))
    if rng.random() < 0.2:
        return np.int64(first), np.int8(last)
    return rng.choice(((first, last), (first, first), (first, None), (None, last)))


_ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        math.inf,
        -0.0,
        2**53 + 1,
        2**70,
        -(10**400),
        "",
        "a\0b",
        "\ud800",
        "calm\nalert",
    ),
    *(b"ab", 1j, dt.date(2024, 1, 1), decimal.Decimal(3), uuid.UUID(int=7), np.datetime64("2024")),
    *(np.int64(3), np.float32(2.5), np.bool_(True), np.str_("calm"), np.array(1.5)),
    *((), [], (1, 2), [1, 2.0, 3], [[1, 2], [3, 4]], ["1", None], [10**400, 1], [True, 2]),
    *(np.array([1, 2]), np.array([[1.0, 2.0], [3.0, 4.0]]), np.array(["a", "b"]), np.zeros((0, 2))),
    *({1, 2}, frozenset({"red"}), {}, {"x": 1, 3: "1"}, {"x": None}, [{"a": 1}]),
)
"""Of every type that contents may hold, and of such as are nearly the same."""

_NUMPYS: tuple[Any, Any] = (np.float32(2.5), np.int64(3))

_CONDITIONS: tuple[tuple[Any, Any], ...] = (
    ("mood", "calm"),
    ("mood", None),
    ("food", (1, 3)),
    ("food", 3),
    ("food", "3"),
    ("food", True),
    ("home.doors", 2),
    ("home.at[0]", 1),
    ("nothing", 1),
    ("food", between(1, 3)),
    ("food", between(None, 2.5)),
    ("mood", between(0, 9)),
    ("mood", one_of("calm", None)),
    ("food", one_of(0, "3")),
    ("home.at", (1, 2)),
    ("home.at", one_of((0, 0), (2, 1))),
    ("home.at", [1, 2, 3]),
    ("tags", []),
    ("tags", ["red", "blue"]),
    ("tags", contains("red")),
    ("mood", contains("al")),
    ("mood", exists()),
    ("tags", exists(False)),
    ("home.at[5]", exists(False)),
    ("home.at", near_point((1, 1), 1)),
    (("home.at[0]", "home.doors"), near_point((1, 1), 1.5)),
    ("odd", (1, 2)),
    ("odd", True),
    ("odd", np.str_("calm")),
    ("odd", 2**53),
    ("odd", 2**70),
    ("odd", [[1, 2], [3, 4]]),
    ("odd", ()),
    ("odd", between(None, -1)),
    ("odd", between(2**53 + 1, 2**70)),
    ("odd", between(*_NUMPYS)),
    ("odd", one_of(None, "", (1, 2), 2.5)),
    ("odd", contains(2)),
    ("odd", contains("a")),
    ("odd", contains(None)),
    ("odd", near_point((1, 2, 3), math.inf)),
    ("odd", exists()),
    ("odd.x", exists()),
    ("odd.#3", "1"),
    ("odd[1]", 2),
    ("odd[0][1]", 2),
    ("odd[0]", between(1, 10**300)),
)
if importlib.util.find_spec("re2") is not None:  # of an extra
    _CONDITIONS += (
        ("mood", matches("^(calm|glad)$")),
        ("odd", matches("(?i)A")),
        ("odd", matches("m$")),
        ("food", matches("3")),
    )
