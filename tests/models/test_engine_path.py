"""The query engine's answers to ``nearest`` are those of comparing every vector here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_memory import AgentMemorySystem, MemoryConfig, QueryEngineMissing
from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.redis.channel import RedisChannel
from agent_memory.repositories.nearest import Neighbour
from agent_memory.repositories.redis.repository import StmRepository
from agent_memory.repositories.redis.tier_search import TierSearch
from agent_memory.testing import a_memory_id, an_entry
from agent_memory.testing.changing import ChangingContract
from agent_memory.testing.samples import HOSTILE_NAMES, Directions
from agent_memory.testing.stateful import OracleContract
from agent_memory.values.entry import MemoryEntry, MemoryType
from agent_memory.values.query import Query
from tests.models.conftest import STM, WIDTH

QUERY = Query(run_id="run", agent_id="ant", limit=10)


def indexed_on(channel: RedisChannel, width: int) -> StmRepository:
    search = TierSearch(channel, STM, width)
    return StmRepository(channel, ContentsCodec(), namespace=STM, search=search)


@pytest.fixture
def indexed(channel: RedisChannel) -> StmRepository:
    return indexed_on(channel, WIDTH)


class TestIndexed(OracleContract, ChangingContract):
    """What random operations do is what the reference does, with the index asked."""

    @pytest.fixture
    def repository(self, channel: RedisChannel) -> StmRepository:
        # The width that some of the random entries have.
        return indexed_on(channel, 2)


_vectors = st.one_of(
    st.sampled_from([[0.0] * WIDTH, [1.0] * WIDTH, [-1.0] * WIDTH]),
    st.lists(st.integers(-2, 2).map(float), min_size=WIDTH, max_size=WIDTH),
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=WIDTH, max_size=WIDTH),
    st.lists(st.floats(-1.0, 1.0, width=32), min_size=1, max_size=3),
)


@st.composite
def _entries(draw: st.DrawFn, plain: bool) -> MemoryEntry:
    lists = st.lists(st.integers(-2, 2).map(float), min_size=WIDTH, max_size=WIDTH)
    vector = draw(lists if plain else st.none() | _vectors)
    return an_entry(
        agent_id=draw(st.sampled_from(["ant", "ant|"])),
        step_number=draw(st.integers(0, 5)),
        memory_type=draw(st.sampled_from(list(MemoryType))),
        importance_score=draw(st.sampled_from([0.0, 1 / 3, 1.0])),
        embedding=vector,
        encoder_version=draw(st.sampled_from([0, 1] if plain else [None, 0, 1, 2])),
        contents={},
    )


_queries = st.builds(
    Query,
    run_id=st.just("run"),
    agent_id=st.sampled_from(["ant", "ant|"]),
    steps=st.none() | st.tuples(st.integers(-2, 7), st.integers(-2, 2**60)),
    memory_type=st.sampled_from([None, *MemoryType]),
    importance=st.sampled_from([None, (0.0, 1 / 3), (1 / 3, 1.0)]),
    limit=st.none() | st.integers(0, 12),
)


@given(st.booleans().flatmap(lambda plain: st.lists(_entries(plain), max_size=40)), _queries,
       st.integers(0, 5))  # fmt: skip
@settings(
    max_examples=80,
    deadline=None,
    # The server is shared by the examples on purpose; each begins by emptying the namespace.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_both_paths_give_the_same_entries_and_cosines(
    stm: StmRepository,
    indexed: StmRepository,
    entries: list[MemoryEntry],
    query: Query,
    seed: int,
) -> None:
    for run_id in stm.runs():
        stm.clear_run(run_id)
    stm.add_many(entries)
    probe = Directions(incomparable=[2], seed=seed)
    assert _by_id(indexed.nearest(query, probe)) == _by_id(stm.nearest(query, probe))


def _by_id(found: list[Neighbour]) -> list[Neighbour]:
    return sorted(found, key=lambda hit: hit.entry.memory_id)


def rows(count: int, **fields: Any) -> list[MemoryEntry]:
    random = np.random.default_rng(0)
    return [
        an_entry(
            memory_id=a_memory_id(number),
            embedding=random.standard_normal(WIDTH).astype(np.float32),
            encoder_version=0,
            **fields,
        )
        for number in range(count)
    ]


def asked(channel: RedisChannel, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the commands that are sent from now on."""
    sent: list[str] = []
    ask = channel.call_all

    def noting(commands: Any) -> list[Any]:
        sent.extend(command[0] for command in commands)
        return ask(commands)

    monkeypatch.setattr(channel, "call_all", noting)
    return sent


def test_where_nothing_changed_one_round_trip_answers(
    channel: RedisChannel, indexed: StmRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed.add_many(rows(200))
    before = indexed.nearest(QUERY, Directions())
    assert len(before) == 10
    sent = asked(channel, monkeypatch)
    assert indexed.nearest(QUERY, Directions()) == before
    assert sent == ["XREVRANGE", "FT.SEARCH"]


def test_twins_at_the_limit_are_told_apart_by_id(
    stm: StmRepository, indexed: StmRepository
) -> None:
    twins = [replace(entry, embedding=np.ones(WIDTH, np.float32)) for entry in rows(300)]
    stm.add_many(twins[::-1])
    found = indexed.nearest(QUERY, Directions())
    assert [hit.entry.memory_id for hit in found] == [a_memory_id(number) for number in range(10)]
    assert found == stm.nearest(QUERY, Directions())


def test_what_the_index_cannot_hold_is_found_all_the_same(
    stm: StmRepository, indexed: StmRepository
) -> None:
    stm.add_many(rows(50))
    indexed.nearest(QUERY, Directions())
    odd = [an_entry(embedding=[1.0], encoder_version=0), an_entry(), an_entry(encoder_version=3)]
    stm.add_many(odd)
    found = indexed.nearest(QUERY, Directions())
    assert _by_id(found) == _by_id(stm.nearest(QUERY, Directions()))
    assert {entry.memory_id for entry in odd} <= {hit.entry.memory_id for hit in found}
    stm.remove_many([entry.key for entry in odd])
    assert indexed.nearest(QUERY, Directions()) == stm.nearest(QUERY, Directions())


def test_no_question_reaches_another_agent(stm: StmRepository, indexed: StmRepository) -> None:
    names = [name for name in HOSTILE_NAMES if len(name.encode()) < 1000]
    stm.add_many([replace(entry, agent_id=name) for name, entry in zip(
        names, rows(len(names)), strict=True)])  # fmt: skip
    for number, name in enumerate(names):
        found = indexed.nearest(replace(QUERY, agent_id=name), Directions())
        assert [hit.entry.memory_id for hit in found] == [a_memory_id(number)]


def test_an_index_that_was_lost_is_made_again(
    channel: RedisChannel, stm: StmRepository, indexed: StmRepository
) -> None:
    stm.add_many(rows(50))
    before = indexed.nearest(QUERY, Directions())
    for name in channel.call("FT._LIST"):
        channel.call("FT.DROPINDEX", name)
    assert indexed.nearest(QUERY, Directions()) == before


def test_a_system_answers_alike_whoever_compares(client: Any, search_url: str) -> None:
    shared = {
        "redis_url": search_url,
        "ltm_url": "sqlite:///:memory:",
        "stm_config": {"memory_limit": 60},
    }
    with (
        AgentMemorySystem(MemoryConfig(**shared)) as here,
        AgentMemorySystem(MemoryConfig(**shared, similarity="server")) as there,
    ):
        for step in range(150):
            state = {"pos": (step % 17, step % 13), "food": step % 7 / 2}
            here.store_agent_state("ant", state, step)
        here.maintain()
        for step in (0, 70, 149):
            near = {"pos": (step % 17, step % 13), "food": 0.25}
            query = Query(agent_id="ant", limit=10, steps=(0, 140))
            hits = there.recall(query, near=near, touch=False)
            assert hits == here.recall(query, near=near, touch=False)
            assert {hit.tier.name for hit in hits} == {"STM", "IM"}


def test_a_server_without_an_engine_is_refused_where_it_should_compare(plain_url: str) -> None:
    config = MemoryConfig(redis_url=plain_url, ltm_url="sqlite:///:memory:", similarity="server")
    with pytest.raises(QueryEngineMissing, match="similarity"):
        AgentMemorySystem(config)
