"""How vectors are brought to what is compared."""

from __future__ import annotations

import numpy as np

from agent_memory.embeddings.ranking import as_units, with_bias


def test_a_number_before_vectors_makes_long_ones_compare_by_direction_and_length() -> None:
    vectors = np.array([[1.0, 0.0], [9.0, 0.0], [0.9, 0.4]], np.float32)
    assert with_bias(vectors, 4.0).tolist() == [[4.0, *row] for row in vectors.tolist()]
    assert with_bias(vectors, 0.0) is vectors
    alike = as_units(vectors)
    assert alike[0] @ alike[1] > alike[0] @ alike[2]
    near = as_units(with_bias(vectors, 4.0))
    assert near[0] @ near[2] > near[0] @ near[1]
