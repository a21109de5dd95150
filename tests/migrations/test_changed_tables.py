"""What somebody changes of the tables by hand is reported, also what Alembic does not compare."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine

from agent_memory import AgentMemorySystem, MemoryConfig, SchemaOutOfDate
from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.sql import open_engine, writing
from agent_memory.models.ltm import ltm_models
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.repositories.sql.schema_differences import differences
from agent_memory.testing import an_entry
from tests.migrations.conftest import on_every_engine

ENTRIES = "agent_ltm_entries"
STEPS = "ix_agent_ltm_entries_agent_ref_step_number"


def found(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return differences(connection, ltm_models(), "agent_ltm")


def again(index: str, change: Callable[[str], str]) -> Callable[[sqlite3.Connection], None]:
    """Make an index once more, by a changed statement."""

    def run(database: sqlite3.Connection) -> None:
        (made,) = database.execute(
            "SELECT sql FROM sqlite_master WHERE name = ?", [index]
        ).fetchone()
        database.execute(f"DROP INDEX {index}")
        assert change(made) != made
        database.execute(change(made))

    return run


def rewritten(table: str, old: str, new: str) -> Callable[[sqlite3.Connection], None]:
    """Change the statement of a table, as a copy of it by another tool would."""

    def run(database: sqlite3.Connection) -> None:
        database.execute("PRAGMA writable_schema = ON")
        change = "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE name = ? AND sql LIKE ?"
        assert database.execute(change, [old, new, table, f"%{old}%"]).rowcount == 1
        (version,) = database.execute("PRAGMA schema_version").fetchone()
        database.execute(f"PRAGMA schema_version = {version + 1}")

    return run


def made(table: str, old: str, new: str) -> Callable[[sqlite3.Connection], None]:
    """Make a table once more, by a changed statement."""

    def run(database: sqlite3.Connection) -> None:
        asked = "SELECT sql FROM sqlite_master WHERE name = ?"
        (statement,) = database.execute(asked, [table]).fetchone()
        assert old in statement
        database.execute(f"DROP TABLE {table}")
        database.execute(statement.replace(old, new))

    return run


def sql(statement: str) -> Callable[[sqlite3.Connection], object]:
    return lambda database: database.execute(statement)


def over(columns: str) -> Callable[[sqlite3.Connection], None]:
    return again(STEPS, lambda made: made.replace("step_number)", columns))


CHANGES_OF_SQLITE: dict[str, tuple[Callable[[sqlite3.Connection], object], str]] = {
    "partial": (over("step_number) WHERE step_number < 9"), "step_number is another"),
    "descending": (over("step_number DESC)"), "DESC"),
    "other columns": (over("revision)"), "step_number is another"),
    "expression": (over("abs(step_number))"), "ABS"),
    "collated": (over("step_number COLLATE NOCASE)"), "NOCASE"),
    "unique": (again(STEPS, lambda made: made.replace("E INDEX", "E UNIQUE INDEX")), "UNIQUE ON"),
    "one more": (sql(f"CREATE INDEX mine ON {ENTRIES} (abs(revision))"), "index mine was added"),
    "trigger": (
        sql(f"CREATE TRIGGER t AFTER INSERT ON {ENTRIES} BEGIN SELECT 1; END"),
        "trigger t was added",
    ),
    "numbers": (
        rewritten("agent_ltm_agents", " AUTOINCREMENT", ""),
        "AUTOINCREMENT was dropped",
    ),
    "check": (
        rewritten(ENTRIES, "revision BIGINT", "revision BIGINT CHECK (revision < 9)"),
        "CHECK was added",
    ),
    "collation": (
        rewritten("agent_ltm_agents", "name VARCHAR", "name VARCHAR COLLATE NOCASE"),
        "COLLATE was added",
    ),
    "conflict": (
        rewritten(ENTRIES, "memory_id, agent_ref)", "memory_id, agent_ref) ON CONFLICT IGNORE"),
        "CONFLICT was added",
    ),
    "cascade": (
        rewritten(ENTRIES, "agent_ltm_agents (id)", "agent_ltm_agents (id) ON DELETE CASCADE"),
        "foreign keys",
    ),
    "order of the key": (
        made(
            "agent_ltm_tombstones",
            "(run_ref, memory_id, agent_hash)",
            "(memory_id, run_ref, agent_hash)",
        ),
        "primary key changed",
    ),
    "row numbers": (made("agent_ltm_tombstones", "WITHOUT ROWID", ""), "WITHOUT was dropped"),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sound") / "ltm.db"
    engine = open_engine(f"sqlite:///{file}")
    schema.ensure(engine)
    repository = LtmRepository(engine, ContentsCodec(), indexed_attributes=("food", "it's", "a.b"))
    repository.add(an_entry(contents={"food": 3, "a": {"b": 4}}))
    repository.upkeep.declare_attributes()
    schema.check_tables(engine)
    assert found(engine) == []
    engine.dispose()
    return file


@pytest.mark.parametrize("name", CHANGES_OF_SQLITE)
def test_a_change_of_a_sqlite_file_is_told(name: str, sound: Path, tmp_path: Path) -> None:
    change, reported = CHANGES_OF_SQLITE[name]
    shutil.copy(sound, tmp_path / "ltm.db")
    with closing(sqlite3.connect(tmp_path / "ltm.db")) as database:
        change(database)
        database.commit()
    engine = open_engine(f"sqlite:///{tmp_path}/ltm.db")
    told_of = found(engine)
    assert any(reported in difference for difference in told_of), told_of
    with pytest.raises(SchemaOutOfDate, match="were changed since"):
        schema.check_tables(engine)
    engine.dispose()


def test_an_index_over_an_attribute_is_the_one_of_its_path(sound: Path, tmp_path: Path) -> None:
    shutil.copy(sound, tmp_path / "ltm.db")
    with closing(sqlite3.connect(tmp_path / "ltm.db")) as database:
        asked = "SELECT name FROM sqlite_master WHERE sql LIKE '%food%'"
        ((index,),) = database.execute(asked).fetchall()
        again(index, lambda made: made.replace("food", "mood"))(database)
        database.commit()
    engine = open_engine(f"sqlite:///{tmp_path}/ltm.db")
    (difference,) = found(engine)
    assert difference.startswith(f"index {index} is another")
    engine.dispose()


def index_on(rest: str, kind: str = "INDEX") -> list[str]:
    return [f"DROP INDEX {STEPS}", f"CREATE {kind} {STEPS} ON {ENTRIES} {rest}"]


CHANGES_OF_POSTGRESQL: dict[str, tuple[list[str], str]] = {
    "partial": (index_on("(agent_ref, step_number) WHERE step_number < 9"), "is another"),
    "descending": (index_on("(agent_ref, step_number DESC)"), "DESC"),
    "expression": (index_on("(agent_ref, abs(step_number))"), "abs"),
    "method": (index_on("USING brin (agent_ref, step_number)"), "brin"),
    "unique": (index_on("(agent_ref, step_number)", "UNIQUE INDEX"), "is another"),
    "invalid": (
        [f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{STEPS}'::regclass"],  # noqa: S608
        "not valid",
    ),
    "one more": ([f"CREATE INDEX mine ON {ENTRIES} (abs(revision))"], "mine was added"),
    "trigger": (
        [
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            f"CREATE TRIGGER t BEFORE INSERT ON {ENTRIES} FOR EACH ROW EXECUTE FUNCTION f()",
        ],
        "trigger t was added",
    ),
    "rule": ([f"CREATE RULE r AS ON INSERT TO {ENTRIES} DO INSTEAD NOTHING"], "rule r was added"),
    "foreign keys off": (["ALTER TABLE agent_ltm_types DISABLE TRIGGER ALL"], "is disabled"),
    "numbers": (["ALTER TABLE agent_ltm_agents ALTER id DROP DEFAULT"], "no longer counted up"),
    "check": ([f"ALTER TABLE {ENTRIES} ADD CONSTRAINT c CHECK (revision < 9)"], "c was added"),
    "collation": (
        ['ALTER TABLE agent_ltm_runs ALTER status TYPE varchar COLLATE "C"'],
        "status has another collation",
    ),
    "deferrable": (
        [f"ALTER TABLE {ENTRIES} ALTER CONSTRAINT fk_{ENTRIES}_agent_ref DEFERRABLE"],
        f"fk_{ENTRIES}_agent_ref holds in another way",
    ),
    "row security": ([f"ALTER TABLE {ENTRIES} ENABLE ROW LEVEL SECURITY"], "row security"),
    "unlogged": (["ALTER TABLE agent_ltm_tombstones SET UNLOGGED"], "no ordinary one"),
}


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_change_of_postgresql_is_told(engine: Engine) -> None:
    schema.ensure(engine)
    repository = LtmRepository(engine, ContentsCodec(), indexed_attributes=("food",))
    repository.add(an_entry())
    repository.upkeep.declare_attributes()
    schema.check_tables(engine)
    assert found(engine) == []
    for name, (statements, reported) in CHANGES_OF_POSTGRESQL.items():
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
            told_of = differences(connection, ltm_models(), "agent_ltm")
            connection.rollback()
        assert told_of, name
        assert all(reported in difference for difference in told_of), (name, told_of)
    assert found(engine) == []


@on_every_engine
def test_indexes_of_declarations_that_a_downgrade_dropped_are_no_change(engine: Engine) -> None:
    schema.ensure(engine)
    declaring = LtmRepository(engine, ContentsCodec(), indexed_attributes=("food", "it's: %s"))
    declaring.add(an_entry(contents={"food": 3}))
    declaring.upkeep.declare_attributes()
    schema.downgrade(engine, revision="0001")
    schema.upgrade(engine)
    schema.check_tables(engine)
    declaring.upkeep.declare_attributes()
    schema.check_tables(engine)


@on_every_engine
def test_the_check_of_tables_and_of_a_memory_tell_a_change(
    engine: Engine, url: str, tmp_path: Path
) -> None:
    config = MemoryConfig(engine="fake", ltm_url=url, path=tmp_path)
    AgentMemorySystem(config).close()
    with writing(engine).begin() as connection:
        connection.exec_driver_sql(f"DROP INDEX {STEPS}")
        connection.exec_driver_sql(
            f"CREATE INDEX {STEPS} ON {ENTRIES} (agent_ref, step_number) WHERE step_number < 9"
        )
    with pytest.raises(SchemaOutOfDate, match=f"were changed since: index {STEPS} is another"):
        schema.check_tables(engine)
    with AgentMemorySystem(config) as memory:
        (finding,) = memory.check().findings
    assert finding.kind == "schema"
    assert STEPS in finding.means
