"""Search by the query engine gives what an exact comparison of all vectors gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.errors import InvalidEntry
from agent_memory.repositories.redis.repository import StmRepository
from agent_memory.repositories.redis.tier_search import TierSearch
from agent_memory.testing import HOSTILE_NAMES, a_memory_id, an_entry
from agent_memory.values.entry import MemoryEntry, MemoryType
from agent_memory.values.query import Query
from tests.fuzzing import examples

WIDTH = 8

_again = settings(
    max_examples=examples(60),
    deadline=None,
    # The server is shared by the examples on purpose; each begins by emptying the namespace.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def _cosines(rows: NDArray[np.float32], vector: NDArray[np.float32]) -> NDArray[np.float64]:
    wide, asked = rows.astype(np.float64), vector.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1) * np.linalg.norm(asked)
    return np.array(
        [
            0.0 if length == 0 else row @ asked / length
            for row, length in zip(wide, lengths, strict=True)
        ]
    )


_vectors = st.one_of(
    st.just([0.0] * WIDTH),
    st.lists(st.integers(-4, 4).map(float), min_size=WIDTH, max_size=WIDTH),
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=WIDTH, max_size=WIDTH).filter(
        lambda vector: max(map(abs, vector)) > 1e-3
    ),
)


@st.composite
def _entries(draw: st.DrawFn) -> MemoryEntry:
    return an_entry(
        run_id=draw(st.sampled_from(["run", "run|", "{run}"])),
        agent_id=draw(st.sampled_from(["a", "A", "a|b", "a b", "*"])),
        step_number=draw(st.integers(0, 5)),
        timestamp=draw(st.sampled_from([0.0, 0.1 + 0.2, 1e-7, 1e300, -1.5])),
        memory_type=draw(st.sampled_from(list(MemoryType))),
        importance_score=draw(st.sampled_from([0.0, 1 / 3, 1.0])),
        embedding=draw(st.none() | _vectors.map(lambda vector: np.array(vector, np.float32))),
        encoder_version=draw(st.sampled_from([None, 0, 1])),
        contents={},
    )


_steps = st.one_of(st.none(), st.tuples(st.integers(-2, 7), st.integers(7, 2**60)))
_times = st.one_of(
    st.none(),
    st.tuples(
        st.sampled_from([-math.inf, -1.5, 0.0, 1e-7]), st.sampled_from([0.1 + 0.2, 1e300, math.inf])
    ),
)
_queries = st.builds(
    Query,
    run_id=st.sampled_from(["run", "run|", "{run}"]),
    agent_id=st.sampled_from(["a", "A", "a|b", "a b", "*", "nobody"]),
    steps=_steps,
    times=_times,
    memory_type=st.sampled_from([None, *MemoryType]),
    importance=st.sampled_from([None, (0.0, 1 / 3), (1 / 3, 1.0)]),
)


@given(
    st.lists(_entries(), max_size=40),
    _queries,
    _vectors,
    st.integers(0, 50),
    st.sampled_from([None, 0, 1]),
)
@_again
def test_search_is_an_exact_comparison_of_what_the_repository_finds(
    stm: StmRepository,
    search: TierSearch,
    entries: list[MemoryEntry],
    query: Query,
    vector: list[float],
    k: int,
    version: int | None,
) -> None:
    for run_id in stm.runs():
        stm.clear_run(run_id)
    stm.add_many(entries)
    asked = np.array(vector, np.float32)

    ids, scores = search.search(query, asked, k, encoder_version=version)

    candidates = [
        entry
        for entry in stm.find(query)
        if entry.embedding is not None and version in (None, entry.encoder_version)
    ]
    rows = np.array([entry.embedding for entry in candidates], np.float32).reshape(-1, WIDTH)
    exact = dict(zip((entry.memory_id for entry in candidates), _cosines(rows, asked), strict=True))
    best = sorted(exact.values(), reverse=True)[:k]
    assert len(set(ids)) == len(ids) == len(best)
    np.testing.assert_allclose(scores, best, atol=2e-6)
    np.testing.assert_allclose(scores, [exact[name] for name in ids], atol=2e-6)


def test_a_thousand_vectors_are_ranked_as_numpy_ranks_them(
    channel: RedisChannel,
) -> None:
    random = np.random.default_rng(7)
    rows = random.standard_normal((1000, 384)).astype(np.float32)
    stm = _filled(channel, rows)
    search = TierSearch(channel, "wide", 384)
    for asked in random.standard_normal((10, 384)).astype(np.float32):
        ids, scores = search.search(Query(run_id="run", agent_id="ant"), asked, 25)
        exact = _cosines(rows, asked)
        best = np.argsort(-exact)[:25]
        assert ids == [a_memory_id(int(place)) for place in best]
        np.testing.assert_allclose(scores, exact[best], atol=1e-6)
    assert stm.count("run") == 1000


def _filled(channel: RedisChannel, rows: NDArray[np.float32]) -> StmRepository:
    stm = StmRepository(channel, ContentsCodec(), namespace="wide")
    stm.add_many([an_entry(memory_id=a_memory_id(n), embedding=row) for n, row in enumerate(rows)])
    return stm


def test_zeros_neither_rank_first_nor_hide_what_is_nearer(
    stm: StmRepository, search: TierSearch
) -> None:
    asked = np.ones(WIDTH, np.float32)
    stm.add_many(
        [an_entry(memory_id=a_memory_id(n), embedding=[0.0] * WIDTH) for n in range(20)]
        + [
            an_entry(memory_id=a_memory_id(100 + n), embedding=[1.0] * n + [-1.0] * (WIDTH - n))
            for n in range(WIDTH + 1)
        ]
    )
    ids, scores = search.search(Query(run_id="run", agent_id="ant"), asked, 3)
    assert ids == [a_memory_id(100 + WIDTH - n) for n in range(3)]
    np.testing.assert_allclose(scores, [1.0, 0.75, 0.5], atol=1e-6)


def test_zeros_count_as_neither_alike_nor_unlike(stm: StmRepository, search: TierSearch) -> None:
    alike, zeros, unlike = ([value] * WIDTH for value in (1.0, 0.0, -1.0))
    stm.add_many([an_entry(embedding=vector) for vector in (unlike, zeros, alike)])
    query = Query(run_id="run", agent_id="ant")
    for k, expected in ((1, [1.0]), (2, [1.0, 0.0]), (3, [1.0, 0.0, -1.0])):
        np.testing.assert_allclose(search.search(query, alike, k)[1], expected, atol=1e-6)
    np.testing.assert_allclose(search.search(query, zeros, 3)[1], [0.0] * 3)


def test_no_search_reaches_another_agent_or_run(stm: StmRepository, search: TierSearch) -> None:
    names = [name for name in HOSTILE_NAMES if len(name.encode()) < 1000]
    vector = np.arange(1, WIDTH + 1, dtype=np.float32)
    entries = [an_entry(agent_id=name, embedding=vector) for name in names]
    entries += [an_entry(run_id=name, embedding=vector) for name in names]
    stm.add_many(entries)
    for entry in entries:
        query = Query(run_id=entry.run_id, agent_id=entry.agent_id)
        ids, _ = search.search(query, vector, 1000)
        assert ids == [entry.memory_id], entry.key


def test_an_id_too_long_to_be_told_apart_is_refused_not_confused(
    stm: StmRepository, search: TierSearch
) -> None:
    alike = "\U0001f41c" * 1023
    stm.add_many([an_entry(agent_id=alike + end, embedding=[1.0] * WIDTH) for end in "ab"])
    with pytest.raises(InvalidEntry, match=r"agent_id.*ask the repository"):
        search.search(Query(run_id="run", agent_id=alike + "a"), [1.0] * WIDTH, 3)


@pytest.mark.parametrize("k", [10**9, 10**15, 2**70, 0, -1])
def test_any_k_is_survived_by_the_server(stm: StmRepository, search: TierSearch, k: int) -> None:
    stm.add_many([an_entry(embedding=[1.0] * WIDTH) for _ in range(5)])
    ids, _ = search.search(Query(run_id="run", agent_id="ant"), [1.0] * WIDTH, k)
    assert len(ids) == (5 if k > 0 else 0)


def test_a_vector_of_another_width_is_refused_by_its_numbers(search: TierSearch) -> None:
    with pytest.raises(InvalidEntry, match=r"8 numbers are needed here.*not 3"):
        search.search(Query(run_id="run", agent_id="ant"), [1.0] * 3, 3)


def test_a_query_without_a_run_is_refused(search: TierSearch) -> None:
    with pytest.raises(InvalidEntry, match="run_id is missing"):
        search.search(Query(agent_id="ant"), [1.0] * WIDTH, 3)
