"""How vectors rest in long-term memory: by configuration, and of several kinds side by side."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from agent_memory import AgentMemorySystem, ConfigError, MemoryConfig, Query, Vector
from agent_memory.embeddings.resting import at_rest
from agent_memory.models.ltm_vectors import BIASED_INT8, FLOAT16, FLOAT32, INT8
from agent_memory.retrieval.similarity import SimilarityQuery

EVERYTHING = Query(run_id="default", agent_id="ant")
DTYPES = ("int8", "float16", "float32")


def state_of(step: int) -> dict[str, Any]:
    random = np.random.default_rng(step)
    return {"pos": (step % 17, step % 13), "sugar": float(random.normal() * 10), "age": step}


def config_of(folder: Path, dtype: str) -> MemoryConfig:
    return MemoryConfig(
        path=folder,
        engine="embedded",
        stm_config={"memory_limit": 5},
        im_config={"memory_limit": 5},
        autoencoder_config={"vector_dtype": dtype},
    )


def fill(memory: AgentMemorySystem, first: int, last: int) -> None:
    for step in range(first, last):
        memory.store_agent_state("ant", state_of(step), step)
    memory.maintain()


def codings(folder: Path) -> Counter[int]:
    with closing(sqlite3.connect(folder / "agent_memory.db")) as raw:
        rows = raw.execute("SELECT embedding_coding, length(embedding) FROM agent_ltm_entries")
        lengths = {INT8: 36, BIASED_INT8: 37, FLOAT16: 64, FLOAT32: 128}
        found = [(coding, lengths[coding] == length) for coding, length in rows]
    assert all(fits for _, fits in found)
    return Counter(coding for coding, _ in found)


class Near:
    """A probe of one vector."""

    def __init__(self, vector: Any, version: int | None) -> None:
        self._vector, self._version = vector, version

    def at(self, version: int | None, width: int) -> Any:
        return self._vector if (version, width) == (self._version, len(self._vector)) else None

    def bias(self, _version: int | None, _width: int) -> float:
        return 0.0


@pytest.mark.parametrize("trained", [False, True])
def test_rows_of_all_codings_are_ranked_together_and_none_is_left_out(
    tmp_path: Path, trained: bool
) -> None:
    for number, dtype in enumerate(DTYPES):
        with AgentMemorySystem(config_of(tmp_path, dtype)) as memory:
            if trained and number == 0:
                memory.train_encoder([state_of(step) for step in range(200)], contents=False)
            fill(memory, number * 30, number * 30 + 30)
    found = codings(tmp_path)
    assert set(found) == {INT8, FLOAT16, FLOAT32}
    assert min(found.values()) >= 15
    with AgentMemorySystem(config_of(tmp_path, "int8")) as memory:
        (together,) = memory.ltm.encodings.vectors(EVERYTHING)
        assert together.matrix.shape == (found.total(), 32)
        entries = memory.ltm.find(EVERYTHING)
        asked = entries[7]
        near = memory.ltm.nearest(
            Query(run_id="default", agent_id="ant", limit=10),
            Near(asked.embedding, asked.encoder_version),
        )
        assert len(near) == 10
        cosines = [one.cosine or 0.0 for one in near]
        assert cosines == sorted(cosines, reverse=True)
        assert near[0].entry.key == asked.key
        for step in (3, 40, 65):  # one of each coding
            (hit,) = memory.recall(Query(agent_id="ant", limit=1), near=state_of(step))
            assert hit.entry.step_number == step


def test_vectors_of_a_trained_encoder_are_ranked_as_their_states_are(tmp_path: Path) -> None:
    with AgentMemorySystem(config_of(tmp_path, "int8")) as memory:
        memory.train_encoder([state_of(step) for step in range(200)], contents=False)
        fill(memory, 0, 120)
        encoders = memory._resources.encoder.registry
        near = memory.ltm.nearest(EVERYTHING, SimilarityQuery.to_state(encoders, state_of(5)))
        wanted = encoders.current.encoder.similarity(
            state_of(5), [one.entry.contents for one in near]
        )
        assert len(near) >= 100
        assert np.allclose([one.cosine or 0.0 for one in near], wanted, atol=0.01)
        vector = encoders.current.encoder.encode_one(state_of(5))
        for width in (384, 128, 32):
            asked = encoders.current.encoder.carry(vector, width)
            (hit,) = memory.recall(Query(agent_id="ant", limit=1), near=Vector(asked))
            assert hit.entry.step_number == 5
            assert hit.score == pytest.approx(1.0, abs=1e-5)


def test_a_configured_coding_is_that_of_vectors_made_anew_too(tmp_path: Path) -> None:
    with AgentMemorySystem(config_of(tmp_path, "int8")) as memory:
        fill(memory, 0, 40)
    with AgentMemorySystem(config_of(tmp_path, "float16")) as memory:
        memory.train_encoder([state_of(step) for step in range(200)], contents=False)
        assert memory.encoders.reencode().left == 0
    assert set(codings(tmp_path)) == {FLOAT16}


def test_an_unknown_coding_is_refused() -> None:
    with pytest.raises((ConfigError, ValidationError)):
        MemoryConfig(autoencoder_config={"vector_dtype": "int4"})


def test_what_half_precision_cannot_hold_stays_as_it_is() -> None:
    large = np.array([1e6, 1.5], np.float32)
    assert np.array_equal(at_rest(large, "float16"), large)
    assert np.array_equal(at_rest(large, "float32"), large)
    assert np.abs(at_rest(np.array([1 / 3], np.float32), "float16") - 1 / 3).max() < 1e-4


def test_the_constant_of_a_vector_costs_the_others_no_precision() -> None:
    vector = np.array([40.0, *np.linspace(-1, 1, 31)], np.float32)
    biased, plain = at_rest(vector, biased=True), at_rest(vector)
    assert biased[0] == vector[0]
    assert np.abs(biased - vector).max() <= 1 / 253
    assert np.abs(plain - vector).max() > 0.1
