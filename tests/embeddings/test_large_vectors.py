"""A vector of any finite numbers is carried down to every tier, and stays finite there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from agent_memory import AgentMemorySystem, Tier
from agent_memory.embeddings.encoder import Encoder
from agent_memory.embeddings.resting import at_rest
from agent_memory.embeddings.training import train
from agent_memory.embeddings.version_zero import VersionZero
from agent_memory.testing import an_entry

STATES = [{"food": float(step % 17), "age": step, "mood": f"m{step % 3}"} for step in range(300)]


@pytest.fixture(scope="module", params=["version 0", "fitted"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return VersionZero() if request.param == "version 0" else train(STATES).encoder


@given(
    vector=arrays(
        np.float32, 384, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
    )
)
def test_what_is_finite_is_carried_to_what_is_finite(
    encoder: Encoder, vector: NDArray[np.float32]
) -> None:
    for width in (128, 32):
        carried = encoder.carry(vector, width)
        assert carried.shape == (width,)
        assert np.isfinite(carried).all()
        assert np.isfinite(at_rest(carried, biased=encoder.keeps_bias)).all()


def test_what_is_too_long_to_be_carried_keeps_its_direction(encoder: Encoder) -> None:
    vector = encoder.encode_one(STATES[0])
    longest = vector.astype(np.float64) * (3e38 / float(np.abs(vector).max()))
    large = np.stack([vector, longest.astype(np.float32), vector])
    small, longer, last = encoder.carry(large, 32).astype(np.float64)
    assert np.array_equal(small, encoder.carry(vector, 32))
    assert np.array_equal(small, last)
    cosine = small @ longer / np.linalg.norm(small) / np.linalg.norm(longer)
    assert cosine == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("trained", [False, True])
def test_an_entry_with_a_large_vector_moves_down_like_all_others(
    tmp_path: Path, trained: bool
) -> None:
    limits = {"stm_config": {"memory_limit": 1}, "im_config": {"memory_limit": 1}}
    with AgentMemorySystem({"path": tmp_path, "engine": "fake"} | limits) as memory:
        if trained:
            for step, state in enumerate(STATES):
                memory.store_agent_state("ant", state, step)
            memory.train_encoder()
        before = memory.statistics()[Tier.LTM].entries
        for sign in (1, -1):
            memory.stm.add(
                an_entry(
                    run_id="default",
                    agent_id="ant",
                    timestamp=0.0,
                    embedding=np.full(384, sign * 3e38, np.float32),
                    encoder_version=int(trained),
                )
            )
        for step in range(300, 310):
            memory.store_agent_state("ant", {"food": step}, step)
        memory.maintain()
        # All of the twelve, but for the two that the tiers above hold, be they these or others.
        moved = memory.statistics()[Tier.LTM].entries - before
        assert moved == (12 if trained else 10)
