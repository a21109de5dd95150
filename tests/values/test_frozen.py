"""Values that several hold cannot be changed under one of them."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from agent_memory import MemoryEntry, Query
from agent_memory.testing.samples import an_entry
from agent_memory.values.coded import CodeBounds, CodedContents
from agent_memory.values.frozen import FrozenDict

CHANGES: list[Callable[[Any], object]] = [
    lambda held: held.clear(),
    lambda held: held.update(more=1.0),
    lambda held: held.pop("charge"),
    lambda held: held.popitem(),
    lambda held: held.setdefault("more", 1.0),
    lambda held: held.__setitem__("charge", 9.0),
    lambda held: held.__delitem__("charge"),
    lambda held: held.__ior__({"more": 1.0}),
]


def copies(it: Any) -> list[Any]:
    pickled = pickle.loads(pickle.dumps(it))  # noqa: S301  # made here
    return [copy.copy(it), copy.deepcopy(it), pickled]


@pytest.mark.parametrize("change", CHANGES)
def test_shared_bounds_and_conditions_refuse_every_change(change: Callable[[Any], object]) -> None:
    for held in (
        CodeBounds({"charge": 0.1}),
        an_entry(error_bounds=CodeBounds({"charge": 0.1})).error_bounds,
        Query(agent_id="ant", attributes={"charge": 0.1}).attributes,
    ):
        with pytest.raises(TypeError, match="cannot be changed"):
            change(held)
        assert held == {"charge": 0.1}


@pytest.mark.parametrize("kind", [FrozenDict, CodeBounds])
def test_a_frozen_dict_can_be_copied_pickled_and_written_as_json(kind: Any) -> None:
    held = kind({"charge": 0.1})
    for back in copies(held):
        assert type(back) is kind
        assert back == held
    assert json.loads(json.dumps(held)) == held
    assert type(dict(held)) is dict
    assert held | {"more": 1.0} == {"charge": 0.1, "more": 1.0}


def coded() -> MemoryEntry:
    """An entry as a fitted code gives it back."""
    bounds = CodeBounds({"charge": 0.1})
    contents = CodedContents({"charge": [1.0]}, 3, 2, bounds, beside_vector=True)
    return an_entry(
        contents=contents, compression_level=2, encoder_version=3, error_bounds=bounds, revision=2
    )


def test_contents_of_a_code_are_copied_and_pickled_with_what_they_know() -> None:
    entry = coded()
    for back in copies(entry):
        assert back == entry
        assert isinstance(back.contents, CodedContents)
        assert (back.contents.version, back.contents.level) == (3, 2)
        assert back.contents.bounds == {"charge": 0.1}
        assert back.contents.beside_vector


def test_a_changed_copy_leaves_the_original_as_it_was() -> None:
    entry = coded()
    twin = copy.deepcopy(entry)
    twin.contents["charge"].append(2.0)
    assert entry.contents == {"charge": [1.0]}
