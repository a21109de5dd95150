"""Revision 0004 records what runs were begun with; runs from before have no parameters."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Engine, select, text

from agent_memory.connections.sql import open_engine, writing
from agent_memory.models.ltm import ltm_models
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.runs import RunRecords
from agent_memory.repositories.sql.transactions import Transactions
from agent_memory.values.run import RunRecord
from tests.migrations.conftest import on_every_engine

BEFORE = "0003"
PARAMETERS = {"ants": 20, "rate": 0.25, "at": [1, {"x": None}], "large": 2**70, "é\u2028": "\ud800"}


def records_of(engine: Engine) -> RunRecords:
    return RunRecords(Transactions(engine), ltm_models(), lambda: 9.0)


@on_every_engine
def test_runs_from_before_stay_and_can_be_recorded(engine: Engine) -> None:
    schema.upgrade(engine, revision=BEFORE)
    with writing(engine).begin() as connection:
        connection.execute(
            text(
                "INSERT INTO agent_ltm_runs (name, seed, status, created_at)"
                " VALUES ('old', '7', 'running', 5.0)"
            )
        )
    schema.upgrade(engine)
    schema.check_tables(engine)
    records = records_of(engine)
    assert records.all() == [RunRecord("old", seed=7, created_at=5.0)]
    begun = RunRecord("old", seed=8, parameters=PARAMETERS, created_at=5.0)
    assert records.begin(begun) == (begun, True)
    assert records.begin(RunRecord("old", seed=9, parameters={})) == (begun, False)
    schema.downgrade(engine, revision=BEFORE)
    schema.upgrade(engine)
    schema.check_tables(engine)
    assert records.all() == [RunRecord("old", seed=8, created_at=5.0)]


@on_every_engine
def test_parameters_can_be_asked_for_in_sql(engine: Engine) -> None:
    schema.upgrade(engine)
    records, run = records_of(engine), ltm_models().Run
    for ants in (5, 20):
        records.begin(RunRecord(f"with-{ants}", parameters={"ants": ants}))
    with engine.connect() as connection:
        asked = select(run.name).where(run.parameters["ants"].as_integer() > 10)
        assert connection.scalars(asked).all() == ["with-20"]


def test_parameters_that_were_damaged_keep_no_run_from_being_listed(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/ltm.db")
    schema.upgrade(engine)
    records = records_of(engine)
    records.begin(RunRecord("damaged", seed=3, parameters={"ants": 1}))
    beneath = sqlite3.connect(tmp_path / "ltm.db")
    beneath.execute("UPDATE agent_ltm_runs SET parameters = '{oops'")
    beneath.commit()
    beneath.close()
    (found,) = records.all()
    assert (found.seed, found.parameters) == (3, None)
    engine.dispose()
