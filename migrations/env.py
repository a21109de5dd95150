"""Runs the revisions: for the alembic command, and for ``agent_memory.repositories.sql.schema``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from logging.config import fileConfig
from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, Double, inspect, text

from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import deployment
from agent_memory.connections.migrating import keeping_rows, migration, quoting_names
from agent_memory.connections.sql import open_engine, place_of
from agent_memory.errors import MemoryStoreError
from agent_memory.models.ltm import DEFAULT_PREFIX, ltm_models
from agent_memory.repositories.sql.attributes import is_attribute_index
from agent_memory.repositories.sql.schema import of_newer_version, version_table
from agent_memory.repositories.sql.vector_indexes import is_vector_index

# What these hold, nothing but a backup brings back.
_IRREPLACEABLE = ("entries", "tombstones", "encoder_versions")

config = context.config


def _given() -> Mapping[str, Any]:
    """What the caller or ``-x`` says."""
    return {**context.get_x_argument(as_dictionary=True), **config.attributes}


def _prefix() -> str:
    given = _given().get("table_prefix")
    # Checked as the package's own configuration, since it becomes part of statements.
    return MemoryConfig(
        ltm_config={"table_prefix": given or DEFAULT_PREFIX}
    ).ltm_config.table_prefix


def _url() -> str:
    return str(_given().get("url") or deployment(MemoryConfig(), os.environ).ltm_url)


def _options() -> dict[str, Any]:
    prefix = _prefix()
    metadata = ltm_models(prefix).metadata

    def is_ours(name: str | None, kind: str, _parents: object) -> bool:
        if kind == "index":
            # Made and dropped by commands and declarations, whatever the revision is.
            found, entries = name or "", f"{prefix}_entries"
            return not (is_vector_index(found, entries) or is_attribute_index(found, entries))
        # By name: the prefix "a" begins the names of the prefix "a_b" too.
        return kind != "table" or name in metadata.tables

    return {
        "target_metadata": metadata,
        "version_table": version_table(prefix),
        "include_name": is_ours,
        "compare_server_default": True,
        # SQLite changes a table by copying it.
        "render_as_batch": True,
        # Alembic takes SQLite for a database whose DDL commits by itself. As the engine of
        # this package begins its transactions, it does not.
        "transactional_ddl": True,
    }


def _keeping_entries(connection: Connection) -> AbstractContextManager[None]:
    if _given().get("delete_everything") in (True, "yes"):
        return nullcontext()
    return keeping_rows(connection, [f"{_prefix()}_{suffix}" for suffix in _IRREPLACEABLE])


def _changes_revision() -> bool:
    """Whether the database is brought to a revision, and not just looked at."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


def _complete_first_revision(connection: Connection) -> None:
    """Give tombstones the column that revision 0001 got a day after it had landed.

    Databases of that day have revision 0001 without it, and later revisions copy it. The column
    is none of a revision of its own, since those that come before would fail without it.
    """
    table, column = f"{_prefix()}_tombstones", "released_at"
    known = inspect(connection)
    if known.has_table(table) and column not in {one["name"] for one in known.get_columns(table)}:
        kind = Double().compile(dialect=connection.dialect)
        connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {column} {kind}"))


def _migrate(connection: Connection) -> None:
    context.configure(connection=connection, **_options())
    with (
        context.begin_transaction(),
        quoting_names(connection, _prefix()),
        _keeping_entries(connection),
        warnings.catch_warnings(),
    ):
        if _changes_revision():
            _complete_first_revision(connection)
        # Declared attributes have indexes on expressions, which are no part of a revision.
        warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based")
        try:
            context.run_migrations()
        except CommandError as error:
            known = {script.revision for script in context.script.walk_revisions()}
            unknown = {*context.get_context().get_current_heads()} - known
            if not unknown:
                raise
            raise of_newer_version(place_of(connection.engine), min(unknown)) from error


def _write_script() -> None:
    context.configure(url=_url(), literal_binds=True, **_options())
    with context.begin_transaction():
        context.run_migrations()


def _run() -> None:
    config.attributes["table_prefix"] = _prefix()
    given = config.attributes.get("connection")
    if context.is_offline_mode():
        _write_script()
    elif isinstance(given, Connection):
        _migrate(given)
    elif given is not None:
        with migration(given) as connection:
            _migrate(connection)
    else:
        _run_on_url()


def _run_on_url() -> None:
    if config.config_file_name is not None:
        fileConfig(config.config_file_name, disable_existing_loggers=False)
    engine = open_engine(_url())
    try:
        with migration(engine) as connection:
            _migrate(connection)
    finally:
        engine.dispose()


try:
    _run()
except MemoryStoreError as error:
    if config.cmd_opts is None:
        raise
    # The alembic command prints these in a line, and any other with its traceback.
    raise CommandError(str(error)) from error
