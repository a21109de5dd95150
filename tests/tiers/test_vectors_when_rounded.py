"""What is rounded on its way down gets a vector of the current version; other vectors stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent_memory import AgentMemorySystem, Embedder, MemoryEntry, Query
from agent_memory.values.check_report import Kind

LIMITS: dict[str, Any] = {"stm_config": {"memory_limit": 12}, "im_config": {"memory_limit": 1}}


def state(step: int) -> dict[str, Any]:
    return {"x": float(np.sin(step)), "y": step / 7, "said": f"word {step}"}


def filled(memory: AgentMemorySystem, first: int, last: int) -> None:
    for step in range(first, last):
        assert memory.store_agent_state("ant", state(step), step)
    memory.maintain()


def entries(memory: AgentMemorySystem) -> Mapping[int, MemoryEntry]:
    found = memory.recall(Query(agent_id="ant"), touch=False)
    return {hit.entry.step_number: hit.entry for hit in found}


def test_only_what_is_rounded_gets_another_vector() -> None:
    with AgentMemorySystem({"engine": "fake"} | LIMITS) as memory:
        filled(memory, 0, 16)
        above = [entry for entry in entries(memory).values() if entry.compression_level == 0]
        odd = {
            "none": (None, None),
            "no version": (above[0].embedding, None),
            "a version that is not there": (above[1].embedding, 9),
            "another width": (np.ones(5, np.float32), 0),
        }
        given = {
            step: replace(above[0], memory_id=f"{step:032x}", step_number=step,
                          embedding=vector, encoder_version=version)
            for step, (vector, version) in enumerate(odd.values(), 100)
        }  # fmt: skip
        memory.stm.add_many([*given.values()])
        first = memory.train_encoder(network=False).version
        exact_below = [entry for entry in entries(memory).values() if entry.compression_level == 2]
        assert exact_below
        filled(memory, 200, 216)
        after = entries(memory)
        assert all(after[entry.step_number] == entry for entry in exact_below)
        for entry in above:
            now = after[entry.step_number]
            assert now.error_bounds
            assert now.encoder_version == first
        for step, entry in given.items():
            now = after[step]
            assert now.error_bounds
            assert now.encoder_version == entry.encoder_version
            if entry.encoder_version is not None or entry.embedding is None:
                assert np.array_equal(now.embedding, entry.embedding)  # type: ignore[arg-type]  # None too
        # Only what was odd before is.
        found = memory.check().findings
        assert {finding.kind for finding in found} <= {
            Kind.VECTOR,
            Kind.VERSION,
        }
        # An older version that is active again takes none from those of a newer one.
        second = memory.train_encoder(network=False).version
        filled(memory, 300, 312)
        memory.encoders.activate(first)
        filled(memory, 400, 416)
        assert {entries(memory)[step].encoder_version for step in range(300, 312)} == {second}


def test_vectors_of_a_model_of_the_users_own_stay() -> None:
    def model(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([[1.0, len(text), *text.encode()[-2:]] for text in texts], np.float32)

    own = Embedder(model, text="said")
    with AgentMemorySystem({"engine": "fake", "embedder": own} | LIMITS) as memory:
        filled(memory, 0, 16)
        before = entries(memory)
        memory.train_encoder(network=False)
        filled(memory, 40, 56)
        after = entries(memory)
        assert any(after[step].error_bounds for step in before)
        for step, entry in before.items():
            assert after[step].encoder_version == entry.encoder_version == memory.encoders.own
            at_rest, was = after[step].embedding, entry.embedding
            assert at_rest is not None and was is not None  # noqa: PT018 - for the type checker
            np.testing.assert_allclose(at_rest, was, atol=np.abs(was).max() / 250)
