"""The version of long-term memory's schema: brings it up to date, or says how to.

Revisions lie in ``migrations/``. Alembic takes 0.15 s to import and is loaded only when there
is something to migrate: opening a store whose schema is up to date does without it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from agent_memory.config import without_password
from agent_memory.connections.sql import (
    is_read_only,
    not_forking,
    open_engine,
    place_of,
    translating_sql_errors,
    writing,
)
from agent_memory.errors import SchemaOutOfDate
from agent_memory.models.ltm import DEFAULT_PREFIX, ltm_models

REVISIONS = ("0001",)
"""All revisions there have been, oldest first."""

HEAD = REVISIONS[-1]
"""The revision that this code works with."""


def ensure(engine: Engine, table_prefix: str = DEFAULT_PREFIX) -> None:
    """Bring a database that has no tables of the prefix to head, and check any other.

    Several processes may do so at once: one of them makes the tables.

    Raises:
        SchemaOutOfDate: The schema is older or newer than the code; names the command to run.
    """
    if current(engine, table_prefix) is None and not is_read_only(engine):
        with _transaction(engine) as connection:
            # Asked again behind the write lock: another process may have come first.
            if not _tables(connection, table_prefix):
                _migrate(connection, table_prefix)
                connection.commit()
    check(engine, table_prefix)


def check(engine: Engine, table_prefix: str = DEFAULT_PREFIX) -> None:
    """See that the schema is the one this code works with.

    Raises:
        SchemaOutOfDate: It is older or newer, or there is none; names the command to run.
    """
    found = current(engine, table_prefix)
    if found == HEAD:
        return
    place = place_of(engine)
    if found is not None and found not in REVISIONS:
        raise SchemaOutOfDate(
            f"the schema of long-term memory in {place} has revision {found!r}, which this "
            f"version of agent-memory does not know (its own is {HEAD!r}): upgrade the package "
            "with: pip install --upgrade agent-memory"
        )
    state = "has no revision" if found is None else f"has revision {found!r}"
    raise SchemaOutOfDate(
        f"the schema of long-term memory in {place} {state}, and {HEAD!r} is needed; "
        f"bring it up to date with: {upgrade_command(place, table_prefix)}"
    )


def current(engine: Engine, table_prefix: str = DEFAULT_PREFIX) -> str | None:
    """The revision of a database's schema; None if it has none."""
    with _reading(engine) as connection:
        if not inspect(connection).has_table(version_table(table_prefix)):
            return None
        # The prefix is an identifier: the configuration lets nothing else through.
        query = text(f"SELECT version_num FROM {version_table(table_prefix)}")  # noqa: S608
        return connection.execute(query).scalar()


def upgrade(
    engine_or_url: Engine | str, table_prefix: str = DEFAULT_PREFIX, revision: str = "head"
) -> None:
    """Bring a database's schema up to date, in one transaction.

    Args:
        engine_or_url: The database.
        table_prefix: What the tables' names begin with.
        revision: Stop at this revision.
    """
    owned = isinstance(engine_or_url, str)
    engine = open_engine(engine_or_url) if isinstance(engine_or_url, str) else engine_or_url
    try:
        with _transaction(engine) as connection:
            _migrate(connection, table_prefix, revision)
            connection.commit()
    finally:
        if owned:
            engine.dispose()


def upgrade_command(url: str, table_prefix: str = DEFAULT_PREFIX) -> str:
    """The command that brings a database's schema up to date; its password must be filled in."""
    place = without_password(url)
    settings = scripts_folder().parent / "alembic.ini"
    if not settings.is_file():
        call = f"schema.upgrade({place!r}, {table_prefix!r})"
        return f"python -c {shlex.quote(f'from agent_memory import schema; {call}')}"
    prefix = "" if table_prefix == DEFAULT_PREFIX else f" -x table_prefix={table_prefix}"
    return (
        f"alembic -c {shlex.quote(str(settings))} -x {shlex.quote(f'url={place}')}{prefix} "
        "upgrade head"
    )


def version_table(table_prefix: str) -> str:
    """The name of the table that holds the revision."""
    return f"{table_prefix}_alembic_version"


def scripts_folder() -> Path:
    """Where the revisions are: within the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    within = package / "migrations"
    return within if within.is_dir() else package.parent / "migrations"


def _tables(connection: Connection, table_prefix: str) -> set[str]:
    ours = {version_table(table_prefix), *ltm_models(table_prefix).metadata.tables}
    return ours & set(inspect(connection).get_table_names())


def _migrate(connection: Connection, table_prefix: str, revision: str = "head") -> None:
    # Imported here for the reason the module gives.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(scripts_folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["table_prefix"] = table_prefix
    command.upgrade(config, revision)


@contextmanager
def _transaction(engine: Engine) -> Iterator[Connection]:
    with (
        translating_sql_errors(place_of(engine)),
        not_forking(engine),
        writing(engine).connect() as connection,
    ):
        if connection.dialect.name == "postgresql":
            # Taken until the end of the transaction, as SQLite's write lock is.
            connection.execute(text("SELECT pg_advisory_xact_lock(6281127)"))
        yield connection


@contextmanager
def _reading(engine: Engine) -> Iterator[Connection]:
    with (
        translating_sql_errors(place_of(engine)),
        not_forking(engine),
        engine.connect() as connection,
    ):
        yield connection
