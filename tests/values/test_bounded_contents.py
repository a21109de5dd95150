"""Contents in all tiers once a code has been fitted to them: small, bounded, side by side."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from agent_memory import (
    AgentMemorySystem,
    ConfigError,
    EncodingError,
    MemoryConfig,
    MemoryEntry,
    Order,
    Query,
    Tier,
)
from agent_memory.connections.sql import open_engine
from agent_memory.models.ltm import ltm_models
from agent_memory.values.coded import is_coded
from tests import engines

SMALL: dict[str, Any] = {
    "stm_config": {"memory_limit": 10},
    "im_config": {"memory_limit": 20},
}
ENERGY, X = 100.0, 2.0  # the ranges of the two floats


def state(step: int) -> dict[str, Any]:
    rng = random.Random(step)
    return {
        "energy": rng.uniform(0, ENERGY),
        "place": (rng.uniform(-X / 2, X / 2), rng.randrange(9)),
        "mood": rng.choice(["calm", "alert", None]),
        "age": 17 + step,
    }


@pytest.fixture(params=engines.parameters(["embedded", "fake"], ["embedded"]))
def config(request: pytest.FixtureRequest, tmp_path: Path) -> MemoryConfig:
    return MemoryConfig(path=tmp_path / "memory", engine=request.param, **SMALL)


@pytest.fixture
def system(config: MemoryConfig) -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(config) as opened:
        yield opened


def fill(system: AgentMemorySystem, first: int, last: int) -> None:
    for step in range(first, last):
        assert system.store_agent_state("ant", state(step), step)
    system.maintain()


def entries(system: AgentMemorySystem) -> dict[int, MemoryEntry]:
    hits = system.recall(Query(agent_id="ant", order=Order.STEP), touch=False)
    return {hit.entry.step_number: hit.entry for hit in hits}


def off(entry: MemoryEntry) -> dict[str, float]:
    """How far the numbers of an entry are from the original; all else is equal."""
    was, now = state(entry.step_number), entry.contents
    assert {**was, "energy": 0, "place": was["place"][1:]} == {
        **now, "energy": 0, "place": now["place"][1:],
    }  # fmt: skip
    assert type(now["place"]) is tuple
    return {
        "energy": abs(was["energy"] - now["energy"]),
        "place[0]": abs(was["place"][0] - now["place"][0]),
    }


def test_without_a_fitted_code_contents_stay_exact(system: AgentMemorySystem) -> None:
    fill(system, 0, 60)
    for step, entry in entries(system).items():
        assert entry.contents == state(step)
        assert entry.error_bounds is None


def test_what_moves_down_afterwards_is_within_bounds_that_it_tells(
    system: AgentMemorySystem,
) -> None:
    fill(system, 0, 200)
    trained = system.train_encoder(network=False)
    assert trained.contents is not None
    assert trained.contents.inside == 1.0
    assert trained.contents.level_2_bytes < trained.contents.level_1_bytes
    assert trained.contents.level_1_bytes < trained.contents.exact_bytes / 4
    fill(system, 200, 300)
    found = entries(system)
    assert [*found] == [*range(300)]
    for step in range(170):
        # Those were in long-term memory when the code was fitted, and stay as they are.
        assert found[step].contents == state(step)
    for step in range(170, 290):
        entry = found[step]
        bounds = entry.error_bounds
        assert bounds is not None
        assert bounds.keys() == {"energy", "place[0]"}
        share = 0.01 if entry.compression_level == 2 else 0.001
        assert bounds["energy"] == pytest.approx(share * ENERGY, rel=0.05)
        assert all(far <= bounds[path] for path, far in off(entry).items())
    assert any(max(off(found[step]).values()) > 0 for step in range(200, 250))
    for step in range(290, 300):
        assert found[step].contents == state(step)
        assert found[step].error_bounds is None
    assert {entry.compression_level for entry in found.values()} == {0, 1, 2}


def test_bounds_are_against_the_original_whatever_was_trained_meanwhile(
    system: AgentMemorySystem,
) -> None:
    fill(system, 0, 100)
    first = system.train_encoder(network=False).version
    fill(system, 100, 125)  # some of these rest in intermediate memory at level 1 now
    second = system.train_encoder(network=False).version
    assert second != first
    fill(system, 125, 200)
    for entry in entries(system).values():
        for path, far in off(entry).items():
            assert far <= (entry.error_bounds or {}).get(path, 0.0)
    versions = {
        stored[0] - 2
        for stored in stored_contents(system)
        if is_coded(stored)
    }  # fmt: skip
    assert versions == {first, second}


def stored_contents(system: AgentMemorySystem) -> list[bytes]:
    model = system.models.LtmEntry
    with system.sql_engine.connect() as connection:
        return list(connection.scalars(select(model.__table__.c.contents)))


def test_rows_are_small(system: AgentMemorySystem) -> None:
    fill(system, 0, 200)
    system.train_encoder(network=False)
    fill(system, 200, 400)
    coded = [stored for stored in stored_contents(system) if is_coded(stored)]
    assert len(coded) >= 150
    assert sum(map(len, coded)) / len(coded) <= 6


def test_tolerances_are_those_of_the_configuration(config: MemoryConfig) -> None:
    reported = {
        "energy": {"level_1": 0.5, "level_2": 5.0, "relative": False},
        "*": "exact",
    }
    with AgentMemorySystem(MemoryConfig(**{**dict(config), "tolerances": reported})) as system:
        fill(system, 0, 200)
        version = system.train_encoder(network=False).version
        fill(system, 200, 260)
        for step, entry in entries(system).items():
            bounds = entry.error_bounds
            if step >= 200 and entry.compression_level:
                assert bounds == {"energy": 0.5 if entry.compression_level == 1 else 5.0}
            assert off(entry)["place[0]"] == 0.0
        record = next(one for one in system.encoders.versions() if one.version == version)
        assert record.metrics["contents"]["inside"] == 1.0


def test_declared_attributes_stay_exact(config: MemoryConfig) -> None:
    declaring = MemoryConfig(**{**dict(config), "indexed_attributes": ("energy",)})
    with AgentMemorySystem(declaring) as system:
        fill(system, 0, 100)
        system.train_encoder(network=False)
        fill(system, 100, 160)
        for entry in entries(system).values():
            assert off(entry)["energy"] == 0.0
        wanted = state(120)["energy"]
        (hit,) = system.recall(Query(agent_id="ant", attributes={"energy": wanted}))
        assert hit.entry.step_number == 120
        assert hit.tier is Tier.LTM


def test_contents_may_be_left_exact(system: AgentMemorySystem) -> None:
    fill(system, 0, 100)
    trained = system.train_encoder(network=False, contents=False)
    assert trained.contents is None
    fill(system, 100, 150)
    for step, entry in entries(system).items():
        assert entry.contents == state(step)


def test_the_engine_brings_an_entry_to_its_level_and_says_the_bound(
    system: AgentMemorySystem,
) -> None:
    fill(system, 0, 200)
    system.train_encoder(network=False)
    fill(system, 200, 201)
    entry = entries(system)[200]
    engine = system.get_memory_agent("ant").compression_engine
    once = engine.compress(entry, 1)
    twice = engine.compress(once, 2)
    assert twice == engine.compress(entry, 2)
    assert once.error_bounds is not None
    assert twice.error_bounds is not None
    assert once.error_bounds["energy"] < twice.error_bounds["energy"]
    back = engine.decompress(twice)
    assert back.compression_level == 0
    assert back.error_bounds == twice.error_bounds
    assert back.contents == twice.contents


def test_a_memory_opened_again_reads_and_goes_on_with_the_code(tmp_path: Path) -> None:
    config = MemoryConfig(path=tmp_path / "memory", engine="embedded", **SMALL)
    with AgentMemorySystem(config) as system:
        fill(system, 0, 200)
        system.train_encoder(network=False)
        fill(system, 200, 260)
        before = entries(system)
    with AgentMemorySystem.open(tmp_path / "memory", read_only=True) as reader:
        assert entries(reader) == before
    with AgentMemorySystem(config) as system:
        fill(system, 260, 300)
        after = entries(system)
        assert [*after] == [*range(300)]
        assert after[265].error_bounds
        system.encoders.activate(0)
        fill(system, 300, 340)
        assert entries(system)[305].contents == state(305)


def test_a_changed_entry_is_kept_within_bounds_of_its_change(system: AgentMemorySystem) -> None:
    fill(system, 0, 200)
    system.train_encoder(network=False)
    fill(system, 200, 240)
    entry = entries(system)[205]
    tier = {1: system.im, 2: system.ltm}[entry.compression_level]
    changed = {**entry.contents, "energy": 1e9, "note": "far outside"}
    stored = tier.replace(replace(entry, contents=changed, error_bounds=None))
    assert tier.get(stored.key).contents == changed


def test_changing_importance_or_pin_leaves_coded_contents_and_bounds_as_they_are(
    system: AgentMemorySystem,
) -> None:
    fill(system, 0, 200)
    system.train_encoder(network=False)
    fill(system, 200, 260)
    known = entries(system)
    coded = {
        tier.tier: tier.find(Query(run_id="default", agent_id="ant", order=Order.NEWEST, limit=1))[
            0
        ]
        for tier in (system.im, system.ltm)
    }
    system.train_encoder(network=False)  # by whose code nothing that is coded shall be coded again
    for tier, entry in coded.items():
        assert entry.error_bounds == known[entry.step_number].error_bounds is not None
        for importance in (0.1, 0.2, 0.3):
            system.set_importance("ant", entry.memory_id, importance)
        changed = system.pin("ant", entry.memory_id)
        assert changed == replace(entry, importance_score=0.3, pinned=True, revision=4), tier
        assert entries(system)[entry.step_number] == changed


def test_a_damaged_code_is_told_by_the_entry_and_others_stay_readable(
    tmp_path: Path,
) -> None:
    config = MemoryConfig(path=tmp_path / "memory", engine="embedded", **SMALL)
    with AgentMemorySystem(config) as system:
        fill(system, 0, 200)
        version = system.train_encoder(network=False).version
        fill(system, 200, 260)
        table: Any = ltm_models().EncoderVersion.__table__
        oldest = system.ltm.find(Query(run_id="default", agent_id="ant", limit=1))[0]
    with AgentMemorySystem(config, upkeep=False) as system:
        engine = open_engine(f"sqlite:///{tmp_path}/memory/agent_memory.db")
        with engine.begin() as connection:
            connection.execute(
                update(table).where(table.c.id == version).values(dictionary=b"damaged")
            )
        engine.dispose()
    with AgentMemorySystem(config, upkeep=False) as system:
        assert system.ltm.get(oldest.key) == oldest
        with pytest.raises(EncodingError, match=f"entry .*version {version} of the encoder"):
            system.recall(Query(agent_id="ant", steps=(205, 205)))
        fill(system, 260, 300)
        assert entries_from(system, 290)[295].contents == state(295)


def entries_from(system: AgentMemorySystem, first: int) -> Mapping[int, MemoryEntry]:
    hits = system.recall(Query(agent_id="ant", steps=(first, 10**6)), touch=False)
    return {hit.entry.step_number: hit.entry for hit in hits}


@pytest.mark.parametrize(
    "reported",
    [
        {"a": {"level_1": 1.0, "level_2": 0.5}},
        {"a": {"level_1": -1.0}},
        {"a": "loose"},
        {"a": {"level_3": 1.0}},
        [1],
        {"a": {"level_2": float("nan")}},
    ],
)
def test_tolerances_without_a_meaning_are_refused(reported: object) -> None:
    with pytest.raises(ConfigError, match="tolerances"):
        MemoryConfig(tolerances=reported)
