from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_memory import (
    AgentMemoryAPI,
    AgentMemorySystem,
    EntryNotFound,
    InvalidEntry,
    MemoryConfig,
    MemoryType,
    Query,
    Tier,
    Vector,
)
from agent_memory.compression.levels import CompressionEngine
from agent_memory.embeddings.int8_grid import on_int8_grid
from agent_memory.embeddings.version_zero import VersionZero
from agent_memory.testing import an_entry
from tests.exact_similarity import exact_scores

STATES = 300
ACTION = {"sugar": 3.0, "mood": "calm"}


def state_of(step: int) -> dict[str, Any]:
    """A walk over a plain, with a mood."""
    random = np.random.default_rng(step)
    return {
        "pos": (step % 17, step % 13),
        "sugar": float(random.normal() * 10),
        "mood": ("calm", "alert", "hungry")[step % 3],
        "age": step,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("similarity") / "memory"


def config_of(folder: Path) -> MemoryConfig:
    return MemoryConfig(
        path=folder,
        engine="embedded",
        stm_config={"memory_limit": 80},
        im_config={"memory_limit": 100},
    )


@pytest.fixture(scope="module")
def system(folder: Path) -> Iterator[AgentMemorySystem]:
    """An ant with states in all three tiers, and another whose states are the same."""
    with AgentMemorySystem(config_of(folder)) as opened:
        for agent in ("ant", "bee"):
            for step in range(STATES):
                opened.store_agent_state(agent, state_of(step), step)
        opened.store_agent_action("ant", ACTION, 5)
        opened.maintain()
        yield opened


def exact(near: Any, **filters: Any) -> list[tuple[float, int]]:
    """What should be found: similarity to every state there is, best first."""
    wanted = range(*filters.get("steps", (0, STATES)))
    scores = exact_scores(near, [*(state_of(step) for step in range(STATES)), ACTION])
    return sorted(((float(scores[step]), step) for step in wanted), reverse=True)


STATE_QUERY = Query(agent_id="ant", memory_type=MemoryType.STATE, limit=10)


@pytest.mark.parametrize("step", [3, 150, 290])
def test_the_most_alike_states_of_all_tiers_come_first(
    system: AgentMemorySystem, step: int
) -> None:
    near = {**state_of(step), "sugar": 4.5}
    hits = system.recall(STATE_QUERY, near=near, touch=False)
    best = exact(near)
    assert [hit.score for hit in hits] == pytest.approx([score for score, _ in best[:10]], rel=1e-5)
    assert len({hit.entry.key for hit in hits}) == 10
    assert {hit.entry.agent_id for hit in hits} == {"ant"}


def test_similarity_finds_entries_in_every_tier(system: AgentMemorySystem) -> None:
    hits = system.recall(dataclasses.replace(STATE_QUERY, limit=60), near=state_of(200))
    assert {hit.tier for hit in hits} == set(Tier)


def test_a_stored_state_is_most_like_itself(system: AgentMemorySystem) -> None:
    for step in (0, 130, STATES - 1):
        (hit,) = system.recall(dataclasses.replace(STATE_QUERY, limit=1), near=state_of(step))
        assert hit.entry.step_number == step
        assert hit.score == pytest.approx(1.0, abs=1e-6)


def test_one_can_ask_near_a_memory_by_hit_entry_or_id(system: AgentMemorySystem) -> None:
    (oldest,) = system.recall(Query(agent_id="ant", limit=1), touch=False)
    by_state = system.recall(STATE_QUERY, near=oldest.entry.contents, touch=False)
    assert system.recall(STATE_QUERY, near=oldest, touch=False) == by_state
    assert system.recall(STATE_QUERY, near=oldest.entry, touch=False) == by_state
    assert system.recall(STATE_QUERY, near=oldest.entry.memory_id, touch=False) == by_state
    assert by_state[0].entry.key == oldest.entry.key


@pytest.mark.parametrize("width", [384, 128, 32])
def test_one_can_ask_near_a_vector_of_any_tier(system: AgentMemorySystem, width: int) -> None:
    encoder = VersionZero()
    vector = encoder.carry(encoder.encode_one(state_of(200)), width)
    for given in (vector, vector.tolist()):
        hits = system.recall(STATE_QUERY, near=Vector(given), touch=False)
        assert hits[0].entry.step_number == 200
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, key=lambda score: -(score or 0))


def test_similarity_and_filters_go_together(system: AgentMemorySystem) -> None:
    near = state_of(200)
    query = Query(agent_id="ant", steps=(10, 49), memory_type=MemoryType.STATE, limit=7)
    hits = system.recall(query, near=near)
    best = exact(near, steps=(10, 50))
    assert [hit.score for hit in hits] == pytest.approx([score for score, _ in best[:7]], abs=1e-6)
    actions = Query(agent_id="ant", memory_type=MemoryType.ACTION)
    assert [hit.entry.step_number for hit in system.recall(actions, near=near)] == [5]


def test_among_states_with_an_attribute_similarity_to_a_part_of_one_is_exact(
    tmp_path: Path,
) -> None:
    random, encoder, names = np.random.default_rng(0), VersionZero(), ("x", "y", "sugar")
    states = [
        dict(zip(names, numbers, strict=True)) | {"mood": "abc"[mood], "team": "abc"[team]}
        for numbers, mood, team in zip(
            random.normal(0.0, 5.0, (3_000, 3)).tolist(), *random.integers(0, 3, (2, 3_000)),
            strict=True,
        )
    ]  # fmt: skip
    vectors = [*map(on_int8_grid, encoder.carry(encoder.encode(states), 32))]
    made = [
        an_entry(run_id="default", contents=state, embedding=vector, encoder_version=0)
        for state, vector in zip(states, vectors, strict=True)
    ]
    calm = [entry for entry in made if entry.contents["mood"] == "a"]
    with AgentMemorySystem(config_of(tmp_path)) as memory:
        memory.ltm.add_many(made)
        query = Query(agent_id="ant", limit=10, attributes={"mood": "a"})
        for asked in random.normal(0.0, 5.0, (6, 3)).tolist():
            part = dict(zip(names, asked, strict=True))
            spreads = np.std([[one.contents[name] for name in names] for one in made], axis=0)
            rows = np.array([[one.contents[name] for name in names] for one in calm])
            far = np.square((rows - asked) / spreads).sum(axis=1)
            best = {calm[place].memory_id for place in np.argsort(far)[:10]}
            hits = memory.recall(query, near=part, touch=False)
            assert {hit.entry.memory_id for hit in hits} == best


def test_a_limit_of_none_gives_all_and_of_zero_nothing(system: AgentMemorySystem) -> None:
    query = dataclasses.replace(STATE_QUERY, limit=None)
    assert len(system.recall(query, near=state_of(1), touch=False)) == STATES
    assert system.recall(dataclasses.replace(STATE_QUERY, limit=0), near=state_of(1)) == []


@pytest.mark.parametrize(
    "near", [[0.5] * 7, [], ["a"], [float("nan")] * 384, 7, np.zeros((2, 384))]
)
def test_what_nothing_can_be_near_to_is_refused(system: AgentMemorySystem, near: Any) -> None:
    with pytest.raises(InvalidEntry):
        system.recall(STATE_QUERY, near=near)


def test_a_memory_that_is_nowhere_is_told(system: AgentMemorySystem) -> None:
    with pytest.raises(EntryNotFound, match="no tier holds"):
        system.recall(STATE_QUERY, near="0" * 32)
    with pytest.raises(InvalidEntry, match="not a UUID"):
        system.recall(STATE_QUERY, near="a state")


def test_the_vectors_of_the_tiers_are_one_chain(system: AgentMemorySystem) -> None:
    encoder = VersionZero()
    widths = {Tier.STM: 384, Tier.IM: 128, Tier.LTM: 32}
    for repository in (system.stm, system.im, system.ltm):
        (entry,) = repository.find(
            Query(run_id="default", agent_id="ant", memory_type=MemoryType.STATE, limit=1)
        )
        expected = encoder.carry(encoder.encode_one(entry.contents), widths[repository.tier])
        if repository.tier is Tier.LTM:
            expected = on_int8_grid(expected)
        assert entry.embedding is not None
        assert entry.embedding.tobytes() == expected.tobytes()
        assert entry.encoder_version == 0


def test_a_vector_rests_in_36_bytes_in_long_term_memory(
    system: AgentMemorySystem, folder: Path
) -> None:
    with closing(sqlite3.connect(folder / "agent_memory.db")) as raw:
        sizes = raw.execute("SELECT DISTINCT length(embedding) FROM agent_ltm_entries").fetchall()
    assert sizes == [(4 + 32,)]


def test_decompressing_gives_the_vector_of_short_term_memory_back(
    system: AgentMemorySystem,
) -> None:
    (entry,) = system.ltm.find(Query(run_id="default", agent_id="bee", limit=1))
    whole = CompressionEngine().decompress(entry)
    assert whole.compression_level == 0
    assert whole.embedding is not None
    assert whole.embedding.tobytes() == VersionZero().encode_one(entry.contents).tobytes()
    as_dict = CompressionEngine().decompress(entry.to_dict())
    assert as_dict["embeddings"] == {"full_vector": whole.embedding.tolist()}


def test_entries_without_a_vector_or_of_another_version_are_found_all_the_same(
    system: AgentMemorySystem,
) -> None:
    agent = system.get_memory_agent("cat")
    for step in range(3):
        agent.store_state(state_of(step), step)
    strange = {"step_number": 9, "memory_type": "state", "contents": state_of(9)}
    assert agent.stm_store.store(strange)
    entry = system.recall(Query(agent_id="cat", limit=1), touch=False)[0].entry
    system.stm.replace(dataclasses.replace(entry, encoder_version=7))
    for step in (0, 9):
        hits = system.recall(Query(agent_id="cat", limit=1), near=state_of(step))
        assert [hit.entry.step_number for hit in hits] == [step]


def test_the_engine_is_there_unless_neural_embeddings_are_off(
    system: AgentMemorySystem, tmp_path: Path
) -> None:
    engine = system.get_memory_agent("ant").embedding_engine
    assert engine is not None
    assert len(engine.encode_im(state_of(1))) == 128
    plain = {"path": tmp_path, "engine": "embedded"}
    off = {"use_neural_embeddings": False}
    with AgentMemorySystem(plain | {"autoencoder_config": off}) as without:
        assert without.get_memory_agent("ant").embedding_engine is None
        for step in range(20):
            without.store_agent_state("ant", state_of(step), step)
        (hit,) = without.recall(Query(agent_id="ant", limit=1), near=state_of(7))
        assert hit.entry.step_number == 7


def test_the_api_gives_alike_states_as_dicts(folder: Path, tmp_path: Path) -> None:
    api = AgentMemoryAPI(config_of(tmp_path / "other"))
    with api.memory_system:
        for step in range(30):
            api.store_agent_state("ant", state_of(step), step)
        api.store_agent_action("ant", state_of(3), 3)
        found = api.retrieve_states_by_similarity("ant", state_of(12), count=5)
        assert found[0]["step_number"] == 12
        assert len(found) == 5
        assert {entry["metadata"]["memory_type"] for entry in found} == {"state"}
        assert len(found[0]["embeddings"]["full_vector"]) == 384
        assert api.retrieve_states_by_similarity("nobody", state_of(12)) == []
        assert api.retrieve_states_by_similarity("ant", state_of(12), count=0) == []
        with pytest.raises(InvalidEntry):
            api.retrieve_states_by_similarity("ant", state_of(12), count=-1)
