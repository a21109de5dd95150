"""An entry comes back from repository and model as what was stored, whatever it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_memory.compression.levels import ContentsCodec
from agent_memory.models.redis_om.entry import entry_model
from agent_memory.repositories.redis.model_backend import ModelBackend
from agent_memory.repositories.redis.repository import StmRepository
from agent_memory.repositories.redis.tier_search import TierSearch
from agent_memory.testing import HOSTILE_CONTENTS, HOSTILE_NAMES
from agent_memory.values.checks import MAX_STEP
from agent_memory.values.entry import MemoryEntry, MemoryType
from tests.fuzzing import examples

_names = st.one_of(
    st.sampled_from([name for name in HOSTILE_NAMES if len(name) < 300]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
)
_finite = st.floats(allow_nan=False, allow_infinity=False)
_counts = st.integers(0, 2**40)
_contents = st.one_of(
    st.sampled_from(HOSTILE_CONTENTS),
    st.dictionaries(
        st.text(max_size=5), st.one_of(st.none(), st.integers(), st.floats(), st.text())
    ),
)
_vectors = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=12).map(
    lambda numbers: np.array(numbers, np.float32)
)
_entries = st.builds(
    MemoryEntry,
    memory_id=st.uuids().map(lambda uuid: uuid.hex),
    run_id=_names,
    agent_id=_names,
    step_number=st.integers(0, MAX_STEP),
    timestamp=_finite,
    memory_type=st.sampled_from(MemoryType),
    contents=_contents,
    importance_score=st.floats(0, 1),
    compression_level=st.integers(0, 2),
    retrieval_count=_counts,
    creation_time=_finite,
    last_access_time=_finite,
    embedding=st.none() | _vectors,
    encoder_version=st.none() | _counts,
    revision=_counts,
    error_bounds=st.none() | st.dictionaries(st.text(max_size=5), st.floats(0, 1e9)),
)

_settings = settings(
    max_examples=examples(150),
    deadline=None,
    # The server is shared by the examples; each has entries of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(_entries, st.booleans())
@_settings
def test_entry_to_repository_to_model_to_entry(
    stm: StmRepository, search: TierSearch, entry: MemoryEntry, by_model: bool
) -> None:
    model: Any = entry_model("StmEntry", ModelBackend(stm, search, ContentsCodec()))
    if by_model:
        model.from_entry(entry).save()
    else:
        stm.add(entry)
    asked = model.find(
        model.run_id == entry.run_id,
        model.agent_id == entry.agent_id,
        model.step_number == entry.step_number,
        model.timestamp == entry.timestamp,
        model.memory_type == entry.memory_type,
    )
    (found,) = [one for one in asked.all() if one.memory_id == entry.memory_id]
    assert found.to_entry() == entry
    assert model.from_entry(entry).to_entry() == entry
    assert stm.get(entry.key) == model.get(found.pk).to_entry() == entry
    assert (found.run_id, found.agent_id, found.pk) == (
        entry.run_id,
        entry.agent_id,
        model.from_entry(entry).pk,
    )
    assert found.delete() == 1
    assert stm.get_many([entry.key]) == []
