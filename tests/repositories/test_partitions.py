"""The table of entries in partitions by agent: the same answers, the same refusals."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from agent_memory.cli.commands import app
from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.sql import open_engine
from agent_memory.errors import ConfigError
from agent_memory.repositories.outcomes import Added
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.partitions import partition, partitions_of
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.repositories.sql.vector_indexes import VectorIndexes
from agent_memory.values.query import Query
from tests.repositories import test_vector_indexes as of_vectors

ENTRIES = "agent_ltm_entries"
WHOLE = Query(run_id="run", limit=None)


@pytest.fixture
def engine(postgresql_memory: str) -> Iterator[Engine]:
    engine = open_engine(postgresql_memory)
    partition(engine, 4)
    yield engine
    engine.dispose()


@pytest.fixture
def repository(engine: Engine) -> LtmRepository:
    return LtmRepository(engine, ContentsCodec())


def parts_in_plan(engine: Engine, condition: str) -> set[str]:
    with engine.connect() as connection:
        plan = connection.exec_driver_sql(
            f"EXPLAIN SELECT contents FROM {ENTRIES} WHERE {condition}"  # noqa: S608 - of this test
        )
        words = [word for (line,) in plan for word in line.split()]
    return {word for word in words if re.fullmatch(rf"{ENTRIES}_p\d+", word)}


def test_entries_of_all_agents_are_kept_found_and_removed(
    repository: LtmRepository, engine: Engine
) -> None:
    stored = [
        entry for agent in range(8) for entry in of_vectors.entries(20, 1, agent_id=f"ant-{agent}")
    ]
    assert repository.add_many(stored) == [Added.STORED] * len(stored)
    assert repository.add_many(stored[:30]) == [Added.PRESENT] * 30
    assert repository.count("run") == len(stored)
    assert {entry.key for entry in repository.find(WHOLE)} == {entry.key for entry in stored}
    assert repository.get_many([stored[33].key])[0].contents == stored[33].contents
    repository.forget([stored[0].key], at=1.0)
    assert repository.add_many(stored[:1]) == [Added.FORGOTTEN]
    assert repository.clear_run("run") == len(stored) - 1


def test_a_question_about_an_agent_goes_to_one_partition(
    repository: LtmRepository, engine: Engine
) -> None:
    repository.add_many(of_vectors.entries(20, 1))
    assert len(parts_in_plan(engine, "agent_ref = 1")) == 1
    assert len(parts_in_plan(engine, "step_number = 1")) == 4


def test_the_schema_is_what_it_is_to_be_and_goes_no_further_back(
    repository: LtmRepository, engine: Engine
) -> None:
    repository.add_many(of_vectors.entries(3, 1))
    schema.check_tables(engine)
    with pytest.raises(ConfigError, match="in partitions by agent, and before revision 0003"):
        schema.downgrade(engine, revision="0002")
    schema.downgrade(engine, revision="0003")
    schema.upgrade(engine)
    schema.check_tables(engine)
    with pytest.raises(ConfigError, match="holds entries: copy the memory"):
        partition(engine, 8)
    with engine.connect() as connection:
        assert partitions_of(connection, ENTRIES) == 4


def test_vectors_are_indexed_in_the_partition_of_their_agent(
    repository: LtmRepository, engine: Engine
) -> None:
    repository.add_many(of_vectors.entries(200, 1))
    repository.add_many(of_vectors.entries(150, 1, agent_id="bee"))
    indexes = VectorIndexes(engine)
    assert len(indexes.make(fewest=150)) == 2
    schema.check_tables(engine)
    query = of_vectors.ANT
    assert of_vectors.near(repository, query, 1) == of_vectors.near(
        repository, query, 1, one_by_one=True
    )
    assert indexes.drop() == 2


def test_the_command_makes_them_once(postgresql_database: str) -> None:
    def made(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["db", "create", "--url", postgresql_database, *arguments])
        return done.exit_code, done.output

    assert made("--partitions", "3")[1].endswith("entries in 3 partitions\n")
    assert made("--partitions", "3")[0] == 0
    code, output = made("--partitions", "4")
    assert (code, "has 3 partitions already" in output) == (2, True)
