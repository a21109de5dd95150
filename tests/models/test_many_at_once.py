"""What is read and coded many at once is, entry by entry, what is read and coded alone."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from agent_memory.compression.levels import CompressionEngine, ContentsCodec
from agent_memory.embeddings.int8_grid import (
    grid_scale,
    grid_scales,
    on_int8_grid,
    on_int8_grids,
)
from agent_memory.embeddings.resting import VectorDtype, all_at_rest, at_rest
from agent_memory.errors import EncodingError
from agent_memory.models.ltm_columns import PINNED
from agent_memory.models.ltm_many_rows import columns_to_entries
from agent_memory.models.ltm_rows import RawRow, entry_to_row
from agent_memory.models.ltm_vectors import code_vector, code_vectors
from agent_memory.models.redis import entry_to_values, read_vectors, values_to_entry
from agent_memory.models.redis_many_hashes import values_to_entries
from agent_memory.testing import an_entry
from agent_memory.values.entry import MemoryEntry, MemoryType
from tests.fuzzing import examples
from tests.models.test_ltm_mapper import _ENTRIES as ENTRIES

_MATRICES = arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 9)),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)
_CODEC = ContentsCodec()


@given(_MATRICES, st.booleans(), st.sampled_from(["int8", "float16", "float32"]))
def test_vectors_lie_as_each_by_itself_does(
    matrix: NDArray[np.float32], biased: bool, dtype: VectorDtype
) -> None:
    scales = [grid_scale(vector, biased=biased) for vector in matrix]
    assert grid_scales(matrix, biased=biased).tolist() == scales
    alone = np.stack([on_int8_grid(vector, biased=biased) for vector in matrix])
    assert on_int8_grids(matrix, biased=biased).tobytes() == alone.tobytes()
    rested = np.stack([at_rest(vector, dtype, biased=biased) for vector in matrix])
    assert all_at_rest(matrix, dtype, biased=biased).tobytes() == rested.tobytes()


@given(_MATRICES)
def test_vectors_are_coded_as_each_by_itself_is(matrix: NDArray[np.float32]) -> None:
    half = all_at_rest(matrix, "float16")
    both = on_int8_grids(matrix), on_int8_grids(matrix, biased=True)
    vectors = [None, *matrix, *half, *both[0], *both[1]]
    alone = [(0, None) if vector is None else code_vector(vector) for vector in vectors]
    assert code_vectors(vectors) == alone


def raw_row(entry: MemoryEntry) -> RawRow:
    """A row as the driver gives it, but for the columns that name others."""
    row = entry_to_row(entry, _CODEC.encode(entry))
    coding = row.pop("embedding_coding")
    names: dict[str, Any] = {
        "run_id": entry.run_id,
        "agent_id": entry.agent_id,
        "memory_type": entry.memory_type.value,
        "pinned": coding >= PINNED,
        "embedding_coding": coding % PINNED,
    }
    for name in ("creation_time", "last_access_time"):
        names[name] = row["timestamp"] if row[name] is None else row[name]
    return RawRow(**{name: (row | names)[name] for name in RawRow._fields})


def rows_read(rows: list[RawRow]) -> list[MemoryEntry] | None:
    return columns_to_entries([*zip(*rows, strict=True)], _CODEC.decode_many)


@settings(max_examples=examples(50))
@given(st.lists(ENTRIES, min_size=1, max_size=6))
def test_rows_are_read_as_they_were_stored_or_left_to_be_read_alone(
    entries: list[MemoryEntry],
) -> None:
    found = rows_read([*map(raw_row, entries)])
    if found is None:
        assert any(entry.error_bounds is not None for entry in entries) or not all(
            abs(entry.timestamp) + abs(entry.creation_time) + abs(entry.last_access_time) < 1e300
            for entry in entries
        )
    else:
        assert found == entries


@pytest.mark.parametrize(
    "damage",
    [
        {"memory_id": b"short"},
        {"step_number": -1},
        {"step_number": "1"},
        {"timestamp": float("nan")},
        {"creation_time": float("inf")},
        {"importance_score": 1.5},
        {"compression_level": 3},
        {"retrieval_count": -1},
        {"revision": None},
        {"encoder_version": -1},
        {"memory_type": "other"},
        {"contents": b"\x91\xa6energy\x03:\x7f=\x07"},
        {"contents": "text"},
        {"embedding": b"\x00\x00\xc0\x7f", "embedding_coding": 0},
        {"embedding": b"", "embedding_coding": 0},
        {"embedding_coding": 99, "embedding": b"1234"},
        {"error_bounds": b"\x80"},
    ],
    ids=str,
)
def test_a_damaged_row_is_left_to_be_read_alone(damage: dict[str, Any]) -> None:
    rows = [raw_row(an_entry()) for _ in range(3)]
    assert rows_read(rows) is not None
    assert rows_read([*rows, rows[0]._replace(**damage)]) is None


Stored = list[bytes | None]


def hash_of(entry: MemoryEntry) -> Stored:
    """The values of an entry's hash as the server gives them."""
    values = entry_to_values(entry, _CODEC.encode(entry))[:-1]
    words = [one if isinstance(one, bytes) else str(one).encode() for one in values]
    return [word or None for word in words]


@settings(max_examples=examples(50))
@given(st.lists(ENTRIES, min_size=1, max_size=6))
def test_hashes_are_read_together_as_each_by_itself(entries: list[MemoryEntry]) -> None:
    rows = [*map(hash_of, entries)]
    vectors = read_vectors([row[13] for row in rows])
    contents = [dict(entry.contents) for entry in entries]
    assert values_to_entries(rows, contents, vectors) == entries


@pytest.mark.parametrize("place", range(12))
def test_a_damaged_hash_among_others_is_named(place: int) -> None:
    entries = [an_entry() for _ in range(5)]
    rows = [*map(hash_of, entries)]
    rows[3][place] = b"\xff\xff" if place != 2 else None
    with pytest.raises(EncodingError) as by_itself:
        values_to_entry(rows[3], {})
    with pytest.raises(EncodingError) as among_others:
        values_to_entries(rows, [{}] * 5, [None] * 5)
    assert str(among_others.value) == str(by_itself.value)


def test_entries_are_lowered_together_as_each_by_itself() -> None:
    engine = CompressionEngine()
    widths = (384, 128, 32, 7)
    entries = [
        an_entry(
            embedding=np.random.default_rng(width).normal(size=width).astype(np.float32),
            encoder_version=version,
            memory_type=MemoryType.ACTION,
            pinned=width == 7,
        )
        for width in widths
        for version in (0, 5, None)
    ]
    entries.append(an_entry())
    for level in (0, 1, 2):
        alone = [engine.lowered(entry, level) for entry in entries]
        assert engine.lowered_many(entries, level) == alone
    assert engine.lowered_many([], 2) == []
