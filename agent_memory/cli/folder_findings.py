"""What the doctor finds in a memory's folder and in its long-term database."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

from agent_memory.cli.findings import Finding, State
from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import Deployment
from agent_memory.connections.folder_record import check_folder
from agent_memory.connections.sql import (
    SqlEngine,
    open_engine,
    place_of,
    translating_sql_errors,
)
from agent_memory.connections.sql_connecting import connection_to
from agent_memory.connections.sql_failures import check_takes_writes
from agent_memory.repositories.sql import schema
from agent_memory.repositories.sql.pgvector import look_for_pgvector
from agent_memory.repositories.sql.vector_indexes import FEWEST, VectorIndexes
from agent_memory.values.urls import without_password


def look_at_folder(config: MemoryConfig, where: Deployment) -> list[Finding]:
    """Whether the folder can be used, and is opened as it was made.

    Raises:
        MemoryStoreError: It is opened otherwise than it was made.
    """
    path = where.path
    if where.engine != "embedded":
        return [Finding("folder", f"{path}, without a server of its own (engine {where.engine!r})")]
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        text = (
            f"{there} is no directory that this user may write: choose another folder with --path "
            "or $AGENT_MEMORY_PATH, or change its permissions"
        )
        return [Finding("folder", text, State.BROKEN)]
    if there != path:
        return [Finding("folder", f"{path} is not there yet, and is made on first use")]
    check_folder(config, where)
    return [Finding("folder", str(path))]


def look_at_schema(config: MemoryConfig, where: Deployment) -> list[Finding]:
    """Whether the schema of long-term memory is the one that this code works with.

    Raises:
        MemoryStoreError: It is not, or its database does not answer.
    """
    place, prefix = without_password(where.ltm_url), config.ltm_config.table_prefix
    to_be_made = Finding("schema", f"{place} has no tables {prefix}_* yet; made on first use")
    if _is_missing_file(where.ltm_url):
        return [to_be_made]
    engine = open_engine(where.ltm_url, read_only=True)
    try:
        with translating_sql_errors(place):
            check_takes_writes(engine, place)
        if schema.current(engine, prefix) is None:
            return [to_be_made]
        schema.check(engine, prefix)
        found = [Finding("schema", f"{place} is current (revision {schema.HEAD})")]
        if engine.dialect.name == "postgresql":
            found += _indexes(engine, prefix)
    finally:
        engine.dispose()
    return found


def _indexes(engine: SqlEngine, prefix: str) -> list[Finding]:
    """Whether the vectors of agents with very many can be indexed, and how many are."""
    with translating_sql_errors(place_of(engine)), connection_to(engine) as connection:
        found = look_for_pgvector(connection)
    if found.complaint is not None:
        text = f"not used, so that vectors are compared one by one: {found.complaint}"
        return [Finding("pgvector", text, State.OPTIONAL)]
    indexed = VectorIndexes(engine, prefix).listed()
    unfinished = [one.agent_id for one in indexed if not one.is_valid]
    if unfinished:
        text = (
            f"the index over the vectors of {', '.join(unfinished)} was not finished, and is not "
            "used: agent-memory db index-vectors"
        )
        return [Finding("pgvector", text, State.OPTIONAL)]
    has = f"{found.version}, in use" if found.version else f"{found.offered}, not in use yet"
    text = (
        f"{has}; the vectors of {len(indexed)} agents have an index (those of agents with more "
        f"than {FEWEST:,} get one by: agent-memory db index-vectors)"
    )
    return [Finding("pgvector", text)]


def _is_missing_file(url: str) -> bool:
    file = unquote(url.partition("?")[0].removeprefix("sqlite:///"))
    return url.startswith("sqlite:///") and not Path(file).exists()
