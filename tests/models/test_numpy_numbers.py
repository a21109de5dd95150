"""NumPy's numbers ask of long-term memory what Python's do, on every database."""

from __future__ import annotations

import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from agent_memory.compression.levels import ContentsCodec
from agent_memory.errors import InvalidEntry
from agent_memory.models.ltm import LtmEntry, Run
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.testing import an_entry

PATHS = ("food", "weight", "calm")
Condition = Callable[[Any], Any]

INTEGERS = [np.int64, np.int8, np.uint32, np.intc]
FLOATS = [np.float64, np.float32, np.float16]
CONDITIONS: list[Condition] = [
    lambda number: LtmEntry.step_number <= number,
    lambda number: LtmEntry.step_number == number,
    lambda number: LtmEntry.step_number != number,
    lambda number: LtmEntry.step_number > number,
    lambda number: number > LtmEntry.step_number,
    lambda number: LtmEntry.step_number.in_([number, type(number)(3)]),
    lambda number: LtmEntry.step_number.not_in([number]),
    lambda number: LtmEntry.step_number.between(type(number)(2), number),
    lambda number: LtmEntry.step_number + number == number + number,
    lambda number: LtmEntry.timestamp < number,
    lambda number: LtmEntry.timestamp.in_([number]),
    lambda number: LtmEntry.creation_time >= number,
    lambda number: LtmEntry.last_access_time <= number,
    lambda number: LtmEntry.importance_score * number > type(number)(2),
    lambda number: LtmEntry.retrieval_count == number,
    lambda number: LtmEntry.revision >= number,
    lambda number: LtmEntry.compression_level <= number,
    lambda number: LtmEntry.encoder_version.in_([number]),
    lambda number: LtmEntry.agent_ref < number,
    lambda number: LtmEntry.embedding_coding < number,
    lambda number: LtmEntry.attributes["food"].as_integer() < number,
    lambda number: LtmEntry.attributes["food"].as_float() >= number,
    lambda number: LtmEntry.attributes["food"].as_integer().in_([number]),
]
REMAINDERS: list[Condition] = [
    lambda number: LtmEntry.step_number % number == number - number,
    lambda number: (LtmEntry.step_number + number) * number < number * number + number + number,
]
HALVES: list[Condition] = [
    lambda number: LtmEntry.step_number <= number,
    lambda number: LtmEntry.step_number > number,
    lambda number: LtmEntry.timestamp < number,
    lambda number: LtmEntry.importance_score >= number / 10,
    lambda number: LtmEntry.attributes["weight"].as_float() <= number,
]


@pytest.fixture
def session(ltm_engine: Engine) -> Any:
    repository = LtmRepository(ltm_engine, ContentsCodec(), indexed_attributes=PATHS)
    repository.add_many(
        [
            an_entry(
                agent_id=step % 2,
                step_number=step,
                timestamp=float(step),
                importance_score=step / 10,
                retrieval_count=step,
                revision=step,
                encoder_version=step,
                compression_level=step % 3,
                contents={"food": step, "weight": step + 0.25, "calm": step % 2 == 0},
                pinned=step == 4,
            )
            for step in range(10)
        ]
    )
    with Session(ltm_engine) as opened:
        yield opened


def steps(session: Session, condition: Any) -> list[int]:
    return sorted(session.scalars(select(LtmEntry.step_number).where(condition)))


@pytest.mark.parametrize("kind", [*INTEGERS, *FLOATS])
def test_whole_numbers_of_numpy_give_the_rows_that_pythons_give(
    session: Session, kind: Callable[[float], Any]
) -> None:
    plain: type[float] = int if kind in INTEGERS else float
    conditions = [*CONDITIONS, *REMAINDERS] if kind in INTEGERS else CONDITIONS
    for place, condition in enumerate(conditions):
        wanted = steps(session, condition(plain(5)))
        assert steps(session, condition(kind(5))) == wanted, place
    assert any(0 < len(steps(session, condition(kind(5)))) < 10 for condition in CONDITIONS)


@pytest.mark.parametrize("kind", FLOATS)
def test_halves_of_numpy_give_the_rows_that_pythons_give(
    session: Session, kind: Callable[[float], Any]
) -> None:
    for condition in HALVES:
        wanted = steps(session, condition(4.5))
        assert 0 < len(wanted) < 10
        assert steps(session, condition(kind(4.5))) == wanted


def test_integers_beyond_2_to_the_53_are_exact_or_refused(
    session: Session, ltm_engine: Engine
) -> None:
    numbers = [2**53 + 1, 2**60 - 1, 2**60, 2**60 + 1, 2**62]
    LtmRepository(ltm_engine, ContentsCodec(), indexed_attributes=PATHS).add_many(
        [
            an_entry(step_number=100 + place, timestamp=float(2**60), contents={"food": number})
            for place, number in enumerate(numbers)
        ]
    )
    food, late = LtmEntry.attributes["food"], LtmEntry.step_number >= 100
    bounds: list[Any] = [*numbers, np.int64(2**60 + 1), 2.0**60]
    compares: list[Any] = [operator.lt, operator.le, operator.eq, operator.gt, operator.ne]
    for compare in compares:
        for bound in bounds:
            wanted = [100 + place for place, one in enumerate(numbers) if compare(one, bound)]
            assert steps(session, late & compare(food.as_integer(), bound)) == wanted, bound
        with pytest.raises(InvalidEntry, match="compare as_integer"):
            steps(session, compare(food.as_float(), 2**60))
        with pytest.raises(InvalidEntry, match="64 bits"):
            steps(session, LtmEntry.step_number.in_([1, 2**64]))
        for bound in (2**60 + 1, Decimal(2**60 + 1), 10**400):
            with pytest.raises(InvalidEntry, match="not exactly a double"):
                steps(session, compare(LtmEntry.timestamp, bound))
        with pytest.raises(InvalidEntry, match="not exactly an integer of 64 bits"):
            steps(session, compare(LtmEntry.step_number, 2**63))
    assert steps(session, LtmEntry.timestamp == 2**60) == [*range(100, 105)]
    assert steps(session, LtmEntry.importance_score == Decimal("0.3")) == [3]


def test_an_attribute_is_read_by_its_path_whatever_its_keys(ltm_engine: Engine) -> None:
    paths = (r"info.TimeLimit\.truncated", "pos[0]", "cells.#3", "ä ' {*}|", 'quo"te')
    contents: dict[str, Any] = {"info": {"TimeLimit.truncated": 7}, "pos": (7, 8), "cells": {3: 7}}
    contents |= {"ä ' {*}|": 7, 'quo"te': 7}
    repository = LtmRepository(ltm_engine, ContentsCodec(), indexed_attributes=paths)
    repository.add(an_entry(contents=contents))
    with Session(ltm_engine) as session:
        for path in paths:
            asked = LtmEntry.attributes[path].as_integer() == np.int64(7)
            if '"' in path and ltm_engine.dialect.name == "sqlite":
                with pytest.raises(InvalidEntry, match="quotation mark"):
                    steps(session, asked)
            else:
                assert steps(session, asked) == [1], path


def test_truths_of_numpy_are_truths(session: Session) -> None:
    assert steps(session, LtmEntry.pinned == np.bool_(True)) == [4]
    assert steps(session, LtmEntry.pinned != np.bool_(True)) == [*range(4), *range(5, 10)]
    calm = LtmEntry.attributes["calm"].as_boolean()
    assert steps(session, calm == np.bool_(True)) == [0, 2, 4, 6, 8]


def test_arrays_are_numbers_lists_or_refused(session: Session) -> None:
    assert steps(session, LtmEntry.step_number <= np.array(2)) == [0, 1, 2]
    assert steps(session, LtmEntry.step_number.in_(np.array([1, 20, 3]))) == [1, 3]
    with pytest.raises(InvalidEntry, match=r"not with an array of shape \(2,\)"):
        steps(session, LtmEntry.step_number == np.array([1, 2]))


def test_an_agent_whose_id_is_an_int_is_found_by_an_int_of_any_kind(session: Session) -> None:
    for one in (1, "1", np.int64(1), np.str_("1")):
        assert steps(session, LtmEntry.agent_id == one) == [1, 3, 5, 7, 9]
        assert steps(session, LtmEntry.agent_id.in_([one])) == [1, 3, 5, 7, 9]


def test_runs_are_compared_with_numbers_of_numpy(session: Session) -> None:
    assert session.scalars(select(Run.name).where(Run.created_at > np.float32(0))).all() == ["run"]
    assert session.scalars(select(Run.name).where(Run.id < np.int64(1))).all() == []
