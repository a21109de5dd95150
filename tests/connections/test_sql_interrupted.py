"""SQL connections that are interrupted anywhere: the next one works, and nothing stays locked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from agent_memory.connections.sql import open_engine, writing
from agent_memory.connections.sql_connecting import connection_to
from agent_memory.values.forking import PATIENCE, ForkGate
from tests.faults.interrupting import Places

pytestmark = [
    # Of what is interrupted in a destructor, Python says that it goes on.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
]


@pytest.fixture(params=["file", "memory"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    place = tmp_path / "test.db" if request.param == "file" else ":memory:"
    engine = open_engine(f"sqlite:///{place}")
    with writing(engine).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE kept (number INTEGER PRIMARY KEY)")
    yield engine
    engine.dispose()


def numbers(engine: Engine) -> list[int]:
    with connection_to(engine) as connection:
        return list(connection.exec_driver_sql("SELECT number FROM kept").scalars())


def test_a_transaction_that_is_interrupted_anywhere_ends_though_its_traceback_is_kept(
    engine: Engine, tmp_path: Path
) -> None:
    # Beforehand, since it asks for a lock of Python's logging, which is written in Python.
    writer = writing(engine)

    def work() -> None:
        with connection_to(writer) as connection:
            connection.exec_driver_sql("INSERT INTO kept VALUES (1)")

    kept: list[BaseException | None] = []
    places = Places(work)
    with ThreadPoolExecutor(1) as another:
        for interrupted in places.each():
            kept.append(interrupted)
            assert numbers(engine) == [], places.where
            assert another.submit(numbers, engine).result(60) == [], places.where
            if engine.url.database != ":memory:":
                with closing(sqlite3.connect(tmp_path / "test.db", timeout=0)) as other:
                    other.execute("BEGIN IMMEDIATE")
    assert len(kept) > 50
    with connection_to(writing(engine)) as connection:
        connection.exec_driver_sql("INSERT INTO kept VALUES (2)")
        connection.commit()
    assert numbers(engine) == [2]


def test_a_ctrl_c_while_a_connection_is_given_back_is_raised_and_not_logged(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    ends: list[BaseException] = [ValueError("a failure is logged"), KeyboardInterrupt()]

    def interrupt(*_: object) -> None:
        raise ends.pop()

    event.listen(engine, "reset", interrupt)
    with pytest.raises(KeyboardInterrupt):
        numbers(engine)
    assert "Traceback" not in caplog.text
    numbers(engine)
    assert "a failure is logged" in caplog.text
    event.remove(engine, "reset", interrupt)
    assert numbers(engine) == []


def test_a_gate_that_is_interrupted_anywhere_lets_others_pass_and_forks_happen() -> None:
    gate = ForkGate()

    def work() -> None:
        with gate.passing():
            pass

    kept = list(Places(work).each())
    assert len(kept) > 5
    gate.shut(deadline=PATIENCE)  # long over: whoever waited would be seen to
    gate.open()
    with ThreadPoolExecutor(1) as another:
        another.submit(work).result(60)
