"""What a PostgreSQL server refuses is said, with what to do, at first and by the doctor."""

from __future__ import annotations

import select
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, make_url

from agent_memory import AgentMemorySystem, MemoryConfig
from agent_memory.cli.findings import Finding, State, looked
from agent_memory.cli.folder_findings import look_at_schema
from agent_memory.compression.levels import ContentsCodec
from agent_memory.connections.deployment import deployment
from agent_memory.connections.sql import open_engine, translating_sql_errors
from agent_memory.errors import MemoryStoreError, QueryEngineMissing, StoreUnavailable
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.repositories.sql.vector_indexes import VectorIndexes
from agent_memory.testing import an_entry
from agent_memory.values.query import Query

USER, PASSWORD = "walled", "geheim%2F7"


def as_superuser(url: str, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


@pytest.fixture
def walled(postgresql_database: str) -> Iterator[str]:
    """The URL of an empty database for a user who needs a password and may create nothing."""
    folder = str(make_url(postgresql_database).query.get("host", ""))
    if not folder.startswith("/"):
        pytest.skip("the server is not out of the wheel: how it asks for passwords is its own")
    rules = Path(folder, "pg_hba.conf")
    before = rules.read_text()
    as_superuser(
        postgresql_database,
        f"CREATE ROLE {USER} LOGIN PASSWORD 'geheim/7'",
        "REVOKE CREATE ON SCHEMA public FROM public",
    )
    rules.write_text(f"local all {USER} scram-sha-256\n{before}")
    as_superuser(postgresql_database, "SELECT pg_reload_conf()")
    yield postgresql_database.replace("postgres:@", f"{USER}:{PASSWORD}@")
    rules.write_text(before)
    as_superuser(postgresql_database, "SELECT pg_reload_conf()", f"DROP OWNED BY {USER}",
                 f"DROP ROLE {USER}")  # fmt: skip


def of_doctor(url: str) -> list[Finding]:
    config = MemoryConfig(engine="fake", ltm_url=url)
    return looked("schema", lambda: look_at_schema(config, deployment(config)))


def refusal(url: str) -> str:
    """What opening a memory says."""
    with pytest.raises(MemoryStoreError) as refused:
        AgentMemorySystem({"engine": "fake", "ltm_url": url})
    return str(refused.value)


def test_a_wrong_password_is_said_and_never_shown(walled: str) -> None:
    wrong = walled.replace(PASSWORD, "Kuckuck")
    [found] = of_doctor(wrong)
    assert found.state is State.BROKEN
    for said in (refusal(wrong), found.text):
        assert "check user and password in the URL" in said
        assert "Kuckuck" not in said


def test_a_user_without_rights_is_said_what_to_ask_for(
    walled: str, postgresql_database: str
) -> None:
    assert "let its owner grant the right" in refusal(walled)
    engine = open_engine(postgresql_database)
    schema.ensure(engine)
    engine.dispose()
    [found] = of_doctor(walled)
    assert "let its owner grant the right" in found.text
    tables = f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {USER}"
    as_superuser(postgresql_database, tables)
    current, pgvector = of_doctor(walled)
    assert current.state is State.FINE
    assert pgvector.state is State.OPTIONAL
    assert "have a superuser run CREATE EXTENSION vector there once" in pgvector.text
    engine = open_engine(walled)
    with pytest.raises(QueryEngineMissing, match="have a superuser run CREATE EXTENSION vector"):
        VectorIndexes(engine).make()
    sequences = f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {USER}"
    as_superuser(postgresql_database, sequences)
    # Declared attributes are stored and asked for without the index that only the owner may make.
    declaring = LtmRepository(engine, ContentsCodec(), indexed_attributes=("food",))
    declaring.upkeep.declare_attributes()
    declaring.add(an_entry(contents={"food": 3}))
    asked = Query(run_id="run", agent_id="ant", attributes={"food": 3})
    assert len(declaring.find(asked)) == 1
    assert "_attribute_" not in declaring.access(asked).way
    engine.dispose()


def test_a_database_of_another_schema_is_said_by_its_revision(postgresql_database: str) -> None:
    engine = open_engine(postgresql_database)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE agent_ltm_entries (id int)")
    assert "has no revision" in refusal(postgresql_database)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE agent_ltm_alembic_version (version_num text)")
        connection.exec_driver_sql("INSERT INTO agent_ltm_alembic_version VALUES ('9999')")
    [found] = of_doctor(postgresql_database)
    for said in (refusal(postgresql_database), found.text):
        assert "pip install --upgrade agent-memory" in said
    engine.dispose()


def test_what_a_server_is_set_to_is_said_with_what_to_do(postgresql_database: str) -> None:
    name = make_url(postgresql_database).database
    change = f"ALTER DATABASE {name} SET"
    stalled = create_engine(postgresql_database)
    for settings, advice in (
        ("search_path = nowhere", "search_path names no schema that is there: make it"),
        ("idle_in_transaction_session_timeout = '20ms'", "raise idle_in_transaction_session"),
    ):
        as_superuser(postgresql_database, f"{change} {settings}")
        with pytest.raises(StoreUnavailable, match=advice):
            make_table_slowly(stalled)
        as_superuser(postgresql_database, f"ALTER DATABASE {name} RESET ALL")
        stalled.dispose()
    as_superuser(postgresql_database, "CREATE VIEW agent_ltm_runs AS SELECT 1 AS id")
    with pytest.raises(StoreUnavailable, match="another program has a table of that name"):
        schema.upgrade(postgresql_database)
    as_superuser(
        postgresql_database, "CREATE ROLE poor LOGIN", f"ALTER DATABASE {name} CONNECTION LIMIT 0"
    )
    try:
        of_the_poor = postgresql_database.replace("postgres:@", "poor:@")
        assert "close what keeps them, or raise the limit" in refusal(of_the_poor)
    finally:
        as_superuser(postgresql_database, "DROP ROLE poor")


def make_table_slowly(engine: Engine) -> None:
    """Make a table in a transaction that is idle until the server ends it, if it ever does."""
    with translating_sql_errors("the database"), engine.connect() as connection:
        limit = connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar()
        if limit != "0":
            driver: Any = connection.connection.driver_connection
            select.select([driver], [], [], 30)
        connection.exec_driver_sql("CREATE TABLE mine (id int)")


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_of_any_encoding_serves_with_and_without_prepared_statements(
    postgresql_url: str, encoding: str
) -> None:
    made = f"CREATE DATABASE {encoding} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'"
    as_superuser(postgresql_url, made)
    plain = make_url(postgresql_url).set(database=encoding.lower())
    url = plain.update_query_dict({"prepare_threshold": "none"})
    engine = open_engine(url.render_as_string(hide_password=False))
    try:
        schema.ensure(engine)
        stored = LtmRepository(engine, ContentsCodec(), indexed_attributes=("food",))
        stored.upkeep.declare_attributes()
        entry = an_entry(contents={"food": "größe 日"}, run_id="run", agent_id="ant")
        stored.add(entry)
        asked = Query(run_id="run", agent_id="ant", attributes={"food": "größe 日"})
        assert [found.contents for found in stored.find(asked)] == [entry.contents]
    finally:
        engine.dispose()
        as_superuser(postgresql_url, f"DROP DATABASE {encoding}")
