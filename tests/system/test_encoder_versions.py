"""Versions of the encoder: trained, registered, activated, searched side by side, re-encoded."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import multiprocessing
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_memory import (
    AgentMemorySystem,
    ConfigError,
    EncodingError,
    EntryConflict,
    InvalidEntry,
    MemoryConfig,
    Query,
    StoreReadOnly,
    Tier,
    Vector,
)
from agent_memory.embeddings.encoder import FittedEncoder
from agent_memory.embeddings.training import train
from agent_memory.errors import EncoderNotFound
from agent_memory.system.learning.gathering import stored_entries
from agent_memory.values.query import Order
from tests.exact_similarity import exact_scores

STATES = 240
QUERY = Query(agent_id="ant", limit=10)


def state_of(step: int) -> dict[str, Any]:
    random = np.random.default_rng(step)
    return {
        "pos": (step % 17, step % 13),
        "sugar": float(random.normal() * 10),
        "mood": ("calm", "alert", "hungry")[step % 3],
        "age": step,
    }


def config_of(folder: Path, **more: Any) -> MemoryConfig:
    return MemoryConfig(
        path=folder,
        engine="embedded",
        stm_config={"memory_limit": 40},
        im_config={"memory_limit": 60},
        **more,
    )


def fill(memory: AgentMemorySystem, first: int = 0, last: int = STATES) -> None:
    for step in range(first, last):
        memory.store_agent_state("ant", state_of(step), step)
    memory.maintain()


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[AgentMemorySystem]:
    """States of an ant in all three tiers, encoded by version 0."""
    with AgentMemorySystem(config_of(tmp_path)) as opened:
        fill(opened)
        yield opened


def entries(memory: AgentMemorySystem) -> list[Any]:
    query = Query(run_id="default", agent_id="ant")
    return [entry for tier in (memory.stm, memory.im, memory.ltm) for entry in tier.find(query)]


def versions_of(memory: AgentMemorySystem) -> Counter[int | None]:
    return Counter(entry.encoder_version for entry in entries(memory))


def damage(folder: Path, version: int) -> None:
    with closing(sqlite3.connect(folder / "agent_memory.db")) as raw:
        raw.execute(
            "UPDATE agent_ltm_encoder_versions SET weights = substr(weights, 1, 400) WHERE id = ?",
            (version,),
        )
        raw.commit()


def test_training_learns_from_what_is_remembered_in_every_tier(memory: AgentMemorySystem) -> None:
    trained = memory.train_encoder()
    assert (trained.version, trained.active) == (1, True)
    assert trained.report.fitted + trained.report.held_out == STATES
    assert [level.width for level in trained.report.levels] == [384, 128, 32]
    (record,) = [one for one in memory.encoders.versions() if one.version == 1]
    assert (record.kind, record.status, record.parent) == ("pca", "active", 0)
    assert record.stored_bytes > 0
    assert record.metrics["learned_from"] == {"runs": {"default": ["ant"]}}
    assert json.dumps(dict(record.metrics), allow_nan=False)
    assert record.metrics["report"]["kept"] == trained.report.kept
    assert memory.encoders.current == 1


def test_what_is_learned_from_is_in_the_order_of_time_and_evenly_spaced(
    memory: AgentMemorySystem,
) -> None:
    tiers = (memory.stm, memory.im, memory.ltm)
    assert [one.contents["age"] for one in stored_entries(tiers, ["default"], 10_000)] == [
        *range(STATES)
    ]
    fewer = [one.contents["age"] for one in stored_entries(tiers, ["default"], 50)]
    assert fewer == [*range(0, STATES, 5)]
    assert stored_entries(tiers, ["nowhere"], 50) == []


def test_new_entries_and_what_is_coded_since_name_the_new_version_and_others_keep_theirs(
    memory: AgentMemorySystem,
) -> None:
    memory.train_encoder()
    fill(memory, STATES, STATES + 30)
    coded = sum(memory.ltm.encodings.code_versions().values())
    coded += sum(memory.im.encodings.code_versions().values())
    assert coded > 30
    assert versions_of(memory) == {0: STATES - coded, 1: 30 + coded}
    for entry in entries(memory):
        if entry.step_number >= STATES:
            assert entry.encoder_version == 1
            assert len(entry.embedding) == 384


def test_versions_are_searched_side_by_side(memory: AgentMemorySystem) -> None:
    memory.train_encoder(contents=False)
    fill(memory, STATES, STATES + 60)
    for step in (3, 100, STATES - 1, STATES + 20):
        near = {**state_of(step), "sugar": 4.5}
        hits = memory.recall(QUERY, near=near, touch=False)
        best = sorted(
            exact_scores(near, [state_of(one) for one in range(STATES + 60)]), reverse=True
        )[:10]
        assert [hit.score for hit in hits] == pytest.approx(best, rel=1e-5)
    near = state_of(STATES + 5)
    assert {hit.entry.encoder_version for hit in memory.recall(QUERY, near=near)} == {0, 1}


def test_one_can_ask_near_a_vector_of_the_current_version(memory: AgentMemorySystem) -> None:
    memory.train_encoder()
    memory.encoders.reencode()
    for entry in entries(memory)[::40]:
        (hit,) = memory.recall(dataclasses.replace(QUERY, limit=1), near=Vector(entry.embedding))
        assert hit.entry.key == entry.key


def test_reencoding_reaches_every_tier_and_changes_nothing_else(
    memory: AgentMemorySystem,
) -> None:
    before = {entry.memory_id: entry for entry in entries(memory)}
    memory.train_encoder()
    reported: list[tuple[int, int]] = []
    done = memory.encoders.reencode(progress=lambda *now: reported.append(now))
    assert done == (STATES, 0, 0)
    assert reported[-1] == (STATES, STATES)
    assert versions_of(memory) == {1: STATES}
    widths = {Tier.STM: 384, Tier.IM: 128, Tier.LTM: 32}
    for tier in (memory.stm, memory.im, memory.ltm):
        for entry in tier.find(Query(run_id="default", agent_id="ant")):
            assert entry.embedding is not None
            assert len(entry.embedding) == widths[tier.tier]
            old = before[entry.memory_id]
            same = {"embedding": old.embedding, "encoder_version": 0}
            assert dataclasses.replace(entry, **same) == old
    assert memory.encoders.reencode() == (0, 0, 0)
    assert memory.encoders.reencode(0) == (STATES, 0, 0)
    assert versions_of(memory) == {0: STATES}


def test_vectors_of_a_version_are_carried_down_by_it(memory: AgentMemorySystem) -> None:
    memory.train_encoder()
    fill(memory, STATES, STATES + 150)
    encoder = memory._resources.encoder.registry.current.encoder
    moved = [entry for entry in memory.im.find(Query(run_id="default", agent_id="ant"))
             if entry.encoder_version == 1]  # fmt: skip
    assert moved
    for entry in moved:
        # Of what was stored, and not of what is left of it: contents are within bounds by now.
        expected = encoder.carry(encoder.encode_one(state_of(entry.step_number)), 128)
        assert entry.embedding is not None
        np.testing.assert_allclose(entry.embedding, expected, atol=1e-6)


def test_a_memory_is_reconstructed_with_its_usual_error(memory: AgentMemorySystem) -> None:
    memory.train_encoder()
    memory.encoders.reencode()
    entry = memory.ltm.find(Query(run_id="default", agent_id="ant", limit=1))[0]
    rebuilt = memory.reconstruct(entry)
    assert rebuilt.state["mood"] == entry.contents["mood"]
    off = abs(rebuilt.state["sugar"] - entry.contents["sugar"])
    assert off < 10 * rebuilt.errors["sugar"].typical
    assert entry.embedding is not None
    assert memory.reconstruct(entry.embedding).state == rebuilt.state


def test_what_cannot_be_reconstructed_is_told(memory: AgentMemorySystem) -> None:
    entry = memory.ltm.find(Query(run_id="default", agent_id="ant", limit=1))[0]
    with pytest.raises(ConfigError, match="train an encoder"):
        memory.reconstruct(entry)
    with pytest.raises(InvalidEntry, match="no vector"):
        memory.reconstruct(dataclasses.replace(entry, embedding=None))
    with pytest.raises(EncoderNotFound, match="version 9"):
        memory.reconstruct(dataclasses.replace(entry, encoder_version=9))
    memory.train_encoder()
    for bad in ([1.0] * 7, "a state", [math.nan] * 32, [["a"]]):
        with pytest.raises(InvalidEntry):
            memory.reconstruct(bad)  # type: ignore[arg-type]


def test_a_version_is_used_only_where_it_was_activated(memory: AgentMemorySystem) -> None:
    first = memory.train_encoder()
    second = memory.train_encoder([state_of(step) for step in range(50)], activate=False, name="b")
    assert (first.version, second.version, second.active) == (1, 2, False)
    assert memory.encoders.current == 1
    memory.encoders.activate(2)
    memory.encoders.activate(0)
    assert memory.encoders.current == 0
    assert {one.version: one.status for one in memory.encoders.versions()} == {
        0: "active", 1: "registered", 2: "registered",
    }  # fmt: skip
    with pytest.raises(EncoderNotFound, match="version 7"):
        memory.encoders.activate(7)
    with pytest.raises(EntryConflict, match="'b' already"):
        memory.train_encoder([{"a": 1}], name="b")


def test_other_processes_take_notice_at_their_upkeep(
    memory: AgentMemorySystem, tmp_path: Path
) -> None:
    ways = multiprocessing.get_context("spawn")
    child = ways.Process(target=_train_there, args=(tmp_path,))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert memory.encoders.current == 0
    memory.store_agent_state("ant", state_of(0), 0)
    # What the other process encoded is compared with at once.
    assert memory.recall(Query(agent_id="bee", limit=1), near=state_of(7))[0].score == 1.0
    memory.maintain()
    assert memory.encoders.current == 1


def _train_there(folder: Path) -> None:
    with AgentMemorySystem(config_of(folder)) as there:
        there.train_encoder(network=False)
        there.store_agent_state("bee", state_of(7), 7)


def test_an_activated_version_outlives_the_process(tmp_path: Path) -> None:
    with AgentMemorySystem(config_of(tmp_path)) as memory:
        fill(memory, 0, 60)
        memory.train_encoder()
    with AgentMemorySystem.open(tmp_path, read_only=True) as memory:
        assert memory.encoders.current == 1
        for refused in (
            memory.train_encoder,
            memory.encoders.reencode,
            lambda: memory.encoders.activate(0),
        ):
            with pytest.raises(StoreReadOnly):
                refused()
    with AgentMemorySystem(
        config_of(tmp_path, autoencoder_config={"use_neural_embeddings": False})
    ) as memory:
        assert memory.encoders.current == 0
        with pytest.raises(ConfigError, match="use_neural_embeddings"):
            memory.encoders.activate(1)


@pytest.mark.long
def test_reencoding_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    with AgentMemorySystem(config_of(tmp_path)) as memory:
        for agent in range(12):
            for step in range(60):
                memory.store_agent_state(f"ant {agent}", state_of(step), step)
        memory.train_encoder()
        reported = multiprocessing.get_context("spawn").Value("i", 0)
        ways = multiprocessing.get_context("spawn")
        child = ways.Process(target=_reencode_there, args=(tmp_path, reported))
        child.start()
        deadline = time.monotonic() + 60
        while reported.value < 3 and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        outdated = _outdated(memory)
        assert 0 < outdated < 720
        near = {**state_of(20), "sugar": 1.0}
        before = memory.recall(Query(agent_id="ant 3", limit=5), near=near, touch=False)
        assert memory.encoders.reencode() == (outdated, 0, 0)
        after = memory.recall(Query(agent_id="ant 3", limit=5), near=near, touch=False)
        assert [(hit.entry.key, hit.score) for hit in before] == [
            (hit.entry.key, hit.score) for hit in after
        ]


def _reencode_there(folder: Path, reported: Any) -> None:
    def slowly(*_: int) -> None:
        reported.value += 1
        time.sleep(0.05)

    with AgentMemorySystem(config_of(folder)) as there:
        there.encoders.reencode(progress=slowly)


def _outdated(memory: AgentMemorySystem) -> int:
    return sum(
        len(tier.encodings.outdated("default", agent, 1))
        for tier in (memory.stm, memory.im, memory.ltm)
        for agent in tier.agents("default")
    )


def test_a_damaged_version_is_told_and_everything_else_stays_readable(
    memory: AgentMemorySystem, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory.train_encoder()
    fill(memory, STATES, STATES + 60)
    damage(tmp_path, 1)
    expected = memory.recall(QUERY, near=state_of(7), touch=False)
    memory.close()
    with caplog.at_level(logging.ERROR), AgentMemorySystem(config_of(tmp_path)) as again:
        assert "version 1 of the encoder cannot be read" in caplog.text
        assert again.encoders.current == 0
        fill(again, STATES + 60, STATES + 70)
        hits = again.recall(QUERY, near=state_of(7), touch=False)
        assert hits[0].entry.key == expected[0].entry.key
        assert len(again.recall(Query(agent_id="ant"))) == STATES + 70
        entry = next(one for one in entries(again) if one.encoder_version == 1)
        with pytest.raises(EncodingError, match="reencode"):
            again.reconstruct(entry)
        with pytest.raises(EncodingError):
            again.encoders.activate(1)
        assert again.encoders.reencode(0).left == 0
        assert set(versions_of(again)) == {0}


def test_a_version_that_was_put_back_is_read_without_reopening(
    memory: AgentMemorySystem, tmp_path: Path
) -> None:
    memory.train_encoder(network=False)
    fill(memory, STATES, STATES + 5)
    (entry,) = memory.stm.find(Query(run_id="default", agent_id="ant", order=Order.NEWEST, limit=1))
    artifact = memory._resources.encoder.versions.artifact(1)
    memory.close()
    damage(tmp_path, 1)
    with AgentMemorySystem(config_of(tmp_path)) as again:
        for _ in range(3):
            with pytest.raises(EncodingError, match="version 1"):
                again.reconstruct(entry)
        with closing(sqlite3.connect(tmp_path / "agent_memory.db")) as raw:
            raw.execute(
                "UPDATE agent_ltm_encoder_versions SET weights = ? WHERE id = 1", (artifact,)
            )
            raw.commit()
        again.encoders.activate(1)
        assert again.reconstruct(entry).state["mood"] in ("calm", "alert", "hungry")


def test_numbers_of_versions_that_entries_name_are_not_given_again(
    memory: AgentMemorySystem, tmp_path: Path
) -> None:
    memory.train_encoder(network=False)
    fill(memory, STATES, STATES + 5)
    memory.close()
    for file in tmp_path.glob("agent_memory.db*"):
        file.unlink()
    with AgentMemorySystem(config_of(tmp_path)) as again:
        assert again.train_encoder(network=False).version == 2
        assert 1 in versions_of(again)
        hits = again.recall(QUERY, near=state_of(STATES + 2), touch=False)
        assert hits[0].entry.step_number == STATES + 2
        assert again.encoders.reencode().left == 0
        assert set(versions_of(again)) == {2}


@pytest.mark.parametrize("version", [True, "1", 1.0, None, -1, 2**70, [1]])
def test_what_is_no_version_is_not_activated(memory: AgentMemorySystem, version: Any) -> None:
    memory.train_encoder(network=False, activate=False)
    with pytest.raises(InvalidEntry, match="version"):
        memory.encoders.activate(version)
    assert memory.encoders.current == 0
    assert memory.store_agent_state("ant", state_of(0), STATES)
    if version is not None:
        with pytest.raises(InvalidEntry, match="version"):
            memory.encoders.reencode(version)


def test_a_version_may_be_an_integer_of_numpy(memory: AgentMemorySystem) -> None:
    memory.train_encoder(network=False, activate=False)
    memory.encoders.activate(np.int64(1))  # type: ignore[arg-type]  # as a data frame holds it
    assert memory.encoders.reencode(np.int32(1)).left == 0  # type: ignore[arg-type]
    assert set(versions_of(memory)) == {1}


@pytest.mark.parametrize(
    "settings",
    [{"runs": "default"}, {"runs": [5]}, {"runs": 7}, {"seed": -1}, {"seed": "a"}, {"name": ""},
     {"name": 5}, {"name": "taken"}],
)  # fmt: skip
def test_bad_settings_are_told_before_anything_is_trained(
    memory: AgentMemorySystem, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.train_encoder(network=False, name="taken")
    monkeypatch.setattr("agent_memory.system.learning.training.train", None)
    with pytest.raises((InvalidEntry, ConfigError, EntryConflict)):
        memory.train_encoder(**settings)
    if "runs" in settings:
        with pytest.raises(InvalidEntry, match="run"):
            memory.encoders.reencode(**settings)


def test_training_that_could_not_be_activated_is_refused_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path, autoencoder_config={"use_neural_embeddings": False})
    with AgentMemorySystem(config) as memory:
        fill(memory, 0, 20)
        with monkeypatch.context() as patched:
            patched.setattr("agent_memory.system.learning.training.train", None)
            with pytest.raises(ConfigError, match="activate=False"):
                memory.train_encoder()
        assert memory.train_encoder(network=False, activate=False).version == 1


def test_near_what_cannot_be_stored_is_refused_by_its_path(memory: AgentMemorySystem) -> None:
    with pytest.raises(InvalidEntry, match="mood"):
        memory.recall(QUERY, near={"sugar": 1.0, "mood": object()})


def test_an_entry_of_an_unknown_version_is_found_and_moves_as_it_is(
    memory: AgentMemorySystem,
) -> None:
    newest = memory.stm.find(Query(run_id="default", agent_id="ant", order=Order.NEWEST, limit=1))[
        0
    ]
    memory.stm.encodings.reembed([dataclasses.replace(newest, encoder_version=9)])
    (hit,) = memory.recall(dataclasses.replace(QUERY, limit=1), near=newest.contents)
    assert hit.entry.key == newest.key
    fill(memory, STATES, STATES + 120)
    (moved,) = memory.ltm.get_many([newest.key])
    assert (moved.encoder_version, len(moved.embedding)) == (9, 384)  # type: ignore[arg-type]
    assert memory.encoders.reencode().left == 0
    (again,) = memory.ltm.get_many([newest.key])
    assert (again.encoder_version, len(again.embedding)) == (0, 32)  # type: ignore[arg-type]


def test_a_damaged_entry_keeps_no_other_from_being_learned_from_or_reencoded(
    memory: AgentMemorySystem, caplog: pytest.LogCaptureFixture
) -> None:
    doomed = memory.stm.find(Query(run_id="default", agent_id="ant", order=Order.NEWEST, limit=1))[
        0
    ]
    channel = memory._resources.connections.stm
    name = f"agent_memory:stm:{{default/ant}}:{doomed.memory_id}"
    channel.call("HSET", name, "contents", b"\x00")
    trained = memory.train_encoder()
    assert trained.report.fitted + trained.report.held_out == STATES - 1
    assert memory.encoders.reencode() == (STATES - 1, 1, 0)
    assert doomed.memory_id in caplog.text
    channel.call("DEL", name)


@pytest.mark.parametrize(
    "states",
    [
        [{"a": 1.0}],
        [{"a": 5}] * 100,
        [{"a": None, "b": math.nan}] * 100,
        [{"a": math.inf}, {"a": -math.inf}] * 50,
        [{"name": f"n{step}", "a": float(step)} for step in range(2_000)],
        [{f"k{step}": float(step)} for step in range(200)],
        [{"a": float(step)} if step < 50 else {"b": [step, "x"]} for step in range(100)],
    ],
    ids=["one", "constant", "missing", "infinite", "names", "keys", "shape"],
)
def test_poor_states_still_give_a_version_that_finds(
    memory: AgentMemorySystem, states: list[Any]
) -> None:
    memory.train_encoder(states, epochs=1)
    for step, state in enumerate(states[:30]):
        memory.store_agent_state("poor", state, step)
    (hit,) = memory.recall(Query(agent_id="poor", limit=1), near=states[0])
    assert hit.score == pytest.approx(1.0, abs=1e-5)


def test_bad_arguments_of_a_training_are_told_and_nothing_is_registered(
    memory: AgentMemorySystem,
) -> None:
    for bad in ([], [7], ["a"], [{"a": 1}, None], 7):
        with pytest.raises(InvalidEntry):
            memory.train_encoder(bad)  # type: ignore[arg-type]  # the test's point
    for settings in ({"epochs": 0}, {"epochs": 1.5}, {"epochs": -1}):
        with pytest.raises(ConfigError):
            memory.train_encoder(**settings)
    with pytest.raises(InvalidEntry, match="at least one"):
        memory.run("empty").train_encoder()
    assert {one.version for one in memory.encoders.versions()} <= {0}


def test_without_a_network_pca_is_registered_and_says_so(memory: AgentMemorySystem) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(300, 60))
    states = [{f"f{key}": float(value) for key, value in enumerate(row)} for row in rows]
    report = memory.train_encoder(states, network=False).report
    assert (report.kept, report.reason) == ("pca", "no network was asked for")
    assert report.levels[2].pca.r2 < 0.9


class TestModelPath:
    def test_the_memory_encodes_with_the_file(self, tmp_path: Path) -> None:
        file = tmp_path / "ants.encoder"
        train([state_of(step) for step in range(100)]).encoder.save(file)
        config = config_of(tmp_path / "memory", autoencoder_config={"model_path": str(file)})
        for _ in range(2):  # the second time it is registered already
            with AgentMemorySystem(config) as memory:
                memory.store_agent_state("ant", state_of(5), 5)
                assert memory.encoders.current == 1
                (entry,) = memory.stm.find(
                    Query(run_id="default", agent_id="ant", order=Order.NEWEST, limit=1)
                )
                expected = FittedEncoder.load(file).encode_one(state_of(5))
                np.testing.assert_array_equal(entry.embedding, expected)
                _, record = memory.encoders.versions()
                assert (record.kind, record.status) == ("file", "registered")
                with pytest.raises(ConfigError, match="model_path"):
                    memory.encoders.activate(0)
        # Without the path it is one version among others.
        with AgentMemorySystem(config_of(tmp_path / "memory")) as memory:
            assert memory.encoders.current == 0
            assert memory.recall(QUERY, near=state_of(5))[0].score == pytest.approx(1.0)

    def test_a_file_of_other_widths_or_a_damaged_one_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "ants.encoder"
        train([state_of(step) for step in range(100)]).encoder.save(file)
        given = {"model_path": str(file)}
        with pytest.raises(ConfigError, match="made for"):
            AgentMemorySystem(
                config_of(tmp_path / "memory", autoencoder_config={**given, "stm_dim": 256})
            )
        file.write_bytes(file.read_bytes()[:-7])
        with pytest.raises(EncodingError, match=r"ants\.encoder: .*damaged or incomplete"):
            AgentMemorySystem(config_of(tmp_path / "memory", autoencoder_config=given))

    def test_a_read_only_memory_takes_only_a_file_that_is_registered(self, tmp_path: Path) -> None:
        file = tmp_path / "ants.encoder"
        train([state_of(step) for step in range(100)]).encoder.save(file)
        config = config_of(tmp_path / "memory", autoencoder_config={"model_path": str(file)})
        AgentMemorySystem(config_of(tmp_path / "memory")).close()
        with pytest.raises(ConfigError, match="read-only"):
            AgentMemorySystem(config, read_only=True)
        AgentMemorySystem(config).close()
        with AgentMemorySystem(config, read_only=True) as memory:
            assert memory.encoders.current == 1


def test_a_version_keeps_the_widths_it_was_made_with(tmp_path: Path) -> None:
    narrow = {"stm_dim": 64, "im_dim": 16, "ltm_dim": 8}
    with AgentMemorySystem(config_of(tmp_path, autoencoder_config=narrow)) as memory:
        fill(memory)
        memory.train_encoder()
        memory.encoders.reencode()
        assert {len(entry.embedding) for entry in entries(memory)} == {64, 16, 8}
    with pytest.raises(ConfigError, match=r"stm_dim: .* made with 64 and is opened with 384"):
        AgentMemorySystem(config_of(tmp_path))
    with AgentMemorySystem(config_of(tmp_path, autoencoder_config=narrow)) as memory:
        memory.store_agent_state("ant", state_of(5), 5)
        assert {len(entry.embedding) for entry in entries(memory)} == {64, 16, 8}
        memory.encoders.activate(0)
        memory.store_agent_state("ant", state_of(6), 6)
        assert {len(entry.embedding) for entry in entries(memory)} == {64, 16, 8}
        best = memory.recall(dataclasses.replace(QUERY, limit=1), near=state_of(6))
        assert best[0].score == pytest.approx(1.0)
        stored = [state_of(step) for step in (*range(STATES), 5, 6)]
        exact = sorted(exact_scores(state_of(6), stored), reverse=True)
        hits = memory.recall(QUERY, near=state_of(6))
        assert [hit.score for hit in hits] == pytest.approx(exact[:10], rel=1e-5)
