"""Promises of exactness: what is stored comes back bit by bit, and is nobody else's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from agent_memory.repositories.contract import MemoryRepository
from agent_memory.testing.exact import same
from agent_memory.testing.samples import HOSTILE_CONTENTS, a_memory_id, an_entry
from agent_memory.values.checks import MAX_STEP
from agent_memory.values.entry import MemoryType
from agent_memory.values.query import Order, Query

_TIMES = (0.0, 0.1 + 0.2, 1.7e9 + 0.123456, -1.5, 1e300, -1e300, 5e-324, 1.7976931348623157e308)
_VECTORS = {
    "none": None,
    "one": [1.5],
    "zeros": np.zeros(32, np.float32),
    "signed zeros": [-0.0, 0.0, -0.0],
    "smallest and greatest": np.array([1e-45, -1e-45, 3.4028235e38, 1.17549435e-38], np.float32),
    "thirds": np.arange(32, dtype=np.float32) / 3,
    "intermediate": np.random.default_rng(1).standard_normal(128).astype(np.float32),
    "short-term": np.random.default_rng(2).standard_normal(384).astype(np.float32),
    "strided": np.arange(64, dtype=np.float32)[::2],
}


class KeepingContract:
    """Round trips, and snapshots in both directions."""

    @pytest.mark.parametrize(
        "fields",
        [
            *({"timestamp": time} for time in _TIMES),
            *({"creation_time": time, "last_access_time": -time} for time in _TIMES),
            *({"step_number": step} for step in (0, 1, 2**31, 2**32, MAX_STEP - 1, MAX_STEP)),
            *({"importance_score": score} for score in (0.0, 5e-324, 0.1 + 0.2, 1 / 3, 1.0)),
            *({"memory_type": kind} for kind in MemoryType),
            *({"compression_level": level} for level in (0, 1, 2)),
            *({"retrieval_count": count} for count in (0, 1, 2**31, 2**40)),
            *({"revision": revision} for revision in (0, 1, 2**31, 2**40)),
            *({"encoder_version": version} for version in (None, 0, 1, 2**31)),
            *({"memory_id": a_memory_id(number)} for number in (0, 1, 2**127, 2**128 - 1)),
            {"error_bounds": None},
            {"error_bounds": {}},
            {"error_bounds": {"a.b[3]": 0.1 + 0.2, "*": 5e-324, "\ud800 \0": 1e300}},
        ],
        ids=lambda fields: f"{fields}"[:60],
    )
    def test_every_field_comes_back_exactly(
        self, repository: MemoryRepository, fields: dict[str, Any]
    ) -> None:
        entry = an_entry(**fields)
        repository.add(entry)
        found = repository.get(entry.key)
        for name in fields:
            assert getattr(found, name) == getattr(entry, name)
            assert type(getattr(found, name)) is type(getattr(entry, name))
        assert found == entry
        assert repository.find(Query(run_id="run", agent_id="ant", limit=10)) == [entry]

    @pytest.mark.parametrize(
        "contents", HOSTILE_CONTENTS, ids=lambda contents: ",".join(map(str, contents))[:30]
    )
    def test_contents_come_back_exactly_types_included(
        self, repository: MemoryRepository, contents: dict[str, Any]
    ) -> None:
        entry = an_entry(contents=contents)
        repository.add(entry)
        found = repository.get(entry.key)
        assert type(found.contents) is dict
        assert same(found.contents, contents)
        assert repository.find(
            Query(run_id="run", agent_id="ant", order=Order.NEWEST, limit=10)
        ) == [entry]

    @pytest.mark.parametrize("vector", _VECTORS.values(), ids=_VECTORS)
    def test_embeddings_come_back_bit_by_bit(
        self, repository: MemoryRepository, vector: Any
    ) -> None:
        entry = an_entry(embedding=vector)
        repository.add(entry)
        for found in (
            repository.get(entry.key),
            *repository.find(Query(run_id="run", agent_id="ant", limit=10)),
        ):
            if vector is None:
                assert found.embedding is None
                continue
            assert found.embedding is not None
            assert found.embedding.dtype == np.float32
            assert found.embedding.tobytes() == np.asarray(vector, np.float32).tobytes()

    def test_changing_what_was_given_does_not_change_what_is_stored(
        self, repository: MemoryRepository
    ) -> None:
        contents, vector, bounds = {"seen": [1, [2]]}, np.ones(3, np.float32), {"seen": 0.5}
        entry = an_entry(contents=contents, embedding=vector, error_bounds=bounds)
        as_given = an_entry(memory_id=entry.memory_id, contents={"seen": [1, [2]]},
                            embedding=[1.0, 1.0, 1.0], error_bounds={"seen": 0.5})  # fmt: skip
        repository.add(entry)
        contents["seen"].append(3)
        vector[:] = 7.0
        bounds["seen"] = 9.0
        assert repository.get(entry.key) == as_given

    def test_changing_what_was_returned_does_not_change_what_is_stored(
        self, repository: MemoryRepository
    ) -> None:
        entry = an_entry(contents={"seen": [1]}, embedding=[1.0, 2.0], error_bounds={"seen": 0.5})
        repository.add(entry)
        for found in (
            repository.get(entry.key),
            repository.find(Query(run_id="run", agent_id="ant", limit=10))[0],
            repository.get_many([entry.key, entry.key])[1],
        ):
            assert isinstance(found.contents, dict)
            found.contents["seen"].append(2)
            found.contents["more"] = True
            assert found.embedding is not None
            found.embedding[:] = 0.0
            assert isinstance(found.error_bounds, dict)
            found.error_bounds.clear()
            assert repository.get(entry.key) == entry

    def test_changing_what_replace_took_or_gave_does_not_change_what_is_stored(
        self, repository: MemoryRepository
    ) -> None:
        contents = {"seen": [1]}
        entry = an_entry(contents=contents)
        repository.add(entry)
        given = repository.replace(entry)
        contents["seen"].append(2)
        assert repository.get(entry.key).contents == {"seen": [1]}
        assert isinstance(given.contents, dict)
        given.contents["seen"] = None
        assert repository.get(entry.key).contents == {"seen": [1]}

    def test_reading_leaves_no_trace(self, repository: MemoryRepository) -> None:
        entry = an_entry(last_access_time=0.5)
        repository.add(entry)
        for _ in range(2):
            repository.find(Query(run_id="run", agent_id="ant", limit=10))
            repository.count("run")
            assert repository.get(entry.key) == entry

    def test_nan_in_contents_is_kept_and_equal(self, repository: MemoryRepository) -> None:
        entry = an_entry(contents={"reward": math.nan})
        repository.add(entry)
        assert repository.get(entry.key) == entry
