"""Versions of the code of contents over time: recoded, measured, removed, side by side."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner

from agent_memory import AgentMemorySystem, MemoryConfig, MemoryEntry, Order, Query
from agent_memory.cli.commands import app
from agent_memory.compression.fitted.structure import leaf_paths, take_apart
from agent_memory.errors import EncoderInUse, EncoderNotFound, InvalidEntry, StoreReadOnly
from agent_memory.values.check_report import Kind
from agent_memory.values.coded import code_named_by
from tests import engines

LIMITS: dict[str, Any] = {
    "stm_config": {"memory_limit": 40},
    "im_config": {"memory_limit": 20},
    "cleanup_interval": 10,
}


def state(step: int) -> dict[str, Any]:
    rng = random.Random(step)
    place = [rng.uniform(-5, 5) for _ in range(6)]
    return {"place": place, "sum": place[0] + place[1], "mood": rng.choice(["calm", "alert"])}


def config_of(folder: Path, **further: Any) -> MemoryConfig:
    settings = {"engine": "embedded", "search": False, **LIMITS, **further}
    return MemoryConfig(path=folder / "memory", **settings)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(config_of(tmp_path)) as opened:
        yield opened


def fill(system: AgentMemorySystem, first: int, last: int, times: float = 1.0) -> None:
    for step in range(first, last):
        reported = state(step)
        reported["sum"] *= times
        assert system.store_agent_state("ant", reported, step)
    system.maintain()


def entries(system: AgentMemorySystem) -> list[MemoryEntry]:
    asked = Query(agent_id="ant", order=Order.STEP)
    return [hit.entry for hit in system.recall(asked, touch=False)]


def stored(system: AgentMemorySystem) -> list[bytes]:
    with system.sql_engine.connect() as connection:
        contents = select(system.models.LtmEntry.__table__.c.contents)
        return [bytes(one) for one in connection.scalars(contents)]


def check_bounds(system: AgentMemorySystem, count: int) -> None:
    found = entries(system)
    assert [entry.step_number for entry in found] == [*range(count)]
    for entry in found:
        bounds = entry.error_bounds or {}
        was, is_now = state(entry.step_number), entry.contents
        for place, value in enumerate(was["place"]):
            assert abs(value - is_now["place"][place]) <= bounds.get(f"place[{place}]", 0.0)
        assert abs(was["sum"] - is_now["sum"]) <= bounds.get("sum", 0.0)
        assert is_now["mood"] == was["mood"]


def test_what_was_exact_can_be_coded_anew_and_is_small_and_within_bounds(
    system: AgentMemorySystem,
) -> None:
    fill(system, 0, 400)
    version = system.train_encoder(network=False).version
    before = sum(map(len, stored(system)))
    assert system.encoders.reencode().left == 0
    assert not any(map(code_named_by, stored(system)))  # vectors alone
    reported: list[tuple[int, int]] = []
    done = system.encoders.recode(progress=lambda *now: reported.append(now))
    assert done == (340, 0)
    assert reported[-1] == (340, 340)
    assert {code_named_by(one) for one in stored(system)} == {version}
    assert sum(map(len, stored(system))) < before / 8
    check_bounds(system, 400)
    assert sum(1 for entry in entries(system) if entry.error_bounds) == 340


def test_contents_beside_vectors_are_read_whatever_vectors_they_get(
    system: AgentMemorySystem,
) -> None:
    fill(system, 0, 300)
    first = system.train_encoder(network=False).version
    fill(system, 300, 500)
    second = system.train_encoder(network=False).version
    before = [entry.contents for entry in entries(system)]
    for version in (second, 0, first, second):
        system.encoders.reencode(version)
        assert [entry.contents for entry in entries(system)] == before
    check_bounds(system, 500)


def test_a_version_is_removed_once_nothing_needs_it(
    system: AgentMemorySystem, tmp_path: Path
) -> None:
    fill(system, 0, 300)
    first = system.train_encoder(network=False).version
    with pytest.raises(EncoderInUse, match="activate another first"):
        system.encoders.remove(first)
    fill(system, 300, 400)
    second = system.train_encoder(network=False).version
    assert system.encoders.versions()[-1].parent == first
    with pytest.raises(EncoderInUse, match=r"LTM: \d+ vectors, contents of"):
        system.encoders.remove(first)
    system.encoders.reencode()
    with pytest.raises(EncoderInUse, match="0 vectors, contents of"):
        system.encoders.remove(first)
    # The numbers lie on lattices that the second version has taken over, and keep their values.
    before = {entry.step_number: entry for entry in entries(system)}
    assert system.encoders.recode().left == 0
    for step, entry in {one.step_number: one for one in entries(system)}.items():
        if before[step].error_bounds:
            assert (entry.contents, entry.error_bounds) == (
                before[step].contents, before[step].error_bounds,
            )  # fmt: skip
    fill(system, 400, 440)  # what was in intermediate memory moves on
    system.encoders.remove(first)
    check_bounds(system, 440)
    assert {record.version: record.status for record in system.encoders.versions()} == {
        0: "registered", first: "removed", second: "active",
    }  # fmt: skip
    for refused in (first, 7):
        with pytest.raises(EncoderNotFound):
            system.encoders.remove(refused)
        with pytest.raises(EncoderNotFound):
            system.encoders.activate(refused)
    assert system.train_encoder(network=False).version == second + 1
    with (
        AgentMemorySystem.open(tmp_path / "memory", read_only=True) as reader,
        pytest.raises(StoreReadOnly),
    ):
        reader.encoders.remove(second)


def test_a_version_that_entries_in_the_spool_have_vectors_of_is_not_removed(
    system: AgentMemorySystem,
) -> None:
    fill(system, 0, 60)
    first = system.train_encoder(network=False).version
    fill(system, 60, 61)
    (entry,) = system.stm.find(Query(run_id="default", agent_id="ant", order=Order.NEWEST, limit=1))
    spool = system._resources.intake._spool
    assert spool is not None
    assert entry.encoder_version == first
    spool.put(entry, 0.0)
    system.encoders.activate(0)
    with pytest.raises(EncoderInUse, match="spool: 1 vectors"):
        system.encoders.remove(first)


def test_what_leaves_the_spool_meanwhile_is_counted_where_it_went(
    system: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spool first, then the tiers from the top down: so do entries go."""
    first = system.train_encoder([state(step) for step in range(60)], network=False).version
    system.encoders.activate(0)
    asked: list[str] = []

    def noted(owner: object, name: str, place: str) -> None:
        ask = getattr(owner, name)

        def asking() -> Any:
            asked.append(place)
            return ask()

        monkeypatch.setattr(owner, name, asking)

    resources = system._resources
    noted(resources.intake, "spooled", "spool")
    for tier in resources.tiers:
        noted(tier.encodings, "versions", tier.tier.name)
    system.encoders.remove(first)
    assert asked == ["spool", "STM", "IM", "LTM"]


@pytest.mark.parametrize("damage", ["scale", "zeros"])
def test_a_damaged_vector_of_a_trained_encoder_beside_exact_contents_is_found(
    system: AgentMemorySystem, damage: str
) -> None:
    states = [state(step) for step in range(300)]
    system.train_encoder(states, network=False, contents=False)
    fill(system, 0, 150)
    before = entries(system)
    rows = system.models.LtmEntry.__table__
    with system.sql_engine.begin() as connection:
        row = connection.execute(select(rows.c.id, rows.c.embedding).limit(1)).one()
        raw = bytearray(row.embedding)
        raw[3] ^= 0x02  # of the scale's exponent
        wrong = bytes(raw) if damage == "scale" else raw[:4] + bytes(len(raw) - 4)
        connection.execute(update(rows).where(rows.c.id == row.id).values(embedding=bytes(wrong)))
    (found,) = system.check().findings
    assert found.kind is Kind.VECTOR
    assert system.check(repair=True).left == 0
    assert entries(system) == before


@pytest.mark.parametrize("wrong", [0, None])
def test_a_vector_whose_version_is_named_wrong_is_told_by_the_contents_beside_it(
    system: AgentMemorySystem, wrong: int | None
) -> None:
    fill(system, 0, 300)
    version = system.train_encoder(network=False).version
    fill(system, 300, 500)
    before = entries(system)
    rows = system.models.LtmEntry.__table__
    with system.sql_engine.begin() as connection:
        last = select(rows.c.id).order_by(rows.c.step_number.desc()).limit(1)
        number = connection.scalars(last).one()
        changed = update(rows).where(rows.c.id == number).values(encoder_version=wrong)
        assert connection.execute(changed).rowcount == 1
    (found,) = system.check().findings
    assert (found.kind, f"of version {version}" in found.means) == (Kind.VECTOR, True)
    assert system.check(repair=True).left == 0
    assert system.check().findings == ()
    assert entries(system) == before


def test_what_a_process_that_has_not_heard_of_the_removal_codes_is_not_lost(
    tmp_path: Path,
) -> None:
    with AgentMemorySystem(config_of(tmp_path)) as system:
        fill(system, 0, 300)
        first = system.train_encoder(network=False).version
        # Of another configuration: it shares nothing with this one, as in another process.
        apart = config_of(tmp_path, vector_cache_bytes=1_000_000)
        with AgentMemorySystem(apart, upkeep=False) as other:
            system.encoders.activate(0)
            system.encoders.remove(first)
            for step in range(300, 400):
                assert other.store_agent_state("ant", state(step), step)
        assert first in {code_named_by(one) for one in stored(system)}
    with AgentMemorySystem(config_of(tmp_path)) as system:
        check_bounds(system, 400)


def test_contents_outlive_the_loss_of_their_code_s_row(tmp_path: Path) -> None:
    with AgentMemorySystem(config_of(tmp_path)) as system:
        fill(system, 0, 300)
        system.train_encoder(network=False)
        fill(system, 300, 330)
        kept = system.im.find(Query(run_id="default", agent_id="ant"))
        assert any(entry.error_bounds for entry in kept)
    for file in (tmp_path / "memory").glob("agent_memory.db*"):
        file.unlink()
    with AgentMemorySystem(config_of(tmp_path), upkeep=False) as system:
        assert system.im.find(Query(run_id="default", agent_id="ant")) == kept


def test_a_number_that_contents_name_is_not_given_again_when_its_row_is_lost(
    tmp_path: Path,
) -> None:
    with AgentMemorySystem(config_of(tmp_path)) as system:
        fill(system, 0, 200)
        first = system.train_encoder(network=False).version
        fill(system, 200, 230)
        system.encoders.reencode(0)  # no vector names it any more
        kept = system.im.find(Query(run_id="default", agent_id="ant"))
        assert any(entry.error_bounds for entry in kept)
    for file in (tmp_path / "memory").glob("agent_memory.db*"):
        file.unlink()
    with AgentMemorySystem(config_of(tmp_path), upkeep=False) as system:
        others = [{"place": [step / 3], "sum": 1.0} for step in range(100)]
        assert system.train_encoder(others, network=False).version > first
    with AgentMemorySystem(config_of(tmp_path), upkeep=False) as system:
        assert system.im.find(Query(run_id="default", agent_id="ant")) == kept


def test_contents_that_another_coded_anew_meanwhile_do_not_lose_their_vector(
    system: AgentMemorySystem,
) -> None:
    fill(system, 0, 200)
    version = system.train_encoder(network=False).version
    system.encoders.reencode()
    keys = system.ltm.keys("default", "ant")
    read = system.ltm.get_many(keys)  # exact
    others = [replace(one, embedding=np.ones(2, np.float32), encoder_version=0) for one in read]
    assert system.encoders.recode().done == len(keys)
    for known in (read, None):  # as one that re-encodes, and as a check that mends
        assert system.ltm.encodings.reembed(others, known) == [False] * len(keys)
    assert {entry.encoder_version for entry in system.ltm.get_many(keys)} == {version}
    check_bounds(system, 200)
    assert system.encoders.reencode(0).left == 0
    check_bounds(system, 200)


def test_fidelity_is_measured_and_drift_is_advised(
    system: AgentMemorySystem, tmp_path: Path
) -> None:
    fill(system, 0, 300)
    system.train_encoder(network=False)
    fill(system, 300, 340)
    fits = system.encoders.fidelity()
    assert (fits.inside, fits.known, fits.drifted) == (1.0, 1.0, False)
    for path in ("place[0]", "sum"):
        one = fits.paths[path]
        assert one.bound is not None
        assert 0.0 < one.mean <= one.largest <= one.bound
        assert one.vector_expected is not None
        assert one.vector_measured is not None
        assert math.isclose(one.vector_measured, one.vector_expected, rel_tol=1.0, abs_tol=0.05)
    runner = CliRunner()
    command = ["encoder", "report", "--path", str(tmp_path / "memory")]
    reported = runner.invoke(app, command)
    assert reported.exit_code == 0, reported.output
    assert "place[0]" in reported.output
    fill(system, 340, 380, times=100.0)
    drifted = system.encoders.fidelity()
    assert drifted.inside == 1.0
    assert drifted.paths["sum"].outside > 0.9
    assert any("outside the range" in advice for advice in drifted.advice)
    reported = runner.invoke(app, command)
    assert reported.exit_code == 1
    assert "train a new version" in reported.output
    for step in range(380, 430):
        assert system.store_agent_state("ant", {"another": [step, 1.5]}, step)
    assert any("shape" in advice for advice in system.encoders.fidelity().advice)


def test_a_memory_of_any_tier_is_reconstructed_beside_what_is_kept_of_it(
    system: AgentMemorySystem,
) -> None:
    fill(system, 0, 300)
    system.train_encoder(network=False)
    system.encoders.reencode()
    system.encoders.recode()
    for tier in (system.stm, system.im, system.ltm):
        entry = tier.find(Query(run_id="default", agent_id="ant", limit=1))[0]
        rebuilt, original = system.reconstruct(entry), state(entry.step_number)
        assert rebuilt.contents is not None
        assert [*rebuilt.contents] == [*original]
        assert type(rebuilt.contents["sum"]) is float
        assert abs(rebuilt.contents["sum"] - original["sum"]) <= rebuilt.bounds.get("sum", 0.0)
        assert rebuilt.state["mood"] == original["mood"]
        assert abs(rebuilt.state["sum"] - original["sum"]) < 20 * rebuilt.errors["sum"].typical
    vector = system.stm.find(Query(run_id="default", agent_id="ant", limit=1))[0].embedding
    assert vector is not None
    assert system.reconstruct(vector).contents is None


def test_an_untrained_version_has_nothing_to_measure(system: AgentMemorySystem) -> None:
    fill(system, 0, 50)
    found = system.encoders.fidelity()
    assert (found.known, found.outside, found.worse, found.advice) == (None, None, None, ())
    assert system.encoders.fidelity(runs=["another"]).entries == 0
    wrong: Any
    for wrong in (0, -1, 1.5, "2"):
        with pytest.raises(InvalidEntry, match="most"):
            system.encoders.fidelity(most=wrong)


def test_versions_are_looked_after_on_the_command_line(
    system: AgentMemorySystem, tmp_path: Path
) -> None:
    fill(system, 0, 200)
    first = system.train_encoder(network=False).version
    where = ["--path", str(tmp_path / "memory")]
    runner = CliRunner()
    reported = runner.invoke(app, ["encoder", "recode", *where])
    assert reported.exit_code == 0, reported.output
    assert "recoded: 140 entries" in reported.output
    reported = runner.invoke(app, ["encoder", "remove", str(first), *where])
    assert reported.exit_code != 0
    assert "activate another first" in " ".join(reported.output.split())


def _names(count: int) -> list[dict[str, Any]]:
    return [{"name": f"n{place}", "at": float(place)} for place in range(count)]


HARD: dict[str, list[dict[str, Any]]] = {
    "one": [{"x": 1.5, "y": [1, 2]}],
    "constant": [{"x": 2.5, "y": "a", "z": None}] * 50,
    "missing": [{"x": None, "y": None}] * 30,
    "no numbers": [{"x": math.nan, "y": math.inf}, {"x": -math.inf, "y": math.nan}] * 20,
    "numbers and none": [
        {"x": math.nan if place % 3 else place / 7, "y": -math.inf if place % 5 else place / 3}
        for place in range(60)
    ],
    "many keys": [{f"k{place}-{step}": step / 3 for place in range(100)} for step in range(50)],
    "keys in one": [{f"k{place}": place / 3 + step for place in range(5_000)} for step in range(3)],
    "names": _names(3_000),
    "changing": [
        {"x": step / 3} if step < 40 else {"x": [step / 3, "b"], "other": {"y": step}}
        for step in range(80)
    ],
    "empty": [{}] * 20,
    "huge": [{"x": 1e308 * (-1) ** step, "n": 10**30 + step} for step in range(40)],
    "tiny": [{"x": 5e-324 * step} for step in range(40)],
}


@pytest.mark.parametrize(
    "name", engines.parameters([*HARD], HARD.keys() - {"many keys", "keys in one", "names"})
)
def test_whatever_was_trained_on_is_kept_within_bounds(
    name: str, system: AgentMemorySystem
) -> None:
    states = HARD[name]
    system.train_encoder(states, network=False)
    reported = states[:150]
    for step, one in enumerate(reported):
        assert system.store_agent_state("ant", one, step)
    system.maintain()
    found = entries(system)
    assert len(found) == len(reported)
    for entry in found:
        before, after = take_apart(reported[entry.step_number]), take_apart(entry.contents)
        if before is None or after is None:  # too many leaves: exact
            assert entry.contents == reported[entry.step_number]
            continue
        assert before[0] == after[0]
        bounds = entry.error_bounds or {}
        for path, was, is_now in zip(leaf_paths(before[0]), before[1], after[1], strict=True):
            assert type(was) is type(is_now)
            exact = was == is_now or (was != was and is_now != is_now)  # noqa: PLR0124  # NaN
            assert exact or abs(was - is_now) <= bounds[path]


def test_nothing_to_train_on_is_refused(system: AgentMemorySystem) -> None:
    with pytest.raises(InvalidEntry):
        system.train_encoder([])
    with pytest.raises(InvalidEntry):
        system.train_encoder()
    assert [record.version for record in system.encoders.versions()] == [0]


def test_a_tolerance_of_zero_is_exact(tmp_path: Path) -> None:
    reported = {"place[0]": {"level_1": 0.0, "level_2": 0.0}, "sum": {"level_1": 0.0}}
    with AgentMemorySystem(config_of(tmp_path, tolerances=reported)) as system:
        fill(system, 0, 300)
        system.train_encoder(network=False)
        fill(system, 300, 450)
        for entry in entries(system):
            assert entry.contents["place"][0] == state(entry.step_number)["place"][0]
            assert entry.contents["sum"] == state(entry.step_number)["sum"]
        check_bounds(system, 450)


def test_a_training_that_is_interrupted_leaves_codes_as_they_were(
    system: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    fill(system, 0, 200)
    with monkeypatch.context() as patched:
        patched.setattr("agent_memory.system.learning.training.fit_contents", interrupted)
        with pytest.raises(KeyboardInterrupt):
            system.train_encoder(network=False)
    assert [record.version for record in system.encoders.versions()] == [0]
    fill(system, 200, 300)
    assert not any(entry.error_bounds for entry in entries(system))


def test_what_was_stored_exactly_stays_so_under_a_pin_or_another_importance(
    system: AgentMemorySystem,
) -> None:
    fill(system, 0, 200)
    system.train_encoder(network=False)
    for tier in (system.im, system.ltm):
        entry = tier.find(Query(run_id="default", agent_id="ant", limit=1))[0]
        assert entry.contents == state(entry.step_number)
        system.pin("ant", entry.memory_id)
        changed = system.set_importance("ant", entry.memory_id, 0.25)
        assert tier.get(entry.key) == changed
        assert changed.contents == state(entry.step_number)
        assert changed.error_bounds is None
        other = tier.replace(replace(changed, contents={**changed.contents, "sum": 0.125}))
        assert abs(other.contents["sum"] - 0.125) <= (other.error_bounds or {"sum": 0.0})["sum"]
