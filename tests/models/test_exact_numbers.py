"""Numbers come out of models to the bit, and are compared to the bit, on every server."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis_om import QueryNotSupportedError

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.testing import an_entry

WIDTH = 8
BIG = 2**60
NUMBERS: list[Any] = [
    *(1, 2**53 - 1, 2**53, 2**53 + 1, 2.0**53, BIG - 1, BIG, BIG + 1, 2.0**60, 2**61, 1e300),
    *(-BIG, -BIG - 1, 10**400, 10**401, -(10**400), 0.5, "text", True, None),
]
BOUNDS: list[Any] = [
    *(0.5, 2**53, 2**53 + 1, 2.0**53, BIG - 1, BIG, BIG + 1, 2.0**60, -BIG, -BIG - 1, 1e300),
    *(10**400, -(10**400), math.inf, -math.inf, Fraction(1, 2), np.int64(BIG), np.float32(2.0**60)),
]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]
# To the bit, and different from one another in the last place alone.
TIMES = [1_700_000_000.123456 + place * 2.0**-22 for place in range(6)]


@pytest.fixture
def memory(client: Any, search_url: str, tmp_path: Path) -> Iterator[AgentMemorySystem]:
    widths = {"stm_dim": WIDTH, "im_dim": 4, "ltm_dim": 2}
    config = MemoryConfig(
        path=tmp_path, redis_url=search_url, autoencoder_config=widths, indexed_attributes=("n",)
    )
    with AgentMemorySystem(config) as system:
        yield system


@pytest.fixture
def model(memory: AgentMemorySystem) -> Any:
    memory.stm.add_many(
        [
            an_entry(step_number=step, contents={"n": n}, embedding=[1.0, step, *[0.0] * 6])
            for step, n in enumerate(NUMBERS)
        ]
    )
    return memory.models.StmEntry


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def steps_where(condition: Callable[[Any], bool]) -> set[int]:
    return {step for step, n in enumerate(NUMBERS) if condition(n)}


def wanted(compare: Callable[[Any, Any], bool], bound: Any) -> set[int]:
    bound = bound.item() if isinstance(bound, np.generic) else bound
    if compare is operator.ne:
        return steps_where(lambda n: not is_number(n) or n != bound)
    return steps_where(lambda n: is_number(n) and compare(n, bound))


def steps_of(found: Any) -> set[int]:
    steps = [entry.step_number for entry in found]
    assert len(steps) == len(set(steps))
    return set(steps)


def test_a_comparison_of_integers_of_any_size_is_exact(model: Any) -> None:
    for bound in BOUNDS:
        for compare in COMPARISONS:
            query = model.find(compare(model.attribute("n"), bound))
            found = steps_of(query.all())
            assert found == wanted(compare, bound), (compare, bound)
            assert query.count() == len(found)
            assert (
                steps_of(model.find(~compare(model.attribute("n"), bound)).all())
                == {*range(len(NUMBERS))} - found
            )


def test_several_and_combined_comparisons_are_exact(model: Any) -> None:
    n = model.attribute("n")
    assert steps_of(model.find(n << [BIG, "text", 2**53 + 1]).all()) == {3, 6, 8, 17}
    assert steps_of(model.find(n << iter([BIG + 1])).all()) == {7}
    assert steps_of(model.find(n >> [BIG, "text"], model.step_number >= 5).all()) == {
        *range(5, len(NUMBERS))
    } - {6, 8, 17}
    assert steps_of(model.find((n == BIG - 1) | (n > 2**61), model.step_number < 11).all()) == {
        *(5, 10)
    }
    between = model.find(n > 2**53, n < BIG, model.agent_id == "ant", model.memory_type == "state")
    assert [entry.step_number for entry in between.sort_by("-step_number").all()] == [5, 3]
    assert [entry.step_number for entry in between.sort_by("step_number").page(1, 5)] == [5]
    assert between.values("step_number").first() in ({"step_number": 3}, {"step_number": 5})
    assert between.only("contents").sort_by("step_number").first().contents == {"n": 2**53 + 1}


def test_the_nearest_of_those_that_answer_are_found(model: Any) -> None:
    n, near = model.attribute("n"), model.near([1.0, 8.0, *[0.0] * 6], 2)
    assert steps_of(model.find(n == "text", knn=near).all()) == {17}
    assert steps_of(model.find(n < BIG, n > 0, knn=near).all()) == {5, 16}


def test_only_what_answers_is_deleted(memory: AgentMemorySystem, model: Any) -> None:
    n = model.attribute("n")
    assert model.find(n < BIG, n > 2**53).delete() == 2
    assert steps_of(model.find().all()) == {*range(len(NUMBERS))} - {3, 5}


def test_values_and_only_give_numbers_to_the_bit(memory: AgentMemorySystem) -> None:
    model: Any = memory.models.StmEntry
    importances = [0.1 + 0.2, 1 / 3, math.nextafter(1 / 3, 1.0), 5e-324, 1.0, 1e-12]
    memory.stm.add_many(
        [
            an_entry(
                step_number=2**53 - place, timestamp=time, importance_score=importance,
                encoder_version=2**53 - place,
            )
            for place, (time, importance) in enumerate(zip(TIMES, importances, strict=True))
        ]
    )  # fmt: skip
    names = ("timestamp", "importance_score", "creation_time", "step_number", "encoder_version")
    query = model.find().sort_by("timestamp")
    rows = query.values(*names).all()
    assert [row["timestamp"] for row in rows] == [row["creation_time"] for row in rows] == TIMES
    assert [row["importance_score"] for row in rows] == importances
    assert [row["step_number"] for row in rows] == [2**53 - place for place in range(6)]
    assert [row["encoder_version"] for row in rows] == [2**53 - place for place in range(6)]
    assert query.values().all()[3]["timestamp"] == TIMES[3]
    assert [entry.timestamp for entry in query.only("timestamp").page(2, 2)] == TIMES[2:4]
    assert query.values("timestamp").first() == {"timestamp": TIMES[0]}
    by_importance = model.find().sort_by("-importance_score").values("importance_score").all()
    assert [row["importance_score"] for row in by_importance] == sorted(importances, reverse=True)
    for place, time in enumerate(TIMES):
        assert model.find(model.timestamp == time).count() == 1
        assert model.find(model.timestamp < time).count() == place
        assert model.find(model.timestamp >= time).count() == 6 - place


def test_times_beyond_2_to_the_53_are_compared_with_integers(memory: AgentMemorySystem) -> None:
    model: Any = memory.models.StmEntry
    times = [1.7e18, 1.7e18 + 256, 1.7e18 + 512]
    memory.stm.add_many(
        [an_entry(step_number=step, timestamp=time) for step, time in enumerate(times)]
    )
    middle = int(times[1])
    for bound in (middle - 1, middle, middle + 1, 10**400, -(10**400)):
        for compare in COMPARISONS:
            expected = {step for step, time in enumerate(times) if compare(int(time), bound)}
            assert steps_of(model.find(compare(model.timestamp, bound)).all()) == expected


def test_what_is_read_in_pages_is_read_once_beside_a_live_run(memory: AgentMemorySystem) -> None:
    model: Any = memory.models.StmEntry
    entries = [an_entry(step_number=step, timestamp=float(step)) for step in range(50)]
    memory.stm.add_many(entries)
    read = model.from_hash
    asked = 0

    def reading(stored: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked % 10 == 5:
            # What comes and goes moves all pages behind it.
            memory.stm.remove_many([entries[asked // 10].key])
            memory.stm.add(an_entry(step_number=0, timestamp=-1.0))
        return read(stored)

    model.from_hash = reading
    try:
        found = model.find().sort_by("timestamp").all(batch_size=10)
    finally:
        del model.from_hash
    steps = [entry.step_number for entry in found]
    assert len(steps) == len(set(steps))
    assert {*range(5, 50)} <= set(steps)


def test_what_is_no_field_is_refused(model: Any) -> None:
    for name in ("contents__n", "moon"):
        with pytest.raises(QueryNotSupportedError, match="no field of an entry"):
            model.find().values(name)
