from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from agent_memory.errors import EncodingError
from agent_memory.int8_grid import on_int8_grid
from agent_memory.models.ltm_vectors import (
    FLOAT32,
    INT8,
    code_vector,
    decode_vector,
)

VECTORS = arrays(
    np.float32,
    st.integers(1, 40),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


@given(VECTORS)
def test_a_vector_comes_back_bit_by_bit(vector: NDArray[np.float32]) -> None:
    coding, stored = code_vector(vector)
    found = decode_vector(coding, stored)
    assert found.dtype == np.float32
    assert found.tobytes() == vector.tobytes()
    found[0] = 1.0


@given(VECTORS)
def test_a_vector_on_the_grid_is_near_and_stays_where_it_is(vector: NDArray[np.float32]) -> None:
    near = on_int8_grid(vector)
    largest = np.abs(vector).max().astype(np.float64)
    assert np.abs(near.astype(np.float64) - vector).max() <= largest / 253
    assert np.array_equal(on_int8_grid(near), near)


@given(arrays(np.float32, 32, elements=st.floats(-8, 8, width=32)))
def test_a_vector_on_the_grid_rests_in_a_byte_a_number(vector: NDArray[np.float32]) -> None:
    near = on_int8_grid(vector) + np.float32(0.0)
    coding, stored = code_vector(near)
    if np.abs(vector).max() > 1e-20:
        assert (coding, len(stored)) == (INT8, 4 + 32)
    assert decode_vector(coding, stored).tobytes() == near.tobytes()


@pytest.mark.parametrize(
    ("coding", "stored"), [(INT8, b""), (INT8, b"1234"), (FLOAT32, b"123"), (7, b"1234")]
)
def test_damaged_vectors_are_refused(coding: int, stored: bytes) -> None:
    with pytest.raises(EncodingError, match="embedding"):
        decode_vector(coding, stored)
