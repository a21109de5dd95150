from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, Select, event, func, select
from sqlalchemy.orm import Session, aliased

from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.sql import open_engine
from agent_memory.errors import InvalidEntry
from agent_memory.models.ltm import EncoderVersion, LtmEntry, Run, ltm_models
from agent_memory.models.ltm_rows import row_to_entry
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.testing import an_entry
from agent_memory.values.entry import MemoryEntry, MemoryType

STEP_INDEX = "ix_agent_ltm_entries_agent_ref_step_number"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/ltm.db")
    schema.ensure(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def entries(engine: Engine) -> list[MemoryEntry]:
    """Two runs of agents of the same names, with entries at steps 0 to 29."""
    stored = [
        an_entry(
            run_id=run,
            agent_id=agent,
            step_number=step,
            timestamp=float(step),
            memory_type=list(MemoryType)[step % 3],
            contents={"role": agent.upper(), "wealth": step},
        )
        for run in ("run", "other")
        for agent in ("a1", "a2", "b")
        for step in range(30)
    ]
    repository = LtmRepository(engine, ContentsCodec(), indexed_attributes=("role", "wealth"))
    repository.add_many(stored)
    return stored


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


def _plan(session: Session, statement: Select[Any]) -> str:
    """The first line of SQLite's plan: how it goes about the entries."""
    literal = statement.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
    plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {literal}")
    return str(plan.first()[-1])  # type: ignore[index]  # there is always a plan


def test_an_analyst_asks_by_agent_and_steps(session: Session, entries: list[MemoryEntry]) -> None:
    asked = select(LtmEntry).where(LtmEntry.agent_id == "a1", LtmEntry.step_number.between(10, 20))
    found = session.scalars(asked).all()
    assert {entry.memory_id for entry in found} == {
        entry.memory_id
        for entry in entries
        if entry.agent_id == "a1" and 10 <= entry.step_number <= 20
    }
    assert f"{STEP_INDEX} (agent_ref=? AND step_number>? AND step_number<?)" in _plan(
        session, asked
    )


@pytest.mark.parametrize("run_first", [True, False])
def test_naming_the_run_too_still_reads_only_that_agents_rows(
    session: Session, entries: list[MemoryEntry], run_first: bool
) -> None:
    conditions = [LtmEntry.run_id == "run", LtmEntry.agent_id == "a1"]
    asked = select(LtmEntry.id).where(*(conditions if run_first else reversed(conditions)))
    assert len(session.scalars(asked).all()) == 30
    assert "(agent_ref=?)" in _plan(session, asked)
    ranged = asked.where(LtmEntry.step_number.between(10, 20))
    assert f"{STEP_INDEX} (agent_ref=? AND step_number>?" in _plan(session, ranged)


def test_a_run_alone_is_found_through_the_range_of_its_agents(
    session: Session, entries: list[MemoryEntry]
) -> None:
    asked = select(LtmEntry.id).where(LtmEntry.run_id == "other")
    assert len(session.scalars(asked).all()) == 90
    assert "(agent_ref>? AND agent_ref<?)" in _plan(session, asked)


def test_a_memory_id_finds_its_row_through_the_index(
    session: Session, entries: list[MemoryEntry]
) -> None:
    wanted = entries[5]
    asked = select(LtmEntry).where(LtmEntry.memory_id == wanted.memory_id)
    found = session.scalars(asked).one()
    assert found.memory_id == wanted.memory_id
    assert "(memory_id=?)" in str(
        session.connection()
        .exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT * FROM agent_ltm_entries WHERE memory_id = x'00'"
        )
        .first()
    )


def test_something_that_is_no_memory_id_is_refused(session: Session) -> None:
    with pytest.raises(Exception, match="UUID") as refusal:
        session.scalars(select(LtmEntry).where(LtmEntry.memory_id == "nonsense")).all()
    assert isinstance(refusal.value.__cause__, InvalidEntry)


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        (LtmEntry.agent_id == "nobody", 0),
        (LtmEntry.agent_id == "a1", 60),
        ("a1" == LtmEntry.agent_id, 60),  # noqa: SIM300 - the other way round is the point
        (LtmEntry.agent_id != "a1", 120),
        (LtmEntry.agent_id.in_(["a1", "b"]), 120),
        (LtmEntry.agent_id.not_in(["a1", "b"]), 60),
        (LtmEntry.agent_id.like("a%"), 120),
        (LtmEntry.agent_id.startswith("a"), 120),
        (LtmEntry.agent_id.contains("1"), 60),
        (LtmEntry.agent_id.between("a1", "a2"), 120),
        (LtmEntry.agent_id > "a2", 60),
        (LtmEntry.agent_id.is_(None), 0),
        (~(LtmEntry.agent_id == "a1"), 120),
        (LtmEntry.run_id == "run", 90),
        (LtmEntry.run_id != "run", 90),
        (~(LtmEntry.run_id == "run"), 90),
        (LtmEntry.run_id.in_(["run", "other", "none"]), 180),
        (LtmEntry.run_id == "none", 0),
        (~(LtmEntry.run_id == "none"), 180),
        (LtmEntry.memory_type == "state", 60),
        (LtmEntry.memory_type == MemoryType.ACTION, 60),
        (func.upper(LtmEntry.agent_id) == "A1", 60),
        (LtmEntry.attributes["role"].as_string() == "A1", 60),
        (LtmEntry.attributes["wealth"].as_integer() >= 20, 60),
        (LtmEntry.creation_time >= 20, 60),
    ],
)
def test_names_compare_like_columns(
    session: Session, entries: list[MemoryEntry], condition: Any, count: int
) -> None:
    asked = select(func.count()).select_from(LtmEntry).where(condition)
    assert session.scalar(asked) == count


def test_names_group_order_and_alias_like_columns(
    session: Session, entries: list[MemoryEntry]
) -> None:
    grouped = (
        select(LtmEntry.agent_id, LtmEntry.run_id, func.count())
        .group_by(LtmEntry.agent_id, LtmEntry.run_id)
        .order_by(LtmEntry.agent_id.desc(), LtmEntry.run_id)
    )
    assert [tuple(row) for row in session.execute(grouped)] == [
        (agent, run, 30) for agent in ("b", "a2", "a1") for run in ("other", "run")
    ]
    other = aliased(LtmEntry)
    joined = (
        select(func.count())
        .select_from(LtmEntry)
        .join(other, LtmEntry.step_number == other.step_number)
        .where(LtmEntry.agent_id == "a1", LtmEntry.run_id == "run")
        .where(other.agent_id == "b", other.run_id == "other", other.memory_type == "state")
    )
    assert session.scalar(joined) == 10


def test_a_loaded_entry_has_its_names_without_further_queries(
    engine: Engine, entries: list[MemoryEntry]
) -> None:
    asked: list[str] = []
    with Session(engine) as session:
        found = session.scalars(select(LtmEntry).where(LtmEntry.agent_id == "a1")).all()
        event.listen(engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
        names = {(entry.run_id, entry.agent_id, entry.memory_type) for entry in found}
        times = {(entry.creation_time, entry.last_access_time) for entry in found}
    assert len(names) == 6
    assert len(times) == 30
    assert asked == []


def test_a_loaded_entry_becomes_the_entry_that_was_stored(session: Session, engine: Engine) -> None:
    entry = an_entry(
        embedding=np.array([0.1, -2.5], np.float32),
        encoder_version=3,
        error_bounds={"energy": 0.25},
        creation_time=0.5,
        last_access_time=7.5,
    )
    LtmRepository(engine, ContentsCodec()).add(entry)
    loaded = session.scalars(select(LtmEntry)).one()
    assert row_to_entry(loaded, ContentsCodec().decode(loaded.contents, 1)) == entry


def test_times_that_equal_the_timestamp_take_no_room_and_read_naturally(
    session: Session, engine: Engine, tmp_path: Path
) -> None:
    repository = LtmRepository(engine, ContentsCodec())
    repository.add(an_entry(timestamp=0.1 + 0.2))
    beneath = sqlite3.connect(tmp_path / "ltm.db")
    stored = beneath.execute("SELECT creation_time, last_access_time FROM agent_ltm_entries")
    assert stored.fetchall() == [(None, None)]
    beneath.close()
    loaded = session.scalars(select(LtmEntry)).one()
    assert (loaded.creation_time, loaded.last_access_time) == (0.1 + 0.2, 0.1 + 0.2)


def test_a_seed_of_any_size_is_kept(session: Session) -> None:
    seed = 2**128 - 1
    session.add(Run(name="run", seed=seed, status="running", created_at=0.0))
    session.add(EncoderVersion(status="active", format=1, created_at=0.0, metrics={"r2": 0.5}))
    session.commit()
    assert session.scalars(select(Run.seed)).one() == seed
    assert session.scalars(select(EncoderVersion)).one().metrics == {"r2": 0.5}


def test_the_models_of_a_prefix_are_the_same_on_every_call() -> None:
    assert ltm_models("other") is ltm_models("other")
    assert ltm_models().LtmEntry is LtmEntry
    assert set(ltm_models("other").metadata.tables) == {
        f"other_{suffix}"
        for suffix in (
            *("entries", "runs", "agents", "types", "encoder_versions", "tombstones"),
            "attributes",
        )
    }


def test_the_models_of_a_prefix_read_as_naturally(engine: Engine) -> None:
    schema.ensure(engine, "other")
    LtmRepository(engine, ContentsCodec(), table_prefix="other").add(an_entry())
    models = ltm_models("other")
    with Session(engine) as session:
        asked = select(models.LtmEntry).where(
            models.LtmEntry.agent_id == "ant", models.LtmEntry.run_id == "run"
        )
        assert session.scalars(asked).one().memory_type == "state"
        assert session.scalars(select(LtmEntry)).all() == []
