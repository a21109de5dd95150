from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import json
import math
import uuid
from dataclasses import asdict, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from agent_memory.errors import InvalidEntry, MemoryStoreError
from agent_memory.testing import a_memory_id, an_entry
from agent_memory.values.checks import MAX_STEP, checked_importance, checked_step
from agent_memory.values.coded import CodeBounds, CodedContents
from agent_memory.values.entry import EntryKey, MemoryEntry, MemoryType, Tier
from agent_memory.values.json_values import json_line
from agent_memory.values.query import Hit, Order, Query

_ID = "0123456789abcdef0123456789abcdef"


def test_an_entry_needs_only_what_cannot_be_guessed() -> None:
    entry = MemoryEntry(
        memory_id=_ID, run_id="run", agent_id="ant", step_number=3, timestamp=7.5,
        memory_type=MemoryType.ACTION, contents={},
    )  # fmt: skip
    assert entry.memory_type is MemoryType.ACTION
    assert (entry.creation_time, entry.last_access_time) == (7.5, 7.5)
    assert (entry.importance_score, entry.compression_level) == (1.0, 0)
    assert (entry.retrieval_count, entry.revision) == (0, 0)
    assert (entry.embedding, entry.encoder_version, entry.error_bounds) == (None, None, None)
    assert entry.key == EntryKey("run", "ant", _ID) == ("run", "ant", _ID)


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [
        ("memory_id", uuid.UUID(_ID), _ID),
        ("memory_id", str(uuid.UUID(_ID)).upper(), _ID),
        ("agent_id", 7, "7"),
        ("agent_id", np.int64(-7), "-7"),
        ("agent_id", np.str_("ant"), "ant"),
        ("agent_id", "x" * 1024, "x" * 1024),
        ("step_number", np.int32(4), 4),
        ("step_number", MAX_STEP, MAX_STEP),
        ("timestamp", 3, 3.0),
        ("timestamp", np.float32(0.5), 0.5),
        ("timestamp", -0.0, 0.0),
        ("timestamp", Fraction(1, 2), 0.5),
        ("memory_type", "state", MemoryType.STATE),
        ("importance_score", 1, 1.0),
        ("importance_score", np.float64(0.25), 0.25),
        ("retrieval_count", np.uint8(3), 3),
        ("encoder_version", np.int64(2), 2),
        ("error_bounds", {"a": 1}, {"a": 1.0}),
    ],
)
def test_each_field_is_brought_to_its_own_type(field: str, given: Any, kept: Any) -> None:
    value = getattr(an_entry(**{field: given}), field)
    assert value == kept
    assert type(value) is type(kept)
    assert math.copysign(1.0, value) == 1.0 if kept == 0.0 else True


_REFUSED: list[tuple[str, Any]] = [
    *(("memory_id", bad) for bad in ("", "ant", _ID[:-1], _ID + "0", None, 7, "g" * 32)),
    *(("agent_id", bad) for bad in ("", None, 1.5, True, b"ant", "x" * 1025, "\ud800", ("a",))),
    *(("run_id", bad) for bad in ("", None, 7, b"run", "x" * 1025, "a\ud800")),
    *(("step_number", bad) for bad in (-1, 1.0, 1.5, True, "1", None, math.nan, MAX_STEP + 1)),
    *(("timestamp", bad) for bad in (math.nan, math.inf, -math.inf, "1", None, True, 1j)),
    ("timestamp", 10**400),
    ("timestamp", Decimal(1)),
    *(("memory_type", bad) for bad in ("", "STATE", "dream", None, 1)),
    *(("importance_score", bad) for bad in (-0.1, 1.1, math.nan, math.inf, "1", None, True)),
    *(("compression_level", bad) for bad in (-1, 1.5, None, True)),
    *(("retrieval_count", bad) for bad in (-1, 1.5, None, True)),
    *(("revision", bad) for bad in (-1, 1.5, None, True)),
    *(("creation_time", bad) for bad in (math.inf, "1", None)),
    *(("last_access_time", bad) for bad in (-math.inf, "1", None)),
    *(("embedding", bad) for bad in ([[1.0]], 1.0, [], [math.nan], [math.inf], [1e300], "vector")),
    *(("embedding", bad) for bad in (["a"], [None, "b"], [[1.0], [1.0, 2.0]])),
    *(("encoder_version", bad) for bad in (-1, 1.5, "1", True)),
    *(("error_bounds", bad) for bad in (1.0, [("a", 1.0)], {1: 1.0}, {"a": "b"}, {"a": math.nan})),
    ("error_bounds", {"a": -1.0}),
    *(("contents", bad) for bad in (None, "text", [1], 7)),
]


@pytest.mark.parametrize(("field", "bad"), _REFUSED, ids=lambda value: f"{value!r}"[:30])
def test_a_field_without_meaning_is_refused_by_name(field: str, bad: Any) -> None:
    with pytest.raises(InvalidEntry, match=f"^{field}") as refusal:
        an_entry(**{field: bad})
    assert isinstance(refusal.value, ValueError)
    assert isinstance(refusal.value, MemoryStoreError)
    assert len(str(refusal.value)) < 300


def test_an_entry_is_frozen() -> None:
    entry = an_entry()
    with pytest.raises(dataclasses.FrozenInstanceError):
        entry.importance_score = 0.5  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        entry.anything = 1  # type: ignore[attr-defined]


_OTHERWISE: dict[str, Any] = {
    "memory_id": a_memory_id(1),
    "run_id": "run 2",
    "agent_id": "bee",
    "step_number": 2,
    "timestamp": 1.5,
    "memory_type": MemoryType.ACTION,
    "contents": {"energy": 3.0, "position": (1.5, 2.5)},
    "importance_score": 0.5,
    "compression_level": 1,
    "retrieval_count": 1,
    "creation_time": 2.0,
    "last_access_time": 2.0,
    "embedding": np.array([-0.0], np.float32),
    "encoder_version": 1,
    "revision": 1,
    "error_bounds": {"energy": 0.5},
    "pinned": True,
}


def test_entries_are_equal_when_every_field_is_and_only_then() -> None:
    entry = an_entry(embedding=[0.0], contents={"energy": 3, "position": (1.5, 2.5)})
    assert entry == dataclasses.replace(entry)
    assert hash(entry) == hash(dataclasses.replace(entry))
    assert {field.name for field in dataclasses.fields(entry)} == _OTHERWISE.keys()
    for field, value in _OTHERWISE.items():
        assert entry != dataclasses.replace(entry, **{field: value}), field
    assert entry != entry.to_dict()


def test_only_a_pinned_entry_says_so_in_its_dict_and_the_dict_gives_it_back() -> None:
    entry, pinned = an_entry(), an_entry(pinned=True)
    assert "pinned" not in entry.to_dict()["metadata"]
    assert pinned.to_dict()["metadata"]["pinned"] is True
    assert MemoryEntry.from_dict(pinned.to_dict()) == pinned
    assert MemoryEntry.from_dict(entry.to_dict()) == entry


@pytest.mark.parametrize("bad", [1, 0, "yes", None, np.int64(1)])
def test_a_pin_is_true_or_false(bad: Any) -> None:
    with pytest.raises(InvalidEntry, match="pinned: True or False"):
        an_entry(pinned=bad)
    if bad is not None:
        with pytest.raises(InvalidEntry, match="pinned: True or False"):
            Query(agent_id="ant", pinned=bad)
    assert an_entry(pinned=np.bool_(True)).pinned is True


def test_an_entry_as_a_dict_has_the_promised_shape() -> None:
    entry = an_entry(embedding=[0.5, -1.0], creation_time=2, last_access_time=3, agent_id=7)
    assert entry.to_dict() == {
        "memory_id": entry.memory_id,
        "run_id": "run",
        "agent_id": "7",
        "step_number": 1,
        "timestamp": 1.0,
        "contents": {"energy": 3, "position": (1.5, 2.5)},
        "metadata": {
            "creation_time": 2.0,
            "last_access_time": 3.0,
            "compression_level": 0,
            "importance_score": 1.0,
            "retrieval_count": 0,
            "memory_type": "state",
        },
        "embeddings": {"full_vector": [0.5, -1.0]},
    }


ROUNDED = {"revision": 4, "encoder_version": 3, "error_bounds": {"energy": 0.5, "*": 1e-9}}


@pytest.mark.parametrize("fields", [ROUNDED, {name: ROUNDED[name] for name in ["revision"]}, {}])
def test_an_entry_comes_back_from_its_dict_whole(fields: dict[str, Any]) -> None:
    entry = an_entry(embedding=[0.5], compression_level=1, retrieval_count=2, **fields)
    as_dict = entry.to_dict()
    assert {name: as_dict["metadata"].get(name) for name in ROUNDED} == {
        name: fields.get(name) for name in ROUNDED
    }
    assert MemoryEntry.from_dict(as_dict) == entry
    assert MemoryEntry.from_dict(copy.deepcopy(as_dict)) == entry
    assert type(as_dict["metadata"].get("error_bounds", {})) is dict
    plain = replace(entry, contents={"energy": 3}).to_dict()
    assert MemoryEntry.from_dict(json.loads(json.dumps(plain))).to_dict() == plain


def test_contents_of_every_kind_are_given_as_json_takes_them() -> None:
    contents = {
        "at": (1, 2.5),
        "when": dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        "array": np.eye(2, dtype=np.float32),
        "seen": {1},
        "bytes": b"\x00",
        "left": float("inf"),
        "seed": 2**90,
        "number": Decimal("1.10"),
        3: None,
    }
    given = an_entry(contents=contents).to_dict(as_json=True)
    assert json.loads(json.dumps(given, allow_nan=False)) == given
    assert given["contents"] == {
        "at": [1, 2.5],
        "when": "2026-01-02T00:00:00Z",
        "array": [[1.0, 0.0], [0.0, 1.0]],
        "seen": [1],
        "bytes": "AA==",
        "left": "Infinity",
        "seed": 2**90,
        "number": "1.10",
        "3": None,
    }
    assert an_entry(contents=contents).to_dict()["contents"]["at"] == (1, 2.5)


def test_contents_that_json_has_no_way_for_are_given_as_near_as_can_be() -> None:
    deep: Any = 1.5
    for _ in range(400):
        deep = [deep]
    contents = {
        "half a pair \ud800": "\ud800",
        "of sets": {frozenset({1}): 2, (1, "\ud800"): np.float32(3)},
        "long": {10**5_000: 10**5_000},
        "deep": deep,
        "moment": np.datetime64("2026-01-02T00:00:00.000000001"),
        "moments": np.array(["2026-01-02", "NaT"], "M8[ns]"),
        "rest": [float("nan"), True, None, b"\xff", dt.timedelta(1)],
    }
    for some in (contents, *({key: value} for key, value in contents.items())):
        given = an_entry(contents=some).to_dict(as_json=True)["contents"]
        assert json.loads(json.dumps(given, allow_nan=False)) == given
        assert given.keys() == some.keys()
        line = json_line(some)
        assert line.isprintable()
        assert line.encode()
        if "long" not in some:
            assert json.loads(line) == given
    given = an_entry(contents=contents).to_dict(as_json=True)["contents"]
    assert given["of sets"] == {"1": 2, "1,\ud800": 3.0}
    assert given["long"] == {hex(10**5_000): hex(10**5_000)}
    assert given["moment"] == "2026-01-02T00:00:00.000000001"
    assert given["moments"] == ["2026-01-02T00:00:00.000000000", None]
    assert given["rest"] == ["NaN", True, None, "_w==", "P1D"]


def test_an_entry_is_taken_apart_and_changed_as_dataclasses_are() -> None:
    bounds = CodeBounds({"energy": 0.5})
    contents = CodedContents({"energy": 3, "home": {"food": [1]}}, 3, 2, bounds)
    entry = an_entry(contents=contents, error_bounds=bounds, compression_level=2)
    apart = asdict(entry)
    assert type(apart["contents"]) is dict
    assert apart["contents"] == {"energy": 3, "home": {"food": [1]}}
    assert apart["error_bounds"] == {"energy": 0.5}
    assert MemoryEntry(**apart) == entry
    assert replace(entry, importance_score=0.5).contents == contents


@pytest.mark.parametrize(
    ("level", "name"), [(0, "full_vector"), (1, "compressed_vector"), (2, "abstract_vector")]
)
def test_a_dict_names_the_vector_by_its_level_and_comes_back(level: int, name: str) -> None:
    entry = an_entry(embedding=[1 / 3], compression_level=level)
    assert list(entry.to_dict()["embeddings"]) == [name]
    assert MemoryEntry.from_dict(entry.to_dict()) == entry
    assert an_entry(compression_level=level).to_dict()["embeddings"] == {}


def test_a_dict_may_leave_out_what_has_a_default() -> None:
    values = {
        "memory_id": _ID, "run_id": "run", "agent_id": "ant", "step_number": 1,
        "timestamp": 1.0, "contents": {}, "metadata": {"memory_type": "state"},
    }  # fmt: skip
    assert MemoryEntry.from_dict(values) == an_entry(memory_id=_ID, contents={})
    values["embeddings"] = None
    assert MemoryEntry.from_dict(values).embedding is None


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"colour": "red"}, "unknown field 'colour'"),
        ({1: 2, "colour": "red"}, "unknown field"),
        ({"metadata": {"memory_type": "state", "mood": 1}}, "unknown field 'mood'"),
        ({"metadata": {}}, "memory_type"),
        ({"metadata": 7}, "metadata"),
        ({"embeddings": [1.0]}, "embeddings"),
        ({"embeddings": {"full_vector": ["a"]}}, "embedding"),
        ({"step_number": "one"}, "step_number"),
    ],
)
def test_a_dict_that_is_no_entry_is_refused(changes: dict[Any, Any], complaint: str) -> None:
    with pytest.raises(InvalidEntry, match=complaint):
        MemoryEntry.from_dict(an_entry().to_dict() | changes)


@pytest.mark.parametrize("given", [None, [], "entry", 7])
def test_what_is_no_dict_at_all_is_refused(given: Any) -> None:
    with pytest.raises(InvalidEntry, match="dict"):
        MemoryEntry.from_dict(given)


def test_tiers_are_numbered_by_their_usual_compression_level() -> None:
    assert [tier.name for tier in sorted(Tier)] == ["STM", "IM", "LTM"]
    assert [int(tier) for tier in sorted(Tier)] == [0, 1, 2]


def test_a_hit_tells_how_exact_it_is() -> None:
    hit = Hit(an_entry(compression_level=2), Tier.LTM)
    assert hit.fidelity == 2
    assert hit.score is None


def test_a_query_is_checked_and_brought_to_types() -> None:
    given: dict[str, Any] = {
        "agent_id": 7, "steps": [np.int64(1), 2], "times": (0, math.inf), "order": "newest",
        "importance": (0, 1), "memory_type": "state", "limit": np.int64(3),
    }  # fmt: skip
    query = Query(**given)
    assert query == Query(agent_id="7", steps=(1, 2), times=(0.0, math.inf), order=Order.NEWEST,
                          importance=(0.0, 1.0), memory_type=MemoryType.STATE, limit=3)  # fmt: skip
    assert hash(query)


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        *(("agent_id", bad) for bad in ("", 1.5, "\ud800", ["ant", 1.5])),
        *(("run_id", bad) for bad in ("", 7)),
        *(("steps", bad) for bad in (3, (1,), (1, 2, 3), (1.0, 2), (2, 1), "12", (True, 2))),
        *(("times", bad) for bad in (3.0, (math.nan, 1.0), (0.0, math.nan), ("a", 1))),
        ("times", (1, 10**400)),
        *(("importance", bad) for bad in (0.5, (math.nan, 1.0), (1.0, 0.5))),
        *(("memory_type", bad) for bad in ("dream", 1)),
        *(("order", bad) for bad in ("upwards", 1)),
        *(("limit", bad) for bad in (-1, 1.5, True, "1")),
    ],
    ids=lambda value: f"{value!r}"[:30],
)  # fmt: skip
def test_a_query_without_meaning_is_refused_by_name(field: str, bad: Any) -> None:
    with pytest.raises(InvalidEntry, match=f"^{field}"):
        Query(**{"agent_id": "ant"} | {field: bad})


def test_a_query_takes_the_run_it_is_asked_within_unless_it_names_one() -> None:
    assert Query(agent_id="ant").within("run").run_id == "run"
    assert Query(agent_id="ant", run_id="mine").within("run").run_id == "mine"


def test_steps_and_importances_are_checked_for_callers_too() -> None:
    assert checked_step(np.int64(3)) == 3
    assert checked_importance(1) == 1.0
    with pytest.raises(InvalidEntry, match="step_number"):
        checked_step("3")
    with pytest.raises(InvalidEntry, match="priority"):
        checked_importance(1.5)
