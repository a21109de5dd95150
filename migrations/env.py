"""Runs the revisions: for the alembic command, and for ``agent_memory.schema``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from logging.config import fileConfig
from typing import Any

from alembic import context
from sqlalchemy import Connection, Engine

from agent_memory.config import MemoryConfig, deployment
from agent_memory.connections.sql import open_engine, translating_sql_errors, writing
from agent_memory.models.ltm import DEFAULT_PREFIX, ltm_models
from agent_memory.schema import version_table

config = context.config


def _given() -> Mapping[str, Any]:
    """What the caller or ``-x`` says."""
    return {**context.get_x_argument(as_dictionary=True), **config.attributes}


def _prefix() -> str:
    return str(_given().get("table_prefix") or DEFAULT_PREFIX)


def _url() -> str:
    return str(_given().get("url") or deployment(MemoryConfig(), os.environ).ltm_url)


def _options() -> dict[str, Any]:
    prefix = _prefix()

    def is_ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or (name or "").startswith(f"{prefix}_")

    return {
        "target_metadata": ltm_models(prefix).metadata,
        "version_table": version_table(prefix),
        "include_name": is_ours,
        "compare_server_default": True,
        # SQLite changes a table by copying it.
        "render_as_batch": True,
        # Alembic takes SQLite for a database whose DDL commits by itself. As the engine of
        # this package begins its transactions, it does not.
        "transactional_ddl": True,
    }


def _migrate(connection: Connection) -> None:
    context.configure(connection=connection, **_options())
    with context.begin_transaction():
        context.run_migrations()


def _migrate_on(engine: Engine) -> None:
    with (
        translating_sql_errors(engine.url.render_as_string()),
        writing(engine).connect() as connection,
    ):
        _migrate(connection)
        connection.commit()


def _run() -> None:
    config.attributes.setdefault("table_prefix", _prefix())
    given = config.attributes.get("connection")
    if context.is_offline_mode():
        context.configure(url=_url(), literal_binds=True, **_options())
        with context.begin_transaction():
            context.run_migrations()
    elif isinstance(given, Connection):
        _migrate(given)
    elif given is not None:
        _migrate_on(given)
    else:
        if config.config_file_name is not None:
            fileConfig(config.config_file_name, disable_existing_loggers=False)
        engine = open_engine(_url())
        try:
            _migrate_on(engine)
        finally:
            engine.dispose()


_run()
