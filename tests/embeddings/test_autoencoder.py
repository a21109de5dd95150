"""The network: trained, measured against PCA, and run without torch to the same result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_memory.embeddings.encoder import FittedEncoder
from agent_memory.embeddings.engine import AutoencoderEmbeddingEngine
from agent_memory.embeddings.plan import Plan
from agent_memory.embeddings.training import train
from agent_memory.embeddings.weights import principal_weights
from agent_memory.embeddings.widths import Widths
from agent_memory.errors import ConfigError, EncodingError, InvalidEntry

torch = pytest.importorskip("torch")

# These import torch, which may be missing.
from agent_memory.embeddings.autoencoder import StateAutoencoder  # noqa: E402
from agent_memory.embeddings.autoencoder_fitting import fit_autoencoder  # noqa: E402

SMALL = Widths(24, 12, 6)


def _bent(count: int, features: int = 40, latents: int = 3, seed: int = 0) -> list[dict[str, Any]]:
    """States on a curved surface of few dimensions, which no plane of as few comes near."""
    random = np.random.default_rng(seed)
    paths = np.zeros((count, latents))
    for step in range(1, count):
        paths[step] = paths[step - 1] * 0.9 + random.normal(size=latents) * 0.5
    waves = np.sin(
        paths @ random.normal(size=(latents, features)) + random.uniform(-3, 3, features)
    )
    return [{f"f{key:02d}": float(value) for key, value in enumerate(row)} for row in waves]


def _rows(count: int = 256, columns: int = 20) -> Any:
    random = np.random.default_rng(1)
    rows = np.tanh(random.normal(size=(count, 4)) @ random.normal(size=(4, columns)))
    return rows - rows.mean(axis=0)


class TestStateAutoencoder:
    @pytest.mark.parametrize("hidden", [(), (16,), (512, 256)])
    def test_each_level_encodes_to_its_width_and_decodes_back(
        self, hidden: tuple[int, ...]
    ) -> None:
        model = StateAutoencoder(20, hidden_layers=hidden)
        x = torch.randn(7, 20, generator=torch.Generator().manual_seed(1))
        for level, (name, width) in enumerate([("stm", 384), ("im", 128), ("ltm", 32)]):
            z = getattr(model, f"encode_{name}")(x)
            assert z.shape == (7, width)
            assert getattr(model, f"decode_{name}")(z).shape == x.shape
            reconstruction, embedding = model(x, level)
            assert torch.equal(embedding, z)
            assert torch.allclose(reconstruction, x, atol=1e-4)  # 20 numbers fit 31
            assert torch.allclose(model(x[0], level)[1], z[0], atol=1e-5)
        assert torch.equal(model(x)[1], model.encode_stm(x))

    def test_hidden_layers_are_honoured(self) -> None:
        shapes = [tuple(p.shape) for p in StateAutoencoder(20, hidden_layers=(50, 9)).parameters()]
        assert {(20, 50), (50, 9), (9, 32), (32, 9), (9, 50), (50, 20)} <= set(shapes)

    def test_seeds_decide_and_the_callers_random_numbers_stay(self) -> None:
        before = torch.random.get_rng_state()
        one, same, other = (StateAutoencoder(9, seed=seed).state_dict() for seed in (1, 1, 2))
        assert all(torch.equal(one[name], same[name]) for name in one)
        assert not torch.equal(one["coder.0"], other["coder.0"])
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_wrong_widths_and_levels_are_refused(self) -> None:
        model = StateAutoencoder(20, 24, 12, 6)
        for call in (
            lambda: model.encode_stm(torch.zeros(3, 19)),
            lambda: model.decode_im(torch.zeros(3, 24)),
            lambda: model(torch.zeros(3, 20), 3),
            lambda: model.encode_ltm(torch.zeros(2, 3, 20)),
        ):
            with pytest.raises(InvalidEntry):
                call()
        for widths in ((20, 12, 24, 6), (0, 24, 12, 6), (20, 24, 12, 0)):
            with pytest.raises(ConfigError):
                StateAutoencoder(*widths)


class TestFitting:
    def test_numpy_and_torch_agree_single_and_batched(self) -> None:
        rows = _rows()
        start = principal_weights(rows, SMALL, 2.0)
        weights, _ = fit_autoencoder(rows, _room(start), SMALL_PLAN, None)
        model = StateAutoencoder(20, 24, 12, 6, SMALL_PLAN.hidden_layers)
        _load(model, weights)
        x = torch.from_numpy(rows.astype(np.float32))
        with torch.no_grad():
            for level, width in enumerate(SMALL):
                decoded, z = (part.numpy() for part in model(x, level))
                mine = weights.carry(weights.encode(rows), width, SMALL)
                assert np.abs(mine - z).max() < 1e-5
                assert np.abs(weights.decode(mine, SMALL) - decoded).max() < 1e-5
                single = weights.carry(weights.encode(rows[5:6]), width, SMALL)
                assert np.abs(single - z[5]).max() < 1e-5

    def test_losses_of_each_level_fall_and_are_repeatable(self) -> None:
        reported: list[tuple[int, int]] = []
        rows = _rows()
        start = _room(principal_weights(rows, SMALL, 2.0))

        def progress(epoch: int, epochs: int, losses: dict[str, float]) -> None:
            reported.append((epoch, epochs))
            assert set(losses) == {"loss", "stm_loss", "im_loss", "ltm_loss"}

        weights, losses = fit_autoencoder(rows, start, SMALL_PLAN, progress)
        again, same = fit_autoencoder(rows, start, SMALL_PLAN, None)
        assert reported == [(epoch, 20) for epoch in range(1, 21)]
        assert all(len(values) == 20 for values in losses.values())
        assert losses["ltm_loss"][-1] < losses["ltm_loss"][0]
        assert losses["ltm_loss"][-1] >= losses["im_loss"][-1] >= losses["stm_loss"][-1]
        assert losses == same
        assert np.array_equal(weights.encode(rows), again.encode(rows))

    def test_seed_and_learning_rate_matter(self) -> None:
        rows = _rows()
        start = _room(principal_weights(rows, SMALL, 2.0))
        losses = [
            fit_autoencoder(rows, start, plan, None)[1]["loss"]
            for plan in (SMALL_PLAN, Plan(SMALL, 1, 20, 64, 3e-3, (32,), 8),
                         Plan(SMALL, 1, 20, 64, 1e-9, (32,), 7))
        ]  # fmt: skip
        assert losses[0] != losses[1]
        assert losses[2][-1] > losses[0][-1]

    def test_a_training_that_diverges_is_told(self) -> None:
        rows = _rows()
        start = _room(principal_weights(rows, SMALL, 2.0))
        with pytest.raises(InvalidEntry, match="learning_rate"):
            fit_autoencoder(rows, start, SMALL_PLAN.with_steps(5, 64, 1e30), None)

    @pytest.mark.parametrize(("count", "columns"), [(1, 1), (1, 5), (2, 3), (5, 1)])
    def test_few_rows_and_columns_serve(self, count: int, columns: int) -> None:
        rows = _rows(count, columns)
        start = _room(principal_weights(rows, SMALL, 2.0))
        weights, _ = fit_autoencoder(rows, start, SMALL_PLAN.with_steps(2, 4, 1e-3), None)
        assert np.isfinite(weights.encode(rows)).all()


SMALL_PLAN = Plan(SMALL, input_dim=1, epochs=20, batch_size=64, learning_rate=3e-3,
                  hidden_layers=(32,), seed=7)  # fmt: skip


def _room(weights: Any) -> Any:
    """As ``training`` does: the code takes the place of the first components."""
    from dataclasses import replace  # noqa: PLC0415

    axes = np.hstack([weights.code_in, weights.directions])[:, : SMALL.stm - 1 - SMALL.code]
    return replace(weights, directions=np.ascontiguousarray(axes), faintness=0.1)


def _load(model: StateAutoencoder, weights: Any) -> None:
    model.start_from(weights)
    with torch.no_grad():
        for own, layers in ((model.coder, weights.coder), (model.decoder, weights.decoder)):
            arrays = [array for layer in layers for array in layer]
            for parameter, array in zip(own, arrays, strict=True):
                parameter.copy_(torch.from_numpy(array))


class TestChoice:
    def test_a_network_that_beats_pca_is_kept(self) -> None:
        plan = Plan(Widths(64, 48, 5), epochs=40, batch_size=128, learning_rate=3e-3,
                    hidden_layers=(64, 64))  # fmt: skip
        training = train(_bent(2500), plan)
        narrow = training.report.levels[-1]
        assert training.report.kept == "learned", training.report
        assert narrow.learned is not None
        assert narrow.learned.r2 > narrow.pca.r2
        assert narrow.learned.recall > narrow.pca.recall
        again = FittedEncoder.from_bytes(training.encoder.to_bytes())
        states = _bent(50, seed=0)
        assert np.array_equal(again.encode(states), training.encoder.encode(states))
        vector = again.carry(again.encode_one(states[3]), 5)
        assert again.reconstruct(vector).errors.keys() == states[3].keys()

    def test_a_network_that_does_not_is_not(self) -> None:
        random = np.random.default_rng(3)
        flat = random.normal(size=(400, 10))
        states = [{f"f{key}": float(value) for key, value in enumerate(row)} for row in flat]
        plan = Plan(Widths(64, 16, 4), epochs=2, learning_rate=1e-7, hidden_layers=(8,))
        training = train(states, plan)
        assert training.report.kept == "pca"
        assert training.report.levels[-1].learned is not None
        assert not training.encoder.weights.coder


class TestEngine:
    def _engine(self, **others: Any) -> AutoencoderEmbeddingEngine:
        widths = {"stm_dim": 24, "im_dim": 12, "ltm_dim": 6}
        return AutoencoderEmbeddingEngine(**{**widths, "hidden_layers": (16,), **others})

    def test_it_encodes_before_and_after_training(self, tmp_path: Path) -> None:
        engine = AutoencoderEmbeddingEngine()
        state = _bent(1)[0]
        first = engine.encode_stm(state), engine.encode_im(state), engine.encode_ltm(state)
        assert [len(vector) for vector in first] == [384, 128, 32]
        with pytest.raises(ConfigError):
            engine.reconstruct(engine.encode_ltm(state))
        losses = engine.train(_bent(120), epochs=2, batch_size=32, learning_rate=0.001)
        assert {name: len(values) for name, values in losses.items()} == {
            "loss": 2, "stm_loss": 2, "im_loss": 2, "ltm_loss": 2}  # fmt: skip
        assert engine.report is not None
        vectors = engine.encode_stm(state), engine.encode_im(state), engine.encode_ltm(state)
        assert [len(vector) for vector in vectors] == [384, 128, 32]
        assert all(type(number) is float for number in vectors[0])
        assert engine.reconstruct(vectors[0]).state == pytest.approx(state, abs=1e-3)
        engine.save_model(tmp_path / "model")
        loaded = AutoencoderEmbeddingEngine(tmp_path / "model")
        assert loaded.encode_stm(state) == vectors[0]

    def test_more_features_than_input_dim_all_count(self) -> None:
        engine = self._engine(input_dim=2)
        states = _bent(200)
        engine.train(states, epochs=1)
        assert isinstance(engine.encoder, FittedEncoder)
        assert engine.encoder.schema.width == 40
        for key in states[0]:
            assert engine.encode_stm(states[0]) != engine.encode_stm(states[0] | {key: 0.123})

    def test_a_file_of_other_dimensions_is_refused(self, tmp_path: Path) -> None:
        engine = self._engine()
        for trained in (False, True):
            if trained:
                engine.train(_bent(60), epochs=1)
            engine.save_model(tmp_path / "model")
            vector = self._engine(model_path=tmp_path / "model").encode_stm({"f00": 0.5})
            assert vector == engine.encode_stm({"f00": 0.5})
            for other in ({"stm_dim": 25}, {"im_dim": 13}, {"ltm_dim": 5}, {"input_dim": 9}):
                with pytest.raises(ConfigError):
                    self._engine(model_path=tmp_path / "model", **other)

    def test_a_damaged_file_leaves_the_engine_as_it_was(self, tmp_path: Path) -> None:
        engine = self._engine()
        before = engine.encode_stm({"a": 1})
        (tmp_path / "model").write_bytes(b"\x80\x04\x95 a pickle")
        with pytest.raises(EncodingError):
            engine.load_model(tmp_path / "model")
        with pytest.raises(ConfigError):
            engine.load_model(tmp_path / "nowhere")
        assert engine.encode_stm({"a": 1}) == before

    def test_bad_arguments_are_refused(self) -> None:
        engine = self._engine()
        with pytest.raises(InvalidEntry):
            engine.train([], 1, 1, 0.1)
        with pytest.raises(InvalidEntry):
            engine.encode_ltm([1, 2, 3])
        for wrong in ({"epochs": 0}, {"batch_size": 0}, {"learning_rate": -1.0}):
            with pytest.raises(ConfigError):
                engine.train([{"a": 1}], **wrong)
        with pytest.raises(ConfigError):
            AutoencoderEmbeddingEngine(stm_dim=10)

    def test_the_same_seed_gives_the_same_engine(self) -> None:
        vectors = []
        for seed in (1, 1):
            engine = self._engine(seed=seed)
            losses = engine.train(_bent(100), epochs=2)
            vectors.append((engine.encode_ltm(_bent(1)[0]), losses))
        assert vectors[0] == vectors[1]

    def test_states_without_features_train_to_nothing(self) -> None:
        engine = self._engine()
        assert engine.train([{"a": None}] * 50, epochs=1)["loss"] == []
        assert len(engine.encode_ltm({"a": 1})) == 6
