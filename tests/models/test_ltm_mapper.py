from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays

from agent_memory.errors import EncodingError, InvalidEntry
from agent_memory.models.ltm_columns import PINNED
from agent_memory.models.ltm_rows import entry_to_row, row_to_entry
from agent_memory.values.attributes import declared_attributes
from agent_memory.values.checks import MAX_STEP
from agent_memory.values.entry import MemoryEntry, MemoryType

_TIMES = st.floats(allow_nan=False, allow_infinity=False)
_COUNTS = st.integers(0, 2**31)
_CONTENTS = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3)
_VECTORS = arrays.arrays(
    np.float32,
    st.integers(1, 40),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)
_ENTRIES = st.builds(
    MemoryEntry,
    memory_id=st.uuids().map(lambda value: value.hex),
    run_id=st.just("run"),
    agent_id=st.just("ant"),
    step_number=st.integers(0, MAX_STEP),
    timestamp=_TIMES,
    memory_type=st.sampled_from(MemoryType),
    contents=_CONTENTS,
    importance_score=st.floats(0, 1),
    compression_level=st.integers(0, 2),
    retrieval_count=_COUNTS,
    creation_time=_TIMES,
    last_access_time=_TIMES,
    embedding=st.none() | _VECTORS,
    encoder_version=st.none() | _COUNTS,
    revision=_COUNTS,
    error_bounds=st.none() | st.dictionaries(st.text(max_size=5), st.floats(0), max_size=3),
    pinned=st.booleans(),
)


def _read_back(entry: MemoryEntry, row: dict[str, Any]) -> SimpleNamespace:
    """The row as a query gives it: ids as text, names for references, times never missing."""
    return SimpleNamespace(
        **row
        | {
            "memory_id": row["memory_id"].hex(),
            "run_id": entry.run_id,
            "agent_id": entry.agent_id,
            "memory_type": entry.memory_type.value,
            "embedding_coding": row["embedding_coding"] % PINNED,
            "pinned": row["embedding_coding"] >= PINNED,
        }
        | {
            name: row["timestamp"] if row[name] is None else row[name]
            for name in ("creation_time", "last_access_time")
        }
    )


@given(_ENTRIES)
def test_an_entry_becomes_a_row_and_the_row_the_same_entry(entry: MemoryEntry) -> None:
    row = entry_to_row(entry, b"\x80coded")
    assert row["contents"] == b"\x80coded"
    again = row_to_entry(_read_back(entry, row), entry.contents)
    assert again == entry
    if again.embedding is not None:
        again.embedding[:] = 0  # what is given belongs to the caller


@given(_ENTRIES, st.sampled_from(["retrieval_count", "revision", "encoder_version"]))
def test_a_number_beyond_its_column_is_refused_by_name(entry: MemoryEntry, name: str) -> None:
    object.__setattr__(entry, name, 2**63)
    with pytest.raises(InvalidEntry, match=name):
        entry_to_row(entry, b"")


@given(
    _ENTRIES.filter(lambda entry: entry.embedding is not None),
    st.sampled_from(
        [
            {"embedding_coding": 9},
            {"embedding": b"abc"},
            {"memory_type": "dream"},
            {"step_number": -1},
            {"error_bounds": b"\xc1"},
        ]
    ),
)
def test_a_damaged_row_is_named(entry: MemoryEntry, damage: dict[str, Any]) -> None:
    row = _read_back(entry, entry_to_row(entry, b"") | {"timestamp": 0.0})
    row.__dict__.update(damage)
    with pytest.raises(EncodingError, match=entry.memory_id):
        row_to_entry(row, {})


def test_declared_attributes_are_the_scalars_at_their_paths() -> None:
    contents = {
        "role": "trader",
        "deep": {"er": {"wealth": np.int64(7)}, "none": None, "list": [1]},
        "nan": float("nan"),
        "kind": MemoryType.STATE,
        "flag": np.bool_(True),
    }
    paths = ("role", "deep.er.wealth", "deep.none", "deep.list", "deep.er", "nan", "kind", "flag",
             "missing", "role.length", "deep.er.wealth.x")  # fmt: skip
    assert declared_attributes(contents, paths) == {
        "role": "trader",
        "deep.er.wealth": 7,
        "deep.none": None,
        "kind": "state",
        "flag": True,
    }
