"""A fitted encoder: its schema, its file, its vectors, and what they are decoded to."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_memory.config import AutoencoderConfig
from agent_memory.embeddings import framing
from agent_memory.embeddings.encoder import FittedEncoder
from agent_memory.embeddings.features import flatten
from agent_memory.embeddings.plan import Plan
from agent_memory.embeddings.ranking import as_units, with_bias
from agent_memory.embeddings.resting import at_rest
from agent_memory.embeddings.schema import OTHER
from agent_memory.embeddings.schema_fitting import BUCKETS, MAX_CATEGORIES, MAX_COLUMNS, fit_schema
from agent_memory.embeddings.training import train
from agent_memory.embeddings.version_zero import VersionZero
from agent_memory.embeddings.widths import Widths
from agent_memory.errors import ConfigError, EncodingError, InvalidEntry

RANDOM = np.random.default_rng(0)


def _states(count: int = 300) -> list[dict[str, Any]]:
    """States of few degrees of freedom, so that PCA loses nothing at any width."""
    return [
        {
            "place": (int(x), float(y)),
            "energy": float(x * 2 + y),
            "mood": ("calm", "wild")[int(x > 5)],
            "alive": bool(y > 0),
            "partner": None if x > 8 else int(x),
            "seen": list(range(int(x) % 4)),
        }
        for x, y in zip(RANDOM.integers(0, 11, count), RANDOM.normal(size=count), strict=True)
    ]


@pytest.fixture(scope="module")
def encoder() -> FittedEncoder:
    return train(_states()).encoder


def test_inference_does_not_load_torch() -> None:
    code = (
        "import sys; from agent_memory.embeddings.engine import AutoencoderEmbeddingEngine as E;"
        "from agent_memory.embeddings.training import train;"
        "E().encode_stm({'a': 1}); train([{'a': float(i)} for i in range(200)]).encoder;"
        "assert 'torch' not in sys.modules; assert 'sqlalchemy' not in sys.modules"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


class TestSchema:
    def test_states_come_back_from_their_rows(self) -> None:
        states = _states()
        schema = fit_schema(states)
        back = schema.states(schema.rows(states))
        for state, decoded in zip(states, back, strict=True):
            wanted = flatten(state)
            assert flatten(decoded).keys() == wanted.keys()
            for path, value in flatten(decoded).items():
                assert value == pytest.approx(wanted[path]), path
        assert type(back[0]["place"][0]) is int
        assert type(back[0]["alive"]) is bool

    def test_one_outlier_does_not_flatten_the_rest(self) -> None:
        values = [*range(100), 10**12]
        rows = fit_schema([{"a": value} for value in values]).rows([{"a": 10}, {"a": 90}])
        assert abs(rows[0, 0] - rows[1, 0]) > 0.5

    def test_new_and_absent_keys_move_no_other_column(self) -> None:
        schema = fit_schema(_states())
        state = _states(1)[0]
        assert np.array_equal(schema.rows([state]), schema.rows([state | {"new": 5}]))
        less = {key: value for key, value in state.items() if key != "energy"}
        moved = np.flatnonzero(schema.rows([state])[0] != schema.rows([less])[0])
        names = [schema.numbers[place].path for place in moved]
        assert names == ["energy"]

    def test_rare_texts_share_a_column(self) -> None:
        states = [{"name": f"n{place}", "kind": "ab"[place % 2]} for place in range(5000)]
        schema = fit_schema(states)
        assert schema.width == 1 + 3
        assert schema.states(schema.rows(states[:1])) == [{"name": OTHER, "kind": "a"}]
        many = [{"kind": f"k{place % 100}"} for place in range(5000)]
        assert fit_schema(many).width == MAX_CATEGORIES + 1

    def test_five_thousand_keys_have_a_bounded_width_and_all_count(self) -> None:
        states = [{f"k{key}": float(key * step) for key in range(5000)} for step in range(1, 4)]
        schema = fit_schema(states)
        assert schema.width == MAX_COLUMNS + BUCKETS
        changed = ({**states[0], f"k{key}": -1.0} for key in range(0, 5000, 83))
        rows = schema.rows([states[0], *changed])
        assert (rows[1:] != rows[0]).any(axis=1).all()

    def test_a_feature_that_never_changed_shows_a_change(self) -> None:
        schema = fit_schema([{"a": 5.0}] * 3)
        assert schema.rows([{"a": 6.0}])[0, 0] != schema.rows([{"a": 5.0}])[0, 0]

    @pytest.mark.parametrize("extreme", [math.inf, -math.inf, 1.7e308, -1.7e308, 5e-324, 10**400])
    def test_extreme_numbers_leave_rows_finite(self, extreme: float) -> None:
        states = [{"a": float(place), "b": extreme} for place in range(20)] + [{"a": extreme}]
        schema = fit_schema(states)
        rows = schema.rows(states)
        assert np.isfinite(rows).all()
        assert np.isfinite([state["a"] for state in schema.states(rows * 1e6)]).all()

    def test_no_states_are_refused(self) -> None:
        with pytest.raises(InvalidEntry):
            fit_schema([])


class TestVectors:
    def test_one_alone_is_encoded_as_in_a_batch(self, encoder: FittedEncoder) -> None:
        states = _states(600)
        batch = encoder.encode(iter(states))
        assert batch.shape == (600, 384)
        assert batch.dtype == np.float32
        for place in (0, 511, 599):
            assert np.allclose(encoder.encode_one(states[place]), batch[place], atol=1e-5)
        assert encoder.encode([]).shape == (0, 384)

    def test_carrying_is_linear_and_goes_by_steps(self, encoder: FittedEncoder) -> None:
        vectors = encoder.encode(_states(5))
        narrow = encoder.carry(vectors, 32)
        assert np.array_equal(encoder.carry(encoder.carry(vectors, 128), 32), narrow)
        assert np.allclose(
            encoder.carry(2 * vectors[0] + vectors[1], 32), 2 * narrow[0] + narrow[1]
        )

    def test_any_tiers_vector_is_decoded(self, encoder: FittedEncoder) -> None:
        state = _states(1)[0]
        vector = encoder.encode_one(state)
        for width in (384, 128, 32):
            rebuilt = encoder.reconstruct(encoder.carry(vector, width))
            wanted = flatten(state)
            for path, value in flatten(rebuilt.state).items():
                assert value == pytest.approx(wanted[path], abs=1e-3), path
            # The errors of long-term vectors are those as stored, with a byte a number.
            assert rebuilt.errors["energy"].relative < (1e-2 if width == 32 else 1e-4)
            assert rebuilt.errors["mood"].typical == 0.0

    def test_the_errors_of_long_term_vectors_are_those_of_vectors_as_they_rest(
        self, encoder: FittedEncoder
    ) -> None:
        states = _states(200)
        vectors = encoder.carry(encoder.encode(states), 32)
        rebuilt = [encoder.reconstruct(at_rest(vector)) for vector in vectors]
        off = [
            abs(one.state["energy"] - state["energy"])
            for one, state in zip(rebuilt, states, strict=True)
        ]
        assert 0.5 < np.mean(off) / rebuilt[0].errors["energy"].typical < 2.0

    def test_errors_are_those_of_the_width(self) -> None:
        states = [{f"f{key}": float(v) for key, v in enumerate(row)}
                  for row in np.random.default_rng(1).normal(size=(400, 60))]  # fmt: skip
        encoder = train(states, Plan(Widths(64, 16, 4), epochs=1)).encoder
        vector = encoder.encode_one(states[-1])
        wide, narrow = (encoder.reconstruct(encoder.carry(vector, width)) for width in (64, 4))
        assert wide.errors["f1"].typical < 1e-4
        assert 0.5 < narrow.errors["f1"].typical < 1.0
        off = [abs(narrow.state[f"f{key}"] - states[-1][f"f{key}"]) for key in range(60)]
        typical = [narrow.errors[f"f{key}"].typical for key in range(60)]
        assert 0.5 < np.mean(off) / np.mean(typical) < 2.0

    @pytest.mark.parametrize("vector", [[1.0], [1.0] * 33, [], [math.nan] * 32, [[1.0] * 32]])
    def test_what_is_no_vector_is_refused(self, encoder: FittedEncoder, vector: Any) -> None:
        with pytest.raises(InvalidEntry):
            encoder.reconstruct(vector)

    def test_similarity_is_greatest_for_the_same_state(self, encoder: FittedEncoder) -> None:
        states = _states(50)
        similarity = encoder.similarity(states[7], states)
        assert similarity[7] == pytest.approx(1.0)
        assert similarity.max() == pytest.approx(1.0)
        assert similarity.shape == (50,)


def as_before(encoder: FittedEncoder) -> FittedEncoder:
    """An encoder as they were: its long-term vectors begin with the constant, as the others do."""
    weights, width = encoder.weights, encoder.widths.ltm - 1
    axes = np.hstack([weights.code_in, weights.directions])
    code = np.ascontiguousarray(axes[:, :width])
    rest = np.ascontiguousarray(axes[:, width:])
    older = replace(weights, code_in=code, code_out=code.T.copy(), directions=rest)
    return replace(encoder, weights=older)


class TestLead:
    """The constant that makes cosines order by distance, kept in long-term vectors or not."""

    def test_long_term_vectors_led_by_it_are_as_alike_as_their_states(
        self, encoder: FittedEncoder
    ) -> None:
        states = _states(50)
        vectors = encoder.carry(encoder.encode(states), 32)
        assert not encoder.keeps_bias
        biased = as_units(with_bias(vectors, encoder.bias(32)))
        assert np.allclose(biased @ biased[7], encoder.similarity(states[7], states), atol=1e-5)
        bare = as_units(vectors)
        assert not np.allclose(bare @ bare[7], encoder.similarity(states[7], states), atol=0.1)

    def test_wider_vectors_have_it_already(self, encoder: FittedEncoder) -> None:
        assert [encoder.bias(width) for width in (384, 128)] == [0.0, 0.0]
        bias = np.float32(encoder.bias(32))
        assert np.array_equal(encoder.encode(_states(5))[:, 0], [bias] * 5)

    def test_an_encoder_that_keeps_it_everywhere_is_read_and_used_as_ever(
        self, encoder: FittedEncoder
    ) -> None:
        older = as_before(encoder)
        again = FittedEncoder.from_bytes(older.to_bytes())
        states = _states(50)
        vectors = again.encode(states)
        assert np.array_equal(vectors, older.encode(states))
        assert np.allclose(vectors, encoder.encode(states), atol=1e-5)
        narrow = again.carry(vectors, 32)
        assert again.keeps_bias
        assert again.bias(32) == 0.0
        assert np.array_equal(narrow, again.carry(again.carry(vectors, 128), 32))
        units = as_units(narrow)
        assert np.allclose(units @ units[7], again.similarity(states[7], states), atol=1e-5)
        for width in (384, 128, 32):
            reported = again.reconstruct(again.carry(vectors[0], width)).state
            assert reported["energy"] == pytest.approx(states[0]["energy"], abs=1e-3)

    @pytest.mark.parametrize(
        "widths", [(64, 32, 32), (32, 32, 32), (2, 2, 2), (3, 3, 2), (3, 2, 2)]
    )
    def test_tiers_as_narrow_as_each_other_have_it_too(self, widths: tuple[int, int, int]) -> None:
        small = train(_states(), Plan(Widths(*widths), epochs=2)).encoder
        vectors = small.encode(_states(9))
        assert small.keeps_bias == (widths[1] == widths[2])
        assert FittedEncoder.from_bytes(small.to_bytes()).weights.code == small.widths.code
        for width in widths:
            carried = small.carry(vectors, width)
            assert carried.shape == (9, width)
            assert np.isfinite(carried).all()
            assert "mood" in small.reconstruct(carried[3]).state


class TestFile:
    def test_saved_and_loaded_it_encodes_and_decodes_the_same(
        self, encoder: FittedEncoder, tmp_path: Path
    ) -> None:
        encoder.save(tmp_path / "model")
        loaded = FittedEncoder.load(tmp_path / "model")
        states = _states(20)
        vectors = encoder.encode(states)
        assert np.array_equal(loaded.encode(states), vectors)
        assert loaded.reconstruct(vectors[0]) == encoder.reconstruct(vectors[0])
        assert loaded.to_bytes() == encoder.to_bytes()

    def test_names_of_any_script_come_back(self) -> None:
        odd = {"\ud800": 1.0, "\0": "\udfff", "ключ": True, "\U0001f41c": [1]}
        encoder = train([odd] * 3).encoder
        again = FittedEncoder.from_bytes(encoder.to_bytes())
        assert again.reconstruct(again.encode_one(odd)).state == odd

    def test_damaged_files_are_refused(self, encoder: FittedEncoder) -> None:
        raw = encoder.to_bytes()
        for end in (0, 5, 8, 12, 40, 200, len(raw) // 2, len(raw) - 1):
            with pytest.raises(EncodingError):
                FittedEncoder.from_bytes(raw[:end])
        for place in range(0, len(raw), len(raw) // 97):
            with pytest.raises(EncodingError):
                FittedEncoder.from_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        with pytest.raises(EncodingError):
            FittedEncoder.from_bytes(b"\x80\x04\x95" + raw)

    def test_a_newer_file_says_so(self, encoder: FittedEncoder) -> None:
        raw = encoder.to_bytes()
        with pytest.raises(EncodingError, match="format 2, and this version"):
            FittedEncoder.from_bytes(raw[:7] + b"\x02" + raw[8:])

    @pytest.mark.parametrize(
        "lie",
        [
            {"widths": [384, 128]}, {"widths": [10**9, 128, 32]}, {"widths": [384, 128, 31]},
            {"widths": ["a", 1, 2]}, {"shapes": [[10**9, 10**9]]}, {"shapes": [[-1, -5]]},
            {"shapes": None}, {"constant": 0}, {"constant": 1e999}, {"faintness": -1},
            {"constant": 1e300}, {"faintness": 1e300}, {"faintness": 1e-320},
            {"layers": [1, 0]}, {"layers": [-1, 1]}, {"numbers": [["a"]]}, {"numbers": 5},
            {"buckets": 10**12}, {"buckets": -1}, {"means": []}, {"means": ["x"]},
            {"categories": [["a", [1], True]]}, {"categories": [["a", "bc"]]},
            {"errors": {"x": {}}}, {"errors": {"32": {"a": [1]}}}, {"errors": []},
            {"input_dim": 0}, {"input_dim": True},
        ],
        ids=repr,
    )  # fmt: skip
    def test_a_head_that_lies_is_refused(self, encoder: FittedEncoder, lie: dict[str, Any]) -> None:
        with pytest.raises(EncodingError):
            FittedEncoder.from_bytes(_forged(encoder.to_bytes(), lie))

    def test_weights_that_are_no_numbers_are_refused(self, encoder: FittedEncoder) -> None:
        raw = encoder.to_bytes()[:-36] + np.array([np.nan], "<f4").tobytes()
        with pytest.raises(EncodingError):
            FittedEncoder.from_bytes(raw + hashlib.sha256(raw).digest())

    def test_weights_and_means_that_would_make_infinite_vectors_are_refused(
        self, encoder: FittedEncoder
    ) -> None:
        means = [1e308] * encoder.schema.width
        for raw in (
            _forged(encoder.to_bytes(), {"means": means}),
            _forged(encoder.to_bytes(), {}, np.float32(3.4e38)),
        ):
            with pytest.raises(EncodingError, match="too large"):
                FittedEncoder.from_bytes(raw)

    def test_a_file_is_read_in_as_much_room_as_it_has(
        self, encoder: FittedEncoder, tmp_path: Path
    ) -> None:
        encoder.save(tmp_path / "model")
        size = (tmp_path / "model").stat().st_size
        tracemalloc.start()
        try:
            framing.read(tmp_path / "model", 2**32)
            assert tracemalloc.get_traced_memory()[1] < 2 * size + 100_000
        finally:
            tracemalloc.stop()

    def test_a_file_that_is_not_there_or_too_large_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="nowhere"):
            FittedEncoder.load(tmp_path / "nowhere")
        with pytest.raises(ConfigError):
            FittedEncoder.load(tmp_path)
        with (tmp_path / "huge").open("wb") as file:
            file.truncate(2**33)
        with pytest.raises(EncodingError, match="more than"):
            FittedEncoder.load(tmp_path / "huge")

    def test_a_file_that_cannot_be_written_leaves_none(
        self, encoder: FittedEncoder, tmp_path: Path
    ) -> None:
        with pytest.raises(ConfigError):
            encoder.save(tmp_path / "no" / "folder")
        assert not list(tmp_path.iterdir())


def _forged(raw: bytes, lie: dict[str, Any], weight: np.float32 | None = None) -> bytes:
    """The file with parts of its head, or all weights, replaced, and a checksum that fits."""
    end = 12 + int.from_bytes(raw[8:12], "little")
    text = json.dumps(json.loads(raw[12:end]) | lie).encode()
    body = raw[end:-32]
    if weight is not None:
        body = np.full(len(body) // 4, weight, "<f4").tobytes()
    forged = raw[:8] + len(text).to_bytes(4, "little") + text + body
    return forged + hashlib.sha256(forged).digest()


class TestBadInput:
    def test_no_states_are_refused(self) -> None:
        with pytest.raises(InvalidEntry):
            train([])
        with pytest.raises(InvalidEntry):
            train([{"a": 1}, None])

    @pytest.mark.parametrize(
        "states",
        [
            [{"a": 1.0}],
            [{}],
            [{"a": None, "b": math.nan}] * 200,
            [{"a": 5, "b": "x"}] * 200,
            [{"a": math.inf, "b": float(step)} for step in range(200)],
            [{"a": float(step)} if step < 100 else {"b": [step, "x"]} for step in range(200)],
            [{"a": step if step % 2 else "x"} for step in range(200)],
        ],
        ids=["one", "empty", "missing", "constant", "infinite", "changes shape", "mixed"],
    )
    def test_poor_states_give_a_working_encoder(self, states: list[dict[str, Any]]) -> None:
        training = train(states, Plan(epochs=1))
        encoder = FittedEncoder.from_bytes(training.encoder.to_bytes())
        vectors = encoder.encode([*states, {"a": 9.0, "new": {"key": 1}}])
        assert np.isfinite(vectors).all()
        assert (np.linalg.norm(vectors, axis=1) > 0).all()
        assert isinstance(encoder.reconstruct(encoder.carry(vectors[0], 32)).state, dict)
        assert json.loads(json.dumps(training.report.to_dict(), allow_nan=False))

    def test_too_few_states_are_said_to_be(self) -> None:
        report = train([{"a": float(step)} for step in range(30)]).report
        assert report.kept == "pca"
        assert "few" in report.reason
        assert report.held_out == 0
        assert report.levels == ()

    @pytest.mark.long
    def test_a_hundred_thousand_names_and_five_thousand_keys_are_taken(self) -> None:
        names = train([{"name": f"n{step}", "a": float(step)} for step in range(100_000)])
        assert names.encoder.schema.width == 2
        keys = [{f"k{step * 50 + key}": key for key in range(50)} for step in range(100)]
        assert np.isfinite(train(keys, Plan(epochs=1)).encoder.encode(keys)).all()


def test_held_out_are_the_last_ones_and_the_report_says_which_and_why() -> None:
    report = train(_states(1000)).report
    assert (report.fitted, report.held_out) == (800, 200)
    assert report.kept == "pca"
    assert "PCA loses nothing" in report.reason
    assert [level.width for level in report.levels] == [384, 128, 32]
    assert all(level.pca.r2 > 0.99 for level in report.levels)
    assert all(level.pca.recall > 0.99 for level in report.levels[:2])
    assert report.levels[2].pca.recall > 0.9  # as they rest, with a byte a number
    late = [{"a": float(step % 7), "b": "new" if step >= 160 else "old"} for step in range(200)]
    assert train(late, Plan(epochs=1)).encoder.schema.categories[0].values == ("old",)


def test_a_plan_takes_what_a_configuration_says() -> None:
    plan = Plan.of(AutoencoderConfig(stm_dim=64, im_dim=32, ltm_dim=8, hidden_layers=(16,)), seed=4)
    assert (plan.widths, plan.hidden_layers, plan.seed) == (Widths(64, 32, 8), (16,), 4)
    assert (plan.epochs, plan.batch_size) == (Plan().epochs, Plan().batch_size)
    plan = Plan.of(AutoencoderConfig(epochs=100, learning_rate=0.01))
    assert (plan.epochs, plan.batch_size, plan.learning_rate) == (100, Plan().batch_size, 0.01)


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"batch_size": 1.5}, {"learning_rate": 0}, {"learning_rate": math.nan},
              {"hidden_layers": (0,)}, {"input_dim": -1}]
)  # fmt: skip
def test_a_plan_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Plan(**wrong)


def test_the_former_names_of_the_bias_still_work() -> None:
    encoder: Any = VersionZero()
    with pytest.warns(DeprecationWarning, match="use bias"):
        assert encoder.lead(32) == 0.0
    with pytest.warns(DeprecationWarning, match="use keeps_bias"):
        assert encoder.led is False
