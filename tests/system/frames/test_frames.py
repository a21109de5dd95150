"""Stored entries as frames: every row once, every column by its name and type, nothing lost."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_memory import AgentMemorySystem, ConfigError, InvalidEntry, MemoryConfig, Order, Query
from agent_memory.system.frames import extras, reading
from agent_memory.testing import an_entry
from tests import engines

pa = pytest.importorskip("pyarrow")

OWN = ["run_id", "agent_id", "step_number", "timestamp", "memory_type", "tier", "memory_id"]


@pytest.fixture(scope="module", params=engines.parameters(["fake", "embedded"], ["embedded"]))
def memory(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AgentMemorySystem]:
    """Two ants with memories in all three tiers; an action in every fourth step."""
    config = MemoryConfig(
        path=tmp_path_factory.mktemp("frames") / "memory",
        engine=request.param,
        ltm_url=f"sqlite:///{tmp_path_factory.mktemp('ltm') / 'ltm.db'}",
        stm_config={"memory_limit": 10},
        im_config={"memory_limit": 10},
    )
    with AgentMemorySystem(config) as opened:
        for step in range(40):
            for agent in ("ant", "bee"):
                store = opened.store_agent_action if step % 4 == 0 else opened.store_agent_state
                assert store(agent, {"food": step / 4, "step_number": -1, "tier": "gold"}, step)
        opened.maintain()
        assert opened.run("other").store_agent_state("cow", {"milk": 1}, 0)
        yield opened


@pytest.fixture
def fake() -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem({"engine": "fake"}) as opened:
        yield opened


def kept(memory: AgentMemorySystem, *contents: dict[str, Any]) -> None:
    for step, each in enumerate(contents):
        assert memory.store_agent_state("ant", each, step)


def reported(field: Any) -> Any:
    return json.loads(field.metadata[b"agent_memory"])


def test_frames_and_exports_take_the_fields_of_a_query(
    memory: AgentMemorySystem, tmp_path: Path
) -> None:
    pytest.importorskip("duckdb")
    pytest.importorskip("polars")
    asked: dict[str, Any] = {"agent_id": "bee", "steps": (10, 29), "memory_type": "state"}
    query = Query(**asked)
    wanted = memory.to_arrow(query).read_all()
    assert wanted.num_rows == 15
    assert memory.to_arrow(**asked).read_all().equals(wanted)
    assert memory.to_pandas(**asked)["memory_id"].tolist() == wanted["memory_id"].to_pylist()
    assert memory.to_polars(**asked)["memory_id"].to_list() == wanted["memory_id"].to_pylist()
    assert len(memory.to_duckdb(**asked).fetchall()) == 15
    assert memory.export(tmp_path / "bee.jsonl", **asked).entries == 15
    with pytest.raises(InvalidEntry, match="no argument agent; write agent_id="):
        memory.to_pandas(agent="bee")
    with pytest.raises(InvalidEntry, match="a Query or its fields"):
        memory.to_pandas(query, limit=3)
    with pytest.raises(InvalidEntry, match="runs: a query names its own run"):
        memory.to_pandas(agent_id="bee", runs=["other"])


def test_a_frame_has_each_entry_of_all_tiers_once(memory: AgentMemorySystem) -> None:
    table = memory.to_arrow().read_all()
    assert table["agent_id"].to_pylist() == ["ant"] * 40 + ["bee"] * 40
    assert table["step_number"].to_pylist() == [*range(40)] * 2
    assert table["tier"].to_pylist()[:40] == ["LTM"] * 20 + ["IM"] * 10 + ["STM"] * 10
    assert table["memory_type"].to_pylist()[:5] == ["action", *["state"] * 3, "action"]
    assert table["contents.food"].to_pylist()[:40] == [step / 4 for step in range(40)]


def test_no_column_of_contents_takes_the_name_of_an_entry_s_own(memory: AgentMemorySystem) -> None:
    row = memory.to_arrow(Query(agent_id="bee", steps=(3, 3))).read_all().to_pylist()[0]
    assert (row["step_number"], row["contents.step_number"]) == (3, -1)
    assert (row["tier"], row["contents.tier"]) == ("LTM", "gold")


def test_a_frame_answers_queries_and_runs(memory: AgentMemorySystem) -> None:
    newest = Query(agent_id="ant", order=Order.NEWEST, limit=3)
    assert memory.to_arrow(newest).read_all()["step_number"].to_pylist() == [39, 38, 37]
    both = [Query(agent_id="bee", steps=(1, 2)), Query(agent_id="ant", memory_type="action")]  # type: ignore[arg-type]
    assert memory.to_arrow(both).read_all()["step_number"].to_pylist() == [1, 2, *range(0, 40, 4)]
    table = memory.to_arrow(runs=["other", "default"]).read_all()
    assert table.num_rows == 81
    assert table.slice(80).to_pylist()[0]["contents.milk"] == 1


def test_a_frame_counts_no_retrieval(memory: AgentMemorySystem) -> None:
    memory.to_arrow().read_all()
    memory.maintain()
    assert set(memory.to_arrow().read_all()["retrieval_count"].to_pylist()) == {0}


@pytest.mark.parametrize("order", [None, Order.STEP])
def test_pages_join_without_a_gap_or_a_row_twice(
    fake: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch, order: Order | None
) -> None:
    monkeypatch.setattr(reading, "PAGE", 7)
    entries = [
        an_entry(run_id="default", step_number=place // 10, timestamp=float(place // 10))
        for place in range(95)
    ]
    fake.stm.add_many(entries)
    batches = [*fake.to_arrow(Query(agent_id="ant", order=order))]
    ids = [name for batch in batches for name in batch["memory_id"].to_pylist()]
    assert len(batches) > 5
    assert ids == [entry.memory_id for entry in entries]


def test_rows_beyond_what_memory_holds_come_back_from_a_file(
    memory: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = memory.to_arrow(embeddings=True).read_all()
    monkeypatch.setattr("agent_memory.system.frames.stream.MOST_HELD", 20)
    monkeypatch.setattr(reading, "PAGE", 16)
    assert (
        memory.to_arrow(embeddings=True).read_all().combine_chunks().equals(whole.combine_chunks())
    )


# -- types ----------------------------------------------------------------------------------


def test_types_come_from_all_rows(fake: AgentMemorySystem) -> None:
    first = [{"reward": 0, "direction": 1}] * 150
    kept(fake, *first, {"reward": 0.5, "direction": np.int64(2), "late": "x"})
    table = fake.to_arrow().read_all()
    assert table.schema.field("contents.reward").type == pa.float64()
    assert reported(table.schema.field("contents.reward"))["types"] == ["float", "int"]
    assert table.schema.field("contents.direction").type == pa.int64()
    assert table["contents.reward"].to_pylist()[-1] == 0.5
    assert table["contents.late"].to_pylist()[149:] == [None, "x"]


def test_values_without_a_common_type_are_json_that_gives_them_back(
    fake: AgentMemorySystem,
) -> None:
    kept(fake, {"a": 1, "n": 2**53 + 1}, {"a": "1", "n": 0.5}, {"a": True}, {"a": (1, b"x")}, {})
    table = fake.to_arrow().read_all()
    assert reported(table.schema.field("contents.a"))["as"] == "json"
    texts = table["contents.a"].to_pylist()
    assert [json.loads(text) for text in texts[:3]] == [1, "1", True]
    assert json.loads(texts[3])["$tuple"][0] == 1
    assert texts[4] is None
    assert [json.loads(text) for text in table["contents.n"].to_pylist()[:2]] == [2**53 + 1, 0.5]


def test_ints_stay_ints_and_long_ones_are_text(fake: AgentMemorySystem) -> None:
    kept(fake, {"n": 2**62 + 1, "seed": 2**127 + 1, "on": True}, {"seed": 5}, {"n": 3})
    frame = fake.to_pandas()
    assert frame["contents.n"].tolist()[::2] == [2**62 + 1, 3]
    assert frame["contents.n"].isna().tolist() == [False, True, False]
    assert str(frame["contents.n"].dtype) == "Int64"
    assert str(frame["contents.on"].dtype) == "boolean"
    assert frame["contents.seed"].tolist()[:2] == [str(2**127 + 1), "5"]
    assert str(frame["tier"].dtype) == str(frame["agent_id"].dtype) == "category"


def test_tuples_are_told_from_lists(fake: AgentMemorySystem) -> None:
    kept(fake, {"at": (1, 2), "path": [(1, 2)], "grid": np.eye(2, dtype=np.float32)})
    schema = fake.to_arrow().schema
    assert reported(schema.field("contents.at"))["types"] == ["tuple"]
    assert reported(schema.field("contents.path"))["types"] == ["list"]
    assert reported(schema.field("contents.path").type.value_field)["types"] == ["tuple"]
    assert schema.field("contents.grid").type == pa.list_(pa.list_(pa.float32()))


def test_nested_contents_are_flat_columns_or_a_struct(fake: AgentMemorySystem) -> None:
    kept(fake, {"home": {"food": 1, "a.b": 2}}, {"home": {"food": 2, "c": {}}}, {"home": 3})
    flat = fake.to_arrow().read_all()
    assert flat["contents.home.food"].to_pylist() == [1, 2, None]
    assert flat["contents.home.a\\.b"].to_pylist() == [2, None, None]
    assert flat["contents.home.c"].to_pylist() == [None, "{}", None]
    assert flat["contents.home"].to_pylist() == [None, None, 3]
    struct = fake.to_arrow(nested="struct").read_all()
    homes = [json.loads(row["home"]) for row in struct["contents"].to_pylist()]
    assert homes == [{"food": 1, "a.b": 2}, {"food": 2, "c": {}}, 3]


def test_error_bounds_are_columns(fake: AgentMemorySystem) -> None:
    fake.stm.add(an_entry(run_id="default", error_bounds={"energy": 0.5}))
    fake.stm.add(an_entry(run_id="default", step_number=2))
    assert fake.to_arrow().read_all()["error_bounds.energy"].to_pylist() == [0.5, None]
    struct = fake.to_arrow(nested="struct").read_all()
    assert struct["error_bounds"].to_pylist() == [{"energy": 0.5}, {"energy": None}]


@pytest.mark.parametrize("nested", ["flat", "struct"])
def test_a_frame_of_nothing_has_its_columns(fake: AgentMemorySystem, nested: Any) -> None:
    table = fake.to_arrow(nested=nested).read_all()
    assert table.num_rows == 0
    assert table.column_names[:7] == OWN
    assert table.schema.field("step_number").type == pa.int64()
    frame = fake.to_pandas(nested=nested)
    assert list(frame.columns) == table.column_names
    assert str(frame["step_number"].dtype) == "Int64"
    assert fake.to_polars(nested=nested).shape == (0, table.num_columns)
    assert fake.to_duckdb(nested=nested).fetchall() == []


# -- libraries ------------------------------------------------------------------------------


def test_polars_and_duckdb_see_the_same_values(memory: AgentMemorySystem) -> None:
    pytest.importorskip("polars")
    pytest.importorskip("duckdb")
    steps = memory.to_polars().filter(agent_id="ant", tier="IM")["step_number"].to_list()
    assert steps == [*range(20, 30)]
    asked = memory.to_duckdb(nested="struct").filter("tier = 'IM' and contents.food > 7")
    assert asked.project("agent_id, step_number").order("all").fetchall() == [
        ("ant", 29),
        ("bee", 29),
    ]


def test_a_missing_extra_is_named(fake: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda package: None)
    with pytest.raises(ConfigError, match=r"pyarrow: pip install 'agent-memory\[frames\]'"):
        fake.to_arrow()
    with pytest.raises(ConfigError, match=r"polars: pip install 'agent-memory\[polars\]'"):
        fake.to_polars()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"query": "ant"}, "a Query"),
        ({"query": [None]}, "a Query is needed"),
        ({"query": Query(agent_id="ant"), "runs": ["a"]}, "names its own run"),
        ({"runs": "default"}, "list"),
        ({"nested": "deep"}, 'nested: "flat" or "struct"'),
    ],
)
def test_what_is_no_question_is_refused(fake: AgentMemorySystem, asked: Any, said: str) -> None:
    with pytest.raises(InvalidEntry, match=said):
        fake.to_arrow(**asked)


def test_a_frame_is_read_while_the_collector_of_garbage_is_held_off(
    fake: AgentMemorySystem,
) -> None:
    steps = range(3_000)
    fake.ltm.add_many([an_entry(run_id="default", agent_id="ant", step_number=at) for at in steps])
    begun = []

    def note(phase: str, _: dict[str, int]) -> None:
        begun.append(phase)

    fake.to_arrow()
    gc.callbacks.append(note)
    try:
        reader = fake.to_arrow(Query(agent_id="ant"))
    finally:
        gc.callbacks.remove(note)
    assert reader.read_all().num_rows == 3_000
    # One collection for each 700 objects would be dozens.
    assert begun.count("start") < 8
