from __future__ import annotations

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pytest_alembic.runner import MigrationContext as Runner
from pytest_alembic.tests import (
    test_model_definitions_match_ddl as model_definitions_match_ddl,
)
from pytest_alembic.tests import test_single_head_revision as single_head_revision
from pytest_alembic.tests import test_up_down_consistency as up_down_consistency
from pytest_alembic.tests import test_upgrade as upgrade_from_base
from sqlalchemy import Engine, inspect

from agent_memory.compression.levels import ContentsCodec
from agent_memory.models.ltm import ltm_models
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.testing import an_entry
from tests.migrations.conftest import on_every_engine


def _shape(engine: Engine, prefix: str) -> dict[str, Any]:
    """Columns, keys and indexes of a prefix's tables, without the prefix."""
    found = inspect(engine)
    tables = [name for name in found.get_table_names() if name.startswith(f"{prefix}_")]
    parts = ("columns", "pk_constraint", "foreign_keys", "unique_constraints", "indexes")
    return {
        table.removeprefix(prefix): str(
            [sorted(map(str, _listed(getattr(found, f"get_{part}")(table)))) for part in parts]
        ).replace(prefix, "*")
        for table in tables
        if not table.endswith("alembic_version")
    }


def _listed(part: Any) -> list[Any]:
    return part if isinstance(part, list) else [part]


def test_there_is_one_head_and_the_code_names_it(
    alembic_runner: Runner, alembic_config: Config
) -> None:
    single_head_revision(alembic_runner)
    scripts = ScriptDirectory.from_config(alembic_config)
    assert scripts.get_current_head() == schema.HEAD
    newest_first = [script.revision for script in scripts.walk_revisions()]
    assert tuple(reversed(newest_first)) == schema.REVISIONS


@on_every_engine
def test_upgrading_from_nothing_works(alembic_runner: Runner) -> None:
    upgrade_from_base(alembic_runner)


@on_every_engine
def test_every_step_goes_up_and_down(alembic_runner: Runner) -> None:
    up_down_consistency(alembic_runner)


@on_every_engine
def test_the_models_match_the_tables(alembic_runner: Runner) -> None:
    model_definitions_match_ddl(alembic_runner)


@on_every_engine
@pytest.mark.parametrize("prefix", ["agent_ltm", "other", "a" * 30])
def test_the_models_match_the_tables_of_any_prefix(engine: Engine, prefix: str) -> None:
    schema.upgrade(engine, prefix)
    metadata = ltm_models(prefix).metadata
    with engine.connect() as connection:
        options = {"include_name": lambda name, kind, _: name != schema.version_table(prefix)}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    migrated = _shape(engine, prefix)
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            table.drop(connection)
        metadata.create_all(connection)
    assert migrated == _shape(engine, prefix)
    assert len(migrated) == 7


@on_every_engine
def test_a_difference_between_models_and_tables_would_be_seen(engine: Engine) -> None:
    schema.upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX ix_agent_ltm_entries_agent_ref_timestamp")
        connection.exec_driver_sql("ALTER TABLE agent_ltm_runs DROP COLUMN seed")
    with engine.connect() as connection:
        options = {"include_name": lambda name, kind, _: name != "agent_ltm_alembic_version"}
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, ltm_models().metadata)
    assert {difference[0] for difference in differences} == {"add_index", "add_column"}


@on_every_engine
def test_what_is_stored_survives_an_upgrade_and_goes_with_the_last_downgrade(
    engine: Engine, alembic_runner: Runner
) -> None:
    schema.upgrade(engine)
    repository = LtmRepository(engine, ContentsCodec())
    entries = [an_entry(agent_id=f"agent {number % 3}") for number in range(10)]
    repository.add_many(entries)
    schema.downgrade(engine, revision=schema.REVISIONS[0])
    alembic_runner.migrate_up_to("heads")
    assert repository.get_many([entry.key for entry in entries]) == entries
    schema.downgrade(engine, revision="base", delete_everything=True)
    assert inspect(engine).get_table_names() == ["agent_ltm_alembic_version"]


def test_names_fit_into_what_postgresql_allows(engine: Engine) -> None:
    metadata = ltm_models("p" * 30).metadata
    names = [
        str(part.name)  # type: ignore[attr-defined]  # each of these has one
        for table in metadata.tables.values()
        for part in (table, *table.constraints, *table.indexes)
    ]
    assert max(map(len, names)) <= 63


def test_tombstones_have_no_second_copy_of_their_key(engine: Engine) -> None:
    schema.upgrade(engine)
    with engine.connect() as connection:
        made = connection.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE name = 'agent_ltm_tombstones'"
        ).scalar_one()
    assert "WITHOUT ROWID" in made
