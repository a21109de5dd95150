"""Training: repeatable, stopped in time, reported in figures, and never below PCA."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from agent_memory import AgentMemorySystem, InvalidEntry, MemoryConfig, Query
from agent_memory.cli.commands import app
from agent_memory.embeddings.early_stopping import EarlyStopping
from agent_memory.embeddings.plan import Plan
from agent_memory.embeddings.training import Training, TrainingReport, train
from agent_memory.embeddings.widths import Widths
from agent_memory.values.query import Order

pytest.importorskip("torch")

PLAN = Plan(Widths(64, 40, 5), epochs=15, batch_size=64, hidden_layers=(48, 48), seed=3)


def bent(count: int, features: int = 30, latents: int = 3) -> list[dict[str, Any]]:
    """States on a curved surface of few dimensions, in the order of time."""
    random = np.random.default_rng(0)
    paths = np.zeros((count, latents))
    for step in range(1, count):
        paths[step] = paths[step - 1] * 0.9 + random.normal(size=latents) * 0.5
    waves = np.sin(
        paths @ random.normal(size=(latents, features)) + random.uniform(-3, 3, features)
    )
    return [{f"f{key:02d}": float(value) for key, value in enumerate(row)} for row in waves]


def memory_in(folder: Path, **more: Any) -> AgentMemorySystem:
    return AgentMemorySystem(MemoryConfig(path=folder, engine="embedded", **more))


@pytest.fixture(scope="module")
def trained() -> Training:
    return train(bent(1_000), PLAN)


@pytest.mark.long
def test_the_same_seed_and_states_give_the_same_bytes_and_another_seed_others(
    trained: Training,
) -> None:
    first, again = trained, train(bent(1_000), PLAN)
    assert first.report.kept == "learned", first.report
    assert first.encoder.to_bytes() == again.encoder.to_bytes()
    assert first.report == again.report
    other = train(bent(1_000), replace(PLAN, seed=4))
    assert other.encoder.to_bytes() != first.encoder.to_bytes()


def test_the_report_compares_every_code_at_every_width_and_can_be_written_as_json(
    trained: Training,
) -> None:
    report = trained.report
    for level in report.levels:
        assert level.learned is not None
        assert level.learned_int8 is not None
        assert level.pca_int8 is not None
        for measured in (level.pca, level.learned, level.pca_int8, level.learned_int8):
            assert measured.nrmse == pytest.approx((1 - measured.r2) ** 0.5)
            assert 0 <= measured.recall <= 1
    wide, middle, narrow = report.levels
    assert wide.features_int8 is not None  # 30 features and the constant fit 64 numbers
    assert wide.features_int8.r2 > 0.999
    assert middle.features_int8 == wide.features_int8
    assert narrow.features_int8 is None
    assert narrow.pca == narrow.pca_int8  # as they rest
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["levels"][2]["learned_int8"]


def test_what_is_kept_is_never_below_pca_at_any_width() -> None:
    random = np.random.default_rng(0)
    mixed = [{**state, "noise": float(random.normal()), "mood": "xyz"[step % 3]}
             for step, state in enumerate(bent(700))]  # fmt: skip
    for widths in (Widths(64, 24, 6), Widths(64, 6, 6), Widths(16, 8, 3)):
        report = train(mixed, Plan(widths, epochs=10, batch_size=64, hidden_layers=(32,))).report
        assert report.kept == "pca" or all(
            level.learned is not None
            and level.learned.r2 >= level.pca.r2 - 0.005
            and level.learned.recall >= level.pca.recall - 0.005
            for level in report.levels
        )


def test_with_float32_the_narrowest_are_compared_in_full() -> None:
    plan = Plan(PLAN.widths, network=False, dtype="float32")
    narrow = train(bent(600), plan).report.levels[-1]
    assert narrow.pca_int8 is not None
    assert narrow.pca != narrow.pca_int8


def test_the_weights_are_those_of_the_epoch_that_did_best_on_later_states(
    trained: Training,
) -> None:
    report = trained.report
    watched = report.losses["validation_loss"]
    assert report.epoch == 1 + watched.index(min(watched))
    # States that mean nothing can only be learned by heart, which is seen and stopped.
    random = np.random.default_rng(0)
    rows = random.normal(size=(700, 20))
    noise = [{f"f{key}": float(value) for key, value in enumerate(row)} for row in rows]
    reported: list[int] = []
    plan = Plan(PLAN.widths, epochs=80, batch_size=64, hidden_layers=(64,))
    stopped = train(noise, plan, lambda epoch, epochs, losses: reported.append(epoch)).report
    assert len(reported) == len(stopped.losses["loss"]) < 80
    assert stopped.epoch < len(reported)


def test_early_stopping_keeps_the_best_and_waits_a_quarter_of_the_epochs() -> None:
    stopping = EarlyStopping[str](60)
    losses = [3.0, 2.0, 1.0, *[1.5] * 14, 1.0]
    over = [stopping.is_over(loss, lambda at=at: f"epoch {at}") for at, loss in enumerate(losses)]  # type: ignore[misc]  # a default of a lambda
    assert over == [False] * 17 + [True]
    assert stopping.best == "epoch 2"


def test_a_training_that_is_interrupted_leaves_the_memory_as_it_was(tmp_path: Path) -> None:
    with memory_in(tmp_path, autoencoder_config={"ltm_dim": 6}) as memory:
        for step, state in enumerate(bent(300)):
            memory.store_agent_state("ant", state, step)
        before = memory.encoders.versions()

        def interrupt(epoch: int, epochs: int, losses: dict[str, float]) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            memory.train_encoder(progress=interrupt)
        assert memory.encoders.versions() == before
        assert memory.encoders.current == 0
        memory.store_agent_state("ant", {"f00": 0.5}, 300)
        (newest,) = memory.stm.find(
            Query(run_id="default", agent_id="ant", order=Order.NEWEST, limit=1)
        )
        assert newest.encoder_version == 0
        (hit,) = memory.recall(Query(agent_id="ant", limit=1), near=bent(300)[7])
        assert hit.entry.step_number == 7
        assert memory.train_encoder(epochs=2).version == 1


@pytest.mark.parametrize(
    "states",
    [
        [{"a": 5.0, "b": "x"}] * 700,
        [{"a": None, "b": float("nan")}] * 700,
        [{"a": float("inf"), "b": float(step), "c": float("nan")} for step in range(700)],
        [{f"k{step % 150}": float(step)} for step in range(700)],
        [{"name": f"n{step}", **state} for step, state in enumerate(bent(700))],
        [*bent(600), *({"x": [step, "y"], "z": None} for step in range(200))],
        [{"a": 10.0 ** (step % 300)} for step in range(700)],
    ],
    ids=["constant", "missing", "infinite", "keys", "names", "changes shape", "huge"],
)
def test_poor_states_are_learned_from_to_the_end_by_the_network_too(states: list[Any]) -> None:
    plan = Plan(Widths(24, 12, 4), epochs=3, hidden_layers=(16,), always=True)
    training = train(states, plan)
    assert np.isfinite(training.encoder.encode(states[-50:])).all()
    assert json.dumps(training.report.to_dict(), allow_nan=False)


def test_nothing_to_learn_from_is_told() -> None:
    with pytest.raises(InvalidEntry, match="at least one"):
        train([], PLAN)


def test_reports_of_before_are_listed_as_they_were(tmp_path: Path) -> None:
    with memory_in(tmp_path) as memory:
        memory.train_encoder(bent(200), network=False, contents=False)
    old = {"report": {"kept": "pca", "reason": "", "fitted": 160, "held_out": 40, "losses": {},
                      "levels": [{"width": 32, "pca": {"r2": 0.5, "recall": 0.25},
                                  "learned": None}]}}  # fmt: skip
    with closing(sqlite3.connect(tmp_path / "agent_memory.db")) as raw:
        raw.execute("UPDATE agent_ltm_encoder_versions SET metrics = ?", [json.dumps(old)])
        raw.commit()
    listed = CliRunner().invoke(app, ["encoder", "list", "--path", str(tmp_path)])
    assert listed.exit_code == 0, listed.output
    assert "0.500" in listed.output
    assert "0.250" in listed.output


def test_a_report_of_before_needs_no_epoch() -> None:
    assert TrainingReport("pca", "", (), 1, 0, {}).to_dict()["epoch"] == 0
