"""The commands on the schema of long-term memory: ``agent-memory db``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from agent_memory.cli.opening import plain_errors
from agent_memory.cli.output import AsJson
from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import LTM_URL_VARIABLE, deployment
from agent_memory.connections.folder_record import recorded_config
from agent_memory.connections.sql import SqlEngine, open_engine, place_of
from agent_memory.embeddings.registry import EncoderRegistry
from agent_memory.errors import ConfigError
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.encoders import EncoderVersions
from agent_memory.repositories.sql.partitions import MOST, partition, refuse_elsewhere
from agent_memory.repositories.sql.vector_indexes import FEWEST, VectorIndexes
from agent_memory.values.json_values import json_line
from agent_memory.values.urls import without_password

app = typer.Typer(
    help="Upgrade, downgrade and check the schema of long-term memory.", no_args_is_help=True
)

_Url = Annotated[
    str | None,
    typer.Option(help="SQLAlchemy URL of the database; else $AGENT_MEMORY_LTM_URL."),
]
_Folder = Annotated[
    Path | None,
    typer.Option(help="Folder of the memory whose database it is, wherever that may be."),
]
_Prefix = Annotated[
    str | None,
    typer.Option(help="What the tables' names begin with; else what the folder was made with."),
]


@app.command()
def upgrade(
    revision: Annotated[str, typer.Argument(help="Where to stop.")] = "head",
    url: _Url = None,
    path: _Folder = None,
    table_prefix: _Prefix = None,
) -> None:
    """Bring the schema up to date; a database that is not there is made."""
    with plain_errors(), _database(url, path, table_prefix) as (engine, prefix):
        before = schema.current(engine, prefix)
        schema.upgrade(engine, prefix, revision)
        _tell_change(engine, prefix, before)


@app.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help='Where to stop; "base": before the first.')],
    url: _Url = None,
    path: _Folder = None,
    table_prefix: _Prefix = None,
    delete_everything: Annotated[
        bool, typer.Option("--delete-everything", help="Also drop tables that hold entries.")
    ] = False,
) -> None:
    """Take the schema back to an older revision, for an older version of agent-memory."""
    with plain_errors(), _database(url, path, table_prefix, there=True) as (engine, prefix):
        before = schema.current(engine, prefix)
        schema.downgrade(engine, prefix, revision=revision, delete_everything=delete_everything)
        _tell_change(engine, prefix, before)


@app.command()
def current(
    url: _Url = None,
    path: _Folder = None,
    table_prefix: _Prefix = None,
    as_json: AsJson = False,
) -> None:
    """Print the revision of a database."""
    with plain_errors(), _database(url, path, table_prefix, read_only=True) as (engine, prefix):
        found = schema.current(engine, prefix)
    typer.echo(json_line({"revision": found, "newest": schema.HEAD}) if as_json else _named(found))


@app.command()
def history(
    url: _Url = None,
    path: _Folder = None,
    table_prefix: _Prefix = None,
    as_json: AsJson = False,
) -> None:
    """List all revisions, oldest first, and which of them a database has behind it."""
    with plain_errors(), _database(url, path, table_prefix, read_only=True) as (engine, prefix):
        found = schema.current(engine, prefix)
        revisions = schema.history()
        names = [revision.name for revision in revisions]
        if found is not None and found not in names:
            raise schema.of_newer_version(place_of(engine), found)
        applied = 0 if found is None else names.index(found) + 1
        for place, revision in enumerate(revisions):
            state = "applied" if place < applied else "pending"
            row = {"revision": revision.name, "state": state, "summary": revision.summary}
            typer.echo(json_line(row) if as_json else "  ".join(row.values()))


@app.command()
def check(url: _Url = None, path: _Folder = None, table_prefix: _Prefix = None) -> None:
    """See that this version can work with a database; exit status 2 and the remedy if not."""
    with plain_errors(), _database(url, path, table_prefix, read_only=True) as (engine, prefix):
        schema.check_tables(engine, prefix)
        typer.echo(f"{place_of(engine)}: the schema is up to date ({schema.HEAD})")


@app.command()
def create(
    url: _Url = None,
    path: _Folder = None,
    table_prefix: _Prefix = None,
    partitions: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Divide entries by agent, on PostgreSQL."),
    ] = None,
) -> None:
    """Make the tables of a new database, those of entries in partitions if they shall be many."""
    with plain_errors(), _database(url, path, table_prefix) as (engine, prefix):
        if partitions is not None:
            refuse_elsewhere(engine)
        schema.ensure(engine, prefix)
        if partitions is not None:
            partition(engine, partitions, prefix)
        parts = f", entries in {partitions} partitions" if partitions else ""
        typer.echo(f"{place_of(engine)}: the schema is up to date ({schema.HEAD}){parts}")


@app.command(name="index-vectors")
def index_vectors(
    url: _Url = None,
    path: _Folder = None,
    table_prefix: _Prefix = None,
    fewest: Annotated[
        int, typer.Option(min=1, help="How many vectors of a kind an agent needs.")
    ] = FEWEST,
    drop: Annotated[bool, typer.Option("--drop", help="Drop the indexes, and make none.")] = False,
) -> None:
    """Index the vectors of agents that have very many, by pgvector; programs go on meanwhile."""
    with plain_errors(), _database(url, path, table_prefix, there=True) as (engine, prefix):
        schema.check(engine, prefix)
        encoders = EncoderRegistry(source=EncoderVersions(engine, prefix))

        def bias_of(version: int, width: int) -> float:
            encoder = encoders.encoder(version)
            return 0.0 if encoder is None else encoder.bias(width)

        indexes = VectorIndexes(engine, prefix, bias_of)
        if drop:
            typer.echo(f"{place_of(engine)}: {indexes.drop()} indexes over vectors dropped")
            return
        made = indexes.make(fewest)
        for one in made:
            typer.echo(
                f"{one.agent_id} in {one.run_id}: {one.rows:,} vectors of version {one.version}, "
                f"{one.size:,} bytes"
            )
        typer.echo(f"{place_of(engine)}: {len(made)} agents have an index over their vectors")


@app.command()
def ini() -> None:
    """Print the path of an alembic.ini, for: alembic -c "$(agent-memory db ini)" ..."""
    typer.echo(schema.settings_file())


@contextmanager
def _database(
    url: str | None,
    path: Path | None,
    table_prefix: str | None,
    *,
    read_only: bool = False,
    there: bool = False,
) -> Iterator[tuple[SqlEngine, str]]:
    """The database that the options name, and the prefix of its tables."""
    config = _config(url, path, table_prefix)
    place = deployment(config).ltm_url
    if there and not read_only:
        # Opening for writing would make a file where there is none.
        open_engine(place, read_only=True).dispose()
    engine = open_engine(place, read_only=read_only)
    try:
        yield engine, config.ltm_config.table_prefix
    finally:
        engine.dispose()


def _config(url: str | None, path: Path | None, table_prefix: str | None) -> MemoryConfig:
    if url is not None and path is not None:
        raise ConfigError("--url and --path both name a database: give one of them")
    made: dict[str, Any] = {}
    if url is not None:
        made["ltm_url"] = url
    elif path is not None or not os.environ.get(LTM_URL_VARIABLE):
        made = _as_made(path)
    if table_prefix is not None:
        made["ltm_config"] = {"table_prefix": table_prefix}
    return MemoryConfig(path=path, **made)


def _as_made(path: Path | None) -> dict[str, Any]:
    """What a folder says of its database, with the password that only the environment knows."""
    folder = deployment(MemoryConfig(path=path)).path
    made = recorded_config(folder)
    recorded = made.get("ltm_url", "")
    if "***" not in recorded:
        return made
    known = os.environ.get(LTM_URL_VARIABLE, "")
    if without_password(known) != recorded:
        raise ConfigError(
            f"the memory in {folder} has its database at {recorded}: set ${LTM_URL_VARIABLE} "
            "to that URL with its password, or give it by --url"
        )
    return made | {"ltm_url": known}


def _tell_change(engine: SqlEngine, prefix: str, before: str | None) -> None:
    after = schema.current(engine, prefix)
    change = "is at" if after == before else f"went from {_named(before)} to"
    typer.echo(f"{place_of(engine)}: the schema {change} {_named(after)}")


def _named(revision: str | None) -> str:
    if revision is None:
        return "no revision"
    return f"revision {revision}" + (" (up to date)" if revision == schema.HEAD else "")
