from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from agent_memory.embeddings.int8_grid import on_int8_grid
from agent_memory.errors import EncodingError
from agent_memory.models.ltm_vectors import (
    BIASED_INT8,
    FLOAT16,
    FLOAT32,
    INT8,
    code_vector,
    decode_vector,
    decode_vectors,
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


@given(VECTORS)
def test_a_vector_on_the_led_grid_keeps_its_first_number_and_stays_where_it_is(
    vector: NDArray[np.float32],
) -> None:
    near = on_int8_grid(vector, biased=True)
    largest = np.abs(vector[1:]).max(initial=0.0).astype(np.float64)
    assert near[0] == vector[0]
    assert np.abs(near.astype(np.float64) - vector).max() <= largest / 253
    assert np.array_equal(on_int8_grid(near, biased=True), near)


@given(arrays(np.float32, 32, elements=st.floats(-8, 8, width=32)), st.floats(9, 99, width=32))
def test_a_vector_on_the_led_grid_rests_in_a_byte_a_number(
    vector: NDArray[np.float32], constant: float
) -> None:
    vector[0] = constant
    near = on_int8_grid(vector, biased=True)
    coding, stored = code_vector(near)
    if np.abs(vector[1:]).max() > 1e-20:
        assert (coding, len(stored)) in {(BIASED_INT8, 6 + 31), (INT8, 4 + 32)}
    assert decode_vector(coding, stored).tobytes() == near.tobytes()


@given(arrays(np.float16, 32, elements=st.floats(-8, 8, width=16)))
def test_a_vector_of_half_precision_rests_in_two_bytes_a_number(
    vector: NDArray[np.float16],
) -> None:
    wide = vector.astype(np.float32)
    coding, stored = code_vector(wide)
    assert len(stored) <= 64
    assert decode_vector(coding, stored).tobytes() == wide.tobytes()


def test_each_coding_is_met_and_read_in_bulk() -> None:
    random = np.random.default_rng(0)
    drawn = random.normal(size=(50, 32)).astype(np.float32)
    drawn[:, 0] = 9.0
    kinds = {
        INT8: [on_int8_grid(vector) for vector in drawn],
        BIASED_INT8: [on_int8_grid(vector, biased=True) for vector in drawn],
        FLOAT16: [vector.astype(np.float16).astype(np.float32) for vector in drawn],
        FLOAT32: [*drawn],
    }
    for kind, vectors in kinds.items():
        coded = [code_vector(vector) for vector in vectors]
        assert {coding for coding, _ in coded} == {kind}
        read = decode_vectors(kind, [stored for _, stored in coded])
        assert np.array_equal(read, np.stack(vectors))
        read[0, 0] = 1.0


@pytest.mark.parametrize(
    ("coding", "stored"),
    [(INT8, b""), (INT8, b"1234"), (FLOAT32, b"123"), (FLOAT16, b"123"), (BIASED_INT8, b"123456"),
     (7, b"1234")],
)  # fmt: skip
def test_damaged_vectors_are_refused(coding: int, stored: bytes) -> None:
    with pytest.raises(EncodingError, match="embedding"):
        decode_vector(coding, stored)
