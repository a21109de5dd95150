"""States that are encoded together get the vectors that each gets by itself, bit by bit."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agent_memory import InvalidEntry
from agent_memory.embeddings import layouts
from agent_memory.embeddings.version_zero import VersionZero
from agent_memory.embeddings.widths import Widths

NUMBERS = [1.5, math.nan, math.inf, -math.inf, -0.0, 0.0, 1e300, 5e-324]


def odd_state(drawn: random.Random) -> dict[Any, Any]:
    """A state of one of a few layouts, or of none."""
    state: dict[Any, Any] = {
        "": drawn.choice(NUMBERS),
        "a.b[0]": np.float64(drawn.choice(NUMBERS)),
        "n": drawn.choice([0, -5, 2**80]),
        "i": np.int64(drawn.randrange(9)),
        "on": drawn.random() < 0.5,
        "word": drawn.choice(["", "rock", "a\0b.[", "x" * 300]),
        "at": tuple(drawn.choice(NUMBERS) for _ in range(drawn.choice([0, 3, 3, 3]))),
        "path": [1, 2, drawn.randrange(3)],
        "nothing": None,
    }
    odd = drawn.randrange(12)
    if odd == 0:
        state["path"] = ["a word", 2, 3]
    elif odd == 1:
        state["n"] = 10**400
    elif odd == 2:
        state[True] = 1.0
    elif odd == 3:
        state["deep"] = {"inner": [1, 2]}
    elif odd == 4:
        state["path"] = list(range(100))
    elif odd == 5:
        del state["i"]
    return state


def many(make: Callable[[random.Random], Any], count: int = 300) -> list[Any]:
    drawn = random.Random(7)
    return [make(drawn) for _ in range(count)]


@pytest.mark.parametrize(
    "states",
    [
        many(odd_state),
        many(lambda drawn: {"x": drawn.choice(NUMBERS)}),
        many(lambda _: {}, 20),
        many(lambda _: {"at": [], "none": None}, 20),
        many(lambda drawn: {f"k{drawn.randrange(200)}": 1.0}),
        many(lambda _: {f"k{place}": float(place) for place in range(300)}, 9),
        many(lambda _: {f"k{place}": float(place) for place in range(200)}, 9),
    ],
    ids=["odd", "one number", "empty", "no feature", "many layouts", "too wide", "wide"],
)
@pytest.mark.parametrize("width", [384, 12])
def test_vectors_are_those_of_each_state_by_itself(states: list[Any], width: int) -> None:
    encoder = VersionZero(Widths(width, 8, 4))
    for _ in range(2):  # what was kept gives the same again
        together = encoder.encode(states)
        alone = np.stack([encoder.encode_one(state) for state in states])
        assert together.tobytes() == alone.tobytes()


def test_states_of_one_layout_are_encoded_together() -> None:
    encoder = VersionZero()
    states = many(lambda drawn: {"x": drawn.random(), "at": (1, 2), "kind": "a", "on": True})
    encoded, left = encoder._layouts.encode(states)
    assert [len(some.places) for some in encoded] == [300]
    assert not left


def test_a_list_that_grows_meanwhile_changes_no_other_vector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states: list[Any] = [{"at": [float(place), 2.0]} for place in range(20)]
    alone = [VersionZero().encode_one(state) for state in states]
    by_lengths = layouts._by_lengths

    def grown(*given: Any) -> Any:
        found = by_lengths(*given)
        states[3]["at"].append(7.0)
        return found

    monkeypatch.setattr(layouts, "_by_lengths", grown)
    together = VersionZero().encode(states)
    assert all(
        np.array_equal(vector, alone[place]) for place, vector in enumerate(together) if place != 3
    )


def test_what_is_kept_of_layouts_and_categories_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layouts, "_MOST_PLANS", 3)
    monkeypatch.setattr(layouts, "_MOST_CATEGORIES", 5)
    monkeypatch.setattr(layouts, "_MOST_KEYS", 4)
    encoder = VersionZero()
    for key in range(10):
        states = [{f"n{key}": 1.0, f"c{key}": f"{number}"} for number in range(20)]
        together = encoder.encode(states)
        assert together.tobytes() == b"".join(encoder.encode_one(one).tobytes() for one in states)
    kept = encoder._layouts
    assert len(kept._scatters) <= 3
    tables = kept._shares._tables
    assert len(tables) <= 4
    assert max(map(len, tables.values())) <= 5


def test_no_state_among_many_is_told() -> None:
    endless: dict[str, Any] = {"x": 1.0}
    endless["self"] = endless
    for bad in (endless, 7):
        with pytest.raises(InvalidEntry):
            VersionZero().encode([{"x": 1.0}] * 20 + [bad])
