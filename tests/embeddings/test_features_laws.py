"""States of any shape have features, and features vectors, in any order and company."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from agent_memory.embeddings.features import flatten
from agent_memory.embeddings.paths import unflatten
from agent_memory.embeddings.schema_fitting import fit_schema
from agent_memory.embeddings.training import train
from agent_memory.embeddings.version_zero import VersionZero
from tests.fuzzing import examples

_TEXT = st.text(st.characters(), max_size=5)  # lone surrogates and NUL included
_NUMBERS = st.floats() | st.integers() | st.integers(-(2**2000), 2**2000)
_LEAVES = st.none() | st.booleans() | _NUMBERS | _TEXT | st.binary(max_size=3) | st.dates()
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.dictionaries(_TEXT | st.integers(), inner, max_size=4)
        | st.frozensets(_TEXT | st.integers(), max_size=3)
        | st.builds(lambda value, count: [value] * count, _NUMBERS, st.integers(60, 70))
    ),
    max_leaves=8,
)
_STATES = st.dictionaries(_TEXT, _VALUES, max_size=4)
_PLAIN = st.recursive(
    st.booleans() | st.floats(allow_nan=False) | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(_TEXT | st.integers(), inner, min_size=1, max_size=3)
        | st.sets(st.text(max_size=3), min_size=1, max_size=3)
    ),
    max_leaves=10,
)
_ENCODER = VersionZero()


def _turned(value: Any) -> Any:
    """The same with the keys of all dicts in reverse."""
    if isinstance(value, dict):
        return {key: _turned(inner) for key, inner in reversed(value.items())}
    return [_turned(inner) for inner in value] if type(value) is list else value


@given(_STATES)
def test_any_state_has_features_that_are_no_nan(state: dict[str, Any]) -> None:
    for path, value in flatten(state).items():
        assert isinstance(path, str)
        assert type(value) in (float, bool, str)
        assert value == value  # noqa: PLR0124 - false for NaN


@given(_STATES)
def test_the_order_of_keys_changes_no_bit(state: dict[str, Any]) -> None:
    vector = _ENCODER.encode_one(state)
    assert np.isfinite(vector).all()
    assert np.array_equal(vector, _ENCODER.encode_one(_turned(state)))


@given(_STATES, _STATES)
def test_features_do_not_move_each_other(one: dict[str, Any], other: dict[str, Any]) -> None:
    other = {key: value for key, value in other.items() if key not in one}
    alone, more, both = _ENCODER.encode([one, other, one | other])
    assert np.allclose(both, alone + more, atol=1e-5)


@given(st.dictionaries(_TEXT, _PLAIN, max_size=5))
def test_features_tell_the_whole_state(state: dict[str, Any]) -> None:
    assert unflatten(flatten(state)) == state


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(_STATES, min_size=1, max_size=4), _STATES)
def test_a_schema_of_any_states_takes_any_state(
    states: list[dict[str, Any]], other: dict[str, Any]
) -> None:
    schema = fit_schema(states)
    rows = schema.rows([*states, other])
    assert rows.shape == (len(states) + 1, schema.width)
    assert np.isfinite(rows).all()
    for decoded in schema.states(rows):
        assert all(math.isfinite(v) for v in flatten(decoded).values() if type(v) is float)


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(_STATES, min_size=1, max_size=4))
def test_what_is_fitted_to_any_states_is_saved_and_loaded(states: list[dict[str, Any]]) -> None:
    encoder = train(states).encoder
    again = type(encoder).from_bytes(encoder.to_bytes())
    vectors = again.encode(states)
    assert np.array_equal(vectors, encoder.encode(states))
    assert np.isfinite(vectors).all()
    assert isinstance(again.reconstruct(vectors[0]).state, dict)
