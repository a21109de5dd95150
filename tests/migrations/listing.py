"""Writes what a database holds as text, by means of its own, for comparison with what was stored.

Types are spelled out and numbers are exact, so that two texts are equal only if what they tell
of is. The package's own coding has no part in it: a mistake there would be on both sides.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from agent_memory.compression.levels import ContentsCodec
from agent_memory.models.ltm import ltm_models
from agent_memory.repositories.sql.repository import LtmRepository
from agent_memory.values.entry import EntryKey, MemoryEntry

VERSION_FIELDS = (
    *("id", "name", "kind", "parent_id", "status", "format", "created_at"),
    *("tolerances", "metrics", "feature_schema", "dictionary", "weights"),
)


def line(kind: str, *reported: Any) -> str:
    """One line of a listing."""
    return json.dumps([kind, *map(_plain, reported)])


def entry_line(entry: MemoryEntry) -> str:
    """The line of an entry: all its fields, but a pin only if there is one."""
    reported = {known.name: getattr(entry, known.name) for known in fields(entry)}
    if not entry.pinned:
        del reported["pinned"]  # of which the listings of the first revisions know nothing
    return line("entry", reported)


def tombstone_line(
    run_id: str, memory_id: str, forgotten_at: float, released_at: float | None, agent: int
) -> str:
    """The line of a forgotten key, with the hash of its agent if it is of one alone."""
    reported = (run_id, memory_id, forgotten_at, released_at)
    return line("tombstone", *reported, agent) if agent else line("tombstone", *reported)


def listing(engine: Engine, table_prefix: str = "agent_ltm") -> list[str]:
    """All that a database holds, sorted."""
    models = ltm_models(table_prefix)
    with Session(engine) as session:
        runs = {run.id: run.name for run in session.scalars(select(models.Run))}
        lines = [
            line("encoder", {name: getattr(version, name) for name in VERSION_FIELDS})
            for version in session.scalars(select(models.EncoderVersion))
        ]
        lines += [
            tombstone_line(
                runs[it.run_ref], it.memory_id, it.forgotten_at, it.released_at, it.agent_hash
            )
            for it in session.scalars(select(models.Tombstone))
        ]
        lines += [
            line("run", run.name, run.parent_id and runs[run.parent_id], run.fork_step, run.seed,
                 run.parameters, run.status)
            for run in session.scalars(select(models.Run))
            if run.parameters is not None
        ]  # fmt: skip
        lines += [
            line("attributes", entry.run_id, entry.memory_id, entry.attributes)
            for entry in session.scalars(select(models.LtmEntry))
            if entry.attributes is not None
        ]
    return sorted([*map(entry_line, entries_of(engine, table_prefix)), *lines])


def entries_of(engine: Engine, table_prefix: str = "agent_ltm") -> list[MemoryEntry]:
    """All entries of all agents and runs, as the repository reads them."""
    repository = LtmRepository(engine, ContentsCodec(), table_prefix=table_prefix)
    keys: Iterable[EntryKey] = (
        key
        for run in repository.runs()
        for agent in repository.agents(run)
        for key in repository.keys(run, agent)
    )
    return repository.get_many(list(keys))


def _plain(value: Any) -> Any:
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    return {type(value).__name__: _told(value)}


def _told(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [value.dtype.str, list(value.shape), value.tobytes().hex()]
    if isinstance(value, Mapping):
        return [[_plain(key), _plain(part)] for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(part) for part in value), key=json.dumps)
    if isinstance(value, bytes):
        return value.hex()
    # By their text, which for these is exact: numbers of NumPy, dates and times, enums, UUIDs.
    return str(value)
