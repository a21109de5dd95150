"""A long-term memory that is measured, and the plain connection to its database beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from agent_memory import AgentMemorySystem, MemoryConfig

COLUMNS = (
    "run_ref, agent_ref, type_ref, contents, importance_score, compression_level, "
    "retrieval_count, creation_time, last_access_time, embedding, embedding_coding, "
    "encoder_version, revision, error_bounds"
)
"""The columns of a row beside its key, its memory id, its step and its time."""


@contextmanager
def long_term_memory() -> Iterator[tuple[AgentMemorySystem, sqlite3.Connection]]:
    """A memory whose server is in this process, and a connection to the database."""
    with TemporaryDirectory() as folder:
        config = MemoryConfig(path=Path(folder), engine="fake", ltm_url=f"sqlite:///{folder}/l.db")
        with (
            AgentMemorySystem(config) as memory,
            closing(sqlite3.connect(f"{folder}/l.db", isolation_level=None)) as raw,
        ):
            yield memory, raw


def multiply(raw: sqlite3.Connection, times: int) -> None:
    """Store the first thousand steps again and again, each a thousand steps and seconds later."""
    raw.execute("PRAGMA synchronous = OFF")
    raw.execute("PRAGMA cache_size = -400000")
    raw.execute("BEGIN")
    for time in range(1, times):
        raw.execute(
            f"INSERT INTO agent_ltm_entries (memory_id, step_number, timestamp, {COLUMNS}) "  # noqa: S608
            "SELECT CAST(printf('%016d', id + ? * 1000) AS BLOB), step_number + ?, timestamp + ?, "
            f"{COLUMNS} FROM agent_ltm_entries WHERE agent_ref = 1 AND step_number < 1000",
            (time, 1_000 * time, 1_000.0 * time),
        )
    raw.execute("COMMIT")
