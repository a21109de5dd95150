"""What has changed of an agent's entries in a SQL database, by comparing the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select

from agent_memory.errors import EncodingError
from agent_memory.models.ltm import LtmModels
from agent_memory.models.ltm_types import Name
from agent_memory.repositories.following import FILTERED, Changes, Stored
from agent_memory.repositories.sql.statements import agent_ref_of


def rows(connection: Connection, models: LtmModels, run_id: str, agent_id: str) -> Sequence[Any]:
    """The rows of an agent's entries, as far as questions look at them."""
    asked = {"of_run": run_id, "of_agent": agent_id}
    return connection.execute(_statement(models), asked).all()


@lru_cache(maxsize=64)
def _statement(models: LtmModels) -> Select[*tuple[Any, ...]]:
    entry = models.LtmEntry
    columns = (
        *(entry.memory_id, entry.revision, entry.contents, entry.embedding),
        entry.embedding_coding.label("embedding_coding"),
        *(getattr(entry, name).label(name) for name in FILTERED),
    )
    run, agent = bindparam("of_run", type_=Name), bindparam("of_agent", type_=Name)
    return select(*columns).where(entry.agent_ref == agent_ref_of(models, run, agent))


def changes(
    found: Sequence[Any], contents_of: Callable[[Any], Mapping[str, Any]], seen: object
) -> Changes:
    """What has changed since some rows were seen; see ``MemoryRepository.changes``.

    Args:
        found: The rows there are; see ``rows``.
        contents_of: Decodes the contents of a row.
        seen: By memory id what tells a row from any other.
    """
    before: dict[str, int] = seen if isinstance(seen, dict) else {}
    now = {row.memory_id: hash(tuple(row)) for row in found}
    stored = [
        _stored(row, contents_of)
        for row in found
        if before.get(row.memory_id) != now[row.memory_id]
    ]
    gone = [memory_id for memory_id in before if memory_id not in now]
    return Changes(now, not before, stored, gone)


def _stored(row: Any, contents_of: Callable[[Any], Mapping[str, Any]]) -> Stored:
    try:
        contents = contents_of(row)
    except EncodingError:
        contents = None
    fields = {name: getattr(row, name) for name in FILTERED}
    return Stored(row.memory_id, row.revision, fields, contents)
